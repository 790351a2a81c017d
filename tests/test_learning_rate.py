"""Every schedule against its closed form."""

import math

import pytest

from deeplab.errors import InputError
from deeplab.learning_rate import learning_rate
from deeplab.options import TrainingOptions


@pytest.mark.parametrize(
  'step, expected',
  [
    (0, 7e-3),
    (1, 7e-3 * (1 - 1 / 100) ** 0.9),
    (50, 7e-3 * 0.5**0.9),
    (99, 7e-3 * 0.01**0.9),
    (100, 0.0),
    (500, 0.0),
  ],
)
def test_poly(step, expected):
  assert learning_rate(TrainingOptions(num_steps=100), step) == pytest.approx(
    expected, rel=1e-9, abs=1e-15
  )


@pytest.mark.parametrize(
  'step, expected', [(0, 0.1), (9, 0.1), (10, 0.02), (19, 0.02), (20, 0.003), (1000, 0.003)]
)
def test_manual(step, expected):
  options = TrainingOptions(
    init_learning_rate=0.1, boundaries=(10, 20), rates=(0.02, 0.003), num_steps=100
  )
  assert options.man_step_lr  # Giving boundaries and rates is enough.
  assert learning_rate(options, step) == expected


def test_manual_by_the_flag_alone_has_the_reference_defaults():
  options = TrainingOptions(man_step_lr=True)
  assert [learning_rate(options, step) for step in (0, 59999, 60000, 79999, 80000)] == [
    7e-3,
    7e-3,
    7e-4,
    7e-4,
    7e-5,
  ]


@pytest.mark.parametrize('step', [0, 1, 25, 50, 99, 100, 120])
def test_cosine(step):
  options = TrainingOptions(learning_policy='cosine', init_learning_rate=0.2, num_steps=100)
  expected = 0.1 * (1 + math.cos(math.pi * min(step, 100) / 100))
  assert learning_rate(options, step) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_slow_start_shifts_the_schedule():
  options = TrainingOptions(
    slow_start_step=20,
    slow_start_learning_rate=1e-4,
    init_learning_rate=0.1,
    num_steps=100,
    learning_power=1.0,
  )
  assert learning_rate(options, 0) == 1e-4
  assert learning_rate(options, 19) == 1e-4
  assert learning_rate(options, 20) == pytest.approx(0.1)
  assert learning_rate(options, 60) == pytest.approx(0.05)
  assert learning_rate(options, 100) == 0.0


def test_slow_start_does_not_shift_boundaries():
  options = TrainingOptions(
    slow_start_step=5, init_learning_rate=0.1, boundaries=(10,), rates=(0.01,), num_steps=100
  )
  assert [learning_rate(options, step) for step in (4, 5, 9, 10)] == [1e-4, 0.1, 0.1, 0.01]


def test_warmup_ramps_up_to_the_schedule():
  options = TrainingOptions(warmup_steps=4, num_steps=100)
  plain = TrainingOptions(num_steps=100)
  for step, factor in ((0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0), (50, 1.0)):
    assert learning_rate(options, step) == pytest.approx(
      factor * learning_rate(plain, step), rel=1e-12
    )


def test_contradictions_are_refused():
  with pytest.raises(InputError, match='--learning_policy=cosine'):
    TrainingOptions(learning_policy='cosine', boundaries=(10,), rates=(0.1,))
  with pytest.raises(InputError, match='--slow_start_step=50'):
    TrainingOptions(slow_start_step=50, num_steps=50)
