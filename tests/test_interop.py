"""Exchange with NumPy, buffers and DLPack: what is shared, what is copied, what is refused."""

import array
import gc
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest

import dlgrad
from dlgrad import interop

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128"]
SHAPES = [(), (0,), (3,), (2, 3), (2, 0, 3), (1, 4, 1)]


def sample(name, shape):
    return np.array(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3, name)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_way_round(name, shape):
    a = sample(name, shape)
    for t in (dlgrad.tensor(a), dlgrad.from_numpy(a), dlgrad.as_tensor(a), dlgrad.from_dlpack(a)):
        assert (t.dtype, tuple(t.shape)) == (getattr(dlgrad, name), shape)
        assert t.tolist() == a.tolist()
        for b in (t.numpy(), np.asarray(t), np.array(t), np.from_dlpack(t), np.asarray(interop.Tensor.__array__(t))):
            assert (b.dtype, b.shape) == (a.dtype, shape)
            assert b.tolist() == a.tolist()


def test_copies_are_copies_and_views_are_views():
    a = np.zeros((2, 3), np.float32)
    shared, copied = dlgrad.from_numpy(a), dlgrad.tensor(a)
    a[0, 1] = 5
    assert (shared[0, 1].item(), copied[0, 1].item()) == (5, 0)
    shared[1, 2] = 7
    assert a[1, 2] == 7
    b = copied.numpy()
    b[0, 0] = 9
    assert copied[0, 0].item() == 9
    copied.add_(1)
    assert b[0, 0] == 10
    c = np.asarray(copied)
    c[0, 0] = 3
    assert copied[0, 0].item() == 3
    d = np.from_dlpack(copied)
    d[0, 0] = 4
    assert copied[0, 0].item() == 4


def test_strides():
    a = np.arange(24.0).reshape(2, 3, 4)
    for b in (a.T, a[:, ::2], a[1, :, ::3], a[:, 1:2], a.transpose(1, 0, 2), np.broadcast_to(a[0], (5, 3, 4)).copy()[::2]):
        for t in (dlgrad.from_numpy(b), dlgrad.tensor(b), dlgrad.from_dlpack(b)):
            assert t.tolist() == b.tolist()
            assert t.numpy().tolist() == b.tolist()
        assert dlgrad.from_numpy(b).numpy().ctypes.data == b.ctypes.data
    for b in (a[::-1], a[:, :, ::-1], a.T[::-2]):
        assert dlgrad.tensor(b).tolist() == b.tolist()
        with pytest.raises(ValueError, match="negative"):
            dlgrad.from_numpy(b)
    t = dlgrad.arange(24.0).reshape(2, 3, 4).transpose(0, 2)[1:, ::2]
    assert t.numpy().tolist() == np.asarray(t).tolist() == np.from_dlpack(t).tolist() == t.tolist()
    e = dlgrad.tensor([1.0, 2.0]).expand(3, 2)
    assert e.numpy().strides == (0, 4) and e.numpy().tolist() == e.tolist()


def test_refused_arrays():
    with pytest.raises(TypeError, match="expected np.ndarray"):
        dlgrad.from_numpy([1, 2])
    for bad in (np.array([None]), np.array(["a"]), np.zeros(2, np.uint16), np.zeros(2, np.longdouble),
                np.zeros(2, "M8[s]"), np.zeros(2, [("x", "f4"), ("y", "f4")])):  # fmt: skip
        for make in (dlgrad.tensor, dlgrad.from_numpy, dlgrad.as_tensor):
            with pytest.raises(TypeError, match="only supported types"):
                make(bad)
    fields = np.zeros(4, [("x", "f4"), ("y", "i1")])["x"]
    with pytest.raises(ValueError, match="multiple of the element byte size"):
        dlgrad.from_numpy(fields)
    assert dlgrad.tensor(fields).tolist() == [0, 0, 0, 0]
    big = np.arange(3, dtype=">i4")
    assert dlgrad.tensor(big).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="byte order"):
        dlgrad.from_numpy(big)
    for bad in ("text", b"bytes", {1: 2}, {1}, object(), None):
        with pytest.raises(TypeError):
            interop.tensor_from_array(bad)


