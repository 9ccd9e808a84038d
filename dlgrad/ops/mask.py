"""Elements by a mask: nonzero, masked_select, masked_scatter."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.graph import record
from ..autograd.mode import mode
from ..batched import each_member, with_room
from ..layout import Layout, broadcast_shapes, contiguous
from ..tensor import Tensor, method
from .elementwise import sum_to
from .ternary import expand_raw, where
from .writing import write_out

_counting: dict = {}  # layout -> the plan that counts what is not 0
_finding: dict = {}  # layout, how many are not 0 -> the plan that finds them


def _count_true(mask):
    lay = mask._layout
    plan = _counting.get(lay)
    if plan is None:
        plan = door.remember(_counting, lay, door.make_plan("gather", "count_nonzero", (_COUNT,), (lay,)))
    return door.run(plan, mask).item()


_COUNT = contiguous(dt.int64, ())


def nonzero(input, *, out=None, as_tuple=False):
    """The positions of the elements that are not 0, row-major: (n, ndim), or a tuple of a vector for each dimension."""
    if not isinstance(input, Tensor):
        raise TypeError(f"nonzero(): argument 'input' must be Tensor, not {type(input).__name__}")
    if as_tuple and input._layout.ndim == 0:
        input = input.detach().reshape(1)
    if input._layout.dtype.is_complex:
        input = input != 0
    key = input._layout, _count_true(input)
    plan = _finding.get(key)
    if plan is None:
        lay, n = key
        plan = door.remember(_finding, key, door.make_plan("gather", "nonzero", (contiguous(dt.int64, (n, lay.ndim)),), (lay,)))
    result = door.run(plan, input)
    if as_tuple:
        return tuple(result.unbind(1))
    return result if out is None else write_out("nonzero", out, result, exact=True, apart=(input,))


Tensor.nonzero = nonzero


@method
def argwhere(input):
    """The positions of the elements that are not 0: (n, ndim)."""
    return nonzero(input)


@method
def masked_select(input, mask, *, out=None):
    """The elements where `mask` (bool, broadcast) holds, as a vector."""
    if not isinstance(mask, Tensor) or mask._layout.dtype is not dt.bool:
        raise RuntimeError(
            f"masked_select(): expected BoolTensor for mask, got {mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}"
        )
    shape = input._layout.shape
    if mask._layout.shape != shape:
        shape = broadcast_shapes(shape, mask._layout.shape, op="masked_select")
    if input._layout.dtype.is_complex:
        result = input.expand(shape)[mask.expand(shape)]
        return result if out is None else write_out("masked_select", out, result, exact=True, apart=(input, mask))
    x, m = expand_raw(input, shape), expand_raw(mask, shape)
    result = door.call(
        "gather", "masked_select", contiguous(input._layout.dtype, (_count_true(m),)), (x, m)
    )

    if input._requires_grad:
        before = input._layout.shape
        rule = lambda g, m: sum_to(spread(g, m, tuple(shape)), before)  # noqa: E731
        record(result, "MaskedSelectBackward0", rule, (input,), (m,))
    return (
        result
        if out is None
        else write_out("masked_select", out, result, exact=True, apart=(input, mask))
    )


def spread(g, mask, shape):
    """Zeros of this shape, but the elements of `g`, in order, where `mask` holds: the derivative of masked_select."""
    from .create import zeros

    room = zeros(shape, dtype=g._layout.dtype)
    if mode.enabled or type(g._layout) is not Layout or type(mask._layout) is not Layout or g._layout.dtype.is_complex:
        return masked_scatter(room, mask, g)
    door.call("scatter", "masked_scatter", room._layout, (mask, g.reshape(-1)), into=room)
    room._storage.version = 0
    return room


@method
@each_member
def masked_scatter(input, mask, source):
    """A copy of input with the elements where `mask` holds replaced by those of source, in order."""
    if not isinstance(mask, Tensor) or mask._layout.dtype is not dt.bool:
        raise RuntimeError(
            f"masked_scatter(): expected mask to be a bool tensor, got {mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}"
        )
    if source._layout.dtype is not input._layout.dtype:
        raise RuntimeError(
            f"masked_scatter(): expected self and source to have same dtypes but got {input.dtype} and {source.dtype}"
        )
    shape = broadcast_shapes(input._layout.shape, mask._layout.shape, op="masked_scatter")
    m = expand_raw(mask, shape)
    result = with_room(input.expand(tuple(shape)).detach().clone(memory_format="contiguous"), mask, source)
    need = m._layout.numel
    if source._layout.numel < need or input._layout.dtype.is_complex:
        need = _count_true(m)
    if source._layout.numel < need:
        raise RuntimeError(
            f"masked_scatter(): expected the number of elements of source ({source._layout.numel}) to be >= the number of ones in mask ({need})"
        )
    if input._layout.dtype.is_complex:
        places = nonzero(m.reshape(-1), as_tuple=True)
        flat = input.expand(shape).reshape(-1).index_put(places, source.reshape(-1)[:need])
        return flat.reshape(tuple(shape))
    door.call(
        "scatter", "masked_scatter", result._layout, (m, source.detach().reshape(-1)), into=result
    )
    result._storage.version = 0
    before, n = input._layout.shape, source._layout

    def to_input(g, m):
        return sum_to(where(m, 0.0, g), before)

    def to_source(g, m):
        picked = masked_select(g, m)
        rest = n.numel - picked._layout.numel
        if rest:
            from .joining import cat

            picked = cat((picked, g.new_zeros(rest)))
        return picked.reshape(tuple(n.shape))

    record(result, "MaskedScatterBackward0", (to_input, to_source), (input, source), (m,))
    return result
