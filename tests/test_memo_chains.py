"""Memos of functions that take several steps (zig/python/memo_chain.zig): what is taken again without the Python function is
what the function says."""

import gc
import threading

import pytest

import dlgrad
from dlgrad._native import native
from dlgrad.plan import memo

F = dlgrad.nn.functional
TIMES = 5  # a key is learned at its second sight

pytestmark = pytest.mark.native


def numbers(seed, *shape):
    return dlgrad.randn(*shape, generator=dlgrad.Generator().manual_seed(seed))


INDEX = [[0, 2, 1], [3, 0, 0]]

FUNCTIONS = {
    "clamp": (dlgrad.clamp, lambda x: (x, x - 1, x * 0.5)),
    "cross": (dlgrad.cross, lambda x: (x, x.flip(0))),
    "cdist": (dlgrad.cdist, lambda x: (x, x[1:])),
    "fft": (dlgrad.fft.fft, lambda x: (x,)),
    "irfft": (dlgrad.fft.irfft, lambda x: (dlgrad.complex(x, -x), 4)),
    "std_mean": (dlgrad.std_mean, lambda x: (x, 1)),
    "aminmax": (dlgrad.aminmax, lambda x: (x,)),
    "frexp": (dlgrad.frexp, lambda x: (x,)),
    "pad": (F.pad, lambda x: (x[None], (1, 1), "reflect")),
    "interpolate": (F.interpolate, lambda x: (x[None], 7)),
    "scatter_add": (dlgrad.scatter_add, lambda x: (x, 0, dlgrad.tensor(INDEX), x + 1)),
    "scatter_mean": (dlgrad.scatter_reduce, lambda x: (x, 0, dlgrad.tensor(INDEX), x + 1, "mean")),
    "index_add": (dlgrad.index_add, lambda x: (x, 0, dlgrad.tensor([1, 1]), x[:2])),
    "tensordot": (dlgrad.tensordot, lambda x: (x, x.clone(), [[0], [0]])),
    "kron": (dlgrad.kron, lambda x: (x, x[:2])),
    "solve": (dlgrad.linalg.solve, lambda x: (x.t() @ x + dlgrad.eye(3), x[:3])),
    "slogdet": (dlgrad.linalg.slogdet, lambda x: (x.t() @ x + dlgrad.eye(3),)),
    "normalize": (F.normalize, lambda x: (x,)),
    "cosine_similarity": (F.cosine_similarity, lambda x: (x, x.flip(0))),
    "meshgrid": (dlgrad.meshgrid, lambda x: (x[0].clone(), x[:, 0].clone())),
    "broadcast_tensors": (dlgrad.broadcast_tensors, lambda x: (x, x[:1])),
    "logaddexp": (dlgrad.logaddexp, lambda x: (x, -x)),
    "polygamma": (dlgrad.polygamma, lambda x: (1, x.abs() + 1)),
    "cov": (dlgrad.cov, lambda x: (x,)),
    "vander": (dlgrad.vander, lambda x: (x[0],)),
    "nan_to_num": (dlgrad.nan_to_num, lambda x: (x / (x > 0),)),
    "linspace": (dlgrad.linspace, lambda x: (0, 1, 5)),
}  # fmt: skip


def listed(result):
    return [t.tolist() for t in result] if isinstance(result, tuple) else result.tolist()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("state", ["plain", "transposed", "part", "no_grad"])
def test_other_numbers_of_the_same_shapes(name, state):
    f, arguments = FUNCTIONS[name]
    slow = getattr(f, "__wrapped__", f)
    for seed in range(TIMES):
        x = numbers(seed, 4, 3)
        if state == "transposed":
            x = x.t().contiguous().t()
        elif state == "part":
            x = numbers(seed, 6, 5)[1:5, 2:]
        elif state == "no_grad":
            x.requires_grad_()
        with dlgrad.set_grad_enabled(state != "no_grad"):
            args = arguments(x)
            if name == "nan_to_num":
                args = (dlgrad.where(x > 0, x, float("nan")),)
            want, got = slow(*args), f(*args)
        assert listed(got) == listed(want)
        assert type(got) is type(want)
        for a, b in zip(*[r if isinstance(r, tuple) else (r,) for r in (got, want)]):
            assert (a.dtype, a.shape, a.stride(), a.storage_offset()) == (
                b.dtype,
                b.shape,
                b.stride(),
                b.storage_offset(),
            )
            assert a.requires_grad == b.requires_grad
            assert a._version in (0, b._version) and (a._base is None) == (b._base is None)


def test_functions_are_learned():
    for name in ("clamp", "fft", "slogdet", "scatter_mean", "pad", "meshgrid", "std_mean"):
        f, arguments = FUNCTIONS[name]
        f.forget()
        for seed in range(TIMES):
            f(*arguments(numbers(seed, 4, 3)))
        assert f.known() > 0, name


