"""Sparse inference in plain PyTorch: any device, any dtype; says what a faster backend computes.

`engine` runs a program by the operations of `ops` at the active sets of `active`.
"""
