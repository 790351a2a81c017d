"""Runs whose length is given in epochs."""

import pytest
import record_makers

from deeplab.errors import InputError
from deeplab.options import TrainingInputOptions, TrainingOptions
from deeplab.training import epochs


@pytest.mark.parametrize(
  'num_epochs, num_records, batch_size, accumulate_steps, expected',
  [
    (1, 12, 4, 1, 3),
    (1, 13, 4, 1, 4),  # Rounded up: each record is drawn once or more.
    (10, 13, 4, 1, 33),
    (10, 13, 4, 2, 17),
    (0.1, 30, 1, 1, 3),  # In binary floats 0.1 * 30 is more than 3.
    (1e-3, 5, 12, 1, 1),
  ],
)
def test_num_steps(num_epochs, num_records, batch_size, accumulate_steps, expected):
  assert expected == epochs.num_steps(
    num_epochs,
    num_records=num_records,
    batch_size=batch_size,
    accumulate_steps=accumulate_steps,
  )


@pytest.fixture(name='input_options')
def _input_options(tmp_path):
  for name, count in (('a', 4), ('b', 3)):
    record_makers.write(
      tmp_path / f'{name}.tfrecord', [record_makers.record(number) for number in range(count)]
    )
  return TrainingInputOptions(filenames=(str(tmp_path),), batch_size=2)


def settled(input_options, *, given=(), saved_flags=None, **options):
  return epochs.settled(
    TrainingOptions(**options), input_options, given=frozenset(given), saved_flags=saved_flags
  )


def test_records_are_counted(input_options):
  assert settled(input_options, num_epochs=3.0) == (
    TrainingOptions(num_steps=11),
    '--num_epochs=3 is --num_steps=11: 7 records, 2 a step',
  )
  assert settled(input_options, num_epochs=1.5, accumulate_steps=3) == (
    TrainingOptions(num_steps=2, accumulate_steps=3),
    '--num_epochs=1.5 is --num_steps=2: 7 records, 3 times 2 a step',
  )


def test_both_lengths_are_refused_unless_the_flagfile_of_the_run_gives_one(input_options):
  both = dict(num_steps=11, num_epochs=6.0, given={'num_steps', 'num_epochs'})
  for saved_flags in (None, {}, {'num_steps': ['12']}):
    with pytest.raises(InputError, match='--num_steps=11 and --num_epochs=6: both say how long'):
      settled(input_options, saved_flags=saved_flags, **both)
  options, _ = settled(input_options, saved_flags={'num_steps': ['11']}, **both)
  assert options.num_steps == 21


def test_other_options_must_fit_the_number_of_steps(input_options):
  with pytest.raises(
    InputError,
    match='--num_epochs=2 is --num_steps=7; --slow_start_step=7: must be below --num_steps=7',
  ):
    settled(input_options, num_epochs=2.0, slow_start_step=7)
  assert settled(input_options, num_epochs=2.0, slow_start_step=6)[0].num_steps == 7


def test_no_records(tmp_path):
  with pytest.raises(InputError, match='nowhere: no such file or directory'):
    settled(TrainingInputOptions(filenames=(str(tmp_path / 'nowhere'),)), num_epochs=1.0)


@pytest.mark.parametrize('value', [0.0, -1.0, float('inf'), float('nan')])
def test_values(value):
  with pytest.raises(InputError, match='--num_epochs='):
    TrainingOptions(num_epochs=value)
