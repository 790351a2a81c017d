"""A command of the checkout with a MobileNetV2 that has five of its 17 blocks, as its own process:
the tests of several workers start many, and most of a short command is tracing.

    short_network_command.py COMMAND --flag=value ...
"""

import os
import runpy
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

if __name__ == '__main__':
  sys.path.insert(0, CHECKOUT)
  from deeplab import quiet_start

  quiet_start.import_tensorflow(hides_errors=True)  # As a worker does
  from deeplab.model import mobilenet_v2

  mobilenet_v2.BLOCKS = ((16, 1), (24, 2), (32, 2), (64, 2), (64, 1))
  sys.argv = [os.path.join(CHECKOUT, sys.argv[1]), *sys.argv[2:]]
  runpy.run_path(sys.argv[0], run_name='__main__')
