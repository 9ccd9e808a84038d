"""Functions of functions and modules: PyTorch's `torch.func`."""

from .functional_call import functional_call

__all__ = ["functional_call"]
