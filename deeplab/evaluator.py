"""Evaluation: records and a network to a confusion matrix and a loss."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from deeplab import label_values, metrics
from deeplab.distribution.workers import Workers
from deeplab.errors import InputError
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import PredictionOptions
from deeplab.prediction import image_padding, multi_scale, tiling
from deeplab.prediction.reduced_predictor import ReducedPredictor
from deeplab.prediction.same_size_batches import same_size_batches
from deeplab.prediction.tile_predictor import TilePredictor


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
  """What one evaluation found.

  Attributes:
    num_images: int.
    loss: mean over the images of cross entropy plus L2 term.
    confusion: int64 [C, C], rows the truth, columns the prediction.
    summary: metrics.Summary of `confusion`.
  """

  num_images: int
  loss: float
  confusion: np.ndarray
  summary: metrics.Summary


@dataclasses.dataclass(frozen=True)
class EvaluatedImage:
  """One image's share of an evaluation, for whoever looks on.

  Attributes:
    name: of the record.
    image: uint8 [H, W, 3].
    label: int32 [H, W].
    prediction: int32 [H, W].
    cross_entropy: float, mean over the pixels that are not ignored, 0 where there are none.
    confusion: int64 [C, C].
  """

  name: str
  image: np.ndarray
  label: np.ndarray
  prediction: np.ndarray
  cross_entropy: float
  confusion: np.ndarray


class DeepLabV3Evaluator:
  """Evaluates a network as often as asked, its weights may change in between if they are not
  constant; nothing is traced twice.
  """

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    *,
    num_classes: int,
    ignore_label: int = 255,
    options: PredictionOptions | None = None,
    workers: Workers | None = None,
    jit_compile: bool = False,
    constant_weights: bool = False,
  ):
    """Prepares the evaluation.

    Args:
      num_classes: number of classes C.
      ignore_label: label value that counts neither in the loss nor in the confusion matrix.
      options: None for the network as it is, one image at a time.
      workers: that evaluate together, each another part of the examples; `model` was made in the
        scope of their strategy, and every device gets batches of its own. None: this one alone with
        the strategy in scope.
      jit_compile: compile with XLA. A new image size then costs a compilation.
      constant_weights: the variables will not change any more after the first image, which is
        faster; with one replica only.
    """
    self._model = model
    self._num_classes = num_classes
    self._ignore_label = ignore_label
    self._options = options or PredictionOptions()
    self._options.check_against(model.options)
    self._workers = workers or Workers(tf.distribute.get_strategy())
    settings = dict(jit_compile=jit_compile, constant_weights=constant_weights)
    self._tiles = TilePredictor(model, self._options, **settings)
    self._reduced = ReducedPredictor(model, self._options, self._tiles, **settings)
    self._logits = multi_scale.logits_function(model, self._options, **settings)
    # Any size and any batch fit these, so nothing is traced for a new size.
    self._step = tf.function(
      self._evaluate_batch,
      autograph=False,
      input_signature=[
        tf.TensorSpec([None, None, None, 3], tf.uint8),
        tf.TensorSpec([None, None, None], tf.int32),
        tf.TensorSpec([None, 2], tf.int32),
      ],
    )

  @property
  def num_traces(self) -> int:
    """How often the network was traced."""
    return (
      self._step.experimental_get_tracing_count()
      + self._tiles.num_traces
      + self._reduced.num_traces
    )

  def evaluate(
    self, dataset: Iterable[dict], *, on_image: Callable[[EvaluatedImage], None] | None = None
  ) -> EvaluationResult:
    """Evaluates all examples.

    Args:
      dataset: dicts with image uint8 [H, W, 3], label int32 [H, W], name string, from
        `input_pipeline.evaluation_examples`; of several workers, this one's share.
      on_image: called with the EvaluatedImage of each example, in no particular order when batches
        are larger than 1.

    Raises:
      InputError: there is no example, or one is larger than a fixed padding.
      tf.errors.OpError: a record is bad; `input_pipeline.explain_failure` says which.
    """
    confusion = np.zeros([self._num_classes, self._num_classes], np.int64)
    num_images, cross_entropy = 0, 0.0
    for evaluated in self._evaluated_images(dataset):
      num_images += 1
      cross_entropy += evaluated.cross_entropy
      confusion += evaluated.confusion
      if on_image is not None:
        on_image(evaluated)
    num_images, cross_entropy, confusion = self._workers.sums(
      [np.int64(num_images), np.float64(cross_entropy), confusion]
    )
    num_images, cross_entropy = int(num_images), float(cross_entropy)
    if not num_images:
      raise InputError('no image to evaluate: the records are empty')
    loss = cross_entropy / num_images + float(self._model.l2_loss())
    return EvaluationResult(
      num_images=num_images, loss=loss, confusion=confusion, summary=metrics.summarize(confusion)
    )

  def _evaluated_images(self, dataset):
    """Yields the EvaluatedImage of each example."""
    batches = same_size_batches(
      (_as_arrays(example) for example in dataset),
      self._batch_key,
      batch_size=self._options.batch_size,
    )
    devices = self._workers.num_local_devices
    group = []
    for batch in batches:
      images = [example['image'] for example in batch]
      if self._reduced.needs_reduction(images[0]):
        yield from map(self._evaluate_by_bands, batch, self._reduced.probability_bands(images))
        continue
      if self._tiles.needs_tiles(images[0]):
        yield from map(self._evaluate_by_bands, batch, map(self._tiles.bands, images))
        continue
      group.append(batch)
      if len(group) == devices:
        yield from self._evaluate_group(group)
        group = []
    for batch in group:  # Too few for all devices: one after the other.
      yield from self._evaluate_group([batch])

  def _batch_key(self, example):
    """Examples with equal keys may be evaluated together."""
    size = self._reduced.size(example['image'])
    reduced = ('reduced',) if self._reduced.needs_reduction(example['image']) else ()
    if tiling.needs_tiles(*size, self._options.tile_size):
      return *reduced, 'tiles', *size
    try:
      return *reduced, *image_padding.size_seen(*size, self._options, self._model.options)
    except InputError as error:
      raise InputError(f'{example["name"]}: {error}') from error

  def _evaluate_group(self, batches):
    """Runs batches, one a replica if there are several, and yields EvaluatedImages."""
    inputs = [self._stacked(batch) for batch in batches]
    if len(batches) == 1:
      outputs = [self._step(*inputs[0])]
    else:
      strategy = self._workers.strategy
      first = self._workers.index * self._workers.num_local_devices
      per_replica = [
        strategy.experimental_distribute_values_from_function(
          lambda context, index=index: tf.convert_to_tensor(
            inputs[context.replica_id_in_sync_group - first][index]
          )
        )
        for index in range(3)
      ]
      results = strategy.run(lambda *arguments: self._step(*arguments), args=per_replica)
      outputs = list(zip(*(strategy.experimental_local_results(result) for result in results)))
    for batch, (cross_entropies, confusions, predictions) in zip(batches, outputs):
      for example, cross_entropy, confusion, prediction in zip(
        batch, cross_entropies.numpy(), confusions.numpy(), predictions.numpy()
      ):
        height, width = example['label'].shape
        yield EvaluatedImage(
          prediction=prediction[:height, :width],
          cross_entropy=float(cross_entropy),
          confusion=confusion,
          **example,
        )

  def _stacked(self, batch):
    size = image_padding.size_seen(*batch[0]['label'].shape, self._options, self._model.options)
    images = image_padding.stack_padded([example['image'] for example in batch], size=size, value=0)
    labels = image_padding.stack_padded(
      [example['label'] for example in batch], size=size, value=self._ignore_label
    )
    return images, labels, np.array([example['label'].shape for example in batch], np.int32)

  def _evaluate_batch(self, images, labels, sizes):
    """Traced: cross entropy [B] float32, confusion [B, C, C] int64, predictions [B, H, W] int32."""
    logits = self._logits(images, sizes)
    predictions = tf.argmax(logits, axis=-1, output_type=tf.int32)
    labels = label_values.as_numbers(labels)
    valid = tf.not_equal(labels, float(self._ignore_label))
    # A label out of range is an error of the confusion matrix below, which says so.
    in_range = label_values.as_indices(tf.clip_by_value(labels, 0.0, float(self._num_classes - 1)))
    cross_entropy = self._model.operations.cross_entropy(logits, in_range)
    cross_entropy = tf.where(valid, cross_entropy, tf.zeros_like(cross_entropy))
    weights = tf.cast(valid, tf.float32)
    means = tf.math.divide_no_nan(
      tf.reduce_sum(cross_entropy, axis=[1, 2]), tf.reduce_sum(weights, axis=[1, 2])
    )
    confusions = metrics.confusion_matrices(
      labels, predictions, num_classes=self._num_classes, ignore_label=self._ignore_label
    )
    return means, confusions, predictions

  def _evaluate_by_bands(self, example, bands):
    """The EvaluatedImage of one image from (first_row, probabilities float32 [rows, W, C])."""
    prediction = np.empty(example['label'].shape, np.int32)
    total, count = 0.0, 0
    for top, probabilities in bands:
      rows = slice(top, top + len(probabilities))
      prediction[rows] = probabilities.argmax(axis=-1)
      label = example['label'][rows]
      valid = label != self._ignore_label
      true_class = np.take_along_axis(
        probabilities, np.where(valid, label, 0)[..., np.newaxis], axis=-1
      )[..., 0]
      total -= np.log(np.maximum(true_class[valid], 1e-37), dtype=np.float64).sum()
      count += valid.sum()
    confusion = metrics.confusion_matrix(
      example['label'], prediction, num_classes=self._num_classes, ignore_label=self._ignore_label
    ).numpy()
    return EvaluatedImage(
      prediction=prediction,
      cross_entropy=float(total / count) if count else 0.0,
      confusion=confusion,
      **example,
    )


def _as_arrays(example):
  return {
    'image': np.asarray(example['image']),
    'label': np.asarray(example['label']),
    'name': bytes(np.asarray(example['name']).item()).decode('utf-8', 'surrogateescape'),
  }
