"""dlgrad: a lightweight autograd engine for deep learning, with PyTorch's names.

Python owns shapes, dtypes and the graph; a library of SIMD kernels in Zig owns the numbers. `import dlgrad as torch`
runs most programs written for PyTorch's CPU build. Heavy submodules (nn, optim, ...) load on first use.
"""

from __future__ import annotations

import importlib as _importlib
import math as _math

from . import interop, linalg  # noqa: F401
from . import plan as _plan  # noqa: F401
from ._lib import lib as _lib
from .autograd.mode import (  # noqa: F401
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)  # fmt: skip
from .dtypes import (  # noqa: F401
    bfloat16,
    bool,
    can_cast,
    complex64,
    complex128,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)  # fmt: skip
from .layout import Size  # noqa: F401
from .linalg.names import *  # noqa: F401, F403
from .ops import *  # noqa: F403
from .ops.checked import checked as _checked
from .ops.create import range_ as range  # noqa: F401
from .ops.elementwise import result_type  # noqa: F401
from .ops.memos import remember_methods as _remember_methods
from .random import (  # noqa: F401
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)  # fmt: skip
from .storage import OutOfMemoryError, empty_cache, memory_stats, reset_peak_memory_stats  # noqa: F401
from .tensor import Tensor, device, memory_format  # noqa: F401

__version__ = "0.1.0"

half, float, double, short, int, long = float16, float32, float64, int16, int32, int64
cfloat, cdouble = complex64, complex128
pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None

_SUBMODULES = frozenset((
    "nn", "optim", "utils", "autograd", "random", "datasets", "serialization", "fft", "interop", "masked", "printing", "signal", "special",
    "distributions", "func", "accelerator", "amp", "array_api", "backends", "cuda", "distributed", "mps", "return_types", "version",
))  # fmt: skip
_LAZY = {
    "save": "serialization", "load": "serialization", "from_numpy": "interop", "from_dlpack": "interop", "frombuffer": "interop",
    "set_printoptions": "printing", "get_printoptions": "printing", "printoptions": "printing",
    "_int_mm": "ops.int_products", "_addmm_activation": "ops.added_products", "vmap": "func", "autocast": "amp", "GradScaler": "amp", "norm_except_dim": "nn.utils.weight_norm",
    **dict.fromkeys((
        "FloatTensor", "DoubleTensor", "HalfTensor", "BFloat16Tensor", "ByteTensor", "CharTensor", "ShortTensor", "IntTensor",
        "LongTensor", "BoolTensor", "compile", "set_float32_matmul_precision", "get_float32_matmul_precision",
        "get_default_device", "set_default_device", "set_default_tensor_type", "get_num_interop_threads",
        "set_num_interop_threads", "is_autocast_enabled", "is_autocast_cpu_enabled", "set_flush_denormal", "spmm",
    ), "legacy"),
    **dict.fromkeys((
        "binomial", "_standard_gamma", "_standard_gamma_grad", "_sample_dirichlet", "_dirichlet_grad",
    ), "ops.random_gamma"),
    **dict.fromkeys((
        "adaptive_avg_pool1d", "avg_pool1d", "bilinear", "celu_", "channel_shuffle", "conv1d", "conv2d", "conv3d", "conv_tbc",
        "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "max_pool1d", "max_pool1d_with_indices",
        "max_pool2d", "max_pool3d", "native_channel_shuffle", "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle",
        "prelu", "rms_norm", "rrelu", "rrelu_", "selu_", "threshold_",
    ), "nn.functional"),
    **dict.fromkeys((
        "adaptive_max_pool1d", "alpha_dropout", "batch_norm", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
        "ctc_loss", "dropout", "embedding", "embedding_bag", "feature_alpha_dropout", "feature_dropout", "group_norm",
        "affine_grid_generator", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "hinge_embedding_loss", "instance_norm", "kl_div", "layer_norm", "margin_ranking_loss", "poisson_nll_loss",
        "triplet_margin_loss",
    ), "nn.functional.positional"),
    **dict.fromkeys((
        "bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window",
    ), "signal.windows"),
    "istft": "signal.spectral", "stft": "signal.spectral",
}  # fmt: skip
_METHODS = frozenset((
    "abs_", "acos_", "acosh_", "addmv_", "arccos_", "arccosh_", "arcsin_", "arcsinh_", "arctan_", "arctanh_", "as_strided_",
    "asin_", "asinh_", "atan_", "atanh_", "ceil_", "clamp_", "clamp_max_", "clamp_min_", "clip_", "conj_physical_", "cos_",
    "cosh_", "deg2rad_", "detach", "detach_", "erf_", "erfc_", "exp2_", "exp_", "expm1_", "fix_", "floor_", "frac_", "gcd_",
    "i0_", "lcm_", "ldexp_", "log10_", "log1p_", "log2_", "log_", "logit_", "nan_to_num_", "neg_", "negative_", "rad2deg_",
    "reciprocal_", "relu_", "round_", "rsqrt_", "sigmoid_", "sin_", "sinc_", "sinh_", "sqrt_", "square_", "tan_", "tanh_",
    "trunc_", "xlogy_",
))  # fmt: skip


