"""Classifiers trained on ImageNet that a training can start from.

Facts and figures are those of two pages of tensorflow/models: research/slim/README.md (with
research/slim/nets/mobilenet/README.md, to which it leads) and, for Xception and the beta ResNets,
research/deeplab/g3doc/model_zoo.md. Networks of these pages that are no backbone of DeepLab
(Inception, VGG and others) are left out.
"""

import types

from deeplab.published.published_model import PublishedModel, Score

_PLACE = 'http://download.tensorflow.org/models/'
_MOBILENET_PLACE = 'https://storage.googleapis.com/mobilenet_v2/checkpoints/'


def _model(
  name,
  archive,
  *,
  variant=None,
  size='',
  accuracy=None,
  split='',
  page_name=None,
  trained_on='ImageNet',
  multiplier=1.0,
):
  flags = {'model_variant': variant or name}
  if multiplier != 1.0:
    flags['depth_multiplier'] = multiplier
  return PublishedModel(
    name=f'imagenet/{name}',
    address=archive if '//' in archive else f'{_PLACE}{archive}.tar.gz',
    flags=types.MappingProxyType(flags),
    file_size=size,
    trained_on=trained_on,
    other_names=(f'imagenet/{page_name}',) if page_name else (),
    scores=() if accuracy is None else (Score(accuracy, split),),
  )


def _mobilenet(multiplier, *, accuracy):
  archive = f'mobilenet_v2_{multiplier}_224'
  whole = multiplier == 1.0
  return _model(
    'mobilenet_v2' if whole else archive.removesuffix('_224'),
    f'{_MOBILENET_PLACE}{archive}.tgz',
    variant='mobilenet_v2',
    accuracy=accuracy,
    page_name=archive,
    multiplier=multiplier,
  )


IMAGENET = (
  _model('resnet_v1_50', 'resnet_v1_50_2016_08_28', accuracy=75.2, split='test'),
  _model('resnet_v1_101', 'resnet_v1_101_2016_08_28', accuracy=76.4, split='test'),
  _model('resnet_v2_50', 'resnet_v2_50_2017_04_14', accuracy=75.6, split='val'),
  _model('resnet_v2_101', 'resnet_v2_101_2017_04_14', accuracy=77.0, split='val'),
  _model(
    'resnet_v1_50_beta',
    'resnet_v1_50_2018_05_04',
    size='274MB',
    page_name='resnet_v1_50_beta_imagenet',
  ),
  _model(
    'resnet_v1_101_beta',
    'resnet_v1_101_2018_05_04',
    size='477MB',
    page_name='resnet_v1_101_beta_imagenet',
  ),
  _mobilenet(1.4, accuracy=75.0),
  _mobilenet(1.0, accuracy=71.8),
  _mobilenet(0.75, accuracy=69.8),
  _mobilenet(0.5, accuracy=65.4),
  _mobilenet(0.35, accuracy=60.3),
  _model('xception_41', 'xception_41_2018_05_09', size='288MB', page_name='xception_41_imagenet'),
  _model(
    'xception_65',
    'deeplabv3_xception_2018_01_04',
    size='447MB',
    page_name='xception_65_imagenet',
  ),
  _model(
    'xception_65_coco',
    'xception_65_coco_pretrained_2018_10_02',
    variant='xception_65',
    size='292MB',
    page_name='xception_65_imagenet_coco',
    trained_on='ImageNet and MS-COCO',
  ),
  _model('xception_71', 'xception_71_2018_05_09', size='474MB', page_name='xception_71_imagenet'),
)
