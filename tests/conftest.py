"""Settings for all tests."""

import os

import command_processes as processes
import pytest
from PIL import Image

from deeplab.model import mobilenet_v2, resnet, xception


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
  """Set by who runs the tests, or by a library that some of them import, it would make the commands
  show TensorFlow's own lines beside the ones that tests compare.
  """
  os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)


@pytest.fixture(scope='session')
def command_processes():
  """A command_processes.CommandProcesses."""
  with processes.start() as started:
    yield started


@pytest.fixture(autouse=True)
def _limit_of_pillow(monkeypatch):
  """What a command sets for its process does not outlive the test."""
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', Image.MAX_IMAGE_PIXELS)


@pytest.fixture(scope='module')
def short_networks():
  """Fewer units in MobileNetV2, Xception and the ResNets with 50 layers, but all kinds of them: for
  what holds unit by unit, or whatever the network. Tracing, most of the time, is that much shorter.
  """
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(resnet, 'UNITS', {50: (2, 1, 2, 2)})
    blocks = ((16, 1), (24, 2), (24, 1), (32, 2), (64, 2), (160, 2), (160, 1), (320, 1))
    patch.setattr(mobilenet_v2, 'BLOCKS', blocks)
    patch.setattr(xception, 'MIDDLE_UNITS', {41: 1, 65: 2, 71: 1})
    yield
