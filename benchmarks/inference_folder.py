#!/usr/bin/env python3
"""A folder of images of many sizes: run_inferencer.py against one image at a time, coloured pixel
by pixel, as in 2019.

Both sides are whole processes, with the same weights and the same images; the pictures they write
are compared.

  benchmarks/inference_folder.py --num_images=200
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--num_images', type=int, default=200)
  parser.add_argument('--model_variant', default='mobilenet_v2')
  parser.add_argument('--ckpt_path', help='weights; default: random ones')
  parser.add_argument(
    '--flags', default='', help='more flags for run_inferencer.py, such as "--batch_size=4"'
  )
  parser.add_argument(
    '--old_way', nargs=3, metavar=('LIST', 'CKPT_PATH', 'OUTPUT_PATH'), help=argparse.SUPPRESS
  )
  arguments = parser.parse_args()
  if arguments.old_way:
    _predict_the_old_way(*arguments.old_way)
    return
  with tempfile.TemporaryDirectory() as directory:
    list_path = _draw_images(directory, arguments.num_images)
    ckpt_path = arguments.ckpt_path or _random_weights(directory, arguments.model_variant)
    paths = {}
    for name in ('old', 'new'):
      paths[name] = os.path.join(directory, name)
      os.makedirs(paths[name])
    old = _timed(
      [sys.executable, os.path.abspath(__file__), '--old_way', list_path, ckpt_path, paths['old']]
    )
    new = _timed(
      [
        sys.executable,
        os.path.join(ROOT, 'run_inferencer.py'),
        f'--input_file_list={list_path}',
        f'--ckpt_path={ckpt_path}',
        f'--output_path={paths["new"]}',
        *arguments.flags.split(),
      ]
    )
    print(f'pixels that differ: {_difference(paths["old"], paths["new"]):.2e}')
    for name, (seconds, peak, _) in (('one by one', old), ('run_inferencer.py', new)):
      print(
        f'{name:18} {seconds:7.1f} s  {arguments.num_images / seconds:6.2f} images/s  peak memory '
        f'{peak:5.0f} MB'
      )
    print(new[2].splitlines()[-1])
    print(f'ratio: {old[0] / new[0]:.2f}')
    print(
      json.dumps(
        {
          'seconds_one_by_one': old[0],
          'seconds': new[0],
          'peak_mb_one_by_one': old[1],
          'peak_mb': new[1],
        }
      )
    )


def _draw_images(directory, num_images):
  """Smooth noise in `num_images` sizes around those of PASCAL VOC; returns a list file."""
  import numpy as np
  from PIL import Image

  rng = np.random.default_rng(0)
  paths = []
  for index in range(num_images):
    size = (500 - index % 100, 375 - index // 2 % 80)
    coarse = Image.fromarray(rng.integers(0, 256, [12, 16, 3], np.uint8)).resize(
      size, Image.Resampling.BICUBIC
    )
    noise = rng.integers(-12, 13, [size[1], size[0], 3])
    paths.append(os.path.join(directory, f'{index:04d}.jpg'))
    Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)).save(
      paths[-1], quality=90
    )
  list_path = os.path.join(directory, 'list.txt')
  with open(list_path, 'w', encoding='utf-8') as list_file:
    list_file.write('\n'.join(paths))
  return list_path


def _random_weights(directory, model_variant):
  from deeplab import checkpoints, saved_options
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  options = ModelOptions(model_variant=model_variant)
  path = os.path.join(directory, 'weights')
  checkpoints.write(
    os.path.join(path, 'model.ckpt'), DeepLabV3PredictionModel(options).named_variables
  )
  saved_options.write(path, options)
  return path


def _predict_the_old_way(list_path, ckpt_path, output_path):
  """Decode, predict, colour in a loop over the pixels and write, one after the other."""
  import numpy as np
  import tensorflow as tf
  from PIL import Image

  from deeplab.color_map import pascal_voc_color_map
  from deeplab.options import ModelOptions
  from deeplab.prediction import trained_network

  model = trained_network.load(ckpt_path, ModelOptions(), given=frozenset()).model
  predict = tf.function(
    lambda images: tf.argmax(model.predict(images), axis=-1),
    autograph=False,
    input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
  )
  colors = [tuple(color) for color in pascal_voc_color_map().tolist()]
  with open(list_path, encoding='utf-8') as list_file:
    paths = list_file.read().split('\n')
  for path in paths:
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    labels = predict(image[tf.newaxis])[0].numpy()
    picture = np.zeros([*labels.shape, 3], np.uint8)
    for row in range(labels.shape[0]):
      for column in range(labels.shape[1]):
        picture[row, column] = colors[labels[row, column]]
    Image.fromarray(picture).save(os.path.join(output_path, os.path.basename(path) + '.png'))


def _timed(command):
  """(seconds, peak memory in MB, standard output) of a command."""
  start = time.monotonic()
  with tempfile.TemporaryFile('w+') as output:
    process = subprocess.Popen(
      command, stdout=output, env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '2'}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    output.seek(0)
    text = output.read()
  if process.returncode:
    sys.exit(f'{command} failed')
  return time.monotonic() - start, usage.ru_maxrss / 1024, text


def _difference(old, new):
  """Share of the pixels that differ between the pictures of two directories."""
  import numpy as np
  from PIL import Image

  different = total = 0
  for name in sorted(os.listdir(old)):
    first, second = (np.asarray(Image.open(os.path.join(path, name))) for path in (old, new))
    different += (first != second).any(axis=-1).sum()
    total += first.shape[0] * first.shape[1]
  return different / total


if __name__ == '__main__':
  main()
