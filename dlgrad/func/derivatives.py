"""Derivatives of functions: grad, vjp, jvp, Jacobians, Hessians.

**Reverse mode** (grad, vjp, jacrev) is the engine's: the function runs once, recorded, and the walk
back multiplies by the transposed Jacobian. jacrev does it for all elements of the result in one
walk, under vmap.

**Forward mode** (jvp, linearize, jacfwd) is made of reverse mode: the product u -> J'u is linear in
u, so that its derivative by u, times v, is Jv. This is exact, and works for every operation that has
a second derivative. It costs a walk back that is recorded and a walk over that: about three times
the function itself, and the memory of the whole graph, where dual numbers would cost about two and
no graph. jacfwd records once and walks once for all elements of the input, under vmap.

Transforms nest, with each other and with vmap. What an outer transform (or the caller's own
requires_grad) differentiates by keeps its history through an inner one; nothing else does.
"""

from __future__ import annotations

import functools

from ..autograd.mode import enable_grad
from ..ops.create import eye, ones_like, zeros
from ..tensor import Tensor
from .tracking import Tracked, gradients, some_gradients, zeros_for
from .tree import flatten, tree_map, unflatten
from .vectorize import vmap

__all__ = [
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "vjp",
]


# ---------------------------------------------------------------------- arguments


def _places(argnums, n):
    """argnums as places counted from the front. Raises TypeError, RuntimeError."""
    single = isinstance(argnums, int)
    if not single and not isinstance(argnums, tuple):
        raise RuntimeError(f"argnums should be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = (argnums,) if single else argnums
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    for i in numbers:
        if not isinstance(i, int):
            raise RuntimeError(f"argnums elements should be int, got {type(i)}")
        if not -n <= i < n:
            raise RuntimeError(f"Got argnum={i}, but only {n} positional inputs")
    places = tuple(i % n for i in numbers)
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return places


def _chosen(argnums, args):
    """The arguments that argnums names: one, or a tuple."""
    places = _places(argnums, len(args))
    return args[places[0]] if isinstance(argnums, int) else tuple(args[i] for i in places)


def _replaced(argnums, args, values):
    """args with `values` at argnums."""
    out = list(args)
    for i, v in zip(_places(argnums, len(args)), (values,) if isinstance(argnums, int) else values):
        out[i] = v
    return out


def _without_aux(result, has_aux, name):
    """(output, aux)."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(
            f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def _tensors(output, name):
    leaves, spec = flatten(output)
    for y in leaves:
        if not isinstance(y, Tensor):
            raise RuntimeError(
                f"{name}: Expected f to return only Tensors (in tuples, lists, dictionaries), got {type(y)}"
            )
    return leaves, spec


# ---------------------------------------------------------------------- gradients of a number


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that gives (gradient, value) of `func`, which returns a 0-d tensor: PyTorch's order.

    argnums: by which arguments (an int, or a tuple of ints for a tuple of gradients); they are
    tensors in nested tuples, lists and dictionaries. has_aux: `func` returns (value, aux), and the
    result is (gradient, (value, aux)). Raises RuntimeError for a value that is no 0-d tensor.
    """

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        name = "grad_and_value(f)(*args)"
        tracked = Tracked(_chosen(argnums, args), name)
        result = tracked.call(func, *_replaced(argnums, args, tracked.inputs()), **kwargs)
        output, aux = _without_aux(result, has_aux, name)
        if not isinstance(output, Tensor):
            raise RuntimeError(
                f"{name}: Expected f(*args) to return a tensor, got type {type(output)}"
            )
        if output.dim() != 0:
            raise RuntimeError(
                f"{name}: Expected f(*args) to return a scalar tensor, got tensor with {output.dim()} dims. Maybe you wanted "
                "to use the vjp or jacrev APIs instead?"
            )
        again = tracked.known_outside(output)
        found = gradients([output], tracked.leaves, [ones_like(output.detach())], again)
        found = tracked.released(unflatten(found, tracked.spec))
        value = tracked.released(output)
        return (found, (value, tracked.released(aux))) if has_aux else (found, value)

    return wrapper


def value_and_grad(func, argnums=0, has_aux=False):
    """A function that gives (value, gradient) of `func`, in JAX's order; PyTorch has `grad_and_value` only. has_aux: it
    gives ((value, aux), gradient)."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        found, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return value, found

    return wrapper


def grad(func, argnums=0, has_aux=False):
    """A function that gives the gradient of `func`, which returns a 0-d tensor. See `grad_and_value`; has_aux: it
    gives (gradient, aux)."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        found, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapper


# ---------------------------------------------------------------------- products with the Jacobian


def vjp(func, *primals, has_aux=False):
    """(func(*primals), vjp_fn), and aux: vjp_fn(cotangents), of the output's structure, gives the products with the
    transposed Jacobian, a tuple with one for each primal. It may be called again, and under vmap."""
    name = "vjp(f, *primals)"
    tracked = Tracked(primals, name)
    output, aux = _without_aux(tracked.call(func, *tracked.inputs()), has_aux, name)
    outs, spec = _tensors(output, name)
    known = tracked.known_outside(*outs)

    def vjp_fn(cotangents=None, *, retain_graph=True, create_graph=None, **named):
        cotangents = named if cotangents is None else cotangents
        given, given_spec = flatten(cotangents)
        if given_spec != spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {given_spec}, primal output: {spec}"
            )
        again = Tracked([], name).outside and (known or any(g.requires_grad for g in given))
        again = again if create_graph is None else create_graph
        found = gradients(outs, tracked.leaves, given, again, retain_graph)
        return unflatten(found if again else [g.detach() for g in found], tracked.spec)

    released = tracked.released(output)
    return (released, vjp_fn, tracked.released(aux)) if has_aux else (released, vjp_fn)


