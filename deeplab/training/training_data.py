"""The records of a run: which files they are, and what their descriptions say of its options."""

import dataclasses
import os
from collections.abc import Collection, Sequence

import numpy as np

from deeplab import color_map, data_set, data_set_files, remote_files
from deeplab.class_names import load_class_names
from deeplab.data import record_files
from deeplab.data.record_files import RecordFile
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.options import ModelOptions, RunOptions, TrainingInputOptions, ValidationOptions
from deeplab.saved_options import SavedOptions
from deeplab.training import data_files, one_class

# The flags that have the last word on what a description says.
_FLAGS = {
  'num_classes': 'num_classes',
  'ignore_label': 'ignore_label',
  'class_names': 'class_names',
  'colors': 'colormap',
}


@dataclasses.dataclass(frozen=True)
class TrainingData:
  """The records of a run.

  Attributes:
    files, eval_files: of training and validation.
    described: what the run trains by, and saves with the network.
    facts: flag -> `data_files.facts` of its files.
    notes: lines to print.
    warnings: lines to print as warnings.
  """

  files: list[RecordFile]
  eval_files: list[RecordFile]
  described: DataSet
  facts: dict[str, dict]
  notes: tuple[str, ...]
  warnings: tuple[str, ...]


def find(
  model_options: ModelOptions,
  input_options: TrainingInputOptions,
  validation_options: ValidationOptions,
  run_options: RunOptions,
  *,
  saved: SavedOptions | None,
  given: Collection[str],
) -> TrainingData:
  """Finds and checks the records of a run.

  Args:
    model_options, input_options, validation_options, run_options: of the run; its classes and
      ignored value are decided.
    saved: what is saved where the run starts, whose names and colours count where the records say
      nothing; or None.
    given: names of the options that the user gave.

  Raises:
    InputError: there are none, one cannot be read, a directory or glob holds training and
      validation data alike, descriptions contradict each other or the options, names or colours
      are too few, or all labels are of one class or ignored.
  """
  refuse_held_out(input_options.filenames)
  files = record_files.index_files(
    record_files.expand_filenames(input_options.filenames),
    allow_problems=input_options.skip_bad_records,
  )
  eval_files = []
  if validation_options.eval_filenames:
    eval_files = record_files.index_files(
      record_files.expand_filenames(validation_options.eval_filenames)
    )
  found = described([file.path for file in [*files, *eval_files]], given=given)
  chosen = _settled(found, model_options, input_options, run_options, saved=saved, given=given)
  if not _accepted_one_class(found):
    one_class.refuse(
      [file.path for file in files],
      num_classes=chosen.num_classes,
      ignore_label=chosen.ignore_label,
      max_image_pixels=input_options.max_image_pixels,
    )
  return TrainingData(
    files=files,
    eval_files=eval_files,
    described=chosen,
    facts={'filenames': data_files.facts(files), 'eval_filenames': data_files.facts(eval_files)},
    notes=tuple(_notes(found, chosen)),
    warnings=(
      *_overlap_warnings(files, eval_files),
      *_warnings(found, chosen, [*files, *eval_files]),
    ),
  )


def _accepted_one_class(found):
  """Whether the converter was told that it is meant so."""
  splits = found.splits.values() if found is not None else ()
  return any('one_class' in str(split.source.get('accept', '')) for split in splits)


def refuse_held_out(patterns: Sequence[str]) -> None:
  """Raises InputError where one directory or glob stands for a split to train on and one that is
  held out, such as train and val.
  """
  for pattern in patterns:
    splits = record_files.held_out_beside_others(pattern)
    if splits:
      raise InputError(
        f'--filenames={shown(pattern)}: holds {shown(splits[0])} and {shown(splits[1])}, which is '
        f"not to train on; give the files of one, such as --filenames='"
        f"{shown(record_files.glob_of_split(pattern, splits[0]))}', or each by itself if you mean "
        'both'
      )


def paths(input_options: TrainingInputOptions, validation_options: ValidationOptions) -> list[str]:
  """The record files of training and validation. Raises InputError where there are none."""
  found = record_files.expand_filenames(input_options.filenames)
  if validation_options.eval_filenames:
    found += record_files.expand_filenames(validation_options.eval_filenames)
  return found


def described(files: Sequence[str], *, given: Collection[str] = ()) -> DataSet | None:
  """What the descriptions beside the records say together, or None without any.

  Args:
    files: paths of training and validation.
    given: names of the options that the user gave, which have the last word.

  Raises:
    InputError: they contradict each other.
  """
  decided = [attribute for attribute, flag in _FLAGS.items() if flag in given]
  return data_set_files.of_records(files, settled=decided)


