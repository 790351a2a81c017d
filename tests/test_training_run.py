"""Whole runs of the smallest real network on drawn records: where they start, how they go on, what
they refuse.
"""

import dataclasses
import io
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import trained_work
from PIL import Image

from deeplab import checkpoints, devices, saved_options, trainer, training_run
from deeplab.data import tfrecord
from deeplab.errors import InputError
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import (
  ComputeOptions,
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)
from deeplab.training.run_directory import RunDirectory
from deeplab.training_run import TrainingResult

pytestmark = pytest.mark.usefixtures('short_networks')

MODEL = dict(
  model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=5, use_image_level_feature=False
)


def encoded(array):
  buffer = io.BytesIO()
  Image.fromarray(array).save(buffer, 'PNG')
  return buffer.getvalue()


@pytest.fixture(scope='module', name='records')
def _records(tmp_path_factory):
  path = tmp_path_factory.mktemp('data') / 'train.tfrecord'
  random = np.random.default_rng(0)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for index in range(5):
      label = np.kron(random.integers(0, 5, [4, 5]), np.ones([10, 10])).astype(np.uint8)
      image = (label[..., np.newaxis] * 40 + random.integers(0, 20, [40, 50, 3])).astype(np.uint8)
      writer.write(
        tfrecord.serialize(
          record_format='basic',
          image=encoded(image),
          label=encoded(label),
          name=f'drawn{index}',
          height=40,
          width=50,
        )
      )
  return str(path)


@pytest.fixture(scope='module', name='network')
def _network(short_networks):
  """{name: value} of a network with 21 classes, its statistics filled with something else than the
  initial values.
  """
  tf.random.set_seed(3)
  model = DeepLabV3PredictionModel(ModelOptions(**{**MODEL, 'num_classes': 21}))
  return {
    name: variable.numpy() + np.float32(0.01) for name, variable in model.named_variables.items()
  }


def train(
  records,
  path,
  *,
  num_steps=1,
  model=(),
  training=(),
  run=(),
  validation=(),
  data=(),
  loss=(),
  given=(),
):
  run_options = RunOptions(
    output_path=str(path), **{'log_per_steps': 1, 'persist_per_steps': 2, **dict(run)}
  )
  return training_run.run(
    ModelOptions(**{**MODEL, **dict(model)}),
    ComputeOptions(),
    TrainingInputOptions(
      **{
        'filenames': (records,),
        'batch_size': 2,
        'crop_size_height': 33,
        'crop_size_width': 33,
        'seed': 1,
        **dict(data),
      }
    ),
    TrainingOptions(num_steps=num_steps, **dict(training)),
    LossOptions(**dict(loss)),
    ValidationOptions(**dict(validation)),
    run_options,
    given=frozenset([*dict(run), *given]),
  )


def test_a_run_by_a_recipe_goes_on_with_what_was_chosen(records, tmp_path, capsys):
  given = [
    'num_steps',
    'batch_size',
    *MODEL,
    *(f'crop_size_{side}' for side in ('height', 'width')),
  ]
  recipe = dict(recipe='from_scratch')
  train(records, tmp_path, num_steps=2, run=recipe, given=given)
  out = capsys.readouterr().out
  assert '--recipe=from_scratch:\n  --preprocess_images_option=zero_mean_unit_range: ' in out
  assert '  --num_steps=2: as given\n' in out and '--batch_norm_decay=0.8: ' in out
  saved = (tmp_path / 'flags.txt').read_text()
  assert '--optimizer=adam\n' in saved and '--batch_norm_decay=0.8\n' in saved
  assert '--recipe' not in saved
  result = train(records, tmp_path, num_steps=3, run=dict(recipe, resume=True), given=given)
  assert (result.outcome, result.global_step) == ('finished', 3)
  assert '--recipe=from_scratch: as chosen when the run began' in capsys.readouterr().out


def test_few_records_and_no_checkpoint_is_a_warning(records, tmp_path, capsys):
  train(records, tmp_path)
  warning = 'starts from scratch, for which 5 records are few'
  assert warning in capsys.readouterr().err
  train(records, tmp_path, num_steps=2, run=dict(resume=True))
  assert warning not in capsys.readouterr().err


