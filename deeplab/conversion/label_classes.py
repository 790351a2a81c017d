"""What the label values of a conversion mean: which are classes, their names and colours."""

import os
import re
from collections.abc import Collection, Sequence

from deeplab import class_names, color_map, data_set_files
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.options import ConversionOptions
from deeplab.undecodable_names import for_json, from_text

# The options that say how a label file is read.
_READING = ('label_offset', 'binary', 'label_map', 'colormap')
# What tools call pixels that do not count.
_VOID = re.compile(r'(void|ignore[d]?|unlabel+ed|unknown|don.?t.?care|out of roi)', re.IGNORECASE)


def settle(
  options: ConversionOptions,
  *,
  given: Collection[str],
  data_set: str | None = None,
  names: Sequence[str] = (),
) -> tuple[ConversionOptions, DataSet, list[str]]:
  """Brings together what flags, colour map, class names and another description say.

  Args:
    options: of the conversion.
    given: names of the options that the user gave; they win over `--dataset`.
    data_set: what color_map.py calls the published data set that is converted, whose colours count
      where no colour map is given; or None.
    names: of the classes, by the annotations, which count where no option names them.

  Returns:
    (options with number of classes and ignore_label settled, DataSet without splits, warnings).
    The number of classes stays None where nothing says it.

  Raises:
    InputError: a class has no colour or name in the middle of others that have, or the numbers
      contradict each other.
  """
  other = _other_split(options.dataset) if options.dataset else DataSet()
  options = _read_as(other, options, given=given)
  ignore_label = options.ignore_label
  if 'ignore_label' not in given and other.ignore_label is not None:
    ignore_label = other.ignore_label
  num_classes = options.num_classes if options.num_classes is not None else other.num_classes
  options = options.replace(ignore_label=ignore_label, num_classes=num_classes)
  colors, names_of_colors = _colors(options)
  annotated = () if options.class_names or other.class_names else tuple(names)
  names = _names(options) if options.class_names else dict(enumerate(annotated)) or names_of_colors
  if annotated and num_classes is None:
    num_classes = len(annotated)
    options = options.replace(num_classes=num_classes)
  if annotated and num_classes < len(annotated):
    raise InputError(
      f'--num_classes={num_classes}: background and the categories of '
      f'{shown(options.annotations)} are {len(annotated)} classes; --class_names chooses other ones'
    )
  if num_classes is None:
    num_classes = _num_classes(options, names, colors)
    options = options.replace(num_classes=num_classes)
  if not colors and data_set is not None:
    colors = dict(enumerate(map(tuple, color_map.load_color_map(data_set).tolist())))
  if num_classes is None:
    return options, DataSet(ignore_label=ignore_label), []
  described = DataSet(
    num_classes=num_classes,
    ignore_label=ignore_label,
    class_names=_listed_names(names, num_classes) or _same_number(other.class_names, num_classes),
    colors=_listed_colors(colors, num_classes) or _same_number(other.colors, num_classes),
  )
  return options, described, _void_warnings(described, given)


def reading_of(options: ConversionOptions) -> dict[str, object]:
  """The options that say how label files are read, where they are not at their defaults; for the
  description, so that another split is read alike.
  """
  chosen = {name: getattr(options, name) for name in _READING if getattr(options, name)}
  if options.colormap and options.colormap not in color_map.NAMES:
    chosen['colormap'] = for_json(os.path.abspath(options.colormap))
  return chosen


def _other_split(path):
  """The DataSet of --dataset."""
  if not os.path.exists(path):
    raise InputError(
      f'--dataset={shown(path)}: no such file or directory; must be the dataset.json of another '
      'split or the directory of its records (for names alone give --class_names)'
    )
  return data_set_files.read(path)


def _read_as(other, options, *, given):
  """The options with what another description says on how its label files were read."""
  for split in other.splits.values():
    changes = {
      name: split.source[name]
      for name in _READING
      if name in split.source and name not in given and not getattr(options, name)
    }
    colormap = changes.get('colormap')
    if colormap is not None:
      changes['colormap'] = colormap = from_text(str(colormap))
    if colormap not in (None, *color_map.NAMES) and not os.path.isfile(colormap):
      raise InputError(
        f'--dataset={shown(options.dataset)}: its labels were read with --colormap='
        f'{shown(colormap)}, which is not there any more; give --colormap'
      )
    try:
      return options.replace(**changes)
    except TypeError as error:
      raise InputError(
        f'{shown(split.path)}: says of its labels what cannot be ({shown(str(error))}); restore it'
      ) from error
  return options


def _colors(options):
  """(colour by class, name by class) that --colormap says."""
  chosen = options.colormap
  if chosen is None:
    return {}, {}
  if chosen in color_map.NAMES:
    table = color_map.load_color_map(chosen).tolist()
    colors = dict(enumerate(map(tuple, table)))
    names = dict(enumerate(class_names.of_data_set(chosen)))
    if chosen == 'voc':  # Its rule colours any number of classes, which have other names then.
      return _shifted(colors, options), names if options.num_classes == len(names) else {}
    return _shifted(colors, options), _shifted(names, options)
  colors, names = {}, {}
  for entry in color_map.read_entries(chosen, flag='colormap'):
    colors.setdefault(entry.index, entry.color)
    if entry.name:
      names.setdefault(entry.index, entry.name)
  return _shifted(colors, options), _shifted(names, options)


def _names(options):
  """Name by class that --class_names says."""
  chosen, num_classes = options.class_names, options.num_classes
  known = class_names.of_data_set(chosen)
  if known and len(known) != num_classes:
    names = _shifted(dict(enumerate(known)), options)
    if num_classes in (None, len(names)):
      return names
  if num_classes is None:
    num_classes = class_names.count_names(chosen, ignore_label=options.ignore_label)
  return dict(enumerate(class_names.load_class_names(chosen, num_classes)))


def _shifted(by_value, options):
  """What the label values of the files have, by the class that --label_offset makes of them."""
  return {
    value + options.label_offset: what
    for value, what in by_value.items()
    if value != options.ignore_label and value + options.label_offset >= 0
  }


def _num_classes(options, names, colors):
  """How many classes names and colours make, or None where they leave it open."""
  if options.class_names:
    return len(names) or None
  if not colors or options.colormap == 'voc':
    return None
  missing = sorted(set(range(max(colors))) - set(colors))
  if missing:
    raise InputError(
      f'--colormap={shown(options.colormap)}: no colour for class {missing[0]}, but for class '
      f'{max(colors)}; give each class a line, or --num_classes, or the value that does not count '
      f'as --ignore_label (it is {options.ignore_label})'
    )
  return max(colors) + 1


def _listed_names(names, num_classes):
  if not names or not set(names) & set(range(num_classes)):
    return ()
  return tuple(names.get(index) or f'class {index}' for index in range(num_classes))


def _listed_colors(colors, num_classes):
  if not colors or not set(colors) & set(range(num_classes)):
    return ()
  usual = color_map.pascal_voc_color_map(num_classes).tolist()
  return tuple(tuple(colors.get(index, usual[index])) for index in range(num_classes))


def _same_number(values, num_classes):
  return values if len(values) == num_classes else ()


def _void_warnings(described, given):
  """Whether a class has the name of what does not count."""
  if 'ignore_label' in given:
    return []
  return [
    f'class {index} is called {shown(name)}: if its pixels shall not count, give '
    f'--ignore_label={index}'
    for index, name in enumerate(described.class_names)
    if _VOID.fullmatch(name.strip())
  ]
