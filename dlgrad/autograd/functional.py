"""Jacobians, Hessians and their products with vectors (PyTorch's `torch.autograd.functional`)."""

from __future__ import annotations

from ..tensor import Tensor
from .engine import grad
from .mode import enable_grad

__all__ = ["vjp", "jvp", "jacobian", "hessian", "hvp", "vhp"]


def _as_tuple(x, what, op):
    single = not isinstance(x, tuple)
    x = (x,) if single else x
    for i, t in enumerate(x):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"{op}(): {what} must be a Tensor or a tuple of Tensors, got {type(t).__name__} at {i}"
            )
    return single, x


def _prepared(inputs, create_graph):
    """The inputs as what is differentiated: with their history if a graph is wanted, else as leaves."""
    if create_graph:
        return tuple(
            x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs
        )
    return tuple(x.detach().requires_grad_() for x in inputs)


def _vector(v, like, what, op):
    """The vector(s) to multiply with, of the shapes of `like`; None: 1 for a single element."""
    from ..ops.create import ones_like

    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"{op}(): The vector v can only be None if the {what} has a single element."
            )
        return (ones_like(like[0].detach()),)
    _, v = _as_tuple(v, "v", op)
    if len(v) != len(like):
        raise RuntimeError(f"{op}(): v has invalid length: should be {len(like)} but got {len(v)}")
    for i, (a, b) in enumerate(zip(v, like)):
        if tuple(a.shape) != tuple(b.shape):
            raise RuntimeError(
                f"{op}(): Entry {i} in v has invalid size: should be {list(b.shape)} but got {list(a.shape)}"
            )
    return v


def _outputs(func, inputs, op, strict):
    single, outs = _as_tuple(func(*inputs), "the outputs of the user-provided function", op)
    if strict:
        for i, o in enumerate(outs):
            if not o.requires_grad:
                raise RuntimeError(
                    f"{op}(): Output {i} of the user-provided function is independent of the inputs. This is not allowed in strict mode."
                )
    return single, outs


def _grad(outs, inputs, gs, create_graph, retain_graph=True):
    pairs = [(o, g) for o, g in zip(outs, gs) if o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    return grad(
        [o for o, _ in pairs], inputs, [g for _, g in pairs], retain_graph=retain_graph, create_graph=create_graph,
        allow_unused=True,
    )  # fmt: skip


def _filled(gs, like, strict, create_graph, op, what="input"):
    """Zeros for None; in strict mode an error."""
    from ..ops.create import zeros_like

    out = []
    for i, (g, x) in enumerate(zip(gs, like)):
        if strict and g is None:
            raise RuntimeError(
                f"{op}(): The output of the user-provided function is independent of {what} {i}. This is not allowed in strict mode."
            )
        if strict and create_graph and not g.requires_grad:
            raise RuntimeError(
                f"{op}(): The gradient with respect to {what} {i} is independent of the inputs, so that it has no graph. This "
                "is not allowed in strict mode when create_graph=True."
            )
        out.append(zeros_like(x.detach()) if g is None else g)
    return tuple(out)


def _finished(values, single, create_graph):
    values = values if create_graph else tuple(v.detach() for v in values)
    return values[0] if single else values


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), the product of `v` and the Jacobian). v: of the output's shape."""
    with enable_grad():
        single, inputs = _as_tuple(inputs, "inputs", "vjp")
        xs = _prepared(inputs, create_graph)
        out_single, outs = _outputs(func, xs, "vjp", strict)
        v = _vector(v, outs, "output of the function", "vjp")
        gs = _filled(_grad(outs, xs, v, create_graph), xs, strict, create_graph, "vjp")
    return _finished(outs, out_single, create_graph), _finished(gs, single, create_graph)


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), the product of the Jacobian and `v`). v: of the inputs' shapes. Goes backward twice."""
    from ..ops.create import zeros_like

    with enable_grad():
        _, inputs = _as_tuple(inputs, "inputs", "jvp")
        xs = _prepared(inputs, create_graph)
        v = _vector(v, xs, "input to the function", "jvp")
        out_single, outs = _outputs(func, xs, "jvp", strict)
        dummies = tuple(zeros_like(o.detach()).requires_grad_() for o in outs)
        gs = _filled(_grad(outs, xs, dummies, True), xs, strict, False, "jvp")
        # gs is linear in the dummies: its derivative with respect to them, times v, is the product
        result = _filled(
            _grad(gs, dummies, v, create_graph), outs, strict, create_graph, "jvp", "output"
        )
    return _finished(outs, out_single, create_graph), _finished(result, out_single, create_graph)


_STRATEGIES = ("forward-mode", "reverse-mode")


