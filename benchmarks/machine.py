"""What a benchmark ran on: every table and JSON file names it."""

import importlib.metadata
import os
import platform


def describe():
  """dict of processor, its vector extensions, cores, memory, system and library versions."""
  cpu = _first_value('/proc/cpuinfo', 'model name') or platform.processor() or platform.machine()
  flags = (_first_value('/proc/cpuinfo', 'flags') or '').split()
  memory = _first_value('/proc/meminfo', 'MemTotal')
  return {
    'processor': cpu,
    'extensions': [
      flag
      for flag in ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16', 'avx512_fp16')
      if flag in flags
    ],
    'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
    'memory_gib': round(int(memory.split()[0]) / 2**20) if memory else None,
    'system': f'{platform.system()} {platform.release()}',
    'python': platform.python_version(),
    'versions': {
      name: version for name in ('tensorflow', 'tf-slim', 'numpy') if (version := _version(name))
    },
  }


def line(description):
  """The description as one line for a table's head."""
  return (
    f'{description["processor"]} ({", ".join(description["extensions"])}), {description["cores"]} '
    'cores, '
    f'{description["memory_gib"]} GiB; tensorflow {description["versions"].get("tensorflow")}'
  )


def _version(name):
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None


def _first_value(path, key):
  try:
    with open(path, encoding='utf-8') as lines:
      return next((text.split(':', 1)[1].strip() for text in lines if text.startswith(key)), None)
  except OSError:
    return None
