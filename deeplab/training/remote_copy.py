"""A copy of a run directory on a remote file system, brought up to date after each save.

What is copied are hard links that were made at the time of the save, so the copying, in a thread of
its own, meets whole checkpoints while the training goes on, and removes and replaces them.
"""

import concurrent.futures
import contextlib
import json
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from deeplab import (
  checkpoint_files,
  failure_reasons,
  json_files,
  remote_files,
  tensorflow_files,
)
from deeplab.atomic_files import give_second_name, replacing, unfinished_directory
from deeplab.errors import InputError, shown
from deeplab.messages import phase, warn
from deeplab.training import run_files

_OTHERS = '|'.join(map(re.escape, (run_files.BEST_NAME, run_files.AVERAGED_NAME)))
_CHECKPOINT_FILE = re.compile(
  rf'({re.escape(checkpoint_files.FINAL_NAME)}(?:-\d+)?|{_OTHERS})\.(index|data-\d{{5}}-of-\d{{5}})'
)
# One file may fail by itself; after so many of an update the others would, too.
_MOST_FAILURES = 3
_EVENTS = 'events.out.tfevents.'
_FACTS = ('size', 'changed_ns')
_TRIES_AGAIN = 'training goes on, and the next save tries again'
_COPY_LATER = 'the same command with --resume tries again, or copy the run directory by hand'


class _File(NamedTuple):
  """What tells a file of a run from a later one of its name."""

  size: int
  changed_ns: int


