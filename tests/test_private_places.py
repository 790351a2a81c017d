import os
import stat

import pytest

from deeplab import output_places, private_places
from deeplab.errors import InputError


@pytest.fixture(name='default')
def _default(tmp_path, monkeypatch):
  monkeypatch.setattr(private_places, 'DEFAULT', str(tmp_path / 'deeplabv3'))
  return tmp_path / 'deeplabv3'


def mode(path):
  return stat.S_IMODE(os.stat(path).st_mode)


def test_the_default_place_is_made_for_the_user_alone(default, tmp_path):
  output_places.make_directory(f'{default}/pred/', flag='output_path')
  assert mode(default) == mode(default / 'pred') == 0o700
  default.chmod(0o755)  # As an earlier version made it.
  output_places.make_directory(str(default), flag='output_path')
  assert mode(default) == 0o700
  output_places.make_directory(str(tmp_path / 'other'), flag='output_path')
  assert mode(tmp_path / 'other') != 0o700


def test_links_and_other_users_are_refused(default, tmp_path, monkeypatch):
  (tmp_path / 'elsewhere').mkdir()
  default.symlink_to(tmp_path / 'elsewhere')
  for path in (default, default / 'pred'):
    with pytest.raises(InputError, match='^--output_path: .*deeplabv3 is a symbolic link; choose'):
      private_places.check(str(path), flag='output_path')
    with pytest.raises(InputError, match='is a symbolic link'):
      output_places.make_directory(str(path), flag='output_path')
  default.unlink()
  default.mkdir(0o700)
  (default / 'pred').symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(InputError, match='deeplabv3/pred is a symbolic link'):
    output_places.make_directory(str(default / 'pred'), flag='output_path')
  assert os.listdir(tmp_path / 'elsewhere') == []
  # A directory that others could write to, and did.
  default.chmod(0o777)
  with pytest.raises(InputError, match='was open to others'):
    output_places.make_directory(str(default), flag='output_path')
  user = os.geteuid()
  monkeypatch.setattr(os, 'geteuid', lambda: user + 1)
  with pytest.raises(InputError, match='belongs to another user'):
    output_places.make_directory(str(default), flag='output_path')
