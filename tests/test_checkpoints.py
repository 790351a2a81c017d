"""Checkpoints: the three ways to name one, both formats, shapes, and what a failed write leaves."""

import os

import numpy as np
import pytest
import tensorflow as tf

from deeplab import checkpoints, restoring
from deeplab.errors import InputError


def make_variables(num_classes=3):
  return {
    'net/conv/weights': tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3)),
    'net/conv/biases': tf.Variable([7.0, 8.0, 9.0]),
    'logits/semantic/weights': tf.Variable(np.full([3, num_classes], 0.5, np.float32)),
  }


def zeros_like(variables):
  return {name: tf.Variable(tf.zeros_like(variable)) for name, variable in variables.items()}


def write_v1(path, variables):
  names = sorted(variables)
  tf.raw_ops.Save(
    filename=path, tensor_names=names, data=[variables[name].read_value() for name in names]
  )


def test_written_checkpoint_is_read_by_tensorflow_by_name(tmp_path):
  prefix = str(tmp_path / 'run' / 'model.ckpt-5')
  checkpoints.write(prefix, {**make_variables(), 'global_step': np.int64(5)})

  assert dict(tf.train.list_variables(prefix)) == {
    'global_step': [],
    'logits/semantic/weights': [3, 3],
    'net/conv/biases': [3],
    'net/conv/weights': [2, 3],
  }
  reader = tf.train.load_checkpoint(prefix)
  assert reader.get_variable_to_dtype_map()['global_step'] == tf.int64
  np.testing.assert_array_equal(reader.get_tensor('net/conv/weights'), [[0, 1, 2], [3, 4, 5]])
  assert sorted(os.listdir(tmp_path / 'run')) == [
    'model.ckpt-5.data-00000-of-00001',
    'model.ckpt-5.index',
  ]


@pytest.mark.parametrize('version', ['V1', 'V2'])
def test_restore_from_both_formats(tmp_path, version):
  saved = make_variables()
  path = str(tmp_path / 'old.ckpt')
  write_v1(path, saved) if version == 'V1' else checkpoints.write(path, saved)
  variables = zeros_like(saved)

  report = restoring.restore(variables, checkpoints.find(path), require_all=True)

  assert set(report.restored) == set(saved) and report.new == () and report.unused == ()
  for name, variable in variables.items():
    np.testing.assert_array_equal(variable.numpy(), saved[name].numpy())


def test_checkpoint_of_the_tensorflow_1_saver_is_read(tmp_path):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.get_variable('net/conv/biases', initializer=[1.0, 2.0, 3.0])
    session.run(tf.compat.v1.global_variables_initializer())
    path = tf.compat.v1.train.Saver().save(session, str(tmp_path / 'model.ckpt'), global_step=12)
  variables = zeros_like(make_variables())
  report = restoring.restore(variables, checkpoints.find(path))
  assert report.restored == ('net/conv/biases',)
  assert report.new == (
    ('net/conv/weights', 'not in the checkpoint'),
    ('logits/semantic/weights', 'not in the checkpoint'),
  )
  np.testing.assert_array_equal(variables['net/conv/biases'].numpy(), [1, 2, 3])


def test_other_shape_names_variable_and_both_shapes_and_assigns_nothing(tmp_path):
  prefix = str(tmp_path / 'model.ckpt')
  checkpoints.write(prefix, make_variables(num_classes=5))
  variables = zeros_like(make_variables())
  with pytest.raises(
    InputError,
    match=r'logits/semantic/weights has shape \[3, 5\], the network needs \[3, 3\].*num_classes',
  ):
    restoring.restore(variables, prefix)
  assert not variables['net/conv/biases'].numpy().any()
  with pytest.raises(InputError, match=r'or leave new what differs: --exclude_scopes=logits$'):
    restoring.restore(variables, prefix)
  with pytest.raises(InputError, match='check --num_classes$'):  # Nothing may be left new.
    restoring.restore(variables, prefix, require_all=True)


def test_head_for_other_classes_is_left_new_where_allowed(tmp_path):
  prefix = str(tmp_path / 'model.ckpt')
  checkpoints.write(prefix, make_variables(num_classes=5))
  variables = zeros_like(make_variables())
  report = restoring.restore(variables, prefix, new_head_for_other_classes=True)
  assert report.new == (('logits/semantic/weights', 'shape [3, 5] in the checkpoint, [3, 3] here'),)
  assert report.unused == ('logits/semantic/weights',)


