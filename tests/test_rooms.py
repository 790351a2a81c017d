"""Who imports whom: a room above may use a room below, never the other way."""

import ast
import pathlib

import deeplab

_PACKAGE = pathlib.Path(deeplab.__file__).parent


def _module_name(path):
  parts = ('deeplab', *path.relative_to(_PACKAGE).with_suffix('').parts)
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


_PATHS = {_module_name(path): path for path in sorted(_PACKAGE.rglob('*.py'))}


def _import_statements(tree):
  """Those that are carried out sooner or later: not those for type checkers."""
  for node in ast.iter_child_nodes(tree):
    if isinstance(node, ast.If) and getattr(node.test, 'id', None) == 'TYPE_CHECKING':
      continue
    if isinstance(node, (ast.Import, ast.ImportFrom)):
      yield node
    yield from _import_statements(node)


def _names(node):
  """The full names that an import statement may mean."""
  if isinstance(node, ast.Import):
    return {alias.name for alias in node.names}
  assert node.level == 0, 'relative import'
  return {node.module, *(f'{node.module}.{alias.name}' for alias in node.names)}


_TREES = {module: ast.parse(path.read_text(encoding='utf-8')) for module, path in _PATHS.items()}
_IMPORTED = {
  module: set().union(*map(_names, _import_statements(tree))) & set(_PATHS) - {module}
  for module, tree in _TREES.items()
}
# Those at the top of a module, which are carried out when it is imported.
_IMPORTED_AT_ONCE = {
  module: set().union(
    *(_names(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)))
  )
  for module, tree in _TREES.items()
}


def _below(module, imported):
  """Every module that `module` imports, directly or not."""
  found, waiting = set(), [module]
  while waiting:
    new = imported.get(waiting.pop(), set()) - found
    found |= new
    waiting += new
  return found


def test_no_module_imports_what_imports_it():
  assert len(_PATHS) > 50 and 'deeplab.training.training_step' in _IMPORTED['deeplab.trainer']
  assert [module for module in _PATHS if module in _below(module, _IMPORTED)] == []


def test_runs_are_above_all_rooms():
  runs = {f'deeplab.{name}_run' for name in ('conversion', 'training', 'evaluation', 'inference')}
  library = 'deeplab.library'
  assert [module for module in set(_PATHS) - runs - {library} if _IMPORTED[module] & runs] == []
  assert [module for module in _PATHS if library in _IMPORTED[module]] == []


def test_what_runs_say_is_heard_by_who_started_them():
  """Only commands print: a program that calls the toolkit hears it through `messages`. What ends
  their process at once does, too.
  """
  printing = {
    module
    for module, tree in _TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'print'
  }
  # The last two print in threads of their own, as the process may end.
  assert printing == {
    'deeplab.messages',
    'deeplab.flags',
    'deeplab.training.stop_signals',
    'deeplab.distribution.patience',
  }


def test_flags_are_read_without_tensorflow_and_numpy():
  """--help and flag errors do not wait for them."""
  needed = _below('deeplab.flags', _IMPORTED_AT_ONCE)
  assert 'absl.flags' in needed and 'deeplab.options.training' in needed
  packages = {name.split('.')[0] for name in needed}
  assert not packages & {'tensorflow', 'tf_slim', 'numpy', 'PIL'}


def test_only_flags_knows_absl():
  assert [
    module
    for module, tree in _TREES.items()
    if any(name.startswith('absl') for name in set().union(*map(_names, _import_statements(tree))))
  ] == ['deeplab.flags']
