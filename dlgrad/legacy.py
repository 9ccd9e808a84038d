"""PyTorch's old and its global names: `LongTensor` and the other typed constructors, `compile`, and settings of other
backends that programs make.
"""

from __future__ import annotations

import warnings

from . import dtypes as dt
from .tensor import CPU, Tensor
from .tensor import device as Device

_TYPED = {
    "FloatTensor": dt.float32, "DoubleTensor": dt.float64, "HalfTensor": dt.float16, "BFloat16Tensor": dt.bfloat16,
    "ByteTensor": dt.uint8, "CharTensor": dt.int8, "ShortTensor": dt.int16, "IntTensor": dt.int32, "LongTensor": dt.int64,
    "BoolTensor": dt.bool,
}  # fmt: skip


class _TypedMeta(type):
    """Classes that no object belongs to: they check the dtype, and call the constructor of Tensor."""

    def __instancecheck__(cls, value):
        return isinstance(value, Tensor) and value.dtype is cls.dtype

    def __call__(cls, *args, device=None):
        from .ops.create import empty
        from .ops.from_data import tensor

        if len(args) == 1 and isinstance(args[0], Tensor):
            if args[0].dtype is not cls.dtype:
                raise TypeError(
                    f"{cls.__name__}(): expected a tensor of dtype {cls.dtype}, got {args[0].dtype}; convert it with .to()"
                )
            return args[0].detach()
        if len(args) == 1 and not isinstance(args[0], int):
            from .layout import Size

            return (
                empty(tuple(args[0]), dtype=cls.dtype)
                if isinstance(args[0], Size)
                else tensor(args[0], dtype=cls.dtype)
            )
        return empty(*(args or (0,)), dtype=cls.dtype)

    def __repr__(cls):
        return f"<class 'dlgrad.{cls.__name__}'>"


for _name, _dtype in _TYPED.items():
    globals()[_name] = _TypedMeta(
        _name,
        (),
        {
            "dtype": _dtype,
            "is_cuda": False,
            "__doc__": f"`{_name}(data)` or `{_name}(*sizes)`: a tensor of {_dtype}.",
        },
    )


def compile(
    model=None,
    *,
    fullgraph=False,
    dynamic=None,
    backend="inductor",
    mode=None,
    options=None,
    disable=False,
):
    """The module or function itself (or, without it, a decorator that returns it): every operation is compiled already."""
    if model is None:
        return lambda function: function
    if not callable(model):
        raise TypeError(f"compile(): expects a Module or a function, got {type(model).__name__}")
    return model


_precision = "highest"


def set_float32_matmul_precision(precision):
    """Kept, and without effect: float32 products are computed in float32."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; set_float32_matmul_precision has no effect.",
            stacklevel=2,
        )
        return
    _precision = precision


def get_float32_matmul_precision():
    """What was set; 'highest' at first."""
    return _precision


def get_default_device():
    """Always `device(type='cpu')`."""
    return CPU


def set_default_device(device):
    """Accepts None and 'cpu'; raises RuntimeError for other devices."""
    if device is not None:
        Device(device)


def set_default_tensor_type(t):
    """`set_default_dtype` by the old names: FloatTensor, 'torch.DoubleTensor' ..."""
    name = t.rpartition(".")[2] if isinstance(t, str) else getattr(t, "__name__", "")
    if name not in _TYPED or not _TYPED[name].is_floating_point:
        raise TypeError(
            f"set_default_tensor_type(): only floating-point types are supported as the default type, got {t!r}"
        )
    dt.set_default_dtype(_TYPED[name])


def get_num_interop_threads():
    """1: operations run one after the other."""
    return 1


def set_num_interop_threads(n):
    """Accepted: operations run one after the other."""


def is_autocast_enabled(device_type=None):
    """False: see `dlgrad.amp`."""
    return False


is_autocast_cpu_enabled = is_autocast_enabled


def set_flush_denormal(mode):
    """False: subnormal numbers are kept, whatever is asked, but in products of bfloat16 matrices on CPUs that
    multiply pairs of them. `mode` False makes those keep them too (docs/operation.md)."""
    from ._lib import BFLOAT16_DOT, EVERY_EXTENSION, lib

    lib.dlgrad_allow_extensions(EVERY_EXTENSION - (0 if mode else BFLOAT16_DOT))
    return False


def spmm(input, mat2):
    """The product of two matrices."""
    from .ops.matmul import mm

    return mm(input, mat2)