@pytest.mark.parametrize("name", ["clamp", "cdist", "normalize", "scatter_mean", "kron", "slogdet"])
def test_gradients_as_without(name):
    f, arguments = FUNCTIONS[name]
    for seed in range(TIMES):
        gradients = []
        for g in (f.__wrapped__, f):
            x = numbers(seed, 4, 3).requires_grad_()
            f(*arguments(x.detach()))
            result = g(*arguments(x))
            sum(
                [t.square().sum() for t in (result if isinstance(result, tuple) else (result,))]
            ).backward()
            gradients.append(x.grad.tolist())
        assert gradients[0] == gradients[1]


def test_a_result_is_nobody_elses():
    x = numbers(0, 4, 3)
    first = [dlgrad.clamp(x, x - 1, x + 1) for _ in range(TIMES)]
    for t in first:
        t.fill_(7)
    assert dlgrad.clamp(x, x - 1, x + 1).tolist() == x.tolist()
    padded = [F.pad(x[None], (1, 1), "reflect") for _ in range(TIMES)]
    for t in padded:
        t.zero_()
    assert F.pad(x[None], (1, 1), "reflect").abs().sum() > 0


def test_tensors_that_share_memory():
    for seed in range(TIMES):
        x = numbers(seed, 5, 3)
        same, shifted = dlgrad.clamp(x[1:], x[:-1], x[:-1]), dlgrad.clamp(x[1:], x[1:], x[1:])
        assert same.tolist() == x[:-1].tolist() and shifted.tolist() == x[1:].tolist()
        again = dlgrad.clamp(x, x, x)
        assert again.tolist() == x.tolist()
    for seed in range(
        TIMES
    ):  # a key that came with parts of one tensor comes with tensors of their own
        x, low = numbers(seed, 5, 3), numbers(seed + 9, 4, 3)
        assert dlgrad.clamp(x[1:], low, low).tolist() == low.tolist()


def test_arguments_that_are_parts_of_one_tensor():
    """Nobody sees which of them was meant, so a chain holds where they lie as they did."""

    @memo
    def f(x, y):
        return (x.detach() * y.detach()).exp(), y[1:]

    def check(x, y):
        a, b = f(x, y)
        want, part = f.__wrapped__(x, y)
        assert a.tolist() == want.tolist() and b.tolist() == part.tolist()
        assert b._base is part._base and b.requires_grad == part.requires_grad
        assert b.grad_fn is None or b.grad_fn.name() == part.grad_fn.name()

    for grad in (False, True):
        f.forget()
        for seed in range(TIMES):
            x = numbers(seed, 5, 3).requires_grad_(grad)
            check(x[:3], x[2:])
        assert f.known() == 1
        for seed in range(TIMES):
            x, y = (numbers(s, 5, 3).requires_grad_(grad) for s in (seed, seed + 9))
            check(x[:3], x[1:4])  # another distance
            check(x[2:], x[:3])
            check(x[:3], y[2:])  # memory of their own
            check(x[:3], x.detach()[2:].requires_grad_(grad))  # of one memory, views of two tensors
            check(x[:3], x[2:])
            with dlgrad.no_grad():
                check(x[:3], x[2:])
                other = x[2:]
            check(x[:3], other)
    x = numbers(0, 5, 3)
    for _ in range(TIMES):  # the same tensor twice
        check(x[:3], x[:3])
        check(y := x[:3], y)


@pytest.mark.parametrize("p", [2.0, 1.0])
def test_distances_between_parts_of_one_tensor(p):
    for seed in range(TIMES):
        gradients = []
        for f in (dlgrad.cdist.__wrapped__, dlgrad.cdist):
            x, y = (numbers(s, 5, 4).requires_grad_() for s in (seed, seed + 9))
            for a, b in ((x, x[:3]), (x, x[2:]), (x, y[:3]), (x[1:4], x[2:])):
                f(a, b, p).square().sum().backward()
            gradients.append(x.grad.tolist())
        assert gradients[0] == gradients[1]


