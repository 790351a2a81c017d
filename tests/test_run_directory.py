import dataclasses
import os

import numpy as np
import pytest
from absl import flags as absl_flags

from deeplab import checkpoints, flags
from deeplab.errors import InputError
from deeplab.options import (
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
)
from deeplab.training import run_flags
from deeplab.training.run_directory import RunDirectory

VARIABLES = {'logits/semantic/weights': np.arange(6, dtype=np.float32).reshape(2, 3)}
OPTIONS = ModelOptions(num_classes=3)


@pytest.fixture(name='run')
def _run(tmp_path):
  run = RunDirectory(str(tmp_path / 'run'))
  run.create()
  return run


def save(run, step, **kwargs):
  return run.save(VARIABLES, step=step, model_options=OPTIONS, **kwargs)


def names(run):
  return [os.path.basename(prefix) for prefix in run.checkpoints_of_run()]


def test_a_directory_with_other_files_is_no_run(run):
  with open(run.file('notes.txt'), 'w', encoding='utf-8') as file:
    file.write('mine')
  checkpoints.write(run.file('resnet.ckpt'), VARIABLES)
  run.refuse_if_in_use()
  save(run, 5)
  with pytest.raises(
    InputError,
    match=r'holds a run already \(model.ckpt-5\); give --resume to continue it, --overwrite',
  ):
    run.refuse_if_in_use()
  run.write_flags(OPTIONS)
  run.save_best(VARIABLES, step=5, score={'mean_iou': 0.5})
  run.remove_run()
  assert sorted(os.listdir(run.path)) == [
    'notes.txt',
    'resnet.ckpt.data-00000-of-00001',
    'resnet.ckpt.index',
  ]


def test_newest_is_by_step_not_by_name(run):
  for step in (9, 10, 100):
    save(run, step)
  assert run.newest_checkpoint() == ((run.file('model.ckpt-100'), 100), [])
  save(run, 120, final=True)
  assert run.newest_checkpoint()[0] == (run.file('model.ckpt'), 120)
  assert names(run) == ['model.ckpt-9', 'model.ckpt-10', 'model.ckpt-100', 'model.ckpt']


def test_a_damaged_checkpoint_is_passed_over_and_named(run):
  save(run, 1)
  save(run, 2)
  with open(run.file('model.ckpt-2.index'), 'wb') as file:
    file.write(b'half')
  newest, warnings = run.newest_checkpoint()
  assert newest == (run.file('model.ckpt-1'), 1)
  assert len(warnings) == 1 and 'model.ckpt-2' in warnings[0]
  with open(run.file('model.ckpt-1.index'), 'wb') as file:
    file.write(b'half')
  with pytest.raises(
    InputError,
    match='^--resume: of 2 checkpoints in .*run none can be read: .*model.ckpt-1.*; .*model.ckpt-2',
  ):
    run.newest_checkpoint()


def test_one_flipped_bit_in_the_data_is_found_before_anything_starts(run):
  for step in (1, 2, 3):
    save(run, step)
  flip(run.file('model.ckpt-3.data-00000-of-00001'), place=-5)
  os.remove(run.file('model.ckpt-2.data-00000-of-00001'))
  newest, warnings = run.newest_checkpoint()
  assert newest == (run.file('model.ckpt-1'), 1)
  assert [line.split(':')[1].split('/')[-1] for line in warnings] == [
    'model.ckpt-2',
    'model.ckpt-3',
  ]
  assert 'variable logits/semantic/weights cannot be read' in warnings[1]
  flip(run.file('model.ckpt-1.data-00000-of-00001'), place=0)
  with pytest.raises(InputError, match='of 3 .* none can be read: .*-1: .*-2: .*-3: '):
    run.newest_checkpoint()


def test_a_damaged_last_checkpoint_is_no_end(run):
  save(run, 4, final=True)
  flip(run.file('model.ckpt.data-00000-of-00001'), place=3)
  assert not run.is_finished(4)


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(run):
  prefix = save(run, 7)
  expected = {**VARIABLES, 'global_step': 7}
  for suffix in ('.index', '.data-00000-of-00001'):
    for place in range(0, os.path.getsize(prefix + suffix), 3):
      flip(prefix + suffix, place=place)
      try:
        reader = checkpoints.Reader(prefix)
        reader.check()
        assert set(reader.shapes) == set(expected)
        for name, value in expected.items():
          np.testing.assert_array_equal(reader.get(name), value)
      except InputError as error:
        assert prefix in str(error) and '\n' not in str(error)
      flip(prefix + suffix, place=place)


def flip(path, *, place):
  with open(path, 'rb') as file:
    content = bytearray(file.read())
  content[place] ^= 4
  with open(path, 'wb') as file:
    file.write(content)


