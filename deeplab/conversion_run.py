"""Image and label files to records: everything is checked before a record appears under its final
name.

Worker processes (worker_pool.py) read and check the files (source_files.py); one process decodes
what comes of them as training will (trial_decoding.py) and writes the records in the order of the
list. Several such processes may each do a shard, which are merged (conversion_parts.py).
"""

import contextlib
import json
import os
import shutil
from collections.abc import Collection

from deeplab import (
  __version__,
  data_set_files,
  messages,
  output_places,
  work_shards,
)
from deeplab.atomic_files import replacing
from deeplab.conversion import (
  annotations,
  conversion_parts,
  label_checks,
  label_classes,
  layouts,
  shards,
  source_files,
  trial_decoding,
  worker_pool,
)
from deeplab.conversion.conversion_parts import PartWriter
from deeplab.conversion.conversion_summary import ConversionSummary
from deeplab.conversion.pairing import list_pairs
from deeplab.conversion.problems import Problems
from deeplab.data_set import Split
from deeplab.messages import warn
from deeplab.options import ConversionOptions
from deeplab.undecodable_names import for_json


def convert(options: ConversionOptions, *, given: Collection[str] | None = None) -> dict:
  """Writes the records of a split, and beside them what their labels mean (dataset.json).

  Args:
    options: ConversionOptions.
    given: names of the options that the user gave, which win over a layout and over --dataset.
      Default: those with another value than the default.

  Returns:
    dict, the summary that is also written as JSON beside the records. Of one shard of several, what
    it wrote, with `shard_index`, and `directory`, where that waits for --merge_shards.

  Raises:
    InputError: the files have problems. Up to 20 of them were printed to stderr; nothing was
      written.
  """
  if given is None:
    given = options.changed()
  layout = options.layout
  settled = layouts.settle(options, given=given)
  annotated = annotations.read(options) if options.annotations else None
  options, described, warnings = label_classes.settle(
    settled.options,
    given=given,
    data_set=settled.class_names,
    names=annotated.class_names if annotated else (),
  )
  label_checks.refuse_ignored_class(options, given)
  if options.merge_shards:
    return _merge(options, described, given=given, layout=layout, warnings=warnings)
  problems = Problems()
  shard = work_shards.of(options)
  part = shard and PartWriter(shards.directory_of(options), shard, options, described)
  pairing = (
    annotated.pairing(described.class_names, options, problems)
    if annotated
    else list_pairs(options, problems, list_lines=settled.list_lines)
  )
  warn(pairing.notes)
  if shard:
    return _convert_shard(options, described, pairing, problems, shard, part, given=given)
  pairs = pairing.pairs
  paths = shards.paths_of(options, num_records=len(pairs))
  if not pairs:
    problems.raise_error(num_items=pairing.num_items)
  summary, palettes = ConversionSummary(options), label_checks.PaletteComparison()
  with contextlib.ExitStack() as place:
    aside = None
    if not problems:
      aside = place.enter_context(_place(paths, options, described))
    _write_records(pairs, paths, aside, options, problems, summary, palettes)
    if problems:
      problems.raise_error(num_items=pairing.num_items)
    summary.check(given)
    result = _publish(summary, paths, aside, options, described, layout=layout)
  warn([*warnings, *summary.warnings()])
  return result


def _convert_shard(options, described, pairing, problems, shard, part, *, given):
  """Writes the record files of a shard to where they wait, and its part; returns what a summary of
  it has.
  """
  options = conversion_parts.with_enough_files(options, num_records=len(pairing.pairs), given=given)
  all_paths = shards.paths_of(options, num_records=len(pairing.pairs))
  pairs, paths = conversion_parts.own_files(pairing.pairs, all_paths, shard, options)
  if problems or not pairing.pairs:
    problems.raise_error(num_items=pairing.num_items)
  summary, palettes = ConversionSummary(options), label_checks.PaletteComparison()
  with _place(all_paths, options, described, part=shard.file_part) as aside:
    _write_records(pairs, paths, aside, options, problems, summary, palettes)
    os.makedirs(part.directory, exist_ok=True)
    for path in () if problems else paths:
      name = os.path.basename(path)
      os.replace(os.path.join(aside, name), os.path.join(part.directory, name))
    part.write(
      summary, palettes, problems, pairs=pairing.pairs, num_per_shard=options.num_per_shard
    )
  if problems:
    problems.raise_error(num_items=len(pairs))
  return {
    'split': options.split,
    'shard_index': shard.index,
    'num_shards': shard.count,
    'num_records': len(pairs),
    'files': [os.path.basename(path) for path in paths],
    'num_files': len(all_paths),
    'directory': part.directory,
  }


