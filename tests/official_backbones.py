"""The backbones of official_network.py: functions of an Official, whose layers they call, and of
normalized images; they return features and what the decoder reads.
"""

import tensorflow as tf

# (depth, stride) of the inverted residual blocks.
# fmt: off
MOBILENET_BLOCKS = (
  (16, 1),
  (24, 2), (24, 1),
  (32, 2), (32, 1), (32, 1),
  (64, 2), (64, 1), (64, 1), (64, 1),
  (96, 1), (96, 1), (96, 1),
  (160, 2), (160, 1), (160, 1),
  (320, 1),
)
# fmt: on
RESNET_UNITS = {'50': (3, 4, 6, 3), '101': (3, 4, 23, 3)}
# Entry flow of Xceptions: (depth, stride), the blocks counted from 1; and the block the decoder
# reads.
XCEPTION_ENTRY = {
  '41': (((128, 2), (256, 2), (728, 2)), 2),
  '65': (((128, 2), (256, 2), (728, 2)), 2),
  '71': (((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)), 3),
}
XCEPTION_MIDDLE_UNITS = {'41': 8, '65': 16, '71': 16}


def mobilenet(official, net):
  multiplier = official.multiplier
  scale = lambda depth: depth if multiplier == 1.0 else int(depth * multiplier + 0.5)
  net = official.conv(net, scale(32), 3, 'MobilenetV2/Conv', stride=2, activation=tf.nn.relu6)
  stride_so_far, rate = 2, 1
  for index, (depth, stride) in enumerate(MOBILENET_BLOCKS):
    scope = 'MobilenetV2/expanded_conv' + (f'_{index}' if index else '')
    own_rate = rate
    if stride_so_far == official.output_stride:
      rate, stride = rate * stride, 1
    stride_so_far *= stride
    block = net
    if index:
      expanded = max(8, (net.shape[-1] * 6 + 4) // 8 * 8)
      block = official.conv(block, expanded, 1, scope + '/expand', activation=tf.nn.relu6)
    block = official.depthwise(
      block, scope + '/depthwise', stride=stride, rate=own_rate, activation=tf.nn.relu6
    )
    if index == 2:
      low_level = block
    block = official.conv(block, scale(depth), 1, scope + '/project', activation=None)
    net = net + block if stride == 1 and net.shape[-1] == block.shape[-1] else block
  return net, low_level


def resnet(official, net):
  _, _, layers, *variant = official.backbone.split('_')
  prefix = f'resnet_v1_{layers}'
  if variant == ['beta']:
    net = official.conv(_padded(net, 1), 64, 3, prefix + '/conv1_1', stride=2, padding='VALID')
    net = official.conv(net, 64, 3, prefix + '/conv1_2')
    net = official.conv(net, 128, 3, prefix + '/conv1_3')
  else:
    net = official.conv(_padded(net, 3), 64, 7, prefix + '/conv1', stride=2, padding='VALID')
  with tf.name_scope('pool1'):
    net = tf.nn.max_pool2d(net, 3, 2, 'SAME', name=prefix + '/pool1/MaxPool')
  stride_so_far, rate = 4, 1
  units_of_blocks = official.resnet_units or RESNET_UNITS[layers]
  for block, (units, depth) in enumerate(zip(units_of_blocks, (64, 128, 256, 512)), 1):
    for unit in range(1, units + 1):
      stride = 2 if unit == units and block < 4 else 1
      own_rate = rate * (official.multi_grid[unit - 1] if block == 4 else 1)
      if stride_so_far == official.output_stride:
        rate, stride = rate * stride, 1
      stride_so_far *= stride
      scope = f'{prefix}/block{block}/unit_{unit}/bottleneck_v1'
      if net.shape[-1] == 4 * depth:
        shortcut = net[:, ::stride, ::stride]
      else:
        shortcut = official.conv(
          net, 4 * depth, 1, scope + '/shortcut', stride=stride, activation=None
        )
      inner = official.conv(net, depth, 1, scope + '/conv1')
      if stride > 1:
        inner = official.conv(
          _padded(inner, 1), depth, 3, scope + '/conv2', stride=stride, padding='VALID'
        )
      else:
        inner = official.conv(inner, depth, 3, scope + '/conv2', rate=own_rate)
      inner = official.conv(inner, 4 * depth, 1, scope + '/conv3', activation=None)
      if (block, unit) == (1, 2):
        low_level = inner
      net = tf.nn.relu(shortcut + inner)
  return net, low_level


def xception(official, net):
  layers = official.backbone.removeprefix('xception_')
  entry, decoder_block = XCEPTION_ENTRY[layers]
  prefix = official.backbone + '/'
  net = official.conv(
    _padded(net, 1), 32, 3, prefix + 'entry_flow/conv1_1', stride=2, padding='VALID'
  )
  net = official.conv(net, 64, 3, prefix + 'entry_flow/conv1_2')
  # (scope, depths, stride, kind of shortcut)
  units = [
    (f'entry_flow/block{block}/unit_1', (depth,) * 3, stride, 'conv')
    for block, (depth, stride) in enumerate(entry, 1)
  ]
  for unit in range(1, (official.middle_units or XCEPTION_MIDDLE_UNITS[layers]) + 1):
    units.append((f'middle_flow/block1/unit_{unit}', (728,) * 3, 1, 'sum'))
  units.append(('exit_flow/block1/unit_1', (728, 1024, 1024), 2, 'conv'))
  units.append(('exit_flow/block2/unit_1', (1536, 1536, 2048), 1, 'none'))
  stride_so_far, rate = 2, 1
  for scope, depths, stride, shortcut in units:
    own_rate = rate
    if stride_so_far == official.output_stride:
      rate, stride = rate * stride, 1
    stride_so_far *= stride
    inner, here = net, f'{prefix}{scope}/xception_module/'
    for index, depth in enumerate(depths, 1):
      # The last block activates after its convolutions, all others before.
      activation = tf.nn.relu if shortcut == 'none' else None
      inner = inner if shortcut == 'none' else tf.nn.relu(inner)
      separable = f'{here}separable_conv{index}'
      grid = official.multi_grid[index - 1] if shortcut == 'none' else 1
      if index == 3 and stride > 1:
        inner = official.depthwise(
          _padded(inner, 1),
          separable + '_depthwise',
          stride=stride,
          padding='VALID',
          activation=activation,
        )
      else:
        inner = official.depthwise(
          inner, separable + '_depthwise', rate=own_rate * grid, activation=activation
        )
      inner = official.conv(inner, depth, 1, separable + '_pointwise', activation=activation)
      if scope.startswith(f'entry_flow/block{decoder_block}/') and index == 2:
        low_level = inner
    if shortcut == 'conv':
      net = inner + official.conv(
        net, depths[-1], 1, here + 'shortcut', stride=stride, activation=None
      )
    else:
      net = inner + net if shortcut == 'sum' else inner
  return net, low_level


def _padded(net, margin):
  return tf.pad(net, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
