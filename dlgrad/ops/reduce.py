"""Reductions: sums, means, extrema, variances, any and all, over any dimensions.

A reduction runs as one row of zig/ops/reduce.zig over the dimensions in `ints`; keepdim is a view of its result.
Sums follow one fixed tree, whatever the number of threads."""

from __future__ import annotations

import math
from collections import namedtuple

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..batched import every_member
from ..layout import alike, contiguous, wrap_dim, wrap_dims
from ..tensor import Tensor, method
from .elementwise import as_number, tie, write_out


def check(name, input):
    """Raises TypeError unless `input` is a Tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")


_ALL = tuple(tuple(range(n)) for n in range(8))


def numpy_names(name, names, dim, keepdim):
    """dim and keepdim, given by NumPy's names `axis` and `keepdims`, which PyTorch takes too."""
    dim, keepdim = names.pop("axis", dim), names.pop("keepdims", keepdim)
    if names:
        raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(names))!r}")
    return dim, keepdim


def dims_of(dim, ndim, name):
    """The reduced dimensions: all for None and for an empty list."""
    if dim is None or (isinstance(dim, (list, tuple)) and not dim):
        return _ALL[ndim] if ndim < len(_ALL) else tuple(range(ndim))
    return wrap_dims(dim, ndim, name)


def kept(shape, dims, keepdim):
    """The result's shape: without the reduced dimensions, or with them as 1."""
    if keepdim:
        return tuple(1 if i in dims else s for i, s in enumerate(shape))
    return tuple(s for i, s in enumerate(shape) if i not in dims)


_plans: dict = {}  # of the reductions with one result: what _prepare found


def run(row, x, dims, keepdim, dtypes, floats=(), name=None):
    """Runs a row of zig/ops/reduce.zig over `dims`; one result, or a tuple for several dtypes."""
    if len(dtypes) > 1:
        return _run_several(row, x, dims, keepdim, dtypes, floats, name)
    key = (row, x._layout, dims, keepdim, dtypes, floats)
    plan = _plans.get(key)
    if plan is None:
        plan = door.remember(
            _plans, key, _prepare(row, x._layout, dims, keepdim, dtypes[0], floats, name)
        )
    return door.run(plan, x)


def _prepare(row, lay, dims, keepdim, dtype, floats, name):
    """The plan of one reduction, with the result's final layout."""
    dims = tuple(d for d in dims if d < lay.ndim)
    out = contiguous(dtype, kept(lay.shape, dims, False))
    # A 0-d tensor reduces over its one (virtual) dimension.
    source, over = (lay, dims) if dims or lay.ndim else (alike(lay, contiguous(lay.dtype, (1,))), (0,))
    # Compiled with the scans, for size: among the reductions its loops would be copied for each dtype and shape.
    family = "scan" if row == "prod_complex" else "reduce"
    plan = door.make_plan(family, row, (out,), (source,), over, floats, name)
    if keepdim:
        plan.layout = alike(plan.layout, contiguous(dtype, kept(lay.shape, dims, True)))
    return plan


def _run_several(row, x, dims, keepdim, dtypes, floats, name):
    key = (row, x._layout, dims, keepdim, dtypes, floats)
    found = _plans.get(key)
    if found is None:
        lay = x._layout
        over = tuple(d for d in dims if d < lay.ndim)
        outs = tuple(contiguous(d, kept(lay.shape, over, False)) for d in dtypes)
        # A 0-d tensor reduces over its one (virtual) dimension.
        source, over = (lay, over) if over or lay.ndim else (alike(lay, contiguous(lay.dtype, (1,))), (0,))
        found = door.Several("reduce", row, outs, (source,), over, floats, name)
        if keepdim:
            found.reshape(kept(lay.shape, dims, True))
        door.remember(_plans, key, found)
    return tuple(found.run((x,)))


def _whole(row, plans, x, dtype=None):
    """A row over all dimensions, the shortest way. plans: those made for it, by layout."""
    lay = x._layout
    plan = plans.get(lay)
    if plan is None:
        dims = dims_of(None, lay.ndim, row)
        plan = _prepare(row, lay, dims, False, dtype or lay.dtype, (), None)
        door.remember(plans, lay, plan)
    return door.run(plan, x)


def spread(g, shape, dims, keepdim):
    """A reduction's gradient (or value) expanded to the input's shape."""
    if not keepdim and len(shape):
        g = g.reshape(kept(shape, dims, True))
    return g.expand(tuple(shape))


def _result_dtype(name, x, dtype):
    if dtype is not None:
        return dtype
    d = x._layout.dtype
    return d if d.is_floating_point or d.is_complex else dt.int64


