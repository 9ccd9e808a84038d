"""gradcheck and gradgradcheck: derivatives against differences."""

from __future__ import annotations

import itertools
import math
import warnings

from ..tensor import Tensor
from .mode import mode

__all__ = ["gradcheck", "gradgradcheck", "GradcheckError"]


class GradcheckError(RuntimeError):
    """A derivative that differs from the numeric one, or another fault that a check found."""


def _as_tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _tensor_outputs(value):
    """The floating-point tensors among a function's results."""
    outs = [o for o in _as_tuple(value) if isinstance(o, Tensor) and o.dtype.is_floating_point]
    if not outs:
        raise ValueError("gradcheck(): the function returned no floating point Tensor")
    return outs


def _flat(t):
    return t.detach().reshape(-1).tolist()


def _checked_inputs(inputs, name):
    wanted = []
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad:
            if x.dtype.itemsize < 8:
                warnings.warn(
                    f"{name}(): input {i} requires gradient and is {x.dtype}, not float64. This check will "
                    "likely fail if all the inputs are not of double precision floating point.",
                    stacklevel=4,
                )
            if any(st == 0 and s > 1 for s, st in zip(x.shape, x.stride())):
                raise RuntimeError(
                    f"{name}(): input {i} has elements that share memory (shape {list(x.shape)}, strides "
                    f"{list(x.stride())}), so that none can be varied alone; clone it first"
                )
            wanted.append(i)
    if not wanted:
        raise ValueError(f"{name}() expects at least one input tensor to require gradient, but none of them have requires_grad=True.")
    return wanted


def _numeric(func, inputs, i, eps):
    """One row for each element of input i: for each output the list of its differences."""
    x = inputs[i].detach()
    rows = []
    before, mode.enabled = mode.enabled, False
    try:
        for at in itertools.product(*[range(s) for s in x.shape]):
            old = x[at].item()
            sides = []
            for new in (old + eps, old - eps):
                x[at] = new
                # func may return (a view of) its input, which the next write changes: read it now
                sides.append([_flat(o) for o in _tensor_outputs(func(*inputs))])
            x[at] = old
            rows.append([[(p - m) / (2 * eps) for p, m in zip(*pair)] for pair in zip(*sides)])
    finally:
        mode.enabled = before
    return rows


def _analytic(out, inputs, wanted, check_dtypes):
    """{i: a list, one row for each element of `out`, of the gradients of input i (flat)}."""
    from ..ops.create import zeros
    from .engine import grad

    n = out.numel()
    result = {i: [] for i in wanted}
    for k in range(n):
        one = zeros((n,), dtype=out.dtype)
        one[k] = 1
        if out.requires_grad:
            xs = [inputs[i] for i in wanted]
            gs = grad(out, xs, one.reshape(tuple(out.shape)), retain_graph=True, allow_unused=True)
        else:
            gs = [None] * len(wanted)
        for i, g in zip(wanted, gs):
            x = inputs[i]
            if g is not None and tuple(g.shape) != tuple(x.shape):
                raise GradcheckError(f"Analytical gradient has incorrect size: {list(g.shape)} for input {i} of {list(x.shape)}")
            if g is not None and check_dtypes and g.dtype is not x.dtype:
                raise GradcheckError(f"Analytical gradient has dtype {g.dtype} for input {i} of {x.dtype}")
            result[i].append([0.0] * x.numel() if g is None else _flat(g))
    return result


def _place(k, shape):
    at = []
    for s in reversed(tuple(shape)):
        k, r = divmod(k, s)
        at.append(r)
    return tuple(reversed(at))


def _close(a, n, atol, rtol):
    if math.isnan(a) or math.isnan(n):
        return math.isnan(a) and math.isnan(n)
    return a == n or abs(a - n) <= atol + rtol * abs(n)


def _check(func, inputs, eps, atol, rtol, nondet_tol, check_undefined, check_dtypes, check_batched):
    wanted = _checked_inputs(inputs, "gradcheck")
    numeric = {i: _numeric(func, inputs, i, eps) for i in wanted}
    outs = _tensor_outputs(func(*inputs))  # only now: the differences write to the inputs
    for j, out in enumerate(outs):
        analytic = _analytic(out, inputs, wanted, check_dtypes)
        again = _analytic(out, inputs, wanted, check_dtypes) if out.requires_grad else analytic
        for i in wanted:
            for k, row in enumerate(analytic[i]):
                for m, a in enumerate(row):
                    n = numeric[i][m][j][k]
                    if not _close(a, n, atol, rtol):
                        raise GradcheckError(
                            f"Jacobian mismatch for output {j} with respect to input {i}: d output{j}"
                            f"{list(_place(k, out.shape))} / d input{i}{list(_place(m, inputs[i].shape))} is "
                            f"{n!r} numerically and {a!r} analytically (atol={atol}, rtol={rtol})"
                        )
                    if not _close(again[i][k][m], a, nondet_tol, 0.0):
                        raise GradcheckError(
                            f"Backward is not reentrant, i.e., running backward with same input and grad_output "
                            f"multiple times gives different values, although analytical gradient matches numerical "
                            f"gradient: {a!r} and {again[i][k][m]!r} for output {j}, input {i}"
                        )
        if check_batched and out.requires_grad:
            _check_batched(out, inputs, wanted)
    if check_undefined:
        _check_undefined(func, inputs, wanted)