def test_read_only_memory_warns():
    a = np.zeros(3)
    a.flags.writeable = False
    for share in (dlgrad.from_numpy, dlgrad.from_dlpack):
        with pytest.warns(UserWarning, match="not writable"):
            share(a)
    with pytest.warns(UserWarning, match="not writable"):
        dlgrad.frombuffer(b"abcd", dtype=dlgrad.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dlgrad.tensor(a).tolist() == [0, 0, 0]
        assert dlgrad.from_dlpack(a, copy=True).tolist() == [0, 0, 0]


def test_numpy_scalars():
    for name in NAMES:
        t = dlgrad.tensor(np.ones((), name)[()])
        assert (t.dtype, t.shape, t.item()) == (getattr(dlgrad, name), (), 1)


def test_lists_of_arrays():
    t = dlgrad.tensor([np.zeros(2, np.float32), np.ones(2, np.int64)])
    assert t.dtype is dlgrad.float32 and t.tolist() == [[0, 0], [1, 1]]
    t = dlgrad.tensor([np.zeros((1, 2)), np.ones((1, 2))], dtype=dlgrad.int16)
    assert t.dtype is dlgrad.int16 and t.tolist() == [[[0, 0]], [[1, 1]]]
    with pytest.raises(ValueError, match="element 1"):
        dlgrad.tensor([np.zeros(2), np.zeros(3)])


def test_dtype_is_converted():
    assert dlgrad.tensor(np.array([1.7, -2.2]), dtype=dlgrad.int32).tolist() == [1, -2]
    assert dlgrad.tensor(np.arange(3), dtype=dlgrad.bfloat16).dtype is dlgrad.bfloat16
    assert dlgrad.tensor(np.zeros(2), requires_grad=True).requires_grad


def test_buffers_are_read_as_lists_of_their_numbers():
    for data, dtype in ((array.array("d", [1, 2]), dlgrad.float32), (bytearray([1, 2]), dlgrad.int64),
                        (memoryview(array.array("h", [9, 1, 9, 2]))[1::2], dlgrad.int64), (range(1, 3), dlgrad.int64)):
        t = dlgrad.tensor(data)
        assert (t.dtype, t.tolist()) == (dtype, [1, 2])
    assert dlgrad.tensor(array.array("d", [1.5]), dtype=dlgrad.float64).tolist() == [1.5]
    two = memoryview(bytes(range(6))).cast("B", (2, 3))
    assert dlgrad.tensor(two).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_foreign_array_objects():
    class Interface:
        __array_interface__ = {"version": 3, "shape": (2,), "typestr": "|u1", "data": b"\x01\x02"}

    class Array:
        def __array__(self, dtype=None, copy=None):
            return np.array([1, 2], np.uint8)

    for make in (dlgrad.tensor, dlgrad.as_tensor):
        for cls in (Interface, Array):
            t = make(cls())
            assert (t.dtype, t.tolist()) == (dlgrad.uint8, [1, 2])


def test_numpy_refuses():
    x = dlgrad.tensor([1.0], requires_grad=True)
    for get in (x.numpy, (x * 2).numpy, lambda: np.asarray(x)):
        with pytest.raises(RuntimeError, match="requires grad. Use tensor.detach"):
            get()
    assert x.numpy(force=True).tolist() == [1.0]
    for get in (lambda t: t.numpy(), np.asarray):
        with pytest.raises(TypeError, match="BFloat16"):
            get(dlgrad.zeros(2, dtype=dlgrad.bfloat16))
    assert not hasattr(x, "__array_interface__")


@pytest.mark.parametrize("export", [lambda t: t.numpy(), np.asarray, np.from_dlpack,
                                    lambda t: np.asarray(t.__buffer__(0))])  # fmt: skip
def test_memory_outlives_the_tensor(export):
    t = dlgrad.arange(1000.0)
    alive = weakref.ref(t._storage)
    a = export(t)
    t.data = dlgrad.zeros(3)
    del t
    gc.collect()
    assert alive() is not None
    dlgrad.ones(1000)
    assert a[999] == 999
    del a
    gc.collect()
    assert alive() is None


def test_array_outlives_its_name():
    for share in (dlgrad.from_numpy, dlgrad.from_dlpack):
        a = np.arange(1000.0)
        count = sys.getrefcount(a)
        t = share(a)
        view = t[10:]
        del t
        gc.collect()
        assert sys.getrefcount(a) > count
        assert view[0].item() == 10
        del view
        gc.collect()
        assert sys.getrefcount(a) == count


def holders(t):
    return sys.getrefcount(t._storage)


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_capsules_are_consumed_once(version):
    t = dlgrad.arange(3.0)
    before = holders(t)
    capsule = t.__dlpack__(max_version=version)
    assert ("dltensor_versioned" if version else "dltensor") in repr(capsule)
    u = dlgrad.from_dlpack(capsule)
    assert u.data_ptr() == t.data_ptr() and u.tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="only once"):
        dlgrad.from_dlpack(capsule)
    del capsule
    assert holders(t) == before + 1
    del u
    assert holders(t) == before
    capsule = t.__dlpack__(max_version=version)
    assert holders(t) == before + 1
    del capsule  # nobody took it
    assert holders(t) == before