_whole_sums: dict = {}
_whole_means: dict = {}


def sum(input, dim=None, keepdim=False, *, dtype=None, out=None, **names):
    """The sum over `dim` (all dimensions unless given). Integers and bool sum in int64."""
    if not isinstance(input, Tensor):
        check("sum", input)
    lay = input._layout
    if dim is None and dtype is None and out is None and not keepdim and not names and not lay.dtype.is_complex:
        result = _whole("sum", _whole_sums, input, _result_dtype("sum", input, None))
        if input._requires_grad:
            record(result, "SumBackward0", lambda g: g.expand(tuple(lay.shape)), (input,))
        return result
    if names:
        dim, keepdim = numpy_names("sum", names, dim, keepdim)
    dims = dims_of(dim, lay.ndim, "sum")
    kind = _result_dtype("sum", input, dtype)
    if kind.is_complex is not lay.dtype.is_complex:
        return sum(input.to(kind), dim, keepdim, dtype=dtype, out=out)
    result = run("sum", input, dims, keepdim, (kind,))
    if input._requires_grad:
        shape, d = lay.shape, lay.dtype

        def rule(g):
            g = spread(g, shape, dims, keepdim)
            return g if g._layout.dtype is d else g.to(d)

        record(result, "SumBackward1", rule, (input,))
    return result if out is None else write_out("sum", out, result, exact=dtype is not None)


def nansum(input, dim=None, keepdim=False, *, dtype=None, out=None, **names):
    """The sum over `dim` with nan counted as 0."""
    check("nansum", input)
    if names:
        dim, keepdim = numpy_names("nansum", names, dim, keepdim)
    lay = input._layout
    dims = dims_of(dim, lay.ndim, "nansum")
    result = run("nansum", input, dims, keepdim, (_result_dtype("nansum", input, dtype),))
    record(
        result,
        "NansumBackward0",
        lambda g, x: spread(g, lay.shape, dims, keepdim) * ~x.isnan(),
        (input,),
        (input,),
    )
    return result if out is None else write_out("nansum", out, result)


def _mean_dtype(name, input, dtype):
    d = dtype or input._layout.dtype
    if not (d.is_floating_point or d.is_complex):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be a floating point dtype, got {d.name}; give dtype=float32, say"
        )
    return d


def mean(input, dim=None, keepdim=False, *, dtype=None, out=None, **names):
    """The mean over `dim` (all dimensions unless given); nan of nothing."""
    if not isinstance(input, Tensor):
        check("mean", input)
    lay = input._layout
    if dim is None and dtype is None and out is None and not keepdim and not names and lay.dtype.is_floating_point:
        result = _whole("mean", _whole_means, input)
        if input._requires_grad:
            rule = lambda g: (g / lay.numel if lay.numel else g / 0.0).expand(tuple(lay.shape))  # noqa: E731
            record(result, "MeanBackward0", rule, (input,))
        return result
    if names:
        dim, keepdim = numpy_names("mean", names, dim, keepdim)
    d = _mean_dtype("mean", input, dtype)
    if d.is_complex is not lay.dtype.is_complex:
        return mean(input.to(d), dim, keepdim, dtype=dtype, out=out)
    dims = dims_of(dim, lay.ndim, "mean")
    result = run("mean", input, dims, keepdim, (d,))
    if input._requires_grad:
        n = count(lay.shape, dims)

        def rule(g):
            g = spread(g / n, lay.shape, dims, keepdim)
            return g if g._layout.dtype is lay.dtype else g.to(lay.dtype)

        record(result, "MeanBackward1", rule, (input,))
    return result if out is None else write_out("mean", out, result, exact=dtype is not None)


def count(shape, dims):
    """How many elements each result is made from."""
    n = 1
    for d in dims:
        if d < len(shape):
            n *= shape[d]
    return n


def nanmean(input, dim=None, keepdim=False, *, dtype=None, out=None, **names):
    """The mean of the elements that are not nan."""
    check("nanmean", input)
    if names:
        dim, keepdim = numpy_names("nanmean", names, dim, keepdim)
    _mean_dtype("nanmean", input, dtype)
    n = (~input.isnan()).sum(dim, keepdim) if dim is not None else (~input.isnan()).sum()
    result = nansum(input, dim, keepdim, dtype=dtype) / n
    return result if out is None else write_out("nanmean", out, result)


def _prod_all(x, dims):
    """The dimensions `dims` moved to the end and made one."""
    if not x._layout.ndim:
        return x.reshape((1,))
    rest = [i for i in range(x._layout.ndim) if i not in dims]
    moved = x.permute(tuple(rest + list(dims)))
    lead = tuple(moved._layout.shape[: len(rest)])
    return moved.reshape((*lead, count(x._layout.shape, dims)))


