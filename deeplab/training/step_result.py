"""What one update tells of itself."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class StepResult:
  """What one update did, numbers only; they are means over the whole batch, on all replicas and
  micro-batches.

  A log keeps hundreds of these, so nothing here may hold on to images, labels or logits.

  Attributes:
    total_loss: loss with the L2 term.
    parts: the loss's parts by name, with 'l2'.
    gradient_norm: norm over all gradients together, before multipliers and clipping.
    label_range: (smallest, largest) label that is not ignored, or None where all are.
    wrong_labels: number of pixels whose label is neither below num_classes nor ignored.
    overflowed: whether the float16 gradient did: nothing was updated, the loss scale was halved.
    stop_requested: whether a worker was asked to stop when it started this update.
  """

  total_loss: float
  parts: dict[str, float]
  gradient_norm: float
  label_range: tuple[int, int] | None
  wrong_labels: int
  overflowed: bool
  stop_requested: bool = False
