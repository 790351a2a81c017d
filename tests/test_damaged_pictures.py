"""What the converter passes, training decodes; fuzz_pictures.py has the damages, and runs more."""

import fuzz_pictures


def test_damaged_pictures_that_pass_the_converter_are_decoded_later(tmp_path):
  counts, failures = fuzz_pictures.run(str(tmp_path), num_cases=60, seed=1)
  assert failures == []
  assert counts['passed'] > 3 and counts['refused'] > 20
  # Without the trial by TensorFlow these would have become records.
  assert counts['refused_by_training_alone'] > 0
