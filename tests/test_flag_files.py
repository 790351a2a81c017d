import os

import pytest

from deeplab import flag_files
from deeplab.errors import InputError


def test_ordinary_flagfiles_pass(tmp_path):
  (tmp_path / 'one').write_text(f'# A comment\n--flagfile={tmp_path}/two\n--a=1\n')
  (tmp_path / 'two').write_text('--b=2\n')
  flag_files.check(['--c=3', f'--flagfile={tmp_path}/one', '--flagfile', f'{tmp_path}/two'])
  flag_files.check(['--', '--flagfile=/dev/zero'])


def test_flagfiles_without_end_are_refused(tmp_path):
  (tmp_path / 'one').write_text(f'--flagfile={tmp_path}/two\n')
  (tmp_path / 'two').write_text(f'  --flagfile={tmp_path}/./one\n')
  with pytest.raises(InputError, match='^--flagfile=.*/one: includes itself'):
    flag_files.check([f'--flagfile={tmp_path}/one'])
  for number in range(12):  # 2 ** 12 in all.
    below = f'--flagfile={tmp_path}/{number + 1}\n'
    (tmp_path / str(number)).write_text(below * 2)
  (tmp_path / '12').write_text('--a=1\n')
  with pytest.raises(InputError, match='is one of more than 100 flagfiles'):
    flag_files.check([f'--flagfile={tmp_path}/0'])


def test_what_is_no_file_of_flags_is_refused(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'link').symlink_to('/dev/zero')
  (tmp_path / 'large').write_bytes(b'a' * (2**20 + 1))
  for path in (tmp_path / 'pipe', tmp_path / 'link', '/dev/zero', '/proc/self/cmdline', tmp_path):
    with pytest.raises(InputError, match='is no ordinary file; give a text file'):
      flag_files.check(['-flagfile', str(path)])
  for arguments in (['--flagfile=absent'], ['--flagfile', 'absent'], ['--flagfile']):
    with pytest.raises(
      InputError, match=r'cannot be read \(No such file or directory\); give a text'
    ):
      flag_files.check(arguments)
  (tmp_path / 'bytes').write_bytes(b'\xff\xfe\0')
  with pytest.raises(InputError, match='is not a text file; give one'):
    flag_files.check([f'--flagfile={tmp_path}/bytes'])
  with pytest.raises(InputError, match='is larger than 1 MB'):
    flag_files.check([f'--flagfile={tmp_path}/large'])
