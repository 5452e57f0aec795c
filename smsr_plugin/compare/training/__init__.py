"""Seconds and memory of training iterations, against the formulas taken literally."""
