"""A training that is over in seconds, on drawn scenes: its records, and its command."""

NUM_HELD_OUT = 7  # Not a multiple of any number of workers.

# Of a network that traces fast. To be completed by --output_path, --num_steps and whatever matters.
TRAINER = (
  'run_trainer.py',
  '--filenames=records/train',
  '--model_variant=mobilenet_v2',
  '--depth_multiplier=0.35',
  '--log_per_steps=1',
  '--seed=4',
)
VALIDATION = ('--eval_filenames=records/val',)


def draw(run) -> None:
  """Draws 24 scenes to train on, and some that are held out, and writes records/train and
  records/val below the current directory.

  Args:
    run: called with the arguments of a command.
  """
  from deeplab import synthetic_scenes

  synthetic_scenes.write_data_set('data', num_training=24, num_held_out=NUM_HELD_OUT, seed=0)
  run(converter('val', 'records'))
  run(converter('train', 'records'))


def crop(size: int) -> tuple[str, str]:
  """The flags of a square crop."""
  return f'--crop_size_height={size}', f'--crop_size_width={size}'


def converter(split: str, output: str) -> list[str]:
  """The command that writes the records of a split to the directory `output`."""
  return [
    'scripts/write_tfrecord.py',
    f'--list_path=data/{split}.txt',
    '--images_dir=data/JPEGImages',
    '--labels_dir=data/SegmentationClass',
    f'--split={split}',
    f'--output_dir={output}',
    '--num_per_shard=5',
    '--num_workers=1',
  ]