def test_a_run_that_goes_on_leaves_no_model_ckpt(run):
  save(run, 4, final=True)
  assert run.is_finished(4) and not run.is_finished(5)
  run.keep_numbered(VARIABLES, run.file('model.ckpt'), step=4)
  assert names(run) == ['model.ckpt-4']
  assert checkpoints.Reader(run.file('model.ckpt-4')).global_step == 4


def test_best_needs_checkpoint_and_score(run):
  assert run.best_score() is None
  run.save_best(VARIABLES, step=5, score={'mean_iou': 0.5})
  assert run.best_score() == {'step': 5, 'mean_iou': 0.5}
  os.remove(run.file('best.ckpt.index'))
  assert run.best_score() is None


@pytest.mark.parametrize(
  'content',
  [
    'null',
    '{"step": 5.5, "mean_iou": 0.5}',
    '{"step": 5, "mean_iou": "0.5"}',
    '{"step": 5, "mean_iou": 7}',
    '',
  ],
)
def test_a_damaged_score_is_not_taken_for_none(run, content):
  run.save_best(VARIABLES, step=5, score={'mean_iou': 0.5})
  with open(run.file('best.json'), 'w', encoding='utf-8') as file:
    file.write(content)
  with pytest.raises(InputError, match='best.json: not the score of best.ckpt .*restore it, or'):
    run.best_score()
  run.save_best(VARIABLES, step=5, score={'mean_iou': float('nan')})
  assert run.best_score() is None


@pytest.mark.parametrize(
  'content', [b'--seed=x', b'--num_steps=5.5', b'--use_decoder=no', b'\xff\xfe', b'text']
)
def test_damaged_flags_are_named(run, content):
  run.write_flags(OPTIONS, RunOptions(output_path='run'))
  assert run.saved_flags()['output_path'] == ['run']
  with open(run.file('flags.txt'), 'wb') as file:
    file.write(content)
  with pytest.raises(InputError, match='flags.txt: not the flags of a run .*; restore it'):
    run.saved_flags()


def test_unwritable_directory(tmp_path):
  with open(tmp_path / 'file', 'w', encoding='utf-8'):
    pass
  with pytest.raises(
    InputError, match='--output_path: the directory .*run cannot be made .Not a directory.; choose'
  ):
    RunDirectory(str(tmp_path / 'file' / 'run')).create()


def test_flagfile_gives_the_same_options_again(tmp_path):
  made = [
    ModelOptions(atrous_rates=(6, 12), use_decoder=True, weight_decay=4e-5),
    TrainingInputOptions(filenames=('a b', 'c,d'), rescale_step_size=0.25, seed=3),
    TrainingOptions(boundaries=(10, 20), rates=(0.1, 1e-05), fine_tune_batch_norm=False),
    LossOptions(class_weights='1,2,3'),
  ]
  path = tmp_path / 'flags.txt'
  path.write_text(''.join(line + '\n' for line in run_flags.lines(*made)), encoding='utf-8')
  values = absl_flags.FlagValues()
  old, flags.FLAGS = flags.FLAGS, values
  define = {
    name: getattr(absl_flags, name) for name in ('DEFINE_boolean', 'DEFINE_enum', 'DEFINE_flag')
  }
  try:
    for name, function in define.items():
      setattr(
        absl_flags,
        name,
        lambda *args, function=function, **kwargs: function(*args, **kwargs, flag_values=values),
      )
    for each in made:
      flags.define(type(each))
    values(['command', f'--flagfile={path}'])
    assert [flags.read(type(each)) for each in made] == made
  finally:
    flags.FLAGS = old
    for name, function in define.items():
      setattr(absl_flags, name, function)


def options(**changes):
  """The options of a command, with fields changed wherever they are."""
  made = [
    ModelOptions(),
    TrainingInputOptions(filenames=('train',), seed=1),
    TrainingOptions(num_steps=100),
    RunOptions(),
  ]
  return [
    each.replace(
      **{
        name: value
        for name, value in changes.items()
        if name in {field.name for field in dataclasses.fields(each)}
      }
    )
    for each in made
  ]


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {'log_per_steps': 7, 'persist_per_steps': 9, 'max_to_keep': 1},
    {'num_steps': 200},
    {'output_path': 'elsewhere'},
    {'num_input_threads': 3},
    {'resume': True},
  ],
)
def test_harmless_flags_may_change(run, changes):
  run.write_flags(*options(load_ckpt_path='start.ckpt'))
  run.check_flags(*options(**changes), given={'resume'})


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'batch_size': 4}, r'--batch_size=4 \(the run has 12\)'),
    ({'num_steps': 50}, r'--num_steps=50 \(the run has 100\)'),
    ({'atrous_rates': (6, 12)}, r'--atrous_rates=6,12 \(the run has none\)'),
    (
      {'use_decoder': True, 'momentum': 0.5},
      r'--momentum=0.5 \(the run has 0.9\), --use_decoder=True \(the run has False\)',
    ),
    ({'load_ckpt_path': 'other.ckpt'}, r'--load_ckpt_path=other.ckpt \(the run has start.ckpt\)'),
  ],
)
def test_other_flags_are_named_and_refused(run, changes, message):
  run.write_flags(*options(load_ckpt_path='start.ckpt'))
  with pytest.raises(InputError, match=message):
    run.check_flags(*options(**changes), given=set(changes))


