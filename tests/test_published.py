"""The table of published weights."""

import dataclasses
import re

from deeplab import class_names, color_map
from deeplab.model.backbones import BACKBONES
from deeplab.options import ModelOptions
from deeplab.published import names
from deeplab.published.imagenet_models import IMAGENET
from deeplab.published.official_models import OFFICIAL


def test_names_and_addresses_are_unique_and_of_the_right_form():
  every_name = [name for model in names.MODELS for name in (model.name, *model.other_names)]
  assert len(set(every_name)) == len(every_name)
  assert all(re.fullmatch(r'(official|imagenet)/[\w.-]+', name) for name in every_name)
  addresses = [model.address for model in names.MODELS]
  assert len(set(addresses)) == len(addresses) == len(OFFICIAL) + len(IMAGENET)
  form = (
    r'http://download\.tensorflow\.org/models/[\w-]+_\d{4}_\d\d_\d\d\.tar\.gz'
    r'|https://storage\.googleapis\.com/mobilenet_v2/checkpoints/mobilenet_v2_[\d.]+_224\.tgz'
  )
  assert [each for each in addresses if not re.fullmatch(form, each)] == []


def test_what_can_be_used_has_flags_that_make_a_network():
  own = {field.name for field in dataclasses.fields(ModelOptions)}
  usable = [model for model in names.MODELS if not model.missing]
  assert len(usable) > 10
  for model in usable:
    options = ModelOptions(**model.network_flags())
    assert set(model.flags) <= own and options.output_stride in (8, 16, 32)
    if model.is_backbone:
      assert (
        options.preprocess_images_option
        == BACKBONES[options.model_variant].preprocess_images_option
      )
      continue
    assert len(class_names.load_class_names(model.data_set, model.num_classes)) == model.num_classes
    assert len(color_map.load_color_map(model.data_set)) >= model.num_classes


def test_every_backbone_has_imagenet_weights():
  assert set(BACKBONES) <= {model.flags['model_variant'] for model in IMAGENET}


def test_what_the_list_says():
  (model,) = (each for each in OFFICIAL if each.name == 'official/mobilenetv2_cityscapes_trainfine')
  assert model.lines() == [
    'http://download.tensorflow.org/models/deeplabv3_mnv2_cityscapes_train_2018_02_05.tar.gz '
    '(23MB)',
    '19 classes of Cityscapes, names and colours cityscapes, ignored label 255; trained on '
    'ImageNet, MS-COCO, Cityscapes train_fine',
    '--model_variant=mobilenet_v2 --output_stride=16 --use_decoder=False',
    'mIOU (theirs): 70.71 % on val (stride 16); 73.57 % on val (stride 8, scales 0.75:0.25:1.25, '
    'mirrored too)',
  ]
