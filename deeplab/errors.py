"""What a command tells its user on stderr: the one exception that stands for a mistake, and warnings."""
import sys


class InputError(ValueError):
  """Bad input from outside: a flag, a file, a record, a checkpoint.

  The message is one line that says what (file, record or flag), the value got, what is allowed, and the remedy.
  The commands print it after `error: ` and exit with status 1; a traceback is only for our own mistakes.
  """


def warn(lines):
  """Prints each line as a warning; the command goes on."""
  for line in lines:
    print(f'warning: {line}', file=sys.stderr, flush=True)
