"""Benchmark worker: segmentation_models_pytorch and transformers on PyTorch, the nearest
architecture each of them has.
"""

import contextlib

import worker_loop


def main():
  settings = worker_loop.settings()
  import torch

  torch.manual_seed(0)
  network = make(settings).to(memory_format=torch.channels_last)  # The faster layout on a CPU.
  size = settings['size']
  autocast = contextlib.nullcontext
  if settings.get('compute_dtype', 'float32') == 'bfloat16':
    autocast = lambda: torch.autocast('cpu', dtype=torch.bfloat16)

  def logits_of(images):
    with autocast():
      logits = network(images)
      logits = getattr(logits, 'logits', logits)
    logits = logits.float()
    if logits.shape[-1] != size:
      logits = torch.nn.functional.interpolate(logits, size=(size, size), mode='bilinear')
    return logits

  if settings['task'] == 'train':
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    images = torch.rand(settings['batch_size'], 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 21, (settings['batch_size'], size, size))

    def work():
      optimizer.zero_grad()
      loss = torch.nn.functional.cross_entropy(logits_of(images), labels, ignore_index=255)
      loss.backward()
      optimizer.step()
      return loss.item()
  else:
    network.eval()
    images = torch.rand(1, 3, size, size).to(memory_format=torch.channels_last)

    def work():
      with torch.inference_mode():
        return logits_of(images).argmax(1).max().item()

  worker_loop.serve(work)


def make(settings):
  """The network of settings['library'], with random weights."""
  if settings['library'] == 'transformers':
    import transformers

    config = transformers.MobileNetV2Config(
      output_stride=16, num_labels=21, image_size=settings['size'], finegrained_output=True
    )
    return transformers.MobileNetV2ForSemanticSegmentation(config)
  import segmentation_models_pytorch as smp

  build = smp.DeepLabV3Plus if settings['model'].get('use_decoder') else smp.DeepLabV3
  return build(
    encoder_name=settings['encoder'],
    encoder_weights=None,
    classes=21,
    encoder_output_stride=16,
    **settings.get('more', {}),
  )


if __name__ == '__main__':
  main()
