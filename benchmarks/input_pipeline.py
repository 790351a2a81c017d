#!/usr/bin/env python3
"""Speed of the training input against the order of work of the 2019 reference, in one run on one
machine.

  benchmarks/input_pipeline.py
  benchmarks/input_pipeline.py --filenames=voc/

Without records it draws scenes of 375 x 500 pixels.
Each measurement has a process of its own, bound to 1 or to all cores. CPU-ms is the time that all
threads of the process spend on an image; it hardly depends on what else runs on the machine,
images/s does.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import drawn_records
import machine

from deeplab import flags
from deeplab.errors import InputError
from deeplab.options import CheckedOptions, TrainingInputOptions, option

_BATCH_SIZE = 8
_NUM_SCENES, _SCENE_SIZE = 48, (375, 500)


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(CheckedOptions):
  """What to measure."""

  group = 'Benchmark'

  filenames: tuple[str, ...] = option(
    (), 'TFRecord files: paths, globs or directories, repeated. Default: drawn scenes.'
  )
  crop_sizes: tuple[int, ...] = option((257, 513), 'Crop sizes.', minimum=1)
  num_classes: int = option(21, 'Number of classes, background included.', minimum=1)
  num_images: int = option(
    400, 'Images for a measurement; as many go before as a warm-up, up to 100.', minimum=8
  )
  json: str = option(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), 'results', 'input_pipeline.json'),
    'Where to write the results.',
  )
  one: str | None = option(None, 'A single measurement, in this process: PIPELINE,CROP_SIZE,CORES.')


def main(options):
  """Runs every measurement in a process of its own and prints a table; with --one, runs a single
  one.
  """
  if options.one:
    pipeline, crop_size, num_cores = options.one.split(',')
    print(
      json.dumps(measure(pipeline, options, crop_size=int(crop_size), num_cores=int(num_cores)))
    )
    return
  described = machine.describe()
  print(machine.line(described))
  records = (
    list(options.filenames) or f'{_NUM_SCENES} drawn scenes, {_SCENE_SIZE[0]}x{_SCENE_SIZE[1]}'
  )
  with tempfile.TemporaryDirectory() as directory:
    if not options.filenames:
      options = dataclasses.replace(options, filenames=(draw_records(directory),))
    results = measure_all(options)
  os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
  with open(options.json, 'w', encoding='utf-8') as file:
    json.dump(
      {
        'machine': described,
        'records': records,
        'num_images': options.num_images,
        'results': results,
      },
      file,
      indent=1,
    )
    file.write('\n')


def draw_records(directory):
  """Writes records of drawn scenes into a directory and returns their path."""
  import numpy as np

  from deeplab import quiet_start, synthetic_scenes

  quiet_start.import_tensorflow()
  random = np.random.default_rng(0)
  path = os.path.join(directory, 'scenes.tfrecord')
  drawn_records.write(
    path,
    (
      synthetic_scenes.draw_scene(
        random, height=_SCENE_SIZE[0], width=_SCENE_SIZE[1], num_objects=6
      )
      for _ in range(_NUM_SCENES)
    ),
  )
  return path


def measure_all(options):
  """Prints a table and returns its rows as dicts."""
  all_cores = len(os.sched_getaffinity(0))
  rows = []
  print(f'{"pipeline":<12}{"crop":>6}{"cores":>7}{"images/s":>11}{"CPU-ms/image":>14}', flush=True)
  for crop_size in options.crop_sizes:
    for pipeline in ('reference', 'this'):
      for num_cores in sorted({1, all_cores}):
        result = _measure_apart(options, f'{pipeline},{crop_size},{num_cores}')
        rows.append({'pipeline': pipeline, 'crop_size': crop_size, 'cores': num_cores, **result})
        print(
          f'{pipeline:<12}{crop_size:>6}{num_cores:>7}{result["images_per_second"]:>11.1f}'
          f'{result["cpu_ms_per_image"]:>14.2f}',
          flush=True,
        )
  return rows


def _measure_apart(options, one):
  arguments = [f'--filenames={name}' for name in options.filenames]
  command = [
    sys.executable,
    os.path.abspath(__file__),
    *arguments,
    f'--num_classes={options.num_classes}',
    f'--num_images={options.num_images}',
    f'--one={one}',
  ]
  process = subprocess.run(command, capture_output=True, text=True, check=False)
  if process.returncode:
    raise InputError(process.stderr.strip().rpartition('error: ')[2] or f'{one}: no result')
  return json.loads(process.stdout.strip().splitlines()[-1])


def measure(pipeline, options, *, crop_size, num_cores):
  """dict with images_per_second and cpu_ms_per_image of one pipeline, on the first `num_cores`
  cores.
  """
  import tensorflow as tf

  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_cores])
  tf.config.threading.set_intra_op_parallelism_threads(num_cores)
  tf.config.threading.set_inter_op_parallelism_threads(num_cores)
  if pipeline == 'reference':
    dataset = reference_batches(options.filenames, crop_size=crop_size)
  else:
    from deeplab.data import input_pipeline

    dataset = input_pipeline.training_batches(
      TrainingInputOptions(
        filenames=options.filenames,
        crop_size_height=crop_size,
        crop_size_width=crop_size,
        batch_size=_BATCH_SIZE,
        seed=1,
        num_input_threads=num_cores,
      ),
      num_classes=options.num_classes,
    )
  batches = iter(dataset)
  for _ in range(-(-min(options.num_images, 100) // _BATCH_SIZE)):
    next(batches)
  num_batches = -(-options.num_images // _BATCH_SIZE)
  wall, cpu = time.perf_counter(), time.process_time()
  for _ in range(num_batches):
    next(batches)
  num_images = num_batches * _BATCH_SIZE
  return {
    'images_per_second': num_images / (time.perf_counter() - wall),
    'cpu_ms_per_image': 1000 * (time.process_time() - cpu) / num_images,
  }


def reference_batches(patterns, *, crop_size):
  """The 2019 reference's order of work, made anew: whole images in float32, resized, padded, joined
  with their labels, cropped and flipped, one at a time.

  Args:
    patterns: records with the features image (JPEG) and label.
    crop_size: height and width of the crop.

  Returns:
    tf.data.Dataset of (images float32 [batch, crop_size, crop_size, 3], labels int32 [batch,
    crop_size, crop_size, 1]).
  """
  import tensorflow as tf

  from deeplab.data import record_files

  pad_value, ignore_label = tf.constant([127.5, 127.5, 127.5]), 255.0

  def example(serialized):
    features = tf.io.parse_single_example(
      serialized, {key: tf.io.FixedLenFeature([], tf.string) for key in ('image', 'label')}
    )
    image = tf.cast(tf.io.decode_jpeg(features['image'], channels=3), tf.float32)
    label = tf.cast(tf.io.decode_png(features['label'], channels=1), tf.float32)
    scale = tf.random.uniform([], 0.5, 2.0)
    size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * scale, tf.int32)
    image = tf.compat.v1.image.resize_bilinear(image[tf.newaxis], size)[0] - pad_value
    label = tf.compat.v1.image.resize_nearest_neighbor(label[tf.newaxis], size)[0] - ignore_label
    padded = tf.maximum(size, crop_size)
    offset = (padded - size) // 2
    both = tf.image.pad_to_bounding_box(
      tf.concat([image, label], axis=2), offset[0], offset[1], padded[0], padded[1]
    )
    both = tf.image.random_crop(both, [crop_size, crop_size, 4])
    both = tf.image.random_flip_left_right(both)
    return both[:, :, :3] + pad_value, tf.cast(both[:, :, 3:] + ignore_label, tf.int32)

  records = tf.data.TFRecordDataset(record_files.expand_filenames(patterns)).repeat().shuffle(10000)
  return records.map(example).batch(_BATCH_SIZE, drop_remainder=True).prefetch(1)


if __name__ == '__main__':
  flags.run(main, BenchmarkOptions, description=__doc__, uses_tensorflow=False)
