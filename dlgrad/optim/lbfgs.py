"""L-BFGS."""

from __future__ import annotations

from ..autograd.mode import enable_grad, no_grad
from ..ops.create import zeros
from ..ops.joining import cat
from .optimizer import Optimizer, as_number, as_scalar, check_lr

__all__ = ["LBFGS"]


def _cubic_minimum(x1, f1, g1, x2, f2, g2, bounds=None):
    """Where the cubic with these two values and slopes has its minimum, within the bounds.

    The slopes are 0-d tensors: the arithmetic is in their dtype, as in PyTorch.
    Nocedal and Wright, Numerical Optimization, equation 3.59."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if not square >= 0:
        return (low + high) / 2.0
    d2 = square.sqrt()
    if x1 <= x2:
        best = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        best = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(best, low), high)


class _Point:
    """A step length on the search line, with the value, gradient and slope found there."""

    __slots__ = ("t", "value", "grad", "slope")

    def __init__(self, t, value, grad, slope):
        self.t, self.value, self.grad, self.slope = t, value, grad, slope


def _strong_wolfe(
    evaluate, t, direction, value, grad, slope, max_steps, c1=1e-4, c2=0.9, tolerance=1e-9
):
    """A step length that fulfils the strong Wolfe conditions: bracket it, then zoom in.

    evaluate(t) -> (value, gradient) at that step. Returns value, gradient, step, evaluations.
    Nocedal and Wright, algorithms 3.5 and 3.6."""
    longest = direction.abs().max()

    def at(t):
        new_value, new_grad = evaluate(t)
        return _Point(t, new_value, new_grad, new_grad.dot(direction))

    start = _Point(0, value, grad, slope)
    before, now = start, at(t)
    evaluations, steps = 1, 0
    bracket = None
    while steps < max_steps:
        if now.value > value + c1 * now.t * slope or (steps > 1 and now.value >= before.value):
            bracket = [before, now]
            break
        if abs(now.slope) <= -c2 * slope:
            return now.value, now.grad, now.t, evaluations
        if now.slope >= 0:
            bracket = [before, now]
            break
        bounds = (now.t + 0.01 * (now.t - before.t), now.t * 10)
        t = _cubic_minimum(
            before.t, before.value, before.slope, now.t, now.value, now.slope, bounds
        )
        before, now = now, at(t)
        evaluations += 1
        steps += 1
    if bracket is None:
        bracket = [start, now]

    stuck = False
    low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
    while steps < max_steps:
        a, b = bracket
        if abs(b.t - a.t) * longest < tolerance:
            break
        t = _cubic_minimum(a.t, a.value, a.slope, b.t, b.value, b.slope)
        # Too near an end of the bracket, twice in a row or on it: take a tenth of its length away
        # from there.
        left, right = min(a.t, b.t), max(a.t, b.t)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = at(t)
        evaluations += 1
        steps += 1
        if now.value > value + c1 * t * slope or now.value >= bracket[low].value:
            bracket[high] = now
            low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
        else:
            done = abs(now.slope) <= -c2 * slope
            if not done and now.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = now
            if done:
                break
    best = bracket[low]
    return best.value, best.grad, best.t, evaluations


class LBFGS(Optimizer):
    """Limited-memory BFGS: directions from the last `history_size` steps, and a line search on
    request.

    `step(closure)` calls the closure several times; it must clear the gradients, compute the loss,
    call backward and return the loss. line_search_fn: None or "strong_wolfe". One parameter group
    only.

    Nocedal, Updating quasi-Newton matrices with limited storage, 1980. Raises ValueError for values
    out of range.
    """

    def __init__(
        self,
        params,
        lr=1,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
    ):
        check_lr(lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _flat_grad(self):
        return cat(
            [
                zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.reshape(-1)
                for p in self._params
            ]
        )

    def _move(self, t, direction):
        """p += t direction, for all parameters."""
        at = 0
        for p in self._params:
            n = p.numel()
            p.add_(direction.narrow(0, at, n).view_as(p), alpha=as_number(t))
            at += n

    def _direction(self, state, grad, history_size):
        """The next direction, by the two-loop recursion (Nocedal and Wright, algorithm 7.4)."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return grad.neg()
        dirs, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y = grad.sub(state["prev_flat_grad"])
        s = state["d"].mul(state["t"])
        ys = y.dot(s)
        if ys > 1e-10:
            if len(dirs) == history_size:
                for kept in (dirs, steps, ro):
                    kept.pop(0)
            dirs.append(y)
            steps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / y.dot(y)
        al = state.setdefault("al", [None] * history_size)
        q = grad.neg()
        for i in reversed(range(len(dirs))):
            al[i] = steps[i].dot(q) * ro[i]
            q.add_(dirs[i], alpha=-as_number(al[i]))
        r = q.mul(state["H_diag"])
        for i in range(len(dirs)):
            r.add_(steps[i], alpha=as_number(al[i] - dirs[i].dot(r) * ro[i]))
        return r

    def _search(self, closure, t, d, loss, grad, slope, max_steps):
        """The line search from the parameters as they are, to which they return."""
        start = [p.clone() for p in self._params]

        def evaluate(t):
            self._move(t, d)
            value = float(closure())
            gradient = self._flat_grad()
            for p, old in zip(self._params, start):
                p.copy_(old)
            return value, gradient

        return _strong_wolfe(evaluate, t, d, loss, grad, slope, max_steps)

    @no_grad()
    def step(self, closure):
        """Up to `max_iter` iterations. Returns the loss before them."""
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        lr, max_iter, max_eval = (
            as_number(as_scalar(group["lr"])),
            group["max_iter"],
            group["max_eval"],
        )
        tolerance_grad, tolerance_change = group["tolerance_grad"], group["tolerance_change"]
        search = group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        # The state is global; it is kept with the first parameter, whose dtype it is loaded in.
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        first_loss = closure()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if grad.abs().max() <= tolerance_grad:
            return first_loss

        for iteration in range(1, max_iter + 1):
            state["n_iter"] += 1
            d = self._direction(state, grad, group["history_size"])
            previous = loss
            state["prev_flat_grad"], state["prev_loss"], state["d"] = grad.clone(), loss, d
            t = min(1.0, 1.0 / grad.abs().sum()) * lr if state["n_iter"] == 1 else lr
            state["t"] = t
            slope = grad.dot(d)
            if slope > -tolerance_change:
                break
            spent = 0
            if search is not None:
                loss, grad, t, spent = self._search(
                    closure, t, d, loss, grad, slope, max_eval - evaluations
                )
                state["t"] = t
                self._move(t, d)
            else:
                self._move(t, d)
                if iteration != max_iter:  # after the last step nobody looks at it
                    loss = float(closure())
                    grad = self._flat_grad()
                    spent = 1
            evaluations += spent
            state["func_evals"] += spent
            if (
                iteration == max_iter
                or evaluations >= max_eval
                or grad.abs().max() <= tolerance_grad
                or d.mul(t).abs().max() <= tolerance_change
                or abs(loss - previous) < tolerance_change
            ):
                break
        return first_loss
