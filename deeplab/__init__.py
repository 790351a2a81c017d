"""DeepLabv3 and DeepLabv3+ semantic segmentation on TensorFlow 2.

Importing this package imports nothing else: the commands parse their flags before they pay for
TensorFlow.
"""

__version__ = '0.1.0'
