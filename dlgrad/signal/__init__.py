"""Signal processing: window functions, as in torch.signal."""

from . import windows  # noqa: F401
