"""Losses, in plain PyTorch."""