def test_tensors_reshaped_in_place():
    changes = {
        "t_": lambda x: x.t_(),
        "transpose_": lambda x: x.transpose_(0, 1),
        "swapaxes_": lambda x: x.swapaxes_(1, 0),
        "unsqueeze_": lambda x: x.unsqueeze_(-1),
        "squeeze_": lambda x: x.squeeze_(0),
    }
    for name, f in changes.items():
        method = getattr(dlgrad.Tensor, name)
        method.forget()
        for seed in range(TIMES):
            x, y = numbers(seed, 4, 3), numbers(seed, 6, 3)
            part = y[1:5]
            for t, args in ((x, (x,)), (part, (y,))):
                versions = [u._version for u in args]
                layout = f(t.clone() if t is part else x.detach().clone())
                before, address = t.clone(), t.data_ptr()
                assert f(t) is t and t.shape == layout.shape and t.data_ptr() == address
                assert t.tolist() == layout.tolist() and [u._version for u in args] == versions
                assert sorted(t.flatten().tolist()) == sorted(before.flatten().tolist())
            assert part._base is y
            leaf = numbers(seed, 4, 3).requires_grad_()
            with pytest.raises(RuntimeError, match="leaf Variable"):
                f(leaf)
            assert leaf.shape == (4, 3)
            with dlgrad.no_grad():
                view = leaf[:]
            with pytest.raises(RuntimeError, match="no_grad mode"):
                f(view)
            inner = leaf * 2
            f(inner)
            inner.sum().backward()
            assert leaf.grad.tolist() == [[2.0] * 3] * 4
        assert method.known() == 1, name


def test_a_function_that_reshapes_its_own_result_is_asked_each_time():
    @memo
    def f(x):
        return (x * 2).t_()

    for seed in range(TIMES):
        x = numbers(seed, 4, 3)
        assert f(x).tolist() == (x * 2).t().tolist()


def test_errors_are_raised_again():
    x, good, bad = numbers(0, 4, 3), dlgrad.tensor([[0, 1, 2]]), dlgrad.tensor([[0, 1, 4]])
    for _ in range(TIMES):
        dlgrad.scatter_add(x, 0, good, x)
        with pytest.raises(RuntimeError, match="index 4 is out of bounds"):
            dlgrad.scatter_add(x, 0, bad, x)
        with pytest.raises(dlgrad.linalg.LinAlgError):
            dlgrad.linalg.solve(dlgrad.zeros(3, 3), x[:3])
        dlgrad.linalg.solve(dlgrad.eye(3), x[:3])


def test_what_depends_on_elements_is_not_taken_again():
    @memo
    def f(x):
        return x.relu().exp() if x.sum().item() > 0 else x.neg().log()

    for k in range(TIMES):
        x = dlgrad.full((3,), 1.0 + k)
        assert f(x).tolist() == x.exp().tolist() and f(-x).tolist() == x.log().tolist()
    assert f.known() == 0


def test_writes_into_arguments_are_not_taken_again():
    @memo
    def f(x, y):
        x.add_(y)
        return (x * 2).exp()

    y = dlgrad.ones(3)
    for k in range(TIMES):
        x = dlgrad.zeros(3)
        f(x, y)
        assert x.tolist() == [1, 1, 1]
    assert f.known() == 0


def test_tensors_from_elsewhere_are_not_taken_again():
    held = [dlgrad.zeros(3)]

    @memo
    def f(x):
        return (x + held[0]).exp()

    for k in range(TIMES):
        held[0] = dlgrad.full((3,), float(k))
        assert f(dlgrad.zeros(3)).tolist() == held[0].exp().tolist()
    assert f.known() == 0


def test_tensors_of_lists_are_made_each_time():
    sizes = iter(range(100))

    @memo
    def f(x):
        return (x + dlgrad.tensor([1.0, next(sizes)])).exp()

    for k in range(TIMES):
        assert f(dlgrad.zeros(2)).tolist() == dlgrad.tensor([1.0, k]).exp().tolist()
    assert f.known() == 0


def test_long_functions_are_asked_each_time():
    @memo
    def short(x):
        for _ in range(20):
            x = x + 1.5
        return x

    @memo
    def long(x):
        for _ in range(70):
            x = x + 1.5
        return x

    @memo
    def both(x):
        return short(long(x)), short(x)

    for k in range(TIMES):
        a, b = both(dlgrad.full((2,), float(k)))
        assert a.tolist() == [135.0 + k] * 2 and b.tolist() == [30.0 + k] * 2
        assert long(dlgrad.full((2,), float(k))).tolist() == [105.0 + k] * 2
    assert short.known() == 1 and long.known() == 0 and both.known() == 0


def test_functions_of_functions():
    inner = memo(lambda x: (x * 2).flip(0)[1:])
    outer = memo(lambda x: (inner(x[1:]).exp(), inner(x)[0]))
    for k in range(TIMES):
        x = numbers(k, 4, 3)
        for _ in range(2):
            a, b = outer(x)
            assert a.tolist() == (x[1:] * 2).flip(0)[1:].exp().tolist()
            assert b.tolist() == (x * 2).flip(0)[1].tolist()
    assert inner.known() == 2 and outer.known() == 1