def test_excluded_scopes_stay_new(tmp_path):
  prefix = str(tmp_path / 'model.ckpt')
  checkpoints.write(prefix, make_variables())
  report = restoring.restore(zeros_like(make_variables()), prefix, exclude_scopes=['net/conv'])
  assert report.restored == ('logits/semantic/weights',)


def test_another_backbone_and_nothing_in_common_are_refused(tmp_path):
  prefix = str(tmp_path / 'model.ckpt')
  checkpoints.write(prefix, {'other/weights': np.zeros(3, np.float32)})
  with pytest.raises(InputError, match='none of its 1 variables'):
    restoring.restore(make_variables(), prefix)
  with pytest.raises(
    InputError, match='has 0 of the 2 variables of the backbone net; its own scopes are other'
  ):
    restoring.restore(make_variables(), prefix, backbone_scope='net')


def test_a_resnet_and_its_beta_variant_are_told_apart(tmp_path):
  """They share the scope and all names but those of the first convolutions."""
  shared = {f'resnet_v1_50/block1/unit_{unit}/weights': np.ones(3, np.float32) for unit in (1, 2)}
  usual = {'resnet_v1_50/conv1/weights': np.ones(3, np.float32), **shared}
  beta = {'resnet_v1_50/conv1_1/weights': np.ones(3, np.float32), **shared}
  prefix = str(tmp_path / 'model.ckpt')
  checkpoints.write(prefix, usual)
  variables = {name: tf.Variable(np.zeros(3, np.float32)) for name in beta}
  settings = dict(backbone_scope='resnet_v1_50')
  with pytest.raises(
    InputError, match='its backbone is resnet_v1_50, not resnet_v1_50_beta.*variant=resnet_v1_50$'
  ):
    restoring.restore(variables, prefix, **settings)
  # Unless that is what is wanted.
  root = ['resnet_v1_50/conv1_1']
  report = restoring.restore(variables, prefix, exclude_scopes=root, **settings)
  assert report.restored == tuple(shared)


def test_missing_variable_is_refused_where_all_are_required(tmp_path):
  prefix = str(tmp_path / 'model.ckpt')
  checkpoints.write(prefix, {'net/conv/biases': np.zeros(3, np.float32)})
  with pytest.raises(
    InputError, match="lacks 2 of the network's 3 variables, the first is net/conv/weights"
  ):
    restoring.restore(make_variables(), prefix, require_all=True)


def test_find_prefers_the_final_checkpoint_then_the_newest(tmp_path):
  with pytest.raises(InputError, match='holds no checkpoint'):
    checkpoints.find(str(tmp_path))
  for step in (9, 10):
    checkpoints.write(str(tmp_path / f'model.ckpt-{step}'), make_variables())
  assert checkpoints.find(str(tmp_path)) == str(tmp_path / 'model.ckpt-10')
  checkpoints.write(str(tmp_path / 'model.ckpt'), make_variables())
  assert checkpoints.find(str(tmp_path)) == str(tmp_path / 'model.ckpt')
  assert checkpoints.find(str(tmp_path / 'model.ckpt-9.index')) == str(tmp_path / 'model.ckpt-9')


def test_incomplete_and_damaged_checkpoints_are_named(tmp_path):
  prefix = str(tmp_path / 'model.ckpt')
  with pytest.raises(InputError, match='not found; checkpoints in .*: none'):
    checkpoints.find(prefix)
  with pytest.raises(InputError, match='no such file or directory'):
    checkpoints.find(str(tmp_path / 'nowhere' / 'model.ckpt'))
  checkpoints.write(prefix, make_variables())
  data = prefix + '.data-00000-of-00001'
  os.rename(data, data + '.away')
  with pytest.raises(InputError, match='data-00000-of-00001 is missing'):
    checkpoints.find(prefix)
  with open(data + '.away', 'rb') as whole, open(data, 'wb') as truncated:
    truncated.write(whole.read()[:20])
  with pytest.raises(InputError, match='damaged or truncated; copy it again .*, or give another$'):
    restoring.restore(make_variables(), checkpoints.find(prefix))
  checkpoints.write(f'{prefix}-7', make_variables())
  (tmp_path / 'model.ckpt-8.index').touch()
  with pytest.raises(InputError, match='or give another, such as .*model.ckpt-7$'):
    restoring.restore(make_variables(), checkpoints.find(prefix))
  checkpoints.remove(f'{prefix}-7')
  os.remove(f'{prefix}-8.index')
  os.remove(prefix + '.index')
  with pytest.raises(InputError, match='index is missing'):
    checkpoints.find(prefix)
  text = tmp_path / 'text.ckpt'
  text.write_text('no checkpoint')
  with pytest.raises(InputError, match='damaged or no TensorFlow checkpoint'):
    restoring.restore(make_variables(), checkpoints.find(str(text)))


