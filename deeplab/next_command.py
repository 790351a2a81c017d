"""The line with which a command ends: the next command of the usual way, ready to paste.

Free of TensorFlow.
"""

import glob
import os
import re
import shlex
from collections.abc import Collection

from deeplab import checkpoint_files, data_set, data_set_files, remote_files, saved_options
from deeplab.data import record_files
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.options import (
  EngineOptions,
  EvaluationOptions,
  InspectionOptions,
  PredictionOptions,
  RunOptions,
  TrainingInputOptions,
)
from deeplab.options.validation import ValidationOptions

_FEW_RECORDS = 500
_SHARD = re.compile(r'(.+)-\d{5}-of-\d{5}\.tfrecord')


def line(command: str, **flags: str | bool | int | tuple[str, ...]) -> str:
  """`next: COMMAND --flag=value ...`, quoted for a shell.

  Args:
    command: its name.
    flags: name -> value; several for a flag that is repeated, True for one that is on.
  """
  words = [command]
  for name, value in flags.items():
    for one in value if isinstance(value, tuple) else (value,):
      words.append(f'--{name}' if one is True else f'--{name}={one}')
  return 'next: ' + ' '.join(map(_quoted, words))


def _quoted(word):
  """A word for a shell; what `shown` escapes is escaped so that bash and zsh read it back."""
  if shown(word) == word:
    return shlex.quote(word)
  characters = []
  for character in word:
    if shown(character) != character:
      data = character.encode('utf-8', 'surrogateescape')
      characters.append(''.join(f'\\x{byte:02x}' for byte in data))
    else:
      characters.append(f'\\{character}' if character in "\\'" else character)
  return f"$'{''.join(characters)}'"


def after_conversion(directory: str, split: str) -> str:
  """Look at the records of a split that were written to `directory`."""
  filenames = _pattern(directory, split)
  sheet = os.path.join(directory, f'{split}.png')
  return line('inspect_tfrecord.py', filenames=filenames, contact_sheet=sheet)


def after_inspection(options: InspectionOptions, *, num_records: int) -> str | None:
  """Train on the records that were looked at, `num_records` of them; None where they are held out.
  A few do not teach a network that has seen nothing before.
  """
  splits = _splits(options.filenames)
  if splits and splits == _held_out(splits):
    return None
  validation = _validation_records(options.filenames)
  flags = {'eval_filenames': validation} if validation else {}
  if num_records < _FEW_RECORDS:
    start = {'recipe': 'fine_tune', 'load_ckpt_path': 'CHECKPOINT'}
  else:
    start = {'recipe': 'from_scratch'}
  return line(
    'run_trainer.py',
    **start,
    filenames=options.filenames,
    **flags,
    output_path='model',
  )


def after_import(directory: str) -> list[str]:
  """Predict with the network, and train it further."""
  return [
    line('run_inferencer.py', ckpt_path=directory, input='IMAGES', output_path='predictions'),
    line(
      'run_trainer.py',
      recipe='fine_tune',
      load_ckpt_path=directory,
      filenames='RECORDS',
      output_path='model',
    ),
  ]


def after_training(
  input_options: TrainingInputOptions,
  validation_options: ValidationOptions,
  run_options: RunOptions,
) -> str:
  """Evaluate the network, on the records of the validation or those beside the training records."""
  directory = os.path.expanduser(run_options.output_path)
  found = validation_options.eval_filenames
  if not found:
    beside = _validation_records(input_options.filenames)
    found = beside if beside and _fit_the_network(beside, directory) else ()
  best = os.path.isfile(os.path.join(directory, checkpoint_files.BEST_NAME + '.index'))
  return line(
    'run_evaluator.py',
    filenames=found or ('RECORDS_TO_TEST_ON',),
    ckpt_path=directory,
    **({'best': True} if best else {}),
    report_path=os.path.join(directory, 'report'),
  )


def after_export(path: str) -> str:
  """Evaluate a model that was exported to `path`."""
  return line('run_evaluator.py', filenames='RECORDS', ckpt_path=path)


def after_evaluation(
  options: EvaluationOptions,
  prediction_options: PredictionOptions,
  engine_options: EngineOptions | None = None,
  *,
  given: Collection[str] = (),
) -> str:
  """Predict images, those that the records were made of where they are still there, in the way that
  was evaluated: with what is `given` of the prediction options that change what is predicted.
  """
  same = {}
  for name in ('max_size', 'eval_scales', 'add_flipped_images', 'eval_pad'):
    value = getattr(prediction_options, name)
    if name in given and value not in (None, False):
      same[name] = ','.join(map(str, value)) if isinstance(value, tuple) else value
  if engine_options is not None and engine_options.engine == 'openvino':
    same['engine'] = engine_options.engine
  return line(
    'run_inferencer.py',
    ckpt_path=options.ckpt_path,
    **({'best': True} if options.best else {}),
    **same,
    input=_images_of(options.filenames) or 'IMAGES',
    output_type='overlay',
    output_path='predictions',
  )


def _fit_the_network(filenames, directory):
  """Whether what is known of the records does not contradict the classes of the network in the
  directory.
  """
  try:
    described = data_set_files.of_records(record_files.expand_filenames(filenames))
    saved = saved_options.read(os.path.join(directory, checkpoint_files.FINAL_NAME))
    if described is None or saved is None:
      return True
    learnt = saved.data_set
    if learnt is None or learnt.num_classes is None:
      learnt = DataSet(num_classes=saved.model_options.num_classes)
    data_set.refuse_differences([learnt, described], remedy='', settled=('colors', 'ignore_label'))
  except InputError:
    return False
  return True


def _pattern(directory, split):
  """What --filenames takes for one split: the directory, if it holds no other records."""
  records = record_files.expand_filenames([directory])
  if _splits(records) == {split}:
    return directory
  return os.path.join(directory, f'{split}-*.tfrecord')


def _splits(patterns):
  """Names of the splits that records belong to; {} where their names do not tell."""
  try:
    paths = record_files.expand_filenames(patterns)
  except InputError:
    return set()
  matches = [_SHARD.fullmatch(os.path.basename(path)) for path in paths]
  return {match.group(1) for match in matches} if all(matches) else set()


def _held_out(splits):
  return {split for split in splits if record_files.is_held_out(split)}


def _validation_records(filenames):
  """What --eval_filenames takes for held-out records in the directory of the training records, or
  in one beside it; () without any.
  """
  directory = remote_files.parent(record_files.expand_filenames(filenames)[0])
  for place in (directory, *sorted(_directories_beside(directory))):
    there = remote_files.matching(os.path.join(glob.escape(place), '*.tfrecord'))
    held_out = sorted(_held_out(_splits(there) if there else set()))
    # Validation before test: that is for the end.
    held_out.sort(key=lambda split: 'val' not in split)
    if held_out:
      return (_pattern(place, held_out[0]),)
  return ()


def _directories_beside(directory):
  parent = remote_files.parent(directory)
  try:
    entries = remote_files.entries(parent or os.curdir)
  except (OSError, InputError):  # It may be somebody else's.
    return []
  return [
    os.path.join(parent, name)
    for name, is_directory in entries
    if is_directory and record_files.is_held_out(name)
  ]


def _images_of(filenames):
  """The directory that the records say their images are from, if it is there."""
  try:
    described = data_set_files.of_records(record_files.expand_filenames(filenames))
  except InputError:
    return None
  for split in described.splits.values() if described is not None else ():
    directory = split.source.get('images_dir')
    if isinstance(directory, str) and os.path.isdir(directory):
      return directory
  return None