_remember_methods()  # now that all of them are there


def __getattr__(name):
    if name in _SUBMODULES:
        return _importlib.import_module("." + name, __name__)
    if name in _LAZY:
        found = getattr(_importlib.import_module("." + _LAZY[name], __name__), name)
        globals()[name] = found
        return found
    if name in _METHODS:
        found = globals()[name] = getattr(Tensor, name)
        return found
    raise AttributeError(f"module 'dlgrad' has no attribute {name!r}")


class layout:  # noqa: N801
    """How a tensor's elements are stored: always `strided` here."""

    def __repr__(self):
        return "dlgrad.strided"


strided = layout()
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")


def is_tensor(obj):
    """Whether it is a Tensor."""
    return isinstance(obj, Tensor)


@_checked
def is_floating_point(input):
    """Whether the tensor's dtype is a floating point type."""
    return input.is_floating_point()


@_checked
def is_complex(input):
    """Whether the tensor's dtype is complex."""
    return input.is_complex()


@_checked
def is_nonzero(input):
    """The truth of a tensor of one element."""
    return input.__bool__()


@_checked
def numel(input):
    """The number of elements."""
    return input.numel()


def broadcast_shapes(*shapes):
    """The shape that all of them expand to."""
    from .layout import broadcast_shapes as broadcast

    return broadcast(*[(s,) if isinstance(s, type(1)) else tuple(s) for s in shapes])


def get_num_threads():
    """How many threads an operation may use."""
    return _lib.dlgrad_threads()


def set_num_threads(n):
    """Sets how many threads an operation may use. Results don't depend on it."""
    if not isinstance(n, type(1)) or n < 1:
        raise RuntimeError(f"set_num_threads(): expects a positive integer, got {n!r}")
    _lib.dlgrad_set_threads(n)


def cpu_level():
    """The CPU level whose kernels are in use, such as 'x86_64_v4'."""
    from ._abi import ffi

    return ffi.string(_lib.dlgrad_level()).decode()


def are_deterministic_algorithms_enabled():
    """Always True: every operation gives the same bits for the same input."""
    return True


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Accepted for PyTorch programs; operations are deterministic anyway."""


@_checked
def zero_(input):
    """Writes zeros into the tensor."""
    return input.zero_()


@_checked
def fill(input, value):
    """A tensor of this shape and dtype full of `value`."""
    return input.clone().fill_(value)


@_checked
def fill_(input, value):
    """Writes the number into all elements."""
    return input.fill_(value)


def typename(obj):
    """The name of a tensor's type, or of an object's class."""
    return obj.type() if isinstance(obj, Tensor) else f"{type(obj).__module__}.{type(obj).__qualname__}"
