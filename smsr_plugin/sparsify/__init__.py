"""From a dense network to one with masks, fitted to what the dense one computes.

`photographs` → `importance` (which tiles matter, and a predictor of it) → `fit` (what skipped
pixels get) → `finetune`, if asked for → `curve` (quality at each density).
"""
