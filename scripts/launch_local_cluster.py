#!/usr/bin/env python3
"""Starts a command as several workers on this machine, to try a cluster without one."""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import flags  # noqa: E402
from deeplab.errors import InputError, shown  # noqa: E402
from deeplab.options import LocalClusterOptions  # noqa: E402

DESCRIPTION = """
Starts the command after -- once for each worker, on ports of this machine, with TF_CONFIG set.
Lines of output begin with the number of their worker; worker 0 is the chief. When one fails, the
others are ended, and its exit status is that of this command. Ctrl-C is handed to all, and they are
waited for; once more kills them.

  launch_local_cluster.py --num_workers=2 -- run_trainer.py --filenames=train --output_path=model
"""
_EXAMPLE = 'launch_local_cluster.py --num_workers=2 -- run_trainer.py --filenames=train'


def main(options, command):
  """Runs `command`, its words, as workers; returns the exit status."""
  if not command:
    raise InputError(f'which command to start follows after --: {_EXAMPLE}')
  if os.name != 'posix':
    raise InputError('needs Linux or macOS, whose groups of processes end together')
  from deeplab.distribution import local_cluster

  program = program_of(command[0])
  hosts = local_cluster.addresses(options.num_workers, options.port)
  environs = local_cluster.environments(hosts, os.environ, gpus_per_worker=options.gpus_per_worker)
  return local_cluster.LocalCluster(
    [*program, *command[1:]], environs, grace_seconds=options.grace_seconds
  ).run()


def program_of(name: str) -> list[str]:
  """The words that start the program `name`: a path, a name on the PATH, or a command of this
  toolkit in its checkout. Python files are run by the Python that runs this.

  Raises:
    InputError: there is none.
  """
  here = os.path.dirname(os.path.abspath(__file__))
  places = [name] if os.sep in name else [shutil.which(name), name]
  if os.sep not in name:
    places += [os.path.join(place, name) for place in (here, os.path.dirname(here))]
  for path in filter(None, places):
    if os.path.isfile(path) and path.endswith('.py'):
      return [sys.executable, path]
    if os.path.isfile(path) and os.access(path, os.X_OK):
      return [os.path.abspath(path)]
  raise InputError(f'{shown(name)}: no such command; give a path, or one that is on the PATH')


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
  """(own arguments, the command after --)."""
  if '--' in arguments:
    place = arguments.index('--')
    return arguments[:place], arguments[place + 1 :]
  # The -- was forgotten: main says so, instead of absl that the command's flags are unknown.
  place = next(
    (index for index, word in enumerate(arguments) if word.endswith('.py')), len(arguments)
  )
  return arguments[:place], []


if __name__ == '__main__':
  sys.argv[1:], COMMAND = split(sys.argv[1:])
  flags.run(
    lambda options: main(options, COMMAND),
    LocalClusterOptions,
    description=DESCRIPTION,
    uses_tensorflow=False,
  )
