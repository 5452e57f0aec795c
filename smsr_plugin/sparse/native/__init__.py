"""Sparse inference on the native kernels of `smsr_plugin._kernels`.

`network` → `block` → `mask` and the operations of an `arithmetic`: `float32` (Winograd at tiles, or
at pixels), `bfloat16_tiles` (the same in bfloat16) or `bfloat16` (at runs). Features are
planes: channels last, padded to whole cache lines, within a border of zeros.
"""
