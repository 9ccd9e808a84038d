"""`Function`: an operation whose forward and backward the user writes."""

from __future__ import annotations

import functools
import weakref

from ..tensor import Tensor, make_tensor
from .graph import Node, Output, edge_of, save
from .mode import mode

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What forward leaves for backward: saved tensors, marks, and any attribute the user sets."""

    needs_input_grad = ()  # for each argument of apply: whether a gradient with respect to it is wanted
    to_save = ()
    dirty_tensors = ()
    non_differentiable = ()
    materialize_grads = True
    _node = None  # weak: the node holds the context
    _unpacked = None  # the saved tensors, while backward runs

    def save_for_backward(self, *tensors):
        """Keeps tensors (or None), inputs and results above all, for `saved_tensors` in backward.

        Backward then raises if one of them was overwritten since. Call it once."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type "
                    f"{type(t).__name__}; other values can be set as attributes of ctx"
                )
        self.to_save = tensors

    def save_for_forward(self, *tensors):
        """Accepted for PyTorch programs: there is no forward-mode differentiation here."""

    def mark_dirty(self, *args):
        """Says that forward wrote into these inputs. They must be among its results."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args):
        """Says that no gradient flows through these results."""
        self.non_differentiable = args

    def set_materialize_grads(self, value):
        """Whether backward gets zeros (the default) or None for results that got no gradient."""
        self.materialize_grads = value

    @property
    def saved_tensors(self):
        """What `save_for_backward` was given, after the check that none was overwritten since."""
        if self._unpacked is not None:
            return self._unpacked
        node = None if self._node is None else self._node()
        return tuple(self.to_save) if node is None else node.with_history(node.unpack())


class FunctionNode(Node):
    """The graph's node of a Function. Attributes it does not have are looked up in the context."""

    ctx = None
    own_results = ()  # (place among the saved values, number of the result that lies there)

    def __getattr__(self, name):
        ctx = self.__dict__.get("ctx")
        if ctx is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(ctx, name)

    @property
    def saved_tensors(self):
        """See FunctionCtx."""
        return self.ctx.saved_tensors

    def with_history(self, saved):
        """The saved values; where a graph of the backward is recorded, results have their history."""
        if not self.own_results or not mode.enabled:
            return saved
        saved = list(saved)
        for place, number in self.own_results:
            y = saved[place]
            y = make_tensor(y._ptr, y._layout, y._storage)
            y._requires_grad, y._grad_fn = True, Output(self, number)
            saved[place] = y
        return tuple(saved)


def _bound(forward, args, kwargs):
    """The arguments of a call by position, defaults included."""
    import inspect

    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args


