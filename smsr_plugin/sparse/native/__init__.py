"""Sparse inference on the native kernels of `smsr_plugin._kernels`.

`network` → `block` → `mask` and the operations of an arithmetic: `float32` (Winograd tiles or
pixels) or `bfloat16` (pixels). Features are planes: channels last, padded to whole cache lines,
within a border of zeros.
"""
