"""What the labels of a data set mean: number of classes, names, colours, the value that does not
count.

The converter writes it beside the records (data_set_files.py). Whatever reads the records takes it
from there, and a network keeps that of the records it was trained on.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from deeplab.errors import InputError, shown
from deeplab.options import CheckedOptions

SAID = ('num_classes', 'ignore_label', 'class_names', 'colors')  # Of a data set, beside its splits.


@dataclasses.dataclass(frozen=True)
class Split:
  """A part of a data set, such as train.

  Attributes:
    num_records: how many.
    files: names of its record files, without directory.
    labels: number of images by label value, the ignored one included; {} where unknown.
    source: where it was made from: texts and numbers by name, for people.
    path: of the description that has it, or ''.
  """

  num_records: int
  files: tuple[str, ...] = ()
  labels: Mapping[int, int] = dataclasses.field(default_factory=dict)
  source: Mapping[str, object] = dataclasses.field(default_factory=dict)
  path: str = ''


@dataclasses.dataclass(frozen=True)
class DataSet:
  """The description of a data set.

  Attributes:
    num_classes: classes are 0 to num_classes - 1; None where nobody said.
    ignore_label: label value that does not count; None where nobody said.
    class_names: one for each class, or ().
    colors: (r, g, b) of each class, 0 to 255, or ().
    splits: by name.
    path: of the file it was read from, or ''.
  """

  num_classes: int | None = None
  ignore_label: int | None = None
  class_names: tuple[str, ...] = ()
  colors: tuple[tuple[int, int, int], ...] = ()
  splits: Mapping[str, Split] = dataclasses.field(default_factory=dict)
  path: str = ''

  def __post_init__(self):
    for name in ('class_names', 'colors'):
      values = getattr(self, name)
      if values and self.num_classes is not None and len(values) != self.num_classes:
        raise ValueError(f'{len(values)} {name} for {self.num_classes} classes')

  def replace(self, **changes) -> 'DataSet':
    """A copy with other values."""
    return dataclasses.replace(self, **changes)

  def fill_in(self, options: CheckedOptions, *, given: Collection[str]) -> CheckedOptions:
    """The options with the number of classes and the ignored value that are said here, where they
    have such an option and the user did not give it (`given`: names of those that were).
    """
    return options.replace(
      **{
        name: getattr(self, name)
        for name in ('num_classes', 'ignore_label')
        if hasattr(options, name) and name not in given and getattr(self, name) is not None
      }
    )

  def color_map(self) -> np.ndarray | None:
    """uint8 [num_classes, 3], RGB, or None where the colours are not known."""
    return np.array(self.colors, np.uint8) if self.colors else None

  def name_of(self, value: int) -> str:
    """A label value for people, with the name of its class where there is one."""
    name = self.class_names[value] if value < len(self.class_names) else ''
    return f'{value} ({name})' if name else str(value)

  def refuse_other_labels(
    self, *, num_classes: int, ignore_label: int, given: Iterable[str] = ()
  ) -> None:
    """Raises InputError where the records hold a label that is neither below `num_classes` nor
    `ignore_label`.

    Args:
      num_classes, ignore_label: what the network, or a flag, allows.
      given: names of the flags that the user gave.
    """
    for split_name, split in self.splits.items():
      wrong = [
        value for value in sorted(split.labels) if value >= num_classes and value != ignore_label
      ]
      if not wrong:
        continue
      asked = [name for name in ('num_classes', 'ignore_label') if name in set(given)]
      allowed = {'num_classes': num_classes, 'ignore_label': ignore_label}
      what = ' '.join(f'--{name}={allowed[name]}' for name in asked) or f'{num_classes} classes'
      more = f' and {len(wrong) - 1} more labels' if len(wrong) > 1 else ''
      remedy = (
        f'leave {"the flags" if len(asked) > 1 else "the flag"} out, or give what fits'
        if asked
        else 'give a network and records of the same classes'
      )
      raise InputError(
        f'{what}: the records of {shown(split_name)} hold label {self.name_of(wrong[0])} in '
        f'{split.labels[wrong[0]]} images{more}, as {shown(split.path)} says; allowed are 0 to '
        f'{num_classes - 1} and ignore_label {ignore_label}; {remedy}'
      )


def refuse_ignored_class(*, num_classes: int, ignore_label: int) -> None:
  """Raises InputError where the value that does not count is a class. For a value that nobody
  chose: who gives --ignore_label, or has it in a description, means it.
  """
  if ignore_label < num_classes:
    raise InputError(f'--num_classes={num_classes}: {explain_ignored_class(ignore_label)}')


def explain_ignored_class(ignore_label: int) -> str:
  """Why a class with the number of the default --ignore_label is no good, and the ways out."""
  return (
    f'class {ignore_label} would be ignored, since --ignore_label is {ignore_label} by default; '
    f'give --ignore_label=65535 if all classes count, or --ignore_label={ignore_label} if that one '
    'does not'
  )


def combined(described: Sequence[DataSet], *, settled: Collection[str] = ()) -> DataSet:
  """One description of records that several describe; each may leave open what others say.

  Args:
    described: at least one.
    settled: attributes in which they may differ, because a flag decides.

  Raises:
    InputError: two of them contradict each other.
  """
  refuse_differences(
    described,
    settled=settled,
    remedy='convert them alike (--dataset), give the flag that decides, or leave one of them out',
  )

  said = {
    name: next(
      (value for one in described if (value := getattr(one, name)) not in (None, ())), None
    )
    for name in SAID
  }
  for name in ('class_names', 'colors'):
    if said[name] is None or len(said[name]) != said['num_classes']:
      said[name] = ()
  splits = {}
  for one in described:
    for name, split in one.splits.items():
      splits[name if name not in splits else f'{name} of {split.path}'] = split
  return DataSet(**said, splits=splits, path=described[0].path)


def refuse_differences(
  described: Sequence[DataSet], *, remedy: str, settled: Collection[str] = ()
) -> None:
  """Raises InputError where two descriptions contradict each other in what is not `settled`; its
  line ends in `remedy`.
  """
  for name in SAID:
    if name in settled:
      continue
    said = [one for one in described if getattr(one, name) not in (None, ())]
    for other in said[1:]:
      have, has = getattr(said[0], name), getattr(other, name)
      if have != has:
        raise InputError(
          f'{shown(said[0].path)} says {name} {_difference(have, has)}, {shown(other.path)} says '
          f'{_difference(has, have)}; {remedy}'
        )


def _difference(values, others):
  """The value, or the first of several in which they differ."""
  if not isinstance(values, tuple):
    return values
  for index, value in enumerate(values):
    if index >= len(others) or others[index] != value:
      return f'{shown(str(value))} (class {index})'
  return f'{len(values)} classes'
