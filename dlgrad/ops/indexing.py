"""x[...] reading and writing, as in PyTorch: integers, slices, None, Ellipsis, integer tensors that broadcast,
boolean masks, and any mix of them.

Integers, slices, None and Ellipsis make views. With tensors (or lists) among the indices a new tensor is made:
the views first, then one kernel call for the indexed dimensions."""

from __future__ import annotations

from .. import dtypes as dt
from ..autograd.graph import edge_of, record
from ..autograd.mode import mode
from ..batched import with_room
from ..layout import Layout, Size, broadcast_shapes, layout, remember_view
from ..plan import make_plan, remember, run, write
from ..tensor import Tensor, make_tensor
from .create import _new_filled, fill_quickly, zeros
from .elementwise import expanded, is_scalar
from .gather import index_positions, positions_plan
from .mask import masked_select, nonzero, spread
from .masking import put_masked, without_masks
from .scatter import put_positions
from .slicing import select, slice_
from .ternary import _number_for, expand_raw
from .view import permute, unsqueeze, view
from .view_graph import embed, make_view
from .writing import check_apart, check_inplace, check_writable, replace_history, unrecorded


def _is_array(i):
    return not isinstance(i, Tensor) and hasattr(i, "__array_interface__") and getattr(i, "ndim", 0) > 0


def _as_index(i):
    """A list or array index as a Tensor."""
    from .from_data import tensor

    t = i if isinstance(i, Tensor) else tensor(i if not isinstance(i, range) else list(i))
    if t._layout.numel == 0 and not isinstance(i, Tensor):
        t = t.to(dt.int64)
    d = t._layout.dtype
    if d.is_floating_point:
        raise IndexError(
            f"tensors used as indices must be long, int, byte or bool tensors, got {d.name}"
        )
    return t


def _views(x, key):
    """Applies the part of the key that makes views. Returns the view and {dimension of it: index tensor}."""
    if not isinstance(key, tuple):
        key = (key,)
    consumed = 0
    for i in key:
        if i is None or i is Ellipsis or isinstance(i, bool):
            continue
        if isinstance(i, Tensor) and i._layout.dtype in (dt.bool, dt.uint8):
            consumed += i._layout.ndim
        elif isinstance(i, (list, tuple)) and not isinstance(i, Tensor) and _mask_depth(i):
            consumed += _mask_depth(i)
        elif _is_array(i) and str(i.dtype) == "bool":
            consumed += i.ndim
        else:
            consumed += 1
    ndim = x._layout.ndim
    if consumed > ndim:
        raise IndexError(
            f"too many indices for tensor of dimension {ndim} (shape {list(x.shape)}): got {consumed}"
        )
    if sum(i is Ellipsis for i in key) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    dim = 0
    tensors = {}
    for i in key:
        if i is Ellipsis:
            dim += ndim - consumed
        elif i is None:
            x = unsqueeze(x, dim)
            dim += 1
        elif isinstance(i, bool):
            x = unsqueeze(x, dim)
            t = _as_index([0] if i else [])
            tensors[dim] = t
            dim += 1
        elif isinstance(i, slice):
            start, stop, step = (_bound(v) for v in (i.start, i.stop, i.step))
            if step is not None and step <= 0:
                raise ValueError(f"slice step must be positive, got {step}; use flip() to reverse")
            if not (start is None and stop is None and step is None):
                x = slice_(x, dim, start, stop, 1 if step is None else step)
            dim += 1
        elif isinstance(i, int) or (
            not isinstance(i, (Tensor, list, tuple, range))
            and hasattr(i, "__index__")
            and not _is_array(i)
        ):
            n = x._layout.shape[dim]
            k = i.__index__()
            if not -n <= k < n:
                raise IndexError(f"index {k} is out of bounds for dimension {dim} with size {n}")
            x = select(x, dim, k)
        elif isinstance(i, (Tensor, list, tuple, range)) or _is_array(i):
            t = _as_index(i)
            if t._layout.dtype in (dt.bool, dt.uint8):
                shape = x._layout.shape[dim : dim + t._layout.ndim]
                if t._layout.ndim == 0:
                    x = unsqueeze(x, dim)
                    tensors[dim] = _as_index([0] if bool(t) else [])
                    dim += 1
                    continue
                if tuple(shape) != tuple(t._layout.shape):
                    for j, (a, b) in enumerate(zip(t._layout.shape, shape)):
                        if a != b:
                            raise IndexError(
                                f"The shape of the mask {list(t.shape)} at index {j} does not match the shape of the indexed tensor "
                                f"{list(x.shape)} at index {dim + j}"
                            )
                for p in nonzero(t, as_tuple=True):
                    tensors[dim] = p
                    dim += 1
            elif (
                t._layout.ndim == 0
                and isinstance(i, Tensor)
                and i._layout.dtype is not dt.bool
                and not tensors
                and not _more(key)
            ):
                x = select(x, dim, _checked(i, x, dim))
            else:
                tensors[dim] = t if t._layout.dtype is dt.int64 else t.to(dt.int64)
                dim += 1
        else:
            raise IndexError(
                f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {type(i).__name__})"
            )
    return x, tensors


