"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
  """Bad input from outside: a flag, a file, a record, a checkpoint.

  The message is one line that says what (file, record or flag), the value got, what is allowed, and the remedy.
  The commands print it after `error: ` and exit with status 1; a traceback is only for our own mistakes.
  """
