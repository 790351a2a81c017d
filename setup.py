"""Installs the package `deeplab` and the commands."""

import glob
import os
import re

import setuptools

# setup() takes paths relative to this directory only, whatever directory an installer starts in.
os.chdir(os.path.dirname(os.path.abspath(__file__)))

with open('README.md', encoding='utf-8') as readme:
  LONG_DESCRIPTION = readme.read()
with open(os.path.join('deeplab', '__init__.py'), encoding='utf-8') as package:
  VERSION = re.search(r"__version__ = '(.+)'", package.read()).group(1)

setuptools.setup(
  name='deeplab-tf',
  version=VERSION,
  description='DeepLabv3 and DeepLabv3+ semantic segmentation on TensorFlow 2.',
  long_description=LONG_DESCRIPTION,
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  classifiers=[
    'Development Status :: 4 - Beta',
    'Intended Audience :: Science/Research',
    'Programming Language :: Python :: 3',
    'Topic :: Scientific/Engineering :: Image Recognition',
  ],
  keywords='deeplab semantic-segmentation tensorflow computer-vision',
  packages=setuptools.find_packages(include=['deeplab', 'deeplab.*']),
  scripts=[
    'run_trainer.py',
    'run_evaluator.py',
    'run_inferencer.py',
    'export_model.py',
    *sorted(glob.glob('scripts/*.py')),
  ],
  python_requires='>=3.10',
  install_requires=[
    'tensorflow>=2.16',
    'tf-slim>=1.1.0',
    'numpy',
    'pillow>=10.1',  # The first whose built-in font has sizes.
    'absl-py',
    'tqdm',
    'tensorboard',  # Holds tf.summary.scalar; TensorFlow 2.21 no longer brings it.
  ],
  extras_require={
    'gpu': ['tensorflow[and-cuda]>=2.16'],
    'test': [
      'pytest',
      'pytest-xdist',
      'scipy',
      'matplotlib',
      'pycocotools',
      'av>=14.1',
      'ai-edge-litert',
      'tf2onnx',
      'onnx',
      'onnxruntime',
      'tensorflow-serving-api',  # The messages of TensorFlow Serving, for examples/serving.
      'dockerfile-parse',
      'nbclient',  # Runs examples/*.ipynb.
      'ipykernel',
      'pyyaml',  # Reads examples/kubernetes.
    ],
    'lint': ['ruff==0.17.6'],  # One version for all, since formatters change their minds.
    'mat': ['scipy'],  # Labels in MATLAB files, as the SBD annotations come.
    'coco': ['pycocotools'],  # Draws the regions of COCO's JSON files.
    'plots': ['matplotlib'],
    'video': ['av>=14.1'],  # PyAV; the first whose frames say how they are turned is 14.1.
    'tflite': ['ai-edge-litert'],  # LiteRT, which runs TFLite files; TensorFlow itself writes them.
    'onnx': ['tf2onnx', 'onnx', 'onnxruntime'],
    'openvino': ['openvino'],  # Another way to compute an exported SavedModel.
    'ray': ['ray[data]'],  # Predictions on many machines, examples/ray_predict.py.
    'benchmark': ['torch', 'transformers', 'segmentation-models-pytorch'],
  },
)
