"""Published weights by name, against a server on this machine."""

import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading

import file_server
import numpy as np
import pytest
import tensorflow as tf
from official_network import Official
from PIL import Image

import deeplab
from deeplab import checkpoints, messages, named_checkpoints, saved_options
from deeplab.class_names import VOC
from deeplab.color_map import load_color_map
from deeplab.errors import InputError
from deeplab.options import ModelOptions
from deeplab.published import cache

NAME = 'official/mobilenetv2_dm05_voc_trainaug'
PATH = '/models/deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz'
RESNET, RESNET_PATH = 'imagenet/resnet_v2_50', '/models/resnet_v2_50_2017_04_14.tar.gz'


def packed(directory, prefix='', weights=None):
  """bytes of an archive of the directory, with a checkpoint that is written there first."""
  if weights is not None:
    checkpoints.write(str(directory / prefix), weights)
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w:gz') as archive:
    archive.add(directory, directory.name)
  return buffer.getvalue()


@pytest.fixture(scope='module')
def archives(tmp_path_factory):
  """path -> bytes of official archives."""
  weights = Official(multiplier=0.5, num_classes=21).make_weights()
  resnet = {
    'resnet_v2_50/conv1/weights': np.ones([7, 7, 3, 64], np.float32),
    'resnet_v2_50/logits/biases': np.ones([3], np.float32),
    'resnet_v2_50/conv1/weights/Momentum': np.ones([7, 7, 3, 64], np.float32),
    'global_step': np.int64(3),
    'concat_projection/weights': np.ones([1, 1, 5, 5], np.float32),
  }
  place = tmp_path_factory.mktemp('archives')
  (place / 'slim').mkdir()
  # As TensorFlow wrote checkpoints when these were published: one file.
  tf.raw_ops.Save(
    filename=str(place / 'slim' / 'resnet_v2_50.ckpt'),
    tensor_names=list(resnet),
    data=[tf.constant(value) for value in resnet.values()],
  )
  return {
    PATH: packed(place / 'zoo', 'model.ckpt-0', weights),
    RESNET_PATH: packed(place / 'slim'),
  }


@pytest.fixture
def server(archives, tmp_path, monkeypatch):
  with file_server.serving() as serving:
    serving.files.update(archives)
    monkeypatch.setenv('DEEPLAB_MIRROR', serving.address + '/')
    monkeypatch.setenv('DEEPLAB_CACHE', str(tmp_path / 'cache'))
    yield serving


@pytest.fixture(scope='module')
def filled_cache(archives, tmp_path_factory):
  """A cache with NAME."""
  path = tmp_path_factory.mktemp('filled') / 'cache'
  with pytest.MonkeyPatch.context() as patch, file_server.serving() as serving:
    serving.files.update(archives)
    patch.setenv('DEEPLAB_MIRROR', serving.address)
    patch.setenv('DEEPLAB_CACHE', str(path))
    named_checkpoints.find_given(NAME)
  return path


@pytest.fixture
def cached(filled_cache, server, tmp_path):
  """The directory of NAME in a cache; nothing can be downloaded any more."""
  shutil.copytree(filled_cache, tmp_path / 'cache')
  server.status = 503
  return tmp_path / 'cache' / NAME


def refused(name=NAME, **more):
  with pytest.raises(InputError) as raised:
    named_checkpoints.find_given(name, **more)
  assert '\n' not in str(raised.value)
  return str(raised.value)


def files_of(directory):
  return sorted(
    os.path.relpath(os.path.join(place, name), directory)
    for place, _, names in os.walk(directory)
    for name in names
  )


def test_whole_way(server, tmp_path):
  prefix = named_checkpoints.find_given(NAME)
  assert prefix == str(tmp_path / 'cache' / NAME / 'model' / 'model.ckpt')
  saved = saved_options.read(prefix)
  assert saved.model_options == ModelOptions(
    model_variant='mobilenet_v2', depth_multiplier=0.5, align_corners=True, weight_decay=4e-5,
    preprocess_images_option='zero_mean_unit_range',
  )  # fmt: skip
  assert saved.class_names == VOC and saved.trained_size == (513, 513)
  assert saved.data_set.ignore_label == 255
  np.testing.assert_array_equal(saved.data_set.color_map(), load_color_map('voc')[:21])
  model = ['model.ckpt.data-00000-of-00001', 'model.ckpt.index', 'model_options.json']
  assert files_of(tmp_path / 'cache' / NAME) == [
    'download.json', 'lock', *(f'model/{name}' for name in ['checkpoint', *model])
  ]  # fmt: skip
  # The second time nobody is asked; under the name of the page it is the same.
  assert named_checkpoints.find_given(NAME.replace('dm05', 'dm05_coco')) == prefix
  assert [path for path, _ in server.requests] == [PATH]


def test_from_python(cached):
  assert deeplab.load(NAME).class_names == VOC