def test_a_second_process_is_kept_out(records, tmp_path):
  with RunDirectory(str(tmp_path)).locked():
    with pytest.raises(InputError, match='another process is training there'):
      train(records, tmp_path)
  assert os.listdir(tmp_path) == []


def test_overwrite_leaves_the_old_run_where_the_new_one_cannot_begin(records, tmp_path):
  checkpoints.write(str(tmp_path / 'model.ckpt'), {'global_step': np.int64(1)})
  before = sorted(os.listdir(tmp_path))
  with pytest.raises(InputError, match='allowed are 0 to 1'):  # The records have labels up to 4.
    train(records, tmp_path, model=dict(num_classes=2), run=dict(overwrite=True))
  assert sorted(os.listdir(tmp_path)) == before


FROZEN = {'fine_tune_batch_norm': False, 'backbone_learning_rate_multiplier': 0.0}


def is_backbone(name):
  return name.startswith('MobilenetV2/')


def test_backbone_checkpoint_the_head_is_new(tmp_path, records, network, capsys):
  start = str(tmp_path / 'classification' / 'mobilenet.ckpt')
  backbone = {name: value for name, value in network.items() if is_backbone(name)}
  checkpoints.write(
    start, {**backbone, 'MobilenetV2/Logits/Conv2d_1c_1x1/biases': np.zeros(1001, np.float32)}
  )
  result = train(records, tmp_path / 'run', training=FROZEN, run={'load_ckpt_path': start})
  assert result == TrainingResult(
    outcome='finished', global_step=1, checkpoint=str(tmp_path / 'run' / 'model.ckpt')
  )
  out = capsys.readouterr().out
  assert f'restored {len(backbone)} variables from {start}\n' in out
  assert 'new (not in the checkpoint): aspp0/weights, ' in out
  assert 'in the checkpoint but not used: MobilenetV2/Logits/Conv2d_1c_1x1/biases\n' in out
  assert f'starting from {start} at step 0\n' in out
  reader = checkpoints.Reader(str(tmp_path / 'run' / 'model.ckpt'))
  for name, value in backbone.items():
    np.testing.assert_array_equal(reader.get(name), value, err_msg=name)


def test_21_classes_into_5_all_but_the_head(tmp_path, records, network, capsys):
  start = str(tmp_path / 'voc' / 'model.ckpt')
  checkpoints.write(
    start,
    {
      **network,
      'global_step': np.int64(30000),
      'aspp0/weights/Momentum': np.ones_like(network['aspp0/weights']),
    },
  )
  train(
    records,
    tmp_path / 'run',
    training=FROZEN,
    run={'load_ckpt_path': os.path.dirname(start), 'restore_from_seg_model': True},
  )
  out = capsys.readouterr().out
  assert (
    'new (shape [1, 1, 256, 21] in the checkpoint, [1, 1, 256, 5] here): logits/semantic/weights\n'
    in out
  )
  assert 'new (shape [21] in the checkpoint, [5] here): logits/semantic/biases\n' in out
  assert 'in the checkpoint but not used: aspp0/weights/Momentum, global_step, ' in out
  assert f'starting from {start} at step 0\n' in out
  reader = checkpoints.Reader(str(tmp_path / 'run' / 'model.ckpt'))
  assert reader.global_step == 1
  for name, value in network.items():
    if is_backbone(name) or 'moving' in name:
      np.testing.assert_array_equal(reader.get(name), value, err_msg=name)
  # One step away, at most: rate times gradient, not another start.
  assert np.abs(reader.get('aspp0/weights') - network['aspp0/weights']).max() < 0.1


