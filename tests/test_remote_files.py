"""Remote paths, with `ram://`, a file system in memory that TensorFlow brings along."""

import os
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest
import record_makers
import tensorflow as tf

from deeplab import (
  checkpoint_files,
  checkpoints,
  data_set_files,
  json_files,
  next_command,
  remote_files,
  saved_options,
  tensorflow_files,
)
from deeplab.class_names import load_class_names
from deeplab.data import bad_records, input_pipeline, record_files, record_sizes
from deeplab.data_set import DataSet, Split
from deeplab.engines import model_files
from deeplab.errors import InputError
from deeplab.evaluation.checkpoint_sequence import checkpoint_sequence
from deeplab.options import (
  ConversionOptions,
  EvaluationOptions,
  ImportOptions,
  InferenceOptions,
  InspectionOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
)
from deeplab.prediction import given_images, image_files
from deeplab.training import data_files, training_data

LIMITS = {'num_classes': 21, 'ignore_label': 255}


@pytest.fixture(name='remote')
def _remote(request):
  """A remote directory of this test."""
  path = f'ram://{request.node.name.translate(str.maketrans("[]*?/:", "______"))}'
  tf.io.gfile.makedirs(path)
  yield path
  tf.io.gfile.rmtree(path)


def put(path, content):
  tf.io.gfile.makedirs(os.path.dirname(path))
  if tf.io.gfile.exists(path):
    tf.io.gfile.remove(path)  # To ram:// writing is appending.
  with tf.io.gfile.GFile(path, 'wb') as file:
    file.write(content)
  return path


def put_records(path, numbers=range(3), **settings):
  tf.io.gfile.makedirs(os.path.dirname(path))
  return record_makers.write(path, [record_makers.record(one, **settings) for one in numbers])


def shards(remote):
  return [put_records(f'{remote}/train/train-{index:05d}-of-00003.tfrecord') for index in range(3)]


def names(images):
  return [(one.path, one.relative_path) for one in images]


@pytest.mark.parametrize(
  'path, expected',
  [
    ('gs://bucket/a', True),
    ('my+fs.2-x://a', True),
    ('data/train', False),
    ('/data/a:b', False),
    ('C:/data', False),
    ('://a', False),
    ('a b://c', False),
  ],
)
def test_the_form_says_that_a_path_is_remote(path, expected):
  assert remote_files.is_remote(path) is expected


def test_local_paths_need_no_tensorflow(tmp_path):
  path = record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(0)])
  PIL.Image.new('RGB', (4, 3)).save(tmp_path / 'a.png')
  code = (
    'import sys\n'
    'from deeplab.data import record_files\n'
    'from deeplab import data_set_files, given_paths\n'
    'from deeplab.prediction import image_files\n'
    f'paths = record_files.expand_filenames([{path!r}, {str(tmp_path)!r}])\n'
    'print(record_files.index_files(paths)[0].num_records, data_set_files.of_records(paths))\n'
    f'print(len(image_files.find_images([{str(tmp_path)!r}])[0]))\n'
    'print("tensorflow" in sys.modules)\n'
  )
  run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert run.stdout.split('\n')[:3] == ['1 None', '1', 'False']


def test_records_by_path_glob_and_directory(remote):
  paths = shards(remote)
  put(f'{remote}/train/train-summary.json', b'{}')
  put(f'{remote}/train/readme.txt', b'')
  deep = put_records(f'{remote}/train/deep/er/x.tfrecord')
  expand = record_files.expand_filenames
  assert expand(paths[1:]) == paths[1:]
  assert expand([f'{remote}/train']) == expand([f'{remote}/train/']) == paths
  assert expand([f'{remote}/train/train-*']) == paths
  assert expand([f'{remote}/*/train-0000[12]-*']) == paths[1:]
  assert expand([f'{remote}/**/*.tfrecord']) == [deep, *paths]
  assert record_files.held_out_beside_others(f'{remote}/train') is None
  assert record_files.glob_of_split(f'{remote}/train', 'val') == f'{remote}/train/val-*'


def test_the_walk_reads_the_headers_alone(remote, tmp_path, monkeypatch):
  local = record_makers.write(tmp_path / 'a.tfrecord', [os.urandom(100000) for _ in range(7)])
  with open(local, 'rb') as file:
    path = put(f'{remote}/a.tfrecord', file.read())
  sizes, read = [], tensorflow_files.RemoteFile.read
  monkeypatch.setattr(
    tensorflow_files.RemoteFile, 'read', lambda self, size: sizes.append(size) or read(self, size)
  )
  found, expected = record_files.index_file(path), record_files.index_file(local)
  assert (found.num_records, found.num_bytes, found.problem) == (7, 700000, None)
  assert (found.num_records, found.num_bytes) == (expected.num_records, expected.num_bytes)
  assert sizes == [12] * 7


