"""Image files in, image files out."""


class RequestError(ValueError):
    """The request cannot be carried out; nothing was read or written yet."""
