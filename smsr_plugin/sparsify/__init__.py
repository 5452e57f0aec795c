"""From a dense network to one with masks, fitted to what the dense one computes.

`photographs` → `importance` (which tiles matter, and a predictor of it) → `fit` (what skipped
pixels get), both a second time with the masks of the first → `finetune`, if asked for, with new
masks on the way → `curve` (quality at each density).
"""