class _Linear:
    """A function's product with its Jacobian at one point, to be called with tangents.

    The walk back by the outputs times u (zeros, tracked) is recorded; `product` differentiates what it
    gives by u."""

    def __init__(self, func, primals, has_aux, name):
        self.tracked = Tracked(primals, name)
        result = self.tracked.call(func, *self.tracked.inputs())
        output, aux = _without_aux(result, has_aux, name)
        self.outs, self.spec = _tensors(output, name)
        self.output, self.aux = self.tracked.released(output), self.tracked.released(aux)
        self.known = self.tracked.known_outside(*self.outs)
        with enable_grad():
            self.us = [
                zeros_for(y).requires_grad_() if y.requires_grad else None for y in self.outs
            ]
            self.back = some_gradients(self.outs, self.tracked.leaves, self.us, True)

    def product(self, tangents, retain_graph=True):
        """The derivative of the outputs (a list, as flat as they are) along `tangents` (one, or None, for each leaf)."""
        again = Tracked([], "jvp").outside and (
            self.known or any(v is not None and v.requires_grad for v in tangents)
        )
        pairs = [(g, v) for g, v in zip(self.back, tangents) if g is not None and v is not None]
        by = [u for u in self.us if u is not None]
        found = iter(
            some_gradients([g for g, _ in pairs], by, [v for _, v in pairs], again, retain_graph)
            if by
            else []
        )
        out = []
        for y, u in zip(self.outs, self.us):
            d = None if u is None else next(found)
            out.append(zeros_for(y) if d is None else d if again else d.detach())
        return out


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """(func(*primals), its derivative along `tangents`), and aux. primals, tangents: tuples of one structure.

    strict: raises RuntimeError where an output does not depend on the primals (else its derivative is zeros)."""
    name = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"{name}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    given, spec = flatten(tangents)
    if spec != flatten(primals)[1]:
        raise RuntimeError(
            f"{name}: Expected primals and tangents to have the same python structure. For example, if primals is a tuple of 3 "
            "tensors, tangents also must be. Got primals with structure "
            f"{flatten(primals)[1]} and tangents with structure {spec}"
        )
    _check_tangents(name, flatten(primals)[0], given)
    linear = _Linear(func, primals, has_aux, name)
    if strict and any(u is None for u in linear.us):
        raise RuntimeError(
            f"{name}: The output of f is independent of the inputs. This is not allowed with strict=True."
        )
    product = unflatten(linear.product(given), linear.spec)
    return (linear.output, product, linear.aux) if has_aux else (linear.output, product)


