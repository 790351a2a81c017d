"""What one sees of a run: lines on stdout, a progress bar on a terminal, metrics.jsonl,
TensorBoard.
"""

import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from deeplab import color_map, json_files, messages, metrics, pictures, undecodable_names
from deeplab.errors import InputError, shown
from deeplab.evaluator import EvaluationResult
from deeplab.failure_reasons import reason_of
from deeplab.training import metrics_file
from deeplab.training.step_result import StepResult

_PANEL_CELL = 192
_SECONDS_BETWEEN_DRAWINGS = 0.2
# Seconds a step are the images per second beside it once more, and the line is narrow.
_BAR = '{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]'


class TrainingLog:
  """Reports each update, and means over `log_per_steps` updates. Use it in a `with` block."""

  def __init__(
    self,
    directory: str,
    *,
    metrics_name: str,
    log_per_steps: int,
    num_steps: int,
    start_step: int = 0,
    colors: np.ndarray | None = None,
  ):
    """Opens the files.

    Args:
      directory: of the run.
      metrics_name: name of the JSON lines file in it; lines after `start_step` are dropped.
      log_per_steps: steps between two lines.
      num_steps: of the whole run.
      start_step: steps made before.
      colors: uint8 [n, 3], RGB, of the classes in pictures; None for those of PASCAL VOC.
    """
    self._colors = color_map.pascal_voc_color_map() if colors is None else colors
    self._directory, self._log_per_steps = directory, log_per_steps
    self._metrics_path = os.path.join(directory, metrics_name)
    self.validations = [
      line for line in metrics_file.rewind(self._metrics_path, start_step) if 'mean_iou' in line
    ]
    self._metrics = open(self._metrics_path, 'a', encoding='utf-8')
    with self._explaining():
      self._summaries = tf.summary.create_file_writer(directory)
    self._bar, self._drawn = None, 0.0
    if messages.shows_bars():
      from tqdm import tqdm

      self._bar = tqdm(
        total=num_steps,
        initial=start_step,
        desc='tracing the network',
        bar_format=_BAR,
        **(messages.size_for_bars() or {'dynamic_ncols': True}),
        smoothing=0.05,
      )
    self._start_interval()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    if self._bar is not None:
      self.at('training')
      self._bar.close()
    with self._explaining():
      self._metrics.close()
      self._summaries.close()

  def line(self, text: str) -> None:
    """Prints lines on stdout, beside the progress bar if there is one."""
    beside = contextlib.nullcontext()
    if self._bar is not None:
      beside = self._bar.external_write_mode(file=sys.stdout)
    with beside:
      messages.say(*text.split('\n'))

  def update(
    self, result: StepResult, *, step: int, learning_rate: float, num_images: int, waited: float
  ) -> None:
    """Reports one update.

    Args:
      result: what it did.
      step: number of updates made, this one included.
      learning_rate: the update's.
      num_images: in its batches.
      waited: seconds it waited for input.
    """
    self._losses.append(result.total_loss)
    for name, value in result.parts.items():
      self._parts.setdefault(name, []).append(value)
    if not result.overflowed:
      self._norms.append(result.gradient_norm)
    self._num_images += num_images
    self._waited += waited
    seconds = max(time.monotonic() - self._since, 1e-9)
    if self._bar is not None:
      self._bar.set_description_str('training', refresh=False)
      self._bar.set_postfix_str(
        f'loss {result.total_loss:.4f}, rate {learning_rate:.2g}, {self._num_images / seconds:.1f} '
        f'images/s{_shown_waiting(self._waited / seconds)}',
        refresh=False,
      )
      self._bar.update()
    if step % self._log_per_steps:
      return
    loss = float(np.mean(self._losses))
    self.line('step: %d, loss: %f' % (step, loss))
    parts = {name: float(np.mean(values)) for name, values in self._parts.items()}
    numbers = {
      'learning_rate': learning_rate,
      'gradient_norm': float(np.mean(self._norms)) if self._norms else 0.0,
      'images_per_second': self._num_images / seconds,
      'waiting_for_input': self._waited / seconds,
    }
    self._write({'step': step, 'loss': loss, 'loss_parts': parts, **numbers})
    self._write_scalars(
      step,
      {'total_loss': loss, **{f'losses/{name}': value for name, value in parts.items()}, **numbers},
    )
    self._start_interval()

  def at(self, what: str, *, seldom: bool = False) -> None:
    """Says at the bar what the run is at beside training, until the next update.

    Args:
      what: such as 'saving'.
      seldom: leave it out where it was said a moment ago.
    """
    now = time.monotonic()
    if self._bar is None or (seldom and now - self._drawn < _SECONDS_BETWEEN_DRAWINGS):
      return
    self._drawn = now
    self._bar.set_description_str(what)

  def validated(
    self, result: EvaluationResult, *, step: int, best: dict, class_names: Sequence[str] | None
  ) -> None:
    """Reports a validation, and the best score so far, a dict with mean_iou and step."""
    summary = result.summary
    shown_names = class_names and tuple(map(shown, class_names))
    self.line(
      f'validation at step {step}: mIOU {summary.mean_iou:.4f}'
      f'{metrics.one_class_remark(summary, shown_names)}, loss {result.loss:.4f}, '
      f'{result.num_images} images; best {best["mean_iou"]:.4f} at step {best["step"]}'
    )
    names = shown_names or tuple(str(index) for index in range(len(summary.iou)))
    scores = [f'{name} {_number(value)}' for name, value in zip(names, summary.iou)]
    self.line('  IoU: ' + self._broken(scores, indent=7))
    line = {
      'step': step,
      'mean_iou': summary.mean_iou,
      'validation_loss': result.loss,
      'iou': [None if np.isnan(value) else float(value) for value in summary.iou],
    }
    self.validations.append(line)
    self._write(line)
    scalars = {'validation/mean_iou': summary.mean_iou, 'validation/loss': result.loss}
    scalars.update(
      (f'validation/iou/{name}', value)
      for name, value in zip(names, summary.iou)
      if not np.isnan(value)
    )
    self._write_scalars(step, scalars)
    # The pause is not the training's: images per second count from here.
    self._since, self._num_images, self._waited = time.monotonic(), 0, 0.0

  def _broken(self, parts, *, indent):
    """The parts between commas; on a terminal lines end between two of them."""
    width = shutil.get_terminal_size().columns if self._bar is not None else math.inf
    lines = [[]]
    for part in parts:
      if lines[-1] and indent + len(', '.join([*lines[-1], part])) + 1 > width:
        lines.append([])
      lines[-1].append(part)
    return (',\n' + ' ' * indent).join(map(', '.join, lines))

  def panel(
    self,
    name: str,
    rows: Iterable[tuple],
    *,
    step: int,
    ignore_label: int,
    titles: Sequence[str] = (),
  ) -> None:
    """Writes a picture to TensorBoard: rows of image uint8 [h, w, 3], label [h, w] and prediction
    [h, w], below their titles.
    """
    cells = [
      [
        image,
        _colored(label, self._colors, ignore_label),
        color_map.colorize(prediction, self._colors),
      ]
      for image, label, prediction in rows
    ]
    sheet = pictures.contact_sheet(
      cells,
      column_titles=('image', 'label', 'prediction'),
      row_titles=[undecodable_names.to_text(title) for title in titles[: len(cells)]],
      cell_size=_PANEL_CELL,
    )
    with self._explaining(), self._summaries.as_default():
      tf.summary.image(name, np.asarray(sheet)[np.newaxis], step=step)

  def flush(self) -> None:
    """Brings what was reported to the disk. Raises InputError where that fails."""
    with self._explaining():
      self._metrics.flush()
      self._summaries.flush()

  @contextlib.contextmanager
  def _explaining(self):
    try:
      yield
    except (OSError, tf.errors.OpError) as error:
      raise InputError(
        f'{shown(self._directory)}: the log cannot be written ({reason_of(error)}); free space or '
        'choose another --output_path; the checkpoints are whole'
      ) from error

  def _start_interval(self):
    self._losses, self._parts, self._norms = [], {}, []
    self._num_images, self._waited, self._since = 0, 0.0, time.monotonic()

  def _write(self, line):
    try:
      self._metrics.write(json_files.one_line(line))
      self._metrics.flush()
    except OSError as error:
      raise InputError(
        f'{self._metrics_path}: cannot be written ({error.strerror}); free space or choose another '
        '--output_path; the checkpoints are whole'
      ) from error

  def _write_scalars(self, step, numbers):
    with self._explaining(), self._summaries.as_default():
      for name, value in numbers.items():
        tf.summary.scalar(name, value, step=step)
    self.flush()


def _colored(label, colors, ignore_label):
  """The label in colours, ignored pixels white."""
  ignored = (label == ignore_label)[..., np.newaxis]
  return np.where(
    ignored, np.uint8(255), color_map.colorize(np.where(ignored[..., 0], 0, label), colors)
  )


def _shown_waiting(share):
  """The share of the time spent waiting for input, where it matters."""
  return f', waiting for input {share:.0%}' if share >= 0.05 else ''


def _number(value):
  return '-' if np.isnan(value) else f'{value:.4f}'
