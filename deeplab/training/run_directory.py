"""The directory of a training run: what it holds, whether a run may start there, and its
checkpoints.

    flags.txt             every flag; `--flagfile=DIR/flags.txt --resume` continues the run
    model_options.json    the architecture, for evaluator and inferencer
    model.ckpt-STEP       checkpoints with everything a run needs to go on
    model.ckpt            the one at the end
    best.ckpt, best.json  the network with the best validation, and its score
    data_files.json       the record files of the run, their records and sizes
    bad_records.txt       the records that --skip_bad_records left out
    copied_files.json     what --copy_to has copied
    metrics.jsonl         what was logged, one JSON object a line
    events.out.tfevents*  the same for TensorBoard
"""

import contextlib
import json
import os
from collections.abc import Collection, Mapping

import numpy as np

from deeplab import (
  checkpoint_files,
  checkpoints,
  directory_lock,
  json_files,
  output_places,
  saved_options,
)
from deeplab.atomic_files import replacing
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.options import CheckedOptions, ModelOptions
from deeplab.training import data_files, run_files, run_flags
from deeplab.training.remote_copy import RemoteCopy
from deeplab.training.run_files import (
  AVERAGED_NAME,
  BEST_NAME,
  BEST_SCORE_NAME,
  DATA_FILES_NAME,
  FLAGS_NAME,
  METRICS_NAME,  # noqa: F401
)

_MOST_NAMED = 8  # Flags in a message.


