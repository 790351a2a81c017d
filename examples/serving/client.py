#!/usr/bin/env python3
"""Asks TensorFlow Serving for the classes of a picture's pixels, and writes them as a colour PNG.

  client.py --image=photo.jpg --output=prediction.png --model=exported/saved_model
  client.py --image=photo.jpg --output=prediction.png --model=exported/saved_model \\
    --grpc=localhost:8500

Needs numpy and Pillow, for gRPC also `pip install tensorflow-serving-api`; not the toolkit. The
model's directory is read only for the names and colours of its classes.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request

import numpy as np
from PIL import Image, ImageOps

# The signature that answers with classes only; serving_default has the probabilities, too.
_SIGNATURE = 'predict_labels'
_INPUT, _OUTPUT = 'ImageTensor', 'SemanticPredictions'
_UINT8 = 4  # tensorflow.DT_UINT8
_GREY = (127, 127, 127)


def main(arguments=None):
  """Sends the picture, and writes what comes back; exits with one line where that fails."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--image', required=True, help='picture to segment, such as a JPEG')
  parser.add_argument('--output', required=True, help='PNG to write, in the colours of the classes')
  parser.add_argument('--model', required=True, help='exported saved_model directory, for colours')
  parser.add_argument('--rest', default='http://localhost:8501', help='where REST is answered')
  parser.add_argument('--grpc', help='HOST:PORT; instead of REST, which writes each pixel as text')
  parser.add_argument('--name', default='deeplab', help='name under which the model is served')
  parser.add_argument('--max_size', type=int, default=1025, help='longest side that is sent')
  parser.add_argument('--timeout', type=float, default=120.0, help='seconds to wait for an answer')
  options = parser.parse_args(arguments)
  try:
    description = read_description(options.model)
    with Image.open(options.image) as file:
      picture = ImageOps.exif_transpose(file).convert('RGB')
    sent, used = fitted(picture, size=description['size'], max_size=options.max_size)
    ask = ask_by_grpc if options.grpc else ask_by_rest
    labels = ask(options.grpc or options.rest, sent, name=options.name, timeout=options.timeout)
    if labels.shape != sent.shape[:2]:
      raise OSError(f'the answer has shape {list(labels.shape)}, the picture {sent.shape[:2]}')
    colored(labels[: used[0], : used[1]], description, picture.size).save(options.output)
  except (OSError, ValueError, KeyError, ImportError) as error:
    sys.exit(f'client.py: error: {error}')
  shares = np.bincount(labels[: used[0], : used[1]].ravel(), minlength=description['num_classes'])
  for index in np.argsort(-shares):
    if shares[index]:
      print(f'{shares[index] / shares.sum():6.1%}  {description["class_names"][index]}')
  print(f'Prediction written to {options.output}')


def read_description(model):
  """What the exported model says of itself: names and colours of the classes, its fixed size."""
  with open(os.path.join(model, 'assets', 'deeplab.json'), encoding='utf-8') as file:
    return json.load(file)


def fitted(picture, *, size, max_size):
  """The pixels to send, and how much of them is picture.

  Args:
    picture: PIL image, RGB.
    size: [height, width] that the model needs, or None for any.
    max_size: the longest side to send where any will do.

  Returns:
    (uint8 [height, width, 3], (height, width) of the picture in it, from the top left).
  """
  height, width = size or (max_size, max_size)
  scale = min(1.0, height / picture.height, width / picture.width)
  if scale < 1.0:
    shrunk = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    picture = picture.resize(shrunk, Image.Resampling.BILINEAR)
  used = picture.height, picture.width
  if size:
    whole = Image.new('RGB', (width, height), _GREY)
    whole.paste(picture)
    picture = whole
  return np.asarray(picture), used


def ask_by_rest(address, image, *, name, timeout):
  """Class of each pixel, int [height, width], by TensorFlow Serving's REST."""
  body = {'signature_name': _SIGNATURE, 'inputs': {_INPUT: [image.tolist()]}}
  request = urllib.request.Request(
    f'{address}/v1/models/{name}:predict',
    json.dumps(body).encode(),
    {'Content-Type': 'application/json'},
  )
  try:
    with urllib.request.urlopen(request, timeout=timeout) as answer:
      outputs = json.load(answer)['outputs']
  except urllib.error.HTTPError as error:  # The server says why, in JSON.
    raise OSError(f'{address}: {error}: {error.read().decode(errors="replace")[:500]}') from error
  except urllib.error.URLError as error:
    raise OSError(f'{address}: {error.reason}; is the server running there?') from error
  # An only output comes without its name.
  labels = outputs[_OUTPUT] if isinstance(outputs, dict) else outputs
  return np.array(labels[0], np.int64)


def ask_by_grpc(address, image, *, name, timeout):
  """The same by gRPC: the pixels travel as bytes, several times faster."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # The messages' classes import TensorFlow.
  import grpc
  from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

  request = predict_pb2.PredictRequest()
  request.model_spec.name, request.model_spec.signature_name = name, _SIGNATURE
  tensor = request.inputs[_INPUT]
  tensor.dtype, tensor.tensor_content = _UINT8, image.tobytes()
  for side in (1, *image.shape):
    tensor.tensor_shape.dim.add().size = side
  # The usual limit of 4 MB is less than the classes of a photograph.
  settings = [('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1)]
  try:
    with grpc.insecure_channel(address, settings) as channel:
      stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
      answer = stub.Predict(request, timeout=timeout).outputs[_OUTPUT]
  except grpc.RpcError as error:
    raise OSError(f'{address}: {error.code().name}: {error.details()}') from error
  shape = [dim.size for dim in answer.tensor_shape.dim]
  values = np.array(answer.int_val or answer.int64_val, np.int64)
  if answer.tensor_content:
    count = int(np.prod(shape))
    values = np.frombuffer(answer.tensor_content, f'<i{len(answer.tensor_content) // count}')
  return values.reshape(shape)[0]


def colored(labels, description, size):
  """PIL image of `size` (width, height) in the colours of the classes `labels` [height, width]."""
  colors = np.array(description['colors'], np.uint8)
  return Image.fromarray(colors[labels]).resize(size, Image.Resampling.NEAREST)


if __name__ == '__main__':
  main()
