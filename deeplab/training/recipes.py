"""The usual jobs, `--recipe=fine_tune` and `--recipe=from_scratch`: options that suit the records
and the checkpoint, each with its reason. What the user gives wins.

The numbers are rules of thumb; docs/training.md says how far they were measured.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence

from deeplab.model.backbones import BACKBONES, variant_of_variables
from deeplab.model.mobilenet_v2 import ROOT_DEPTH, scaled_depth
from deeplab.options import DEPTH_MULTIPLIERS
from deeplab.training import epochs, recipe_facts, starting_report
from deeplab.training.recipe_facts import Facts
from deeplab.training.run_start import AllOptions

# What a recipe may set: the group of options and the name.
_SETS = {
  'batch_size': 'input',
  'crop_size_height': 'input',
  'crop_size_width': 'input',
  'optimizer': 'training',
  'num_steps': 'training',
  'fine_tune_batch_norm': 'training',
  'batch_norm_decay': 'training',
  'init_learning_rate': 'training',
  'last_layer_gradient_multiplier': 'training',
  'class_weights': 'loss',
  'eval_per_steps': 'validation',
  'model_variant': 'model',
  'depth_multiplier': 'model',
  'preprocess_images_option': 'model',
}
_LARGEST_CROP = 513
_MOST_STEPS = 30000
_MOST_VALIDATIONS = 40
# Where the statistics are those of the batch, it needs images enough for them.
_LIVE_BATCH, _FROZEN_BATCH = 12, 4
_MULTIPLIERS_BY_WIDTH = {
  scaled_depth(ROOT_DEPTH, multiplier=multiplier): multiplier for multiplier in DEPTH_MULTIPLIERS
}


@dataclasses.dataclass(frozen=True)
class _Recipe:
  """What tells one recipe from the other: how often each record is drawn, the fewest updates, and
  the rate for one image of a batch, by optimizer.
  """

  num_epochs: int
  fewest_steps: int
  adam_rate: float
  momentum_rate: float


_RECIPES = {
  'fine_tune': _Recipe(num_epochs=50, fewest_steps=2000, adam_rate=1.5e-4, momentum_rate=4e-4),
  'from_scratch': _Recipe(num_epochs=200, fewest_steps=3000, adam_rate=3e-4, momentum_rate=6e-4),
}


def settled(
  options: AllOptions, *, given: Collection[str], saved_flags: Mapping[str, Sequence[str]] | None
) -> tuple[AllOptions, list[str]]:
  """The options with what the recipe chooses, and lines to print.

  Args:
    options: of the command, with run.recipe.
    given: names of the options that the user gave, which stay.
    saved_flags: name -> values of the run that goes on, or None. Such a run keeps what was chosen
      when it began.

  Raises:
    InputError: the checkpoint or the records cannot be read.
  """
  name = options.run.recipe
  if saved_flags is not None:
    kept = _from_the_run(options, saved_flags, given=given)
    return kept, [f'--recipe={name}: as chosen when the run began']
  chooser = _Chooser(options, given, recipe_facts.find(options, given=given), _RECIPES[name])
  chooser.choose()
  return chooser.options, [f'--recipe={name}:', *chooser.lines]


class _Chooser:
  """Makes one choice after the other; later ones follow from earlier ones."""

  def __init__(self, options: AllOptions, given: Collection[str], facts: Facts, recipe: _Recipe):
    self.options, self.lines = options, []
    self._given, self._facts, self._recipe = frozenset(given), facts, recipe

  def choose(self) -> None:
    """All choices."""
    if not self._facts.has_saved_options:
      self._choose_network()
    self._choose_crop()
    self._choose_statistics()
    self._choose_batch()
    self._choose_length()
    self._choose_decay()
    self._choose_optimizer()
    self._set(
      'class_weights',
      None,
      'weights help rare classes at the cost of the others; auto_sqrt if those matter',
    )
    self._choose_validation()

  def _set(self, name, value, reason):
    """Takes the value, unless the user gave another; says so either way."""
    if name in self._given:
      self.lines.append(f'  --{name}={getattr(self._group(name), name)}: as given')
      return
    self._replace(_SETS[name], **{name: value})
    shown_value = 'none' if value is None else f'{value:.3g}' if type(value) is float else value
    self.lines.append(f'  --{name}={shown_value}: {reason}')

  def _group(self, name):
    return getattr(self.options, _SETS[name])

  def _replace(self, group, **changes):
    changed = getattr(self.options, group).replace(**changes)
    self.options = self.options.replace(**{group: changed})

  def _choose_network(self):
    if self._facts.prefix is None:
      self._choose_small_network()
      return
    found = variant_of_variables(self._facts.shapes)
    if found:
      self._set('model_variant', found, 'as the names in the checkpoint say')
    variant = self.options.model.model_variant
    if 'depth_multiplier' in BACKBONES[variant].own_options:
      first = f'{BACKBONES[variant].scope}/{BACKBONES[variant].root}/weights'
      multiplier = _MULTIPLIERS_BY_WIDTH.get(list(self._facts.shapes.get(first, [0]))[-1])
      if multiplier is not None and multiplier != 1.0:
        self._set('depth_multiplier', multiplier, 'as the shapes in the checkpoint say')
    self._set(
      'preprocess_images_option',
      BACKBONES[variant].preprocess_images_option,
      f'what published {variant} weights were trained with',
    )

  def _choose_small_network(self):
    if self._facts.num_records < starting_report.FEW_RECORDS and 'model_variant' not in self._given:
      self._set(
        'model_variant',
        'mobilenet_v2',
        f'{self._facts.num_records} records do not teach a larger network from scratch',
      )
    self._set(
      'preprocess_images_option', 'zero_mean_unit_range', 'then the padding of the crops is 0'
    )

  def _choose_crop(self):
    sizes, stride = self._facts.sizes, self._facts.output_stride
    for name, size in (
      ('crop_size_height', sizes and sizes.height),
      ('crop_size_width', sizes and sizes.width),
    ):
      if size is None:
        self._set(name, _LARGEST_CROP, 'the sizes of the pictures are not known')
        continue
      nearest = max(2, round((min(size, _LARGEST_CROP) - 1) / stride)) * stride + 1
      what = name.removeprefix('crop_size_')
      bound = f', no more than {_LARGEST_CROP}' if size > _LARGEST_CROP else ''
      self._set(
        name,
        nearest,
        f'the mean {what} is {size:.0f} ({sizes.source}); the nearest multiple of stride {stride} '
        f'plus 1{bound}',
      )

  def _choose_statistics(self):
    facts, name = self._facts, 'fine_tune_batch_norm'
    if facts.folded:
      self._set(name, False, "the checkpoint's batch norm is folded into its weights")
    elif facts.is_segmentation:
      self._set(
        name, False, f"the checkpoint's statistics are better than those of {self._batch_text()}"
      )
    elif facts.prefix:
      self._set(name, True, 'the layers above the backbone are new and have no statistics yet')
    else:
      self._set(name, True, 'there are no statistics yet')

  def _batch_text(self):
    batch = self.options.input.batch_size if 'batch_size' in self._given else _FROZEN_BATCH
    return f'batches of {batch} images'

  def _choose_batch(self):
    replicas = max(1, self._facts.num_gpus)
    if self.options.training.fine_tune_batch_norm:
      reason = 'statistics of a batch need about this many images'
      self._set('batch_size', -(-_LIVE_BATCH // replicas) * replicas, reason)
    else:
      reason = 'with stored statistics small batches do, and the same time has more updates'
      self._set('batch_size', _FROZEN_BATCH * replicas, reason)

  def _choose_length(self):
    if self.options.training.num_epochs is not None:
      training, line = epochs.settled(
        self.options.training, self.options.input, given=self._given, saved_flags=None
      )
      self.options = self.options.replace(training=training)
      self.lines.append(f'  {line}')
      return
    recipe = self._recipe
    wanted = self._steps_of(recipe.num_epochs)
    steps = min(max(wanted, recipe.fewest_steps), _MOST_STEPS)
    reason = f'{recipe.num_epochs} epochs'
    if steps > wanted:
      reason += f' are {wanted}, and fewer than {steps} updates seldom do'
    elif steps < wanted:
      reason += f' are {wanted}, and {steps} updates are usually enough'
    drawn = self._drawn_in_a_step()
    self._set('num_steps', steps, f'{self._facts.num_records} records, {drawn} in a step: {reason}')

  def _drawn_in_a_step(self):
    return self.options.input.batch_size * self.options.training.accumulate_steps

  def _steps_of(self, num_epochs):
    return epochs.num_steps(
      num_epochs,
      num_records=self._facts.num_records,
      batch_size=self.options.input.batch_size,
      accumulate_steps=self.options.training.accumulate_steps,
    )

  def _choose_decay(self):
    training = self.options.training
    if not training.fine_tune_batch_norm:
      return
    updates = training.num_steps * training.accumulate_steps
    self._set(
      'batch_norm_decay',
      starting_report.suggested_decay(updates),
      f'in {updates} updates the stored statistics must forget where they started',
    )

  def _choose_optimizer(self):
    self._set('optimizer', 'adam', 'the least sensitive to the rate')
    drawn, new_last_layer = self._drawn_in_a_step(), self._facts.has_new_last_layer
    multiplier = 'last_layer_gradient_multiplier'
    if self.options.training.optimizer == 'momentum':
      rate = self._recipe.momentum_rate * drawn
      self._set('init_learning_rate', rate, f'grows with the {drawn} images in a step')
      if self._facts.prefix and new_last_layer:
        self._set(multiplier, 10.0, 'the last layer is new, the others are trained')
      return
    rate = self._recipe.adam_rate * math.sqrt(drawn)
    self._set(
      'init_learning_rate', rate, f'grows with the square root of the {drawn} images in a step'
    )
    optimizer = self.options.training.optimizer
    self._set(
      multiplier, 1.0, f'{optimizer} divides by the size of the gradient, so a factor does nothing'
    )

  def _choose_validation(self):
    if not self.options.validation.eval_filenames:
      return
    epoch, num_steps = self._steps_of(1), self.options.training.num_steps
    # An epoch of few records is next to nothing, after which there is nothing new to see.
    fewest = math.ceil(num_steps / _MOST_VALIDATIONS)
    s = 's' if epoch > 1 else ''
    reason = f'an epoch is {epoch} step{s}; at most {_MOST_VALIDATIONS} validations'
    self._set(
      'eval_per_steps',
      min(max(epoch, fewest), num_steps),
      reason if fewest > epoch else 'an epoch',
    )


def _from_the_run(options, saved_flags, *, given):
  """The options with the run's own values of what a recipe may set."""
  changes = {}
  for name, group in _SETS.items():
    if name in given or name not in saved_flags:
      continue
    if name == 'eval_per_steps' and not options.validation.eval_filenames:
      continue
    value = _parser(type(getattr(options, group)), name)(saved_flags[name][0])
    changes.setdefault(group, {})[name] = value
  return options.replace(
    **{group: getattr(options, group).replace(**values) for group, values in changes.items()}
  )


def _parser(option_class, name) -> Callable[[str], object]:
  """What makes a value of this option of its text in a flagfile."""
  annotation = typing.get_type_hints(option_class)[name]
  if isinstance(annotation, types.UnionType):
    annotation = next(each for each in typing.get_args(annotation) if each is not type(None))
  return {bool: 'True'.__eq__}.get(annotation, annotation)
