from deeplab.prediction.same_size_batches import same_size_batches


def _batches(text, **arguments):
  return [''.join(batch) for batch in same_size_batches(text, str.upper, **arguments)]


def test_batch_of_one_keeps_the_order():
  assert _batches('abca', batch_size=1) == ['a', 'b', 'c', 'a']


def test_only_one_size_in_a_batch():
  assert _batches('abAacBb', batch_size=2) == ['aA', 'bB', 'a', 'c', 'b']


def test_look_ahead_is_bounded_and_the_longest_wait_ends_first():
  drawn = []

  def items():
    for item in 'abcdefgh':
      drawn.append(item)
      yield item

  batches = same_size_batches(items(), str.upper, batch_size=4, look_ahead=3)
  assert next(batches) == ['a'] and drawn == ['a', 'b', 'c']
  assert next(batches) == ['b'] and drawn == ['a', 'b', 'c', 'd']


def test_every_item_comes_once():
  text = 'abcabcaabbccabcxyz'
  assert sorted(''.join(_batches(text, batch_size=3, look_ahead=5))) == sorted(text)


def test_items_that_wait_are_bounded_in_bytes():
  sizes = dict(bytes_of={'a': 1, 'b': 5}.get, most_bytes=6)
  assert _batches('aabab', batch_size=9, **sizes) == ['aa', 'b', 'a', 'b']
