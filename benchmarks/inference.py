#!/usr/bin/env python3
"""Speed of predicting one image: uint8 pixels to the class of each.

  benchmarks/inference.py --torch_python=TORCH_VENV/bin/python
  --reference_python=TF_2.12_VENV/bin/python

Columns as in benchmarks/train.py. Reading and writing of files is benchmarks/inference_folder.py.
"""

import cells

if __name__ == '__main__':
  cells.run('inference', size=513, batch_size=1, description=__doc__)