def _merge(options, described, *, given, layout, warnings):
  """Makes a data set of what all shards wrote; returns its summary."""
  directory = shards.directory_of(options)
  merged = conversion_parts.merge(
    directory, options, settings=conversion_parts.settings_of(options, described)
  )
  merged.summary.check(given)
  with _place(merged.paths, options, described):
    result = _publish(
      merged.summary, merged.paths, merged.waiting, options, described, layout=layout
    )
  shutil.rmtree(merged.waiting, ignore_errors=True)
  warn([*warnings, *merged.summary.warnings()])
  return result


@contextlib.contextmanager
def _place(paths, options, described, *, part=''):
  """Yields a directory for the records while they are being written; see `shards.owned`."""
  directory = os.path.dirname(paths[0])
  shards.refuse_others(paths)
  data_set_files.refuse_another(directory, described, split_name=options.split)
  with output_places.new_directory(directory, flag='output_dir'):
    with shards.owned(directory, options, part=part) as aside:
      shards.refuse_others(paths)  # Of a conversion that has ended meanwhile.
      yield aside


def _write_records(pairs, paths, aside, options, problems, summary, palettes):
  """Checks all pairs and writes their records; from the first problem on it only checks.

  Args:
    aside: the directory to write to, or None where there are problems already.
    problems, summary, palettes: they get what is found.
  """
  colors = options.colormap and source_files.color_indices(
    options.colormap, ignore_label=options.ignore_label
  )
  writer = shards.ShardWriter(aside, paths, options)
  results = trial_decoding.try_decoding(worker_pool.convert_pairs(pairs, options, colors), options)
  results = _progress(results, total=len(pairs))
  for converted, pair in zip(results, pairs):  # The results first, so that they end.
    problem = converted.problem or _palette_problem(converted, palettes, options)
    if problem:
      problems.add(problem, varying=(pair.name, pair.image_path, pair.label_path))
      writer.close()
    elif not problems:
      writer.write(converted)
      summary.add(converted)
  writer.close()


def _publish(summary, paths, waiting, options, described, *, layout):
  """Gives the record files in the directory `waiting` their names, `paths`, and writes what
  describes them; returns the summary.
  """
  directory = os.path.dirname(paths[0])
  result = {**summary.as_dict(paths), 'class_names': list(described.class_names) or None}
  described = described.replace(splits={options.split: _split_of(result, options, layout=layout)})
  # Before the records get their names: without it their labels would mean something else.
  data_set_files.write(directory, described, split_name=options.split)
  for path in paths:
    written = os.path.join(waiting, os.path.basename(path))
    if os.path.exists(written):  # A merge that was killed has named some.
      os.replace(written, path)
  _write_summary(shards.summary_path(paths[0]), result)
  return result


def _write_summary(path, summary):
  with replacing(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
    file.write(json.dumps(for_json(summary), indent=2) + '\n')


def _palette_problem(converted, palettes, options):
  """What is wrong with the label's palette beside the others'."""
  if 'palettes' in options.accept:
    return None
  return palettes.problem(converted.palette, converted.label_path)


def _split_of(summary, options, *, layout):
  """The split for the description, of its summary."""
  source = {
    name: os.path.abspath(path)
    for name in ('images_dir', 'labels_dir', 'list_path', 'annotations')
    if (path := getattr(options, name))
  }
  changed = label_classes.reading_of(options)
  if options.accept:
    changed['accept'] = ', '.join(options.accept)
  if layout:
    changed['layout'] = layout
  return Split(
    num_records=summary['num_records'],
    files=tuple(summary['files']),
    labels={int(value): entry['images'] for value, entry in summary['labels'].items()},
    source={**for_json(source), **changed, 'written_by': f'deeplab-tf {__version__}'},
  )


def _progress(results, *, total):
  """Passes results on, with a bar where a person looks at the terminal."""
  if not messages.shows_bars():
    yield from results
    return
  from tqdm import tqdm

  # Workers take seconds to start, and the first result waits for them.
  with tqdm(
    total=total, desc='starting the workers', unit='pair', **messages.size_for_bars()
  ) as progress:
    for result in results:
      progress.set_description_str('checking', refresh=False)
      progress.update()
      yield result
