"""A trained network to files, each of which gets its name after it was checked."""

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import __version__, checkpoints
from deeplab.errors import InputError, shown
from deeplab.export import (
  conversions,
  exported_files,
  int8_data,
  saved_models,
  summary,
)
from deeplab.export.check import CheckError
from deeplab.export.description import Description
from deeplab.export.exported_files import ExportedFile
from deeplab.export.exported_network import ExportedNetwork
from deeplab.export.own_process import ProcessError
from deeplab.export.portable_operations import PortableOperations
from deeplab.export.verification import Finding, Verification
from deeplab.failure_reasons import reason_of
from deeplab.messages import phase, problem, say, warn
from deeplab.options import ComputeOptions, ModelExportOptions, TrainingInputOptions
from deeplab.options.eval_padding import pad_size
from deeplab.prediction import image_padding
from deeplab.prediction.trained_network import TrainedNetwork

# Files are compared with the checkpoint, and what a GPU rounds is no fault of theirs.
COMPUTE_OPTIONS = ComputeOptions(tf32=False)


class Exported(NamedTuple):
  """A file that was written.

  Attributes:
    path: of the file, or of the directory of a SavedModel.
    num_bytes: of all its files.
    findings: how it compares with the checkpoint.
  """

  path: str
  num_bytes: int
  findings: list[Finding]


def export(
  trained: TrainedNetwork, options: ModelExportOptions, colors: np.ndarray
) -> list[Exported]:
  """Writes and checks what the options ask for; says how each file compares.

  Args:
    trained: the network.
    options: which files, and how they are checked.
    colors: uint8 [n, 3], at least one for each class.

  Raises:
    InputError: the network is an exported model, a file is there already, the disk is full, or a
      file could not be made or is not what the checkpoint is; those that are right are written all
      the same.
  """
  if trained.is_exported:
    raise InputError(
      f'{shown(trained.prefix)}: is an exported model; give the checkpoint that it was made from'
    )
  files = exported_files.planned(options)
  exported_files.refuse_existing(options.output_path, files, overwrite=options.overwrite)
  exported_files.refuse_without_extras(options.format)
  summary.read(options.output_path)  # Refuses what is no summary.
  description = describe(trained, options, colors)
  warn(advice(trained, options))
  data = None
  if any(file.weights == 'int8' for file in files):
    with phase('reading what int8 is calibrated on'):
      data = int8_data.load(options, trained)
  with exported_files.output(options.output_path), _explaining(options):
    with exported_files.unfinished_directory(options.output_path) as aside:
      written = _written(files, _Export(trained, options, description, int8_data=data, aside=aside))
    if len(written) < len(files):
      raise InputError(
        f'{len(files) - len(written)} of {len(files)} models were not written to '
        f'{shown(options.output_path)}; they are named above'
      )
  return written


def describe(
  trained: TrainedNetwork, options: ModelExportOptions, colors: np.ndarray
) -> Description:
  """The Description of what is exported, with weights float32."""
  pad, data_set = pad_size(options.pad, trained.options), trained.data_set
  ignore_label = data_set.ignore_label if data_set is not None else None
  return Description(
    deeplab_version=__version__,
    tensorflow_version=tf.__version__,
    model_options=trained.options,
    class_names=tuple(trained.class_names),
    colors=tuple(tuple(map(int, color)) for color in colors[: trained.options.num_classes]),
    ignore_label=TrainingInputOptions.ignore_label if ignore_label is None else ignore_label,
    size=options.fixed_size,
    pad='x'.join(map(str, pad)) if isinstance(pad, tuple) else pad or 'none',
    trained_size=trained.trained_size,
    l2_loss=float(trained.model.l2_loss()),
    checkpoint=trained.prefix,
    global_step=checkpoints.Reader(trained.prefix).global_step or 0,
    data_set=data_set,
  )


def _written(files, export):
  """The Exported of those files that are right."""
  written = []
  for file in files:
    try:
      written.append(export.run(file))
    except CheckError as error:
      problem(f'{file.name}: not written: {error}')
  return written