def test_a_flag_that_the_runs_version_did_not_have(tmp_path):
  """It may keep its default: that is what the version without it did."""
  run = RunDirectory(str(tmp_path))
  run.write_flags(*options())
  path = tmp_path / 'flags.txt'
  lines = path.read_text().splitlines()
  assert '--optimizer=momentum' in lines
  path.write_text('\n'.join(line for line in lines if not line.startswith('--optimizer=')) + '\n')
  run.check_flags(*options(), given={'resume'})
  with pytest.raises(InputError, match=r'--optimizer=adam \(the run has none\)'):
    run.check_flags(*options(optimizer='adam'), given={'resume', 'optimizer'})
  path.write_text('\n'.join(line for line in lines if not line.startswith('--num_steps=')) + '\n')
  with pytest.raises(InputError, match=r'--num_steps=\d+ \(the run has none\)'):
    run.check_flags(*options(num_steps=40_000), given={'resume'})


def test_what_kills_left_is_put_right(run):
  save(run, 2)
  save(run, 4)
  whole = os.listdir(run.path)
  users = ['.unfinished-notes', 'model.ckpt-2.data-mine', 'model.ckpt-old.data-00000-of-00001']
  left = ['model.ckpt-6.data-00000-of-00001', 'best.ckpt.previous.data-00000-of-00001']
  for name in (*users, *left):
    open(run.file(name), 'w').close()
  os.mkdir(run.file('.unfinished-abcdefgh-model.ckpt-6'))
  # Killed while one took the place of an older one of its name.
  for suffix in ('.index', '.data-00000-of-00001'):
    os.rename(run.file('model.ckpt-4' + suffix), run.file('model.ckpt-4.previous' + suffix))
  assert run.newest_checkpoint()[0] == (run.file('model.ckpt-4'), 4)
  run.put_right()
  assert sorted(os.listdir(run.path)) == sorted([*whole, *users])
  assert run.newest_checkpoint()[0] == (run.file('model.ckpt-4'), 4)


def test_what_a_kill_after_the_last_checkpoint_left_undone_is_done(run):
  for step in (2, 4, 6):
    save(run, step)
  save(run, 6, final=True, max_to_keep=2)
  expected = contents(run)
  assert 'model.ckpt-2.index' not in expected
  save(run, 2)  # As if it had not been removed; its step is what is saved then.
  os.mkdir(run.file('.unfinished-abcdefgh-model.ckpt'))
  assert contents(run) != expected
  run.finish(step=6, max_to_keep=2)
  assert contents(run) == expected and '.unfinished-abcdefgh-model.ckpt' not in os.listdir(run.path)


def contents(run):
  found = {}
  for name in os.listdir(run.path):
    if os.path.isfile(run.file(name)):
      with open(run.file(name), 'rb') as file:
        found[name] = file.read()
  return found


def test_a_kill_while_a_run_is_removed_leaves_a_run_of_fewer_steps(run, monkeypatch):
  run.write_flags(OPTIONS)
  for step in (2, 4):
    save(run, step)
  save(run, 6, final=True)
  run.save_best(VARIABLES, step=4, score={'mean_iou': 0.5})
  remove, left = os.remove, []

  def watched(path):
    remove(path)
    left.append(sorted(os.listdir(run.path)))

  monkeypatch.setattr(os, 'remove', watched)
  run.remove_run()
  monkeypatch.undo()
  assert left[-1] == []
  steps = []
  for there in left:
    whole = [name.removesuffix('.index') for name in there if name.endswith('.index')]
    steps.append([name for name in whole if name.startswith('model.ckpt')])
    assert 'flags.txt' in there or not there
    assert 'best.ckpt' in whole or not steps[-1]
  assert steps[0] == ['model.ckpt-2', 'model.ckpt-4']  # Not what says that the run is finished.
  assert ['model.ckpt-2'] in steps and ['model.ckpt-4'] not in steps
