"""vmap: a function of one member, run on a whole batch at once.

The batch's dimension is hidden from the function (dlgrad/batched.py): inside, tensors have the
shape of one member, and everything that dlgrad can do (every operation, layer and derivative) works
on them. Elementwise operations, reductions, softmax, matrix products, convolutions, pooling and the
row norms run once over the batch; other rows run once for each member, inside one C call.
"""

from __future__ import annotations

import functools

from ..batched import Level, add_batch_dim, hidden_of, remove_batch_dim
from ..layout import wrap_dim
from ..tensor import Tensor
from .tree import broadcast_leaves, flatten, unflatten

__all__ = ["vmap"]


def _name(func):
    return getattr(func, "__name__", None) or repr(func)


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """A function that maps `func` over a dimension of its arguments.

    in_dims: the dimension of each tensor argument to map over (None: the same for all members); one
    int, or a structure like that of the positional arguments. Keyword arguments are the same for
    all members. out_dims: where the batch's dimension goes in the results. randomness: what
    random operations do inside: "error" (raise), "different" (numbers of their own for each
    member), "same". chunk_size: map over at most so many members at a time, which bounds the memory.

    `func` takes and returns tensors in nested tuples, lists and dictionaries; vmaps nest.
    Raises ValueError where in_dims, out_dims or sizes don't fit, RuntimeError inside for what needs
    the values of the members: `.item()`, `if tensor:`, results whose shape depends on values.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args, **kwargs):
        leaves, dims, spec, size = _inputs(func, in_dims, args, kwargs)
        if chunk_size is None or chunk_size >= size:
            return _run(func, leaves, dims, spec, size, out_dims, randomness)
        return _run_chunks(func, leaves, dims, spec, size, out_dims, randomness, chunk_size)

    return mapped


def _inputs(func, in_dims, args, kwargs):
    """(the leaves of args and kwargs, the dimension of each or None, their Spec, the batch's size)."""
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) "
            f"tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
            "function with no inputs. The latter is unsupported."
        )
    leaves, spec = flatten(args)
    wanted = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    dims = broadcast_leaves(wanted, spec)
    if dims is None:
        raise ValueError(
            f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of "
            f"`inputs`. in_dims has structure {flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    dims = [_in_dim(func, in_dims, x, d) for x, d in zip(leaves, dims)]
    named, named_spec = flatten(kwargs)
    leaves, dims = leaves + named, dims + [None] * len(named)
    sizes = [x.shape[d] for x, d in zip(leaves, dims) if d is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(s != sizes[0] for s in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension"
        )
    return leaves, dims, (spec, named_spec), sizes[0]


def _in_dim(func, in_dims, x, d):
    """The dimension to map an argument over, counted from the front."""
    where = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): "
    if d is not None and (not isinstance(d, int) or isinstance(d, bool)):
        raise ValueError(
            f"{where}Got in_dim={d} for an input but in_dim must be either an integer dimension or None."
        )
    if d is None:
        return None
    if not isinstance(x, Tensor):
        raise ValueError(
            f"{where}Got in_dim={d} for an input but the input is of type {type(x)}. We cannot vmap over non-Tensor "
            "arguments, please use None as the respective in_dim"
        )
    if not -x.dim() <= d < x.dim():
        raise ValueError(
            f"{where}Got in_dim={d} for some input, but that input is a Tensor of dimensionality {x.dim()} so expected in_dim "
            f"to satisfy -{x.dim()} <= in_dim < {x.dim()}."
        )
    return d % x.dim()


def _called(func, leaves, specs):
    args, kwargs = specs
    n = args.leaves
    return func(*unflatten(leaves[:n], args), **unflatten(leaves[n:], kwargs))


def _run(func, leaves, dims, specs, size, out_dims, randomness):
    with Level(size, randomness) as level:
        inside = [x if d is None else add_batch_dim(x, d, level) for x, d in zip(leaves, dims)]
        outs, spec = flatten(_called(func, inside, specs))
        places = _out_dims(func, outs, spec, out_dims)
        return unflatten([_outside(func, y, d, level) for y, d in zip(outs, places)], spec)


def _out_dims(func, outs, spec, out_dims):
    for y in outs:
        if not isinstance(y, Tensor):
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(y)}."
            )
    if spec.kind is None and isinstance(out_dims, tuple) and len(out_dims) == 1:
        out_dims = out_dims[0]
    places = broadcast_leaves(out_dims, spec)
    if places is None:
        raise ValueError(
            f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of "
            f"`outputs`. out_dims has structure {flatten(out_dims)[1]} but outputs has structure {spec}."
        )
    return places


def _outside(func, y, d, level):
    if d is None:
        if level.number in hidden_of(y._layout):
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when out_dim is None"
            )
        return y
    return remove_batch_dim(y, wrap_dim(d, y.dim() + 1, "vmap"), level)


def _run_chunks(func, leaves, dims, specs, size, out_dims, randomness, chunk):
    """The same over consecutive parts of the batch, joined."""
    from ..ops.joining import cat

    parts = []
    for start in range(0, size, chunk):
        n = min(chunk, size - start)
        some = [x if d is None else x.narrow(d, start, n) for x, d in zip(leaves, dims)]
        parts.append(flatten(_run(func, some, dims, specs, n, out_dims, randomness)))
    spec = parts[0][1]
    places = _out_dims(func, parts[0][0], spec, out_dims)
    joined = [
        ys[0] if d is None else cat(ys, d) for d, *ys in zip(places, *[outs for outs, _ in parts])
    ]
    return unflatten(joined, spec)
