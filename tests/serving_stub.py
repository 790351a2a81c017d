"""A server that answers as TensorFlow Serving does, by REST and gRPC, for tests of clients: it
knows an exported SavedModel by its signatures only.

  python tests/serving_stub.py exported/saved_model
"""

import concurrent.futures
import contextlib
import http.server
import json
import sys
import threading

import numpy as np
import tensorflow as tf


class _Model:
  """Calls signatures with arrays."""

  def __init__(self, directory, name):
    self.name = name
    self._model = tf.saved_model.load(str(directory))

  def __call__(self, signature_name, inputs):
    """name -> ndarray of what a signature gives; ValueError says what is wrong with the request."""
    if signature_name not in self._model.signatures:
      raise ValueError(f'Serving signature name: "{signature_name}" not found in signature def')
    function = self._model.signatures[signature_name]
    _, specs = function.structured_input_signature
    if set(inputs) != set(specs):
      raise ValueError(f'inputs {sorted(inputs)}, expected {sorted(specs)}')
    tensors = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in function(**tensors).items()}


@contextlib.contextmanager
def serving(directory, *, name='deeplab'):
  """(address for REST, address for gRPC) of a server on this machine, while the context lasts."""
  model = _Model(directory, name)
  server = http.server.ThreadingHTTPServer(('localhost', 0), _handler_of(model))
  threading.Thread(target=server.serve_forever, daemon=True).start()
  grpc_server, port = _grpc_server(model)
  try:
    yield f'http://localhost:{server.server_address[1]}', f'localhost:{port}'
  finally:
    server.shutdown()
    server.server_close()
    grpc_server.stop(None)


def _handler_of(model):
  class Handler(http.server.BaseHTTPRequestHandler):
    """TensorFlow Serving's REST, of which it has `:predict` with `inputs` or `instances`."""

    def do_POST(self):
      try:
        request = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        if self.path != f'/v1/models/{model.name}:predict':
          raise ValueError(f'Servable not found for request: {self.path}')
        by_columns = 'inputs' in request
        inputs = request['inputs' if by_columns else 'instances']
        if not isinstance(inputs, dict):
          inputs = {'ImageTensor': inputs}
        outputs = model(
          request.get('signature_name', 'serving_default'),
          {each: np.array(value) for each, value in inputs.items()},
        )
        lists = {each: value.tolist() for each, value in outputs.items()}
        if len(lists) == 1:
          (lists,) = lists.values()
        self._answer(200, {'outputs' if by_columns else 'predictions': lists})
      except (ValueError, tf.errors.InvalidArgumentError) as error:
        self._answer(400, {'error': str(error)})

    def _answer(self, status, content):
      body = json.dumps(content).encode()
      self.send_response(status)
      self.send_header('Content-Type', 'application/json')
      self.send_header('Content-Length', str(len(body)))
      self.end_headers()
      self.wfile.write(body)

    def log_message(self, *_):
      pass

  return Handler


def _grpc_server(model):
  """(server, its port)."""
  import grpc
  from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

  class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Of the service, Predict."""

    def Predict(self, request, context):
      if request.model_spec.name != model.name:
        context.abort(grpc.StatusCode.NOT_FOUND, f'Servable not found: {request.model_spec.name}')
      try:
        outputs = model(
          request.model_spec.signature_name or 'serving_default',
          {each: tf.make_ndarray(value) for each, value in request.inputs.items()},
        )
      except (ValueError, tf.errors.InvalidArgumentError) as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
      response = predict_pb2.PredictResponse()
      for each, value in outputs.items():
        # As the server does unless it is told otherwise: values in the list of their type.
        tensor = response.outputs[each]
        tensor.dtype = tf.as_dtype(value.dtype).as_datatype_enum
        tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
        values = {np.int32: 'int_val', np.int64: 'int64_val', np.float32: 'float_val'}
        getattr(tensor, values[value.dtype.type]).extend(value.ravel().tolist())
      return response

  limits = [('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1)]
  server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=limits)
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
  port = server.add_insecure_port('localhost:0')
  server.start()
  return server, port


if __name__ == '__main__':
  with serving(sys.argv[1]) as addresses:
    print('REST {}, gRPC {}; Ctrl-C ends it'.format(*addresses), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
      threading.Event().wait()
