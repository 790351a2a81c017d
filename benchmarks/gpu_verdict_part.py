"""The process of one part of gpu_verdict.py: makes TensorFlow ready and calls the part.

Its one argument is JSON. What it finds goes to a file, line by line.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from gpu_verdict_outcomes import Findings
from gpu_verdict_work import Work


def machine_facts(work):
  """Names, versions and abilities of the GPUs, for the page."""
  import importlib.metadata
  import subprocess

  import tensorflow as tf

  build = tf.sysconfig.get_build_info()
  names = ('cuda_version', 'cudnn_version', 'cuda_compute_capabilities')
  work.findings.facts(
    **{
      f'{name} of the build': _listed(build[name])
      for name in names
      if name in build and build['is_cuda_build']
    }
  )
  gpus = [] if work.is_dry_run else tf.config.list_physical_devices('GPU')
  details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
  work.findings.facts(
    GPUs=', '.join(
      f'{each.get("device_name")} (compute capability {_listed(each["compute_capability"], ".")})'
      if 'compute_capability' in each
      else str(each.get('device_name'))
      for each in details
    )
  )
  if not gpus:
    return
  query = ['nvidia-smi', '--query-gpu=driver_version,memory.total', '--format=csv,noheader']
  try:
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    work.findings.facts(**{'driver, memory': '; '.join(answer.stdout.strip().splitlines())})
  except (OSError, subprocess.SubprocessError):
    work.findings.facts(**{'driver, memory': 'nvidia-smi does not say'})
  libraries = [
    f'{package.metadata["Name"]} {package.version}'
    for package in importlib.metadata.distributions()
    if (package.metadata['Name'] or '').startswith('nvidia-')
  ]
  work.findings.facts(**{'CUDA libraries': ', '.join(sorted(libraries)) or 'of the system'})


def _listed(value, separator=', '):
  return separator.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def main():
  settings = json.loads(sys.argv[1])
  work = Work(
    findings=Findings(settings['results'], settings['title']),
    directory=settings['directory'],
    is_dry_run=settings['is_dry_run'],
    device='CPU:0' if settings['is_dry_run'] else 'GPU:0',
    seconds=settings['seconds'],
    settings=settings,
  )
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  quiet_start.hide_advice()
  import tensorflow as tf

  for gpu in tf.config.list_physical_devices('GPU'):
    tf.config.experimental.set_memory_growth(gpu, True)
  # Parts that measure speed choose anew.
  tf.config.experimental.enable_tensor_float_32_execution(False)
  tf.random.set_seed(1)
  _function(settings['part'])(work)
  work.findings.done()


def _function(name):
  import gpu_verdict_correctness as correctness
  import gpu_verdict_depthwise
  import gpu_verdict_equality as equality
  import gpu_verdict_speed as speed
  import gpu_verdict_training as training

  return {
    'machine': machine_facts,
    'reference': correctness.reference,
    'correctness': correctness.correctness,
    'determinism': equality.determinism,
    'memory': training.memory,
    'input_wait': training.input_wait,
    'devices': equality.devices,
    'speed': speed.speed,
    'depthwise': gpu_verdict_depthwise.depthwise,
  }[name]


if __name__ == '__main__':
  main()
