"""What a part of gpu_verdict.py is given, and scenes to work on."""

import dataclasses
import os
import time

import drawn_records
from gpu_verdict_outcomes import Findings

NUM_CLASSES = 7  # Of drawn scenes.


@dataclasses.dataclass
class Work:
  """What a part is given.

  Attributes:
    findings: where it writes what it found.
    directory: of this verdict, for what one part leaves to the next.
    is_dry_run: no GPU is used, and all is small.
    device: 'GPU:0', or 'CPU:0' in a dry run.
    seconds: its limit.
    settings: all that the process was started with.
  """

  findings: Findings
  directory: str
  is_dry_run: bool
  device: str
  seconds: float
  settings: dict
  started: float = dataclasses.field(default_factory=time.monotonic)

  def left(self):
    """Seconds until what is not begun yet should not be begun any more."""
    return 0.7 * self.seconds - (time.monotonic() - self.started)

  def has_time_for(self, what):
    """Whether it is to be begun; if not, that is said."""
    if self.left() > 0:
      return True
    self.findings.not_run(what, f'cut short: {self.seconds:.0f} s are the limit of this part')
    return False

  def file(self, name):
    return os.path.join(self.directory, name)

  def scenes(self, number, *, height, width, seed=0):
    """[(image uint8 [height, width, 3], label uint8 [height, width])] of drawn scenes."""
    import numpy as np

    from deeplab import synthetic_scenes

    random = np.random.default_rng(seed)
    return [
      synthetic_scenes.draw_scene(random, height=height, width=width, num_objects=5)
      for _ in range(number)
    ]

  def records(self, number, *, height, width):
    """Path of records of drawn scenes."""
    path = self.file(f'scenes_{number}_{height}x{width}.tfrecord')
    if not os.path.exists(path):
      drawn_records.write(path + '.new', self.scenes(number, height=height, width=width))
      os.replace(path + '.new', path)
    return path
