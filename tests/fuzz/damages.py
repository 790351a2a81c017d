"""Ways to damage bytes, texts and JSON; all choices come from the case."""

import copy
import json

# Values that take the place of others in JSON.
_STRANGE_VALUES = (
  None,
  True,
  False,
  0,
  -1,
  1,
  7,
  5.5,
  -0.0,
  1e308,
  10**30,
  -(10**30),
  2**31,
  2**63,
  float('nan'),
  float('inf'),
  '',
  'False',
  'null',
  '5',
  'x' * 5000,
  '\x1b[2J\x1b]0;owned\x07',
  'two\nlines',
  '\udc80',
  [],
  {},
  [[]],
  [None],
  [1, 2, 3],
  ['a', 'b'],
  {'a': 1},
  {'': None},
)
_STRANGE_TEXTS = (
  '\x00',
  '\x1b[31m',
  '\x9b2J',
  '\r',
  '\n\n',
  '\t',
  '\ufeff',
  '\u202e',
  '\ud7ff',
  '256',
  '-1',
  '1e999',
  '99999999999999999999',
  'nan',
  ',',
  ':',
  '"',
  '\\',
  '../' * 40,
  'x' * 70000,
  '%s%n',
)


def bytes_of(case, data: bytes, *, first: int = 0) -> bytes:
  """A damaged copy; the bytes before `first` stay, so that what the file is can still be told."""
  ways = (_flip_bits, _random_bytes, _cut_end, _cut_middle, _insert, _zero, _repeat, _swap)
  way = case.choose(ways)
  damaged = bytearray(data)
  if len(damaged) <= first + 2:
    first = 0
  if damaged:
    way(case, damaged, first)
  case.note(f'{way.__name__.strip("_")}')
  return bytes(damaged)


def _place(case, data, first):
  return int(case.random.integers(min(first, len(data) - 1), len(data)))


def _flip_bits(case, data, first):
  for _ in range(case.random.integers(1, 4)):
    data[_place(case, data, first)] ^= 1 << int(case.random.integers(8))


def _random_bytes(case, data, first):
  begin = _place(case, data, first)
  length = min(int(case.random.integers(1, 40)), len(data) - begin)
  data[begin : begin + length] = case.random.bytes(length)


def _cut_end(case, data, first):
  del data[max(first, len(data) - int(2 ** case.random.uniform(0, 10))) :]


def _cut_middle(case, data, first):
  begin = _place(case, data, first)
  del data[begin : begin + int(case.random.integers(1, 60))]


def _insert(case, data, first):
  begin = _place(case, data, first)
  data[begin:begin] = case.random.bytes(int(case.random.integers(1, 60)))


def _zero(case, data, first):
  begin = _place(case, data, first)
  length = min(int(case.random.integers(1, 80)), len(data) - begin)
  data[begin : begin + length] = bytes(length)


def _repeat(case, data, first):
  begin = _place(case, data, first)
  data[begin:begin] = data[begin : begin + 100]


def _swap(case, data, first):
  one, other = sorted(_place(case, data, first) for _ in range(2))
  length = min(64, other - one, len(data) - other)
  data[one : one + length], data[other : other + length] = (
    data[other : other + length],
    data[one : one + length],
  )


def text_of(case, text: str) -> bytes:
  """A damaged copy of a text file: lines changed, other encodings, bytes that are no text."""
  lines = text.splitlines(keepends=True) or ['']
  kind = int(case.random.integers(11))
  place = int(case.random.integers(len(lines)))
  case.note(f'text damage {kind} at line {place + 1}')
  if kind == 0:
    return bytes_of(case, text.encode())
  if kind == 1:
    return text.encode(case.choose(['utf-16', 'utf-8-sig', 'utf-32', 'utf-16-le', 'cp037']))
  if kind == 2:
    return b''
  if kind == 3:
    return case.choose([b'\n', b'\x00', b' ', b'\xff\xfe', b'\xef\xbb\xbf', b'\r\n' * 1000])
  if kind == 4:
    lines.insert(place, lines[place])
  elif kind == 5:
    del lines[place]
  elif kind == 6:
    fields = lines[place].split(' ')
    fields[int(case.random.integers(len(fields)))] = case.choose(_STRANGE_TEXTS)
    lines[place] = ' '.join(fields)
  elif kind == 7:
    lines[place] = case.choose(_STRANGE_TEXTS) + '\n'
  elif kind == 8:
    begin = int(case.random.integers(len(lines[place]) + 1))
    lines[place] = lines[place][:begin] + case.choose(_STRANGE_TEXTS) + lines[place][begin:]
  elif kind == 9:
    case.random.shuffle(lines)
  else:
    lines = lines * int(case.random.integers(2, 300))
  return ''.join(lines).encode('utf-8', 'surrogatepass')


def json_of(case, content) -> tuple[str, tuple | None, object]:
  """Damages parsed JSON.

  Returns:
    (text of the damaged JSON, path of what was replaced as a tuple of keys, the value now there);
    the path is None where something else was done than to replace one value.
  """
  content = copy.deepcopy(content)
  paths = list(_paths(content))
  path = case.choose(paths)
  kind = int(case.random.integers(10))
  if kind == 0:
    depth = int(case.choose([500, 2000, 200_000]))
    case.note(f'{path}: nested {depth} deep')
    opening, closing = case.choose([('[', ']'), ('{"a":', '}')])
    nested = opening * depth + 'null' * (opening != '[') + closing * depth
    marked = _replaced(content, path, '@nested@')
    return _dumped(marked).replace('"@nested@"', nested), None, None
  if kind == 1 and path:
    case.note(f'{path}: left out')
    parent = _at(content, path[:-1])
    del parent[path[-1]]
    return _dumped(content), None, None
  if kind == 2 and path:
    case.note(f'{path}: key renamed or element doubled')
    parent = _at(content, path[:-1])
    if isinstance(parent, dict):
      parent[case.choose(['', 'x', path[-1] + ' ', path[-1].upper()])] = parent.pop(path[-1])
    else:
      parent.insert(path[-1], parent[path[-1]])
    return _dumped(content), None, None
  value = case.choose(_STRANGE_VALUES)
  case.note(f'{path}: {_at(content, path)!r:.60} -> {value!r:.60}')
  return _dumped(_replaced(content, path, value)), path, value


def _dumped(content):
  return json.dumps(content)


def _paths(content, path=()):
  yield path
  items = ()
  if isinstance(content, dict):
    items = content.items()
  elif isinstance(content, list):
    items = enumerate(content)
  for key, value in items:
    yield from _paths(value, (*path, key))


def _at(content, path):
  for key in path:
    content = content[key]
  return content


def _replaced(content, path, value):
  if not path:
    return value
  _at(content, path[:-1])[path[-1]] = value
  return content


def other_type(was, now) -> bool:
  """Whether a value of JSON is of another type than the one it took the place of; an integer may
  stand for a number with a fraction.
  """
  if isinstance(was, bool) or isinstance(now, bool):
    return type(was) is not type(now)
  if isinstance(was, float):
    return not isinstance(now, (int, float))
  return type(was) is not type(now)
