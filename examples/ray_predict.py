#!/usr/bin/env python3
"""Predicts pictures with Ray Data: on this machine, or on all machines of a Ray cluster.

  ray_predict.py --input photos --ckpt_path model --output_path predictions
  ray_predict.py --input photos --ckpt_path model --output_path predictions --num_actors 8

Ray reads the pictures in tasks and hands them to actors, each of which has loaded the network once.
Written are the files that run_inferencer.py writes of the same pictures, byte for byte, and
counts.csv, the pixels of each class in each picture. Pictures that cannot be read are named on
stderr, the others go on, and the exit status is 1.

`ray.init()` starts Ray here, or joins the cluster that it runs in (RAY_ADDRESS, `ray job submit`).
Every machine needs the toolkit with its extra, `pip install 'deeplab-tf[ray]'`, and sees the
pictures, the checkpoint and the output under the same paths.
"""

import argparse
import concurrent.futures
import csv
import json
import os
import sys

import numpy as np

from deeplab import named_checkpoints, output_places
from deeplab.atomic_files import replacing
from deeplab.data import picture_limit
from deeplab.engines import model_files
from deeplab.errors import InputError, shown
from deeplab.options import PredictionOptions
from deeplab.prediction import image_files, prediction_files, prediction_paths
from deeplab.undecodable_names import from_text, to_text

# With which a row says that it is a picture.
_NO_PROBLEM = ''


def main(arguments=None):
  """Predicts; exits with one line where that cannot begin, and with 1 where pictures were bad."""
  options = _parse(arguments)
  try:
    planned, problems = plan(options)
    for problem in problems:
      print(f'warning: {problem}', file=sys.stderr)
    output_places.make_directory(options.output_path, flag='output_path')
    rows = list(predict(planned, options))
  except (InputError, OSError) as error:
    sys.exit(f'ray_predict.py: error: {error}')
  bad = [row for row in rows if row['problem'] != _NO_PROBLEM]
  for row in bad:
    print(f'warning: {from_text(row["problem"])}', file=sys.stderr)
  good = sorted((row for row in rows if row['problem'] == _NO_PROBLEM), key=lambda row: row['path'])
  if good:
    path = os.path.join(options.output_path, 'counts.csv')
    write_counts(good, path)
    print(f'Counts written to {shown(path)}')
  num_bad = len(bad) + len(problems)
  print(f'{len(good)} pictures predicted, {num_bad} could not be')
  return 1 if num_bad else 0


def plan(options):
  """(PlannedPredictions, lines on inputs that are none): which files each picture's go to.

  Raises:
    InputError: no input is a picture, two would write one file, there is no such checkpoint, or an
      option has no such value.
  """
  PredictionOptions(**_prediction_options(options))  # Refuses what no actor could use.
  if model_files.find(options.ckpt_path) is None:
    named_checkpoints.check(options.ckpt_path)
  problems = []
  if options.input_file_list:
    images = image_files.listed_images(options.input_file_list, problems=problems)
  else:
    images, _ = image_files.find_images(
      options.input,
      recursive=options.recursive,
      excluded_directory=options.output_path,
      problems=problems,
    )
  images, _ = image_files.without_duplicates(images)
  return prediction_paths.plan(
    images,
    output_path=os.path.abspath(options.output_path),
    types=[options.output_type],
    keep_structure=options.recursive,
  ), problems


def predict(planned, options):
  """Yields of each picture, in no particular order, a dict with its path, what is the problem with
  it, counts (pixels of each class), and names (of the classes, as JSON).
  """
  import ray  # Not above: --help need not wait for it.

  settings = {'num_cpus': options.num_cpus} if options.num_cpus else {}
  ray.init(ignore_reinit_error=True, **settings)
  num_actors = options.num_actors or int(ray.cluster_resources().get('GPU', 0)) or 1
  num_gpus = options.num_gpus
  if num_gpus is None:
    num_gpus = 1 if ray.cluster_resources().get('GPU') else 0
  items = [
    {'path': to_text(_absolute(one.image.path)), 'output': to_text(*one.paths.values())}
    for one in planned
  ]
  dataset = (
    ray.data.from_items(items)
    .map_batches(read, batch_size=options.batch_size, batch_format='numpy')
    .map_batches(
      Predictor,
      fn_constructor_kwargs={
        # Else it may be a prefix, which is no file, or a name of published weights.
        'ckpt_path': options.ckpt_path
        if named_checkpoints.is_name(options.ckpt_path)
        else _absolute(options.ckpt_path),
        'output_type': options.output_type,
        'prediction_options': _prediction_options(options),
      },
      batch_size=options.batch_size,
      batch_format='numpy',
      compute=ray.data.ActorPoolStrategy(size=num_actors),
      num_gpus=num_gpus,
    )
  )
  try:
    yield from dataset.iter_rows()
  except ray.exceptions.RayError as error:  # Its text is the traceback of an actor.
    reason = str(error).strip().splitlines()[-1].removeprefix('deeplab.errors.InputError: ')
    raise InputError(reason) from error


