"""Pooling over the last one to three dimensions: max, average, adaptive. Inputs are (N, C, *S)."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..layout import contiguous
from .elementwise import tie
from .reduce import mean


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


def _prepared(key, lay, full, row, ints, name, indexed):
    """The plan of a row with values and perhaps indices of the shape `full`."""
    outs = (contiguous(lay.dtype, full), contiguous(dt.int64, full) if indexed else None)
    return door.remember(_plans, key, door.Several("pool", row, outs, (lay,), ints, (), name))


def _max_pool(dims):
    name, node_name = f"max_pool{dims}d", f"MaxPool{dims}DWithIndicesBackward0"

    def pool(input, kernel, stride, padding, dilation, ceil_mode, indexed=True):
        lay = input._layout
        indexed = indexed or input._requires_grad
        key = (lay, kernel, stride, padding, dilation, ceil_mode, indexed)
        found = _plans.get(key)
        if found is None:
            shape = tuple(lay.shape)
            full = (*shape[:-dims], *_out_size(shape[-dims:], kernel, stride, padding, dilation, ceil_mode))
            ints = (dims, *kernel, *stride, *padding, *dilation)
            found = _prepared(key, lay, full, "max_pool", ints, name, indexed)
        out, indices = found.run((input,))
        if input._requires_grad:
            rule = lambda g, x, i: tie(_scatter_max(g, i, tuple(lay.shape), dims), x)  # noqa: E731
            record(out, node_name, rule, (input,), (input, indices))
        return out, indices

    pool.__name__ = pool.__qualname__ = f"max_pool{dims}d"
    pool.__doc__ = (
        "The largest element of each window and its flat index: (values, indices). indexed=False: the indices are None "
        "unless the gradient needs them."
    )
    return pool


def _prepare_avg(key, row, lay, full, ints, name):
    """The plan of a row of averages, and what it is made of."""
    outs = (contiguous(lay.dtype, full),)
    return door.remember(_plans, key, (door.Several("pool", row, outs, (lay,), ints, (), name), full, ints))


def _avg(row, x, full, ints, back, name):
    """A row whose result has the shape `full`; back(g): its derivative, the row the other way."""
    key = (row, x._layout, full, ints)
    found = _plans.get(key)
    if found is None:
        found = _prepare_avg(key, row, x._layout, full, ints, name)
    out = found[0].run((x,))[0]
    if x._requires_grad:
        record(out, "AvgPoolBackward0", lambda g, x: tie(back(g), x), (x,), (x,))
    return out


def _avg_both_ways(row, input, plan, full, ints, name):
    """A row of averages, prepared, whose derivatives are itself and its backward row in turn."""
    out = plan.run((input,))[0]
    if input._requires_grad:
        shape = tuple(input._layout.shape)

        def forward(x):
            return _avg(row, x, full, ints, backward, name)

        def backward(g):
            return _avg(row + "_backward", g, shape, ints, forward, name)

        record(out, "AvgPoolBackward0", lambda g, x: tie(backward(g), x), (input,), (input,))
    return out


def _side_by_side(dims, window):
    """The row, and its ints, of means over windows that lie side by side and fill the planes."""
    if window[-1] > 5:  # so wide that the elements of each are added where they lie
        return "adaptive_avg_pool", (dims,)
    return "avg_pool", (dims, *window, *window, *(0,) * dims, 1, 0)


def _avg_pool(dims):
    name = f"avg_pool{dims}d"

    def pool(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override=None):
        lay = input._layout
        key = (lay, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override, "avg")
        found = _plans.get(key)
        if found is None:
            shape = tuple(lay.shape)
            full = (*shape[:-dims], *_out_size(shape[-dims:], kernel, stride, padding, (1,) * dims, ceil_mode))
            row, ints = "avg_pool", (dims, *kernel, *stride, *padding, int(count_include_pad), divisor_override or 0)
            fill = tuple([o * k for o, k in zip(full[-dims:], kernel)]) == shape[-dims:]
            if kernel == stride and fill and not any(padding) and not divisor_override:
                row, ints = _side_by_side(dims, kernel)
            found = door.remember(_plans, key, (row, *_prepare_avg((*key, row), row, lay, full, ints, name)))
        return _avg_both_ways(found[0], input, *found[1:], name)

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = "The mean of each window."
    return pool


def _adaptive_avg(dims):
    name = f"adaptive_avg_pool{dims}d"
    last, ones = tuple(range(-dims, 0)), (1,) * dims

    def pool(input, output_size):
        if output_size == ones:
            return mean(input, last, True)
        lay = input._layout
        key = (lay, tuple(output_size), "avg")
        found = _plans.get(key)
        if found is None:
            shape = tuple(lay.shape)
            sizes = [s if o is None else o for s, o in zip(shape[-dims:], output_size)]
            if all(o and s % o == 0 for s, o in zip(shape[-dims:], sizes)):  # windows beside each other
                window = [s // o for s, o in zip(shape[-dims:], sizes)]
                row, ints = _side_by_side(dims, window)
            else:
                row, ints = "adaptive_avg_pool", (dims,)
            found = door.remember(_plans, key, (row, *_prepare_avg((*key, row), row, lay, (*shape[:-dims], *sizes), ints, name)))
        return _avg_both_ways(found[0], input, *found[1:], name)

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = "Means over as many windows as the output has places."
    return pool


def _adaptive_max(dims):
    name, node_name = f"adaptive_max_pool{dims}d", f"AdaptiveMaxPool{dims}DBackward0"

    def pool(input, output_size, indexed=True):
        lay = input._layout
        indexed = indexed or input._requires_grad
        key = (lay, tuple(output_size), indexed)
        found = _plans.get(key)
        if found is None:
            shape = tuple(lay.shape)
            full = (*shape[:-dims], *[s if o is None else o for s, o in zip(shape[-dims:], output_size)])
            found = _prepared(key, lay, full, "adaptive_max_pool", (dims,), name, indexed)
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


def fractional_max_pool(input, samples, dims, kernel, out):
    """The largest element of each window and its flat index, for input (N, C, *S) and samples (N, C, dims) of one dtype."""
    input, samples = input.contiguous(), samples.contiguous()
    lay = input._layout
    key = (lay, kernel, out, "fractional")
    found = _plans.get(key)
    if found is None:
        full = (*lay.shape[:-dims], *out)
        outs = (contiguous(lay.dtype, full), contiguous(dt.int64, full))
        lays, ints = (lay, samples._layout), (dims, *kernel)
        found = door.Several("pool", "fractional_max_pool", outs, lays, ints, (), f"fractional_max_pool{dims}d")
        door.remember(_plans, key, found)
    values, indices = found.run((input, samples))
    if input._requires_grad:
        rule = lambda g, x, i: tie(_scatter_max(g, i, tuple(lay.shape), dims), x)  # noqa: E731
        record(values, f"FractionalMaxPool{dims}DBackward0", rule, (input,), (input, indices))
    return values, indices


def max_unpool(input, indices, dims, output_shape):
    """Zeros of `output_shape` with the elements of input at the flat positions `indices`."""
    shape = tuple(output_shape)
    out = door.call("pool", "max_unpool", contiguous(input._layout.dtype, shape), (input, indices), ints=(dims,), name=f"max_unpool{dims}d")
    return record(out, "MaxUnpoolBackward0", lambda g, i: _flat_gather(g, i, dims), (input,), (indices,))
