"""What an option file may say, checked before a run."""
