"""Damaged files beside checkpoints and records, and lists that people write."""

import json
import os
import shutil

import numpy as np

from deeplab import class_names, color_map, data_set_files, saved_options
from deeplab.conversion import conversion_parts, listed_pairs
from deeplab.data_set import DataSet, Split
from deeplab.export import description
from deeplab.options import OPTIONS_OF_TRAINING, ConversionOptions, ModelOptions
from deeplab.prediction import image_files, prediction_shards
from deeplab.training import data_files, run_flags
from deeplab.training.run_directory import RunDirectory
from deeplab.training.training_log import TrainingLog

from . import damages, weights
from .cases import Case, Silent, Target

_NAMES = ('sky', 'tree', 'road')
_FACTS = {'filenames': {'train/a.tfrecord': {'records': 7, 'bytes': 4000}}}
_SCORE = {'step': 20, 'mean_iou': 0.5}
_LINES = [
  {'step': 10, 'loss': 1.5, 'loss_parts': {'cross_entropy': 1.25}, 'learning_rate': 0.007},
  {'step': 20, 'mean_iou': 0.5, 'validation_loss': 0.75, 'iou': [0.5, None, 0.25]},
  {'step': 30, 'mean_iou': 0.625, 'validation_loss': 0.5, 'iou': [0.5, None, 0.75]},
]
# Keys whose value may be null, which stands for none: files that are missed are told of elsewhere.
_MAY_BE_NULL = {
  'step',
  'class_names',
  'trained_size',
  'data_set',
  'num_classes',
  'ignore_label',
  'colors',
  'splits',
  'source',
  'files',
  'filenames',
  'size',
}


def _data_set():
  return DataSet(
    num_classes=3,
    ignore_label=255,
    class_names=_NAMES,
    colors=((0, 0, 0), (10, 20, 30), (250, 0, 0)),
    splits={
      'train': Split(
        num_records=7, files=('a.tfrecord',), labels={0: 7, 1: 3, 255: 2}, source={'images': 'x'}
      )
    },
  )


def prepare(directory: str) -> None:
  """Writes each file as the toolkit writes it."""
  saved_options.write(
    directory,
    ModelOptions(model_variant='mobilenet_v2', num_classes=3, atrous_rates=(6, 12)),
    step=30,
    data_set=_data_set(),
    trained_size=(33, 65),
  )
  weights.prepare(os.path.join(directory, 'run'))
  with open(os.path.join(directory, data_set_files.FILE_NAME), 'w', encoding='utf-8') as file:
    json.dump(data_set_files.to_json(_data_set()), file)
  exported = description.Description(
    deeplab_version='1.0',
    tensorflow_version='2.21.0',
    model_options=ModelOptions(model_variant='mobilenet_v2', num_classes=3, atrous_rates=(6, 12)),
    class_names=_NAMES,
    colors=_data_set().colors,
    ignore_label=255,
    size=(65, 65),
    pad='stride',
    trained_size=(33, 65),
    l2_loss=0.5,
    checkpoint='model/model.ckpt',
    global_step=30,
    data_set=_data_set(),
  )
  with open(os.path.join(directory, 'deeplab.json'), 'w', encoding='utf-8') as file:
    file.write(exported.to_json())


def run(case: Case) -> None:
  """Damages one of them and reads it as commands do."""
  reader = case.choose(_READERS)
  case.note(reader.__name__.strip('_'))
  reader(case)


def _damaged_json(case, content, name):
  """(path of a damaged file, or what was replaced by another type as a phrase, or None)."""
  if case.chance(0.25):
    case.write(name, damages.text_of(case, json.dumps(content, indent=1)))
    return None
  text, path, value = damages.json_of(case, content)
  case.write(name, text)
  if path is None:
    return None
  was = content
  for key in path:
    was = was[key]
  key = next((each for each in reversed(path) if isinstance(each, str)), None)
  if value is None and key in _MAY_BE_NULL:
    return None
  return f'{path}: {was!r:.80} -> {value!r:.80}' if damages.other_type(was, value) else None


def _accepted(damage, what):
  if damage:
    raise Silent(f'{what} is taken with a value of another type: {damage}')


def _model_options(case):
  with open(os.path.join(case.seeds, saved_options.FILE_NAME), encoding='utf-8') as file:
    content = json.load(file)
  damage = _damaged_json(case, content, saved_options.FILE_NAME)
  saved = saved_options.read(case.path('model.ckpt'))
  saved_options.for_prediction(saved, ModelOptions(), ())
  if damage and "'source'" in damage:
    return  # Texts and numbers for people.
  _accepted(damage, saved_options.FILE_NAME)


