"""Whether an exported model predicts what the checkpoint does: run in a fresh process, compared
pixel by pixel.
"""

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from deeplab import metrics
from deeplab.export import own_process, run_exported
from deeplab.export.exported_files import ExportedFile
from deeplab.export.own_process import ProcessError
from deeplab.inferencer import DeepLabV3Inferencer

# How much lower the mIOU of int8 may be.
MOST_MIOU_LOST = 0.02
# Percentages of pixels whose class may differ.
LIMITS = {
  ('saved_model', 'float32'): 0.01,
  ('onnx', 'float32'): 0.01,
  ('tflite', 'float32'): 0.1,
  ('tflite', 'float16'): 0.2,
  ('tflite', 'int8'): 5.0,
}


class CheckError(Exception):
  """An exported model does not run, or does not predict what it should; the message says what."""


@dataclasses.dataclass(frozen=True)
class Reference:
  """What the checkpoint predicts.

  Attributes:
    batches: uint8 [B, H, W, 3] each.
    labels: int32 [B, H, W] of each batch.
    probabilities: float32 [B, h, w, num_classes] of each, of every eighth row and column.
  """

  batches: Sequence[np.ndarray]
  labels: Sequence[np.ndarray]
  probabilities: Sequence[np.ndarray]

  @property
  def sizes(self) -> str:
    """The sizes in words."""
    shapes = dict.fromkeys((batch.shape[1:3], len(batch)) for batch in self.batches)
    return ', '.join(
      f'{height}x{width}{f" ({count} at once)" if count > 1 else ""}'
      for (height, width), count in shapes
    )


@dataclasses.dataclass(frozen=True)
class Comparison:
  """How far an exported model is from the checkpoint.

  Attributes:
    num_pixels: compared.
    num_different: of another class.
    probability_difference: the largest, of every eighth row and column.
  """

  num_pixels: int
  num_different: int
  probability_difference: float

  @property
  def percent(self) -> float:
    """Of pixels that differ."""
    return 100.0 * self.num_different / self.num_pixels

  def __str__(self):
    return (
      f'{self.num_different} of {self.num_pixels} pixels differ ({self.percent:.4f} %), '
      f'probabilities by {self.probability_difference:.1e} at most'
    )


def reference(inferencer: DeepLabV3Inferencer, batches: Sequence[np.ndarray]) -> Reference:
  """Predicts the batches with an inferencer that gives probabilities."""
  labels, probabilities = [], []
  for batch in batches:
    predicted = inferencer.predict(list(batch))
    step = run_exported.STEP
    labels.append(np.stack([one for one, _ in predicted]))
    probabilities.append(np.stack([one[::step, ::step] for _, one in predicted]))
  return Reference(batches, labels, probabilities)


def compare(expected: Reference, outputs: Mapping[str, Sequence[np.ndarray]]) -> Comparison:
  """Compares what `run` gives for the batches of `expected` with it.

  Raises:
    CheckError: the outputs have other shapes, or are not finite.
  """
  num_pixels = num_different = 0
  difference = 0.0
  for index, (labels, probabilities) in enumerate(zip(expected.labels, expected.probabilities)):
    found, alone, others = (
      outputs[kind][index] for kind in ('labels', 'only_labels', 'probabilities')
    )
    if found.shape != labels.shape or others.shape != probabilities.shape:
      raise CheckError(
        f'it predicts {list(found.shape)} and {list(others.shape)} for images '
        f'{list(expected.batches[index].shape)}'
      )
    if not np.isfinite(others).all():
      raise CheckError('its probabilities are not finite')
    num_pixels += labels.size
    # Both signatures have to be right.
    num_different += int(np.count_nonzero((found != labels) | (alone != labels)))
    difference = max(difference, float(np.abs(others - probabilities).max()))
  return Comparison(num_pixels, num_different, difference)


def run(
  file: ExportedFile,
  path: str,
  batches: Sequence[np.ndarray],
  *,
  aside: str,
  environment: Mapping[str, str] = {},
) -> dict[str, list[np.ndarray]]:
  """Runs the model at `path` in a process of its own.

  Args:
    file: what it is.
    path: where it is.
    batches: uint8 [B, H, W, 3] each.
    aside: directory for the arrays.
    environment: more environment variables for the process.

  Returns:
    lists of arrays by the kinds that run_exported.py names, in the order of the batches.

  Raises:
    CheckError: it fails.
  """
  with tempfile.TemporaryDirectory(dir=os.path.abspath(aside)) as directory:
    for index, batch in enumerate(batches):
      np.save(os.path.join(directory, f'images_{index:05d}'), batch)
    try:
      own_process.run(
        run_exported.__file__,
        file.format,
        os.path.abspath(path),
        directory,
        directory=directory,
        environment=environment,
      )
    except ProcessError as error:
      raise CheckError(f'it does not run: {error}') from error
    return {
      kind: [
        np.load(os.path.join(directory, f'{kind}_{index:05d}.npy')) for index in range(len(batches))
      ]
      for kind in ('labels', 'only_labels', 'probabilities')
    }


def mean_iou(
  labels: Sequence[np.ndarray],
  predictions: Sequence[np.ndarray],
  *,
  num_classes: int,
  ignore_label: int,
) -> float:
  """The mIOU of predictions, integer [H, W] each, of true labels."""
  confusions = [
    metrics.confusion_matrix(one, other, num_classes=num_classes, ignore_label=ignore_label).numpy()
    for one, other in zip(labels, predictions)
  ]
  return metrics.summarize(np.sum(confusions, axis=0)).mean_iou
