"""A command whose output nobody takes."""

import subprocess
import sys
import textwrap

import pytest

COMMAND = textwrap.dedent("""
    import dataclasses
    from deeplab import flags, messages
    from deeplab.options import CheckedOptions, option

    @dataclasses.dataclass(frozen=True)
    class Options(CheckedOptions):
      group = 'A test'
      name: str = option('a', 'Is said and warned of.')

    def main(options):
      messages.say(options.name)
      messages.warn([options.name])
      with open('ended', 'w') as file:
        file.write('here')

    flags.run(main, Options, description='A test.', uses_tensorflow=False)
    """)


def run(redirection, directory, *arguments):
  """(status, stdout, stderr, whether it came to its end)."""
  result = subprocess.run(
    ['bash', '-c', f'exec "$0" -c "$@" {redirection}', sys.executable, COMMAND, *arguments],
    capture_output=True,
    cwd=directory,
    check=False,
    env={'PYTHONPATH': ':'.join(sys.path)},
  )
  ended = directory / 'ended'
  has_ended = ended.exists() and ended.read_text() == 'here'
  return result.returncode, result.stdout, result.stderr, has_ended


@pytest.mark.parametrize(
  'redirection, expected',
  [
    # Closed on purpose: as with /dev/null, and no file takes the place of what was closed.
    ('>&-', (0, b'', b'warning: a\n', True)),
    ('>&- 2>&- <&-', (0, b'', b'', True)),
    (
      '>/dev/full',
      (
        1,
        b'',
        b'-c: error: stdout: cannot be written (No space left on device); free space, or '
        b'send it elsewhere\n',
        False,
      ),
    ),
    ('2>/dev/full', (1, b'a\n', b'', False)),
    ('>/dev/full 2>/dev/full', (1, b'', b'', False)),
  ],
)
def test_output_that_cannot_be_written_ends_in_a_line(tmp_path, redirection, expected):
  assert run(redirection, tmp_path) == expected


def test_control_characters_are_shown_escaped(tmp_path):
  name = 'a\x1b[2Jb\nc\rd\x9be\u202ef\u2028'
  shown = rb'a\x1b[2Jb\nc\rd\x9be\u202ef\u2028'
  status, out, err, _ = run('', tmp_path, f'--name={name}')
  assert (status, out, err) == (0, shown + b'\n', b'warning: ' + shown + b'\n')
  status, out, err, _ = run('', tmp_path, f'--nam={name}')
  assert (status, out, err.count(b'\n')) == (2, b'', 1)
  status, out, err, _ = run('', tmp_path, f'--name=a\n{name}', f'--flagfile={name}')
  assert (status, out, err.count(b'\n')) == (2, b'', 1)
  assert not set(err) & {0x1B, 0x0D, 0x9B}