def jacobian(
    func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"
):
    """The Jacobian of `func`, a Tensor of shape (*output, *input); a tuple for several inputs, a tuple of
    tuples for several outputs.

    vectorize: one walk back for all rows, under vmap, instead of one for each. strategy: "forward-mode" (with vectorize
    only) takes the columns together, which is better for fewer inputs than outputs."""
    if strategy not in _STRATEGIES:
        raise AssertionError(
            f'Expected strategy to be either "forward-mode" or "reverse-mode", got {strategy!r}. Hint: If your function has more '
            'outputs than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        return _forward_jacobian(func, inputs, create_graph, strict, vectorize)
    if strict and vectorize:
        raise RuntimeError(
            "jacobian(): `strict=True` and `vectorized=True` are not supported together. Please either set `strict=False` or "
            "`vectorize=False`."
        )
    with enable_grad():
        single, inputs = _as_tuple(inputs, "inputs", "jacobian")
        xs = _prepared(inputs, create_graph)
        out_single, outs = _outputs(func, xs, "jacobian", strict)
        rows = _rows_together if vectorize else _rows_in_turn
        whole = []
        for o in outs:
            found = rows(o, xs, create_graph, strict)
            whole.append(tuple(r.reshape((*o.shape, *x.shape)) for r, x in zip(found, xs)))
    done = tuple(_finished(row, single, create_graph) for row in whole)
    return done[0] if out_single else done


def _rows_in_turn(o, xs, create_graph, strict):
    """The gradients of each element of `o` by each of xs: tensors of shape (numel, *x)."""
    from ..ops.create import zeros
    from ..ops.joining import stack

    n = o.numel()
    rows = [[] for _ in xs]
    for k in range(n):
        one = zeros((n,), dtype=o.dtype)
        one[k] = 1
        gs = _grad((o,), xs, (one.reshape(tuple(o.shape)),), create_graph)
        for row, g in zip(rows, _filled(gs, xs, strict, create_graph, "jacobian")):
            row.append(g)
    return [stack(row) if n else zeros((0, *x.shape), dtype=x.dtype) for row, x in zip(rows, xs)]


def _rows_together(o, xs, create_graph, strict):
    """The same in one walk."""
    from ..func.vectorize import vmap
    from ..ops.create import eye

    if not o.numel():
        return _rows_in_turn(o, xs, create_graph, strict)
    units = eye(o.numel(), dtype=o.dtype).reshape((o.numel(), *o.shape))
    return vmap(
        lambda one: _filled(_grad((o,), xs, (one,), create_graph), xs, False, False, "jacobian")
    )(units)


def _forward_jacobian(func, inputs, create_graph, strict, vectorize):
    from ..func.derivatives import jacfwd

    for given, name in ((create_graph, "create_graph"), (strict, "strict")):
        if given:
            kind = NotImplementedError if name == "create_graph" else RuntimeError
            raise kind(
                f'jacobian(): `{name}=True` and `strategy="forward-mode"` are not supported together (yet). Please either set '
                f'`{name}=False` or `strategy="reverse-mode"`.'
            )
    if not vectorize:
        raise NotImplementedError(
            "jacobian(): the forward-mode Jacobian and the forward-over-reverse Hessian are only implemented for `vectorize=True`"
        )
    single, inputs = _as_tuple(inputs, "inputs", "jacobian")
    out_single = True

    def checked(*xs):
        nonlocal out_single
        out_single, outs = _outputs(func, xs, "jacobian", False)
        return outs

    xs = tuple(x.detach() for x in inputs)
    done = tuple(
        _finished(row, single, False) for row in jacfwd(checked, tuple(range(len(xs))))(*xs)
    )
    return done[0] if out_single else done


def _scalar(out, op):
    if not isinstance(out, Tensor):
        raise RuntimeError(f"{op}(): The function given should return a single Tensor")
    if out.numel() != 1:
        raise RuntimeError(
            f"{op}(): The Tensor returned by the function should contain a single element, it has shape {list(out.shape)}"
        )
    return out.reshape(())


def hessian(
    func,
    inputs,
    create_graph=False,
    strict=False,
    vectorize=False,
    outer_jacobian_strategy="reverse-mode",
):
    """The Hessian of a function of one result: shape (*input, *input); a tuple of tuples for several inputs.
    vectorize, outer_jacobian_strategy: those of `jacobian`, for the Jacobian of the gradient."""
    single, inputs = _as_tuple(inputs, "inputs", "hessian")

    def slope(*xs):
        out = _scalar(func(*xs), "hessian")
        if strict and not out.requires_grad:
            raise RuntimeError(
                "hessian(): the output of the user-provided function is independent of the inputs. This is not allowed in strict mode."
            )
        gs = _grad((out,), xs, (None,), True)
        return _filled(gs, xs, strict, strict, "hessian")

    result = jacobian(slope, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return result[0][0] if single else result


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), the product of `v` and the Hessian) for a function of one result."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), the product of the Hessian and `v`) for a function of one result."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(op, func, inputs, v, create_graph, strict):
    with enable_grad():
        single, inputs = _as_tuple(inputs, "inputs", op)
        xs = _prepared(inputs, create_graph)
        v = _vector(v, xs, "input to the function", op)
        _, outs = _outputs(func, xs, op, strict)
        if len(outs) != 1:
            raise RuntimeError(f"{op}(): The function given should return a single Tensor")
        gs = _filled(_grad((_scalar(outs[0], op),), xs, (None,), True), xs, strict, strict, op)
        # the Hessian is symmetric, where it exists: v from the left and from the right are the same
        result = _filled(_grad(gs, xs, v, create_graph), xs, strict, create_graph, op)
    return _finished(outs, True, create_graph), _finished(result, single, create_graph)
