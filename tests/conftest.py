"""Settings for all tests."""

import os

# Set by who runs the tests, it would make the commands show TensorFlow's own lines beside the ones
# that tests compare.
os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)
