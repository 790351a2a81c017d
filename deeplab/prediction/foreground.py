"""Which classes are the foreground of a picture: those to cut out, and the one not drawn."""

from collections.abc import Sequence

from deeplab.errors import InputError, shown

# More names are not listed in a message.
_MOST_SHOWN = 30


def background_class(class_names: Sequence[str]) -> int | None:
  """0 where class 0 is called background, or where classes have no names; else None."""
  return 0 if class_names[0].strip().strip('_').lower() in ('background', 'class 0') else None


def foreground_classes(chosen: Sequence[str], class_names: Sequence[str]) -> tuple[int, ...]:
  """The classes to cut out.

  Args:
    chosen: names or numbers, each text one or several with commas between; () for all classes but
      the background.
    class_names: of the network.

  Returns:
    class indices, in increasing order.

  Raises:
    InputError: no such class, or none chosen where none is the background.
  """
  if not chosen:
    background = background_class(class_names)
    if background is None:
      raise InputError(
        '--output_type=cutout: no class of this network is called background; choose what to keep '
        f'with --cutout_classes, of {_listed(class_names)}'
      )
    return tuple(index for index in range(len(class_names)) if index != background)
  # A name may hold commas, so the whole text comes first.
  texts = [
    part.strip()
    for text in chosen
    for part in ([text] if _index(text, class_names) is not None else text.split(','))
  ]
  found = set()
  for text in filter(None, texts):
    index = _index(text, class_names)
    if index is None:
      raise InputError(
        f'--cutout_classes={shown(text)}: no such class; the network has {_listed(class_names)}, '
        f'or their numbers, 0 to {len(class_names) - 1}'
      )
    found.add(index)
  if not found:
    raise InputError(f'--cutout_classes: names no class; choose of {_listed(class_names)}')
  return tuple(sorted(found))


def _index(text, class_names):
  names = [name.strip().lower() for name in class_names]
  if text.strip().lower() in names:
    return names.index(text.strip().lower())
  if text.strip().isascii() and text.strip().isdecimal() and int(text) < len(names):
    return int(text)
  return None


def _listed(class_names):
  more = len(class_names) - _MOST_SHOWN
  names = ', '.join(map(shown, class_names[:_MOST_SHOWN]))
  return f'{names} and {more} more' if more > 0 else names