def prod(input, dim=None, keepdim=False, *, dtype=None, out=None, **names):
    """The product over `dim` (all dimensions unless given). The gradient is right at zeros too."""
    check("prod", input)
    if names:
        dim, keepdim = numpy_names("prod", names, dim, keepdim)
    lay = input._layout
    dims = dims_of(dim, lay.ndim, "prod")
    if dtype is not None and (lay.dtype.is_complex or dtype.is_complex) and dtype is not lay.dtype:
        return prod(input.to(dtype), dim, keepdim, dtype=dtype, out=out)
    if lay.dtype.is_complex and not count(lay.shape, dims):
        result = input.new_ones(tuple(kept(lay.shape, dims, keepdim)))
    else:
        row = "prod_complex" if lay.dtype.is_complex else "prod"
        result = run(row, input, dims, keepdim, (_result_dtype("prod", input, dtype),), name="prod")
    if input._requires_grad:

        def rule(g, x, y):
            if lay.ndim == 0:
                return g.clone()
            d = dims
            if lay.numel == 0:
                return x * 0
            if not mode.enabled and not bool(every_member(x == 0).any()):
                return spread(g * y.conj(), lay.shape, dims, keepdim) / x.conj()
            flat = _prod_all(x, d)
            others = _product_of_others(flat)
            rest = [i for i in range(lay.ndim) if i not in d]
            shape = [lay.shape[i] for i in rest] + [lay.shape[i] for i in d]
            order = rest + list(d)
            back = [order.index(i) for i in range(lay.ndim)]
            others = (
                others.reshape(tuple(shape)).permute(tuple(back))
                if lay.ndim
                else others.reshape(())
            )
            return tie(spread(g, lay.shape, dims, keepdim) * others.conj(), x)

        record(result, "ProdBackward0", rule, (input,), (input, None), own=1)
    return result if out is None else write_out("prod", out, result, exact=dtype is not None)


def _product_of_others(x):
    """For each element of the last dimension: the product of all the others (no division: zeros are fine)."""
    from .create import ones
    from .joining import cat
    from .scan import cumprod

    one = ones((*x._layout.shape[:-1], 1), dtype=x._layout.dtype)
    before = cumprod(cat((one, x[..., :-1]), -1), -1)
    after = cumprod(cat((one, x.flip(-1)[..., :-1]), -1), -1).flip(-1)
    return before * after


def _bool_reduction(name, doc):
    def f(input, dim=None, keepdim=False, *, out=None, **names):
        check(name, input)
        if names:
            dim, keepdim = numpy_names(name, names, dim, keepdim)
        if input._layout.dtype.is_complex:
            input = input != 0
        d = dt.uint8 if input._layout.dtype is dt.uint8 else dt.bool
        # An empty tuple of dimensions means none here, and all of them in the other reductions.
        none = isinstance(dim, (tuple, list)) and not dim
        dims = () if none else dims_of(dim, input._layout.ndim, name)
        result = input != 0 if none else run(name, input, dims, keepdim, (dt.bool,))
        if d is dt.uint8:
            result = result.to(d)
        return result if out is None else write_out(name, out, result, exact=out.dtype is not dt.uint8)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


any = _bool_reduction("any", "Whether some element over `dim` is not 0.")
all = _bool_reduction("all", "Whether no element over `dim` is 0.")


def count_nonzero(input, dim=None):
    """How many elements over `dim` are not 0."""
    check("count_nonzero", input)
    if input._layout.dtype.is_complex:
        input = input != 0
    return run(
        "count_nonzero",
        input,
        dims_of(dim, input._layout.ndim, "count_nonzero"),
        False,
        (dt.int64,),
    )


# ---------------------------------------------------------------------- extrema


def _not_empty(name, lay, dims):
    if lay.numel == 0:
        for d in dims:
            if d < lay.ndim and lay.shape[d] == 0:
                raise (IndexError if lay.ndim and len(dims) == 1 else RuntimeError)(
                    f"{name}(): Expected reduction dim {d} to have non-zero size (the input has shape {list(lay.shape)}); "
                    "an extremum of nothing has no identity"
                )