def _data_set_json(case):
  damage = _damaged_json(case, data_set_files.to_json(_data_set()), data_set_files.FILE_NAME)
  path = case.path(data_set_files.FILE_NAME)
  described = data_set_files.read(path)
  described.color_map()
  data_set_files.of_records([case.path('a.tfrecord'), case.path('b.tfrecord')])
  data_set_files.warnings_about([case.path('a.tfrecord'), case.path('b.tfrecord')])
  if damage and "'source'" in damage:
    return
  _accepted(damage, data_set_files.FILE_NAME)


def _run_directory(case):
  directory = case.path('run')
  shutil.copytree(os.path.join(case.seeds, 'run'), directory)
  return RunDirectory(directory)


def _best_score(case):
  run = _run_directory(case)
  for suffix in ('.index', '.data-00000-of-00001'):
    shutil.copyfile(run.file('model.ckpt-30' + suffix), run.file('best.ckpt' + suffix))
  damage = _damaged_json(case, _SCORE, 'run/best.json')
  score = run.best_score()
  if score is None:
    return
  if not isinstance(score, dict) or not isinstance(score.get('mean_iou'), (int, float)):
    raise Silent(f'best.json is taken: {score!r:.200}')
  if not np.isfinite(score['mean_iou']) or not 0 <= score['mean_iou'] <= 1:
    raise Silent(f'best.json is taken with mean_iou {score["mean_iou"]!r:.80}')
  _accepted(damage, 'best.json')


def _metrics(case):
  place = int(case.random.integers(len(_LINES)))
  damage = _damaged_json(case, _LINES[place], 'line')
  with open(case.path('line'), 'rb') as file:
    damaged = file.read()
  lines = [json.dumps(line).encode() for line in _LINES]
  lines[place] = damaged
  case.write('metrics.jsonl', b'\n'.join(lines) + b'\n')
  with TrainingLog(
    case.directory, metrics_name='metrics.jsonl', log_per_steps=10, num_steps=40, start_step=30
  ) as log:
    kept = list(log.validations)
  with open(case.path('metrics.jsonl'), 'rb') as file:
    after = [json.loads(line) for line in file]
  for line in [*kept, *after]:
    if not isinstance(line, dict) or type(line.get('step')) is not int:
      raise Silent(f'a line of metrics.jsonl is taken: {line!r:.200}')
  for line in kept:
    if not isinstance(line['mean_iou'], (int, float)) or isinstance(line['mean_iou'], bool):
      raise Silent(f'metrics.jsonl is taken with mean_iou {line["mean_iou"]!r:.80}')
  del damage  # Other values of a line are read by nobody here.


def _flags_txt(case):
  run = _run_directory(case)
  options = [kind(**_REQUIRED.get(kind.__name__, {})) for kind in OPTIONS_OF_TRAINING]
  case.write('run/flags.txt', damages.text_of(case, '\n'.join(run_flags.lines(*options)) + '\n'))
  run.saved_flags()
  run.check_flags(*options, given=())


_REQUIRED = {
  'TrainingInputOptions': {'filenames': ('train',)},
  'RunOptions': {'output_path': 'model'},
}


def _data_files_json(case):
  damage = _damaged_json(case, _FACTS, 'data_files.json')
  saved = data_files.read(case.path('data_files.json'))
  for facts in saved.values():
    data_files.changes(facts, _FACTS['filenames'])
  _accepted(damage, 'data_files.json')


def _class_names(case):
  text = case.choose(
    ['sky\ntree\nroad\n', '0,sky\n1,tree\n2,road\n', 'Pixel Value, Class\n0, sky\n']
  )
  path = case.write('names' + case.choose(['.txt', '.csv']), damages.text_of(case, text))
  class_names.count_names(path, ignore_label=255)
  names = class_names.load_class_names(path, 3)
  if len(names) != 3 or not all(isinstance(name, str) and name for name in names):
    raise Silent(f'class names {names}')


def _color_map(case):
  text = case.choose(
    [
      '0 0 0 0 sky\n1 10 20 30 tree\n2 250 0 0 road\n',
      'sky:0,0,0::\ntree:10,20,30::\nroad:250,0,0::\n',
    ]
  )
  path = case.write('colors.txt', damages.text_of(case, text))
  colors = color_map.load_color_map(path, flag='colormap')
  color_map.label_colors(path)
  if colors.dtype != np.uint8 or colors.ndim != 2 or len(colors) > 65536:
    raise Silent(f'a colour map {colors.dtype} {colors.shape}')