@pytest.mark.parametrize(
  'change, problem',
  [
    (lambda data: b'', 'is empty (0 bytes)'),
    (lambda data: data[:-1], 'is cut off after 2 whole records'),
    (lambda data: b'nothing of the kind', 'is not a TFRecord file'),
  ],
)
def test_damaged_files(remote, tmp_path, change, problem):
  local = put_records(str(tmp_path / 'a.tfrecord'))
  with open(local, 'rb') as file:
    path = put(f'{remote}/a.tfrecord', change(file.read()))
  assert record_files.index_file(path).problem == problem


@pytest.mark.parametrize(
  'path, message',
  [
    ('ram://nowhere/train', 'no such file or directory; give TFRecord files'),
    ('ram://nowhere/*.tfrecord', 'no file matches'),
    ('REMOTE', r'the directory has no \*\.tfrecord files'),
    ('nosuch://a', 'TensorFlow .* knows no file system nosuch://; .*tensorflow-io'),
    ('gs://', 'gs://: cannot be looked up'),
    ('ram://d/\udcff', 'a remote name must be UTF-8'),
  ],
)
def test_bad_paths_of_records(remote, path, message):
  put(f'{remote}/readme.txt', b'')
  with pytest.raises(InputError, match=message) as error:
    record_files.expand_filenames([path.replace('REMOTE', remote)])
  assert '\n' not in str(error.value)


def test_the_same_batches_as_of_local_files(remote, tmp_path):
  local, there = tmp_path / 'train', f'{remote}/train'
  local.mkdir()
  for index in range(2):
    numbers = range(4 * index, 4 * index + 4)
    put_records(str(local / f'{index}.tfrecord'), numbers)
    put_records(f'{there}/{index}.tfrecord', numbers)

  def drawn(directory):
    options = TrainingInputOptions(
      filenames=(str(directory),), crop_size_height=9, crop_size_width=9, batch_size=3, seed=4
    )
    batches = input_pipeline.training_batches(options, num_classes=21).take(4)
    return [{name: value.numpy().tolist() for name, value in one.items()} for one in batches]

  assert drawn(there) == drawn(local)
  examples = list(input_pipeline.evaluation_examples([there], **LIMITS))
  assert [one['name'].numpy() for one in examples] == [b'name%d' % one for one in range(8)]


def test_records_that_are_gone_in_the_middle(remote):
  paths = shards(remote)
  examples = iter(input_pipeline.evaluation_examples([f'{remote}/train/*'], **LIMITS))
  next(examples)
  for path in paths[1:]:
    tf.io.gfile.remove(path)
  with pytest.raises(tf.errors.NotFoundError) as error:
    list(examples)
  explained = input_pipeline.explain_failure(
    error.value, [f'{remote}/train/*'], known=paths, **LIMITS
  )
  assert str(explained) == (
    f'{paths[1]}: cannot be read any more (No such file or directory); once it can be, go on'
  )


def test_a_file_system_that_does_not_answer_is_no_bad_record(remote, monkeypatch):
  paths = shards(remote)
  error = tf.errors.UnavailableError(None, None, 'HTTP 503')
  monkeypatch.setattr(bad_records, 'find', lambda *args, **settings: pytest.fail('looked through'))
  assert str(input_pipeline.explain_failure(error, paths, **LIMITS)) == (
    f'{paths[0]} and others: cannot be read any more (a device or another machine does not '
    'answer); once it can be, go on'
  )
  error = tf.errors.FailedPreconditionError(
    None,
    None,
    "Error executing an HTTP request: libcurl code 6 meaning 'Could not resolve hostname', error "
    f'details: Could not resolve host: www.googleapis.com\n\t when reading {paths[1]}',
  )
  assert str(input_pipeline.explain_failure(error, paths, **LIMITS)) == (
    f'{paths[1]}: cannot be read any more (Could not resolve host: www.googleapis.com); once it '
    'can be, go on'
  )


def test_bad_records_are_named(remote):
  path = put_records(f'{remote}/a.tfrecord', [3], value=30)
  with pytest.raises(tf.errors.OpError) as error:
    list(input_pipeline.evaluation_examples([path], **LIMITS))
  explained = str(input_pipeline.explain_failure(error.value, [path], known=[path], **LIMITS))
  assert explained.startswith(f'{path}, record 0 (counted from 0) (name3): label value 30')


