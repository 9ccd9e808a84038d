"""Normalisations. The kernels (zig/ops/norm.zig) compute result and statistics in one call, and their derivatives in
another; where a graph of the backward pass is wanted, the derivative is written in Tensor operations instead."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record, wants_grad
from ..autograd.mode import mode
from ..batched import per_member
from ..layout import Layout, contiguous

_plans: dict = {}  # what the rows below are to run, by the layouts and parameters of the call


def _prepared(key, *description, given=0):
    """The plan for what `key` stands for, from now on found in _plans."""
    return door.remember(_plans, key, door.Several(*description, given=given))


def _of(t):
    return None if t is None else t._layout


def _stats(lay, shape):
    return contiguous(dt.float64 if lay.dtype is dt.float64 else dt.float32, tuple(shape))


def _fresh_like(lay):
    return None if lay is None else contiguous(lay.dtype, tuple(lay.shape))


def _backward(row, inputs, bias, ints=(), floats=()):
    """gx, gw, gb by a fused row (None where there is no such parameter): of g, x, the statistics and weight. bias: its
    layout, or None; False for a row without."""
    lays = tuple([None if t is None else t._layout for t in inputs])
    key = (row, lays, bias, ints, floats)
    found = _plans.get(key)
    if found is None:
        outs = (_fresh_like(lays[1]), _fresh_like(lays[-1]))
        if bias is not False:
            outs = (*outs, _fresh_like(bias))
        found = _prepared(key, "norm", row, outs, lays, ints, floats)
    return found.run(inputs)


def _composed(g, x, weight, bias, mean, rstd, reduced, parameter_dims, spread_weight):
    """The derivative of (x - mean) rstd weight + bias in Tensor operations. bias: its layout, or None. reduced: the
    dimensions that mean and rstd were taken over; spread_weight: weight as it multiplies x; mean None: rms_norm."""
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
    y, mean, rstd = _layer_norm(
        input, normalized_shape, weight, bias, eps, "native_layer_norm", True
    )
    k = len(normalized_shape)
    rows = (*input._layout.shape[: input._layout.ndim - k], *(1,) * k)
    return y, mean.reshape(rows), rstd.reshape(rows)


def _shape_of(normalized_shape):
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


def _prepare_layer_norm(key, name, input, normalized_shape, weight, bias, eps, statistics):
    """layer_norm's plan, after the checks. PyTorch's errors; statistics: whether they are results too."""
    from ..nn.functional._normalization import _check_normalized_shape

    _check_normalized_shape(name, input, normalized_shape, weight=weight, bias=bias)
    lay = input._layout
    size = _count(normalized_shape)
    m = lay.numel // size if size else _count(lay.shape[: lay.ndim - len(normalized_shape)])
    stats = _stats(lay, (m,)) if statistics else None
    lays = (lay, _of(weight), _of(bias))
    outs = (contiguous(lay.dtype, tuple(lay.shape)), stats, stats)
    return _prepared(key, "norm", "layer_norm", outs, lays, (size,), (eps,), "layer_norm")


def _layer_norm(input, normalized_shape, weight, bias, eps, name="layer_norm", statistics=False):
    """The result, and mean and rstd of its rows (flat; None unless they are needed)."""
    if type(normalized_shape) is not tuple:
        normalized_shape = _shape_of(normalized_shape)
    lay = input._layout
    wanted = wants_grad(input, weight, bias)
    key = (lay, normalized_shape, _of(weight), _of(bias), eps, wanted or statistics)
    found = _plans.get(key)
    if found is None:
        found = _prepare_layer_norm(
            key, name, input, normalized_shape, weight, bias, eps, wanted or statistics
        )
    y, mean, rstd = found.run((input, weight, bias))
    if wanted:
        k = len(normalized_shape)
        bias_layout = _of(bias)

        def rule(g, x, mean, rstd, weight):
            if not mode.enabled:
                size = (_count(normalized_shape),)
                return _backward(
                    "layer_norm_backward", (g, x, mean, rstd, weight), bias_layout, size
                )
            dims, lead = tuple(range(lay.ndim - k, lay.ndim)), tuple(range(lay.ndim - k))
            mu = x.mean(dims, True)
            inv = ((x - mu).square().mean(dims, True) + eps).rsqrt()
            return _composed(g, x, weight, bias_layout, mu, inv, dims, lead, weight)

        record(
            y,
            "NativeLayerNormBackward0",
            rule,
            (input, weight, bias),
            (input, mean, rstd, weight),
        )
    return y, mean, rstd


def _count(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def _prepare_rms_norm(key, input, normalized_shape, weight, eps, statistics):
    from ..nn.functional._normalization import _check_normalized_shape

    _check_normalized_shape("rms_norm", input, normalized_shape, weight=weight)
    lay = input._layout
    if eps is None:
        eps = dt.finfo(lay.dtype).eps
    size = _count(normalized_shape)
    m = lay.numel // size if size else _count(lay.shape[: lay.ndim - len(normalized_shape)])
    outs = (contiguous(lay.dtype, tuple(lay.shape)), _stats(lay, (m,)) if statistics else None)
    return _prepared(
        key, "norm", "rms_norm", outs, (lay, _of(weight)), (size,), (eps,), "rms_norm"
    )


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions (Zhang and Sennrich 2019)."""
    if type(normalized_shape) is not tuple:
        normalized_shape = _shape_of(normalized_shape)
    lay = input._layout
    wanted = wants_grad(input, weight)
    key = ("rms", lay, normalized_shape, _of(weight), eps, wanted)
    found = _plans.get(key)
    if found is None:
        found = _prepare_rms_norm(key, input, normalized_shape, weight, eps, wanted)
    y, rstd = found.run((input, weight))
    if wanted:
        k = len(normalized_shape)

        def rule(g, x, rstd, weight):
            if not mode.enabled:
                size = (_count(normalized_shape),)
                return _backward("rms_norm_backward", (g, x, rstd, weight), False, size)
            dims, lead = tuple(range(lay.ndim - k, lay.ndim)), tuple(range(lay.ndim - k))
            small = dt.finfo(lay.dtype).eps if eps is None else eps
            inv = (x.square().mean(dims, True) + small).rsqrt()
            return _composed(g, x, weight, None, None, inv, dims, lead, weight)[:2]

        record(y, "RmsNormBackward0", rule, (input, weight), (input, rstd, weight))
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
    if not training:
        y = _batch_norm_fixed(input, running_mean, running_var, weight, bias, eps)
        return y, None, None
    lay = input._layout
    inputs = (input, weight, bias)
    running = (running_mean, running_var)
    key = ("batch", lay, _of(weight), _of(bias), _of(running_mean), _of(running_var), eps)
    found = _plans.get(key)
    if found is None and not any([type(t) is not Layout and t is not None for t in key[1:6]]):
        stats = _stats(lay, (lay.shape[1],))
        outs = (contiguous(lay.dtype, tuple(lay.shape)), stats, stats, *key[4:6])
        found = _prepared(key, "norm", "batch_norm", outs, key[1:4], (), (eps,), given=2)
    if found is None:
        y, mean, rstd = _batch_norm_batched(inputs, *running, momentum, eps)
    else:
        y, mean, rstd = found.run(inputs, float(momentum), running)
    if wants_grad(input, weight, bias):
        bias_layout = _of(bias)

        def rule(g, x, mean, rstd, weight):
            if not mode.enabled:
                return _backward("batch_norm_backward", (g, x, mean, rstd, weight), bias_layout)
            dims, wide = _channel_dims(lay)
            mu = x.mean(dims, True)
            inv = ((x - mu).square().mean(dims, True) + eps).rsqrt()
            spread = None if weight is None else weight.reshape(wide)
            return _composed(g, x, weight, bias_layout, mu, inv, dims, dims, spread)

        record(y, "NativeBatchNormBackward0", rule, inputs, (input, mean, rstd, weight))
    return y, mean, rstd


