"""What the shards of an inference leave beside the predictions, and what is made of it: what became
of the images.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from deeplab import file_digests, json_files, output_places, work_shards
from deeplab.atomic_files import remove_unfinished, replacing
from deeplab.errors import InputError, shown
from deeplab.messages import say, warn
from deeplab.options import CheckedOptions, InferenceOptions
from deeplab.prediction.planned_inputs import PlannedInputs
from deeplab.prediction.prediction_pipeline import PredictionSummary
from deeplab.undecodable_names import from_text, to_text
from deeplab.work_shards import Shard

DIRECTORY_NAME = 'shards'
SUMMARY_NAME = 'summary.json'
# A shard may be run again with others of these.
_WITHOUT_EFFECT = ('skip_existing', 'batch_size', 'num_devices')


class ShardReport:
  """The part of one shard; while it is at work, there is none."""

  def __init__(self, shard: Shard, options: Sequence[CheckedOptions], *, output_path: str):
    """Removes the part of an earlier run.

    Args:
      options: all options objects of the inference.
      output_path: directory of the predictions.
    """
    self._shard, self._directory = shard, os.path.join(output_path, DIRECTORY_NAME)
    self._settings = work_shards.settings_of(*options, without=_WITHOUT_EFFECT)
    self._output_path = output_path
    work_shards.remove_part(self._directory, shard)
    remove_unfinished(self._directory)  # Of killed shards.

  def note_checkpoint(self, path: str) -> None:
    """Says which network predicts, its prefix or path: the flag may name a directory in which a
    training goes on.
    """
    self._settings['checkpoint'] = to_text(os.path.abspath(path))
    self._settings['checkpoint_sha256'] = _digest(path)

  def write(self, planned: PlannedInputs, summary: PredictionSummary) -> None:
    """Writes the part: what was planned, and what became of it.

    Raises:
      InputError: it cannot be written.
    """
    output_places.make_directory(self._output_path, flag='output_path')
    content = {
      'inputs': [to_text(path) for path in (*planned.existing, *planned.inputs)],
      'num_existing': len(planned.existing),
      'num_predicted': summary.num_predicted,
      'num_bad': summary.num_bad,
      'problems': [
        *(['', to_text(line)] for line in planned.problems),
        *([to_text(path), to_text(line)] for path, line in summary.problems),
      ],
    }
    with output_places.explaining(self._directory, flag='output_path'):
      work_shards.write_part(self._directory, self._shard, settings=self._settings, content=content)


def merge(
  planned: PlannedInputs,
  options: Sequence[CheckedOptions],
  inference_options: InferenceOptions,
) -> PredictionSummary:
  """Looks whether the shards predicted all that is planned, and writes summary.json.

  Args:
    planned: everything, not what one shard has.
    options: all options objects, as ShardReport takes them.
    inference_options: the one of them.

  Returns:
    what became of all inputs; those that could not be predicted are named on stderr.

  Raises:
    InputError: a part is missing, damaged or of other flags, or an input is in no part.
  """
  output_path, count = inference_options.output_path, inference_options.num_shards
  settings = work_shards.settings_of(*options, without=_WITHOUT_EFFECT)
  parts = read_parts(os.path.join(output_path, DIRECTORY_NAME), count, settings=settings)
  problems = [problem for part in parts for problem in part['problems']]
  _refuse_missing(planned, parts)
  summary = PredictionSummary(
    num_predicted=sum(part['num_predicted'] + part['num_existing'] for part in parts),
    num_bad=sum(part['num_bad'] for part in parts),
    problems=[(path, line) for path, line in problems],
    kind='inputs' if planned.videos else 'images',
  )
  warn([shown(from_text(line)) for _, line in problems])
  _write(summary, parts, os.path.join(output_path, SUMMARY_NAME))
  say(
    f'{count} shards: {summary.num_predicted} {summary.kind} predicted, {summary.num_bad} could '
    f'not be; summary written to {shown(os.path.join(output_path, SUMMARY_NAME))}'
  )
  return summary


def read_parts(directory: str, count: int, *, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
  """As `work_shards.read_parts`, of parts that a ShardReport wrote.

  Raises:
    InputError: as there; or one lacks what a ShardReport writes.
  """
  parts = work_shards.read_parts(directory, count, settings=settings)
  return [
    _checked(part, work_shards.part_path(directory, Shard(index, count)))
    for index, part in enumerate(parts)
  ]


def _write(summary, parts, path):
  checkpoint = next(
    (one for part in parts if (one := part['settings'].get('checkpoint')) is not None), None
  )
  content = {
    'num_shards': len(parts),
    'checkpoint': checkpoint,
    'num_predicted': summary.num_predicted,
    'num_bad': summary.num_bad,
    'problems': [{'input': path or None, 'problem': line} for path, line in summary.problems],
  }
  with output_places.explaining(path, flag='output_path'), replacing(path) as temporary:
    with open(temporary, 'w', encoding='utf-8') as file:
      file.write(json.dumps(content, indent=2) + '\n')


def _refuse_missing(planned, parts):
  """Raises InputError where an input is in no part, or what a part has is gone."""
  count = len(parts)
  inputs = [set(map(from_text, part['inputs'])) for part in parts]
  bad = {from_text(path) for part in parts for path, _ in part['problems'] if path}
  missing, lost = {}, {}  # Path -> index of the shard.
  # What goes to pages of many images alone has no files to look for.
  absent = {one.image.path for one in planned.images if one.paths and not one.exists}
  absent |= {one.path for one in planned.videos if not one.exists}
  absent -= bad
  for path in planned.inputs:
    shard = work_shards.index_of(planned.shard_keys[path], count)
    if path not in inputs[shard]:
      missing[path] = shard
    elif path in absent:
      lost[path] = shard
  for found, what in ((missing, 'is in no shard: it came later'), (lost, 'has no prediction')):
    if found:
      first = next(iter(found))
      more = f', and {len(found) - 1} more' if len(found) > 1 else ''
      raise InputError(
        f'--merge_shards: {shown(first)} {what}{more}; run '
        f'{work_shards.numbered(sorted(set(found.values())))} again with --skip_existing'
      )


def _checked(part, path):
  """The part, if it has what ShardReport writes; else raises InputError."""
  try:
    for name in ('num_existing', 'num_predicted', 'num_bad'):
      json_files.whole_number(part.get(name), name)
    json_files.texts(part.get('inputs'), 'inputs')
    problems = part.get('problems')
    if not isinstance(problems, list) or not all(map(_is_problem, problems)):
      raise ValueError(f'problems is {json_files.shown(problems)}, not a list of pairs')
  except ValueError as error:
    raise InputError(
      f'{shown(path)}: not the part of a shard ({shown(str(error))}); run that shard again'
    ) from error
  return part


def _is_problem(value):
  """A path, '' for none, and a line."""
  return isinstance(value, list) and len(value) == 2 and all(isinstance(one, str) for one in value)


def _digest(checkpoint):
  """Of the file that changes with every change of the network, if there is one."""
  candidates = (
    f'{checkpoint}.index',  # It holds check sums of all values.
    os.path.join(checkpoint, 'variables', 'variables.index'),
    checkpoint,
  )
  path = next((one for one in candidates if os.path.isfile(one)), None)
  return file_digests.sha256_of(path) if path else None
