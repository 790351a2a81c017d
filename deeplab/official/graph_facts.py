"""What the nodes of a frozen DeepLab graph tell beside its variables: strides, rates,
normalization, resizes, order.
"""

import dataclasses
import math
import re

import numpy as np

from deeplab import pixel_means
from deeplab.errors import InputError
from deeplab.official.graph_definitions import (
  CONVOLUTIONS,
  PASS_THROUGH,
  GraphDefinition,
  data_inputs,
)
from deeplab.official.official_names import root_convolution

# The three convolutions with a rate of their own in a ResNet, and in an Xception.
_LAST_BLOCK = (
  r'(block4/unit_[123]/\w+/conv2|exit_flow/block2/unit_1/\w+/separable_conv[123]_depthwise)'
)


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a source tells about the architecture; None where it does not tell.

  Attributes:
    output_stride: int.
    atrous_rates: tuple of ints, of the branches aspp1, aspp2, ...
    multi_grid: tuple of ints, extra rates of the last ResNet or Xception block.
    preprocess_images_option: as in ModelOptions.
    align_corners: convention of the bilinear resizes.
    branch_order: tuple of scopes, the order in which ASPP concatenates its branches.
    notes: tuple of lines to print.
  """

  output_stride: int | None = None
  atrous_rates: tuple | None = None
  multi_grid: tuple | None = None
  preprocess_images_option: str | None = None
  align_corners: bool | None = None
  branch_order: tuple | None = None
  notes: tuple = ()


def gather_facts(graph: GraphDefinition, *, notes: tuple[str, ...] = ()) -> Facts:
  """Facts of a GraphDefinition; `notes` are handed on.

  Raises:
    InputError: it resizes in a way this network does not.
  """
  root = root_convolution(graph.convolutions)
  if root is None:
    return Facts(notes=tuple(notes))
  backbone = root.split('/')[0] + '/'
  output_stride = _output_stride(graph, backbone)
  return Facts(
    output_stride=output_stride,
    atrous_rates=_atrous_rates(graph),
    multi_grid=_multi_grid(graph, backbone, output_stride),
    preprocess_images_option=_preprocessing(graph, graph.convolutions[root].node),
    align_corners=_align_corners(graph, graph.convolutions[root].node),
    branch_order=_branch_order(graph),
    notes=tuple(notes),
  )


def _output_stride(graph, backbone):
  strides = [
    convolution.stride
    for scope, convolution in graph.convolutions.items()
    if scope.startswith(backbone) and not scope.endswith('/shortcut')
  ]
  # The first pooling only: ResNets subsample their shortcuts by pooling too.
  pools = [
    graph.spatial_number(node, 'strides')
    for name, node in graph.nodes.items()
    if node.op == 'MaxPool' and '/pool1/' in name
  ]
  stride = math.prod(strides) * math.prod(pools[:1])
  return stride if stride in (8, 16, 32) else None


def _atrous_rates(graph):
  rates = {}
  for scope, convolution in graph.convolutions.items():
    match = re.fullmatch(r'aspp([1-9]\d{0,3})(_depthwise)?', scope)
    if match:
      rates[int(match.group(1))] = convolution.rate
  return tuple(rates[index] for index in sorted(rates))


def _multi_grid(graph, backbone, output_stride):
  last_block = re.compile(re.escape(backbone) + _LAST_BLOCK)
  rates = [
    graph.convolutions[scope].rate
    for scope in sorted(graph.convolutions)
    if last_block.fullmatch(scope)
  ]
  if len(rates) != 3 or output_stride is None:
    return None
  grid = tuple(rate * output_stride // 32 for rate in rates)
  return () if grid == (1, 1, 1) else grid


def _preprocessing(graph, root):
  """The normalization, from the arithmetic before the first convolution."""
  scale, offset = 1.0, np.zeros(3)
  node, seen = graph.before(root), set()
  while node is not None:
    graph.step(node, seen)
    constant = next(
      (value for value in map(graph.constant, data_inputs(node)) if value is not None), None
    )
    if (
      node.op in ('Sub', 'Mul', 'RealDiv', 'Add', 'AddV2')
      and constant is not None
      and constant.size in (1, 3)
      and constant.dtype.kind in 'fiu'
    ):
      constant = constant.reshape(-1).astype(np.float64)
      if node.op in ('Mul', 'RealDiv'):
        with np.errstate(all='ignore'):
          scale = scale * (constant if node.op == 'Mul' else 1 / constant)
      else:
        offset = offset + scale * (-constant if node.op == 'Sub' else constant)
      option = _normalization_named(scale, offset)
      if option:
        return option
    elif node.op not in PASS_THROUGH + ('Pad', 'PadV2', 'ExpandDims'):
      return None
    node = graph.before(node)
  return None


def _normalization_named(scale, offset):
  """The preprocess_images_option that maps x to scale * x + offset, or None."""
  if np.allclose(scale, 2 / 255, rtol=1e-4) and np.allclose(offset, -1.0, atol=1e-4):
    return 'zero_mean_unit_range'
  for option in ('subtract_imagenet_mean', 'subtract_official_mean'):
    mean = pixel_means.OF_OPTION[option]
    if np.allclose(scale, 1.0) and np.allclose(offset, np.negative(mean), atol=1e-3):
      return option
  return None


def _align_corners(graph, root):
  resizes = [node for node in graph.descendants(root) if node.op == 'ResizeBilinear']
  if any(node.attr['half_pixel_centers'].b for node in resizes):
    raise InputError(
      f'{graph.path}: the graph resizes with half-pixel centres, which this network does not; give '
      'a graph of the official export, or the checkpoint'
    )
  conventions = {node.attr['align_corners'].b for node in resizes}
  if len(conventions) > 1:
    raise InputError(
      f'{graph.path}: some resizes of the graph align corners and some do not; this network has '
      'one convention; give the checkpoint'
    )
  return conventions.pop() if conventions else None


def _branch_order(graph):
  projection = graph.convolutions.get('concat_projection')
  node = projection and graph.nodes.get(graph.input_name(projection.node, 0))
  if node is None or node.op != 'ConcatV2':
    return None
  branches = [_scope_of(graph, name) for name in data_inputs(node)[:-1]]
  return None if None in branches else tuple(branches)


def _scope_of(graph, name):
  """The branch whose last convolution is the last before a node: `aspp1` for aspp1 and
  aspp1_pointwise.
  """
  node, seen = graph.nodes.get(name), set()
  while node is not None and node.op not in CONVOLUTIONS:
    graph.step(node, seen)
    node = graph.before(node)
  scopes = [scope for scope, convolution in graph.convolutions.items() if convolution.node is node]
  return scopes[0].removesuffix('_pointwise') if scopes else None