def _settled(found, model_options, input_options, run_options, *, saved, given):
  """The description that a run trains by and saves with the network; see `find`."""
  num_classes, ignore_label = model_options.num_classes, input_options.ignore_label
  if found is not None:
    found.refuse_other_labels(num_classes=num_classes, ignore_label=ignore_label, given=given)
  chosen = 'ignore_label' in given or (found is not None and found.ignore_label is not None)
  if not chosen and not run_options.resume:
    data_set.refuse_ignored_class(num_classes=num_classes, ignore_label=ignore_label)
  sources = [found or DataSet()]
  # Names of another data set would be wrong for records that say what they are.
  if saved is not None and (found is None or found.num_classes is None or run_options.resume):
    earlier = saved.data_set or DataSet()
    sources.append(earlier.replace(num_classes=None, class_names=saved.class_names))

  def first(attribute):
    values = [getattr(source, attribute) for source in sources]
    return next((value for value in values if len(value) == num_classes), ())

  names, colors = first('class_names'), first('colors')
  if run_options.class_names:
    names = load_class_names(run_options.class_names, num_classes)
  if run_options.colormap:
    colors = chosen_colors(run_options.colormap, num_classes)
  return DataSet(
    num_classes=num_classes,
    ignore_label=ignore_label,
    class_names=tuple(names),
    colors=tuple(colors),
    splits=found.splits if found is not None else {},
  )


def chosen_colors(name_or_path: str, num_classes: int) -> tuple[tuple[int, int, int], ...]:
  """The colours of classes 0 to num_classes - 1 that --colormap says.

  Raises:
    InputError: it has fewer.
  """
  table = color_map.load_color_map(name_or_path, flag='colormap')
  color_map.refuse_too_few(table, num_classes, chosen=name_or_path)
  return tuple(map(tuple, table[:num_classes].tolist()))


def panel_colors(chosen: DataSet) -> np.ndarray:
  """uint8 [n, 3], RGB: the data set's colours, else those of PASCAL VOC for as many classes."""
  colors = chosen.color_map()
  return color_map.pascal_voc_color_map(chosen.num_classes) if colors is None else colors


def _notes(found, chosen):
  """Lines on what was taken from the descriptions."""
  if found is None or found.num_classes is None:
    return []
  also = [
    what
    for what, attribute in (('names', 'class_names'), ('colours', 'colors'))
    if getattr(found, attribute) and getattr(found, attribute) == getattr(chosen, attribute)
  ]
  return [
    f'data set: {found.num_classes} classes, {found.ignore_label} ignored'
    + ''.join(f', {what}' for what in also)
    + f' ({shown(found.path)})'
  ]


def _warnings(found, chosen, files):
  """Lines on where descriptions and records, or descriptions and options, do not agree."""
  if found is None:
    return []
  lines = data_set_files.warnings_about([file.path for file in files])
  num_classes = chosen.num_classes
  if found.num_classes is not None and num_classes > found.num_classes:
    lines.append(
      f'--num_classes={num_classes}: the data set has {found.num_classes} ({shown(found.path)}); '
      f'classes {found.num_classes} to {num_classes - 1} will never be learnt'
    )
  if found.num_classes is None:
    lines += _open_number_warning(found, chosen)
  counts = {os.path.abspath(file.path): file.num_records for file in files}
  for name, split in found.splits.items():
    directory = os.path.dirname(os.path.abspath(split.path))
    there = [counts.get(os.path.join(directory, file)) for file in split.files]
    if None not in there and sum(there) != split.num_records:
      lines.append(
        f'{shown(split.path)}: says {split.num_records} records of {shown(name)}, their files hold '
        f'{sum(there)}; if they were written anew, convert them with write_tfrecord.py'
      )
  return lines


def _open_number_warning(found, chosen):
  """Where nobody said how many classes there are, but fewer occur than the run has."""
  values = {value for split in found.splits.values() for value in split.labels}
  values.discard(chosen.ignore_label)
  if not values or max(values) + 1 >= chosen.num_classes:
    return []
  return [
    f'--num_classes={chosen.num_classes}: {shown(found.path)} does not say how many classes there '
    f'are, and labels 0 to {max(values)} occur; give --num_classes if there are fewer'
  ]


def _overlap_warnings(files, eval_files):
  """Whether files of training and validation are the same, or copies of each other."""
  by_size = {}
  for file in files:
    by_size.setdefault((file.num_records, file.num_bytes), []).append(file.path)
  same = [
    file.path
    for file in eval_files
    if any(
      remote_files.same_content(path, file.path)
      for path in by_size.get((file.num_records, file.num_bytes), ())
    )
  ]
  if not same:
    return []
  return [
    f'--eval_filenames: {len(same)} of {len(eval_files)} files are trained on too '
    f'({shown(same[0])}): the mIOU of the validation says nothing about new images'
  ]
