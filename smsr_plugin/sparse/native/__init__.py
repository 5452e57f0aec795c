"""Sparse inference on the native kernels of `smsr_plugin._kernels`.

`engine` → `lowering` → `layers` in an `arithmetic`: float32 or bfloat16 (Winograd at tiles, or
products at pixels), or bfloat16 for matrix tiles (direct at tiles). Features are planes: channels
last, padded to whole cache lines, within a border of zeros.
"""