def _channel_dims(lay):
    """All dimensions but the channels', and the shape in which a value a channel broadcasts."""
    return (0, *range(2, lay.ndim)), (1, lay.shape[1]) + (1,) * (lay.ndim - 2)


def _batch_norm_fixed(input, running_mean, running_var, weight, bias, eps):
    """batch_norm by the running statistics."""
    lay = input._layout
    inputs = (input, weight, bias, running_mean, running_var)
    key = ("fixed", lay, _of(weight), _of(bias), running_mean._layout, running_var._layout, eps)
    found = _plans.get(key)
    if found is None:
        outs = (contiguous(lay.dtype, tuple(lay.shape)),)
        found = _prepared(
            key, "norm", "batch_norm_eval", outs, key[1:6], (), (eps,), "batch_norm"
        )
    y = found.run(inputs)[0]
    if wants_grad(input, weight, bias):
        bias_layout = _of(bias)

        def rule(g, x, weight, mean, var):
            if not mode.enabled:
                inputs = (g, x, mean, var, weight)
                return _backward("batch_norm_eval_backward", inputs, bias_layout, (), (eps,))
            dims, wide = _channel_dims(lay)
            inv = (var + eps).rsqrt().reshape(wide)
            gx = g * inv if weight is None else g * (inv * weight.reshape(wide))
            gw = None if weight is None else (g * (x - mean.reshape(wide)) * inv).sum(dims)
            return gx, gw, None if bias_layout is None else g.sum(dims)

        saved = (input, weight, running_mean.detach(), running_var.detach())
        record(y, "NativeBatchNormBackward0", rule, inputs[:3], saved)
    return y


