"""All operations, as functions. A stem here is a stem in zig/ops: rows there, signatures and derivatives here."""

from . import (  # noqa: F401  (methods only)
    convert,
    indexing,  # noqa: F401
    inplace,
    memos,
)
from .added_products import addbmm, addmm, addmv, addr, baddbmm  # noqa: F401
from .arrange import (  # noqa: F401
    as_strided_scatter,
    cartesian_prod,
    combinations,
    diag,
    diag_embed,
    diagflat,
    diagonal_scatter,
    flip,
    fliplr,
    flipud,
    meshgrid,
    roll,
    rot90,
    select_scatter,
    slice_scatter,
    tile,
    trace,
    tril,
    tril_indices,
    triu,
    triu_indices,
)  # fmt: skip
from .attention import scaled_dot_product_attention  # noqa: F401
from .binary import (  # noqa: F401
    _methods,
    _operators,
    add,
    arctan2,
    atan2,
    bitwise_and,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    copysign,
    div,
    divide,
    eq,
    equal,
    float_power,
    floor_divide,
    fmax,
    fmin,
    fmod,
    gcd,
    ge,
    greater,
    greater_equal,
    gt,
    heaviside,
    hypot,
    lcm,
    ldexp,
    le,
    less,
    less_equal,
    logaddexp,
    logaddexp2,
    logical_and,
    logical_or,
    logical_xor,
    lt,
    maximum,
    minimum,
    mul,
    multiply,
    ne,
    nextafter,
    not_equal,
    pow,
    remainder,
    rsub,
    sub,
    subtract,
    true_divide,
    xlog1py,
    xlogy,
)  # fmt: skip
from .checked import checked
from .complex_numbers import complex, imag, polar, real, view_as_complex, view_as_real  # noqa: F401
from .conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d  # noqa: F401
from .copies import *  # noqa: F403
from .create import (  # noqa: F401
    arange,
    empty,
    empty_like,
    empty_strided,
    eye,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    scalar_tensor,
    zeros,
    zeros_like,
)  # fmt: skip
from .distance import allclose, cdist, cross, isclose, isin, kron, pdist  # noqa: F401
from .einsum import einsum  # noqa: F401
from .embedding import embedding  # noqa: F401
from .from_data import as_tensor, asarray, tensor  # noqa: F401
from .gather import gather, index_select, repeat_interleave, take, take_along_dim  # noqa: F401
from .histogram import *  # noqa: F403
from .inplace import resize_as_  # noqa: F401
from .joining import (  # noqa: F401
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    cat,
    column_stack,
    concat,
    concatenate,
    dstack,
    hstack,
    row_stack,
    stack,
    vstack,
)  # fmt: skip
from .loss import cross_entropy, nll_loss  # noqa: F401
from .mask import argwhere, masked_scatter, masked_select, nonzero  # noqa: F401
from .matmul import (  # noqa: F401
    bilinear,
    bmm,
    chain_matmul,
    dot,
    ger,
    inner,
    linear,
    matmul,
    mm,
    mv,
    outer,
    tensordot,
    vdot,
)  # fmt: skip
from .norm import (  # noqa: F401
    batch_norm,
    group_norm,
    layer_norm,
    native_batch_norm,
    native_group_norm,
    native_layer_norm,
    rms_norm,
)  # fmt: skip
from .parts import *  # noqa: F403
from .pool import (  # noqa: F401
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)  # fmt: skip
from .random import *  # noqa: F403
from .rare import *  # noqa: F403
from .reduce import (  # noqa: F401
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    count_nonzero,
    logsumexp,
    max,
    mean,
    min,
    nanmean,
    nansum,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)  # fmt: skip
from .scan import cummax, cummin, cumprod, cumsum, diff, gradient, logcumsumexp  # noqa: F401
from .scatter import (  # noqa: F401
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_put_,
    put,
    scatter,
    scatter_add,
    scatter_reduce,
)  # fmt: skip
from .slicing import as_strided, diagonal, narrow, select  # noqa: F401
from .softmax import log_softmax, softmax  # noqa: F401
from .sort import (  # noqa: F401
    argsort,
    bucketize,
    kthvalue,
    median,
    mode,
    msort,
    nanmedian,
    nanquantile,
    quantile,
    searchsorted,
    sort,
    topk,
    unique,
    unique_consecutive,
)  # fmt: skip
from .special import *  # noqa: F403
from .splitting import chunk, dsplit, hsplit, split, split_with_sizes, tensor_split, unbind, vsplit  # noqa: F401
from .statistics import (  # noqa: F401
    bincount,
    corrcoef,
    cov,
    cumulative_trapezoid,
    histc,
    trapezoid,
    trapz,
    vander,
)  # fmt: skip
from .ternary import addcdiv, addcmul, lerp, masked_fill, where  # noqa: F401
from .unary import (  # noqa: F401  (first: binary and unary name each other)
    abs,
    absolute,
    acos,
    acosh,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    asin,
    asinh,
    atan,
    atanh,
    bitwise_not,
    ceil,
    celu,
    clamp,
    clamp_max,
    clamp_min,
    clip,
    cos,
    cosh,
    digamma,
    elu,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    fix,
    floor,
    frac,
    gelu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    i0,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    leaky_relu,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    log_sigmoid,
    logical_not,
    logit,
    mish,
    nan_to_num,
    neg,
    negative,
    positive,
    reciprocal,
    relu,
    relu6,
    round,
    rsqrt,
    selu,
    sgn,
    sigmoid,
    sign,
    signbit,
    silu,
    sin,
    sinc,
    sinh,
    softplus,
    softshrink,
    softsign,
    sqrt,
    square,
    tan,
    tanh,
    threshold,
    trunc,
)  # fmt: skip
from .vector_norm import dist, norm, renorm  # noqa: F401  (after .norm, a module, which takes that name)
from .view import (  # noqa: F401
    adjoint,
    broadcast_tensors,
    broadcast_to,
    clone,
    flatten,
    moveaxis,
    movedim,
    permute,
    ravel,
    reshape,
    squeeze,
    swapaxes,
    swapdims,
    t,
    transpose,
    unflatten,
    unsqueeze,
)  # fmt: skip

_methods()
_operators()

# What the layers' functions (nn/functional) call once they have looked at their arguments: no names of dlgrad.
_LAYERS = frozenset((
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cross_entropy", "elu", "embedding", "gelu", "group_norm",
    "hardsigmoid", "hardswish", "hardtanh", "layer_norm", "leaky_relu", "linear", "log_sigmoid", "max_pool1d", "max_pool2d",
    "max_pool3d", "mish", "nll_loss", "pdist", "relu6", "rms_norm", "scaled_dot_product_attention", "silu", "softplus",
    "softshrink", "softsign", "xlog1py",
))  # fmt: skip
# Modules whose functions use their first argument as a Tensor without asking.
_UNASKED = frozenset(("arrange", "complex_numbers", "distance", "gather", "mask", "scatter", "slicing", "splitting", "statistics", "view"))

_MODULE = type(indexing)
__all__ = [
    name
    for name, value in list(globals().items())
    if not (name.startswith("_") or isinstance(value, _MODULE) or name in _LAYERS or name == "checked")
]
for _name in __all__:
    _function = globals()[_name]
    if getattr(_function, "__module__", "").rpartition(".")[2] in _UNASKED:
        globals()[_name] = checked(_function)
memos.remember_functions(globals())
