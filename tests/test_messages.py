import contextvars
import threading

from deeplab import messages


class _List(messages.Terminal):
  def __init__(self):
    self.heard = []

  def say(self, line):
    self.heard.append(('say', line))

  def warn(self, line):
    self.heard.append(('warn', line))

  def problem(self, line):
    self.heard.append(('problem', line))

  def shows_bars(self):
    return False


def test_commands_print(capsys):
  messages.say('a', 'b')
  messages.warn(['c'])
  messages.problem('d')
  assert tuple(capsys.readouterr()) == ('a\nb\n', 'warning: c\nproblem: d\n')


def test_a_program_hears_what_is_said_meanwhile_in_its_thread(capsys):
  hearer = _List()
  with messages.heard_by(hearer):
    messages.say('a', 'b')
    messages.warn(['c'])
    messages.problem('d')
    assert not messages.shows_bars()
    thread = threading.Thread(target=lambda: messages.say('of another thread'))
    thread.start()
    thread.join()
  messages.say('after')
  assert hearer.heard == [('say', 'a'), ('say', 'b'), ('warn', 'c'), ('problem', 'd')]
  assert tuple(capsys.readouterr()) == ('of another thread\nafter\n', '')


def test_the_terminal_hears_again_after_an_error(capsys):
  def fail():
    with messages.heard_by(_List()):
      raise ValueError

  try:
    contextvars.copy_context().run(fail)
  except ValueError:
    messages.say('here')
  assert capsys.readouterr().out == 'here\n'
