"""What else is given for a checkpoint."""

import io
import tarfile
import zipfile

import pytest

from deeplab import checkpoints
from deeplab.checkpoint_files import find_given
from deeplab.errors import InputError


def tar():
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w:gz') as archive:
    archive.addfile(tarfile.TarInfo('model.ckpt.index'))
  return buffer.getvalue()


def zipped(*names):
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as archive:
    for name in names:
      archive.writestr(name, 'content')
  return buffer.getvalue()


HDF5 = b'\x89HDF\r\n\x1a\n'
IMPORT = r'import_official_checkpoint.py --ckpt_path=\S+ --output_path=DIRECTORY'


@pytest.mark.parametrize(
  'name, content, expected',
  [
    ('model.tar.gz', b'cut off', f'is an archive; .*{IMPORT}'),
    ('model.tgz', tar(), f'is an archive; .*{IMPORT}'),
    ('model.ckpt', tar(), f'is an archive; .*{IMPORT}'),
    ('model.zip', zipped('model.ckpt.index'), 'is a zip archive; .*import_official_checkpoint.py'),
    ('model', zipped('model.ckpt.index'), 'is a zip archive; unpack it'),
    ('frozen_inference_graph.pb', b'', f'is a frozen graph; .*{IMPORT}'),
    ('model.h5', HDF5, 'is a file of Keras; .*PREFIX.index'),
    ('model.ckpt', HDF5, 'is a file of Keras; .*PREFIX.index'),
    ('model.keras', b'', 'is a file of Keras; .*PREFIX.index'),
    ('model.pth', b'', 'is a file of PyTorch; .*PREFIX.index'),
    ('lightning.ckpt', zipped('archive/data.pkl'), 'is a file of PyTorch; .*PREFIX.index'),
    ('model.safetensors', b'', 'is a file of safetensors; .*PREFIX.index'),
    ('model.ONNX', b'', 'is a model exported for ONNX'),
    ('model.tflite', b'', 'is a model exported for TensorFlow Lite'),
  ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, name, content, expected):
  path = tmp_path / name
  path.write_bytes(content)
  for flag in ('ckpt_path', 'load_ckpt_path'):
    with pytest.raises(InputError, match=f'^--{flag}={path}: {expected}'):
      find_given(str(path), flag=flag)


@pytest.mark.parametrize(
  'name, expected',
  [
    ('frozen_inference_graph.pb', f'holds no checkpoint, but a frozen graph; .*{IMPORT}'),
    ('saved_model.pb', 'holds no checkpoint, but a SavedModel'),
    ('notes.txt', r'holds no checkpoint \(no \*.index file\)'),
  ],
)
def test_a_directory_without_a_checkpoint(tmp_path, name, expected):
  (tmp_path / name).write_bytes(b'')
  with pytest.raises(InputError, match=f'^--ckpt_path={tmp_path}: {expected}'):
    find_given(str(tmp_path))


def test_names_alone_do_not_refuse_a_checkpoint(tmp_path):
  """A prefix may be called as it likes, and a file of the old format may be any file."""
  (tmp_path / 'model.pb.index').write_bytes(b'')
  (tmp_path / 'model.pb.data-00000-of-00001').write_bytes(b'')
  assert checkpoints.find(str(tmp_path / 'model.pb')) == str(tmp_path / 'model.pb')
  (tmp_path / 'resnet.ckpt').write_bytes(b'\x00\x01an old format')
  assert checkpoints.find(str(tmp_path / 'resnet.ckpt')) == str(tmp_path / 'resnet.ckpt')