def test_only_the_backbone_is_taken_of_a_classifier(server, tmp_path):
  server.files = {'/' + os.path.basename(RESNET_PATH): server.files[RESNET_PATH]}  # A flat mirror.
  prefix = named_checkpoints.find_given(RESNET, flag='load_ckpt_path')
  assert list(checkpoints.Reader(prefix).shapes) == ['resnet_v2_50/conv1/weights']
  assert f'--load_ckpt_path={RESNET}' in refused(RESNET)
  options, lines = named_checkpoints.for_training(RESNET, ModelOptions(), {'num_classes'})
  assert options == ModelOptions(
    model_variant='resnet_v2_50', preprocess_images_option='zero_mean_unit_range'
  )
  assert lines == [
    f'network of {RESNET}: --model_variant=resnet_v2_50 '
    '--preprocess_images_option=zero_mean_unit_range'
  ]
  for name in (None, NAME, 'model'):
    assert named_checkpoints.for_training(name, options, ()) == (options, [])


@pytest.mark.parametrize(
  ['name', 'words'],
  [
    ('official/mobilenetv2_dm05_voc_trainagu', f'nearest: {NAME}, '),
    ('imagenet/mobilenetv2_dm05_voc_trainaug', f'nearest: {NAME}, '),
    ('official/zzz', 'no published weights have this name, and no file; download_checkpoint.py'),
    ('official/edgetpu_cityscapes', 'lacks the backbone mobilenet_edgetpu'),
    ('official/xception71_dpc_cityscapes_trainval', 'lacks the dense prediction cell'),
  ],
)
def test_unknown_names(name, words, server):
  assert words in refused(name) and f'--ckpt_path={name}: ' in refused(name)
  assert server.requests == []


