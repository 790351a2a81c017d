"""What only all labels of a split together tell: masks that would be all one class, palettes in
other orders, a class hidden behind ignore_label.
"""

from collections.abc import Collection, Iterable, Mapping

from deeplab import data_set
from deeplab.data import labels
from deeplab.errors import InputError, shown
from deeplab.options import ConversionOptions

MASK_KINDS = ('0 and 255', '0 and 1')


def refuse_one_class(present: Iterable[int], options: ConversionOptions) -> None:
  """Raises InputError for such labels, unless they are accepted, or the description of another
  split tells what the labels mean.
  """
  if 'one_class' in options.accept or options.dataset or options.num_classes == 1:
    return
  problem = labels.explain_one_class(present, ignore_label=options.ignore_label)
  if problem and options.binary:
    raise InputError(
      f'--split={options.split}: every pixel of all masks of --binary is of one class or '
      'transparent, and transparent pixels are ignored; if the mask is the transparency, export it '
      'as a grey PNG without one, or --accept=one_class if it is meant so; nothing was written'
    )
  if problem:
    grey = min(options.ignore_label, 255)
    raise InputError(
      f'--split={options.split}: {problem}: give --binary to make every value but 0 class 1, or '
      f'--colormap=FILE with lines such as "0 0 0 0" and "1 {grey} {grey} {grey}", or '
      '--accept=one_class if it is meant so; nothing was written'
    )


def refuse_ignored_class(
  options: ConversionOptions, given: Collection[str], *, highest: int | None = None
) -> None:
  """Raises InputError if the ignored value, which nobody chose, is a class.

  Args:
    options: num_classes, ignore_label and dataset count here.
    given: names of the options that the user gave.
    highest: the highest label value of the files, if it is known.
  """
  chosen = 'ignore_label' in given or options.dataset
  default = ConversionOptions.__dataclass_fields__['ignore_label'].default
  if chosen or options.ignore_label != default:
    return
  if options.num_classes is not None and options.num_classes > default:
    what = f'--num_classes={options.num_classes}'
  elif highest is not None and highest > default:
    what = f'label values up to {highest}'
  else:
    return
  raise InputError(f'{what}: {data_set.explain_ignored_class(default)}; nothing was written')


class PaletteComparison:
  """Compares the colours that palettes give to an index; tools reorder palettes."""

  def __init__(self):
    self._first = {}  # (colour, path) by index.

  def first_colors(self) -> list[tuple[int, tuple, str]]:
    """(index, colour, path of the first file that has it), by index."""
    return [(index, *self._first[index]) for index in sorted(self._first)]

  def problem(self, palette: Iterable[tuple[int, tuple]], path: str) -> str | None:
    """None, or a line about an index that had another colour in an earlier file.

    Args:
      palette: (index, (r, g, b)) of the indices that the file uses.
      path: of the file.
    """
    for index, color in palette:
      other, other_path = self._first.setdefault(index, (color, path))
      if other != color:
        return (
          f'{shown(other_path)} and {shown(path)}: index {index} has the colour {other} in one '
          f'palette and {color} in the other, so it may be two classes; give the colours of the '
          'classes with --colormap, which reads palettes by their colours, or --accept=palettes if '
          'the indices are right'
        )
    return None


def mask_kind(values: Collection[int]) -> str | None:
  """One of MASK_KINDS for the values of a mask that is written so, None for others."""
  if set(values) == {0, 255}:
    return MASK_KINDS[0]
  return MASK_KINDS[1] if 1 in values and set(values) <= {0, 1} else None


def mixed_masks_note(
  masks: Mapping[str, str], present: Collection[int], ignore_label: int
) -> str | None:
  """None, or a line about masks of two classes, some of 0 and 1, others of 0 and 255.

  Args:
    masks: path of a label by its mask_kind.
    present: all label values of the split.
    ignore_label: the value that does not count.
  """
  if len(masks) < 2 or ignore_label != 255 or not set(present) <= {0, 1, 255}:
    return None
  return (
    f'some labels hold 0 and 255 only, such as {shown(masks["0 and 255"])}, others 0 and 1, such '
    f'as {shown(masks["0 and 1"])}; 255 is ignored: if both are masks of the same class, '
    'give --binary'
  )


def transparency_note(*, pixels: int, images: int, ignore_label: int) -> str | None:
  """None, or a line about pixels that were ignored because they are transparent."""
  if not pixels:
    return None
  return (
    f'{pixels} transparent pixels in {images} labels became the ignored value {ignore_label}; if '
    'they are background, export the labels without transparency'
  )
