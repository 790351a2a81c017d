"""The three flags of commands of which several do one work."""

from deeplab.errors import InputError

MOST_SHARDS = 99_999  # Names of files have five digits.

NUM_SHARDS_HELP = (
  'How many processes, here or on other machines, do this together, each with another '
  '--shard_index and else the same flags; they may run at the same time or one after the other.'
)
MERGE_SHARDS_HELP = (
  'After all shards, with --num_shards in place of --shard_index and else their flags: {}. A shard '
  'that is missing or was made with other flags is named.'
)


def check_shards(*, shard_index: int | None, num_shards: int | None, merge_shards: bool) -> None:
  """Raises InputError where the flags do not say one shard of several, or the merge of them."""
  if num_shards is None:
    if shard_index is not None:
      raise InputError(
        f'--shard_index={shard_index}: give --num_shards too, into how many shards the work is cut'
      )
    if merge_shards:
      raise InputError('--merge_shards: give --num_shards too, as the shards had it')
    return
  if merge_shards:
    if shard_index is not None:
      raise InputError(
        f'--merge_shards does not go with --shard_index={shard_index}: it comes when all shards '
        'are done'
      )
    return
  if shard_index is None:
    raise InputError(
      f'--num_shards={num_shards}: give --shard_index too, 0 to {num_shards - 1}; or, when all '
      'shards are done, --merge_shards'
    )
  if shard_index >= num_shards:
    raise InputError(
      f'--shard_index={shard_index}: must be 0 to {num_shards - 1} with --num_shards={num_shards}; '
      f'shards count from 0 (Slurm: --array=0-{num_shards - 1})'
    )
