"""The arithmetic of the network on tensors, behind one door: `dispatch.Operations`.

`plain` is the reference: each operation by TensorFlow's own, in a few lines. It is what a GPU runs,
what is exported, and what every other implementation here is tested against. `choice` knows
which of them applies where. Nothing here knows variables, options or flags.
"""
