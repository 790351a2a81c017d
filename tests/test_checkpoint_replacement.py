"""A kill at any moment of a replacement: the old checkpoint or the new one, with what goes with it,
and nothing else once it is put right.
"""

import os

import pytest

from deeplab import checkpoint_files, checkpoint_replacement, saved_options

BESIDE = (saved_options.FILE_NAME, 'checkpoint')
FILES = ('model.ckpt.data-00000-of-00001', 'model.ckpt.index', *BESIDE)


class Killed(BaseException):
  pass


def write(directory, text, names=FILES):
  directory.mkdir(exist_ok=True)
  for name in names:
    (directory / name).write_text(text)


def taken(directory):
  """What a user of the directory gets: contents of the checkpoint and of its architecture."""
  prefix = checkpoint_files.find(str(directory))
  paths = [prefix + '.index', prefix + '.data-00000-of-00001', saved_options.path_beside(prefix)]
  texts = []
  for path in paths:
    with open(path, encoding='utf-8') as file:
      texts.append(file.read())
  return texts


def kill_at(monkeypatch, number):
  """From now on the call of that number which changes the directory raises Killed."""
  calls = []
  for name in ('remove', 'replace', 'link'):
    function = getattr(os, name)

    def call(*paths, function=function, **settings):
      if len(calls) == number:
        raise Killed
      calls.append(paths)
      return function(*paths, **settings)

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize('has_links', [True, False])
def test_a_kill_at_any_moment(tmp_path, monkeypatch, has_links):
  directory, aside = tmp_path / 'model', tmp_path / 'model' / 'aside'
  prefix = str(directory / 'model.ckpt')
  seen = []
  for number in range(100):
    write(directory, 'old')
    write(aside, 'new')
    with monkeypatch.context() as patch:
      if not has_links:
        patch.setattr(os, 'link', lambda *_: (_ for _ in ()).throw(PermissionError))
      kill_at(patch, number)
      try:
        checkpoint_replacement.take_place(str(aside), prefix, beside=BESIDE)
        finished = True
      except Killed:
        finished = False
    texts = taken(directory)
    assert texts in (['old'] * 3, ['new'] * 3), number
    # Killed in the middle of putting it right, and then put right.
    with monkeypatch.context() as patch:
      kill_at(patch, number % 7)
      try:
        checkpoint_replacement.put_right(prefix, beside=BESIDE)
      except Killed:
        assert taken(directory) == texts
    checkpoint_replacement.put_right(prefix, beside=BESIDE)
    assert taken(directory) == texts
    for path in aside.iterdir():
      path.unlink()
    aside.rmdir()
    assert sorted(os.listdir(directory)) == sorted(FILES)
    assert (directory / 'checkpoint').read_text() == texts[0]
    seen.append(texts[0])
    if finished:
      break
  assert finished and seen == sorted(seen, reverse=True) and set(seen) == {'old', 'new'}


def test_only_what_the_toolkit_writes_is_removed(tmp_path):
  users = [
    'model.ckpt.data-backup',
    'model.ckpt.meta',
    'model.ckpt.data-00000-of-00002',
    'mine.ckpt.data-00000-of-00001',
    'notes.previous.txt',
  ]
  write(tmp_path, 'mine', users)
  write(tmp_path, 'left', ['model.ckpt.data-00000-of-00001', 'model.ckpt.previous.index'])
  write(tmp_path, 'left', ['model.ckpt.previous.data-00000-of-00001'])
  (tmp_path / 'model.ckpt.previous.index').unlink()
  checkpoint_replacement.put_right(str(tmp_path / 'model.ckpt'))
  assert sorted(os.listdir(tmp_path)) == sorted(users)


def test_removing_leaves_files_of_other_names(tmp_path):
  write(tmp_path, 'x', [*FILES, 'model.ckpt.data-mine', 'model.ckpt-5.data-00000-of-00001'])
  checkpoint_replacement.remove(str(tmp_path / 'model.ckpt'))
  assert sorted(os.listdir(tmp_path)) == sorted(
    [*BESIDE, 'model.ckpt.data-mine', 'model.ckpt-5.data-00000-of-00001']
  )
