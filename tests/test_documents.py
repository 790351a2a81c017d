"""The pages for people: their links, the flags and commands they name, and the README's length.

Nothing here imports TensorFlow: the commands are loaded, not run.
"""

import ast
import collections
import dataclasses
import functools
import pathlib
import re
import runpy
import shlex
import subprocess
import sys

import pytest

from deeplab import flags
from deeplab.model.backbones import BACKBONES

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [
  *(CHECKOUT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')),
  *sorted((CHECKOUT / 'docs').glob('*.md')),
  CHECKOUT / 'benchmarks' / 'README.md',
]
COMMANDS = [
  *sorted(CHECKOUT.glob('run_*.py')),
  CHECKOUT / 'export_model.py',
  *sorted((CHECKOUT / 'scripts').glob('*.py')),
]
BENCHMARKS = sorted((CHECKOUT / 'benchmarks').glob('*.py'))
# Commands that take words without a flag.
TAKE_WORDS = ('download_checkpoint.py',)
# Those that every command has, of absl.
FLAGS_OF_ALL = {'version', 'help', 'flagfile'}

# allowed: the values that an enumeration has, else None.
Flag = collections.namedtuple('Flag', ['name', 'allowed'])


def _for_each(pages):
  return pytest.mark.parametrize('page', pages, ids=lambda page: str(page.relative_to(CHECKOUT)))


every_page = _for_each(PAGES)


def test_readme_is_short():
  text = _text(CHECKOUT / 'README.md')
  assert len(text.splitlines()) <= 150 and len(text.split()) < 1500
  # Nor is it short because its lines are long; a row of a table is one line.
  assert max(len(line) for line in text.splitlines() if not line.startswith('|')) <= 135


def test_readme_has_one_line_that_runs_the_tests():
  # The continuous integration takes its command from there.
  lines = _text(CHECKOUT / 'README.md').splitlines()
  assert len([line for line in lines if re.fullmatch(r'python3 -m venv .* && pytest.*', line)]) == 1


def test_readme_names_every_page():
  named = {target for target, _ in _links(CHECKOUT / 'README.md')}
  pages = {path.relative_to(CHECKOUT).as_posix() for path in PAGES} - {'README.md'}
  assert pages <= named


def test_readme_names_every_command():
  named = re.findall(r'^\| `(\w+\.py)` \|', _text(CHECKOUT / 'README.md'), flags=re.MULTILINE)
  assert sorted(named) == sorted(path.name for path in COMMANDS)


def test_readme_names_every_backbone():
  section = _text(CHECKOUT / 'README.md').split('\n## Backbones\n')[1].split('\n## ')[0]
  rows = re.findall(r'^\| (`\w+`[^|]*)\| `(\w+)`', section, flags=re.MULTILINE)
  named = [(name, option) for names, option in rows for name in re.findall(r'`(\w+)`', names)]
  assert named == [
    (name, backbone.preprocess_images_option) for name, backbone in BACKBONES.items()
  ]


@every_page
def test_links_point_to_something(page):
  for target, anchor in _links(page):
    path = (page.parent / target).resolve() if target else page
    assert path.exists(), f'({target}): no such file'
    if anchor:
      assert anchor in _anchors(path), f'({target}#{anchor}): no such heading in {path.name}'


@every_page
def test_flags_in_the_text_exist(page):
  known = {flag for command in [*COMMANDS, *BENCHMARKS] for flag in _flags(command)}
  names = {flag.name for flag in known} | FLAGS_OF_ALL
  text = _without_blocks(_text(page))
  for span in re.findall(r'`([^`]+)`', text):
    words = span.split()
    if _program(words):
      _check(words)
    elif words[0].startswith('--'):  # Else a command of others, or no command.
      for name in re.findall(r'(?:^|\s)--(\w+)', span):
        assert _is_among(name, names), f'`{span}`: no command has --{name}'
  # Beside code, too.
  for name in re.findall(r'(?<![\w-])--(\w+)', re.sub(r'`[^`]+`', '', text)):
    assert _is_among(name, names), f'no command has --{name}'


@_for_each([page for page in PAGES if page.name != 'CHANGELOG.md'])
def test_source_files_in_the_text_exist(page):
  # The changelog may name what is gone. Paths are those of the checkout or of the package; NAME.py
  # and the like stand for others.
  text = _without_blocks(_text(page))
  named = re.findall(r'`([a-z0-9_./]+(?:\.py|/))`', text) + re.findall(
    r' ([a-z0-9_/]+\.py)\b', text
  )
  places = [CHECKOUT, CHECKOUT / 'deeplab', CHECKOUT / 'scripts']
  for name in named:
    assert any((place / name).exists() for place in places), f'`{name}`: no such file'


@every_page
def test_commands_parse(page):
  for words in _commands(page):
    if _program(words):
      _check(words)


def test_the_benchmark_of_the_recipe_runs_the_commands_of_the_page():
  places = list(sys.path)
  sys.path.insert(0, str(CHECKOUT / 'benchmarks'))
  try:
    recipe = runpy.run_path(str(CHECKOUT / 'benchmarks' / 'camvid_recipe.py'))
  finally:
    sys.path[:] = places
  lines = recipe['commands'](recipe['PAGE'])
  assert [words[0] for words in lines] == [
    'write_tfrecord.py',
    'write_tfrecord.py',
    'import_official_checkpoint.py',
    'run_trainer.py',
    'run_evaluator.py',
  ]
  for words in lines:
    _check(words)


def test_there_are_commands_to_parse():
  # Or the tests above would pass because they find nothing.
  found = {_program(words) for page in PAGES for words in _commands(page)} - {None}
  assert {path.name for path in found} >= {
    'write_tfrecord.py',
    'run_trainer.py',
    'run_evaluator.py',
    'run_inferencer.py',
    'import_official_checkpoint.py',
    'export_official_checkpoint.py',
    'quickstart.py',
  }
  assert len([link for page in PAGES for link in _links(page)]) > 40


def test_nothing_here_imports_tensorflow():
  code = f"""
import sys
sys.path[:0] = [{str(CHECKOUT)!r}, {str(CHECKOUT / 'tests')!r}]
import test_documents
assert all(test_documents._flags(path) for path in test_documents.COMMANDS)
assert 'tensorflow' not in sys.modules
"""
  subprocess.run([sys.executable, '-c', code], check=True)


def _text(path):
  return path.read_text(encoding='utf-8')


def _without_blocks(text):
  """The text without its blocks of code."""
  return re.sub(r'^```.*?^```$', '', text, flags=re.DOTALL | re.MULTILINE)


def _links(page):
  """[(path, anchor)] of the links and pictures of a page that lead into the checkout; '' for what a
  link leaves out.
  """
  text = re.sub(r'`[^`]*`', '', _without_blocks(_text(page)))
  targets = re.findall(r'\]\(([^)\s]+)\)', text)
  return [
    tuple(target.partition('#')[::2])
    for target in targets
    if not re.match(r'https?://|mailto:', target)
  ]


@functools.cache
def _anchors(path):
  """The anchors that GitHub gives the headings of a page."""
  anchors = set()
  for heading in re.findall(r'^#+ +(.+?) *$', _without_blocks(_text(path)), flags=re.MULTILINE):
    plain = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
    anchor = re.sub(r'[^\w\- ]', '', plain.lower()).replace(' ', '-')
    number = 0
    while (name := f'{anchor}-{number}' if number else anchor) in anchors:
      number += 1
    anchors.add(name)
  return anchors


def _commands(page):
  """The words of each command in the ```sh blocks of a page."""
  blocks = re.findall(r'^```sh\n(.*?)^```$', _text(page), flags=re.DOTALL | re.MULTILINE)
  lines = [line for block in blocks for line in block.replace('\\\n', ' ').splitlines()]
  return [
    words
    for line in lines
    for part in line.split('&&')
    if (words := shlex.split(part, comments=True))
  ]


def _program(words):
  """The path of our command in the words of a command line, or None."""
  if re.fullmatch(r'python[\d.]*', words[0]):
    words = words[1:]
  ours = {path.name: path for path in [*COMMANDS, *BENCHMARKS]}
  return ours.get(pathlib.PurePosixPath(words[0]).name) if words else None


def _check(words):
  """That a command of ours is given flags only, that it has them, and values that they allow."""
  path = _program(words)
  known = {flag.name: flag.allowed for flag in _flags(path)}
  place = next(index for index, word in enumerate(words) if word.endswith(path.name))
  for argument in words[place + 1 :]:
    said = f'{" ".join(words)}: {argument}'
    if argument == '--':  # Another command follows.
      command = words[words.index('--') + 1 :]
      assert command, said
      if _program(command):
        _check(command)
      return
    if path.name in TAKE_WORDS and not argument.startswith('-'):
      continue
    assert argument.startswith('--'), f'{said}: not a flag'
    name, _, value = argument[2:].partition('=')
    assert _is_among(name, {*known, *FLAGS_OF_ALL}), f'{said}: {path.name} has no such flag'
    if known.get(name) and value:
      assert set(value.split(',')) <= known[name], f'{said}: one of {sorted(known[name])}'


def _is_among(name, names):
  """Whether a flag is one of `names`, as it is or as a boolean's --noNAME."""
  return name in names or name.removeprefix('no') in names


@functools.cache
def _flags(path):
  """The flags of one of our commands, a set of Flag."""
  return frozenset(_flags_in_source(path) if path in BENCHMARKS else _flags_of_command(path))


def _flags_of_command(path):
  """Those of the option classes that the command hands to `flags.run`, which is not run."""
  classes = []
  run, arguments, places = flags.run, sys.argv, list(sys.path)
  flags.run = lambda main, *option_classes, **_: classes.extend(option_classes)
  sys.argv = [str(path)]
  try:
    runpy.run_path(str(path), run_name='__main__')
  finally:
    flags.run, sys.argv, sys.path[:] = run, arguments, places
  for each in classes:
    for field in dataclasses.fields(each):
      allowed = field.metadata['choices']
      for name in (field.name, field.metadata['alias']):
        if name:
          yield Flag(name, allowed and frozenset(map(str, allowed)))


def _flags_in_source(path):
  """Those of a benchmark, as its source has them, or the modules beside it that it uses if it has
  none.
  """
  tree = ast.parse(_text(path))
  found = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
      choices = [word.value for word in node.keywords if word.arg == 'choices']
      listed = choices and isinstance(choices[0], ast.List)
      allowed = frozenset(map(str, ast.literal_eval(choices[0]))) if listed else None
      found.add(Flag(node.args[0].value.removeprefix('--'), allowed))
    # A field of an options class.
    elif (
      isinstance(node, ast.AnnAssign)
      and isinstance(node.value, ast.Call)
      and getattr(node.value.func, 'id', '') == 'option'
    ):
      found.add(Flag(node.target.id, None))
  if not found:
    imported = {
      name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    for module in BENCHMARKS:
      if module.stem in imported:
        found |= _flags_in_source(module)
  return found