def _more(key):
    """Whether the key has index tensors of some dimensions (a 0-d one is then one of them, not an integer)."""
    return any(
        (isinstance(i, Tensor) and (i._layout.ndim > 0 or type(i._layout) is not Layout))
        or isinstance(i, (list, range))
        or _is_array(i)
        for i in key
    )


def _checked(i, x, dim):
    n, k = x._layout.shape[dim], int(i.item())
    if not -n <= k < n:
        raise IndexError(f"index {k} is out of bounds for dimension {dim} with size {n}")
    return k


def _mask_depth(i):
    """The number of dimensions of a nested list of bools (0: not one)."""
    depth = 0
    while isinstance(i, (list, tuple)) and i:
        depth += 1
        i = i[0]
    return depth if isinstance(i, bool) else 0


def _bound(v):
    if v is None or type(v) is int:
        return v
    if isinstance(v, float) or not hasattr(v, "__index__"):
        raise TypeError(
            f"slice indices must be integers or None or have an __index__ method, got {type(v).__name__}"
        )
    return v.__index__()


def _arranged(x, tensors):
    """x with the indexed dimensions side by side, their first one, the indices of one shape, and the order used."""
    dims = sorted(tensors)
    try:
        shape = broadcast_shapes(*[tensors[d]._layout.shape for d in dims])
    except RuntimeError:
        shapes = ", ".join(str(list(tensors[d]._layout.shape)) for d in dims)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None
    indices = [expand_raw(tensors[d], shape) for d in dims]
    start, order = dims[0], None
    if dims[-1] - dims[0] + 1 != len(dims):  # not adjacent: they go to the front
        order = tuple(dims + [d for d in range(x._layout.ndim) if d not in dims])
        x, start = permute(x, order), 0
    return x, start, indices, shape, order


def _indices(dims, start):
    return tuple(range(start, start + dims))


def getitem(self, key):
    """self[key]."""
    kind = type(key)
    lay = self._layout
    if kind is int:
        new, step, n = lay.views.get("rows") or _rows(lay)
        i = key + n if key < 0 else key
        if not 0 <= i < n:
            raise IndexError(f"index {key} is out of bounds for dimension 0 with size {n}")
        if not self._requires_grad:
            return make_view(self, new, i * step, "", None)
        return make_view(self, new, i * step, "SelectBackward0", lambda g: embed(g, lay, lambda x: getitem(x, key)))
    if kind is slice:
        parts = _slice_key(key)
    elif kind is tuple:
        parts = []
        for i in key:
            t = type(i)
            if t is slice:
                i = _slice_key(i)
                if i is None:
                    parts = None
                    break
            elif t is Tensor:
                i = i._layout
            elif t is not int and i is not None and i is not Ellipsis:
                parts = None
                break
            parts.append(i)
        if parts is not None:
            parts = tuple(parts)
    elif kind is Tensor:
        parts = key._layout
    else:
        parts = ("new",) if key is None else None
    if parts is not None:
        hit = lay.views.get(parts)
        if hit is not None:
            return hit(self, key)
    return _getitem(self, key, parts)


def _slice_key(s):
    """A slice as something that can be hashed; None where its bounds are no plain numbers."""
    a, b, c = s.start, s.stop, s.step
    if ((a is None or type(a) is int) and (b is None or type(b) is int) and (c is None or type(c) is int)):  # fmt: skip
        return a, b, c, slice
    return None


def _rows(lay):
    """What x[i] needs: the layout of a row, bytes from row to row, and how many there are."""
    if lay.ndim == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert it to a number"
        )
    new = layout(lay.dtype, lay.shape[1:], lay.strides[1:])
    return remember_view(lay, "rows", (new, lay.strides[0] * lay.dtype.itemsize, lay.shape[0]))


_lists: dict = {}  # what stands in a short list of whole numbers -> it as a tensor, for reading alone


