"""The version, under PyTorch's names."""

from . import __version__  # noqa: F401

cuda = hip = xpu = None
debug = False
