"""From NumPy arrays to tensors and back for the tests, without the conversion under test; and the
layouts that one array can have."""

import numpy as np

import dlgrad
from dlgrad._lib import ffi
from dlgrad._native import pointer
from dlgrad.ops.from_data import from_bytes

DTYPES = {
    "bool": np.bool_,
    "uint8": np.uint8,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "float16": np.float16,
    "float32": np.float32,
    "float64": np.float64,
    "complex64": np.complex64,
    "complex128": np.complex128,
}


def tensor(a, dtype=None):
    """The tensor with an array's values (dtype: a dlgrad dtype; default: the array's own)."""
    a = np.asarray(a)
    t = from_bytes(np.ascontiguousarray(a).tobytes(), tuple(a.shape), getattr(dlgrad, a.dtype.name))
    return t if dtype is None else t.to(dtype)


def array(t):
    """A tensor's values as an array (bfloat16 as float32)."""
    t = t.detach()
    if t.dtype is dlgrad.bfloat16:
        t = t.float()
    t = t.contiguous()
    raw = bytes(ffi.buffer(pointer(t._ptr), t.nbytes)) if t.numel() else b""
    return np.frombuffer(raw, DTYPES[t.dtype.name]).reshape(tuple(t.shape)).copy()


def layouts(a):
    """(name, tensor) for the ways in which the values of `a` can lie in memory."""
    a = np.asarray(a)
    yield "contiguous", tensor(a)
    if a.ndim >= 2:
        yield "transposed", tensor(np.ascontiguousarray(a.T)).permute(*reversed(range(a.ndim)))
        yield "swapped", tensor(np.ascontiguousarray(a.swapaxes(-1, -2))).transpose(-1, -2)
    if a.ndim:
        wide = np.zeros((*a.shape[:-1], a.shape[-1] * 2), a.dtype)
        wide[..., ::2] = a
        yield "stepped", tensor(wide)[..., ::2]
        tall = np.zeros((a.shape[0] * 3 + 1, *a.shape[1:]), a.dtype)
        tall[1::3][: a.shape[0]] = a
        yield "stepped rows", tensor(tall)[1::3]
    behind = np.concatenate([np.zeros(3, a.dtype), a.reshape(-1)])
    yield "offset", tensor(behind)[3:].reshape(a.shape)
    if a.ndim and a.shape[0] > 1 and (a == a[:1]).all():
        yield "broadcast", tensor(a[:1]).expand(*a.shape)


def same(actual, expected, message=""):
    """Equal to the last bit, except that one nan is as good as another."""
    assert actual.shape == expected.shape, (message, actual.shape, expected.shape)
    assert actual.dtype == expected.dtype, (message, actual.dtype, expected.dtype)
    np.testing.assert_array_equal(actual, expected, err_msg=str(message))


def numeric_gradient(f, arrays, which, grad_output=None, step=1e-6):
    """The gradient of sum(f(*arrays) * grad_output) by arrays[which], by central differences."""
    arrays = [np.array(a, np.float64) for a in arrays]
    out = np.zeros_like(arrays[which])
    flat, target = arrays[which].reshape(-1), out.reshape(-1)
    for i in range(flat.size):
        keep = flat[i]
        h = step * max(1.0, abs(keep))
        flat[i] = keep + h
        high = f(*arrays)
        flat[i] = keep - h
        low = f(*arrays)
        flat[i] = keep
        d = (high - low) / (2 * h)
        target[i] = d.sum() if grad_output is None else (d * grad_output).sum()
    return out


def check_gradients(f, arrays, second=True, rtol=1e-5, atol=1e-6, message=""):
    """First (and second) derivatives of a function of tensors against central differences, float64."""
    def value(*arrays):
        return array(f(*[tensor(a) for a in arrays]))

    rng = np.random.default_rng(1)
    arrays = [np.asarray(a, np.float64) for a in arrays]
    weight = rng.uniform(0.5, 1.5, value(*arrays).shape)

    def gradients(*arrays):
        inputs = [tensor(a).requires_grad_() for a in arrays]
        y = f(*inputs)
        return dlgrad.autograd.grad(
            (y * tensor(weight)).sum(), inputs, allow_unused=True, materialize_grads=True
        )

    first = gradients(*arrays)
    for i in range(len(arrays)):
        expected = numeric_gradient(value, arrays, i, weight)
        np.testing.assert_allclose(
            array(first[i]), expected, rtol, atol, err_msg=f"{message}: derivative by input {i}"
        )
    if not second:
        return
    inputs = [tensor(a).requires_grad_() for a in arrays]
    y = f(*inputs)
    firsts = dlgrad.autograd.grad(
        (y * tensor(weight)).sum(), inputs, create_graph=True, allow_unused=True, materialize_grads=True
    )
    for i in range(len(arrays)):
        np.testing.assert_allclose(
            array(firsts[i]), array(first[i]), 1e-9, 1e-11,
            err_msg=f"{message}: derivative by input {i}, with and without a graph of its own",
        )  # fmt: skip
        if not firsts[i].requires_grad:
            seconds = [dlgrad.zeros_like(t) for t in inputs]
        else:
            seconds = dlgrad.autograd.grad(
                (firsts[i] * 1.0).sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        for j in range(len(arrays)):
            expected = numeric_gradient(lambda *a: array(gradients(*a)[i]), arrays, j)
            np.testing.assert_allclose(
                array(seconds[j]), expected, rtol * 10, atol * 10,
                err_msg=f"{message}: second derivative by inputs {i} and {j}",
            )  # fmt: skip
