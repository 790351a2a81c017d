"""The commands as functions, for Python programs and notebooks: the flags are keyword arguments.

Importing this imports neither TensorFlow nor numpy, so a wrong keyword is answered at once.
"""

import concurrent.futures.process
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deeplab import guest
from deeplab.errors import InputError
from deeplab.options import (
  OPTIONS_OF_EVALUATION,
  OPTIONS_OF_TRAINING,
  ConversionOptions,
  EngineOptions,
  ModelOptions,
  PredictionOptions,
  keywords,
)

if TYPE_CHECKING:
  import numpy as np

  from deeplab.evaluation.evaluation_report import Report
  from deeplab.network import Network
  from deeplab.training_run import TrainingResult

_LOADING = (ModelOptions, EngineOptions, PredictionOptions)


@keywords.takes(*_LOADING, saved_with_checkpoint=ModelOptions)
def load(
  ckpt_path: str | os.PathLike,
  *,
  best: bool = False,
  class_names: str | Sequence[str] | None = None,
  colormap: 'str | np.ndarray | None' = None,
  verbose: bool = False,
  **options: Any,
) -> 'Network':
  """Loads a trained network.

  Args:
    ckpt_path: a checkpoint's prefix, a directory that holds one, such as the output_path of a
      training, or the name of published weights, such as 'official/xception65_voc_trainaug', which
      are downloaded once (`download_checkpoint.py --list` shows all); or an exported model, such as
      exported/model_int8.tflite.
    best: of a directory take best.ckpt, the best network of the validations while training.
    class_names: voc, cityscapes, ade20k, a file with one name a line, or a list of the names. None:
      those saved beside the checkpoint.
    colormap: voc, cityscapes, ade20k, a file, or an array uint8 [num_classes, 3]. None: the colours
      saved beside the checkpoint, else voc.
    verbose: print what run_inferencer.py prints of the network.
    **options: flags of run_inferencer.py. Those of the model, such as output_stride, are saved
      beside the checkpoint and seldom needed; compute_dtype, operations and jit_compile say how it
      is computed; those of Network.predict, such as max_size, then hold where a call of it does not
      say otherwise.

  Returns:
    a Network, whose `predict` takes images.

  Raises:
    TypeError: no such option. InputError: no path, no such checkpoint, a download that failed, or
      options that do not fit it.
  """
  with guest.as_guest(verbose=verbose):
    (model_options, compute_options, prediction_options), given = keywords.read(
      'load', _LOADING, options, own=['best', 'class_names', 'colormap', 'verbose']
    )
    if not isinstance(ckpt_path, (str, os.PathLike)):
      raise InputError(
        f'--ckpt_path: {type(ckpt_path).__name__}; must be the path of a checkpoint or of the '
        'directory that holds one'
      )
    with guest.tensorflow_at_work():
      from deeplab import network

      return network.load(
        os.fspath(ckpt_path),
        best=best,
        class_names=os.fspath(class_names) if isinstance(class_names, os.PathLike) else class_names,
        colormap=os.fspath(colormap) if isinstance(colormap, os.PathLike) else colormap,
        model_options=model_options,
        compute_options=compute_options,
        given=given,
        defaults={name: value for name, value in vars(prediction_options).items() if name in given},
      )


@keywords.takes(*OPTIONS_OF_EVALUATION, saved_with_checkpoint=ModelOptions)
def evaluate(*, verbose: bool = False, **options: Any) -> 'Report | list[Report]':
  """Evaluates a checkpoint on records: the run of run_evaluator.py.

  Args:
    verbose: print what the command prints.
    **options: its flags; filenames and ckpt_path are required.

  Returns:
    a Report, or with all_checkpoints or watch a list of them. `mean_iou` is the score; `rows` has
    those of the classes; printed, it is the command's table.

  Raises:
    TypeError: no such option. InputError: see `evaluation_run.run`.
  """
  with guest.as_guest(verbose=verbose):
    read, given = keywords.read('evaluate', OPTIONS_OF_EVALUATION, options, own=['verbose'])
    with guest.tensorflow_at_work():
      from deeplab import evaluation_run

      reports = evaluation_run.run(*read, given=given, own_process=False)
  several = options.get('all_checkpoints') or options.get('watch')
  return reports if several else reports[0]


@keywords.takes(*OPTIONS_OF_TRAINING)
def train(*, verbose: bool = False, **options: Any) -> 'TrainingResult':
  """Trains a network on records: the run of run_trainer.py.

  An interrupt (Ctrl-C, a notebook's stop button) ends the training after the step at hand, saves
  it, and is then raised as KeyboardInterrupt; resume=True goes on from there.

  Args:
    verbose: print what the command prints.
    **options: its flags; filenames is required.

  Returns:
    a TrainingResult: how it ended, and where the checkpoints are.

  Raises:
    TypeError: no such option. InputError: see `training_run.run`.
  """
  with guest.as_guest(verbose=verbose):
    read, given = keywords.read('train', OPTIONS_OF_TRAINING, options, own=['verbose'])
    with guest.tensorflow_at_work():
      from deeplab import training_run

      return training_run.run(*read, given=given, own_process=False)


@keywords.takes(ConversionOptions)
def convert(*, verbose: bool = False, **options: Any) -> dict:
  """Writes image and label files to records: the run of write_tfrecord.py.

  Args:
    verbose: show a progress bar on a terminal.
    **options: its flags; split is required, and where the files are. num_workers is 1 unless it is
      given, since a script that starts more processes must keep its own code below
      `if __name__ == '__main__':`.

  Returns:
    the summary that is also written beside the records: number of records, classes, pixels and
    images of each, files. With shard_index what that shard wrote.

  Raises:
    TypeError: no such option. InputError: what is wrong with the files, up to 20 lines; nothing was
      written.
  """
  with guest.as_guest(verbose=verbose):
    (conversion_options,), given = keywords.read(
      'convert', [ConversionOptions], options, own=['verbose']
    )
    if 'num_workers' not in given:
      conversion_options = conversion_options.replace(num_workers=1)
    with guest.tensorflow_at_work():
      from deeplab import conversion_run

      try:
        return conversion_run.convert(conversion_options, given=given)
      except concurrent.futures.process.BrokenProcessPool as error:
        raise InputError(
          f'--num_workers={conversion_options.num_workers}: the processes have ended; in a script '
          "they need its own code below `if __name__ == '__main__':`, or leave it out"
        ) from error
