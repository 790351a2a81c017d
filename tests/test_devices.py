"""How devices are prepared, with GPUs that are not there."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from deeplab import devices
from deeplab.errors import InputError
from deeplab.options import ComputeOptions
from deeplab.training import starting_report


@pytest.fixture(name='gpus')
def _gpus(monkeypatch):
  """Two of them; a list of those whose memory is to grow."""
  found = [SimpleNamespace(name=f'/physical_device:GPU:{index}') for index in range(2)]
  growing = []
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: found)
  monkeypatch.setattr(tf.config, 'get_visible_devices', lambda kind: found)
  monkeypatch.setattr(
    tf.config.experimental, 'set_memory_growth', lambda gpu, grows: growing.append((gpu, grows))
  )
  monkeypatch.setattr(
    tf.config.experimental, 'get_device_details', lambda gpu: {'device_name': 'A100'}
  )
  return growing


@pytest.fixture(autouse=True)
def _tf32():
  """As before when a test ends."""
  before = tf.config.experimental.tensor_float_32_execution_enabled()
  yield
  tf.config.experimental.enable_tensor_float_32_execution(before)


def has_tf32():
  return tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_command_lets_memory_grow_and_sets_tf32(gpus):
  assert devices.prepare(ComputeOptions(tf32=False)) == ['A100', 'A100']
  assert len(gpus) == 2 and not has_tf32()
  devices.prepare(ComputeOptions(compute_dtype='float16'))
  assert has_tf32()


def test_a_guest_turns_tf32_off_but_never_on(gpus):
  tf.config.experimental.enable_tensor_float_32_execution(False)
  devices.prepare(ComputeOptions(), own_process=False)
  assert not has_tf32() and not gpus
  tf.config.experimental.enable_tensor_float_32_execution(True)
  devices.prepare(ComputeOptions(), own_process=False)
  assert has_tf32()
  devices.prepare(ComputeOptions(tf32=False), own_process=False)
  assert not has_tf32()


def test_float16_needs_a_gpu(monkeypatch):
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [])
  with pytest.raises(InputError, match='--compute_dtype=float16: needs a GPU'):
    devices.prepare(ComputeOptions(compute_dtype='float16'))


@pytest.mark.parametrize(
  'options, words',
  [
    ({}, 'computing in float32 with TF32 products where the GPU has them'),
    ({'tf32': False}, 'computing in float32 without TF32'),
    ({'compute_dtype': 'bfloat16'}, 'computing in bfloat16'),
  ],
)
def test_the_starting_report_says_in_what_gpus_compute(options, words):
  workers = SimpleNamespace(num_workers=1, num_local_devices=2)
  line = starting_report.device_line(workers, ['A100', 'A100'], ComputeOptions(**options))
  assert line.startswith(f'devices: 2 of 2 GPUs (A100, A100), {words}')
  assert 'no GPU' in starting_report.device_line(workers, [], ComputeOptions(**options))
