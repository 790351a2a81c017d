"""What is known of published weights before they are downloaded. Free of TensorFlow and numpy."""

import dataclasses
import posixpath
from collections.abc import Mapping

from deeplab.model.backbones import BACKBONES

_DATA_SETS = {'voc': 'PASCAL VOC 2012', 'cityscapes': 'Cityscapes', 'ade20k': 'ADE20K'}


@dataclasses.dataclass(frozen=True)
class Score:
  """A figure of the page that publishes the weights, measured there and not here.

  Attributes:
    percent: the mIOU, or of an ImageNet classifier the top-1 accuracy.
    split: of the data set, 'val' or 'test'; '' where the page does not say.
    output_stride: of the evaluation; None for a classifier.
    scales: of the evaluation, as the page writes them where there are several.
    flipped: the mirrored image was predicted too.
  """

  percent: float
  split: str
  output_stride: int | None = None
  scales: str = ''
  flipped: bool = False

  def __str__(self):
    how = [] if self.output_stride is None else [f'stride {self.output_stride}']
    how += [f'scales {self.scales}'] if self.scales else []
    how += ['mirrored too'] if self.flipped else []
    split = f' on {self.split}' if self.split else ''
    return f'{self.percent:.2f} %{split}' + (f' ({", ".join(how)})' if how else '')


@dataclasses.dataclass(frozen=True)
class PublishedModel:
  """Published weights.

  Attributes:
    name: such as 'official/xception65_voc_trainaug'.
    address: of the archive, as the page has it.
    flags: ModelOptions of the network by name; what is left out, the names in the archive tell.
    file_size: of the archive, as the page has it; '' where it does not say.
    trained_on: data sets, in the order of the training.
    other_names: names under which it may be asked for too; the first is that of its page.
    data_set: whose classes it has: a name that class_names and color_map know; None where only the
      backbone is used.
    num_classes: of that data set.
    ignore_label: label that its training did not count.
    trained_size: (height, width) of the crops of its training, where the recipe of the data set
      does not say it.
    scores: Scores.
    lacks: what this toolkit lacks to run it, beside the backbone; ''.
  """

  name: str
  address: str
  flags: Mapping[str, object]
  file_size: str
  trained_on: str
  other_names: tuple[str, ...] = ()
  data_set: str | None = None
  num_classes: int | None = None
  ignore_label: int | None = None
  trained_size: tuple[int, int] | None = None
  scores: tuple[Score, ...] = ()
  lacks: str = ''

  @property
  def archive(self) -> str:
    """File name of the archive."""
    return posixpath.basename(self.address)

  @property
  def is_backbone(self) -> bool:
    """Whether only its backbone is of use: a training can start from it."""
    return self.data_set is None

  @property
  def missing(self) -> str:
    """What this toolkit lacks to use it, or ''."""
    variant = self.flags['model_variant']
    return self.lacks or ('' if variant in BACKBONES else f'the backbone {variant}')

  def network_flags(self) -> dict[str, object]:
    """`flags`, and of a backbone the normalization that its training had."""
    if not self.is_backbone or self.missing:
      return dict(self.flags)
    normalization = BACKBONES[self.flags['model_variant']].preprocess_images_option
    return {**self.flags, 'preprocess_images_option': normalization}

  def lines(self) -> list[str]:
    """What --list says of it below its name."""
    flags = ' '.join(
      f'--{name}={_text(value)}' for name, value in self.network_flags().items() if value != ()
    )
    lines = [self.address + (f' ({self.file_size})' if self.file_size else '')]
    if self.is_backbone:
      lines.append(f'a backbone trained on {self.trained_on}, to start trainings from')
    else:
      lines.append(
        f'{self.num_classes} classes of {_DATA_SETS[self.data_set]}, names and colours '
        f'{self.data_set}, ignored label {self.ignore_label}; trained on {self.trained_on}'
      )
    lines.append(flags)
    if self.scores:
      measure = 'top-1 accuracy' if self.is_backbone else 'mIOU'
      lines.append(f'{measure} (theirs): {"; ".join(map(str, self.scores))}')
    if self.missing:
      lines.append(f'cannot be used: this toolkit lacks {self.missing}')
    return lines


def _text(value):
  return ','.join(map(str, value)) if isinstance(value, tuple) else value
