"""The segmentation networks of the official DeepLab's model zoo.

Facts and figures are those of its page: tensorflow/models, research/deeplab/g3doc/model_zoo.md. The
rates of the atrous branches are those for stride 16, at which all but two were trained.
"""

import types

from deeplab.published.published_model import PublishedModel, Score

_PLACE = 'http://download.tensorflow.org/models/'
_MANY_SCALES = '0.5:0.25:1.75'
_FEW_SCALES = '0.75:0.25:1.25'
# data set: number of classes, ignored label.
_CLASSES = {'voc': (21, 255), 'cityscapes': (19, 255), 'ade20k': (151, 0)}
_MOBILENET = {
  'model_variant': 'mobilenet_v2',
  'output_stride': 16,
  'atrous_rates': (),
  'use_decoder': False,
}
_HALF_MOBILENET = {**_MOBILENET, 'depth_multiplier': 0.5}
_XCEPTION = {
  'model_variant': 'xception_65',
  'output_stride': 16,
  'atrous_rates': (6, 12, 18),
  'use_decoder': True,
}
_CELL = {'model_variant': 'xception_71', 'output_stride': 16, 'use_decoder': True}
_LITE = {'output_stride': 32}
_TPU = {'model_variant': 'mobilenet_edgetpu', 'output_stride': 32}
_DENSE_PREDICTION_CELL = 'the dense prediction cell'
_COCO_VOC = 'ImageNet, MS-COCO, VOC 2012 '


def _model(name, archive, flags, file_size, trained_on, *scores, page_name, **more):
  data_set = more.pop('data_set')
  num_classes, ignore_label = _CLASSES[data_set]
  return PublishedModel(
    name=f'official/{name}',
    address=f'{_PLACE}{archive}.tar.gz',
    flags=types.MappingProxyType(flags),
    file_size=file_size,
    trained_on=trained_on,
    other_names=() if page_name == name else (f'official/{page_name}',),
    data_set=data_set,
    num_classes=num_classes,
    ignore_label=ignore_label,
    scores=scores,
    **more,
  )


