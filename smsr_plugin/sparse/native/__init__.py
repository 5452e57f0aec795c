"""Sparse inference on the native kernels of `smsr_plugin._kernels`.

`engine` → `lowering` → the operations of an `arithmetic`: `float32` (Winograd at tiles, or products
at pixels), `bfloat16` (the same) or `bfloat16_matrix` (direct at tiles). Features are planes:
channels last, padded to whole cache lines, within a border of zeros.
"""