def _from_list(values):
    """A list of whole numbers as an index tensor; None for others."""
    if not values or {*map(type, values)} != {int}:
        return None
    if len(values) > 32:
        return _as_index(values)
    key = (*values,)
    found = _lists.get(key)
    return remember(_lists, key, _as_index(values)) if found is None else found


def _without_lists(key):
    """A key with tensors in the place of its lists of whole numbers; None for one that has no list, or other ones."""
    if type(key) is list:
        return _from_list(key)
    if type(key) is not tuple or list not in map(type, key):
        return None
    parts = [_from_list(i) if type(i) is list else i for i in key]
    return None if any([type(i) is list and p is None for i, p in zip(key, parts)]) else (*parts,)


def _getitem(self, key, parts):
    """self[key] in the general way. What this key (`parts`, where that can be hashed) stands for is kept at the layout,
    as a function of tensor and key."""
    if parts is None:
        tensors = _without_lists(key)
        if tensors is not None:
            return self[tensors]
    if type(key) is Tensor and key._layout.dtype is dt.bool and key._layout.shape == self._layout.shape and key._layout.ndim:
        if not self._layout.dtype.is_complex:
            return _take_masked(self, key)
    found = without_masks(self, key)
    if found is not None:
        return getitem(self, found)
    x, tensors = _views(self, key)
    if not tensors:
        if parts is not None and type(self._layout) is Layout and not _has_tensors(key):
            remember_view(self._layout, parts, _view_getter(self, x, _last_name(key)))
        return view(x, x._layout.shape) if x is self else x
    result = take_positions(x, tensors)
    if parts is not None and type(self._layout) is Layout and type(result._layout) is Layout:
        getter = _position_getter(self, x, tensors, key)
        if getter is not None:
            remember_view(self._layout, parts, getter)
    return result


def _has_tensors(key):
    return isinstance(key, Tensor) or (type(key) is tuple and any([isinstance(i, Tensor) for i in key]))


def _last_name(key):
    """The name of the graph node of the last view that a key makes."""
    last = [i for i in (key if type(key) is tuple else (key,)) if i is not Ellipsis and i != slice(None)]
    kind = type(last[-1]) if last else None
    return {int: "SelectBackward0", slice: "SliceBackward0"}.get(kind, "UnsqueezeBackward0" if last else "AliasBackward0")


def _view_getter(self, x, name):
    """x = self[key] as a view made in one step."""
    lay, new, offset = self._layout, x._layout, x._ptr - self._ptr

    def getter(t, key):
        if not t._requires_grad:
            return make_view(t, new, offset, name, None)
        return make_view(t, new, offset, name, lambda g: embed(g, lay, lambda x: getitem(x, key)))

    return getter


def _position_getter(self, x, tensors, key):
    """self[key] for int64 tensors among views as one kernel call; None where it takes more."""
    given = [t for t in (key if type(key) is tuple else (key,)) if isinstance(t, Tensor)]
    dims = sorted(tensors)
    if len(given) != len(dims) or any([tensors[d] is not t for d, t in zip(dims, given)]):
        return None  # a mask, or an int32 index
    x, start, indices, shape, _ = _arranged(x, tensors)
    offset, k = x._ptr - self._ptr, len(given)
    if k > 2 or any([i._ptr != t._ptr for i, t in zip(indices, given)]):
        return None
    plan = positions_plan(x._layout, [i._layout for i in indices], start, tuple(shape))
    x_lay, whole, before = x._layout, x._layout is self._layout and k == 1, tuple(self._layout.shape)

    def getter(t, key):
        recorded = t._requires_grad and mode.enabled and edge_of(t) is not None
        if recorded and not whole:
            y, tensors = _views(t, key)
            return take_positions(y, tensors)
        given = (key,) if type(key) is Tensor else [i for i in key if type(i) is Tensor]
        source = make_tensor(t._ptr + offset, x_lay, t._storage) if offset else t
        result = run(plan, source, *given)
        if recorded:
            record(result, "IndexBackward0", lambda g, i: put_new(before, g, (i,), start), (t,), (*given,))
        return result

    return getter


def _take_masked(self, mask):
    """The elements where a mask of the tensor's own shape holds."""
    result = masked_select(self.detach(), mask)
    if self._requires_grad and mode.enabled:
        shape = tuple(self._layout.shape)
        record(result, "IndexBackward0", lambda g, mask: spread(g, mask, shape), (self,), (mask,))
    return result


def take_positions(x, tensors):
    """x[..., i, j, ...] for index tensors: a new tensor."""
    x, start, indices, shape, _ = _arranged(x, tensors)
    result = index_positions(x, tuple(indices), start, True, tuple(shape))
    if x._requires_grad and mode.enabled:
        before = x._layout.shape

        def rule(g, *indices):
            return put_new(tuple(before), g, indices, start)

        record(result, "IndexBackward0", rule, (x,), tuple(indices))
    return result