def test_architecture_and_names_beside_the_checkpoint_are_taken_over(
  tmp_path, records, network, capsys, monkeypatch
):
  """From a directory and from a prefix alike, but for what the flags say."""
  (tmp_path / 'voc').mkdir()
  start = str(tmp_path / 'voc' / 'model.ckpt')
  checkpoints.write(start, network)
  names = tuple(f'name {index}' for index in range(21))
  saved_options.write(
    str(tmp_path / 'voc'), ModelOptions(**{**MODEL, 'num_classes': 21}), class_names=names
  )
  for path, load_ckpt_path in (('from directory', os.path.dirname(start)), ('from prefix', start)):
    reads = trained_work.count_reads(monkeypatch)
    training_run.run(
      ModelOptions(preprocess_images_option='zero_mean_unit_range'),
      ComputeOptions(),
      TrainingInputOptions(
        filenames=(records,), batch_size=1, crop_size_height=33, crop_size_width=33, seed=1
      ),
      TrainingOptions(num_steps=1, **FROZEN),
      LossOptions(),
      ValidationOptions(),
      RunOptions(output_path=str(tmp_path / path), load_ckpt_path=load_ckpt_path),
      given={'preprocess_images_option', 'batch_size', 'load_ckpt_path'},
    )
    monkeypatch.undo()
    assert reads == [start]  # Once for a command.
    captured = capsys.readouterr()
    assert 'mobilenet_v2, 21 classes, but --preprocess_images_option=zero' in captured.out
    assert (
      'warning: --preprocess_images_option=zero_mean_unit_range: the checkpoint was trained with '
      'subtract_imagenet_mean\n' in captured.err
    )
    written = saved_options.read(str(tmp_path / path / 'model.ckpt'))
    assert (written.model_options.num_classes, written.class_names) == (21, names)
    assert written.trained_size == (33, 33)