class RunDirectory:
  """Reads and writes the files of one run.

  Attributes:
    path: the directory.
    copy: RemoteCopy of the run, of which there is none without --copy_to.
  """

  def __init__(self, path: str, *, copy_to: str | None = None):
    self.path = os.path.expanduser(path)
    self.copy = RemoteCopy(self.path, copy_to)

  def file(self, name: str) -> str:
    """Path of the run's file `name`."""
    return os.path.join(self.path, name)

  # === Starting and continuing ===

  def create(self) -> None:
    """Makes the directory and checks that it can be written. Raises InputError."""
    output_places.make_directory(self.path, flag='output_path')

  def locked(self) -> contextlib.AbstractContextManager:
    """While open, no other process can train in this directory; a kill unlocks it too.

    Raises InputError where one does.
    """
    return directory_lock.held(
      self.path,
      refusal=f'--output_path={self.path}: another process is training there; wait for it, stop '
      'it, or choose another path',
    )

  def refuse_if_in_use(self) -> None:
    """Raises InputError where the directory holds a run already."""
    checkpoint_files.refuse_run(self.path)

  def remove_run(self, *, keep_bad_records: bool = False) -> None:
    """Removes the files of an earlier run, and nothing else. The newest checkpoint goes first and
    the flags last: what a kill leaves is a run of fewer steps, or of none.
    """
    run_files.remove(self.path, keep_bad_records=keep_bad_records)
    self.copy.remove_run()

  def put_right(self) -> None:
    """Removes what a kill left half-written, and finishes what it cut short; only for who holds the
    lock.
    """
    run_files.put_right(self.path)

  def finish(self, *, step: int, max_to_keep: int) -> None:
    """Does what a kill right after the last checkpoint of a run, of this step, left undone; nothing
    where another process trains there.
    """
    with contextlib.suppress(InputError), self.locked():
      self.put_right()
      final = self.file(checkpoints.FINAL_NAME)
      saved_options.write_step(final, step)
      self._tidy(final, max_to_keep)
      self.copy.finish()

  def checkpoints_of_run(self) -> list[str]:
    """Prefixes of the whole checkpoints, `model.ckpt-STEP` by step and `model.ckpt` last."""
    return checkpoint_files.of_run(self.path)

  def newest_checkpoint(self) -> tuple[tuple[str, int] | None, list[str]]:
    """(prefix, step) of the newest checkpoint of which every tensor can be read, or None without
    any; and a warning line for each that is left out for it.

    Raises:
      InputError: there are checkpoints, and none can be read.
    """
    newest, damaged = checkpoints.newest_whole(self.checkpoints_of_run())
    if newest is None and damaged:  # Going on from nothing would write over them.
      raise InputError(
        f'--resume: of {len(damaged)} checkpoints in {self.path} none can be read: '
        f'{"; ".join(damaged)}; restore one or make it readable, or give --overwrite instead of '
        '--resume to begin anew'
      )
    return newest, [f'left out: {line}' for line in damaged]

  def is_finished(self, step: int) -> bool:
    """Whether `model.ckpt` is there, of this step or a later one, and can be read."""
    final = self.file(checkpoints.FINAL_NAME)
    if final not in self.checkpoints_of_run():
      return False
    newest, _ = checkpoints.newest_whole([final])
    return newest is not None and newest[1] >= step

  def keep_numbered(self, variables: Mapping, prefix: str, *, step: int) -> None:
    """Turns a `model.ckpt` that a run goes on from into `model.ckpt-STEP`, lest it passes for the
    end of the longer run.

    Args:
      variables: dict name -> tf.Variable, restored from `prefix`.
      prefix: the checkpoint that was restored.
      step: its step.
    """
    final = self.file(checkpoints.FINAL_NAME)
    if prefix == final:
      self._write_checkpoint(f'{final}-{step}', variables, step=step)
    checkpoints.remove(final)

  # === Flags ===

  def write_flags(self, *options: CheckedOptions) -> None:
    """Writes every flag of the run as a flagfile."""
    self._write_text(FLAGS_NAME, ''.join(line + '\n' for line in run_flags.lines(*options)))

  def saved_flags(self) -> dict[str, list[str]] | None:
    """name -> values as text of the run's flagfile, or None without one. Raises InputError."""
    path = self.file(FLAGS_NAME)
    if not os.path.lexists(path):
      return None
    try:
      values = run_flags.by_name(json_files.read_text(path).splitlines())
      run_flags.check(values)
      return values
    except (OSError, ValueError) as error:
      raise InputError(
        f'{shown(path)}: not the flags of a run ({shown(_reason(error))}); restore it'
      ) from error

  def check_flags(self, *options: CheckedOptions, given: Collection[str]) -> None:
    """Raises InputError where a flag of a run to be continued differs from what the run was started
    with.

    Args:
      *options: the options of the command that continues.
      given: names of the options that the user gave.
    """
    saved = self.saved_flags()
    different = [] if saved is None else run_flags.differences(saved, *options, given=given)
    if different:
      more = len(different) - _MOST_NAMED
      named = different[:_MOST_NAMED] + ([f'and {more} more'] if more > 0 else [])
      raise InputError(
        f'--resume: {", ".join(named)}: not the flags of the run in {self.path}; continue it '
        f'with --flagfile={self.file(FLAGS_NAME)} --resume, or choose another --output_path. Only '
        'a larger --num_steps and the flags of logging, saving and validation may change'
      )

  # === Data ===

  def write_data_files(self, facts: Mapping[str, Mapping]) -> None:
    """Writes flag -> `data_files.facts` of its files."""
    self._write_text(DATA_FILES_NAME, json.dumps(facts, indent=1) + '\n')

  def saved_data_files(self) -> dict[str, dict] | None:
    """What `write_data_files` wrote, or None where the run has no such file. Raises InputError."""
    return data_files.read(self.file(DATA_FILES_NAME))

  # === Checkpoints ===

  def save(
    self,
    variables: Mapping,
    *,
    step: int,
    model_options: ModelOptions,
    data_set: DataSet | None = None,
    trained_size: tuple[int, int] | None = None,
    final: bool = False,
    max_to_keep: int = 0,
  ) -> str:
    """Writes `model.ckpt-STEP`, or `model.ckpt`, with global_step; then removes the oldest beyond
    `max_to_keep`.

    Returns:
      the prefix.

    Raises:
      InputError: no space, or the directory has vanished; the older checkpoints are whole.
    """
    prefix = self.file(checkpoints.FINAL_NAME if final else f'{checkpoints.FINAL_NAME}-{step}')
    # There may be more than allowed, of a run that is continued, and little space.
    self._remove_oldest(max_to_keep)
    self._write_checkpoint(prefix, variables, step=step)
    saved_options.write(
      self.path, model_options, step=step, data_set=data_set, trained_size=trained_size
    )
    self._tidy(prefix, max_to_keep)
    return prefix

  def _tidy(self, newest, max_to_keep):
    """Removes the oldest, and lists the others for TensorFlow's tools."""
    self._remove_oldest(max_to_keep)
    checkpoints.update_state(
      self.path, [*(each for each in self._numbered() if each != newest), newest]
    )

  def _numbered(self):
    return [
      prefix for prefix in self.checkpoints_of_run() if checkpoints.step_of(prefix) is not None
    ]

  def _remove_oldest(self, max_to_keep):
    if max_to_keep:
      for prefix in self._numbered()[:-max_to_keep]:
        checkpoints.remove(prefix)

  def save_best(self, variables: Mapping, *, step: int, score: dict) -> None:
    """Writes `best.ckpt` and, after it, its score: a dict with 'mean_iou'."""
    self._write_checkpoint(self.file(BEST_NAME), variables, step=step)
    self._write_text(BEST_SCORE_NAME, json_files.one_line({'step': step, **score}))

  def save_averaged(self, variables: Mapping, *, step: int) -> None:
    """Writes `model_ema.ckpt`."""
    self._write_checkpoint(self.file(AVERAGED_NAME), variables, step=step)

  def best_score(self) -> dict | None:
    """The dict that goes with `best.ckpt`, or None where there is no whole one. Raises InputError
    for something else in its place: taken for none, the best network would be written over.
    """
    path = self.file(BEST_SCORE_NAME)
    try:
      checkpoints.find(self.file(BEST_NAME))
      if not os.path.lexists(path):
        return None
    except InputError:
      return None
    try:
      score = json_files.read(path)
      json_files.whole_number(score.get('step'), 'step')
      if score.get('mean_iou', '') is None:  # No pixel counted.
        return None
      if not 0 <= json_files.number(score.get('mean_iou'), 'mean_iou') <= 1:
        raise ValueError(f'mean_iou is {json_files.shown(score["mean_iou"])}, not from 0 to 1')
      return score
    except (OSError, ValueError) as error:
      raise InputError(
        f'{shown(path)}: not the score of {BEST_NAME} ({shown(_reason(error))}); restore it, or '
        'remove it to let the next validation count as the best'
      ) from error

  def _write_checkpoint(self, prefix, variables, *, step):
    # Not made anew: a directory that vanished is a fault of storage, which the user wants to know
    # of.
    if not os.path.isdir(self.path):
      raise InputError(
        f'--output_path={self.path}: has vanished; the checkpoint of step {step} could not be '
        'written'
      )
    checkpoints.write(prefix, {**variables, checkpoints.GLOBAL_STEP: np.int64(step)})

  def _write_text(self, name, text):
    try:
      with replacing(self.file(name)) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write(text)
    except OSError as error:
      raise InputError(
        f'{self.file(name)}: cannot be written ({error.strerror}); free space or choose another '
        '--output_path'
      ) from error


def _reason(error):
  return str(getattr(error, 'strerror', None) or error)