def put_new(shape, g, indices, start):
    """Zeros of this shape with g added at the positions: the derivative of reading them, and linear itself."""
    if not mode.enabled and start == 0 and not g._layout.dtype.is_complex:
        out = _new_filled(0, shape, g._layout.dtype)
        if _put_quickly(out, indices, g, False, True):
            out._storage.version = 0
            return out
    out = with_room(zeros(shape, dtype=g._layout.dtype), g, *indices)
    put_positions(out, indices, g, start, True, True, "index_put")
    out._storage.version = 0

    def rule(gg, *indices):
        size = indices[0]._layout.shape
        y = index_positions(gg, indices, start, True, tuple(size))
        record(y, "IndexBackward0", lambda ggg, *i: put_new(shape, ggg, i, start), (gg,), indices)
        return y

    record(out, "IndexPutBackward0", rule, (g,), tuple(indices))
    return out


def _value(self, value, name="__setitem__"):
    from .from_data import tensor

    if isinstance(value, Tensor):
        return value
    if (
        is_scalar(value)
        or isinstance(value, (list, tuple))
        or hasattr(value, "__array_interface__")
    ):
        if isinstance(value, complex) and not self._layout.dtype.is_complex:
            raise TypeError("can't assign a complex to a real tensor")
        d = self._layout.dtype
        if is_scalar(value) and dt.category(d) == 1:
            value = int(value)
        return tensor(value, dtype=d)
    raise TypeError(f"can't assign a {type(value).__name__} to a {self._layout.dtype.name} tensor")


_puts: dict = {}  # (layout, layout of the index, of the value, whether it is added) -> plan


def _set_quickly(self, key, value):
    """self[key] = value, where nobody records it and it is one kernel call. False: nothing was done."""
    kind = type(value)
    number = kind is float or kind is int
    if not number and (kind is not Tensor or (value._requires_grad and mode.enabled and value.requires_grad)):
        return False
    if type(key) is Tensor:
        if not number and value._storage is self._storage:
            return False
        if key._layout.dtype is dt.bool:
            if number or key._layout.ndim != 1 or not 1 < value._layout.ndim == self._layout.ndim or value._layout.shape[0] == 1:
                return False
            key = without_masks(self, key)  # rows
        return key is not None and _put_quickly(self, (key,), value, number)
    if type(key) is tuple and key and type(key[0]) is Tensor:
        return (number or value._storage is not self._storage) and _put_quickly(self, key, value, number)
    if not ({*map(type, key)} if type(key) is tuple else {type(key)}) <= _SIMPLE:
        return False
    x = getitem(self, key)
    if number:
        return fill_quickly(x, value)
    if value._storage is self._storage:
        return value._ptr == x._ptr and value._layout is x._layout  # x[i] += y has already written there
    if value._layout.shape != x._layout.shape:
        return False
    x.copy_(value)
    return True


def _put_quickly(self, indices, value, number, accumulate=False):
    """Writes or adds the value at the positions that int64 tensors of one shape give in the first dimensions."""
    lay = self._layout
    if number:
        value = None if lay.dtype.is_complex else _number_for(lay.dtype, value)
        if value is None or (type(value) is int and not -(1 << 53) < value < 1 << 53):
            return False
        value = _new_filled(value, (), lay.dtype)
    try:
        key = lay, *[i._layout for i in indices], value._layout, accumulate
    except AttributeError:
        return False
    plan = _puts.get(key)
    if plan is None:
        plan = _put_plan(*key[:-1], accumulate=accumulate)
        if plan is None:
            return False
        remember(_puts, key, plan)
    if any([i._storage is self._storage for i in indices]):
        return False
    write(plan, self, *indices, value)
    return True


def _put_plan(lay, *given, accumulate):
    *indices, value = given
    first, k = indices[0], len(indices)
    if any([type(x) is not Layout for x in (lay, *given)]) or 0 in lay.strides or lay.dtype.is_complex or lay.ndim < k:
        return None
    if any([i.dtype is not dt.int64 or i.shape != first.shape for i in indices]) or not first.ndim or value.dtype is not lay.dtype:
        return None
    try:
        wide = expanded(value, Size((*first.shape, *lay.shape[k:])))
    except RuntimeError:
        return None
    return make_plan("index", "index_put", (lay,), (*indices, wide), (k, 0, 1, int(accumulate)), name="__setitem__", into=True)