OFFICIAL = (
  _model(
    'mobilenetv2_dm05_voc_trainaug',
    'deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01',
    _HALF_MOBILENET,
    '7.6MB',
    _COCO_VOC + 'train_aug',
    Score(70.19, 'val', 16),
    page_name='mobilenetv2_dm05_coco_voc_trainaug',
    data_set='voc',
  ),
  _model(
    'mobilenetv2_dm05_voc_trainval',
    'deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01',
    _HALF_MOBILENET,
    '7.6MB',
    _COCO_VOC + 'train_aug and trainval',
    Score(71.83, 'test', 8),
    page_name='mobilenetv2_dm05_coco_voc_trainval',
    data_set='voc',
  ),
  _model(
    'mobilenetv2_voc_trainaug',
    'deeplabv3_mnv2_pascal_train_aug_2018_01_29',
    _MOBILENET,
    '23MB',
    _COCO_VOC + 'train_aug',
    Score(75.32, 'val', 16),
    Score(77.33, 'val', 8, _MANY_SCALES, flipped=True),
    page_name='mobilenetv2_coco_voc_trainaug',
    data_set='voc',
  ),
  _model(
    'mobilenetv2_voc_trainval',
    'deeplabv3_mnv2_pascal_trainval_2018_01_29',
    _MOBILENET,
    '23MB',
    _COCO_VOC + 'train_aug and trainval',
    Score(80.25, 'test', 8, _MANY_SCALES, flipped=True),
    page_name='mobilenetv2_coco_voc_trainval',
    data_set='voc',
  ),
  _model(
    'xception65_voc_trainaug',
    'deeplabv3_pascal_train_aug_2018_01_04',
    _XCEPTION,
    '439MB',
    _COCO_VOC + 'train_aug',
    Score(82.20, 'val', 16),
    Score(83.58, 'val', 8, _MANY_SCALES, flipped=True),
    page_name='xception65_coco_voc_trainaug',
    data_set='voc',
  ),
  _model(
    'xception65_voc_trainval',
    'deeplabv3_pascal_trainval_2018_01_04',
    _XCEPTION,
    '439MB',
    _COCO_VOC + 'train_aug and trainval',
    Score(87.80, 'test', 8, _MANY_SCALES, flipped=True),
    page_name='xception65_coco_voc_trainval',
    data_set='voc',
  ),
  _model(
    'mobilenetv2_cityscapes_trainfine',
    'deeplabv3_mnv2_cityscapes_train_2018_02_05',
    _MOBILENET,
    '23MB',
    'ImageNet, MS-COCO, Cityscapes train_fine',
    Score(70.71, 'val', 16),
    Score(73.57, 'val', 8, _FEW_SCALES, flipped=True),
    page_name='mobilenetv2_coco_cityscapes_trainfine',
    data_set='cityscapes',
  ),
  _model(
    'mobilenetv3_large_cityscapes_trainfine',
    'deeplab_mnv3_large_cityscapes_trainfine_2019_11_15',
    {'model_variant': 'mobilenet_v3_large_seg', **_LITE},
    '17MB',
    'Cityscapes train_fine',
    Score(72.41, 'val', 32),
    page_name='mobilenetv3_large_cityscapes_trainfine',
    data_set='cityscapes',
  ),
  _model(
    'mobilenetv3_small_cityscapes_trainfine',
    'deeplab_mnv3_small_cityscapes_trainfine_2019_11_15',
    {'model_variant': 'mobilenet_v3_small_seg', **_LITE},
    '5MB',
    'Cityscapes train_fine',
    Score(68.99, 'val', 32),
    page_name='mobilenetv3_small_cityscapes_trainfine',
    data_set='cityscapes',
  ),
  _model(
    'xception65_cityscapes_trainfine',
    'deeplabv3_cityscapes_train_2018_02_06',
    _XCEPTION,
    '439MB',
    'ImageNet, Cityscapes train_fine',
    Score(78.79, 'val', 16),
    Score(80.42, 'val', 8, _FEW_SCALES, flipped=True),
    page_name='xception65_cityscapes_trainfine',
    data_set='cityscapes',
  ),
  _model(
    'xception71_dpc_cityscapes_trainfine',
    'deeplab_cityscapes_xception71_trainfine_2018_09_08',
    _CELL,
    '445MB',
    'ImageNet, MS-COCO, Cityscapes train_fine',
    Score(80.31, 'val', 16),
    page_name='xception71_dpc_cityscapes_trainfine',
    data_set='cityscapes',
    lacks=_DENSE_PREDICTION_CELL,
  ),
  _model(
    'xception71_dpc_cityscapes_trainval',
    'deeplab_cityscapes_xception71_trainvalfine_2018_09_08',
    _CELL,
    '446MB',
    'ImageNet, MS-COCO, Cityscapes trainval_fine and coarse',
    Score(82.66, 'test', 8, '0.75:0.25:2', flipped=True),
    page_name='xception71_dpc_cityscapes_trainval',
    data_set='cityscapes',
    lacks=_DENSE_PREDICTION_CELL,
  ),
  _model(
    'edgetpu_cityscapes',
    'edgetpu-deeplab_2020_03_09',
    _TPU,
    '',
    'ImageNet, Cityscapes train_fine',
    Score(70.6, 'val', 32),
    Score(74.1, 'val', 16),
    page_name='EdgeTPU-DeepLab',
    data_set='cityscapes',
  ),
  _model(
    'edgetpu_slim_cityscapes',
    'edgetpu-deeplab-slim_2020_03_09',
    {**_TPU, 'depth_multiplier': 0.75},
    '',
    'ImageNet, Cityscapes train_fine',
    Score(70.0, 'val', 32),
    Score(73.2, 'val', 16),
    page_name='EdgeTPU-DeepLab-slim',
    data_set='cityscapes',
  ),
  _model(
    'mobilenetv2_ade20k_train',
    'deeplabv3_mnv2_ade20k_train_2018_12_03',
    {**_MOBILENET, 'use_decoder': True},
    '24.8MB',
    'ImageNet, ADE20K training set',
    Score(32.04, 'val', 16),
    page_name='mobilenetv2_ade20k_train',
    data_set='ade20k',
    trained_size=(257, 257),  # The page: the longer side of its images was made 257.
  ),
  _model(
    'xception65_ade20k_train',
    'deeplabv3_xception_ade20k_train_2018_05_29',
    _XCEPTION,
    '439MB',
    'ImageNet, ADE20K training set',
    Score(45.65, 'val', 8, _MANY_SCALES, flipped=True),
    page_name='xception65_ade20k_train',
    data_set='ade20k',
  ),
)