@pytest.mark.parametrize("lend", [np.from_dlpack, lambda t: t.__dlpack__()])
def test_what_is_lent_comes_back_while_an_exception_is_raised(lend):
    t = dlgrad.arange(3.0)
    before = holders(t)
    with pytest.raises(ZeroDivisionError):
        [lend(t), 1 / 0]
    assert holders(t) == before


def test_dlpack_arguments():
    t = dlgrad.ones(2, dtype=dlgrad.bfloat16)
    assert t.__dlpack_device__() == (1, 0)
    assert dlgrad.from_dlpack(t.__dlpack__()).dtype is dlgrad.bfloat16
    assert dlgrad.from_dlpack(t).data_ptr() == t.data_ptr()
    assert dlgrad.from_dlpack(t, copy=True).data_ptr() != t.data_ptr()
    assert dlgrad.from_dlpack(t.__dlpack__(copy=True)).data_ptr() != t.data_ptr()
    with pytest.raises(BufferError, match="require gradient"):
        dlgrad.ones(2, requires_grad=True).__dlpack__()
    with pytest.raises(BufferError):
        t.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="uint"):
        dlgrad.from_dlpack(np.zeros(2, np.uint16))
    with pytest.raises(BufferError, match="negative"):
        dlgrad.from_dlpack(np.zeros(4)[::-1])
    with pytest.raises(RuntimeError, match="invalid"):
        dlgrad.from_dlpack([1, 2])


def test_frombuffer():
    b = bytearray(8)
    t = dlgrad.frombuffer(b, dtype=dlgrad.int32)
    t[1] = 258
    assert bytes(b) == bytes([0] * 4) + (258).to_bytes(4, sys.byteorder)
    with pytest.raises(BufferError):
        b.append(1)  # would move the memory
    assert dlgrad.frombuffer(b, dtype=dlgrad.uint8, count=2, offset=3).shape == (2,)
    assert dlgrad.frombuffer(b, dtype=dlgrad.float32, requires_grad=True).requires_grad
    for wrong in ({"offset": 8}, {"offset": -1}, {"count": 3}, {"count": 0}, {"offset": 1}):
        with pytest.raises(ValueError):
            dlgrad.frombuffer(b, dtype=dlgrad.int32, **wrong)
    for wrong in (b"", [1]):
        with pytest.raises(ValueError):
            dlgrad.frombuffer(wrong, dtype=dlgrad.int32)
    with pytest.raises(TypeError):
        dlgrad.frombuffer(b, dtype="int32")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [n for n in NAMES if n != "float16" and "complex" not in n])
def test_buffer_protocol(name, shape):
    a = sample(name, shape)
    t = dlgrad.tensor(a)
    if shape == (2, 0, 3):  # no memoryview has such a shape
        with pytest.raises(BufferError, match=r"shape \(2, 0, 3\)"):
            t.__buffer__(0)
        return
    view = t.__buffer__(0)
    assert (view.nbytes, view.shape, view.tolist()) == (a.nbytes, shape, a.tolist())


def test_buffer_refuses():
    for t in (dlgrad.ones(2, requires_grad=True), dlgrad.ones(2, dtype=dlgrad.bfloat16), dlgrad.ones(2, dtype=dlgrad.complex64), dlgrad.ones(2, 3).T):
        with pytest.raises(BufferError):
            t.__buffer__(0)


def test_numpy_and_ctypes_stay_unloaded():
    code = (
        "import sys, dlgrad; t = dlgrad.tensor([1, 2]); repr(t); "
        "dlgrad.tensor(range(3)); dlgrad.frombuffer(bytearray(4), dtype=dlgrad.int32); "
        "print([m for m in ('numpy', 'ctypes', 'dlgrad._dlpack') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