class RemoteCopy:
  """Copies the files of a run, and nothing else that is in its directory; only for the one process
  that writes there.

  At any moment what is there can be evaluated: the index of a checkpoint comes after its data and
  goes before it, and old checkpoints go after new ones have come. A failure is a warning, and the
  next save tries again.
  """

  def __init__(self, directory: str, remote: str | None):
    """Copies nothing yet.

    Args:
      directory: of the run.
      remote: `scheme://...`, the directory of the copy; None: there is none, and nothing to do.
    """
    self._directory, self._remote = directory, remote.rstrip('/') if remote else None
    self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix='copy')
    self._running = None  # The future of a list of warnings.
    self._copied = None  # Name -> _File, of what is there and ours.

  def create(self, *, may_hold_run: bool) -> None:
    """Makes the remote directory.

    Args:
      may_hold_run: it may hold this run, or one to be replaced.

    Raises:
      InputError: it cannot be made, or holds a run.
    """
    if self._remote is None:
      return
    remote_files.check_scheme(self._remote, flag='copy_to')
    found = [] if may_hold_run else checkpoint_files.of_run(self._remote)
    if found:
      raise InputError(
        f'--copy_to={shown(self._remote)}: holds a run already ({os.path.basename(found[-1])}); '
        'give another directory, --resume to go on with that run, or --overwrite to replace it'
      )
    try:
      tensorflow_files.make_directories(self._remote)
    except OSError as error:
      raise InputError(
        f'--copy_to={shown(self._remote)}: cannot be made ({error.strerror}); choose another'
      ) from error

  def remove_run(self) -> None:
    """Removes the files of an earlier run there; a failure is a warning."""
    if self._remote is None:
      return
    self._copied = {}
    try:
      names = [name for name, is_one in remote_files.entries(self._remote) if not is_one]
    except OSError as error:
      self._warn([_problem(self._remote, 'cannot be read', error)], _TRIES_AGAIN)
      return
    self._warn(self._remove(name for name in names if _is_of_run(name)), _TRIES_AGAIN)

  def update(self) -> None:
    """Begins to copy what is new and to remove what is gone. Warns of what failed since the last
    time; where that is not at its end yet, only the next update does anything.
    """
    if self._remote is None or (self._running is not None and not self._running.done()):
      return
    if self._running is not None:
      self._warn(self._running.result(), _TRIES_AGAIN)
      self._running = None
    self._begin()

  def finish(self) -> None:
    """Waits for the end of the last update and makes another one; warns of what failed."""
    if self._remote is None:
      return
    with phase('copying the run'):
      if self._running is not None:
        concurrent.futures.wait([self._running])
      self._begin()
      problems = self._running.result() if self._running is not None else []
    self._running = None
    self._warn(problems, _COPY_LATER)

  def _begin(self):
    self._running = None
    stack = contextlib.ExitStack()
    try:
      with contextlib.ExitStack() as made:
        aside = made.enter_context(unfinished_directory(self._directory, 'copy'))
        now = self._linked(aside)
        stack = made.pop_all()
    except OSError as error:
      self._warn([_problem(self._directory, 'cannot be read', error)], _TRIES_AGAIN)
      return
    self._running = self._pool.submit(self._carry_out, aside, now, stack)

  def _warn(self, problems, what_comes):
    warn(f'--copy_to={shown(self._remote)}: {problem}; {what_comes}' for problem in problems)

  def _linked(self, aside):
    """Name -> _File of the files of the run; those that may have to be copied have a second name in
    the directory `aside`.
    """
    if self._copied is None:
      self._copied = self._read_copied()
    now = {}
    for name in filter(_is_of_run, os.listdir(self._directory)):
      path, second = os.path.join(self._directory, name), os.path.join(aside, name)
      with contextlib.suppress(FileNotFoundError):
        now[name] = _state(path)
        if now[name] != self._copied.get(name):
          give_second_name(path, second)
    return now

  def _carry_out(self, aside, now, stack):
    """Lines on what failed. Raises nothing: it would end the training."""
    try:
      with stack:
        new = set(os.listdir(aside))
        problems = self._copy(aside, {name: now[name] for name in sorted(new, key=_place)})
        if not problems:
          problems += self._remove(set(self._copied) - set(now))
        return [*problems, *self._write_copied()]
    except Exception as error:  # pylint: disable=broad-except
      return [f'could not be copied ({failure_reasons.words_of(error)})']

  def _copy(self, aside, new):
    """Copies what it can."""
    problems, without_data = [], set()
    for name, state in new.items():
      path = os.path.join(self._remote, name)
      match = _CHECKPOINT_FILE.fullmatch(name)
      try:
        if match and match[2] != 'index':
          # Of another checkpoint of that name: an index belongs to its own data.
          self._remove_one(match[1] + '.index')
        elif match and match[1] in without_data:
          continue
        tensorflow_files.copy_to(os.path.join(aside, name), path)
      except OSError as error:
        problems.append(_problem(path, 'could not be copied', error))
        if len(problems) == _MOST_FAILURES:
          break
        if match:
          without_data.add(match[1])
      else:
        self._copied[name] = state
    return problems

  def _remove(self, names: Iterable[str]):
    """Removes up to the first failure."""
    for name in sorted(names, key=_place, reverse=True):
      try:
        self._remove_one(name)
      except OSError as error:
        return [_problem(os.path.join(self._remote, name), 'could not be removed', error)]
    return []

  def _remove_one(self, name):
    with contextlib.suppress(FileNotFoundError):
      tensorflow_files.remove(os.path.join(self._remote, name))
    self._copied.pop(name, None)

  def _read_copied(self):
    """What an earlier process of this run has copied and is still there; {} where nobody knows."""
    path = os.path.join(self._directory, run_files.COPIED_NAME)
    try:
      content = json_files.read(path)
      if content.get('copy_to') != self._remote:
        return {}
      there = dict(remote_files.entries(self._remote))
      return {
        name: _File(
          *(json_files.whole_number(facts.get(fact), fact, maximum=2**63) for fact in _FACTS)
        )
        for name, facts in json_files.mapping(content.get('files'), 'files').items()
        if name in there and _is_of_run(name)
      }
    except (OSError, ValueError, AttributeError):  # All is copied again.
      return {}

  def _write_copied(self):
    files = {name: state._asdict() for name, state in sorted(self._copied.items())}
    path = os.path.join(self._directory, run_files.COPIED_NAME)
    try:
      with replacing(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        json.dump({'copy_to': self._remote, 'files': files}, file, indent=1)
    except OSError as error:
      return [_problem(path, 'could not be written', error)]
    return []


def _problem(path, what, error):
  return f'{shown(path)} {what} ({error.strerror})'


def _is_of_run(name):
  return (
    name in run_files.COPIED_ALONG
    or name.startswith(_EVENTS)
    or _CHECKPOINT_FILE.fullmatch(name) is not None
  )


def _place(name):
  """Sorts names as they are copied: data, what says what they are, indices, and what lists them."""
  match = _CHECKPOINT_FILE.fullmatch(name)
  if match:
    return 2 if match[2] == 'index' else 0, name
  last = name in (checkpoint_files.STATE_NAME, run_files.BEST_SCORE_NAME)
  return 3 if last else 1, name


def _state(path):
  status = os.stat(path)
  return _File(status.st_size, status.st_mtime_ns)
