"""Training and validation data: MATLAB's bicubic, preparation of LMDBs, the dataset.

Nothing is imported here: `paired_dataset` needs BasicSR, the other modules do not.
"""