class _Export:
  """The files of one network, one after the other."""

  def __init__(self, trained, options, description, *, int8_data, aside):
    self._model, self._options, self._description = trained.model, options, description
    self._int8_data, self._aside = int8_data, aside
    self._pad_size = pad_size(options.pad, trained.options)
    self._verification = Verification(trained, options, int8_data=int8_data, aside=aside)

  def run(self, file: ExportedFile) -> Exported:
    """Writes one file, checks it and gives it its name. Raises CheckError."""
    path, unfinished = (
      os.path.join(directory, file.name) for directory in (self._options.output_path, self._aside)
    )
    with phase(f'writing {file.name}'):
      self._write(file, unfinished)
    with phase(f'checking {file.name}'):
      findings = self._verification.verify(file, unfinished)
    sums = exported_files.checksums(unfinished)
    summary.update(self._options.output_path, file.name, None)
    exported_files.place(unfinished, path)
    entry = {
      'format': file.format,
      'files': sums,
      'check': self._verification.entry(file, findings),
      'description': self._description.replace(weights=file.weights).as_dict(),
    }
    summary.update(self._options.output_path, file.name, entry)
    num_bytes = sum(each['bytes'] for each in sums)
    say(f'{shown(path)}: {num_bytes / 1e6:.1f} MB')
    say(*(f'  {finding}' for finding in findings))
    return Exported(path, num_bytes, findings)

  def _write(self, file, path):
    if file.format == 'saved_model':
      saved_models.write(path, self._network(PortableOperations()), self._description)
      return
    with exported_files.unfinished_directory(self._aside) as directory:
      try:
        conversions.convert(
          file,
          path,
          saved_model=self._source(file.format),
          description=self._description.replace(weights=file.weights),
          directory=directory,
          representative=self._representative(file),
        )
      except ProcessError as error:
        raise CheckError(f'the converter failed: {error}') from error

  def _representative(self, file):
    return [one.image for one in self._int8_data.representative] if file.weights == 'int8' else []

  def _source(self, converter):
    """A SavedModel for a converter, made when it is first needed."""
    path = os.path.join(self._aside, f'for_{converter}')
    if not os.path.exists(path):
      explicit_padding = converter == 'onnx'
      network = self._network(
        PortableOperations(for_converter=True, explicit_padding=explicit_padding),
        batch_size=1 if converter == 'tflite' and self._options.fixed_size else None,
      )
      saved_models.write(path, network, self._description)
    return path

  def _network(self, operations, *, batch_size=None):
    return ExportedNetwork(
      self._model.with_operations(operations),
      pad_size=self._pad_size,
      size=self._options.fixed_size,
      batch_size=batch_size,
    )


def advice(trained: TrainedNetwork, options: ModelExportOptions) -> list[str]:
  """Lines of warning on a size or padding that does not suit the network."""
  pad, size = pad_size(options.pad, trained.options), options.fixed_size
  if pad is None and size is not None:
    suits = all((side - 1) % trained.options.output_stride == 0 for side in size)
    lines = [] if suits else image_padding.advice(trained.options, pad)
  else:
    lines = image_padding.advice(trained.options, pad)
  if pad == 'stride' and size is not None:
    padded = tuple(image_padding.next_stride_size(s, trained.options.output_stride) for s in size)
    if padded != size:
      lines = [
        f'--size={options.size}: no multiple of {trained.options.output_stride} plus 1, so each '
        f'image is padded to {padded[0]}x{padded[1]} in the model; --size={padded[0]}x{padded[1]} '
        'shows it more for the same time'
      ]
  return [line.replace('--eval_pad', '--pad') for line in lines]


class _explaining:
  """An error of writing becomes the InputError that names --output_path."""

  def __init__(self, options):
    self._path = options.output_path

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    if isinstance(error, (OSError, tf.errors.OpError)):
      raise InputError(
        f'--output_path={self._path}: cannot be written ({reason_of(error)}); what was there is as '
        'it was; free space or choose another'
      ) from error
