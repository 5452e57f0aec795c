"""The data sets and loaders of a training."""
