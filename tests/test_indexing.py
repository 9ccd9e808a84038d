"""x[...]: random keys, reading, writing and their gradients, against NumPy."""

import numpy as np
import pytest
from arrays import array, check_gradients, same, tensor
from hypothesis import assume, given
from hypothesis import strategies as st

import dlgrad


def numbered(shape):
    return np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)


@st.composite
def cases(draw, advanced=True):
    """(shape, key for tensors, the same key for arrays)."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple))
    used = draw(st.integers(0, len(shape)))
    ellipsis_at = draw(st.none() | st.integers(0, used))
    common = draw(st.lists(st.integers(1, 3), max_size=2).map(tuple))
    ours, theirs, d = [], [], 0
    for i in range(used + 1):
        if ellipsis_at == i:
            ours.append(...), theirs.append(...)
            d = len(shape) - (used - d)
        if draw(st.integers(0, 7)) == 0:
            ours.append(None), theirs.append(None)
        if i == used or d >= len(shape):
            continue
        n = shape[d]
        kind = draw(st.sampled_from(["int", "slice", "all"] + ["array", "mask", "list"] * advanced))
        if kind == "int":
            k = draw(st.integers(-n, n - 1))
            ours.append(k), theirs.append(k)
        elif kind == "slice":
            k = slice(draw(st.none() | st.integers(-5, 5)), draw(st.none() | st.integers(-5, 5)), draw(st.none() | st.integers(1, 3)))
            ours.append(k), theirs.append(k)
        elif kind == "all":
            ours.append(slice(None)), theirs.append(slice(None))
        elif kind == "mask":
            m = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
            ours.append(tensor(m)), theirs.append(m)
        else:
            size = tuple(draw(st.sampled_from((1, s))) for s in common)
            values = draw(st.lists(st.integers(-n, n - 1), min_size=int(np.prod(size)), max_size=int(np.prod(size))))
            index = np.array(values, np.int64).reshape(size)
            ours.append(index.tolist() if kind == "list" and size else tensor(index)), theirs.append(index)
        d += 1
    assume(not any(isinstance(k, tuple) for k in ours))
    return shape, tuple(ours), tuple(theirs)


def read(a, key):
    """NumPy's answer, or None where it refuses the key, or puts the indexed dimensions elsewhere than
    PyTorch does (an integer beside an index array counts as one in NumPy only)."""
    mixed = any(isinstance(k, np.ndarray) for k in key)
    try:
        if mixed and any(isinstance(k, int) for k in key):
            # Integers first, as PyTorch does it.
            first = []
            consumed = sum(k is not None and k is not ... for k in key)
            for k in key:
                if k is None:
                    continue
                if k is ...:
                    first += [slice(None)] * (a.ndim - consumed)
                else:
                    first.append(k if isinstance(k, int) else slice(None))
            rest = tuple(k for k in key if not isinstance(k, int))
            return a[tuple(first)][rest]
        return a[key]
    except (IndexError, ValueError):
        return None


@given(cases(advanced=False))
def test_views(case):
    shape, key, _ = case
    a = numbered(shape)
    t = tensor(a)
    view = t[key]
    same(array(view), np.asarray(a[key]))
    assert view._storage is t._storage


@given(cases())
def test_reading(case):
    shape, ours, theirs = case
    a = numbered(shape)
    expected = read(a, theirs)
    if expected is None:
        with pytest.raises((IndexError, RuntimeError)):
            tensor(a)[ours]
        return
    same(array(tensor(a)[ours]), np.asarray(expected), ours)
    for t in (tensor(a.T.copy()).permute(*reversed(range(a.ndim))), tensor(np.repeat(a, 2, -1))[..., ::2]):
        same(array(t[ours]), np.asarray(expected), "of another layout")


@given(cases())
def test_gradient_of_reading(case):
    shape, ours, theirs = case
    places = read(numbered(shape).astype(np.int64), theirs)
    assume(places is not None)
    x = tensor(numbered(shape)).requires_grad_()
    weight = np.random.default_rng(0).uniform(1, 2, np.shape(places))
    (x[ours] * tensor(weight)).sum().backward()
    expected = np.zeros(int(np.prod(shape)))
    np.add.at(expected, np.reshape(places, -1), weight.reshape(-1))
    np.testing.assert_allclose(array(x.grad), expected.reshape(shape))


@given(cases(), st.sampled_from(["number", "whole", "broadcast"]), st.booleans())
def test_writing(case, what, recorded):
    shape, ours, theirs = case
    places = read(numbered(shape).astype(np.int64), theirs)
    assume(places is not None)
    places = np.asarray(places)
    flat = places.reshape(-1)
    assume(len(set(flat.tolist())) == flat.size)  # else it is not said which value stays
    size = {"number": (), "whole": places.shape, "broadcast": places.shape[-1:]}[what]
    value = -1.0 - numbered(size)
    model = numbered(shape)
    model.reshape(-1)[places] = value
    leaf = tensor(np.ones(shape)).requires_grad_()
    v = tensor(value).requires_grad_()
    if not recorded:
        t = tensor(numbered(shape))
        t[ours] = value.item() if what == "number" else tensor(value)
        same(array(t), model)
        return
    t = tensor(numbered(shape)) * leaf
    t[ours] = v
    same(array(t), model)
    weight = np.random.default_rng(1).uniform(1, 2, shape)
    (t * tensor(weight)).sum().backward()
    expected = (weight * numbered(shape)).reshape(-1)
    expected[flat] = 0
    np.testing.assert_allclose(array(leaf.grad), expected.reshape(shape))
    reached = weight.reshape(-1)[places]
    lead = reached.ndim - len(size)
    np.testing.assert_allclose(array(v.grad), reached.sum(tuple(range(lead))) if reached.size or v.grad is not None else 0, 1e-10)


@given(cases())
def test_adding_in_place(case):
    """x[key] += 1, where no place is named twice."""
    shape, ours, theirs = case
    places = read(numbered(shape).astype(np.int64), theirs)
    assume(places is not None)
    flat = np.asarray(places).reshape(-1)
    assume(len(set(flat.tolist())) == flat.size)
    t, model = tensor(numbered(shape)), numbered(shape)
    t[ours] += 1.0
    model.reshape(-1)[flat] += 1
    same(array(t), model)


@given(st.lists(st.integers(0, 4), max_size=3).map(tuple), st.data())
def test_masks(shape, data):
    a = numbered(shape)
    ndim = data.draw(st.integers(0, len(shape)))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=int(np.prod(shape[:ndim])), max_size=int(np.prod(shape[:ndim])))), bool)
    mask = mask.reshape(shape[:ndim])
    t, m = tensor(a), tensor(mask)
    same(array(t[m]), a[mask])
    same(array(m.nonzero()), np.argwhere(mask).astype(np.int64))
    t[m] = -1.0
    a[mask] = -1
    same(array(t), a)
    if ndim == len(shape):
        same(array(dlgrad.masked_select(tensor(a), m)), a[mask].reshape(-1))
        same(array(tensor(a).masked_fill(m, 7.0)), np.where(mask, 7.0, a))


@given(st.data())
def test_gather_scatter_and_index_select(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    d = data.draw(st.integers(-len(shape), len(shape) - 1))
    a = numbered(shape)
    size = list(shape)
    size[d] = data.draw(st.integers(1, 5))
    index = np.array(data.draw(st.lists(st.integers(0, shape[d] - 1), min_size=int(np.prod(size)), max_size=int(np.prod(size)))), np.int64)
    index = index.reshape(size)
    same(array(tensor(a).gather(d, tensor(index))), np.take_along_axis(a, index, d))
    x = tensor(a).requires_grad_()
    x.gather(d, tensor(index)).sum().backward()
    expected = np.zeros(shape)
    grid = list(np.indices(size))
    grid[d] = index
    np.add.at(expected, tuple(grid), 1.0)
    same(array(x.grad), expected)
    same(array(dlgrad.zeros(shape, dtype=dlgrad.float64).scatter_add(d, tensor(index), dlgrad.ones(size, dtype=dlgrad.float64))), expected)
    line = index.reshape(-1)[: size[d]]
    same(array(tensor(a).index_select(d, tensor(line))), np.take(a, line, d))


def test_second_derivatives():
    a = np.random.default_rng(0).normal(size=(3, 4))
    index = dlgrad.tensor([[0, 2], [2, 1]])
    check_gradients(lambda x: x[index].exp(), [a])
    check_gradients(lambda x: x[:, [0, 0, 3]].square() * x[dlgrad.tensor([True, False, True])].sum(), [a])

    def write(x, v):
        y = x * 2
        y[1:, [0, 2]] = v
        return y.square()

    check_gradients(write, [a, np.array([1.5, -0.5])])

    def accumulate(x, v):
        y = x * x
        y.index_put_((dlgrad.tensor([0, 0, 1]),), v * v, accumulate=True)
        return y.sin()

    check_gradients(accumulate, [a, np.random.default_rng(1).normal(size=(3, 4))])


def test_writes_to_leaves_and_to_expanded_memory_raise():
    x = dlgrad.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 1.0
    with pytest.raises(RuntimeError, match="leaf"):
        x[[0, 1]] = 1.0
    with pytest.raises(RuntimeError, match="single memory location"):
        dlgrad.zeros(1).expand(3)[[0, 1]] = 1.0


def test_errors():
    x = dlgrad.zeros(2, 3)
    for f, kind in (
        (lambda: x[2], IndexError), (lambda: x[-3], IndexError), (lambda: x[0, 0, 0], IndexError), (lambda: x[..., ...], IndexError),
        (lambda: x[::-1], ValueError), (lambda: x[1.0], (TypeError, IndexError)), (lambda: x["a"], (TypeError, IndexError)),
        (lambda: x[[2]], IndexError), (lambda: x[dlgrad.tensor([0, -3])], IndexError), (lambda: x[dlgrad.tensor([0.5])], IndexError),
        (lambda: x[dlgrad.tensor([True])], IndexError), (lambda: x[[0, 1], [0, 1, 2]], (IndexError, RuntimeError)),
        (lambda: x.gather(0, dlgrad.tensor([[2]])), (IndexError, RuntimeError)), (lambda: dlgrad.tensor(1.0)[0], IndexError),
    ):  # fmt: skip
        with pytest.raises(kind):
            f()
    for key, value in ((0, dlgrad.zeros(4)), ([0, 1], dlgrad.zeros(5)), (slice(None), dlgrad.zeros(3, 3))):
        with pytest.raises(RuntimeError):
            x[key] = value


def test_a_mask_that_another_has_replaced_counts_anew():
    """How many elements a mask takes is looked at each time."""
    for mask, count in (([True, False, True, True], 3), ([True, True, False, False], 2), ([False] * 4, 0)) * 3:
        mask = dlgrad.tensor(mask)
        values = dlgrad.arange(1.0, 1 + count)
        want = [float(v) if m else 0.0 for m, v in zip(mask.tolist(), mask.cumsum(0).tolist())]
        x, rows = dlgrad.zeros(4), dlgrad.zeros(4, 2)
        x[mask] = values
        rows[mask] = values[:, None].expand(count, 2).contiguous()
        assert x.tolist() == want and rows.tolist() == [[v, v] for v in want]
        assert x[mask].tolist() == values.tolist() and rows[mask].shape == (count, 2)
        for wrong in (dlgrad.ones(count + 2), dlgrad.ones(5)):
            with pytest.raises((RuntimeError, IndexError), match="shape mismatch"):
                x[mask] = wrong
        assert x.tolist() == want


def test_masks_and_values_in_the_memory_that_is_written_to():
    for _ in range(3):
        x = dlgrad.arange(6.0).reshape(2, 3)
        x[x > 2] = x[0, 1]
        assert x.tolist() == [[0, 1, 2], [1, 1, 1]]
        flags = dlgrad.tensor([True, False, True])
        flags[flags] = False
        assert flags.tolist() == [False] * 3
        flags = dlgrad.tensor([True, False, True])
        flags[flags.view(-1)] = dlgrad.tensor(False)
        assert flags.tolist() == [False] * 3


def test_a_leaf_is_not_written_to_through_a_mask():
    mask = dlgrad.tensor([True, False])
    for value in (1.0, dlgrad.tensor(1.0), dlgrad.tensor([1.0])):
        for _ in range(3):
            leaf = dlgrad.zeros(2, requires_grad=True)
            with pytest.raises(RuntimeError, match="leaf Variable"):
                leaf[mask] = value
            with dlgrad.no_grad():
                leaf[mask] = value
            assert leaf.tolist() == [1, 0] and leaf.is_leaf
