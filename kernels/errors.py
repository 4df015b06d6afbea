"""The error of this floor."""


class KernelError(Exception):
    """A call that no kernel can serve as given; the developer who wrote it must change it."""
