"""What reaches stdout and stderr."""

import subprocess
import sys

import pytest

_PRINT = """
import sys
from deeplab import errors, messages
errors.let_streams_take_any_name()
print(b'caf\\xe9 '.decode('utf-8', 'surrogateescape') + chr(0x65e5))
messages.warn([chr(0x65e5)])
"""


@pytest.mark.parametrize(
  'encoding, printed',
  [
    ('utf-8', b'caf\xe9 \xe6\x97\xa5\n'),
    ('latin-1', b'caf\xe9 \\u65e5\n'),
    ('ascii', b'caf\xe9 \\u65e5\n'),
  ],
)
def test_every_name_can_be_printed(encoding, printed):
  result = subprocess.run(
    [sys.executable, '-c', _PRINT],
    env={'PYTHONIOENCODING': encoding, 'PYTHONPATH': ':'.join(sys.path)},
    capture_output=True,
    check=False,
  )
  assert (result.returncode, result.stdout) == (0, printed), result.stderr
  assert result.stderr == b'warning: ' + printed.partition(b' ')[2]
