"""Views: the shapes, strides and offsets that PyTorch gives, over random shapes and layouts."""

import torch
from hypothesis import given
from hypothesis import strategies as st

import dlgrad

from .both import outcome

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
dims = st.integers(-5, 5)

STEPS = {
    "transpose": st.tuples(dims, dims), "unsqueeze": st.tuples(dims), "squeeze": st.tuples() | st.tuples(dims),
    "select": st.tuples(dims, dims), "narrow": st.tuples(dims, st.integers(0, 4), st.integers(0, 4)),
    "unfold": st.tuples(dims, st.integers(1, 3), st.integers(1, 3)), "diagonal": st.tuples(st.integers(-2, 2), dims, dims),
    "flatten": st.tuples(dims, dims), "movedim": st.tuples(dims, dims), "t": st.tuples(), "contiguous": st.tuples(),
    "permute": st.permutations(range(4)).map(tuple) | st.permutations(range(3)).map(tuple) | st.permutations(range(2)).map(tuple),
    "expand": st.lists(st.integers(-1, 4), min_size=1, max_size=5).map(tuple), "reshape": st.lists(st.integers(-1, 6), max_size=4).map(lambda s: (tuple(s),)),
    "view": st.lists(st.integers(-1, 6), max_size=4).map(lambda s: (tuple(s),)), "clone": st.tuples(),
    "__getitem__": st.tuples(st.tuples(st.slices(4).filter(lambda s: s.step is None or s.step > 0), st.slices(4).filter(lambda s: s.step is None or s.step > 0))),
}  # fmt: skip


@st.composite
def chains(draw):
    chain = []
    for _ in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(sorted(STEPS)))
        chain.append((name, draw(STEPS[name])))
    return chain


def same_view(x, y, note):
    assert tuple(x.shape) == tuple(y.shape), note
    if y.numel():  # nobody reads the strides of nothing, or of a dimension of size 1
        strides = [(a, b) for n, a, b in zip(x.shape, x.stride(), y.stride()) if n > 1]
        assert all(a == b for a, b in strides), (note, x.shape, x.stride(), y.stride())
        assert x.storage_offset() == y.storage_offset(), note
    assert x.is_contiguous() == y.is_contiguous(), note
    assert x.tolist() == y.tolist(), note


@given(shapes, chains())
def test_chains(shape, chain):
    """Each step that PyTorch takes gives the same view here, and each that it refuses raises the same kind."""
    n = 1
    for s in shape:
        n *= s
    x, y = dlgrad.arange(n).reshape(shape), torch.arange(n).reshape(shape)
    for name, args in chain:
        theirs, error = outcome(lambda: getattr(y, name)(*args))
        if error is not None:
            _, ours = outcome(lambda: getattr(x, name)(*args))
            assert ours is not None, (name, args, tuple(y.shape), error)
            kinds = (RuntimeError, ValueError) if isinstance(error, (RuntimeError, ValueError)) else type(error)
            assert isinstance(ours, kinds), (name, args, tuple(y.shape), repr(error), repr(ours))
            continue
        x, y = getattr(x, name)(*args), theirs
        same_view(x, y, (name, args))


@given(shapes, st.sampled_from(["split", "chunk", "tensor_split", "unbind"]), st.integers(0, 5), dims)
def test_several(shape, name, n, d):
    x, y = dlgrad.zeros(shape), torch.zeros(shape)
    args = (d,) if name == "unbind" else (n, d)
    theirs, error = outcome(lambda: getattr(y, name)(*args))
    if error is not None:
        _, ours = outcome(lambda: getattr(x, name)(*args))
        assert ours is not None, (name, args, shape, error)
        return
    ours = getattr(x, name)(*args)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        same_view(a, b, (name, args))


@given(st.lists(st.integers(0, 3), max_size=3).map(tuple), st.lists(st.integers(0, 3), max_size=3).map(tuple), st.integers(0, 8))
def test_as_strided(size, stride, offset):
    theirs, error = outcome(lambda: torch.arange(12).as_strided(size, stride, offset))
    ours, our_error = outcome(lambda: dlgrad.arange(12).as_strided(size, stride, offset))
    assert (error is None) == (our_error is None), (size, stride, offset, error, our_error)
    if error is None:
        same_view(ours, theirs, (size, stride, offset))
