"""Converts a SavedModel to ONNX: a script on its own, since a converter may end its process.

  python -I convert_to_onnx.py SAVED_MODEL DESCRIPTION OUTPUT

DESCRIPTION is a JSON file that becomes the metadata property `deeplab.json`.
"""

import sys

import onnx
from tf2onnx import convert

INPUT, SIGNATURE, OPSET = 'ImageTensor', 'serving_default', 18
AXES = ('batch', 'height', 'width')


def main(saved_model, description, output):
  # The command and not its functions: given a function with constants they make inputs of weights.
  sys.argv = ['tf2onnx', '--saved-model', saved_model, '--tag', 'serve', '--output', output]
  sys.argv += ['--signature_def', SIGNATURE, '--opset', str(OPSET)]
  convert.main()
  model = onnx.load(output)
  # TensorFlow writes the name in small letters on the way.
  rename(model.graph, model.graph.input[0].name, INPUT)
  for value in (*model.graph.input, *model.graph.output):
    for dimension, axis in zip(value.type.tensor_type.shape.dim, AXES):
      if not dimension.dim_value:
        dimension.dim_param = axis
  with open(description, encoding='utf-8') as file:
    onnx.helper.set_model_props(model, {'deeplab.json': file.read()})
  onnx.checker.check_model(model)
  onnx.save(model, output)


def rename(graph, old, new):
  graph.input[0].name = new
  for node in graph.node:
    for index, name in enumerate(node.input):
      if name == old:
        node.input[index] = new


if __name__ == '__main__':
  main(*sys.argv[1:])