def _batch_norm_batched(inputs, running_mean, running_var, momentum, eps):
    """The result, mean and rstd inside of vmap."""
    lay = inputs[0]._layout
    batched = type(lay) is not Layout
    if batched and running_mean is not None and type(running_mean._layout) is Layout:
        raise RuntimeError(
            "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated in place, were "
            "not batched. If you are using vmap, use track_running_stats=False (dlgrad.func.replace_all_batch_norm_modules_ does "
            "that for a module), or evaluation mode"
        )
    out, stats = contiguous(lay.dtype, tuple(lay.shape)), _stats(lay, (lay.shape[1],))
    outs = (out, stats, stats, _of(running_mean), _of(running_var))
    new = [
        _fresh(per_member(lay, *[t._layout for t in inputs if t is not None]))
        for lay in (out, stats, stats)
    ]
    into = (*new, running_mean, running_var)
    door.call(
        "norm",
        "batch_norm",
        outs,
        inputs,
        floats=(eps,),
        scalars=(float(momentum),),
        into=into,
    )
    for t in new:
        t._storage.version = 0
    return new


def _fresh(lay):
    from .create import new_tensor

    return new_tensor(lay)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalises (N, C, *) over the channels and positions of each of `num_groups` groups (Wu and He 2018)."""
    lay = input._layout
    wanted = wants_grad(input, weight, bias)
    key = ("group", lay, num_groups, _of(weight), _of(bias), eps)
    found = _plans.get(key)
    if found is None:
        stats = _stats(lay, (lay.shape[0], num_groups))
        outs = (contiguous(lay.dtype, tuple(lay.shape)), stats, stats)
        lays = (lay, _of(weight), _of(bias))
        found = _prepared(
            key, "norm", "group_norm", outs, lays, (num_groups,), (eps,), "group_norm"
        )
    y, mean, rstd = found.run((input, weight, bias))
    if wanted:
        bias_layout = _of(bias)

        def rule(g, x, mean, rstd, weight):
            if not mode.enabled:
                return _backward(
                    "group_norm_backward", (g, x, mean, rstd, weight), bias_layout, (num_groups,)
                )
            wide = (1, lay.shape[1]) + (1,) * (lay.ndim - 2)
            parts = (lay.shape[0], num_groups, _count(lay.shape[1:]) // num_groups)
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
                None if bias_layout is None else g.sum(dims),
            )

        record(
            y,
            "NativeGroupNormBackward0",
            rule,
            (input, weight, bias),
            (input, mean, rstd, weight),
        )
    return y


def native_group_norm(input, weight, bias, N, C, HxW, group, eps):  # noqa: N803
    """group_norm with its statistics: (result, mean, 1 / sqrt(var + eps)), these (N, group)."""
    y = group_norm(input, group, weight, bias, eps)
    parts = input.reshape((N, group, C // group * HxW))
    mean = parts.mean(2)
    return y, mean, ((parts - mean.unsqueeze(2)).square().mean(2) + eps).rsqrt()