def test_the_description_beside_the_records(remote):
  paths = shards(remote)
  described = DataSet(
    num_classes=3,
    ignore_label=255,
    class_names=('a', 'b', 'c'),
    splits={'train': Split(num_records=9, files=tuple(map(os.path.basename, paths)))},
  )
  content = json_files.one_line(data_set_files.to_json(described))
  put(f'{remote}/train/dataset.json', content.encode())
  found = data_set_files.of_records(paths)
  assert (found.num_classes, found.class_names) == (3, ('a', 'b', 'c'))
  assert found.splits['train'].num_records == 9
  assert data_set_files.warnings_about(paths) == []
  assert data_set_files.read(f'{remote}/train').class_names == ('a', 'b', 'c')
  put(f'{remote}/train/dataset.json', b'[]')
  with pytest.raises(
    InputError, match=f'^{remote}/train/dataset.json: not a description of a data'
  ):
    data_set_files.of_records(paths)
  put(
    f'{remote}/train/train-summary.json',
    b'{"num_records": 9, "height": {"mean": 20}, "width": {"mean": 30}}',
  )
  sizes = record_sizes.find(paths)
  assert (sizes.height, sizes.width) == (20, 30)
  assert sizes.source == f'{remote}/train/train-summary.json'


def test_the_next_command(remote):
  paths = shards(remote)
  put_records(f'{remote}/val/val-00000-of-00001.tfrecord')
  after = next_command.after_inspection(
    InspectionOptions(filenames=(f'{remote}/train',)), num_records=5000
  )
  assert f'--eval_filenames={remote}/val' in after
  for records in (paths[0], put_records(f'{remote}.tfrecord')):  # The latter is at the top.
    after = next_command.after_inspection(InspectionOptions(filenames=(records,)), num_records=9)
    assert f'--filenames={records}' in after
  tf.io.gfile.remove(f'{remote}.tfrecord')


def test_facts_and_copies_of_data_files(remote):
  paths = shards(remote)
  files = record_files.index_files(paths)
  facts = data_files.facts(files)
  assert facts[paths[0]] == {'records': 3, 'bytes': tf.io.gfile.stat(paths[0]).length}
  other = put_records(f'{remote}/val/v.tfrecord')  # The same content.
  different = put_records(f'{remote}/val/w.tfrecord', size=(21, 30))
  found = training_data._overlap_warnings(files, record_files.index_files([different, other]))
  assert len(found) == 1 and f'1 of 2 files are trained on too ({other})' in found[0]
  tf.io.gfile.remove(paths[2])
  with pytest.raises(InputError, match=f'{paths[2]}: has vanished'):
    data_files.facts(files)


def test_pictures(remote, tmp_path):
  picture = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)
  data = record_makers.encode(picture)
  for name in ('a.png', 'b.PNG', 'deep/c.png', 'notes.txt', 'x.heic', 'clip.mp4'):
    put(f'{remote}/photos/{name}', data)
  photos = f'{remote}/photos'
  images, notes = image_files.find_images([photos])
  assert names(images) == [(f'{photos}/a.png', 'a.png'), (f'{photos}/b.PNG', 'b.PNG')]
  assert len(notes) == 3  # A video, HEIC, and a file without an extension of images.
  images, _ = image_files.find_images([photos], recursive=True)
  assert names(images)[2:] == [(f'{photos}/deep/c.png', 'deep/c.png')]
  images, _ = image_files.find_images([f'{photos}/*.png', f'{photos}/a.png'])
  assert names(images) == [(f'{photos}/a.png', 'a.png')] * 2
  assert len(image_files.without_duplicates(images)[0]) == 1
  np.testing.assert_array_equal(image_files.read_image(images[0].path), picture)
  given = given_images.read([images[0].path], several=False)
  np.testing.assert_array_equal(given[0].pixels, picture)


def test_lists_of_pictures(remote, tmp_path):
  there = f'{remote}/photos/a.png'
  local = str(tmp_path / 'b.png')
  path = put(f'{remote}/list.txt', f'{there}\r\n\r\n  {local} \r\n'.encode('utf-16'))
  assert [one.path for one in image_files.listed_images(path)] == [there, local]
  path = put(f'{remote}/list.txt', f'{remote}/photos/a.png\n{remote}/more/b.png'.encode())
  assert [one.relative_path for one in image_files.listed_images(path)] == [
    'photos/a.png',
    'more/b.png',
  ]
  with pytest.raises(InputError, match=r'^--input_file_list=ram://none: cannot be read \(No such'):
    image_files.listed_images('ram://none')
  assert load_class_names(put(f'{remote}/names.txt', b'sky\ntree\n'), 2) == ('sky', 'tree')


@pytest.mark.parametrize(
  'path, message',
  [
    ('ram://none/a.png', r'--input=ram://none/a\.png: no such file or directory'),
    ('ram://none/*.png', r'--input=ram://none/\*\.png: no file matches'),
    ('nosuch://a.png', '--input=nosuch://a.png: TensorFlow .* knows no file system nosuch:'),
    ('http://b/a.png', '--input=http://b/a.png: an address is not read'),
    ('ram://none/a.mp4', '--input=ram://none/a.mp4: videos are read from a local disk'),
    ('ram://none/a.heic', '--input=ram://none/a.heic: HEIC is not read'),
  ],
)
def test_bad_paths_of_pictures(path, message):
  with pytest.raises(InputError, match='^' + message):
    image_files.find_images([path])


