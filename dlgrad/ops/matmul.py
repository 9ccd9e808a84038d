"""Products of matrices and vectors. All of them run as a row of zig/ops/matmul.zig, which reads transposed
inputs through their strides."""

from __future__ import annotations

from .. import dtypes as dt
from .. import plan as door
from ..autograd.engine import adding
from ..autograd.graph import edge_of, record, record_by
from ..autograd.mode import mode
from ..batched import summed_along
from ..layout import Layout, alike, broadcast_shapes, contiguous, layout
from ..tensor import Tensor, make_tensor, method
from . import complex_numbers
from .elementwise import expanded, result_type, sum_to, write_out


def _tensors(name, *tensors):
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): expected Tensors, got {type(t).__name__}")
    d = tensors[0]._layout.dtype
    for t in tensors[1:]:
        if t._layout.dtype is not d:
            raise RuntimeError(
                f"{name}(): expected m1 and m2 to have the same dtype, but got: {d.name} != {t._layout.dtype.name}; convert one with .to()"
            )
    return d


_plans: dict = {}  # (layouts of a and b) -> the plan of their product, `layout` that of the result
_run = door.run


def _plan(la, lb, shape, name, as_a=None, as_b=None):
    """The plan of a @ b with a result of `shape`; as_a, as_b: the layouts that the kernel sees."""
    as_a, as_b = as_a or la, as_b or lb
    out = contiguous(la.dtype, (*as_a.shape[:-1], as_b.shape[-1]))
    row = "complex_matmul" if la.dtype.is_complex else "matmul"
    plan = door.make_plan("matmul", row, (out,), (as_a, as_b), name=name)
    if out.shape != shape:
        plan.layout = contiguous(la.dtype, shape)
    plan.extra = (la, lb, name)
    return door.remember(_plans, (la, lb), plan)


