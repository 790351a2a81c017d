"""Whose a checkpoint without saved options is."""

import pytest

from deeplab import checkpoint_origin

HEAD = {
  'image_pooling/weights': [1, 1, 320, 256],
  'aspp0/weights': [1, 1, 320, 256],
  'concat_projection/weights': [1, 1, 512, 256],
  'logits/semantic/weights': [1, 1, 256, 21],
}
WIDE = {'MobilenetV2/Conv/weights': [3, 3, 3, 32]}
NARROW = {'MobilenetV2/Conv/weights': [3, 3, 3, 16]}


@pytest.mark.parametrize('backbone', [WIDE, {'resnet_v1_101/conv1/weights': [7, 7, 3, 64]}])
def test_it_may_be_official(backbone):
  (line,) = checkpoint_origin.doubts('run/model.ckpt', {**HEAD, **backbone})
  assert line.startswith('run/model.ckpt has no model_options.json beside it; it is read as')
  assert 'if it is one, all is well' in line and 'import_official_checkpoint.py' in line


@pytest.mark.parametrize(
  'backbone',
  [
    NARROW,
    {'xception_65/entry_flow/conv1_1/weights': [3, 3, 3, 32]},
    {'resnet_v1_50/conv1_1/weights': [3, 3, 3, 64]},
  ],
)
def test_it_is_probably_official(backbone):
  (line,) = checkpoint_origin.doubts('run/model.ckpt', {**HEAD, **backbone})
  assert 'probably of the official DeepLab' in line and 'import_official_checkpoint.py' in line


@pytest.mark.parametrize(
  'shapes',
  [
    {**HEAD, 'resnet_v2_101/conv1/weights': [7, 7, 3, 64]},
    {**HEAD, **WIDE, 'decoder/Conv/weights': [3, 3, 304, 256]},
    # The order of the branches is one without the pooled one.
    {name: shape for name, shape in {**HEAD, **WIDE}.items() if 'pooling' not in name},
    # A classification checkpoint.
    {**WIDE, 'MobilenetV2/Logits/Conv2d_1c_1x1/biases': [1001]},
  ],
)
def test_it_is_not_official(shapes):
  assert checkpoint_origin.doubts('run/model.ckpt', shapes) == []