def test_bad_starts_are_refused(tmp_path, records, network):
  def start(name, **variables):
    prefix = str(tmp_path / name)
    checkpoints.write(prefix, variables)
    return prefix

  names = sorted(filter(is_backbone, network))
  few = start('few', **{name: network[name] for name in names[: len(names) // 3]})
  other = start('other', **{'resnet_v1_50/conv1/weights': np.zeros([7, 7, 3, 64], np.float32)})
  backbone = start('backbone', **{name: network[name] for name in names})
  for prefix, message in (
    (few, 'of the backbone MobilenetV2'),
    (other, 'its backbone is resnet_v1_50; check --model_variant'),
  ):
    with pytest.raises(InputError, match=message):
      train(records, tmp_path / 'run', run={'load_ckpt_path': prefix})
  with pytest.raises(InputError, match='--restore_from_seg_model: .* lacks .* aspp0/weights'):
    train(
      records, tmp_path / 'run', run={'load_ckpt_path': backbone, 'restore_from_seg_model': True}
    )
  with pytest.raises(InputError, match='not found|no such'):
    train(records, tmp_path / 'run', run={'load_ckpt_path': str(tmp_path / 'nowhere' / 'x.ckpt')})
  assert os.listdir(tmp_path / 'run') == []


def test_a_run_and_its_continuation(tmp_path, records, capsys):
  """2 + 2 steps equal 4 with the real network, dropout, batch norm, input and validation."""
  options = dict(num_steps=4, validation={'eval_filenames': (records,), 'eval_per_steps': 2})
  train(records, tmp_path / 'whole', **options)
  whole = checkpoints.Reader(str(tmp_path / 'whole' / 'model.ckpt'))
  statistics = ('moving_mean', 'moving_variance')
  listed = {
    name for name in whole.shapes if not name.endswith('/Momentum') and name != 'global_step'
  }
  assert set(whole.shapes) == {
    *listed,
    'global_step',
    *(f'{name}/Momentum' for name in listed if not name.endswith(statistics)),
  }

  # As a kill between the checkpoint and the validation of step 2 would leave it.
  parts = tmp_path / 'parts'
  parts.mkdir()
  for suffix in ('.index', '.data-00000-of-00001'):
    (parts / f'model.ckpt-2{suffix}').write_bytes(
      (tmp_path / 'whole' / f'model.ckpt-2{suffix}').read_bytes()
    )
  (parts / 'flags.txt').write_bytes((tmp_path / 'whole' / 'flags.txt').read_bytes())
  (parts / '.unfinished-abcdefgh').mkdir()
  capsys.readouterr()
  result = train(records, parts, run={'resume': True}, data={'seed': None}, **options)
  assert f'starting from {parts}/model.ckpt-2 at step 2\n' in capsys.readouterr().out
  continued = checkpoints.Reader(str(parts / 'model.ckpt'))
  assert whole.shapes == continued.shapes
  for name in whole.shapes:
    np.testing.assert_allclose(
      whole.get(name), continued.get(name), rtol=1e-6, atol=1e-7, err_msg=name
    )
  logged = [
    [json.loads(line) for line in (path / 'metrics.jsonl').read_text().splitlines()]
    for path in (tmp_path / 'whole', parts)
  ]
  scores = [
    [(line['step'], line['mean_iou']) for line in lines if 'mean_iou' in line] for lines in logged
  ]
  assert [step for step, _ in scores[0]] == [step for step, _ in scores[1]] == [2, 4]
  assert not (parts / '.unfinished-abcdefgh').exists()
  assert result == TrainingResult(
    outcome='finished',
    global_step=4,
    checkpoint=f'{parts}/model.ckpt',
    best_checkpoint=f'{parts}/best.ckpt',
    best_mean_iou=max(score for _, score in scores[1]),
  )

  again = train(records, parts, run={'resume': True}, **options)
  assert again == dataclasses.replace(result, outcome='nothing to do')
  assert capsys.readouterr().out == f'nothing to do: step 4 >= num_steps 4 in {parts}\n'
  with pytest.raises(InputError, match=r'--init_learning_rate=0.5 \(the run has 0.007\)'):
    train(records, parts, run={'resume': True}, training={'init_learning_rate': 0.5}, **options)
  with pytest.raises(InputError, match='holds a run already .model.ckpt.; give --resume'):
    train(records, parts, **options)


def test_epochs_become_steps_and_changed_data_is_noticed(tmp_path, records, capsys):
  data = tmp_path / 'train.tfrecord'
  data.write_bytes(pathlib.Path(records).read_bytes())
  run = tmp_path / 'run'

  def go_on(**options):
    return train(str(data), run, training={**FROZEN, 'num_epochs': 1.0}, **options)

  # 5 records in batches of 2.
  assert go_on().global_step == 3
  assert '--num_epochs=1 is --num_steps=3: 5 records, 2 a step\n' in capsys.readouterr().out
  flags = (run / 'flags.txt').read_text().splitlines()
  assert '--num_steps=3' in flags and not any('num_epochs' in flag for flag in flags)
  assert go_on(run={'resume': True}).outcome == 'nothing to do'
  was = json.loads((run / 'data_files.json').read_text())
  assert was == {
    'filenames': {str(data): {'records': 5, 'bytes': data.stat().st_size}},
    'eval_filenames': {},
  }

  data.write_bytes(2 * data.read_bytes())
  with pytest.raises(
    InputError, match=f'the training data is not that of the run in {run}: .* has 10 records, had 5'
  ):
    go_on(run={'resume': True})
  capsys.readouterr()
  assert go_on(run={'resume': True, 'allow_changed_data': True}).global_step == 5
  assert 'warning: the training data is not what the run began with: ' in capsys.readouterr().err
  now = json.loads((run / 'data_files.json').read_text())
  assert now['filenames'][str(data)]['records'] == 10
  assert 'allow_changed_data' not in (run / 'flags.txt').read_text()


def test_data_that_changes_during_the_run_is_a_warning(tmp_path, records, capsys, monkeypatch):
  data = tmp_path / 'train.tfrecord'
  data.write_bytes(pathlib.Path(records).read_bytes())
  start_update = trainer.DeepLabV3Trainer.start_update

  def update_and_write(self, batches, **settings):
    if self.global_step == 1:
      with data.open('ab') as file:
        file.write(pathlib.Path(records).read_bytes())
    return start_update(self, batches, **settings)

  monkeypatch.setattr(trainer.DeepLabV3Trainer, 'start_update', update_and_write)
  assert train(str(data), tmp_path / 'run', num_steps=8, training=FROZEN).global_step == 8
  warnings = [line for line in capsys.readouterr().err.splitlines() if 'data changed' in line]
  assert len(warnings) == 1
  assert warnings[0].startswith(f'warning: training data changed since the run began: {data} has ')


def test_a_segmentation_checkpoint_without_saved_options_may_be_official(tmp_path, records, capsys):
  pooled = {'use_image_level_feature': True}
  train(records, tmp_path / 'first', model=pooled, training=FROZEN)
  start = str(tmp_path / 'first')
  capsys.readouterr()
  train(records, tmp_path / 'with', model=pooled, training=FROZEN, run={'load_ckpt_path': start})
  assert 'official' not in capsys.readouterr().err
  os.remove(tmp_path / 'first' / 'model_options.json')
  train(records, tmp_path / 'none', model=pooled, training=FROZEN, run={'load_ckpt_path': start})
  err = capsys.readouterr().err
  assert f'warning: {start}/model.ckpt has no model_options.json beside it' in err
  assert 'import_official_checkpoint.py' in err


def test_what_is_not_deterministic_on_a_gpu_is_refused_before_the_first_step(
  records, tmp_path, monkeypatch
):
  enabled = []
  monkeypatch.setattr(devices, 'prepare', lambda *_, **__: ['A100'])
  monkeypatch.setattr(tf.config.experimental, 'enable_op_determinism', lambda: enabled.append(True))
  with pytest.raises(InputError, match='--deterministic with --nofine_tune_batch_norm on a GPU'):
    train(records, tmp_path, training={'fine_tune_batch_norm': False, 'deterministic': True})
  assert not enabled


def test_resume_needs_a_directory(tmp_path, records):
  with pytest.raises(InputError, match='--resume: .*nowhere does not exist'):
    train(records, tmp_path / 'nowhere', run={'resume': True})


def test_no_progress_ends_the_run_early(tmp_path, records, capsys):
  result = train(
    records,
    tmp_path,
    num_steps=50,
    training={**FROZEN, 'init_learning_rate': 1e-9},
    run={'persist_per_steps': 50},
    validation={'eval_filenames': (records,), 'eval_per_steps': 1, 'patience': 2},
  )
  assert result.outcome == 'out of patience' and result.global_step == 3
  assert capsys.readouterr().out.endswith(
    'finished early: the mIOU has not risen for --patience validations at step 3: '
    f'{tmp_path}/model.ckpt; best mIOU {result.best_mean_iou:.4f} at step 1: {tmp_path}/best.ckpt\n'
  )


def test_a_huge_rate_stops_the_run_and_leaves_the_last_checkpoint(tmp_path, records):
  # Of an earlier run.
  checkpoints.write(str(tmp_path / 'model.ckpt-100'), {'global_step': np.int64(100)})
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(
    InputError,
    match=r'step \d: the (loss|gradient norm) is (nan|inf).*at learning rate 10000; labels from '
    r'\d to \d; records: drawn\d, drawn\d\. Nothing was saved since',
  ):
    train(
      records,
      tmp_path,
      num_steps=8,
      run={'persist_per_steps': 1, 'overwrite': True},
      training={
        'boundaries': (2,),
        'rates': (1e4,),
        'last_layer_gradient_multiplier': 1e4,
        'fine_tune_batch_norm': False,
      },
    )
  assert (tmp_path / 'notes.txt').exists()
  prefix = checkpoints.find(str(tmp_path))
  reader = checkpoints.Reader(prefix)
  assert 2 <= reader.global_step < 8 and prefix.endswith(f'model.ckpt-{reader.global_step}')
  assert all(np.isfinite(reader.get(name)).all() for name in reader.shapes)


def test_listed_class_weights_must_be_one_a_class(tmp_path, records):
  with pytest.raises(InputError, match='--class_weights has 2 values and --num_classes is 5'):
    train(records, tmp_path, loss={'class_weights': '1,2'})


def test_bad_record_is_named(tmp_path, records):
  with pytest.raises(InputError, match='train.tfrecord'):
    train(records, tmp_path, num_steps=3, model={'num_classes': 3})
