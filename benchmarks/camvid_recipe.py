#!/usr/bin/env python3
"""The CamVid recipe of docs/recipes.md, run as it stands there: its mIOU, and what it took.

The data set and the weights are yours; the page says where they are found.

  benchmarks/camvid_recipe.py --data_dir=CamVid --weights=deeplabv3_mnv2_dm05_pascal_trainaug.tar.gz
  benchmarks/camvid_recipe.py --section='CamVid in one flag' --data_dir=CamVid --weights=...
"""

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time

import machine

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, 'docs', 'recipes.md')
SECTIONS = ('CamVid', 'CamVid in one flag')


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--data_dir', required=True, help='directory with train/, trainannot/, ...')
  parser.add_argument('--weights', required=True, help='official archive, or what was unpacked')
  parser.add_argument(
    '--section', default=SECTIONS[0], choices=SECTIONS, help='of docs/recipes.md, the one to run'
  )
  parser.add_argument(
    '--train_flags', default='', help='more flags for run_trainer.py, such as "--num_epochs=10"'
  )
  parser.add_argument(
    '--work_dir', help='directory for everything, empty; default: a temporary one'
  )
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as temporary:
    work = arguments.work_dir or temporary
    os.makedirs(work, exist_ok=True)
    lines = commands(PAGE, section=arguments.section)
    link_inputs(lines, work, data_dir=arguments.data_dir, weights=arguments.weights)
    print(machine.line(machine.describe()), flush=True)
    for words in lines:
      if words[0] == 'run_trainer.py':
        words = words + shlex.split(arguments.train_flags)
      run(words, work)


def commands(page, *, section=SECTIONS[0]):
  """The words of each command in the first block of code below the page's heading `section`."""
  with open(page, encoding='utf-8') as file:
    text = file.read().split(f'\n## {section}\n')[1]
  block = re.search(r'^```sh\n(.*?)^```$', text, flags=re.DOTALL | re.MULTILINE).group(1)
  return [shlex.split(line) for line in block.replace('\\\n', ' ').splitlines() if line.strip()]


def link_inputs(lines, work, *, data_dir, weights):
  """Makes the two names that the commands take from outside lead to what is there."""
  names = dict(
    word.split('=', 1)
    for words in lines
    if words[0] in ('write_tfrecord.py', 'import_official_checkpoint.py')
    for word in words
    if word.startswith(('--data_dir=', '--ckpt_path='))
  )
  for flag, path in (('--data_dir', data_dir), ('--ckpt_path', weights)):
    os.symlink(os.path.abspath(path), os.path.join(work, names[flag]))


def run(words, work):
  """Runs one command of ours in the directory `work`, and prints it and what it took."""
  print('\n$ ' + shlex.join(words), flush=True)
  place = ROOT if words[0].startswith('run_') else os.path.join(ROOT, 'scripts')
  before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
  subprocess.run([sys.executable, os.path.join(place, words[0]), *words[1:]], cwd=work, check=True)
  seconds = time.monotonic() - start
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
  print(f'{seconds:.0f} s, {used:.0f} s of processor time', flush=True)


if __name__ == '__main__':
  main()
