"""From what was asked for to networks: names, option files, checkpoints of any kind."""