def test_what_is_there_under_a_name_goes_first(cached, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  shutil.copytree(cached / 'model', tmp_path / NAME)
  assert named_checkpoints.find_given(NAME) == f'{NAME}/model.ckpt'


def test_a_name_is_no_directory(server):
  assert '--best needs the directory of a training' in refused(best=True)


def test_mirror_that_is_none(server, monkeypatch):
  for mirror in ('mirror.example.org', 'ftp://a/b', 'http://', 'http://a:b', 'http://a/?x=1'):
    monkeypatch.setenv('DEEPLAB_MIRROR', mirror)
    assert f'DEEPLAB_MIRROR={mirror.rstrip("/")}: must be the address of a server' in refused()


def test_damaged_archive_is_not_kept(server, tmp_path):
  whole = server.files[PATH]
  server.files[PATH] = whole[:-3000]
  assert f'{PATH}: the archive is damaged or truncated' in refused()
  assert files_of(tmp_path / 'cache') == [f'{NAME}/lock']
  server.files[PATH] = whole
  named_checkpoints.find_given(NAME)


def test_archive_of_another_network(server, tmp_path, monkeypatch):
  server.files = dict.fromkeys(server.files, server.files[RESNET_PATH])
  assert 'not an official DeepLab' in refused() or 'classification model' in refused()
  name = 'imagenet/mobilenet_v2'
  server.files['/mobilenet_v2/checkpoints/mobilenet_v2_1.0_224.tgz'] = server.files[RESNET_PATH]
  message = refused(name, flag='load_ckpt_path')
  assert f'is not {name}: its backbone is resnet_v2_50' in message
  assert [name for name in files_of(tmp_path / 'cache') if not name.endswith('lock')] == []


def test_network_of_another_width(server, archives):
  server.files['/models/deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz'] = archives[PATH]
  name = 'official/mobilenetv2_voc_trainaug'
  assert f'is not {name}, whose depth_multiplier is 1.0 and not 0.5' in refused(name)


def test_later_download_is_compared_with_the_first(cached, server, archives, tmp_path):
  shutil.rmtree(cached / 'model')
  server.status = None
  server.files[PATH] = packed(tmp_path / 'other', 'model.ckpt', {'a': np.ones([2], np.float32)})
  message = refused()
  assert f'{PATH}: is another file (' in message and 'nothing of it was kept' in message
  assert files_of(cached) == ['download.json', 'lock']
  server.files[PATH] = archives[PATH]
  assert named_checkpoints.find_given(NAME) == str(cached / 'model' / 'model.ckpt')


@pytest.mark.parametrize(
  ['name', 'words'],
  [
    ('model/model.ckpt.data-00000-of-00001', 'is not what it was when it was made'),
    ('model/model_options.json', 'is not what it was when it was made'),
    ('download.json', 'which has their checksums, is damaged'),
  ],
)
def test_changed_cache(name, words, cached):
  path = cached / name
  path.write_bytes(path.read_bytes().replace(b'{', b'[') + b'x')
  assert f'{path}' in refused() and words in refused() and f'remove {cached} to have' in refused()
  path.unlink()
  assert f'{path} is missing' in refused()


def test_no_server_but_the_cache(cached):
  assert named_checkpoints.find_given(NAME) == str(cached / 'model' / 'model.ckpt')


@pytest.mark.parametrize('variable', ['DEEPLAB_CACHE', 'XDG_CACHE_HOME'])
def test_place_that_cannot_be_written(variable, server, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  monkeypatch.delenv('DEEPLAB_CACHE')
  monkeypatch.setenv(variable, str(tmp_path / 'file'))
  message = refused()
  assert f'{tmp_path}/file/' in message
  assert 'the cache cannot be written (Not a directory); free space there, or choose' in message
  assert 'DEEPLAB_CACHE' in message


def test_where_the_cache_is(monkeypatch):
  for name in ('DEEPLAB_CACHE', 'XDG_CACHE_HOME'):
    monkeypatch.setenv(name, '')
  monkeypatch.setenv('HOME', '/home/one')
  assert cache.directory() == '/home/one/.cache/deeplab'
  monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
  assert cache.directory() == '/home/one/.cache/deeplab'
  monkeypatch.setenv('XDG_CACHE_HOME', '/caches')
  assert cache.directory() == '/caches/deeplab'
  monkeypatch.setenv('DEEPLAB_CACHE', '~/own')
  assert cache.directory() == '/home/one/own'


def test_archive_from_another_machine(server, archives, tmp_path, capsys):
  server.status = 503
  message = refused()
  place = tmp_path / 'cache' / NAME / 'archive'
  assert 'the server answered 503 Service Unavailable; try again later, set DEEP' in message
  assert message.endswith(f'put {os.path.basename(PATH)}, got on another machine, at {place}')
  place.write_bytes(archives[PATH])
  named_checkpoints.find_given(NAME)
  assert f'taking {NAME} from {place}' in capsys.readouterr().out and not place.exists()


def test_full_disk_while_writing(server, tmp_path, monkeypatch):
  def write(directory, tensors, **more):
    with open(os.path.join(directory, 'model.ckpt.index'), 'wb') as file:
      file.write(b'half')
    raise OSError(28, 'No space left on device')

  with monkeypatch.context() as patch:
    patch.setattr('deeplab.official.official_checkpoints.write_directory', write)
    assert 'the cache cannot be written (No space left on device)' in refused()
  assert files_of(tmp_path / 'cache') == [f'{NAME}/archive', f'{NAME}/lock']
  # What a killed process left is cleared away.
  (tmp_path / 'cache' / NAME / '.unfinished-12345678-model').mkdir()
  (tmp_path / 'cache' / NAME / '.unfinished-12345678-download.json').write_text('{')
  named_checkpoints.find_given(NAME)
  assert not any('unfinished' in name for name in os.listdir(tmp_path / 'cache' / NAME))


def test_second_one_waits_for_the_first(server, tmp_path):
  server.seconds_per_block = 0.0001
  lines, prefixes = [], []

  class Hearer(messages.Terminal):
    def say(self, line):
      lines.append(line)

  def find():
    with messages.heard_by(Hearer()):
      prefixes.append(named_checkpoints.find_given(NAME))

  threads = [threading.Thread(target=find) for _ in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert prefixes == 2 * [str(tmp_path / 'cache' / NAME / 'model' / 'model.ckpt')]
  assert len(server.requests) == 1
  assert sorted(line.split(' from ')[0] for line in lines) == [
    f'downloading {NAME}', f'{NAME}: another process is downloading it; waiting for that one'
  ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif('DEEPLAB_TEST_DATA' not in os.environ, reason='needs DEEPLAB_TEST_DATA')
def test_from_the_name_to_a_photograph(server, tmp_path, monkeypatch):
  """With published weights, in one command, in a process of its own."""
  data = os.environ['DEEPLAB_TEST_DATA']
  server.files = {PATH: packed(pathlib.Path(data) / 'deeplabv3_mnv2_dm05_pascal')}
  command = [
    os.path.join(os.path.dirname(os.path.dirname(deeplab.__file__)), 'run_inferencer.py'),
    f'--ckpt_path={NAME}',
    f'--input={data}/voc8/JPEGImages/2007_000129.jpg',
    f'--output_path={tmp_path}/out',
    '--output_type=color,ids',
  ]
  subprocess.run([sys.executable, *command], check=True, cwd=tmp_path)
  ids = np.asarray(Image.open(tmp_path / 'out' / '2007_000129.jpg_ids.png'))
  label = np.asarray(Image.open(f'{data}/voc8/SegmentationClass/2007_000129.png'))
  assert (ids == label)[label != 255].mean() > 0.8  # 0.857; bicycles are thin.
  colors = np.asarray(Image.open(tmp_path / 'out' / '2007_000129.jpg.png').convert('RGB'))
  np.testing.assert_array_equal(colors, load_color_map('voc')[ids])


def test_another_backbone_is_refused_before_the_download():
  options = ModelOptions(model_variant='mobilenet_v2')
  refuse = named_checkpoints.refuse_other_backbone
  for name, variant in (
    ('imagenet/resnet_v2_101', 'resnet_v2_101'),
    ('official/xception65_voc_trainaug', 'xception_65'),
  ):
    with pytest.raises(InputError, match=f'--model_variant=mobilenet_v2: {name} is {variant}; '):
      refuse(name, options, ['model_variant'])
    refuse(name, options, [])
    refuse(name, ModelOptions(model_variant=variant), ['model_variant'])
  refuse('model', options, ['model_variant'])