def _check_batched(out, inputs, wanted):
    from ..ops.joining import stack
    from ..ops.random import randn
    from .engine import grad

    xs = [inputs[i] for i in wanted]
    vs = [randn(tuple(out.shape), dtype=out.dtype) for _ in range(3)]
    each = [grad(out, xs, v, retain_graph=True, allow_unused=True) for v in vs]
    together = grad(out, xs, stack(vs), retain_graph=True, allow_unused=True, is_grads_batched=True)
    for i, all_, one in zip(wanted, together, zip(*each)):
        if all_ is not None and not all(_close(a, b, 1e-8, 1e-8) for r, o in zip(all_, one) for a, b in zip(_flat(r), _flat(o))):
            raise GradcheckError(f"Batched gradients differ from single ones for input {i}")


def _check_undefined(func, inputs, wanted):
    """Each output alone gives a gradient: the others' gradients are undefined then."""
    from ..ops.create import zeros_like
    from .engine import grad

    outs = [o for o in _tensor_outputs(func(*inputs)) if o.requires_grad]
    xs = [inputs[i] for i in wanted]
    for j, out in enumerate(outs):
        try:
            gs = grad(out, xs, zeros_like(out), retain_graph=True, allow_unused=True)
        except (TypeError, AttributeError) as e:
            raise GradcheckError(
                "Expected backward function to handle undefined output grads. Please look at \"Notes about "
                f"undefined output gradients\"; output {j} alone: {e}"
            ) from e
        for i, g in zip(wanted, gs):
            if g is not None and any(v != 0 and not math.isnan(v) for v in _flat(g)):
                raise GradcheckError(f"Backward gives a gradient for input {i} although that of output {j} is zero")


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, nondet_tol=0.0,
              check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False,
              check_batched_forward_grad=False, check_forward_ad=False, check_backward_ad=True,
              fast_mode=False, masked=None) -> bool:  # fmt: skip
    """Whether the gradients of `func(*inputs)` agree with central differences of width `eps`, with
    respect to the inputs that require a gradient (give float64).

    Raises GradcheckError with the place of the first mismatch, or returns False if raise_exception
    is False. check_forward_ad: the products of `func.jvp` are compared too. fast_mode, masked are accepted (the
    check is the full one)."""
    del check_batched_forward_grad, fast_mode, masked
    inputs = _as_tuple(inputs)
    before, mode.enabled = mode.enabled, True
    try:
        if check_forward_ad:
            _check_forward(func, inputs, eps, atol, rtol)
        if check_backward_ad:
            _check(func, inputs, eps, atol, rtol, nondet_tol, check_undefined_grad, check_grad_dtypes, check_batched_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    finally:
        mode.enabled = before
    return True


def _check_forward(func, inputs, eps, atol, rtol):
    """Whether the product of the Jacobian with each unit vector, in forward mode, agrees with the differences."""
    from ..func import jvp
    from ..ops.create import zeros_like

    for i in _checked_inputs(inputs, "gradcheck"):
        numeric = _numeric(func, inputs, i, eps)
        x = inputs[i].detach()

        def of_one(x, i=i):
            return _tensor_outputs(func(*inputs[:i], x, *inputs[i + 1 :]))

        for m in range(x.numel()):
            unit = zeros_like(x).contiguous()
            unit.view(-1)[m] = 1
            _, products = jvp(of_one, (x,), (unit,))
            for j, product in enumerate(products):
                for k, a in enumerate(_flat(product)):
                    n = numeric[m][j][k]
                    if not _close(a, n, atol, rtol):
                        raise GradcheckError(
                            f"Jacobian computed with forward mode mismatch for output {j} with respect to input {i}: d output{j}"
                            f"{list(_place(k, product.shape))} / d input{i}{list(_place(m, x.shape))} is {n!r} numerically and {a!r} "
                            f"in forward mode (atol={atol}, rtol={rtol})"
                        )


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3,
                  gen_non_contig_grad_outputs=False, raise_exception=True, nondet_tol=0.0,
                  check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False,
                  check_fwd_over_rev=False, check_rev_over_rev=True, fast_mode=False,
                  masked=False) -> bool:  # fmt: skip
    """`gradcheck` of the gradients of `func(*inputs)`: whether its second derivatives are right, with
    respect to the inputs and to `grad_outputs` (default: random ones). check_fwd_over_rev: in forward mode too."""
    from ..ops.random import randn
    from .engine import grad

    inputs = _as_tuple(inputs)
    wanted = _checked_inputs(inputs, "gradgradcheck")
    before, mode.enabled = mode.enabled, True
    try:
        outs = _tensor_outputs(func(*inputs))
        if grad_outputs is None:
            grad_outputs = []
            for o in outs:
                shape = tuple(o.shape)
                if gen_non_contig_grad_outputs and o.ndim:
                    v = randn((*shape, 2), dtype=o.dtype)[..., 0]
                else:
                    v = randn(shape, dtype=o.dtype)
                grad_outputs.append(v.detach().requires_grad_())
        grad_outputs = _as_tuple(grad_outputs)
    finally:
        mode.enabled = before
    n = len(grad_outputs)

    def first_derivatives(*args):
        xs, vs = args[:-n], args[-n:]
        enabled, mode.enabled = mode.enabled, True
        try:
            # at their own places in the graph, so that func may return an input as it is
            xs = tuple(x.view_as(x) if isinstance(x, Tensor) and x.requires_grad else x for x in xs)
            outs = _tensor_outputs(func(*xs))
            pairs = [(o, v) for o, v in zip(outs, vs) if o.requires_grad]
            targets = [xs[i] for i in wanted]
            gs = grad([o for o, _ in pairs], targets, [v for _, v in pairs], create_graph=True, allow_unused=True)
        finally:
            mode.enabled = enabled
        return tuple(g for g in gs if g is not None)

    return gradcheck(
        first_derivatives, (*inputs, *grad_outputs), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode, masked=masked,
    )  # fmt: skip
