"""The same tensor here and in PyTorch, and their comparison."""

import numpy as np
import torch
from arrays import array, tensor

import dlgrad

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def both(a, dtype=None, grad=False):
    """An array as a pair (dlgrad, torch), in the dtype of this name."""
    a = np.asarray(a)
    name = dtype or a.dtype.name
    ours = tensor(a).to(getattr(dlgrad, name))
    theirs = torch.tensor(a).to(getattr(torch, name))
    if grad:
        ours, theirs = ours.detach().requires_grad_(), theirs.detach().requires_grad_()
    return ours, theirs


def name_of(dtype):
    return str(dtype).split(".")[-1]


def numbers(rng, shape, dtype, low=-3.0, high=3.0):
    """Values that every dtype can hold, as an array for `both`."""
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in EPS:
        return np.asarray(rng.uniform(low, high, shape))
    return np.asarray(rng.integers(0 if dtype == "uint8" else -9, 9, shape)).astype(dtype)


def agree(ours, theirs, ulps=8, message="", atol=None):
    """Same dtype, same shape, and values within some units of the last place."""
    assert name_of(ours.dtype) == name_of(theirs.dtype), (message, ours.dtype, theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape), (message, ours.shape, theirs.shape)
    a = array(ours)
    b = theirs.detach()
    b = (b.float() if b.dtype is torch.bfloat16 else b).numpy()
    if name_of(ours.dtype) not in EPS:
        np.testing.assert_array_equal(a, b, err_msg=str(message))
        return
    eps = EPS[name_of(ours.dtype)]
    np.testing.assert_allclose(
        a.astype(np.float64), b.astype(np.float64), ulps * eps, ulps * eps if atol is None else atol, err_msg=str(message)
    )


def outcome(f):
    """What a call gave: its result, or the kind of error it raised."""
    try:
        return f(), None
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as e:
        return None, e


def here(t):
    """The counterpart of a torch tensor, in its dtype and shape."""
    wide = t.detach().float() if t.dtype is torch.bfloat16 else t.detach()
    return tensor(wide.numpy()).to(getattr(dlgrad, name_of(t.dtype)))


def flat(value):
    """The tensors in a result, in order, through tuples, lists and dicts."""
    if value is None:
        return []
    if hasattr(value, "tolist"):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [t for item in value for t in flat(item)]


def close(ours, theirs, rtol=1e-4, atol=1e-5):
    """The tensors in one result are near the tensors in the other (float32 through whole layers)."""
    ours, theirs = flat(ours), flat(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        a, b = array(a), b.detach().numpy()
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol, atol)
