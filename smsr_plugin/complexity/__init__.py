"""Parameters, multiply-adds and activations: of any network, of one with masks by its program.

The convention, everywhere in this package: one multiply-add counts once. Convolutions (also
transposed ones), linear layers and products of activations count; biases, activations,
normalisation, pooling, interpolation and mean shifts do not. Taps on the zero padding count.
`masked_cost` does without PyTorch.
"""
