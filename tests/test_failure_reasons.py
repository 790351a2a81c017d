import os
import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf

from deeplab import failure_reasons

GRAPH = 'Graph execution error:\n\nDetected at node Conv2D defined at (most recent call last):\n'


@pytest.mark.parametrize(
  'error, reason',
  [
    (
      tf.errors.ResourceExhaustedError(
        None, None, '{{function_node __wrapped__SaveV2}} /a; No space left on device [Op:SaveV2]'
      ),
      'No space left on device',
    ),
    (tf.errors.UnknownError(None, None, '/a; Input/output error'), 'Input/output error'),
    (tf.errors.FailedPreconditionError(None, None, '/a; Is a directory'), 'Is a directory'),
    (tf.errors.NotFoundError(None, None, GRAPH), 'No such file or directory'),
    (tf.errors.ResourceExhaustedError(None, None, GRAPH + 'OOM'), 'out of memory'),
    (tf.errors.DataLossError(None, None, 'table.cc:42: checksum'), 'damaged or truncated'),
    (tf.errors.InternalError(None, None, GRAPH), 'the device or its driver failed'),
    (OSError(28, 'No space left on device', 'a'), 'No space left on device'),
    (RuntimeError('table.cc'), 'damaged or truncated'),
  ],
)
def test_reasons_are_ours_or_the_systems(error, reason):
  assert failure_reasons.reason_of(error) == reason


@pytest.mark.parametrize(
  'error, words',
  [
    (MemoryError(), 'out of memory'),
    (tf.errors.ResourceExhaustedError(None, None, GRAPH + 'OOM when allocating'), 'out of memory'),
    (tf.errors.InternalError(None, None, 'Dst tensor is not initialized.'), 'out of memory'),
    (
      tf.errors.InternalError(None, None, 'CUDA runtime error: CUDA_ERROR_OUT_OF_MEMORY: out of'),
      'out of memory',
    ),
    (
      tf.errors.UnknownError(None, None, GRAPH + 'in tensorflow: CUDNN_STATUS_ALLOC_FAILED'),
      'out of memory',
    ),
    (
      tf.errors.NotFoundError(
        None, None, 'No algorithm worked!  Error messages:\n  CUDNN failed to allocate the scratch'
      ),
      'out of memory',
    ),
    (
      tf.errors.UnknownError(None, None, 'Failed to get convolution algorithm. This is probably'),
      'the GPU failed (Failed to get convolution algorithm), mostly for want of memory,',
    ),
    (
      tf.errors.InternalError(None, None, "'status' CUDNN_STATUS_INTERNAL_ERROR in cuda_dnn.cc"),
      'the GPU failed (CUDNN_STATUS_INTERNAL_ERROR), mostly for want of memory,',
    ),
    (
      tf.errors.FailedPreconditionError(None, None, 'DNN library initialization failed. Look'),
      'the GPU failed (DNN library initialization failed), mostly for want of memory,',
    ),
    (tf.errors.ResourceExhaustedError(None, None, '/a; No space left on device'), None),
    (tf.errors.InternalError(None, None, 'CUDNN_STATUS_NOT_SUPPORTED'), None),
    (tf.errors.NotFoundError(None, None, '/a; No such file or directory'), None),
    # The name of a record.
    (tf.errors.InvalidArgumentError(None, None, 'out of memory.jpg is no picture'), None),
    (RuntimeError('out of memory'), None),
  ],
)
def test_failures_for_want_of_memory(error, words):
  assert failure_reasons.memory_shortage(error) == words


def test_what_nobody_expected_is_a_line_too():
  program = textwrap.dedent(f"""
      import os, sys, types
      from deeplab import flags

      class OpError(Exception):
        pass

      class InternalError(OpError):
        pass

      def main():
        os.environ['TF_CPP_MIN_LOG_LEVEL'] = '2'  # As OpenVINO does when it is imported.
        sys.modules['tensorflow'] = types.SimpleNamespace(
          errors=types.SimpleNamespace(OpError=OpError))
        raise InternalError({GRAPH!r})

      flags.run(main, description='A test.', uses_tensorflow=False)
      """)
  environment = {**os.environ}
  environment.pop('TF_CPP_MIN_LOG_LEVEL', None)  # With it, the traceback is shown.
  result = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=False, env=environment
  )
  assert (result.returncode, result.stderr) == (
    1,
    '-c: error: TensorFlow could not go on: the device or its driver failed (InternalError); with '
    'TF_CPP_MIN_LOG_LEVEL=0 in the environment its own message is shown\n',
  )
