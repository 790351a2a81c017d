"""Official DeepLab weights in and out: found, converted between their form and ours, and written.

`opened` finds the weights (checkpoint, directory, archive or frozen graph),
`official_architectures.recognize` says of which network they are, `to_ours` and `to_official`
convert, `write_directory` leaves the result whole or not at all.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from deeplab import (
  checkpoint_replacement,
  checkpoints,
  directory_lock,
  output_places,
  saved_options,
  tar_archives,
)
from deeplab.atomic_files import remove_unfinished, unfinished_directory
from deeplab.checkpoint_files import STATE_NAME, find_given
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.official import archives, official_names
from deeplab.official.frozen_graphs import FrozenGraph
from deeplab.official.official_architectures import PREPROCESSING, Recognized, variable_shapes
from deeplab.official.official_names import CONCAT_WEIGHTS
from deeplab.options import ImportOptions, ModelOptions

_FROZEN_GRAPH = 'frozen_inference_graph.pb'
_BESIDE = (saved_options.FILE_NAME, STATE_NAME)


@contextlib.contextmanager
def opened(
  path: str,
  *,
  max_archive_mb: int = ImportOptions.max_archive_mb,
  max_archive_members: int = ImportOptions.max_archive_members,
) -> Iterator[tuple[checkpoints.Reader | FrozenGraph, str]]:
  """Opens official weights.

  Args:
    path: prefix of a checkpoint, directory, tar archive or frozen graph.
    max_archive_mb, max_archive_members: of an archive.

  Yields:
    a `checkpoints.Reader` or a `FrozenGraph`, and a name to show for it.

  Raises:
    InputError: nothing of the kind is there, or it is damaged.
  """
  path = os.path.expanduser(path)
  if (
    os.path.isdir(path)
    and not checkpoints.list_prefixes(path)
    and os.path.isfile(os.path.join(path, _FROZEN_GRAPH))
  ):
    path = os.path.join(path, _FROZEN_GRAPH)
  if os.path.isfile(path) and tar_archives.is_archive(path):
    with archives.extracted_model(path, max_mb=max_archive_mb, max_members=max_archive_members) as (
      model,
      name,
    ):
      yield _open_file(model), f'{path}: {name}'
    return
  model = path if path.endswith('.pb') and os.path.isfile(path) else find_given(path)
  yield _open_file(model), model


def _open_file(path):
  if path.endswith('.pb'):
    return FrozenGraph(path)
  prefix = checkpoints.find(path)
  if os.path.exists(saved_options.path_beside(prefix)):
    raise InputError(
      f'checkpoint {prefix}: {saved_options.FILE_NAME} beside it says that it is one of this '
      'toolkit; it needs no import'
    )
  return checkpoints.Reader(prefix)


def to_ours(
  source: checkpoints.Reader | FrozenGraph, recognized: Recognized
) -> dict[str, np.ndarray]:
  """Our tensors of official weights: dict of name -> ndarray, global_step included.

  Raises:
    InputError: a value is not finite.
  """
  tensors = {}
  for ours in variable_shapes(recognized.options):
    theirs = official_names.official_name(ours, source.shapes)
    value = np.asarray(source.get(theirs))
    if value.dtype.kind != 'f':
      raise InputError(
        f'{source.prefix}: variable {theirs} holds {value.dtype}, not floating-point numbers; get '
        'the model again'
      )
    if not np.isfinite(value).all():
      raise InputError(
        f'{source.prefix}: variable {theirs} holds values that are not finite; get the model again'
      )
    tensors[ours] = value.astype(np.float32, copy=False)
  tensors[CONCAT_WEIGHTS] = official_names.reorder_concatenation(
    tensors[CONCAT_WEIGHTS], before=recognized.order, after=_our_order(recognized.options)
  )
  if checkpoints.GLOBAL_STEP in source.shapes:
    tensors[checkpoints.GLOBAL_STEP] = source.get(checkpoints.GLOBAL_STEP)
  elif isinstance(source, FrozenGraph):
    tensors[checkpoints.GLOBAL_STEP] = np.int64(0)
  return tensors


def to_official(
  reader: checkpoints.Reader, options: ModelOptions
) -> tuple[dict[str, np.ndarray], list[str]]:
  """The official tensors of one of our checkpoints, and the names of what is left out.

  Args:
    reader: a `checkpoints.Reader`.
    options: ModelOptions of the checkpoint.

  Returns:
    (dict of name -> ndarray, global_step included; sorted names of the rest).

  Raises:
    InputError: the checkpoint is not of this network, or the official program does not have it.
  """
  if options.model_variant not in PREPROCESSING:
    raise InputError(
      f'{reader.prefix}: {options.model_variant} is not a backbone of the official DeepLab; it has '
      f'{", ".join(PREPROCESSING)}'
    )
  tensors = {}
  shapes = variable_shapes(options)
  for name, shape in shapes.items():
    if reader.shapes.get(name) != shape:
      have = f'shape {reader.shapes[name]}' if name in reader.shapes else 'nothing'
      raise InputError(
        f'{reader.prefix}: has {have} for variable {name}, the network needs {shape}; the '
        'architecture must '
        "be the checkpoint's"
      )
    tensors[official_names.official_name(name)] = reader.get(name)
  official = official_names.branch_order(
    len(options.atrous_rates), image_level=options.use_image_level_feature, official=True
  )
  tensors[CONCAT_WEIGHTS] = official_names.reorder_concatenation(
    tensors[CONCAT_WEIGHTS], before=_our_order(options), after=official
  )
  if checkpoints.GLOBAL_STEP in reader.shapes:
    tensors[checkpoints.GLOBAL_STEP] = reader.get(checkpoints.GLOBAL_STEP)
  return tensors, sorted(set(reader.shapes) - set(shapes) - {checkpoints.GLOBAL_STEP})


def _our_order(options):
  return official_names.branch_order(
    len(options.atrous_rates), image_level=options.use_image_level_feature, official=False
  )


def check_output(output_path: str, source_path: str, *, overwrite: bool) -> None:
  """Refuses an output directory where a checkpoint would be lost, or where its architecture would
  be taken for another's.

  Args:
    output_path: of `write_directory`.
    source_path: what the user gave as the source.
    overwrite: an earlier result may be replaced.

  Raises:
    InputError: it is a file, or holds checkpoints.
  """
  if not output_path:
    raise InputError('--output_path is empty: give a directory for the checkpoint')
  if os.path.exists(output_path) and not os.path.isdir(output_path):
    raise InputError(f'--output_path={output_path}: is a file; give a directory')
  source_directory = (
    source_path if os.path.isdir(source_path) else os.path.dirname(source_path) or '.'
  )
  prefixes = checkpoints.list_prefixes(output_path)
  if prefixes and os.path.realpath(source_directory) == os.path.realpath(output_path):
    raise InputError(f'--output_path={output_path}: holds the source; give another directory')
  others = [prefix for prefix in prefixes if os.path.basename(prefix) != checkpoints.FINAL_NAME]
  if others:
    raise InputError(
      f'--output_path={output_path}: holds {os.path.basename(others[0])}; give another directory'
    )
  if prefixes and not overwrite:
    raise InputError(
      f'--output_path={output_path}: holds {checkpoints.FINAL_NAME} already; give another '
      'directory, or --overwrite'
    )


@contextlib.contextmanager
def output(output_path: str, source_path: str, *, overwrite: bool) -> Iterator[None]:
  """Makes and checks the directory of `write_directory`, as `check_output`. While open, no other
  process can write there; what killed ones left is put right.

  Raises InputError where one does.
  """
  check_output(output_path, source_path, overwrite=overwrite)
  refusal = (
    f'--output_path={shown(output_path)}: another process is writing there; wait for it, stop it, '
    'or choose another'
  )
  with (
    output_places.new_directory(output_path, flag='output_path'),
    directory_lock.held(output_path, refusal=refusal),
  ):
    check_output(output_path, source_path, overwrite=overwrite)  # Another may just have ended.
    remove_unfinished(output_path)
    checkpoint_replacement.put_right(
      os.path.join(output_path, checkpoints.FINAL_NAME), beside=_BESIDE
    )
    yield


def write_directory(
  output_path: str,
  tensors: Mapping[str, np.ndarray],
  *,
  model_options: ModelOptions | None = None,
  class_names: Sequence[str] | None = None,
  data_set: DataSet | None = None,
  trained_size: tuple[int, int] | None = None,
) -> str:
  """Writes `model.ckpt`, the state file and, if given, the architecture; a kill leaves the old
  checkpoint, or none, or the new one, whole and with its own architecture.

  Args:
    output_path: directory, made if need be; checked by `check_output`.
    tensors: dict of name -> ndarray.
    model_options: ModelOptions to save beside the checkpoint, or None.
    class_names: names to save with them, or None.
    data_set: description of the data the network was trained on, to save with them, or None.
    trained_size: (height, width) of the crops to save with them, or None.

  Returns:
    prefix of the checkpoint.
  """
  output_path = os.path.abspath(output_path)
  prefix = os.path.join(output_path, checkpoints.FINAL_NAME)
  with output_places.explaining(prefix, flag='output_path'):
    os.makedirs(output_path, exist_ok=True)
    with unfinished_directory(output_path, checkpoints.FINAL_NAME) as aside:
      try:
        checkpoints.write(os.path.join(aside, checkpoints.FINAL_NAME), tensors)
      except InputError as error:
        raise InputError(str(error).replace(shown(aside), shown(output_path))) from error
      if model_options is not None:
        step = tensors.get(checkpoints.GLOBAL_STEP)
        saved_options.write(
          aside,
          model_options,
          step=None if step is None else int(step),
          class_names=class_names,
          data_set=data_set,
          trained_size=trained_size,
        )
      checkpoints.update_state(aside, [checkpoints.FINAL_NAME])
      checkpoint_replacement.take_place(aside, prefix, beside=_BESIDE)
  return prefix


def differences(options: ModelOptions) -> list[str]:
  """Lines on what the official program does otherwise than a network with these ModelOptions."""
  lines = []
  if not options.align_corners:
    lines.append(
      'the network was trained with --align_corners=False, the official program aligns corners: '
      'its results will be worse'
    )
  official = PREPROCESSING[options.model_variant]
  if options.preprocess_images_option != official:
    lines.append(
      'the network was trained with '
      f'--preprocess_images_option={options.preprocess_images_option}, the official program does '
      f'{official} for {options.model_variant}: its results will be worse'
    )
  return lines


def official_flags(options: ModelOptions) -> str:
  """The command-line flags that make the official program build this network."""
  flags = [f'--model_variant={options.model_variant}', f'--output_stride={options.output_stride}']
  flags += [f'--atrous_rates={rate}' for rate in options.atrous_rates]
  flags += [f'--multi_grid={rate}' for rate in options.multi_grid]
  if options.depth_multiplier != 1.0:
    flags.append(f'--depth_multiplier={options.depth_multiplier}')
  flags.append(f'--add_image_level_feature={options.use_image_level_feature}')
  if options.atrous_rates:
    flags.append(f'--aspp_with_separable_conv={options.aspp_with_separable_conv}')
  if options.use_decoder:
    flags += [
      '--decoder_output_stride=4',
      f'--decoder_use_separable_conv={options.decoder_with_separable_conv}',
    ]
  return ' '.join(flags)