class Function:
    """An operation with a derivative of the user's own.

    Subclass it with static methods `forward(ctx, *args)` and `backward(ctx, *grads)`, or with
    `forward(*args)`, `setup_context(ctx, inputs, output)` and `backward`, and call `apply(*args)`.
    backward gets one gradient for each result and returns one (or None) for each argument. Its
    operations are recorded where a graph of the backward is wanted, so second derivatives work.
    """

    generate_vmap_rule = False

    def __call__(self, *args, **kwargs):
        raise RuntimeError(
            f"{type(self).__name__}: Legacy autograd function with non-static forward method; "
            f"forward and backward are static methods, call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args, **kwargs):
        """Computes the results. Nothing is recorded inside."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keeps what backward needs, where `forward` takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """From the gradients of the results: those of the arguments."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx, *grad_inputs):
        """Accepted for PyTorch programs, and not called: forward mode is worked out from `backward` here (docs/func.md)."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        """Runs forward on `args`, and puts its results into the graph."""
        from ..ops.writing import check_inplace

        separate = cls.setup_context is not Function.setup_context
        if separate:
            args = _bound(cls.forward, args, kwargs)
        elif kwargs:
            raise TypeError(f"{cls.__name__}.apply() takes no keyword arguments")
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        recording = mode.enabled and any(ctx.needs_input_grad)
        edges = tuple(edge_of(a) if n else None for a, n in zip(args, ctx.needs_input_grad))
        before, mode.enabled = mode.enabled, False
        try:
            if separate:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args)
            outs = result if isinstance(result, tuple) else (result,)
            handed = tuple(_fresh(ctx, cls, i, outs, args) for i in range(len(outs)))
        finally:
            mode.enabled = before
        _check_dirty(ctx, cls, args, outs, recording)
        if recording:
            _connect(cls, ctx, args, edges, outs, handed)
        elif before:
            for t in ctx.dirty_tensors:
                check_inplace(cls.__name__, t)
        return handed if isinstance(result, tuple) else handed[0]


def _is_in(t, those):
    return any(t is o for o in those)


def _fresh(ctx, cls, i, outs, args):
    """The tensor to hand out for result i: the result itself, or an alias where that has a place in
    the graph already (an input returned as it is, a tensor returned twice) or is a view."""
    o = outs[i]
    if not isinstance(o, Tensor) or _is_in(o, ctx.dirty_tensors):
        return o
    is_input = _is_in(o, args)
    if not is_input and o._view is None and not o._requires_grad and not _is_in(o, outs[:i]):
        return o
    t = make_tensor(o._ptr, o._layout, o._storage)
    shared = any(isinstance(a, Tensor) and a._storage is o._storage for a in args) or any(
        isinstance(p, Tensor) and j != i and p._storage is o._storage for j, p in enumerate(outs)
    )
    if shared:  # writes that would go around the Function's backward are refused
        t._view = o if o._view is None else o._view
        t._view_version = o._storage.version
        t._view_mode = "function"
    return t


def _check_dirty(ctx, cls, args, outs, recording):
    for t in ctx.dirty_tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"mark_dirty can only mark tensors, got {type(t).__name__}")
        if not _is_in(t, outs):
            raise RuntimeError(
                f"{cls.__name__}: Some elements marked as dirty during the forward method were not returned as "
                "output. The inputs that are modified inplace must all be outputs of the Function."
            )
        if recording and t._view is None and t._requires_grad and t._grad_fn is None:
            raise RuntimeError(
                f"{cls.__name__}: a leaf Variable that requires grad has been used in an in-place operation."
            )


def _is_differentiable(t):
    return t._layout.dtype.is_floating_point or t._layout.dtype.is_complex


def _connect(cls, ctx, args, edges, outs, handed):
    differentiable = tuple(
        isinstance(o, Tensor) and _is_differentiable(o) and not _is_in(o, ctx.non_differentiable)
        for o in outs
    )  # fmt: skip
    saved, own = [], []
    for v in ctx.to_save:
        number = next((i for i, o in enumerate(outs) if v is o and isinstance(v, Tensor)), None)
        if number is not None and (not _is_in(v, args) or _is_in(v, ctx.dirty_tensors)):
            if differentiable[number]:
                own.append((len(saved), number))
            v = make_tensor(v._ptr, v._layout, v._storage)  # with its history it would be a cycle
        saved.append(v)
    ctx.to_save = ()
    backward = cls.backward if cls.backward is not Function.backward else cls.vjp
    name = cls.__name__ + "Backward"
    kinds = tuple((o._layout.shape, o._layout.dtype) if isinstance(o, Tensor) else None for o in outs)
    wanted = tuple((a._layout.shape, a._layout.dtype) if e is not None else None for a, e in zip(args, edges))
    count = len(outs)

    def rule(*values):
        grads = values[:count]
        if ctx.materialize_grads:
            grads = _materialized(grads, kinds)
        node = ctx._node()
        ctx._unpacked = node.with_history(values[count:])
        try:
            given = backward(ctx, *grads)
        finally:
            ctx._unpacked = None
        return _checked(name, given, wanted)

    node = FunctionNode(name, edges, rule, *save(tuple(saved)))
    node.ctx = ctx
    node.own_results = tuple(own)
    node.outputs = count
    node.layouts = tuple(o._layout if isinstance(o, Tensor) else None for o in outs)
    ctx._node = weakref.ref(node)
    for i, t in enumerate(handed):
        if not isinstance(t, Tensor) or (_is_in(t, handed[:i]) and _is_in(t, ctx.dirty_tensors)):
            continue
        if _is_in(t, ctx.dirty_tensors):
            _written(t, differentiable[i], Output(node, i))
        elif differentiable[i]:
            t._requires_grad, t._grad_fn = True, Output(node, i)


def _written(t, differentiable, edge):
    """Gives an input that forward wrote to its new history."""
    from ..ops.writing import check_inplace

    if not differentiable:
        if t._view is None:
            t._requires_grad, t._grad_fn = False, None
        return
    if t._view is None:
        t._requires_grad, t._grad_fn = True, edge
        if t._retain:
            from .graph import retain_grad

            retain_grad(t)
        return
    from ..ops.view_graph import scatter_view

    check_inplace("mark_dirty", t)
    result = make_tensor(t._ptr, t._layout, t._storage)
    result._requires_grad, result._grad_fn = True, edge
    scatter_view(t._view, t, result)


def _materialized(grads, kinds):
    if all([g is not None or k is None for g, k in zip(grads, kinds)]):
        return grads
    from ..ops.create import zeros

    return tuple(
        zeros(tuple(k[0]), dtype=k[1]) if g is None and k is not None else g
        for g, k in zip(grads, kinds)
    )


def _checked(name, given, wanted):
    """What backward returned, as a gradient of the right shape and dtype for each argument."""
    given = given if isinstance(given, tuple) else (given,)
    n = len(wanted)
    if len(given) < n or any(g is not None for g in given[n:]):
        raise RuntimeError(
            f"function {name} returned an incorrect number of gradients (expected {n}, got {len(given)})"
        )
    out = []
    for i, (g, want) in enumerate(zip(given, wanted)):
        if g is not None and not isinstance(g, Tensor):
            raise RuntimeError(f"function {name}: expected Tensor or None as gradient {i} (got {type(g).__name__})")
        if g is None or want is None:
            out.append(None)
            continue
        shape, dtype = want
        if g._layout.shape != shape:
            g = _reduced(name, i, g, shape)
        if g._layout.dtype is not dtype:
            g = g.to(dtype)
        out.append(g)
    return tuple(out)


def _reduced(name, i, g, shape):
    """`g` summed to `shape`, if that expands to g's."""
    from ..ops.elementwise import sum_to

    have = tuple(g._layout.shape)
    lead = len(have) - len(shape)
    if lead < 0 or any(s not in (1, h) for s, h in zip(shape, have[lead:])):
        raise RuntimeError(
            f"Function {name} returned an invalid gradient at index {i} - got {list(have)} but expected shape "
            f"compatible with {list(shape)}"
        )
    return sum_to(g, shape)


def once_differentiable(fn):
    """Decorates a `backward` that cannot be differentiated itself: it runs without recording, and a
    second derivative through what it returned raises RuntimeError."""

    @functools.wraps(fn)
    def wrapper(ctx, *args):
        recording, mode.enabled = mode.enabled, False
        try:
            given = fn(ctx, *args)
        finally:
            mode.enabled = recording
        if not recording:
            return given
        sources = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        sources += [t for t in ctx._unpacked or () if isinstance(t, Tensor) and t.requires_grad]
        if not sources:
            return given

        def refuse(*_):
            raise RuntimeError(
                "trying to differentiate twice a function that was marked with @once_differentiable"
            )

        edges = tuple(edge_of(t) for t in sources)

        def marked(g):
            if not isinstance(g, Tensor) or not _is_differentiable(g):
                return g
            t = make_tensor(g._ptr, g._layout, g._storage)
            t._requires_grad = True
            t._grad_fn = Node("OnceDifferentiableError", edges, refuse, (), ())
            return t

        return tuple(marked(g) for g in given) if isinstance(given, tuple) else marked(given)

    return wrapper
