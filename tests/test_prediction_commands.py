"""run_evaluator.py and run_inferencer.py as a user runs them, inference once in a process of its
own.
"""

import json
import os
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import trained_work

from deeplab import metrics

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _run(command, *flags, directory):
  return subprocess.run(
    [sys.executable, os.path.join(_ROOT, command), *flags],
    cwd=directory,
    capture_output=True,
    check=False,
  )


@pytest.fixture(scope='module')
def work(tmp_path_factory):
  return trained_work.make(tmp_path_factory.mktemp('work'))


def test_evaluation_and_inference_agree(work, command_processes):
  inferred = _run(
    'run_inferencer.py',
    '--input=photos',
    '--recursive',
    '--keep_structure',
    '--ckpt_path=model',
    '--output_path=ids',
    '--output_type=ids,palette,contact_sheet',
    '--legend',
    directory=work,
  )
  # TensorFlow's chatter included.
  assert inferred.returncode == 0 and inferred.stderr == b'', inferred.stderr
  assert b'Prediction written to ids/deep/a.png_ids.png\n' in inferred.stdout
  assert b'network traced 1 time\n' in inferred.stdout
  assert sorted(os.listdir(work / 'ids')) == [
    'a.png_ids.png',
    'a.png_palette.png',
    'b.png_ids.png',
    'b.png_palette.png',
    'contact_sheet-001.png',
    'deep',
    'legend.png',
  ]
  evaluated = command_processes.run(
    [
      os.path.join(_ROOT, 'run_evaluator.py'),
      '--filenames=val.tfrecord',
      '--ckpt_path=model',
      '--report_path=report',
      '--boundary_iou',
      '--batch_size=2',
    ],
    directory=work,
  )
  assert evaluated.returncode == 0, evaluated.stderr
  lines = evaluated.stdout.decode().splitlines()
  start = lines.index('Num of images evaluated: 3')
  assert re.fullmatch(r'Loss: \d+\.\d+', lines[start + 1]) and re.fullmatch(
    r'mIOU: [01]\.\d+', lines[start + 2]
  )
  confusion = sum(
    metrics.confusion_matrix(
      np.array(PIL.Image.open(work / f'label{index}.png')).astype(np.int32),
      np.array(PIL.Image.open(work / 'ids' / f'{name}_ids.png')).astype(np.int32),
      num_classes=4,
      ignore_label=255,
    ).numpy()
    for index, name in enumerate(['a.png', 'b.png', 'deep/a.png'])
  )
  report = json.loads((work / 'report' / 'report.json').read_text())
  assert report['confusion'] == confusion.tolist()
  assert float(lines[start + 2].split()[1]) == pytest.approx(
    metrics.summarize(confusion).mean_iou, abs=1e-6
  )
  assert any(line.startswith('sky ') for line in lines)
  assert b'warning: never in the truth, so not measured: car' in evaluated.stderr
  assert 'Report written to report/report.html' in lines


def test_a_folder_with_bad_files(work, tmp_path, command_processes):
  whole = (work / 'photos' / 'a.png').read_bytes()
  for name, content in [
    (b'good.png', whole),
    (b'cut.png', whole[:90]),
    (b'text.jpg', b'text'),
    (b'notes.txt', b'notes'),
    (b'caf\xe9 \n.png', whole),
  ]:
    with open(os.path.join(os.fsencode(tmp_path), name), 'wb') as file:
      file.write(content)
  os.mkfifo(tmp_path / 'pipe.jpg')
  command = [
    os.path.join(_ROOT, 'run_inferencer.py'),
    f'--input={tmp_path}',
    f'--ckpt_path={work}/model',
    '--output_path=out',
  ]
  done = command_processes.run(command, directory=tmp_path)
  assert done.returncode == 1
  assert sorted(os.listdir(os.fsencode(tmp_path / 'out'))) == [
    b'caf\xe9 \n.png.png',
    b'good.png.png',
  ]
  assert b'Prediction written to out/caf\xe9 \\n.png.png\n' in done.stdout
  assert (
    b'cut.png: is a damaged or truncated image' in done.stderr
    and b'text.jpg: is not an image' in done.stderr
  )
  assert (
    b'pipe.jpg: is not a regular file' in done.stderr
    and b'error: 3 of 5 images could not be predicted' in done.stderr
  )
  again = command_processes.run([*command, '--skip_existing'], directory=tmp_path)
  assert again.returncode == 1 and b'2 of 5 images have predictions already' in again.stdout
  assert b'Prediction written' not in again.stdout
