import pytest
import tensorflow as tf

from deeplab import tensorflow_errors


def test_what_tensorflow_raises_becomes_one_line():
  @tf.function(autograph=False)
  def decode(encoded):
    return tf.io.decode_png(encoded)

  def mapped():
    return next(iter(tf.data.Dataset.from_tensors(b'none').map(decode)))

  def eager():
    return tf.io.decode_png(b'none')

  for run in (lambda: decode(b'none'), mapped, eager):
    with pytest.raises(tf.errors.OpError) as error:
      run()
    reason = tensorflow_errors.reason(error.value)
    assert 'Unknown image file format' in reason
    assert not any(
      mark in reason for mark in ('{', '[[', '[Op:', 'Graph', 'Detected', 'File', '\n')
    )


@pytest.mark.parametrize(
  'message, reason',
  [
    ('', 'InternalError'),
    ('2 root error(s) found.\n  (0) INTERNAL: a\n\t [[{{node b}}]]\n  (1) INTERNAL: a\n', 'a'),
    ('{{function_node f}} disk full; No space left on device [Op:SaveV2] name: ', None),
  ],
)
def test_lists_of_errors(message, reason):
  expected = reason or 'disk full; No space left on device'
  assert tensorflow_errors.reason(tf.errors.InternalError(None, None, message)) == expected