def test_the_checkpoint_file_of_a_directory_means_the_newest_that_it_names(tmp_path):
  for step in (9, 10):
    checkpoints.write(str(tmp_path / f'model.ckpt-{step}'), make_variables())
  state = tmp_path / 'checkpoint'
  for newest in ('model.ckpt-9', '/another/machine/model.ckpt-9', str(tmp_path / 'model.ckpt-9')):
    state.write_text(
      f'model_checkpoint_path: "{newest}"\nall_model_checkpoint_paths: "model.ckpt-10"\n'
    )
    assert checkpoints.find(str(state)) == str(tmp_path / 'model.ckpt-9')
  state.write_text('model_checkpoint_path: "model.ckpt-8"\n')
  with pytest.raises(
    InputError, match='names, model.ckpt-8, is not there; .* beside it: model.ckpt-9, model.ckpt-10'
  ):
    checkpoints.find(str(state))


def test_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
  prefix = str(tmp_path / 'model.ckpt')
  checkpoints.write(prefix, make_variables())
  before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}

  def no_space(**kwargs):
    raise tf.errors.ResourceExhaustedError(None, None, 'No space left on device')

  monkeypatch.setattr(tf.raw_ops, 'SaveV2', no_space)
  with pytest.raises(InputError, match='No space left on device.*older checkpoints are whole'):
    checkpoints.write(prefix, zeros_like(make_variables()))
  assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


@pytest.mark.parametrize('relative', [False, True])
def test_state_file_names_the_latest(tmp_path, monkeypatch, relative):
  monkeypatch.chdir(tmp_path)
  directory = 'a run' if relative else str(tmp_path / 'a run')
  prefixes = [os.path.join(directory, f'model.ckpt-{step}') for step in (1, 2)]
  for prefix in prefixes:
    checkpoints.write(prefix, make_variables())
  checkpoints.update_state(directory, prefixes)
  assert tf.train.latest_checkpoint(directory) == prefixes[-1]
  assert list(tf.train.get_checkpoint_state(directory).all_model_checkpoint_paths) == prefixes


@pytest.mark.parametrize('killed_at', range(4))
def test_kill_while_a_checkpoint_is_replaced_leaves_the_old_one_or_the_new_one(
  tmp_path, monkeypatch, killed_at
):
  prefix = str(tmp_path / 'best.ckpt')
  checkpoints.write(prefix, {'value': np.float32(1)})
  calls = []

  def killing(function):
    def call(*arguments):
      if len(calls) == killed_at:
        raise KeyboardInterrupt
      calls.append(arguments)
      return function(*arguments)

    return call

  # The calls that change what is under the final name, in their order: remove the index, put the
  # data, put the index.
  remove, replace = os.remove, os.replace
  monkeypatch.setattr(
    os, 'remove', lambda path: killing(remove)(path) if path == prefix + '.index' else remove(path)
  )
  monkeypatch.setattr(os, 'replace', killing(replace))
  if killed_at < 3:
    with pytest.raises(KeyboardInterrupt):
      checkpoints.write(prefix, {'value': np.float32(2)})
  else:
    checkpoints.write(prefix, {'value': np.float32(2)})
  monkeypatch.undo()
  assert checkpoints.Reader(checkpoints.find(prefix)).get('value') == (2 if killed_at == 3 else 1)
  checkpoints.write(prefix, {'value': np.float32(3)})
  assert checkpoints.Reader(checkpoints.find(prefix)).get('value') == 3
  assert sorted(name for name in os.listdir(tmp_path) if not name.startswith('.')) == [
    'best.ckpt.data-00000-of-00001',
    'best.ckpt.index',
  ]
