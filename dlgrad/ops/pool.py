"""Pooling over the last one to three dimensions: max, average, adaptive. Inputs are (N, C, *S)."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import contiguous
from .elementwise import tie


def _out_size(size, kernel, stride, padding, dilation, ceil_mode):
    out = []
    for s, k, st, p, d in zip(size, kernel, stride, padding, dilation):
        span = s + 2 * p - d * (k - 1) - 1
        n = (-(-span // st) if ceil_mode else span // st) + 1
        if ceil_mode and (n - 1) * st >= s + p:  # the last window would start behind the input
            n -= 1
        out.append(n)
    return tuple(out)


def _flat_gather(t, indices, dims):
    """The elements of t (N, C, *S) at flat positions of each plane: indices (N, C, *So)."""
    lead = tuple(t._layout.shape[:-dims])
    flat = t.reshape((*lead, -1)).gather(-1, indices.reshape((*lead, -1)))
    return flat.reshape(tuple(indices._layout.shape))


def _scatter_max(g, indices, shape, dims):
    """The gradient of picking `indices`."""
    out = door.call("pool", "max_pool_backward", contiguous(g._layout.dtype, shape), (g, indices), ints=(dims,))
    return record(out, "MaxPoolBackwardBackward0", lambda gg, i: _flat_gather(gg, i, dims), (g,), (indices,))


_plans: dict = {}


def _prepared(key, lay, full, row, ints, name):
    """The plan of a row with values and indices of the shape `full`."""
    outs = (contiguous(lay.dtype, full), contiguous(dt.int64, full))
    return door.remember(_plans, key, door.Several("pool", row, outs, (lay,), ints, (), name))


def _max_pool(dims):
    name, node_name = f"max_pool{dims}d", f"MaxPool{dims}DWithIndicesBackward0"

    def pool(input, kernel, stride, padding, dilation, ceil_mode):
        lay = input._layout
        key = (lay, kernel, stride, padding, dilation, ceil_mode)
        found = _plans.get(key)
        if found is None:
            shape = tuple(lay.shape)
            full = (*shape[:-dims], *_out_size(shape[-dims:], kernel, stride, padding, dilation, ceil_mode))
            ints = (dims, *kernel, *stride, *padding, *dilation)
            found = _prepared(key, lay, full, "max_pool", ints, name)
        out, indices = found.run((input,))
        if input._requires_grad:
            rule = lambda g, x, i: tie(_scatter_max(g, i, tuple(lay.shape), dims), x)  # noqa: E731
            record(out, node_name, rule, (input,), (input, indices))
        return out, indices

    pool.__name__ = pool.__qualname__ = f"max_pool{dims}d"
    pool.__doc__ = "The largest element of each window and its flat index: (values, indices)."
    return pool


def _avg(row, x, full, ints, back, name):
    key = (row, x._layout, full, ints)
    found = _plans.get(key)
    if found is None:
        lay = x._layout
        outs = (contiguous(lay.dtype, full),)
        found = door.remember(_plans, key, door.Several("pool", row, outs, (lay,), ints, (), name))
    out = found.run((x,))[0]
    if x._requires_grad:
        record(out, "AvgPoolBackward0", lambda g, x: tie(back(g), x), (x,), (x,))
    return out


def _avg_pool(dims):
    def pool(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override=None):
        shape = tuple(input._layout.shape)
        full = (*shape[:-dims], *_out_size(shape[-dims:], kernel, stride, padding, (1,) * dims, ceil_mode))
        ints = (dims, *kernel, *stride, *padding, int(count_include_pad), divisor_override or 0)

        def forward(x):
            return _avg("avg_pool", x, full, ints, backward, f"avg_pool{dims}d")

        def backward(g):
            return _avg("avg_pool_backward", g, shape, ints, forward, f"avg_pool{dims}d")

        return forward(input)

    pool.__name__ = pool.__qualname__ = f"avg_pool{dims}d"
    pool.__doc__ = "The mean of each window."
    return pool


def _adaptive_avg(dims):
    def pool(input, output_size):
        shape = tuple(input._layout.shape)
        full = (*shape[:-dims], *[s if o is None else o for s, o in zip(shape[-dims:], output_size)])

        def forward(x):
            return _avg("adaptive_avg_pool", x, full, (dims,), backward, f"adaptive_avg_pool{dims}d")

        def backward(g):
            return _avg("adaptive_avg_pool_backward", g, shape, (dims,), forward, f"adaptive_avg_pool{dims}d")

        return forward(input)

    pool.__name__ = pool.__qualname__ = f"adaptive_avg_pool{dims}d"
    pool.__doc__ = "Means over as many windows as the output has places."
    return pool


def _adaptive_max(dims):
    name, node_name = f"adaptive_max_pool{dims}d", f"AdaptiveMaxPool{dims}DBackward0"

    def pool(input, output_size):
        lay = input._layout
        key = (lay, tuple(output_size))
        found = _plans.get(key)
        if found is None:
            shape = tuple(lay.shape)
            full = (*shape[:-dims], *[s if o is None else o for s, o in zip(shape[-dims:], output_size)])
            found = _prepared(key, lay, full, "adaptive_max_pool", (dims,), name)
        out, indices = found.run((input,))
        if input._requires_grad:
            rule = lambda g, x, i: tie(_scatter_max(g, i, tuple(lay.shape), dims), x)  # noqa: E731
            record(out, node_name, rule, (input,), (input, indices))
        return out, indices

    pool.__name__ = pool.__qualname__ = f"adaptive_max_pool{dims}d"
    pool.__doc__ = "Maxima over as many windows as the output has places, and their flat indices."
    return pool


max_pool1d, max_pool2d, max_pool3d = (_max_pool(n) for n in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_avg_pool(n) for n in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (_adaptive_avg(n) for n in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive_max(n) for n in (1, 2, 3))


def max_unpool(input, indices, dims, output_shape):
    """Zeros of `output_shape` with the elements of input at the flat positions `indices`."""
    shape = tuple(output_shape)
    out = door.call("pool", "max_unpool", contiguous(input._layout.dtype, shape), (input, indices), ints=(dims,), name=f"max_unpool{dims}d")
    return record(out, "MaxUnpoolBackward0", lambda g, i: _flat_gather(g, i, dims), (input,), (indices,))
