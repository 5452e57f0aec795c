"""Pixels and files of images."""