def _extremum(name, row):
    node_name = name.capitalize() + "Backward0"

    def f(input, dim=(), keepdim=False, *, out=None, **names):
        check(name, input)
        if names:
            dim, keepdim = numpy_names(name, names, dim, keepdim)
        lay = input._layout
        dims = dims_of(dim, lay.ndim, name)
        _not_empty(name, lay, dims if lay.ndim else ())
        result = run(row, input, dims, keepdim, (lay.dtype,), name=name)
        if input._requires_grad:
            rule = lambda g, x, y: _shared(g, x, y, dims, keepdim)  # noqa: E731
            record(result, node_name, rule, (input,), (input, None), own=1)
        return result if out is None else write_out(name, out, result)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"The {'largest' if row == 'max' else 'smallest'} element over `dim`; nan wins. Ties share the gradient evenly."
    return f


def _shared(g, x, y, dims, keepdim):
    """The gradient of an extremum: shared evenly among the elements that have it."""
    shape = x._layout.shape
    # Where y is nan, so is some x; else none is.
    hit = (x == spread(y, shape, dims, keepdim)) | (x != x)
    if not shape:
        return hit * g
    n = run("sum", hit, dims, True, (g._layout.dtype,))
    return hit * (spread(g, shape, dims, keepdim) / n)


amax = _extremum("amax", "max")
amin = _extremum("amin", "min")


def _with_indices(name):
    result_type = namedtuple(name, ("values", "indices"))
    result_type.__module__ = "dlgrad.return_types"
    row, node_name = name + "_dim", name.capitalize() + "Backward"

    def f(input, dim=None, keepdim=False, *, out=None, **names):
        check(name, input)
        if names:
            dim, keepdim = numpy_names(name, names, dim, keepdim)
        if isinstance(dim, Tensor):  # max(a, b): the elementwise form
            from . import binary

            result = (binary.maximum if name == "max" else binary.minimum)(input, dim)
            return result if out is None else write_out(name, out, result)
        lay = input._layout
        if dim is None:
            if lay.numel == 0:
                raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                                   "with the 'dim' argument.")  # fmt: skip
            dims = dims_of(None, lay.ndim, name)
            result = run(name, input, dims, False, (lay.dtype,))
            if input._requires_grad:
                rule = lambda g, x, y: _shared(g, x, y, dims, False)  # noqa: E731
                record(result, node_name + "1", rule, (input,), (input, None), own=1)
            return result if out is None else write_out(name, out, result)
        dims = (wrap_dim(dim, lay.ndim, name),)
        _not_empty(name, lay, dims)
        values, indices = run(row, input, dims, keepdim, (lay.dtype, dt.int64), name=name)
        if input._requires_grad:
            rule = lambda g, i: route(g, i, lay.shape, dims[0], keepdim)  # noqa: E731
            record(values, node_name + "0", rule, (input,), (indices,))
        result = result_type(values, indices)
        return result if out is None else write_out(name, out, result, exact=True)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"The {'largest' if name == 'max' else 'smallest'} element; with `dim` also its (first) index: (values, indices)."
    return f, result_type


def route(g, indices, shape, dim, keepdim):
    """The gradient of picking one element along `dim`: g where it was, zeros elsewhere."""
    from .create import zeros

    if not len(shape):
        return g
    if not keepdim:
        g, indices = g.unsqueeze(dim), indices.unsqueeze(dim)
    return zeros(tuple(shape), dtype=g._layout.dtype).scatter(dim, indices, g)


max, max_result = _with_indices("max")
min, min_result = _with_indices("min")


def _arg(name):
    def f(input, dim=None, keepdim=False, *, out=None, **names):
        check(name, input)
        if names:
            dim, keepdim = numpy_names(name, names, dim, keepdim)
        lay = input._layout
        if dim is None:
            if lay.numel == 0:
                raise IndexError(
                    f"{name}(): Expected reduction dim to be specified for input.numel() == 0"
                )
            dims = dims_of(None, lay.ndim, name)
        else:
            dims = (wrap_dim(dim, lay.ndim, name),)
            _not_empty(name, lay, dims)
        result = run(name, input, dims, keepdim, (dt.int64,))
        return result if out is None else write_out(name, out, result, exact=True)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"The index of the (first) {'largest' if name == 'argmax' else 'smallest'} element along `dim`, or in the flattened input."
    return f


argmax, argmin = _arg("argmax"), _arg("argmin")

aminmax_result = namedtuple("aminmax", ("min", "max"))
aminmax_result.__module__ = "dlgrad.return_types"


def aminmax(input, *, dim=None, keepdim=False, out=None):
    """The smallest and the largest element over `dim`: (min, max)."""
    check("aminmax", input)
    if dim is None and input._layout.numel == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity"
        )
    d = () if dim is None else (wrap_dim(dim, input._layout.ndim, "aminmax"),)
    result = aminmax_result(amin(input, d, keepdim), amax(input, d, keepdim))
    if dim is None and keepdim:
        full = (1,) * input._layout.ndim
        result = aminmax_result(result[0].reshape(full), result[1].reshape(full))
    return result if out is None else write_out("aminmax", out, result, exact=True)