def test_nothing_is_leaked():
    def rounds():
        for seed in range(TIMES):
            for name in FUNCTIONS:
                f, arguments = FUNCTIONS[name]
                f(*arguments(numbers(seed, 4, 3)))

    def live():
        gc.collect()
        return dlgrad.storage.memory_stats()["live_bytes"]

    rounds()
    before = live()
    rounds()
    assert live() == before


def test_threads_at_once():
    arguments = FUNCTIONS["clamp"][1]
    shapes = [(n, 3) for n in range(1, 40)]
    wrong = []

    def work(seed):
        for _ in range(4):
            for shape in shapes:
                x = numbers(seed, *shape)
                if (
                    dlgrad.clamp(*arguments(x)).tolist()
                    != dlgrad.clamp.__wrapped__(*arguments(x)).tolist()
                ):
                    wrong.append(shape)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_they_are_memos():
    assert native is not None
    for name, (f, _) in FUNCTIONS.items():
        assert type(f).__name__ == "Memo" or type(f) is type(memo(lambda: None)), name


def test_out_of_another_shape_is_resized_each_time():
    x = numbers(0, 4, 3)
    index = dlgrad.tensor([[0, 2, 1]])
    functions = {
        "dstack": lambda out: dlgrad.dstack([x, x], out=out),
        "add": lambda out: dlgrad.add(x, x, out=out),
        "searchsorted": lambda out: dlgrad.searchsorted(x[0], x, out_int32=True, out=out),
        "scatter": lambda out: dlgrad.scatter(x, 0, index, 1.0, out=out),
    }
    for name, f in functions.items():
        for _ in range(TIMES):
            out = dlgrad.empty(0, dtype=dlgrad.int32 if name == "searchsorted" else dlgrad.float32)
            result = f(out)
            assert result is out and out.shape == f(None).shape and out.tolist() == f(None).tolist()


SEVERAL = {
    "max": lambda x, out=None: dlgrad.max(x, 1, out=out),
    "aminmax": lambda x, out=None: dlgrad.aminmax(x, dim=1, out=out),
    "cummin": lambda x, out=None: dlgrad.cummin(x, 0, out=out),
    "frexp": lambda x, out=None: dlgrad.frexp(x, out=out),
    "qr": lambda x, out=None: dlgrad.linalg.qr(x, out=out),
    "unbind_copy": lambda x, out=None: dlgrad.unbind_copy(x, out=out),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_given_results_are_written_again(name):
    f = SEVERAL[name]
    out = f(numbers(0, 4, 3))
    whole = dlgrad.zeros(60)
    for seed in range(TIMES):
        x = numbers(seed, 4, 3)
        before = [t._version for t in out]
        result = f(x, out)
        assert type(result) is type(out) and all(a is b for a, b in zip(result, out))
        assert listed(result) == listed(f(x))
        assert [t._version for t in out] == [v + 1 for v in before]
        if all(t.dtype is dlgrad.float32 for t in out):  # parts of one memory
            parts = [whole.as_strided(t.shape, t.stride(), 15 * i) for i, t in enumerate(out)]
            assert listed(f(x, tuple(parts))) == listed(f(x))
        if out[0].shape == x.shape:  # what is read is written to
            want = listed(f(x))
            assert listed(f(x, (x, *out[1:]))) == want
        leaf = numbers(seed, *out[0].shape).to(out[0].dtype).requires_grad_()
        with pytest.raises(RuntimeError, match="automatic differentiation"):
            f(x, (leaf, *out[1:]))


def test_a_write_that_fails_after_another_is_not_taken_again():
    @memo
    def twice(x, y, index):
        x.add_(1)
        y.index_put_((index,), x)
        return y

    x, y = numbers(0, 4), dlgrad.zeros(4)
    for _ in range(TIMES):
        twice(x, y, dlgrad.tensor([0, 1, 2, 3]))
        assert x.tolist() == y.tolist()
    assert twice.known() == 0
    before = x.tolist()
    with pytest.raises(IndexError):
        twice(x, y, dlgrad.tensor([0, 1, 2, 4]))
    assert dlgrad.allclose(x, dlgrad.tensor(before) + 1)


def test_devices_and_memory_formats_are_known_again():
    x = numbers(0, 4, 3)
    assert dlgrad.device("cpu") is dlgrad.device(x.device) is x.device
    assert dlgrad.device("cpu", 1) == dlgrad.device("cpu:1") != x.device
    known = [f.known() for f in (dlgrad.zeros, dlgrad.Tensor.double)]
    for _ in range(TIMES):
        assert dlgrad.zeros(17, 3, device=dlgrad.device("cpu")).shape == (17, 3)
        assert x.double(memory_format=dlgrad.preserve_format).dtype is dlgrad.float64
    assert all(f.known() == n + 1 for f, n in zip((dlgrad.zeros, dlgrad.Tensor.double), known))
