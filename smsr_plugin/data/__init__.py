"""Training and validation data made ready: lq images, sub-images, LMDBs."""
