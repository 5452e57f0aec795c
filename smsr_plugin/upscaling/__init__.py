"""Image files in, image files out."""