# ---------------------------------------------------------------------- moments


def _moment_args(name, args, kwargs):
    """dim, correction, keepdim of var's signatures: (dim, unbiased, keepdim), (unbiased), (dim, correction=, keepdim=)."""
    dim, correction, keepdim = None, kwargs.pop("correction", None), kwargs.pop("keepdim", False)
    unbiased = kwargs.pop("unbiased", None)
    out = kwargs.pop("out", None)
    dim = kwargs.pop("dim", None)
    if kwargs:
        dim, keepdim = numpy_names(name, kwargs, dim, keepdim)
    args = list(args)
    if args and isinstance(args[0], bool):
        unbiased = args.pop(0)
    elif args:
        dim = args.pop(0)
        if args:
            unbiased = args.pop(0)
        if args:
            keepdim = args.pop(0)
    if args:
        raise TypeError(f"{name}(): too many arguments")
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, as_number(correction), keepdim, out


def _complex_moment(name, several, z, dim, correction, keepdim):
    """The variance of complex numbers: those of their real and imaginary parts together."""
    result = var(z.real, dim, correction=correction, keepdim=keepdim) + var(
        z.imag, dim, correction=correction, keepdim=keepdim
    )
    result = result.sqrt() if name.startswith("std") else result
    return (result, mean(z, dim, keepdim)) if several else result


def _moment(name, several):
    def f(input, *args, **kwargs):
        check(name, input)
        dim, correction, keepdim, out = _moment_args(name, args, kwargs)
        lay = input._layout
        if lay.dtype.is_complex:
            results = _complex_moment(name, several, input, dim, correction, keepdim)
            return results if out is None else write_out(name, out, results)
        if not lay.dtype.is_floating_point:
            raise RuntimeError(
                f"{name}(): only support floating point dtypes, got {lay.dtype.name}; convert the input first"
            )
        dims = dims_of(dim, lay.ndim, name)
        results = run(
            name, input, dims, keepdim, (lay.dtype,) * (1 + several), floats=(float(correction),)
        )
        n = count(lay.shape, dims)
        var = results[0] if several else results
        if input._requires_grad:

            def var_rule(g, x):
                centred = x - mean(x, dims if lay.ndim else None, True)
                return (
                    spread(
                        g * (2 / (n - correction) if n > correction else math.nan),
                        lay.shape,
                        dims,
                        keepdim,
                    )
                    * centred
                )

            def std_rule(g, x, y):
                from .ternary import where

                slope = g / (y * (n - correction if n > correction else math.nan))
                slope = where(y == 0, 0.0, slope) if n > correction else slope
                return spread(slope, lay.shape, dims, keepdim) * (x - mean(x, dims if lay.ndim else None, True))

            if name.startswith("var"):
                record(var, "VarBackward0", var_rule, (input,), (input,))
            else:
                record(var, "StdBackward0", std_rule, (input,), (input, None), own=1)
            if several:
                record(
                    results[1],
                    "MeanBackward1",
                    lambda g: spread(g / n, lay.shape, dims, keepdim),
                    (input,),
                )
        return results if out is None else write_out(name, out, results)

    f.__name__ = f.__qualname__ = name
    what = "variance" if name.startswith("var") else "standard deviation"
    f.__doc__ = f"The {what} over `dim` (divided by n - correction, 1 by default){' and the mean' if several else ''}."
    return f


var, std = _moment("var", False), _moment("std", False)
var_mean, std_mean = _moment("var_mean", True), _moment("std_mean", True)


def logsumexp(input, dim, keepdim=False, *, out=None):
    """log of the sum of exp over `dim`, without overflow."""
    check("logsumexp", input)
    if not input._layout.dtype.is_floating_point:
        input = input.to(dt.get_default_dtype())
    lay = input._layout
    dims = dims_of(dim, lay.ndim, "logsumexp")
    result = run("logsumexp", input, dims, keepdim, (lay.dtype,))

    def rule(g, x, y):
        from .ternary import where

        y = spread(where(y.isinf(), 0.0, y), lay.shape, dims, keepdim)
        return spread(g, lay.shape, dims, keepdim) * (x - y).exp()

    if input._requires_grad:
        record(result, "LogsumexpBackward0", rule, (input,), (input, None), own=1)
    return result if out is None else write_out("logsumexp", out, result)


for _f in (sum, nansum, mean, nanmean, prod, any, all, count_nonzero, amax, amin, max, min, argmax, argmin, aminmax, var, std,
           logsumexp):  # fmt: skip
    method(_f)