def _product(a, b, name):
    """a (B..., M, K) @ b (B..., K, N), at least 2-d both; batches broadcast. No graph."""
    la, lb = a._layout, b._layout
    plan = _plans.get((la, lb))
    if plan is not None:
        return _run(plan, a, b)
    if la.dtype.is_complex and not (type(la) is type(lb) is Layout):
        return complex_numbers.product(a, b, lambda x, y: _product(x, y, name))
    (m, k), (k2, n) = la.shape[-2:], lb.shape[-2:]
    if k != k2:
        raise RuntimeError(
            f"{name}: mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {k2}x{n}): the inner sizes {k} and {k2} must be "
            f"equal (shapes {list(la.shape)} and {list(lb.shape)})"
        )
    if la.ndim == 2 and lb.ndim == 2:
        return _run(_plan(la, lb, (m, n), name), a, b)
    batch = broadcast_shapes(la.shape[:-2], lb.shape[:-2], op=name)
    plain = type(la) is Layout and type(lb) is Layout
    if lb.ndim == 2 and la.contiguous:
        # One product of all rows.
        rows = contiguous(la.dtype, (la.numel // k if k else _count(la.shape[:-1]), k))
        if plain:
            return _run(_plan(la, lb, (*la.shape[:-1], n), name, rows), a, b)
        rows = make_tensor(a._ptr, alike(la, rows), a._storage)
        out = _product(rows, b, name)
        return make_tensor(
            out._ptr, alike(out._layout, contiguous(la.dtype, (*la.shape[:-1], n))), out._storage
        )
    wide_a, wide_b = expanded(la, (*batch, m, k)), expanded(lb, (*batch, k, n))
    if plain:
        return _run(_plan(la, lb, (*batch, m, n), name, wide_a, wide_b), a, b)
    a = make_tensor(a._ptr, wide_a, a._storage)
    b = make_tensor(b._ptr, wide_b, b._storage)
    return door.call("matmul", "matmul", contiguous(la.dtype, (*batch, m, n)), (a, b), name=name)


def _as_matrix(lay):
    """The layout as a matrix of its last dimension's rows, or None where it is none."""
    if type(lay) is not Layout or lay.dtype.is_complex or lay.ndim < 2:
        return None
    if lay.ndim == 2:
        return lay
    return contiguous(lay.dtype, (_count(lay.shape[:-1]), lay.shape[-1])) if lay.contiguous else None


def _turned(lay):
    return layout(lay.dtype, tuple(lay.shape[::-1]), lay.strides[::-1])


def _by_transposed_anew(a, b):
    """a (..., n) @ the transposed b (k, n)."""
    la, lb = a._layout, b._layout
    rows, turned = _as_matrix(la), None if lb.ndim != 2 else _as_matrix(lb)
    if rows is None or turned is None:
        return _matrices(a, _adjoint(b), "mm()")
    out = contiguous(la.dtype, (rows.shape[0], lb.shape[0]))
    plan = door.make_plan("matmul", "matmul", (out,), (rows, _turned(lb)), name="mm()")
    plan.layout = contiguous(la.dtype, (*la.shape[:-1], lb.shape[0]))
    door.learn(_by_transposed, (la, lb), plan)
    return record_by(_by_transposed_recipe, plan, door.run(plan, a, b), (a, b))


def _by_transposed_recipe(plan, choice):
    return "MmBackward0", (lambda g, a, b: matmul(g, b), lambda g, a, b: _transposed_by(g, a)), (0, 1), -1


def _transposed_by_anew(a, b):
    """The transposed a (..., n) @ b (..., k): (n, k)."""
    la, lb = a._layout, b._layout
    rows, columns = _as_matrix(la), _as_matrix(lb)
    if rows is None or columns is None:
        return _matrices(_adjoint(_flat(a)), _flat(b), "mm()")
    out = contiguous(la.dtype, (rows.shape[1], columns.shape[1]))
    plan = door.make_plan("matmul", "matmul", (out,), (_turned(rows), columns), name="mm()")
    door.learn(_transposed_by, (la, lb), plan)
    return record_by(_transposed_by_recipe, plan, door.run(plan, a, b), (a, b))


def _transposed_by_recipe(plan, choice):
    return "MmBackward0", (lambda g, a, b: _by_transposed(b, g), lambda g, a, b: matmul(a, g)), (0, 1), -1


def _sum_of_rows_anew(g):
    """The sum of g (..., n) over all but the last dimension."""
    lay = g._layout
    rows = _as_matrix(lay)
    if rows is None:
        return sum_to(g, lay.shape[-1:])
    plan = door.make_plan("reduce", "sum", (contiguous(lay.dtype, lay.shape[-1:]),), (rows,), (0,), name="linear")
    plan.extra = tuple(lay.shape)
    door.learn(_sum_of_rows, (lay,), plan)
    return record_by(_sum_of_rows_recipe, plan, door.run(plan, g), (g,))


def _sum_of_rows_recipe(plan, choice):
    shape = plan.extra
    return "SumBackward1", (lambda g: g.expand(shape),), (), -1


_by_transposed = door.quick(_by_transposed_anew, _by_transposed_recipe, 2)
_transposed_by = door.quick(_transposed_by_anew, _transposed_by_recipe, 2)
_sum_of_rows = door.quick(_sum_of_rows_anew, _sum_of_rows_recipe, 1)


def _adjoint(t):
    """The transposed matrix, for complex numbers also conjugated."""
    return complex_numbers.conj(t.mT) if t._layout.dtype.is_complex else t.mT


def _count(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def _flat(t):
    """`t` as a matrix of its last dimension's rows (also where it has no elements)."""
    shape = t._layout.shape
    return t.reshape((_count(shape[:-1]), shape[-1]))


def _matrices(a, b, name):
    """The product of two tensors of at least 2 dimensions, in the graph."""
    out = _product(a, b, name)
    if (a._requires_grad or b._requires_grad) and mode.enabled:
        _record_matrices(out, a, b, name)
    return out


def _mm_left(g, a, b):
    return _by_transposed(g, b)


def _mm_right(g, a, b):
    return _transposed_by(a, g)


_mm_rules = (_mm_left, _mm_right)


def _mv_left(g, a, v):
    return g.unsqueeze(1) * v


def _mv_right(g, a, v):
    return matmul(a.mT, g)


_mv_rules = (_mv_left, _mv_right)
_vm_rules = (lambda g, v, b: matmul(b, g), lambda g, v, b: v.unsqueeze(1) * g)


def _rules_of(la, lb, name):
    """The node and the derivatives of a product of these layouts."""
    if lb.ndim == 1:
        return "MvBackward0", _mv_rules
    if la.ndim == 1:
        return "SqueezeBackward4", _vm_rules
    if lb.ndim == 2 and _as_matrix(la) is not None and _as_matrix(lb) is not None:
        return "MmBackward0", _mm_rules
    sa, sb = la.shape, lb.shape

    def left(g, a, b):
        return sum_to(_matrices(g, _adjoint(b), name), sa)

    def right(g, a, b):
        if len(sb) == 2 and a._layout.ndim > 2:  # one product, not a batch of them to sum
            return _matrices(_adjoint(_flat(a)), _flat(g), name)
        return sum_to(_matrices(_adjoint(a), g, name), sb)

    return "MmBackward0" if la.ndim == lb.ndim == 2 else "BmmBackward0", (left, right)


def _record_matrices(out, a, b, name):
    lb = b._layout
    node, rules = _rules_of(a._layout, lb, name)
    if type(out._layout) is not Layout and b._requires_grad and type(lb) is Layout and lb.ndim == 2:
        rules = (rules[0], summed_along(edge_of(b), rules[1]))
    return record(out, node, rules, (a, b), (a, b))


@method
def matmul(input, other, *, out=None):
    """The matrix product, with PyTorch's rules: vectors by dot product or as a row or column, matrices,
    batches that broadcast. Raises RuntimeError naming both shapes where they don't fit."""
    result = _matmul(input, other)
    if result is NotImplemented:
        bad = other if isinstance(input, Tensor) else input
        raise TypeError(f"matmul(): argument 'other' must be Tensor, not {type(bad).__name__}")
    return result if out is None else write_out("matmul", out, result)


def _matmul_again(input, other):
    """NotImplemented where one is no Tensor."""
    if not isinstance(other, Tensor) or not isinstance(input, Tensor):
        return NotImplemented
    lays = la, lb = input._layout, other._layout
    plan = _plans.get(lays)
    if plan is None:
        result = _matmul_anew(input, other)
        plan = _plans.get(lays)
    else:
        result = _run(plan, input, other)
        if (input._requires_grad or other._requires_grad) and mode.enabled:
            _record_matrices(result, input, other, "matmul()")
    if type(plan) is door.Plan and type(la) is type(lb) is Layout:
        door.learn(_matmul, lays, plan)
    return result


def _matmul_recipe(plan, choice):
    node, rules = _rules_of(*plan.extra)
    return node, rules, (0, 1), -1


_matmul = door.quick(_matmul_again, _matmul_recipe, 2)


def _matmul_anew(input, other):
    _tensors("matmul", input, other)
    la, lb = input._layout, other._layout
    na, nb = la.ndim, lb.ndim
    if na == 0 or nb == 0:
        raise RuntimeError(
            f"matmul(): both arguments need to be at least 1D, but they are {na}D and {nb}D"
        )
    plain = type(la) is Layout and type(lb) is Layout and not la.dtype.is_complex
    if na == 1 and nb == 1:
        result = dot(input, other)
    elif na == 1:
        if nb == 2 and plain and la.shape[0] == lb.shape[0]:
            row = layout(la.dtype, (1, *la.shape), (1, *la.strides))
            _plan(la, lb, (lb.shape[1],), "matmul()", row)
            return _matmul(input, other)
        result = _matrices(input.unsqueeze(0), other, "matmul()").squeeze(-2)
    elif nb == 1:
        if la.shape[-1] != lb.shape[0]:
            raise RuntimeError(
                f"matmul(): size mismatch, got input {list(input.shape)}, vector {list(other.shape)}: the inner sizes must be equal"
            )
        if na == 2 and plain:
            column = layout(lb.dtype, (*lb.shape, 1), (*lb.strides, 1))
            _plan(la, lb, (la.shape[0],), "matmul()", None, column)
            return _matmul(input, other)
        if na == 2 and type(lb) is not Layout:  # of a batch: one product with all vectors as rows
            result = _matrices(other.unsqueeze(0), input.mT, "matmul()").squeeze(0)
        else:
            result = _matrices(input, other.unsqueeze(1), "matmul()").squeeze(-1)
    else:
        result = _matrices(input, other, "matmul()")
    return result


def _layouts(a, b):
    """The key of `_plans`."""
    return getattr(a, "_layout", None), getattr(b, "_layout", None)


def _need(name, t, ndim, what):
    if t._layout.ndim != ndim:
        raise RuntimeError(
            f"{name}(): {what} must be {ndim}-D, got {t._layout.ndim}-D (shape {list(t.shape)})"
        )


@method
def mm(input, mat2, *, out=None):
    """The product of two matrices."""
    if (lays := _layouts(input, mat2)) not in _plans or lays[0].ndim != 2 or lays[1].ndim != 2:
        _tensors("mm", input, mat2)
        _need("mm", input, 2, "self")
        _need("mm", mat2, 2, "mat2")
    result = _matrices(input, mat2, "mm()")
    return result if out is None else write_out("mm", out, result)


@method
def bmm(input, mat2, *, out=None):
    """The products of two batches of matrices (no broadcasting)."""
    if (lays := _layouts(input, mat2)) not in _plans or lays[0].ndim != 3 or lays[1].ndim != 3:
        _tensors("bmm", input, mat2)
        _need("bmm", input, 3, "batch1")
        _need("bmm", mat2, 3, "batch2")
    if input._layout.shape[0] != mat2._layout.shape[0]:
        raise RuntimeError(
            f"bmm(): Expected size for first two dimensions of batch2 tensor to be: [{input.shape[0]}, {input.shape[2]}] but got: "
            f"[{mat2.shape[0]}, {mat2.shape[1]}]"
        )
    result = _matrices(input, mat2, "bmm()")
    return result if out is None else write_out("bmm", out, result)


@method
def mv(input, vec, *, out=None):
    """A matrix times a vector."""
    if (lays := _layouts(input, vec)) not in _plans or lays[0].ndim != 2 or lays[1].ndim != 1:
        _tensors("mv", input, vec)
        _need("mv", input, 2, "input")
        _need("mv", vec, 1, "vec")
    result = matmul(input, vec)
    return result if out is None else write_out("mv", out, result)


_dots: dict = {}
_dot_rules = (lambda g, a, b: g * b, lambda g, a, b: g * a)


@method
def dot(input, tensor, *, out=None):
    """The sum of the products of two vectors."""
    result = _dot(input, tensor)
    return result if out is None else write_out("dot", out, result)


def _dot_again(input, tensor):
    _tensors("dot", input, tensor)
    if input._layout.ndim != 1 or tensor._layout.ndim != 1:
        raise RuntimeError(
            f"dot(): 1D tensors expected, but got {input._layout.ndim}D and {tensor._layout.ndim}D tensors"
        )
    if input._layout.shape != tensor._layout.shape:
        raise RuntimeError(
            f"dot(): inconsistent tensor size, expected tensor {list(input.shape)} and src {list(tensor.shape)} to have the same number of elements"
        )
    if input._layout.dtype.is_complex:
        return (input * tensor).sum()
    layouts = (input._layout, tensor._layout)
    plan = _dots.get(layouts)
    if plan is None:
        plan = door.make_plan("matmul", "dot", (contiguous(layouts[0].dtype, ()),), layouts)
        door.remember(_dots, layouts, plan)
    if type(plan) is door.Plan:
        door.learn(_dot, layouts, plan)
    return record_by(_dot_recipe, plan, _run(plan, input, tensor), (input, tensor))


def _dot_recipe(plan, choice):
    return "DotBackward0", _dot_rules, (0, 1), -1


_dot = door.quick(_dot_again, _dot_recipe, 2)


@method
def vdot(input, other, *, out=None):
    """The sum of the products of two vectors, the first one conjugated."""
    _tensors("vdot", input, other)
    return dot(complex_numbers.conj(input), other, out=out)


def inner(input, other, *, out=None):
    """The sums of products over the last dimensions."""
    _tensors("inner", input, other)
    if input._layout.ndim == 0 or other._layout.ndim == 0:
        result = input * other
    else:
        if input._layout.shape[-1] != other._layout.shape[-1]:
            raise RuntimeError(
                f"inner(): the last dimension must match on both input tensors but got shapes {list(input.shape)} and {list(other.shape)}"
            )
        result = tensordot(input, other, ([-1], [-1]))
    return result if out is None else write_out("inner", out, result)


Tensor.inner = inner


@method
def outer(input, vec2, *, out=None):
    """The products of all pairs of elements of two vectors."""
    for t, n in ((input, "self"), (vec2, "vec2")):
        if not isinstance(t, Tensor):
            raise TypeError(f"outer(): expected Tensors, got {type(t).__name__}")
        if t._layout.ndim != 1:
            raise RuntimeError(f"outer(): Expected 1-D argument {n}, but got {t._layout.ndim}-D")
    result = input.unsqueeze(1) * vec2
    return result if out is None else write_out("outer", out, result)


ger = outer
Tensor.ger = outer


_linear_plans: dict = {}


def linear(input, weight, bias=None):
    """input @ weight^T + bias: input (..., in), weight (out, in) or (in,), bias (out,).

    Raises RuntimeError naming the shapes where they don't fit."""
    return quick_linear(input, weight, bias)


def _linear_checked(input, weight, bias):
    result = linear_again(input, weight, bias)
    result = _linear_anew(input, weight, bias) if result is None else result
    learn_linear(quick_linear, input, weight, bias)
    return result


def linear_recipe(plan, choice):
    if plan.extra:  # with a bias
        return "AddmmBackward0", _linear_rules, (0, 1), -1
    return "LinearBackward0", (*_linear_rules[:2], None), (0, 1), -1


def learn_linear(op, input, weight, bias):
    """Tells `op`, an operation of `quick`, the plan that linear has for these inputs, if it has."""
    lays = input._layout, weight._layout, None if bias is None else bias._layout
    plan = _linear_plans.get(lays)
    if type(plan) is door.Plan:
        plan.extra = bias is not None
        door.learn(op, lays, plan)


quick_linear = door.quick(_linear_checked, linear_recipe, 3)


def linear_again(input, weight, bias):
    """`linear` of layouts that it has met before, else None."""
    try:
        plan = _linear_plans[input._layout, weight._layout, None if bias is None else bias._layout]
    except (KeyError, AttributeError):
        return None
    t = door.run(plan, input, weight, bias)
    if mode.enabled and (
        input._requires_grad or weight._requires_grad or (bias is not None and bias._requires_grad)
    ):
        return _recorded(t, input, weight, bias)
    return t


def _linear_anew(input, weight, bias):
    d = _tensors("linear", input, weight, *(() if bias is None else (bias,)))
    lx, lw = input._layout, weight._layout
    if lx.ndim == 0:
        raise RuntimeError("linear(): both arguments need to be at least 1D, but the input is 0D")
    if lw.ndim == 1:
        result = matmul(input, weight)
        return result if bias is None else result + bias
    if lw.ndim != 2:
        raise RuntimeError(
            f"linear(): weight must be 1-D or 2-D, got {lw.ndim}-D (shape {list(lw.shape)})"
        )
    n, k = lw.shape
    if lx.shape[-1] != k:
        rows = lx.numel // lx.shape[-1] if lx.shape[-1] else 0
        raise RuntimeError(
            f"linear(): mat1 and mat2 shapes cannot be multiplied ({rows}x{lx.shape[-1]} and {k}x{n}): input {list(lx.shape)} has "
            f"{lx.shape[-1]} features, weight {list(lw.shape)} takes {k}"
        )
    if bias is not None and tuple(bias._layout.shape) != (n,):
        if bias._layout.ndim > 1 or bias._layout.numel not in (1, n):
            raise RuntimeError(
                f"linear(): bias of shape {list(bias.shape)} does not fit the {n} outputs of weight {list(lw.shape)}"
            )
        bias = bias.expand(n)
    if d.is_complex:
        result = matmul(input, weight.t())
        return result if bias is None else result + bias
    lb = None if bias is None else bias._layout
    plan = door.make_plan(
        "matmul",
        "linear",
        (contiguous(d, (*lx.shape[:-1], n)),),
        (lx, lw, lb),
        (int(bias is not None),),
        name="linear",
    )
    result = door.run_plan(door.remember(_linear_plans, (lx, lw, lb), plan), (input, weight, bias))
    return _recorded(result, input, weight, bias)


def _linear_to_input(g, x, w):
    return matmul(g, w)


def _linear_to_weight(g, x, w):
    return _transposed_by(g, x)


def _linear_to_bias(g, x, w):
    return _sum_of_rows(g)


def _recorded(result, input, weight, bias):
    """The result of linear, in the graph."""
    to_weight = _linear_to_weight
    if (
        type(result._layout) is not Layout
        and weight._requires_grad
        and type(weight._layout) is Layout
    ):
        to_weight = summed_along(edge_of(weight), to_weight)
        rules = (_linear_to_input, to_weight, _linear_to_bias)
    else:
        rules = _linear_rules
    if bias is None:
        return record(result, "LinearBackward0", rules[:2], (input, weight), (input, weight))
    return record(result, "AddmmBackward0", rules, (input, weight, bias), (input, weight))


_linear_rules = (_linear_to_input, _linear_to_weight, _linear_to_bias)


# ---------------------------------------------------------------------- gradients of several backwards

_into_plans: dict = {}  # layouts of a gradient and the operands of the product that is added to it -> plan, or None
_CHAIN = 512  # gemm_kernel.zig, kc_max: of longer sums the bits would depend on whether a gradient was there


def _add_to_leaf(leaf, left, right):
    """Adds the transposed left (..., m) @ right (..., n) to the gradient (m, n) of a leaf, in the product's own pass;
    False where that cannot be."""
    grad = leaf._grad
    if grad is None or leaf._hooks or leaf._post_hooks or not leaf._requires_grad:
        return False
    if grad._layout is not leaf._layout or grad._view is not None:
        return False
    lays = grad._layout, left._layout, right._layout
    plan = _into_plans.get(lays, False)
    if plan is False:
        plan = door.remember(_into_plans, lays, _into_plan(*lays))
    if plan is None or grad._storage is left._storage or grad._storage is right._storage:
        return False
    door.write(plan, grad, left, right)
    return True


def _into_plan(lay, left, right):
    a, b = _as_matrix(left), _as_matrix(right)
    if a is None or b is None or lay.dtype not in (dt.float32, dt.float64) or not lay.contiguous:
        return None
    if lay.shape != (a.shape[1], b.shape[1]) or 1 in lay.shape or not 0 < a.shape[0] <= _CHAIN:
        return None
    return door.make_plan(
        "matmul", "matmul_into", (lay,), (_turned(a), b), name="backward()", into=True
    )


adding[_linear_to_weight] = lambda leaf, g, x, w: _add_to_leaf(leaf, g, x)
adding[_mm_right] = lambda leaf, g, a, b: _add_to_leaf(leaf, a, g)


def bilinear(input1, input2, weight, bias=None):
    """y[..., o] = input1[..., i] weight[o, i, j] input2[..., j] + bias[o]."""
    from .einsum import einsum

    y = einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


def tensordot(a, b, dims=2, out=None):
    """The sums of products over the dimensions `dims`: an int (the last of a with the first of b) or two lists."""
    for t in (a, b):
        if not isinstance(t, Tensor):
            raise TypeError(f"tensordot(): expected Tensors, got {type(t).__name__}")
    la, lb = a._layout, b._layout
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot(): expects dims >= 0, but got dims={dims}")
        if dims > min(la.ndim, lb.ndim):
            raise RuntimeError(f"tensordot(): expects dims < ndim_a or ndim_b, but got dims={dims}")
        da, db = list(range(la.ndim - dims, la.ndim)), list(range(dims))
    else:
        da, db = ([d] if isinstance(d, int) else list(d) for d in dims)
        da, db = [d % la.ndim for d in da], [d % lb.ndim for d in db]
    if len(da) != len(db):
        raise RuntimeError(
            f"tensordot(): both dimension lists should have same length, got {da} and {db}"
        )
    for x, y in zip(da, db):
        if (
            la.shape[x] == 1 != lb.shape[y]
        ):  # sizes of 1 broadcast: the other's elements are summed first
            b = b.sum(y, True)
            lb = b._layout
        elif lb.shape[y] == 1 != la.shape[x]:
            a = a.sum(x, True)
            la = a._layout
        if la.shape[x] != lb.shape[y]:
            raise RuntimeError(
                f"tensordot(): contracted dimensions need to match, but first has size {la.shape[x]} in dim {x} and second has size {lb.shape[y]} in dim {y}"
            )
    fa, fb = [i for i in range(la.ndim) if i not in da], [i for i in range(lb.ndim) if i not in db]
    k = _count(la.shape[d] for d in da)
    left = a.permute(tuple(fa + da)).reshape((_count(la.shape[i] for i in fa), k))
    right = b.permute(tuple(db + fb)).reshape((k, _count(lb.shape[i] for i in fb)))
    common = result_type(a, b)
    result = _matrices(left.to(common), right.to(common), "tensordot").reshape(
        (*[la.shape[i] for i in fa], *[lb.shape[i] for i in fb])
    )
    return result if out is None else write_out("tensordot", out, result)


def chain_matmul(*matrices, out=None):
    """The product of several matrices, in the cheapest order."""
    from ..linalg import multi_dot

    return multi_dot(matrices, out=out)


Tensor.__matmul__ = _matmul
Tensor.__rmatmul__ = lambda self, other: _matmul(other, self)
Tensor.__imatmul__ = lambda self, other: self.copy_(matmul(self, other))
