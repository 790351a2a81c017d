"""The names of a run's files, and which of them go: all but the user's, or what a kill left."""

import contextlib
import glob
import os
import re

from deeplab import atomic_files, checkpoint_files, checkpoint_replacement, saved_options

FLAGS_NAME = 'flags.txt'
DATA_FILES_NAME = 'data_files.json'
BEST_NAME = 'best.ckpt'
BEST_SCORE_NAME = 'best.json'
AVERAGED_NAME = 'model_ema.ckpt'
METRICS_NAME = 'metrics.jsonl'
BAD_RECORDS_NAME = 'bad_records.txt'
COPIED_NAME = 'copied_files.json'
# Beside checkpoints and events, what a copy of the run has.
COPIED_ALONG = frozenset(
  {
    FLAGS_NAME,
    DATA_FILES_NAME,
    BEST_SCORE_NAME,
    METRICS_NAME,
    BAD_RECORDS_NAME,
    checkpoint_files.STATE_NAME,
    saved_options.FILE_NAME,
  }
)
# Of the checkpoints that a run numbers.
_NUMBERED_DATA = re.compile(
  r'(model\.ckpt-\d+)' + f'(?:{re.escape(checkpoint_files.PREVIOUS)})?' + r'\.data-00000-of-00001'
)


def remove(directory: str, *, keep_bad_records: bool = False) -> None:
  """Removes the files of a run, and nothing else. The newest checkpoint goes first and the flags
  last: what a kill leaves is a run of fewer steps, or of none.
  """
  newest_first = reversed(checkpoint_files.of_run(directory))
  others = (os.path.join(directory, name) for name in (AVERAGED_NAME, BEST_NAME))
  for prefix in (*newest_first, *others):
    checkpoint_replacement.remove(prefix)
  for name in glob.glob(glob.escape(os.path.join(directory, 'events.out.tfevents.')) + '*'):
    os.remove(name)
  for name in (
    checkpoint_files.STATE_NAME,
    BEST_SCORE_NAME,
    METRICS_NAME,
    *(() if keep_bad_records else (BAD_RECORDS_NAME,)),
    DATA_FILES_NAME,
    COPIED_NAME,
    saved_options.FILE_NAME,
    FLAGS_NAME,
  ):
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(directory, name))


def put_right(directory: str) -> None:
  """Removes what a kill left half-written, and finishes what it cut short."""
  atomic_files.remove_unfinished(directory)
  names = {checkpoint_files.FINAL_NAME, BEST_NAME, AVERAGED_NAME}
  names.update(
    match.group(1) for match in map(_NUMBERED_DATA.fullmatch, os.listdir(directory)) if match
  )
  for name in names:
    checkpoint_replacement.put_right(os.path.join(directory, name))