def _check_tangents(name, primals, tangents):
    for x, v in zip(primals, tangents):
        if not isinstance(v, Tensor):
            raise RuntimeError(
                f"{name}: Thing passed to transform API must be Tensor, got {type(v)}"
            )
        if isinstance(x, Tensor) and tuple(x.shape) != tuple(v.shape):
            raise RuntimeError(
                f"{name}: Expected tangents to have the shapes of the primals, got {list(v.shape)} for a primal of {list(x.shape)}"
            )


def linearize(func, *primals):
    """(func(*primals), jvp_fn): jvp_fn(*tangents) is the derivative along tangents at this point. The function runs
    once, however often jvp_fn is called."""
    linear = _Linear(func, primals, False, "linearize(f, *primals)")

    def jvp_fn(*tangents):
        given, spec = flatten(tangents)
        if spec != linear.tracked.spec:
            raise RuntimeError(
                f"Expected the tangents {spec} to have the same structure as the primals {linear.tracked.spec}"
            )
        _check_tangents("linearize(f, *primals)", linear.tracked.leaves, given)
        return unflatten(linear.product(given), linear.spec)

    return linear.output, jvp_fn


# ---------------------------------------------------------------------- Jacobians


def _basis(like):
    """The unit tensors of the shape of `like`: (numel, *shape)."""
    n = like.numel()
    return eye(n, dtype=like.dtype).reshape((n, *like.shape))


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """A function that gives the Jacobian of `func`, of shape (*output, *input), by reverse mode: for each tensor of the
    output the structure of the arguments that argnums names. chunk_size: at most so many rows at a time."""
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        chosen = _chosen(argnums, args)

        def part(*values):
            values = values[0] if isinstance(argnums, int) else values
            return func(*_replaced(argnums, args, values), **kwargs)

        primals = (chosen,) if isinstance(argnums, int) else chosen
        output, pull, *aux = vjp(part, *primals, has_aux=has_aux)
        product = (lambda v: pull(v)[0]) if isinstance(argnums, int) else pull
        outs, spec = _tensors(output, "jacrev")
        rows = [_rows_of(product, i, outs, spec, chunk_size) for i in range(len(outs))]
        result = unflatten(rows, spec)
        return (result, aux[0]) if has_aux else result

    return wrapper


def _rows_of(product, i, outs, spec, chunk_size):
    """The Jacobian of output number i."""

    def row(unit):
        return product(
            unflatten([unit if k == i else zeros_for(y) for k, y in enumerate(outs)], spec)
        )

    out = outs[i]
    if not out.numel():
        return tree_map(lambda x: zeros((*out.shape, *x.shape), dtype=x.dtype), row(zeros_for(out)))
    rows = vmap(row, chunk_size=chunk_size)(_basis(out))
    return tree_map(lambda r: r.reshape((*out.shape, *r.shape[1:])), rows)


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """`jacrev` by forward mode (see the module): better where there are fewer inputs than outputs. randomness: that of
    vmap over the columns; `func` itself runs once, so that its random numbers are the same for all of them."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        chosen = _chosen(argnums, args)

        def part(values):
            return func(*_replaced(argnums, args, values), **kwargs)

        linear = _Linear(part, (chosen,), has_aux, "jacfwd")
        leaves, spec = linear.tracked.leaves, linear.tracked.spec.children[0]
        columns = [_columns_of(linear, k, leaves, randomness) for k in range(len(leaves))]
        per_output = [unflatten([c[i] for c in columns], spec) for i in range(len(linear.outs))]
        result = unflatten(per_output, linear.spec)
        return (result, linear.aux) if has_aux else result

    return wrapper


def _columns_of(linear, k, leaves, randomness):
    """The Jacobians of all outputs by input number k."""

    def column(unit):
        return linear.product([unit if j == k else None for j in range(len(leaves))])

    x = leaves[k]
    if not x.numel():
        return [zeros((*y.shape, *x.shape), dtype=y.dtype) for y in linear.outs]
    columns = vmap(column, out_dims=-1, randomness=randomness)(_basis(x))
    return [c.reshape((*y.shape, *x.shape)) for c, y in zip(columns, linear.outs)]


def hessian(func, argnums=0):
    """A function that gives the Hessian of `func`: jacfwd of jacrev."""
    return jacfwd(jacrev(func, argnums), argnums)
