"""Export of a trained network to files that other programs run."""

import dataclasses
import re

from deeplab.errors import InputError
from deeplab.options.checks import CheckedOptions, option
from deeplab.options.eval_padding import fixed_pad_size

FORMATS = ('saved_model', 'tflite', 'onnx')
TFLITE_TYPES = ('float32', 'float16', 'int8')
_MAX_SIZE = 16384


@dataclasses.dataclass(frozen=True)
class ExportSourceOptions(CheckedOptions):
  """Which network is exported, and what its classes are called."""

  group = 'Checkpoint'

  ckpt_path: str | None = option(
    None,
    'Checkpoint: its prefix, a directory that holds one, or the name of published weights such as '
    'official/xception65_voc_trainaug (download_checkpoint.py --list).',
    required=True,
  )
  best: bool = option(
    False,
    'Of the directory --ckpt_path take best.ckpt, the best network of the validations while '
    'training.',
  )
  class_names: str | None = option(
    None,
    'Names of the classes: voc, cityscapes, ade20k, camvid, or a file with one name a line. '
    'Default: those saved beside the checkpoint, else their numbers.',
  )
  colormap: str | None = option(
    None,
    'Colours of the classes: voc, cityscapes, ade20k, camvid, or a file of `index r g b [name]` '
    'lines. Default: those saved beside the checkpoint, else voc.',
  )


@dataclasses.dataclass(frozen=True)
class ModelExportOptions(CheckedOptions):
  """Which files a network becomes, and how they are checked."""

  group = 'Export'

  output_path: str | None = option(
    None,
    'Directory for saved_model/, model_float32.tflite, model_float16.tflite, model_int8.tflite, '
    'model.onnx, and export.json, which describes them.',
    required=True,
    local='copy what is written there afterwards',
  )
  overwrite: bool = option(False, 'Replace the same files of an earlier export.')
  format: tuple[str, ...] = option(
    ('saved_model',),
    'What to write, repeated or comma-separated: saved_model (TensorFlow, TensorFlow Serving, '
    "OpenVINO), tflite (LiteRT, TensorFlow Lite; needs pip install 'deeplab-tf[tflite]'), onnx "
    "(onnxruntime, browsers; needs pip install 'deeplab-tf[onnx]').",
    choices=FORMATS,
  )
  tflite_type: tuple[str, ...] = option(
    ('float32',),
    'Weights of the TFLite files, repeated or comma-separated: float32; float16, half the size; '
    'int8, a quarter of it and fast, which needs --size and --representative_filenames.',
    choices=TFLITE_TYPES,
  )
  size: str = option(
    'dynamic',
    'Sizes of images: dynamic, any size and any number at once; or HEIGHTxWIDTH such as 513x513, '
    'the only size that the model then takes (TFLite: one image at a time).',
  )
  pad: str = option(
    'auto',
    'Padding that the model adds to its images at the bottom and right, cropped off its '
    'predictions: none; stride (to the next multiple of the output stride plus 1); HEIGHTxWIDTH '
    'such as 513x513, for images that are not larger; or auto: stride where the network aligns '
    'corners (official weights), else none.',
  )
  representative_filenames: tuple[str, ...] = option(
    (),
    'What int8 is calibrated on: TFRecord files (*.tfrecord*) or images, as paths, globs or '
    'directories, repeated; of what will be predicted, and at most 100 are used. Without '
    '--check_filenames every third one does not calibrate but checks.',
  )
  check_filenames: tuple[str, ...] = option(
    (),
    'TFRecord files on which the mIOU of int8 is compared with that of the checkpoint, other ones '
    'than int8 is calibrated on; at most 100 examples are used.',
  )
  check_images: tuple[str, ...] = option(
    (),
    'Images, directories or globs on which every file is compared with the checkpoint; larger ones '
    'are shrunk to 1025 pixels. Default: drawn scenes.',
  )
  max_different_pixels: float | None = option(
    None,
    'Percentage of pixels whose class may differ from the prediction of the checkpoint; a file '
    'above it is not written. Default: 0.01 for saved_model and onnx; TFLite: 0.1 for float32, '
    '0.2 for float16, 5 for int8, whose mIOU may also be at most 0.02 lower.',
    minimum=0.0,
    maximum=100.0,
  )

  def __post_init__(self):
    super().__post_init__()
    if not self.format or not self.tflite_type:
      name, allowed = ('tflite_type', TFLITE_TYPES) if self.format else ('format', FORMATS)
      raise InputError(f'--{name}: give at least one of {", ".join(allowed)}')
    if self.tflite_type != ('float32',) and 'tflite' not in self.format:
      raise InputError(f'--tflite_type={",".join(self.tflite_type)}: give --format=tflite too')
    size, pad_size = self.fixed_size, self._pad_size()
    if size is not None and pad_size is not None and any(a > b for a, b in zip(size, pad_size)):
      raise InputError(
        f'--pad={self.pad}: smaller than --size={self.size}; give none, stride, or a larger size'
      )
    if 'int8' in self.types:
      if size is None:
        raise InputError(
          '--tflite_type=int8: give --size=HEIGHTxWIDTH too, such as 513x513; int8 is made for '
          'one size'
        )
      if not self.representative_filenames:
        raise InputError(
          '--tflite_type=int8: give --representative_filenames too, records or images such as '
          'those that will be predicted; the ranges of the values are measured on them'
        )
    else:
      for name in ('representative_filenames', 'check_filenames'):
        if getattr(self, name):
          raise InputError(
            f'--{name}: only int8 needs it; give --tflite_type=int8, or leave it out'
          )

  @property
  def types(self) -> tuple[str, ...]:
    """The weights of the TFLite files; () without that format."""
    return self.tflite_type if 'tflite' in self.format else ()

  @property
  def fixed_size(self) -> tuple[int, int] | None:
    """(height, width) of --size, or None for any."""
    if self.size == 'dynamic':
      return None
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', self.size, flags=re.ASCII)
    size = (int(match.group(1)), int(match.group(2))) if match else None
    if size is None or max(size) > _MAX_SIZE:
      raise InputError(
        f'--size={self.size}: must be dynamic, or HEIGHTxWIDTH such as 513x513, at most '
        f'{_MAX_SIZE}x{_MAX_SIZE}'
      )
    return size

  def _pad_size(self):
    try:
      return fixed_pad_size(self.pad)
    except InputError as error:
      raise InputError(str(error).replace('--eval_pad', '--pad', 1)) from error