_SIMPLE = {int, slice, type(None), type(...)}  # what is in keys that make views


def setitem(self, key, value):
    """self[key] = value."""
    tensors = _without_lists(key)
    key = key if tensors is None else tensors
    if unrecorded(self) and _set_quickly(self, key, value):
        return
    if ({*map(type, key)} if type(key) is tuple else {type(key)}) <= _SIMPLE:
        value = _value(self, value)
        x = self if key is Ellipsis else getitem(self, key)
    else:
        if put_masked(self, key, value):
            return
        found = without_masks(self, key)
        if found is not None:
            key = found
            if unrecorded(self) and _set_quickly(self, key, value):
                return
        value = _value(self, value)
        x, tensors = _views(self, key)
        if tensors:
            write_positions(self, key, value, False, "__setitem__", (x, tensors))
            return
    if value is x or (
        value._storage is x._storage and value._ptr == x._ptr and value._layout is x._layout
    ):
        return  # x[i] += y has already written there
    try:
        x.copy_(_trimmed(value, x))
    except RuntimeError as e:
        if "expand" in str(e):
            raise RuntimeError(
                f"__setitem__: shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of shape {list(x.shape)}"
            ) from None
        raise


def _trimmed(value, x):
    """The value without leading dimensions of size 1 that the target does not have."""
    while value._layout.ndim > x._layout.ndim and value._layout.shape[0] == 1:
        value = value.squeeze(0)
    return value


def write_positions(self, key, value, accumulate, name, parsed=None):
    """Writes (or adds) `value` at the positions of a key with index tensors, in place and in the graph."""
    x, tensors = parsed or _views(self, key)
    if not isinstance(value, Tensor):
        value = _value(self, value)
    if not tensors:
        x.add_(value) if accumulate else x.copy_(value)
        return
    if value._layout.dtype is not x._layout.dtype:
        if accumulate or name == "index_put_":
            raise RuntimeError(
                f"{name}: Index put requires the source and destination dtypes match, got {x._layout.dtype.name} for the destination and {value._layout.dtype.name} for the source."
            )
        value = value.to(x._layout.dtype)
    check_inplace(name, self)
    check_writable(name, self)
    check_apart(name, x, value, *tensors.values())
    with_grad = mode.enabled and (self.requires_grad or value.requires_grad)
    x, start, indices, shape, order = _arranged(x, tensors)
    lay = x._layout
    k = len(indices)
    full = (*lay.shape[:start], *shape, *lay.shape[start + k :])
    v = _trimmed_to(value, full, name)
    if not with_grad:
        source = v.clone() if v._storage is self._storage else v  # with gaps, it may lie between
        put_positions(x, tuple(indices), source, start, True, accumulate, name)
        return

    def compute(old):
        new = with_room(old.detach().clone(memory_format="contiguous"), v, *indices)
        put_positions(new, tuple(indices), v, start, True, accumulate, name)
        new._storage.version = 0

        def to_old(g, *indices):
            if accumulate:
                return g
            zero = g.new_zeros(()).expand(full)
            out = with_room(g.clone(), *indices)
            put_positions(out, indices, zero, start, True, False, name)
            return _linked(out, g, lambda gg: to_old(gg, *indices))

        def to_value(g, *indices):
            y = index_positions(g, indices, start, True, tuple(shape))
            record(
                y,
                "IndexBackward0",
                lambda gg, *i: put_new(tuple(lay.shape), gg, i, start),
                (g,),
                indices,
            )
            return y

        return record(new, "IndexPutBackward0", (to_old, to_value), (old, v), tuple(indices))

    # x is a view of self (or self): its new history reaches self through the view.
    if x is self or (x._view is None and edge_of(x) is None and x._storage is not self._storage):
        replace_history(name, self, compute)
    else:
        replace_history(name, x, compute)


def _linked(out, g, rule):
    """The result of a linear map of `g` computed outside of the graph, with its derivative."""
    out = out.detach()
    return record(out, "IndexPutBackward1", rule, (g,))


def _trimmed_to(value, full, name):
    lay = value._layout
    extra = lay.ndim - len(full)
    if extra > 0 and tuple(lay.shape[:extra]) == (1,) * extra:
        value = value.reshape(tuple(lay.shape[extra:]))
    try:
        return value.expand(tuple(full))
    except RuntimeError:
        raise RuntimeError(
            f"{name}: shape mismatch: value tensor of shape {list(lay.shape)} cannot be broadcast to indexing result of shape {list(full)}"
        ) from None


Tensor.__getitem__ = getitem
Tensor.__setitem__ = setitem
