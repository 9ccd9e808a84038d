"""Views: shapes, values, shared memory and gradients of random chains of them, against NumPy."""

import numpy as np
import pytest
from arrays import array, check_gradients, same, tensor
from hypothesis import assume, given
from hypothesis import strategies as st

import dlgrad

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
full_shapes = st.lists(st.integers(1, 4), max_size=4).map(tuple)


def numbered(shape):
    return np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)


@st.composite
def steps(draw, shape):
    """One step that makes a view of an array of this shape: (name, for tensors, for arrays)."""
    n = len(shape)
    choices = ["unsqueeze", "reshape", "clone"]
    if n:
        choices += ["transpose", "permute", "slice", "squeeze", "narrow", "flatten", "movedim", "ellipsis"]
        if all(shape):
            choices += ["select", "expand", "unfold", "split"]
        if n >= 2:
            choices += ["diagonal", "T"]
    kind = draw(st.sampled_from(choices))
    if kind == "unsqueeze":
        d = draw(st.integers(-n - 1, n))
        return kind, lambda t: t.unsqueeze(d), lambda a: np.expand_dims(a, d)
    if kind == "reshape":
        numel = int(np.prod(shape))
        sizes = draw(st.lists(st.sampled_from([k for k in range(1, 9) if numel % k == 0]), max_size=3)) if numel else [0, 2]
        while numel and numel % int(np.prod(sizes)):
            sizes.pop()
        sizes = [*sizes, numel // int(np.prod(sizes))] if numel else sizes
        if numel and draw(st.booleans()):
            sizes[draw(st.integers(0, len(sizes) - 1))] = -1
        return kind, lambda t: t.reshape(sizes), lambda a: a.reshape(sizes)
    if kind == "clone":
        return kind, lambda t: t.clone(), lambda a: a.copy()
    d = draw(st.integers(-n, n - 1))
    e = draw(st.integers(-n, n - 1))
    size = shape[d]
    if kind == "transpose":
        return kind, lambda t: t.transpose(d, e), lambda a: np.swapaxes(a, d, e)
    if kind == "movedim":
        return kind, lambda t: t.movedim(d, e), lambda a: np.moveaxis(a, d, e)
    if kind == "permute":
        order = draw(st.permutations(range(n)))
        return kind, lambda t: t.permute(*order), lambda a: a.transpose(order)
    if kind == "T":
        return kind, lambda t: t.mT, lambda a: np.swapaxes(a, -1, -2)
    if kind == "slice":
        start, stop = draw(st.none() | st.integers(-5, 5)), draw(st.none() | st.integers(-5, 5))
        key = (slice(None),) * (d % n) + (slice(start, stop, draw(st.none() | st.integers(1, 3))),)
        return kind, lambda t: t[key], lambda a: a[key]
    if kind == "ellipsis":
        key = (..., None, slice(0, 2))
        return kind, lambda t: t[key], lambda a: a[key]
    if kind == "squeeze":
        if size == 1:
            return kind, lambda t: t.squeeze(d), lambda a: np.squeeze(a, d)
        return kind, lambda t: t.squeeze(), lambda a: np.squeeze(a)
    if kind == "narrow":
        start = draw(st.integers(0, size))
        length = draw(st.integers(0, size - start))
        key = (slice(None),) * (d % n) + (slice(start, start + length),)
        return kind, lambda t: t.narrow(d, start, length), lambda a: a[key]
    if kind == "flatten":
        first, last = sorted((d % n, e % n))
        middle = int(np.prod(shape[first : last + 1]))
        sizes = (*shape[:first], middle, *shape[last + 1 :])
        return kind, lambda t: t.flatten(first, last), lambda a: a.reshape(sizes)
    if kind == "select":
        i = draw(st.integers(-size, size - 1))
        return kind, lambda t: t.select(d, i), lambda a: np.take(a, i, d)
    if kind == "expand":
        sizes = tuple(draw(st.integers(1, 3)) if s == 1 else s for s in shape)
        more = draw(st.lists(st.integers(1, 2), max_size=1))
        sizes = (*more, *sizes)
        return kind, lambda t: t.expand(sizes), lambda a: np.broadcast_to(a, sizes)
    if kind == "unfold":
        width = draw(st.integers(1, size))
        step = draw(st.integers(1, 2))
        return (
            kind,
            lambda t: t.unfold(d, width, step),
            lambda a: np.lib.stride_tricks.sliding_window_view(a, width, d)[(slice(None),) * (d % n) + (slice(None, None, step),)],
        )
    if kind == "split":
        parts = draw(st.integers(1, size))
        which = draw(st.integers(0, -(-size // parts) - 1))
        key = (slice(None),) * (d % n) + (slice(which * parts, (which + 1) * parts),)
        return kind, lambda t: t.split(parts, d)[which], lambda a: a[key]
    assume(d % n != e % n)
    offset = draw(st.integers(-2, 2))
    return kind, lambda t: t.diagonal(offset, d, e), lambda a: np.diagonal(a, offset, d, e)


@st.composite
def chains(draw, of=shapes, most=5):
    """A shape, and a list of steps from it."""
    shape = draw(of)
    out, a = [], numbered(shape)
    for _ in range(draw(st.integers(1, most))):
        step = draw(steps(a.shape))
        a = step[2](a)
        if a.size > 400 or a.ndim > 7:
            break
        out.append(step)
    return shape, out


@given(chains())
def test_chains_of_views(chain):
    shape, chain = chain
    a = numbered(shape)
    t = tensor(a)
    for name, of_tensor, of_array in chain:
        t, a = of_tensor(t), of_array(a)
        assert tuple(t.shape) == a.shape, name
        assert t.numel() == a.size and t.ndim == a.ndim
        same(array(t), a, name)
        assert t.tolist() == a.tolist()
        assert not t.is_contiguous() or t.contiguous() is t
    same(array(t.exp()), array(tensor(a.copy()).exp()), "of a view")
    np.testing.assert_allclose(t.sum().item(), a.sum())


@given(chains(full_shapes))
def test_gradients_of_chains_of_views(chain):
    """The gradient of sum(view * w) is w added up where the view reads."""
    shape, chain = chain
    places = numbered(shape).astype(np.int64)
    x = tensor(numbered(shape)).requires_grad_()
    t = x
    for _, of_tensor, of_array in chain:
        t, places = of_tensor(t), of_array(places)
    weight = np.random.default_rng(0).uniform(1, 2, places.shape)
    (t * tensor(weight)).sum().backward()
    expected = np.zeros(int(np.prod(shape)))
    np.add.at(expected, places.reshape(-1), weight.reshape(-1))
    np.testing.assert_allclose(array(x.grad), expected.reshape(shape), 1e-12, 1e-12)


@given(chains(full_shapes), st.booleans())
def test_writes_through_views(chain, recorded):
    """A write to a view changes its base, in memory, and in the graph."""
    shape, chain = chain
    x = tensor(numbered(shape) + 1)
    leaf = tensor(np.ones(shape)).requires_grad_()
    base = x * leaf if recorded else x.clone()
    model = np.array(numbered(shape) + 1)
    places = numbered(shape).astype(np.int64)
    t = base
    for name, of_tensor, of_array in chain:
        if name in ("expand", "unfold", "clone"):
            continue
        try:
            moved = of_tensor(t)
            new = of_array(places)
        except (RuntimeError, ValueError, IndexError):
            break  # the steps were made for another shape
        if moved._storage is not t._storage:
            break  # reshape had to copy
        if tuple(moved.shape) != new.shape:
            break
        t, places = moved, new
        if name == "split":
            break
    if recorded and t is not base and any(name == "split" for name, _, _ in chain):
        return  # one of several views: PyTorch forbids the write
    t.mul_(3.0)
    flat = model.reshape(-1)
    flat[places.reshape(-1)] *= 3
    same(array(base), model)
    same(array(t), flat[places])
    if recorded:
        base.sum().backward()
        expected = np.array(numbered(shape) + 1).reshape(-1)
        expected[places.reshape(-1)] *= 3
        np.testing.assert_allclose(array(leaf.grad), expected.reshape(shape))


@given(st.data())
def test_broadcasting(data):
    shape = data.draw(st.lists(st.integers(0, 4), max_size=4).map(tuple))
    pair = []
    for _ in range(2):
        s = tuple(data.draw(st.sampled_from((1, n))) for n in shape)
        pair.append(s[data.draw(st.integers(0, len(s))) :])
    a, b = numbered(pair[0]) + 1, numbered(pair[1]) * 2 + 1
    same(array(tensor(a) + tensor(b)), a + b)
    same(array(tensor(a) > tensor(b)), a > b)
    assert tuple(dlgrad.broadcast_shapes(*pair)) == np.broadcast_shapes(*pair)
    x, y = tensor(a).requires_grad_(), tensor(b).requires_grad_()
    (x * y).sum().backward()
    full = np.broadcast_shapes(*pair)

    def collapsed(v, s):
        v = np.broadcast_to(v, full)
        v = v.sum(tuple(range(len(full) - len(s))))
        return v.sum(tuple(i for i, n in enumerate(s) if n == 1), keepdims=True)

    np.testing.assert_allclose(array(x.grad), collapsed(b, pair[0]))
    np.testing.assert_allclose(array(y.grad), collapsed(a, pair[1]))


@given(shapes, shapes)
def test_shapes_that_do_not_broadcast(a, b):
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(RuntimeError, match="add"):
            dlgrad.zeros(a) + dlgrad.zeros(b)
        with pytest.raises(RuntimeError):
            dlgrad.broadcast_shapes(a, b)
    else:
        assert tuple((dlgrad.zeros(a) + dlgrad.zeros(b)).shape) == expected


@given(shapes.filter(len), st.data())
def test_cat_and_stack(shape, data):
    d = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(data.draw(st.integers(1, 3))):
        s = list(shape)
        s[d] = data.draw(st.integers(0, 3))
        parts.append(numbered(s))
    same(array(dlgrad.cat([tensor(p) for p in parts], d)), np.concatenate(parts, d))
    e = data.draw(st.integers(-len(shape) - 1, len(shape)))
    many = [numbered(shape) + i for i in range(3)]
    same(array(dlgrad.stack([tensor(p) for p in many], e)), np.stack(many, e))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "float16"])
@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_a_few_lists_side_by_side_and_in_turns(k, dtype):
    """Copies and stacks with 2 to 5 elements along one side, which shuffles move, with rests and offsets."""
    for n in (1, 7, 8, 17, 100, 3000):
        a = (np.arange(k * n) % 251).reshape(k, n).astype(dtype)
        t = tensor(a)
        same(array(t.t().contiguous()), a.T)
        same(array(tensor(np.ascontiguousarray(a.T)).t().contiguous()), a)
        same(array(dlgrad.stack(list(t), -1)), a.T)
        same(array(dlgrad.cat([row.reshape(n, 1) for row in t], 1)), a.T)
        same(array(t[:, 1:].t().contiguous()), a[:, 1:].T)
    image = (np.arange(2 * k * 5 * 9) % 251).reshape(2, k, 5, 9).astype(dtype)
    same(array(tensor(image).permute(0, 2, 3, 1).contiguous()), image.transpose(0, 2, 3, 1))
    same(array(tensor(image).permute(0, 3, 2, 1).contiguous()), image.transpose(0, 3, 2, 1))


@given(shapes.filter(len), st.data())
def test_splitting_and_joining_gives_the_same(shape, data):
    d = data.draw(st.integers(0, len(shape) - 1))
    a = numbered(shape)
    t = tensor(a)
    if shape[d]:
        size = data.draw(st.integers(1, shape[d]))
        same(array(dlgrad.cat(t.split(size, d), d)), a)
        chunks = data.draw(st.integers(1, 5))
        same(array(dlgrad.cat(t.chunk(chunks, d), d)), a)
        same(array(dlgrad.stack(t.unbind(d), d)), a)
    for ours, theirs in zip(t.tensor_split(3, d), np.array_split(a, 3, d)):
        same(array(ours), theirs)


def test_second_derivatives_through_views():
    a = np.random.default_rng(0).normal(size=(3, 4))
    check_gradients(lambda x: (x[1:].t().reshape(-1) * x.reshape(-1)[:8]).exp(), [a])
    check_gradients(lambda x: x.unfold(1, 2, 1).square(), [a])
    check_gradients(lambda x: x.diagonal().expand(2, 3) * x.as_strided((2, 3), (4, 1), 1), [a])
    check_gradients(lambda x: dlgrad.cat([x, x.t().reshape(3, 4)], 1).sin(), [a])


def test_errors():
    x = dlgrad.zeros(2, 3)
    for f, kind in (
        (lambda: x.view(4), RuntimeError), (lambda: x.t().view(6), RuntimeError), (lambda: x.reshape(-1, -1), RuntimeError),
        (lambda: x.transpose(0, 2), IndexError), (lambda: x.permute(0), RuntimeError), (lambda: x.permute(0, 0), RuntimeError),
        (lambda: x.expand(3, 3), RuntimeError), (lambda: x.narrow(0, 1, 2), RuntimeError), (lambda: x.select(0, 2), IndexError),
        (lambda: x.unfold(0, 3, 1), RuntimeError), (lambda: x.unsqueeze(3), IndexError), (lambda: x.squeeze(2), IndexError),
        (lambda: x.as_strided((9,), (1,)), RuntimeError), (lambda: dlgrad.cat([x, dlgrad.zeros(3, 2)]), RuntimeError),
        (lambda: dlgrad.stack([x, x.t()]), RuntimeError), (lambda: x.split(0), RuntimeError),
    ):  # fmt: skip
        with pytest.raises(kind):
            f()


@pytest.mark.parametrize("write", [lambda v: v.mul_(2), lambda v: v.copy_(dlgrad.ones(2))])
def test_writes_through_views_of_a_transposed_base(write):
    """The gradient that arrives may be contiguous where the base is not: the written part must still be found in it."""
    factor = 2.0 if "mul_" in write.__code__.co_names else 0.0
    x = dlgrad.arange(6.0).view(2, 3).requires_grad_()
    base = x.t().clone()
    assert not base.is_contiguous()
    write(base[1])
    (base.contiguous() * dlgrad.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).sum().backward()
    assert x.grad.tolist() == [[1, 3 * factor, 5], [2, 4 * factor, 6]]


def test_gradient_of_as_strided_on_gaps():
    x = dlgrad.arange(8.0)[::2].detach().requires_grad_()
    (x.as_strided((3,), (2,)) ** 2).sum().backward()
    assert x.grad.tolist() == [0, 4, 8, 0]


def test_split_makes_one_node():
    x = dlgrad.arange(6.0, requires_grad=True)
    parts = x.split([1, 2, 3])
    assert len({part.grad_fn for part in parts}) == 1
    assert [part.storage_offset() for part in parts] == [0, 1, 3]
    (parts[0] * parts[2]).sum().backward()
    assert x.grad.tolist() == [12, 0, 0, 0, 0, 0]
    with pytest.raises(RuntimeError, match="several views"):
        parts[1].add_(1)


def test_clone_into_contiguous_memory():
    x = dlgrad.zeros(2, 3).t()
    assert x.clone().stride() == (1, 3)
    assert x.clone(memory_format=dlgrad.contiguous_format).stride() == (2, 1)
