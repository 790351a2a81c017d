"""The model on paper of docs/scaling.md: its formulas, and that the page has what it prints."""

import pathlib
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope='module')
def model():
  sys.path.insert(0, str(CHECKOUT / 'benchmarks'))
  try:
    import scaling_model
  finally:
    sys.path.remove(str(CHECKOUT / 'benchmarks'))
  return scaling_model


def test_the_page_has_the_table(model):
  flags = model.parsed_flags([])
  printed = model.assumptions(flags) + '\n' + '\n'.join(model.table(flags, model.sizes_of_page()))
  assert printed in (CHECKOUT / 'docs' / 'scaling.md').read_text(encoding='utf-8')


def test_sizes_are_those_of_the_weights(model):
  sizes = model.sizes_of_page()
  assert sizes['xception_65'] == (41.26e6, 54.05e9) and sizes['mobilenet_v2'] == (2.31e6, 5.41e9)


def test_numbers_by_hand(model):
  flags = model.parsed_flags(
    [
      '--images_per_gpu=2',
      '--gpus_per_machine=2',
      '--peak_tflops=1',
      '--efficiency=0.5',
      '--separable_efficiency=0.25',
      '--link_gbyte=1',
      '--network_gbit=1',
      '--network_efficiency=0.8',
      '--link_latency_us=1000',
      '--network_latency_us=10000',
      '--record_kbyte=100',
      '--decode_ms=10',
    ]
  )

  def modelled(num_gpus, *, is_separable=False):
    row = model.modelled(
      flags,
      num_bytes=1e8,
      multiply_adds=1e10,
      num_batch_norms=10,
      is_separable=is_separable,
      num_gpus=num_gpus,
    )
    return pytest.approx(row)

  assert modelled(1) == {
    'computing': 0.24,  # 2 images, 6e10 operations each, of 5e11 a second.
    'averaging': 0.0,
    'batch_norm': 0.0,
    'images_per_second': 2 / 0.24,
    'share': 1.0,
    'bytes_per_second': 2 / 0.24 * 1e5,
    'cores': 2 / 0.24 / 100,
  }
  assert modelled(1, is_separable=True) == {
    'computing': 0.48,
    'averaging': 0.0,
    'batch_norm': 0.0,
    'images_per_second': 2 / 0.48,
    'share': 1.0,
    'bytes_per_second': 2 / 0.48 * 1e5,
    'cores': 2 / 0.48 / 100,
  }
  # Half of the bytes twice at 1 GB/s, and 2 latencies.
  two = 0.1 + 0.002
  assert modelled(2) == {
    'computing': 0.24,
    'averaging': two,
    'batch_norm': 2 * 10 * 0.002,
    'images_per_second': 4 / (0.24 + two),
    'share': 0.24 / (0.24 + two),
    'bytes_per_second': 4 / (0.24 + two) * 1e5,
    'cores': 4 / (0.24 + two) / 100,
  }
  # Three quarters of them twice at 0.1 GB/s, and 6 latencies between machines.
  four = 1.5 + 0.06
  assert modelled(4) == {
    'computing': 0.24,
    'averaging': four,
    'batch_norm': 2 * 10 * 0.04,
    'images_per_second': 8 / (0.24 + four),
    'share': 0.24 / (0.24 + four),
    'bytes_per_second': 8 / (0.24 + four) * 1e5,
    'cores': 8 / (0.24 + four) / 2 / 100,
  }


@pytest.mark.slow
def test_batch_norms_are_counted(model):
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  # As benchmarks/model_sizes.py counts their parameters.
  head = dict(atrous_rates=(6, 12, 18), aspp_with_separable_conv=True)
  for name, (num_batch_norms, _) in model.NETWORKS.items():
    own_head = {} if name == 'mobilenet_v2' else head
    options = ModelOptions(model_variant=name, use_decoder=True, **own_head)
    names = DeepLabV3PredictionModel(options, operations='plain').named_variables
    assert sum(each.endswith('/moving_mean') for each in names) == num_batch_norms, name
