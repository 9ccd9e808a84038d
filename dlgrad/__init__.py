"""dlgrad: a lightweight autograd engine for deep learning, with PyTorch's names."""

from .dtypes import *  # noqa: F403
from .ops.create import tensor, zeros, ones, empty, arange, full
from .ops import unary, binary
from .ops.binary import add, mul
from .tensor import Tensor
