"""From what was asked for to the networks that are compared."""
