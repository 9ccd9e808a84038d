"""Normalisations. The kernels (zig/ops/norm.zig) compute result and statistics in one call, and their derivatives in
another; where a graph of the backward pass is wanted, the derivative is written in Tensor operations instead."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record_several, wants_grad
from ..autograd.mode import mode
from ..batched import per_member
from ..layout import Layout, contiguous


def _stats(x, shape):
    return contiguous(dt.float64 if x._layout.dtype is dt.float64 else dt.float32, tuple(shape))


def _like(t):
    return None if t is None else contiguous(t._layout.dtype, tuple(t._layout.shape))


def _backward(row, g, x, mean, rstd, weight, bias, ints=(), floats=()):
    """gx, gw, gb by a fused row (None where there is no such parameter)."""
    inputs = (g, x, rstd, weight) if mean is None else (g, x, mean, rstd, weight)
    outs = (_like(x), _like(weight)) if mean is None else (_like(x), _like(weight), _like(bias))
    return door.call("norm", row, outs, inputs, ints=ints, floats=floats)


def _composed(g, x, weight, bias, mean, rstd, reduced, parameter_dims, spread_weight):
    """The derivative of (x - mean) rstd weight + bias in Tensor operations. reduced: the dimensions that mean and rstd
    were taken over; spread_weight: weight as it multiplies x; mean None: rms_norm."""
    y = (x * rstd) if mean is None else (x - mean) * rstd
    gy = g if weight is None else g * spread_weight
    correction = y * (gy * y).mean(reduced, True)
    gx = (
        (gy - correction) * rstd
        if mean is None
        else (gy - gy.mean(reduced, True) - correction) * rstd
    )
    gw = None if weight is None else _over(g * y, parameter_dims).reshape(tuple(weight.shape))
    gb = None if bias is None else _over(g, parameter_dims).reshape(tuple(bias.shape))
    return gx, gw, gb


def _over(t, dims):
    """The sum over these dimensions (none: as it is)."""
    return t.sum(dims) if dims else t


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions (Ba 2016)."""
    return _layer_norm(input, normalized_shape, weight, bias, eps)[0]


def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """layer_norm with its statistics: (result, mean, 1 / sqrt(var + eps)), these of shape (*rows, 1, ...), without gradient."""
    from ..nn.functional._normalization import _check_normalized_shape

    normalized_shape = _check_normalized_shape(
        "native_layer_norm", input, normalized_shape, weight=weight, bias=bias
    )
    y, mean, rstd = _layer_norm(input, normalized_shape, weight, bias, eps)
    k = len(normalized_shape)
    rows = (*input._layout.shape[: input._layout.ndim - k], *(1,) * k)
    return y, mean.reshape(rows), rstd.reshape(rows)


def _layer_norm(input, normalized_shape, weight, bias, eps):
    """The result, and mean and rstd of its rows (flat)."""
    lay = input._layout
    k = len(normalized_shape)
    size = 1
    for s in normalized_shape:
        size *= s
    rows = lay.shape[: lay.ndim - k]
    m = lay.numel // size if size else _count(rows)
    x = input
    stats = _stats(x, (m,))
    y, mean, rstd = door.call("norm", "layer_norm", (contiguous(lay.dtype, tuple(lay.shape)), stats, stats), (x, weight, bias),
                              ints=(size,), floats=(eps,), name="layer_norm")  # fmt: skip
    if wants_grad(input, weight, bias):
        dims, lead = tuple(range(lay.ndim - k, lay.ndim)), tuple(range(lay.ndim - k))

        def rule(g, gm, gr, x, mean, rstd, weight):
            if not mode.enabled:
                return _backward("layer_norm_backward", g, x, mean, rstd, weight, bias, (size,))
            mu = x.mean(dims, True)
            inv = ((x - mu).square().mean(dims, True) + eps).rsqrt()
            return _composed(g, x, weight, bias, mu, inv, dims, lead, weight)

        record_several(
            (y, mean, rstd),
            "NativeLayerNormBackward0",
            rule,
            (input, weight, bias),
            (x, mean, rstd, weight),
            (True, False, False),
        )
    return y, mean, rstd


def _count(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions (Zhang and Sennrich 2019)."""
    lay = input._layout
    k = len(normalized_shape)
    size = _count(normalized_shape)
    if eps is None:
        eps = dt.finfo(lay.dtype if lay.dtype is dt.float64 else dt.float32).eps
    m = lay.numel // size if size else _count(lay.shape[: lay.ndim - k])
    y, rstd = door.call("norm", "rms_norm", (contiguous(lay.dtype, tuple(lay.shape)), _stats(input, (m,))), (input, weight),
                        ints=(size,), floats=(eps,), name="rms_norm")  # fmt: skip
    if wants_grad(input, weight):
        dims, lead = tuple(range(lay.ndim - k, lay.ndim)), tuple(range(lay.ndim - k))

        def rule(g, gr, x, rstd, weight):
            if not mode.enabled:
                return _backward("rms_norm_backward", g, x, None, rstd, weight, None, (size,))
            inv = (x.square().mean(dims, True) + eps).rsqrt()
            return _composed(g, x, weight, None, None, inv, dims, lead, weight)[:2]

        record_several(
            (y, rstd),
            "RmsNormBackward0",
            rule,
            (input, weight),
            (input, rstd, weight),
            (True, False),
        )
    return y


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """(x - mean) / sqrt(var + eps) * weight + bias over all but the channels (Ioffe and Szegedy 2015). In training the
    batch's own statistics are used, and the running ones updated in place."""
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)[0]


