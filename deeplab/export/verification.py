"""Decides whether a file that was just written may get its name."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from deeplab.export import check, checking_images
from deeplab.export.check import CheckError, Comparison, Reference
from deeplab.export.exported_files import ExportedFile
from deeplab.export.int8_data import Int8Data
from deeplab.export.portable_operations import PortableOperations
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.messages import phase
from deeplab.options import ModelExportOptions, PredictionOptions
from deeplab.prediction.trained_network import TrainedNetwork

_ENVIRONMENTS = {
  'saved_model': {
    '': {'TF_ENABLE_ONEDNN_OPTS': '1'},
    'without oneDNN': {'TF_ENABLE_ONEDNN_OPTS': '0'},
  }
}

_ADVICE_ON_SCENES = (
  '; these were drawn scenes: --check_images with images such as the network was made for tell more'
)


@dataclasses.dataclass(frozen=True)
class Finding:
  """What one run of an exported model showed.

  Attributes:
    run: what was special about it, or ''.
    comparison: with the checkpoint.
    mean_iou, mean_iou_of_checkpoint: on the same records, or None where there were none.
    num_records: their number.
  """

  run: str
  comparison: Comparison
  mean_iou: float | None = None
  mean_iou_of_checkpoint: float | None = None
  num_records: int = 0

  def __str__(self):
    text = f'{self.run}: {self.comparison}' if self.run else str(self.comparison)
    if self.mean_iou is None:
      return text
    return (
      f'{text}; mIOU {self.mean_iou:.4f}, of the checkpoint {self.mean_iou_of_checkpoint:.4f}, on '
      f'{self.num_records} records that were not used to calibrate'
    )


class Verification:
  """Compares files with a checkpoint; its own predictions are made once for all of them."""

  def __init__(
    self,
    trained: TrainedNetwork,
    options: ModelExportOptions,
    *,
    int8_data: Int8Data | None,
    aside: str,
  ):
    """Prepares it.

    Args:
      trained: the checkpoint's network.
      options: size, pad, check_images and max_different_pixels.
      int8_data: examples, where int8 is among the files.
      aside: a directory for arrays.

    Raises:
      InputError: an image cannot be read.
    """
    self._options, self._int8_data, self._aside = options, int8_data, aside
    self._num_classes = trained.options.num_classes
    self._inferencer = DeepLabV3Inferencer(
      trained.model.with_operations(PortableOperations()),
      options=PredictionOptions(eval_pad=options.pad),
      with_probabilities=True,
    )
    self._given = checking_images.read(options.check_images) if options.check_images else []
    self._references = {}

  def verify(self, file: ExportedFile, path: str) -> list[Finding]:
    """Runs the file at `path`.

    Raises:
      CheckError: it does not run, or is further from the checkpoint than it may be.
    """
    expected = self._reference(file)
    findings = []
    for run, environment in _ENVIRONMENTS.get(file.format, {'': {}}).items():
      outputs = check.run(file, path, expected.batches, aside=self._aside, environment=environment)
      finding = Finding(run, check.compare(expected, outputs))
      if file.weights == 'int8' and self._int8_data.has_labels:
        finding = self._with_mean_iou(finding, expected, outputs['labels'])
      self._refuse(file, finding, expected)
      findings.append(finding)
    return findings

  def entry(self, file: ExportedFile, findings: Sequence[Finding]) -> dict:
    """The findings as export.json has them."""
    return {
      'sizes': self._reference(file).sizes,
      'max_different_pixels': self._limit(file),
      'runs': [
        {
          'run': finding.run,
          **dataclasses.asdict(finding.comparison),
          **{
            name: getattr(finding, name)
            for name in ('mean_iou', 'mean_iou_of_checkpoint', 'num_records')
            if finding.mean_iou is not None
          },
        }
        for finding in findings
      ],
    }

  def _refuse(self, file, finding, expected):
    limit = self._limit(file)
    if finding.comparison.percent > limit:
      raise CheckError(
        f'{finding}; --max_different_pixels is {limit:g} %; images of {expected.sizes}'
        + ('' if self._given or file.weights == 'int8' else _ADVICE_ON_SCENES)
      )
    lost = (finding.mean_iou_of_checkpoint or 0.0) - (finding.mean_iou or 0.0)
    if finding.mean_iou is not None and lost > check.MOST_MIOU_LOST:
      raise CheckError(
        f'{finding}; the mIOU may be lower by {check.MOST_MIOU_LOST:g}; give more and other '
        '--representative_filenames, or take float16'
      )

  def _limit(self, file):
    given = self._options.max_different_pixels
    return check.LIMITS[file.format, file.weights] if given is None else given

  def _with_mean_iou(self, finding, expected, predictions):
    data = self._int8_data
    scores = [
      check.mean_iou(
        [one.label for one in data.held_out],
        [labels[0] for labels in given[: len(data.held_out)]],
        num_classes=self._num_classes,
        ignore_label=data.ignore_label,
      )
      for given in (predictions, expected.labels)
    ]
    return dataclasses.replace(
      finding,
      mean_iou=scores[0],
      mean_iou_of_checkpoint=scores[1],
      num_records=len(data.held_out),
    )

  def _reference(self, file: ExportedFile) -> Reference:
    """The checkpoint's prediction of what this file is compared on."""
    int8 = file.weights == 'int8'
    # A TFLite file of one size takes one image at a time.
    several = file.format != 'tflite' or self._options.fixed_size is None
    if (int8, several) not in self._references:
      with phase('predicting with the checkpoint'):
        self._references[int8, several] = check.reference(
          self._inferencer, self._batches(int8=int8, several=several)
        )
    return self._references[int8, several]

  def _batches(self, *, int8, several) -> list[np.ndarray]:
    held_out = [one.image[np.newaxis] for one in self._int8_data.held_out] if int8 else []
    if held_out and not self._given:
      return held_out
    return held_out + checking_images.batches(
      self._given, size=self._options.fixed_size, several=several
    )
