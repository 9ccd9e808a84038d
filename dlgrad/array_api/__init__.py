"""The Python array API standard, 2024.12 (data-apis.org/array-api), over dlgrad's tensors.

The array object is `dlgrad.Tensor`, and `x.__array_namespace__()` is this module. Functions have the standard's names,
signatures and results; gradients flow through them as through the torch-shaped functions that they are made of. Unlike
those they promote 0-dimensional tensors as any others, take Python numbers on either side, and reduce over no axis
(`axis=()`). What of the standard is not there (uint16, uint32, uint64, slices with a negative step) and where
Tensor's methods are PyTorch's instead stands in docs/array_api.md.
"""

import math as _math

from ..dtypes import (  # noqa: F401
    bool,
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from . import fft, linalg  # noqa: F401
from ._creation import *  # noqa: F403
from ._dtypes import *  # noqa: F403
from ._elementwise import *  # noqa: F403
from ._info import __array_namespace_info__  # noqa: F401
from ._manipulation import *  # noqa: F403
from ._searching import *  # noqa: F403
from ._statistical import *  # noqa: F403
from .linalg import matmul, matrix_transpose, tensordot, vecdot  # noqa: F401

__array_api_version__ = "2024.12"

e, inf, nan, pi, newaxis = _math.e, _math.inf, _math.nan, _math.pi, None

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

__all__ = sorted(
    {name for name in globals() if not name.startswith("_")} - {"annotations", "VERSIONS"}
    | {"__array_api_version__", "__array_namespace_info__"}
)


def __dir__():
    return __all__
