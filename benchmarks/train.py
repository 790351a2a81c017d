#!/usr/bin/env python3
"""Speed of a training step, whole: forward, backward, update.

  benchmarks/train.py --torch_python=TORCH_VENV/bin/python
  --reference_python=TF_2.12_VENV/bin/python

Contenders run in processes of their own, in turns. Seconds are medians; CPU-s is the smallest time
of all threads together, which depends little on what else the machine does. Ratios are to the first
row; above 1 is faster.
"""

import cells

if __name__ == '__main__':
  cells.run('train', size=257, batch_size=4, description=__doc__)
