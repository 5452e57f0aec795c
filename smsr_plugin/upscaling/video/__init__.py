"""Videos, with PyAV: frames in, larger frames out, all else as it was."""
