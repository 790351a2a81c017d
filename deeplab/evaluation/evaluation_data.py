"""What the descriptions of records and network say of an evaluation."""

from collections.abc import Collection

from deeplab import data_set, data_set_files
from deeplab.data import record_files
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.messages import warn
from deeplab.options import EvaluationOptions
from deeplab.prediction.trained_network import TrainedNetwork


def settled_by(given: Collection[str]) -> list[str]:
  """The attributes of a description that the flags, or the network, decide."""
  flags = {'ignore_label': 'ignore_label', 'class_names': 'class_names', 'colors': 'colormap'}
  return ['num_classes', *(attribute for attribute, flag in flags.items() if flag in given)]


def settle(
  options: EvaluationOptions,
  network: TrainedNetwork,
  records: DataSet | None,
  *,
  given: Collection[str],
) -> EvaluationOptions:
  """The options with the value that does not count: that of the flag, else of the records, else of
  the network's data. Warns where records and network have other names, or splits are mixed.

  Args:
    options: of the command.
    network: that is evaluated.
    records: their description, or None.
    given: names of the options that the user gave.

  Raises:
    InputError: the records hold a class that the network lacks.
  """
  warn(_mixed_splits(options.filenames))
  warn(data_set_files.warnings_about(record_files.expand_filenames(options.filenames)))
  saved = network.data_set
  if 'ignore_label' not in given:
    for known in (records, saved):
      if known is not None and known.ignore_label is not None:
        options = options.replace(ignore_label=known.ignore_label)
        break
    else:
      data_set.refuse_ignored_class(
        num_classes=network.options.num_classes, ignore_label=options.ignore_label
      )
  if records is not None:
    records.refuse_other_labels(
      num_classes=network.options.num_classes, ignore_label=options.ignore_label, given=given
    )
    warn(_other_names(network, records))
  return options


def refuse_for_workers(options: EvaluationOptions) -> None:
  """Raises InputError for what needs every image on one worker."""
  for name in ('report_path', 'boundary_iou', 'watch'):
    if getattr(options, name):
      raise InputError(
        f'--{name}: not with several workers, of which each sees its share of the images; leave it '
        'out, or evaluate on one machine'
      )


def _mixed_splits(patterns):
  lines = []
  for pattern in patterns:
    splits = record_files.held_out_beside_others(pattern)
    if splits:
      lines.append(
        f'--filenames={shown(pattern)}: holds {shown(splits[0])} and {shown(splits[1])}, all are '
        'evaluated; give the files of one, such as '
        f"--filenames='{shown(record_files.glob_of_split(pattern, splits[1]))}'"
      )
  return lines


def _other_names(network, records):
  """Whether a class of the network is another one in the records."""
  for index, (ours, theirs) in enumerate(zip(network.class_names, records.class_names)):
    if ours != theirs:
      return [
        f'class {index} is {shown(ours)} for the network and {shown(theirs)} in the records '
        f'({shown(records.path)}); the mIOU means something only if both are the same thing'
      ]
  return []
