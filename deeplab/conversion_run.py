"""Image and label files to records: everything is checked before a record appears under its final
name.

Worker processes read and check the files (source_files.py); one process decodes what comes of them
as training will (trial_decoding.py) and writes the records in the order of the list.
"""

import collections
import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Collection

from deeplab import (
  __version__,
  data_set_files,
  messages,
  output_places,
  quiet_start,
)
from deeplab.atomic_files import replacing
from deeplab.conversion import (
  annotations,
  label_checks,
  label_classes,
  layouts,
  shards,
  source_files,
  trial_decoding,
)
from deeplab.conversion.conversion_summary import ConversionSummary
from deeplab.conversion.pairing import list_pairs
from deeplab.conversion.problems import Problems
from deeplab.data_set import Split
from deeplab.messages import warn
from deeplab.options import ConversionOptions
from deeplab.undecodable_names import for_json

# Of files that the workers are at or have been, until they are written.
_MOST_BYTES_AHEAD = 256 * 2**20


def convert(options: ConversionOptions, *, given: Collection[str] | None = None) -> dict:
  """Writes the records of a split, and beside them what their labels mean (dataset.json).

  Args:
    options: ConversionOptions.
    given: names of the options that the user gave, which win over a layout and over --dataset.
      Default: those with another value than the default.

  Returns:
    dict, the summary that is also written as JSON beside the records.

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
  problems = Problems()
  pairing = (
    annotated.pairing(described.class_names, options, problems)
    if annotated
    else list_pairs(options, problems, list_lines=settled.list_lines)
  )
  pairs = pairing.pairs
  warn(pairing.notes)
  colors = options.colormap and source_files.color_indices(
    options.colormap, ignore_label=options.ignore_label
  )
  paths = shards.paths_of(options, num_records=len(pairs))
  directory = os.path.dirname(paths[0])
  if not pairs:
    problems.raise_error(num_items=pairing.num_items)
  summary, palettes = ConversionSummary(options), label_checks.PaletteComparison()
  with contextlib.ExitStack() as place:
    aside = None
    if not problems:
      shards.refuse_others(paths)
      data_set_files.refuse_another(directory, described, split_name=options.split)
      place.enter_context(output_places.new_directory(directory, flag='output_dir'))
      aside = place.enter_context(shards.owned(directory, options))
      shards.refuse_others(paths)  # Of a conversion that has ended meanwhile.
    writer = shards.ShardWriter(aside, paths, options)
    results = trial_decoding.try_decoding(_converted(pairs, options, colors), options)
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
    if problems:
      problems.raise_error(num_items=pairing.num_items)
    summary.check(given)
    result = {**summary.as_dict(paths), 'class_names': list(described.class_names) or None}
    described = described.replace(splits={options.split: _split_of(result, options, layout=layout)})
    # Before the records get their names: without it their labels would mean something else.
    data_set_files.write(directory, described, split_name=options.split)
    for path in paths:
      os.replace(os.path.join(aside, os.path.basename(path)), path)
    _write_summary(shards.summary_path(paths[0]), result)
  warn([*warnings, *summary.warnings()])
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


def _converted(pairs, options, colors):
  """Results of `convert_pair` in order, made in processes; only some are made ahead, and fewer of
  large files, which bounds the memory.
  """
  num_workers = min(options.num_workers or os.cpu_count() or 1, len(pairs))
  if num_workers == 1:
    yield from (source_files.convert_pair(pair, options, colors) for pair in pairs)
    return
  # Spawned, not forked: a fork of a process in which TensorFlow runs may hang.
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(
    num_workers, mp_context=context, initializer=_start_worker
  ) as pool:
    waiting, sizes = collections.deque(), collections.deque()
    try:
      for pair in pairs:
        sizes.append(source_files.num_bytes(pair))
        while waiting and (len(waiting) > 8 * num_workers or sum(sizes) > _MOST_BYTES_AHEAD):
          sizes.popleft()
          yield waiting.popleft().result()
        waiting.append(pool.submit(source_files.convert_pair, pair, options, colors))
      while waiting:
        yield waiting.popleft().result()
    finally:
      # Waits: left to the end of the interpreter, closing it would race with itself.
      pool.shutdown(cancel_futures=True)


def _start_worker():
  """Ties a worker to its parent: an interrupt is the parent's to handle, and a killed parent leaves
  no worker behind.
  """
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  quiet_start.hide_warnings_of_pillow()
  parent = multiprocessing.parent_process()

  def end_with_parent():
    parent.join()
    os._exit(1)

  threading.Thread(target=end_with_parent, daemon=True).start()


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
