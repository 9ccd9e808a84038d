"""Which functions and methods are memos (plan.py, memo): those whose way depends on their arguments' layouts and values only.

What reads elements to decide (masks, `unique`), draws random numbers, keeps statistics or changes more than the one tensor
it returns must not stand here.
"""

from __future__ import annotations

import sys

from ..plan import memo
from ..tensor import Tensor

_VIEWS = """broadcast_to diagonal expand flatten moveaxis movedim narrow permute ravel reshape select squeeze swapaxes swapdims t
transpose unflatten unsqueeze"""
_PARTS = "chunk split split_with_sizes unbind"
_NEW = "empty empty_like full full_like ones ones_like zeros zeros_like"
_REDUCTIONS = """all amax amin any argmax argmin count_nonzero cumprod cumsum log_softmax logsumexp max mean min nansum prod softmax
sort std sum topk tril triu var"""
_ELEMENTWISE = """abs acos acosh add addcdiv addcmul asin asinh atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp
clamp_max clamp_min cos cosh div divide eq erf erfc exp exp2 expm1 floor floor_divide fmod frac ge gt le lerp log log10 log1p log2
logical_and logical_not logical_or logical_xor lt masked_fill maximum minimum mul multiply ne neg pow reciprocal remainder round rsqrt
rsub sigmoid sign sin sinh sqrt square sub subtract tan tanh trunc where relu"""
_PRODUCTS = "addmm addmv baddbmm bmm dot linear matmul mm mv outer"
_LAYERS = """celu elu gelu glu group_norm hardsigmoid hardswish hardtanh layer_norm leaky_relu linear log_softmax logsigmoid mish relu relu6
rms_norm selu sigmoid silu softmax softplus softsign tanh mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss binary_cross_entropy
binary_cross_entropy_with_logits conv1d conv2d batch_norm avg_pool2d max_pool2d adaptive_avg_pool2d scaled_dot_product_attention pad"""
#: Those of nn.functional.
LAYERS = frozenset(_LAYERS.split())
_FUNCTIONS = " ".join(
    (
        _VIEWS,
        _PARTS,
        _NEW,
        _REDUCTIONS,
        _ELEMENTWISE,
        _PRODUCTS,
        "cat clone concat concatenate stack flip roll gather index_select",
    )
)
_METHODS = " ".join((
    _VIEWS, _PARTS, _REDUCTIONS, _ELEMENTWISE, _PRODUCTS,
    "bfloat16 bool byte char clone contiguous double expand_as float flip gather half index_select int long new_empty new_full new_ones "
    "new_zeros reshape_as roll short to type_as unfold view view_as __getitem__ __setitem__ fill_ zero_ copy_ masked_fill_ addcmul_ addcdiv_ lerp_",
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __pow__ __neg__ __matmul__ __iadd__ __isub__ __imul__ "
    "__itruediv__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __invert__ __and__ __or__ __xor__ __mod__ __floordiv__",
    " ".join([name + "_" for name in _ELEMENTWISE.split()]),
))  # fmt: skip


def remember_functions(namespace):
    """Makes memos of those of the functions above that are in this namespace, for the modules that they come from too."""
    made = {
        namespace[name]: memo(namespace[name]) for name in _FUNCTIONS.split() if name in namespace
    }
    for name, function in list(namespace.items()):
        if callable(function) and function in made:  # by all its names
            namespace[name] = made[function]
            module = sys.modules[function.__module__]
            if module.__dict__.get(name) in (function, getattr(function, "__wrapped__", function)):
                setattr(module, name, made[function])


def remember_methods():
    """Makes memos of Tensor's methods above."""
    for name in _METHODS.split():
        method = Tensor.__dict__.get(name)
        if type(method) is type(remember_methods):
            setattr(Tensor, name, memo(method))
    for name in ("T", "mT"):
        setattr(
            Tensor,
            name,
            property(memo(Tensor.__dict__[name].fget), doc=Tensor.__dict__[name].__doc__),
        )
