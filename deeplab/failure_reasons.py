"""What TensorFlow's errors mean, in words for who trains and predicts: its own texts name
operations and C++ files. Free of TensorFlow, which a command may not have imported yet.
"""

import errno
import os
import re
import sys

# Reasons of the operating system, which TensorFlow repeats, mostly after a semicolon.
_SYSTEM_REASONS = re.compile(
  r'(?:^|[;:] )('
  + '|'.join(re.escape(os.strerror(code)) for code in sorted(errno.errorcode))
  + r')\b'
)
# What the library says that speaks HTTP for gs:// and others.
_TRANSFER = re.compile(r"libcurl code \d+ meaning '([^'\n]*)'(?:, error details: ([^\n]*))?")
_MOST_CHARACTERS = 200
# What TensorFlow and NVIDIA's libraries say where they got no memory, in errors of these kinds.
_OUT_OF_MEMORY = re.compile(
  'out of memory|OUT_OF_MEMORY|STATUS_ALLOC_FAILED|[Ff]ailed to allocate|'
  'Dst tensor is not initialized'
)
# What they say of a failure whose usual cause that is: cuDNN and cuBLAS need memory of their own
# beside TensorFlow's, and name no cause where they get none.
_FAILURE_OF_A_GPU = re.compile(
  '(?:CUDNN|CUBLAS)_STATUS_(?:NOT_INITIALIZED|INTERNAL_ERROR|EXECUTION_FAILED)|'
  'Failed to get convolution algorithm|DNN library initialization failed|No algorithm worked|'
  'No valid engine configs'
)
_KINDS_FROM_A_GPU = {'InternalError', 'UnknownError', 'FailedPreconditionError', 'NotFoundError'}
_REASONS = {
  'AbortedError': 'it was cut short',
  'AlreadyExistsError': os.strerror(errno.EEXIST),
  'CancelledError': 'it was cut short',
  'DataLossError': 'damaged or truncated',
  'DeadlineExceededError': 'it took too long',
  'FailedPreconditionError': 'it is a directory, or not what it should be',
  'InternalError': 'the device or its driver failed',
  'InvalidArgumentError': 'it is not what it should be',
  'NotFoundError': os.strerror(errno.ENOENT),
  'OutOfRangeError': 'it ends too early',
  'PermissionDeniedError': os.strerror(errno.EACCES),
  'ResourceExhaustedError': 'out of memory',
  'UnavailableError': 'a device or another machine does not answer',
  'UnimplementedError': 'this device or file system cannot do it',
  'UnknownError': 'the device, its driver or the file system failed',
}


def is_one(error: BaseException) -> bool:
  """Whether an error is one of `tf.errors`."""
  tensorflow = sys.modules.get('tensorflow')
  errors = getattr(tensorflow, 'errors', None)
  return errors is not None and isinstance(error, errors.OpError)


def reason_of(error: BaseException) -> str:
  """Why something failed, in few words, without names of operations and without line ends.

  Args:
    error: one of `tf.errors`, an OSError, or what TensorFlow's checkpoint reader raises beside.
  """
  if isinstance(error, OSError):
    return error.strerror or type(error).__name__
  found = _SYSTEM_REASONS.findall(str(error))
  if found:
    return found[-1]
  transfer = _TRANSFER.search(str(error))
  if transfer:
    return (transfer[2] or transfer[1]).strip()[:_MOST_CHARACTERS]
  for one in type(error).__mro__:
    if one.__name__ in _REASONS:
      return _REASONS[one.__name__]
  return 'damaged or truncated'


def memory_shortage(error: BaseException) -> str | None:
  """In words that memory was short, to say before where it was and what to do; None for an error of
  another cause.

  A GPU that is full may fail in its libraries, whose errors do not always name the cause.

  Args:
    error: one of `tf.errors`, or any other.
  """
  if isinstance(error, MemoryError):
    return 'out of memory'
  if not is_one(error):
    return None
  kinds, text = {kind.__name__ for kind in type(error).__mro__}, str(error)
  if 'ResourceExhaustedError' in kinds:
    on_disk = any(os.strerror(code) in text for code in (errno.ENOSPC, errno.EDQUOT))
    return None if on_disk else 'out of memory'
  if not kinds & _KINDS_FROM_A_GPU:
    return None
  if _OUT_OF_MEMORY.search(text):
    return 'out of memory'
  found = _FAILURE_OF_A_GPU.search(text)
  return f'the GPU failed ({found[0]}), mostly for want of memory,' if found else None


def words_of(error: BaseException) -> str:
  """An error of another library in its own words, on one line and not too long; of TensorFlow in
  ours.
  """
  if is_one(error):
    return reason_of(error)
  return ' '.join(str(error).split())[:_MOST_CHARACTERS] or type(error).__name__


def explain(error: BaseException) -> str:
  """A line for one of `tf.errors` that nobody expected."""
  return (
    f'TensorFlow could not go on: {reason_of(error)} ({type(error).__name__}); with '
    'TF_CPP_MIN_LOG_LEVEL=0 in the environment its own message is shown'
  )