def _list_of_pairs(case):
  path = case.write('train.txt', damages.text_of(case, 'a.jpg a.png\nb.jpg b.png\nc\n'))
  listed_pairs.read_list(path)


def _list_of_images(case):
  case.write('a.png', b'')
  lines = f'{case.path("a.png")}\n{case.path("b.png")}\n'
  image_files.listed_images(case.write('list.txt', damages.text_of(case, lines)), problems=[])


def _no_file(case):
  """Something that is no file, or may not be read, in place of one."""
  name = case.choose([saved_options.FILE_NAME, data_set_files.FILE_NAME, 'names.txt', 'colors.txt'])
  path, kind = case.path(name), int(case.random.integers(3))
  case.note(f'{name}: {("a directory", "a link to nothing", "a link to itself")[kind]}')
  if kind == 0:
    os.mkdir(path)
  else:
    os.symlink(case.path('nothing') if kind == 1 else path, path)
  if name == saved_options.FILE_NAME:
    saved_options.read(case.path('model.ckpt'))
  elif name == data_set_files.FILE_NAME:
    data_set_files.read(path)
  elif name == 'names.txt':
    class_names.load_class_names(path, 3)
  else:
    color_map.load_color_map(path, flag='colormap')


def _description(case):
  """What an exported model says of itself."""
  with open(os.path.join(case.seeds, 'deeplab.json'), encoding='utf-8') as file:
    content = json.load(file)
  damage = _damaged_json(case, content, 'deeplab.json')
  path = case.path('deeplab.json')
  with open(path, 'rb') as file:
    description.from_json(file.read(), path=path)
  if damage and "'source'" not in damage:
    _accepted(damage, 'the description')


_PART = {
  'settings': {'version': '1', 'ckpt_path': 'model', 'checkpoint_sha256': 'abc'},
  'inputs': ['a.jpg', 'b.jpg'],
  'num_existing': 1,
  'num_predicted': 0,
  'num_bad': 1,
  'problems': [['b.jpg', 'b.jpg: is not an image'], ['', '--input=c: no such file']],
}
_PART_OF_RECORDS = {
  'settings': {'version': '1', 'split': 'train'},
  'num_per_shard': 4,
  'num_problems': 0,
  'problems': [],
  'summary': {
    'num_records': 2,
    'labels': {'0': [50, 2], '1': [7, 1], '255': [3, 1]},
    'sides': {'height': [5, 6, 11], 'width': [5, 6, 11]},
    'encoded_again': {'images': 0, 'labels': 1},
    'transparent': {'pixels': 0, 'images': 0},
    'overlapping': {'pixels': 0, 'images': 0},
    'borders': [4, [[0, 20, 10, 3], [1, 7, 2, 1]]],
    'masks': {'0 and 1': 'a.png'},
    'notes': [['has a tag', 'a.jpg', 1]],
  },
  'palettes': [[0, [0, 0, 0], 'a.png'], [1, [128, 0, 0], 'a.png']],
}


def _part_of_predictions(case):
  damage = _damaged_json(case, _PART, '00000-of-00001.json')
  prediction_shards.read_parts(case.directory, 1, settings=_PART['settings'])
  _accepted(damage, 'the part of a shard')


def _part_of_records(case):
  options = ConversionOptions(
    images_dir='i',
    labels_dir='l',
    split='train',
    output_dir=case.directory,
    num_shards=1,
    merge_shards=True,
    accept=('one_class',),
  )
  waiting = case.path('.shards-of-train')
  os.mkdir(waiting)
  damage = _damaged_json(case, _PART_OF_RECORDS, '.shards-of-train/00000-of-00001.json')
  case.write('.shards-of-train/train-00001-of-00001.tfrecord', b'')
  settings = _PART_OF_RECORDS['settings']
  merged = conversion_parts.merge(case.directory, options, settings=settings)
  merged.summary.check(())
  merged.summary.warnings()
  json.dumps(merged.summary.as_dict(merged.paths), allow_nan=False)
  _accepted(damage, 'the part of a shard')


_READERS = (
  _model_options,
  _model_options,
  _data_set_json,
  _data_set_json,
  _best_score,
  _metrics,
  _metrics,
  _flags_txt,
  _data_files_json,
  _class_names,
  _color_map,
  _list_of_pairs,
  _list_of_images,
  _no_file,
  _description,
  _part_of_predictions,
  _part_of_records,
)
TARGETS = (Target('side_files', run, weight=16, prepare=prepare),)