def test_a_picture_that_is_gone(remote):
  with pytest.raises(
    InputError, match=f'^{remote}/a.png: cannot be read: No such file or directory'
  ):
    image_files.read_image(f'{remote}/a.png')
  put(f'{remote}/a.png', b'')
  with pytest.raises(InputError, match=f'^{remote}/a.png: is empty, not an image'):
    image_files.read_image(f'{remote}/a.png')


def test_what_a_file_system_refuses_has_a_reason(monkeypatch):
  class Refusing:
    def __getattr__(self, name):
      raise tf.errors.PermissionDeniedError(None, None, 'HTTP 403 with a body\nof two lines')

  monkeypatch.setattr(tensorflow_files, 'file_system', lambda path: Refusing())
  reason = r'\(Permission denied; log in .* GOOGLE_APPLICATION_CREDENTIALS to .*\)'
  with pytest.raises(InputError, match=f'^gs://b/train: cannot be looked up {reason}$'):
    record_files.expand_filenames(['gs://b/train'])
  with pytest.raises(InputError, match=f'^gs://b/a: cannot be read {reason}$'):
    record_files.index_file('gs://b/a')


def test_what_a_plug_in_raises(monkeypatch):
  def fail(path):
    raise RuntimeError('Fail to get a new connection for:\nhttpsa.example')

  gfile = types.SimpleNamespace(stat=fail)
  monkeypatch.setattr(tensorflow_files, 'file_system', lambda path: gfile)
  with pytest.raises(InputError) as error:
    record_files.expand_filenames(['az://a/b'])
  assert str(error.value) == (
    'az://a/b: cannot be looked up (Fail to get a new connection for: httpsa.example)'
  )


def test_checkpoints(remote, tmp_path):
  values = {'logits/semantic/weights': np.arange(6, dtype=np.float32)}
  for name in ('model.ckpt-5', 'model.ckpt-10', 'best.ckpt'):
    checkpoints.write(str(tmp_path / name), values)
  saved_options.write(str(tmp_path), ModelOptions(num_classes=3), step=10)
  for name in os.listdir(tmp_path):
    put(f'{remote}/{name}', (tmp_path / name).read_bytes())
  prefix = checkpoint_files.find_given(remote)
  assert prefix == f'{remote}/model.ckpt-10'
  assert checkpoint_files.find_given(remote, best=True) == f'{remote}/best.ckpt'
  assert f'checkpoint: {prefix} (best.ckpt' in checkpoint_files.chosen_notes(remote, prefix)[0]
  assert saved_options.read(prefix).model_options.num_classes == 3
  value = checkpoints.Reader(prefix).get('logits/semantic/weights')
  np.testing.assert_array_equal(value, values['logits/semantic/weights'])
  sequence = checkpoint_sequence(
    remote, all_checkpoints=True, watch=True, timeout=1, wait=lambda _: None, say=lambda _: None
  )
  assert list(map(os.path.basename, sequence)) == ['model.ckpt-5', 'model.ckpt-10', 'best.ckpt']
  tf.io.gfile.remove(prefix + '.data-00000-of-00001')
  with pytest.raises(InputError, match='data-00000-of-00001 is missing'):
    checkpoint_files.find_given(prefix)
  with pytest.raises(InputError, match='--ckpt_path=ram://none/model.ckpt: no such file or dir'):
    checkpoint_files.find_given('ram://none/model.ckpt')
  with pytest.raises(InputError, match='m.tflite: exported models are read from a local disk'):
    model_files.find(f'{remote}/m.tflite')


@pytest.mark.parametrize(
  'option_class, settings',
  [
    (RunOptions, {'output_path': 'gs://b/run'}),
    (EvaluationOptions, {'report_path': 'gs://b/r', 'filenames': ('a',), 'ckpt_path': 'b'}),
    (InferenceOptions, {'output_path': 'gs://b/p', 'input': ('a',), 'ckpt_path': 'b'}),
    (InspectionOptions, {'contact_sheet': 'gs://b/s.png', 'filenames': ('a',)}),
    (ImportOptions, {'ckpt_path': 'gs://b/c', 'output_path': 'd'}),
    (ConversionOptions, {'images_dir': 'gs://b/i', 'labels_dir': 'l', 'split': 'train'}),
    (
      ConversionOptions,
      {'images_dir': 'i', 'labels_dir': 'l', 'split': 't', 'output_dir': 'gs://o'},
    ),
  ],
)
def test_what_stays_local(option_class, settings):
  with pytest.raises(InputError, match=r'^--\w+=gs://\S+: must be local; '):
    option_class(**settings)
