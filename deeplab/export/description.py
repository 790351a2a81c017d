"""What an exported model says of itself: one JSON object, the same in every format.

In a SavedModel it is the asset `assets/deeplab.json`, in ONNX the metadata property and in TFLite
the metadata entry of that name; `export.json` beside the files has it too. Nothing here imports
TensorFlow.
"""

import dataclasses
import json
import re
from typing import Any

from deeplab import data_set_files, json_files
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.options import ModelOptions

# Official names. A signature is a way to call a SavedModel or a TensorFlow Lite file.
INPUT = 'ImageTensor'
LABELS = 'SemanticPredictions'
PROBABILITIES = 'SemanticProbabilities'
SIGNATURE = 'serving_default'
LABELS_SIGNATURE = 'predict_labels'

NAME = 'deeplab.json'
FORMAT_VERSION = 1
WEIGHTS = ('float32', 'float16', 'int8')


@dataclasses.dataclass(frozen=True)
class Description:
  """What one exported model is.

  Attributes:
    deeplab_version, tensorflow_version: that exported it.
    model_options: the network's.
    class_names: one for each class.
    colors: (r, g, b) of each class, 0 to 255.
    ignore_label: label value that does not count.
    size: (height, width) that every image must have, or None for any.
    pad: what the model adds to images itself, at the bottom and right: 'none', 'stride' (to the
      next multiple of the output stride plus 1) or HEIGHTxWIDTH.
    trained_size: (height, width) of the crops it was trained on, or None where nobody knows.
    l2_loss: the L2 term of the evaluation's loss, since the weights are not seen from outside.
    checkpoint: prefix of the checkpoint the weights are from, as it was given.
    global_step: of that checkpoint.
    weights: of WEIGHTS, what the weights are kept in.
    data_set: of the records it was trained on, or None where nobody knows.
  """

  deeplab_version: str
  tensorflow_version: str
  model_options: ModelOptions
  class_names: tuple[str, ...]
  colors: tuple[tuple[int, int, int], ...]
  ignore_label: int
  size: tuple[int, int] | None
  pad: str
  trained_size: tuple[int, int] | None
  l2_loss: float
  checkpoint: str
  global_step: int
  weights: str = 'float32'
  data_set: DataSet | None = None

  def __post_init__(self):
    for name in ('class_names', 'colors'):
      if len(getattr(self, name)) != self.num_classes:
        raise ValueError(f'{len(getattr(self, name))} {name} for {self.num_classes} classes')
    if self.weights not in WEIGHTS:
      raise ValueError(f'weights {self.weights!r} are none of {", ".join(WEIGHTS)}')
    if not re.fullmatch(r'none|stride|[1-9]\d*x[1-9]\d*', self.pad, flags=re.ASCII):
      raise ValueError(f'pad {self.pad!r} is neither none, stride nor HEIGHTxWIDTH')

  @property
  def num_classes(self) -> int:
    return self.model_options.num_classes

  def replace(self, **changes) -> 'Description':
    """A copy with other values."""
    return dataclasses.replace(self, **changes)

  def as_dict(self) -> dict[str, Any]:
    """What `to_json` writes."""
    values = {
      field.name: getattr(self, field.name)
      for field in dataclasses.fields(self)
      if field.name not in ('model_options', 'data_set')
    }
    return {
      'format_version': FORMAT_VERSION,
      **values,
      'num_classes': self.num_classes,
      'model_options': dataclasses.asdict(self.model_options),
      'data_set': data_set_files.to_json(self.data_set) if self.data_set is not None else None,
    }

  def to_json(self) -> str:
    """The description as text that `from_json` reads."""
    return json.dumps(self.as_dict(), indent=2) + '\n'


def from_json(text: str | bytes, *, path: str) -> Description:
  """The description in a text.

  Args:
    text: of `Description.to_json`, or of a later version's that only has more keys.
    path: of the file it is from, for errors.

  Raises:
    InputError: it is no description, or one of a newer format.
  """
  try:
    content = json_files.parsed(text)
    _refuse_newer(content['format_version'], path=path)
    description = Description(
      **{name: _of_type(content, name, *types) for name, types in _TYPES.items()},
      model_options=_model_options(content),
      class_names=tuple(_list(content, 'class_names', str)),
      colors=tuple(_color(color) for color in _list(content, 'colors', list)),
      size=_size(content, 'size'),
      trained_size=_size(content, 'trained_size'),
      data_set=_data_set(content, path=path),
    )
    if content['num_classes'] != description.num_classes:
      raise ValueError(f'num_classes {content["num_classes"]} is not that of model_options')
    return description
  except InputError:
    raise
  except KeyError as error:
    raise _damaged(path, f'{error.args[0]} is missing') from error
  except (ValueError, TypeError, AttributeError, RecursionError) as error:
    raise _damaged(path, str(error)) from error


# Plain values, and the types that JSON may give for them.
_TYPES = {
  'deeplab_version': (str,),
  'tensorflow_version': (str,),
  'ignore_label': (int,),
  'pad': (str,),
  'l2_loss': (float, int),
  'checkpoint': (str,),
  'global_step': (int,),
  'weights': (str,),
}


def _refuse_newer(version, *, path):
  if not _is(version, int) or version < 1:
    raise ValueError(f'format_version {version!r} is no version')
  if version > FORMAT_VERSION:
    raise InputError(
      f'{shown(path)}: its description has format {version}, and this version of the toolkit reads '
      f'{FORMAT_VERSION}; install a newer one, or export the checkpoint again'
    )


def _damaged(path, reason):
  return InputError(
    f'{shown(path)}: the description in it ({NAME}) is damaged ({shown(reason)}); export the '
    'checkpoint again'
  )


def _is(value, *types):
  """isinstance, but a bool is no number."""
  return isinstance(value, types) and not isinstance(value, bool)


def _of_type(content, name, *types):
  value = content[name]
  if not _is(value, *types):
    raise ValueError(f'{name} is {value!r}')
  return value


def _list(content, name, element_type):
  values = content[name]
  if not isinstance(values, list) or not all(_is(value, element_type) for value in values):
    raise ValueError(f'{name} is no list of the right type')
  return values


def _color(values):
  if len(values) != 3 or not all(_is(value, int) and 0 <= value <= 255 for value in values):
    raise ValueError(f'{values!r} is no colour')
  return tuple(values)


def _size(content, name):
  values = content[name]
  if values is None:
    return None
  if len(values) != 2 or not all(_is(value, int) and value > 0 for value in values):
    raise ValueError(f'{name} {values!r} is no height and width')
  return tuple(values)


def _model_options(content):
  """ModelOptions; their own InputError, of a flag, is no help here."""
  try:
    given = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in content['model_options'].items()
    }
    return _typed(ModelOptions(**given))
  except InputError as error:
    raise ValueError(f'model_options: {error}') from error


def _typed(model_options):
  """The same where each value has the type of its default; a text such as '8' is no stride."""
  for field in dataclasses.fields(ModelOptions):
    value, default = getattr(model_options, field.name), field.default
    elements = value if isinstance(value, tuple) else ()
    types = (float, int) if isinstance(default, float) else (type(default),)
    right = isinstance(value, bool) if isinstance(default, bool) else _is(value, *types)
    if not right or not all(_is(element, int) for element in elements):
      raise ValueError(f'model_options: {field.name} is {value!r}')
  return model_options


def _data_set(content, *, path):
  if content['data_set'] is None:
    return None
  return data_set_files.from_json(content['data_set'], path=path)