def read(batch):
  """Adds the bytes of pictures to a batch, or why there are none."""
  contents, problems = [], []
  for path in batch['path']:
    content, problem = b'', _NO_PROBLEM
    try:
      content = picture_limit.read_file(from_text(path))
    except (InputError, picture_limit.TooLargeError, OSError) as error:
      reason = error.strerror if isinstance(error, OSError) else str(error)
      problem = to_text(f'{shown(from_text(path))}: cannot be read: {reason}')
    contents.append(content)
    problems.append(problem)
  return {**batch, 'content': np.array(contents, object), 'problem': np.array(problems, object)}


class Predictor:
  """An actor: has the network, predicts batches of pictures and writes their files."""

  def __init__(self, *, ckpt_path, output_type, prediction_options):
    import deeplab  # With TensorFlow, in the actor alone.

    self._network = deeplab.load(ckpt_path)
    self._names = list(self._network.class_names)
    self._output_type, self._options = output_type, prediction_options
    self._writer = prediction_files.PredictionWriter(
      color_map=self._network.colors, num_classes=len(self._names)
    )

  def __call__(self, batch):
    paths = [from_text(path) for path in batch['path']]
    with concurrent.futures.ThreadPoolExecutor() as threads:
      decoded = list(threads.map(_decoded, batch['content'], paths, batch['problem']))
    predictions, problems = self._predict(decoded, paths)
    counts = np.zeros([len(paths), len(self._names)], np.int64)
    for index, prediction in predictions.items():
      self._writer.write(
        {self._output_type: from_text(batch['output'][index])},
        image=prediction.image,
        labels=prediction.class_ids,
      )
      counts[index] = np.bincount(prediction.class_ids.ravel(), minlength=len(self._names))
    return {
      'path': batch['path'],
      'problem': np.array([to_text(problem) for problem in problems], object),
      'counts': counts,
      'names': np.array([json.dumps(self._names)] * len(paths), object),
    }

  def _predict(self, decoded, paths):
    """({position: prediction}, what is wrong with each); `decoded` are pixels, or what is wrong."""
    problems = [one if isinstance(one, str) else _NO_PROBLEM for one in decoded]
    good = [index for index, problem in enumerate(problems) if not problem]
    try:
      found = self._network.predict([decoded[index] for index in good], **self._options)
      return dict(zip(good, found)), problems
    except InputError:  # One of them is too large, for example: which one?
      pass
    predictions = {}
    for index in good:
      try:
        predictions[index] = self._network.predict(decoded[index], **self._options)
      except InputError as error:
        problems[index] = f'{shown(paths[index])}: {error}'
    return predictions, problems


def _decoded(content, path, problem):
  """uint8 [H, W, 3], or what is wrong."""
  if problem:
    return from_text(problem)
  try:
    return image_files.decode_image(content, path)
  except InputError as error:
    return str(error)


def write_counts(rows, path):
  """Writes a CSV: the path of each picture, and its pixels of each class."""
  with replacing(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(['picture', *json.loads(rows[0]['names'])])
    for row in rows:
      writer.writerow([row['path'], *row['counts']])


def _absolute(path):
  """Actors have working directories of their own. Addresses stay as they are."""
  return path if '://' in path else os.path.abspath(os.path.expanduser(path))


def _prediction_options(options):
  return {'max_size': options.max_size, 'tile_size': options.tile_size}


def _at_least_1(text):
  number = int(text)
  if number < 1:
    raise argparse.ArgumentTypeError(f'{text} must be at least 1')
  return number


def _parse(arguments):
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  which = parser.add_mutually_exclusive_group(required=True)
  which.add_argument('--input', nargs='+', help='files, directories or globs')
  which.add_argument('--input_file_list', help='text file with one path a line')
  parser.add_argument('--recursive', action='store_true', help='look into sub-directories too')
  parser.add_argument('--ckpt_path', required=True, help='as of run_inferencer.py')
  parser.add_argument('--output_path', required=True, help='directory for the predictions')
  parser.add_argument(
    '--output_type', choices=('color', 'ids', 'palette'), default='color', help='what is written'
  )
  parser.add_argument('--max_size', type=int, help='as of run_inferencer.py')
  parser.add_argument('--tile_size', type=int, help='as of run_inferencer.py')
  parser.add_argument(
    '--batch_size', type=_at_least_1, default=16, help='pictures that Ray hands on at once'
  )
  parser.add_argument(
    '--num_actors', type=_at_least_1, help='networks; default: one for each GPU, else one'
  )
  parser.add_argument('--num_gpus', type=float, help='of an actor; 0.5: two share one')
  parser.add_argument('--num_cpus', type=_at_least_1, help='of the Ray that is started here')
  return parser.parse_args(arguments)


if __name__ == '__main__':
  sys.exit(main())