def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """batch_norm with the batch's statistics: (result, mean, 1 / sqrt(var + eps)), these empty unless training."""
    y, mean, rstd = _batch_norm(
        input, running_mean, running_var, weight, bias, training, momentum, eps
    )
    return (y, mean, rstd) if training else (y, input.new_empty(0), input.new_empty(0))


def _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps):
    """The result, mean and rstd (None for both unless training)."""
    lay = input._layout
    c = lay.shape[1]
    out = contiguous(lay.dtype, tuple(lay.shape))
    dims = (0, *range(2, lay.ndim))
    wide = (1, c) + (1,) * (lay.ndim - 2)
    if not training:
        y = door.call(
            "norm",
            "batch_norm_eval",
            out,
            (input, weight, bias, running_mean, running_var),
            floats=(eps,),
            name="batch_norm",
        )
        if wants_grad(input, weight, bias):

            def rule(g, x, weight, mean, var):
                if not mode.enabled:
                    return _backward(
                        "batch_norm_eval_backward", g, x, mean, var, weight, bias, (), (eps,)
                    )
                inv = (var + eps).rsqrt().reshape(wide)
                gx = g * inv if weight is None else g * (inv * weight.reshape(wide))
                gw = None if weight is None else (g * (x - mean.reshape(wide)) * inv).sum(dims)
                return gx, gw, None if bias is None else g.sum(dims)

            from ..autograd.graph import record

            record(
                y,
                "NativeBatchNormBackward0",
                rule,
                (input, weight, bias),
                (input, weight, running_mean.detach(), running_var.detach()),
            )
        return y, None, None
    if (
        running_mean is not None
        and type(running_mean._layout) is Layout
        and type(lay) is not Layout
    ):
        raise RuntimeError(
            "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated in place, were "
            "not batched. If you are using vmap, use track_running_stats=False (dlgrad.func.replace_all_batch_norm_modules_ does "
            "that for a module), or evaluation mode"
        )
    stats = _stats(input, (c,))
    outs = (out, stats, stats, _like(running_mean), _like(running_var))
    new = [
        _fresh(per_member(lay, *[t._layout for t in (input, weight, bias) if t is not None]))
        for lay in (out, stats, stats)
    ]
    into = (*new, running_mean, running_var)
    y, mean, rstd, _, _ = door.call(
        "norm",
        "batch_norm",
        outs,
        (input, weight, bias),
        floats=(eps,),
        scalars=(float(momentum),),
        into=into,
    )
    for t in (y, mean, rstd):
        t._storage.version = 0
    if wants_grad(input, weight, bias):

        def train_rule(g, gm, gr, x, mean, rstd, weight):
            if not mode.enabled:
                return _backward("batch_norm_backward", g, x, mean, rstd, weight, bias)
            mu = x.mean(dims, True)
            inv = ((x - mu).square().mean(dims, True) + eps).rsqrt()
            return _composed(
                g,
                x,
                weight,
                bias,
                mu,
                inv,
                dims,
                dims,
                None if weight is None else weight.reshape(wide),
            )

        record_several(
            (y, mean, rstd),
            "NativeBatchNormBackward0",
            train_rule,
            (input, weight, bias),
            (input, mean, rstd, weight),
            (True, False, False),
        )
    return y, mean, rstd


def _fresh(lay):
    from .create import new_tensor

    return new_tensor(lay)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalises (N, C, *) over the channels and positions of each of `num_groups` groups (Wu and He 2018)."""
    lay = input._layout
    n, c = lay.shape[:2]
    stats = _stats(input, (n, num_groups))
    y, mean, rstd = door.call("norm", "group_norm", (contiguous(lay.dtype, tuple(lay.shape)), stats, stats), (input, weight, bias),
                              ints=(num_groups,), floats=(eps,), name="group_norm")  # fmt: skip
    if wants_grad(input, weight, bias):
        wide = (1, c) + (1,) * (lay.ndim - 2)

        def rule(g, gm, gr, x, mean, rstd, weight):
            if not mode.enabled:
                return _backward(
                    "group_norm_backward", g, x, mean, rstd, weight, bias, (num_groups,)
                )
            parts = (n, num_groups, _count(lay.shape[1:]) // num_groups)
            xs = x.reshape(parts)
            mu = xs.mean(2, True)
            inv = ((xs - mu).square().mean(2, True) + eps).rsqrt()
            gy = g if weight is None else g * weight.reshape(wide)
            gx, _, _ = _composed(gy.reshape(parts), xs, None, None, mu, inv, (2,), (), None)
            y = ((xs - mu) * inv).reshape(tuple(lay.shape))
            dims = (0, *range(2, lay.ndim))
            return (
                gx.reshape(tuple(lay.shape)),
                None if weight is None else (g * y).sum(dims),
                None if bias is None else g.sum(dims),
            )

        record_several(
            (y, mean, rstd),
            "NativeGroupNormBackward0",
            rule,
            (input, weight, bias),
            (input, mean, rstd, weight),
            (True, False, False),
        )
    return y


def native_group_norm(input, weight, bias, N, C, HxW, group, eps):  # noqa: N803
    """group_norm with its statistics: (result, mean, 1 / sqrt(var + eps)), these (N, group)."""
    y = group_norm(input, group, weight, bias, eps)
    parts = input.reshape((N, group, C // group * HxW))
    mean = parts.mean(2)
    return y, mean, ((parts - mean.unsqueeze(2)).square().mean(2) + eps).rsqrt()
