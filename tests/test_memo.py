"""Memos (plan.memo): what is answered without the Python function is what the function says, in every state of its arguments."""

import copy
import gc
import pickle
import sys
import threading

import pytest

import dlgrad
from dlgrad._native import native
from dlgrad.ops.view import transpose

F = dlgrad.nn.functional
TIMES = 6  # a key is learned at its second sight; a few times more for other choices

def again(f):
    """f() TIMES times; the last result."""
    for _ in range(TIMES):
        result = f()
    return result


def known(f):
    return f.known()


VIEWS = {
    "view": lambda x: x.view(8, 4),
    "reshape": lambda x: x.reshape(2, -1),
    "t": lambda x: x.t(),
    "T": lambda x: x.T,
    "permute": lambda x: x.permute(1, 0),
    "expand": lambda x: x.expand(3, 4, 8),
    "squeeze": lambda x: x.squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "select": lambda x: x[2],
    "pair": lambda x: x[1, -1],
    "slice": lambda x: x[1:3, ::2],
    "new": lambda x: x[:, None],
    "dots": lambda x: x[..., 0],
    "narrow": lambda x: x.narrow(1, 2, 3),
    "diagonal": lambda x: x.diagonal(),
    "unfold": lambda x: x.unfold(1, 3, 2),
    "torch": lambda x: dlgrad.transpose(x, dim0=0, dim1=1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_stay_views_with_their_gradients(name):
    f = VIEWS[name]
    source = dlgrad.arange(32.0).reshape(4, 8)
    want = f(source.clone())
    slow = source.clone().requires_grad_()
    f(slow).pow(2).sum().backward()
    for _ in range(TIMES):
        x = source.clone()
        y = f(x)
        assert y.tolist() == want.tolist() and y.stride() == want.stride() and y._base is x
        y.zero_()  # writes into x, and both know
        assert x._version == y._version > 0 and f(x).sum() == 0
        x = source.clone().requires_grad_()
        y = f(x)
        assert y.requires_grad and y.grad_fn is not None
        y.pow(2).sum().backward()
        assert x.grad.tolist() == slow.grad.tolist()
        with dlgrad.no_grad():
            assert not f(x).requires_grad
        with pytest.raises(RuntimeError):
            f(x).zero_()  # a view of a leaf


def test_a_view_of_a_changed_base_follows_it():
    for _ in range(TIMES):
        x = dlgrad.ones(3, requires_grad=True)
        y = x * 2
        v = y[1:]
        y.mul_(3)
        w = v.view(-1)
        w.sum().backward()
        assert x.grad.tolist() == [0, 6, 6]


def test_views_of_views_and_of_what_no_grad_made():
    for _ in range(TIMES):
        x = dlgrad.ones(2, 3)
        y = (x * 1).requires_grad_()
        with dlgrad.no_grad():
            v = y.view(6)
        w = v[1:]
        assert v._view_mode == w._view_mode == "no_grad"
        with pytest.raises(RuntimeError):
            w.add_(1)
        u = x[1][0:2]
        assert u._base is x


FUNCTIONS = {
    "sum": lambda x: x.sum(),
    "sum_dim": lambda x: x.sum(-1, keepdim=True),
    "mean": lambda x: x.mean(0),
    "amax": lambda x: x.amax(1),
    "var": lambda x: x.var(),
    "prod": lambda x: x.prod(),
    "softmax": lambda x: dlgrad.softmax(x, 1),
    "log_softmax": lambda x: F.log_softmax(x, dim=-1),
    "layer_norm": lambda x: F.layer_norm(x, (8,)),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "clamp": lambda x: x.clamp(-0.5, max=0.5),
    "cat": lambda x: dlgrad.cat([x, x], 1),
    "stack": lambda x: dlgrad.stack((x, x.detach())),
    "cumsum": lambda x: x.cumsum(1),
    "matmul": lambda x: x @ x.t(),
    "mse": lambda x: F.mse_loss(x, dlgrad.ones(4, 8)),
    "double": lambda x: x.double(),
    "clone": lambda x: x.clone(),
    "where": lambda x: dlgrad.where(x > 0, x, -x),
    "masked_fill": lambda x: x.masked_fill(x > 0, 2.0),
    "gather": lambda x: x[dlgrad.tensor([0, 2, 0])],
    "pairs": lambda x: x[dlgrad.tensor([0, 2]), dlgrad.tensor([1, 7])],
    "add_scaled": lambda x: dlgrad.add(x, x, alpha=0.5),
    "pow": lambda x: x**3,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_and_both_derivatives_stay_the_same(name):
    f = FUNCTIONS[name]
    dlgrad.manual_seed(1)
    source = dlgrad.randn(4, 8)

    def derivatives():
        x = source.clone().requires_grad_()
        y = f(x)
        (first,) = dlgrad.autograd.grad((y * y).sum(), x, create_graph=True)
        (second,) = dlgrad.autograd.grad(first.sum(), x, allow_unused=True, materialize_grads=True)
        return y.tolist(), first.tolist(), second.tolist()

    want = derivatives()
    for _ in range(TIMES):
        assert f(source).tolist() == want[0] and not f(source).requires_grad
        assert derivatives() == want
        with dlgrad.no_grad():
            assert not f(source.clone().requires_grad_()).requires_grad


def test_several_results():
    x = dlgrad.tensor([[3.0, 1.0, 2.0]])
    for _ in range(TIMES):
        values, indices = r = x.sort()
        assert values.tolist() == [[1, 2, 3]] and indices.tolist() == [[1, 2, 0]]
        assert type(r).__name__ == "sort" and r.values is values
        top = x.requires_grad_().topk(2)
        assert top.values.requires_grad and not top.indices.requires_grad
        x = x.detach()
        assert [c.tolist() for c in x.chunk(3, 1)] == [[[3]], [[1]], [[2]]]
        assert [float(v) for v in x[0]] == [3, 1, 2]
        first, _, _ = x[0].unbind()
        first += 1
        assert x[0, 0] == 4
        x = dlgrad.tensor([[3.0, 1.0, 2.0]])


def test_writes():
    a, b = dlgrad.zeros(3), dlgrad.ones(3)
    for k in range(TIMES):
        version = a._version
        assert a.add_(b) is a and a._version == version + 1
        assert a.tolist() == [k + 1] * 3
    leaf = dlgrad.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError):
        leaf.add_(b)
    with dlgrad.no_grad():
        assert again(lambda: leaf.add_(b)) is leaf
    assert leaf.tolist() == [1 + TIMES] * 3
    with pytest.raises(RuntimeError):
        leaf.add_(b)
    for _ in range(TIMES):  # a recorded one between
        y = leaf * 1
        y.add_(b)
        assert y.grad_fn is not None
    out = dlgrad.empty(3)
    for _ in range(TIMES):
        assert dlgrad.add(a, b, out=out) is out and out.tolist() == [TIMES + 1] * 3
        with pytest.raises(RuntimeError):
            dlgrad.add(leaf, b, out=out)


def test_writes_where_memory_is_shared():
    for _ in range(TIMES):
        x = dlgrad.arange(4.0)
        x[1:].add_(x[:-1])
        assert x.tolist() == [0, 1, 3, 5]
        x = dlgrad.arange(4.0)
        x[1:] = x[:-1]
        assert x.tolist() == [0, 0, 1, 2]
        x = dlgrad.arange(4.0)
        x.add_(x)
        x[2] = 9.0
        x[0] += 1
        assert x.tolist() == [1, 2, 9, 6]


def test_what_depends_on_elements_is_not_repeated():
    x = dlgrad.arange(5.0)
    for i in (0, 3, 1, 4, 2, 2):
        k = dlgrad.tensor(i)
        assert x[k] == i
        x[k] = float(i)
        mask = x > i
        assert x[mask].tolist() == list(range(i + 1, 5))
        assert x.sum().item() == 10
        x[mask] = x[mask]
    for n in range(TIMES):
        assert dlgrad.repeat_interleave(x, dlgrad.tensor([n] * 5)).numel() == 5 * n


def test_new_tensors_follow_the_default_dtype():
    for d in (dlgrad.float32, dlgrad.float64, dlgrad.float32):
        dlgrad.set_default_dtype(d)
        try:
            for _ in range(TIMES):
                assert (
                    dlgrad.zeros(2, 3).dtype is d
                    and dlgrad.empty(2).dtype is d
                    and dlgrad.ones(2).sum() == 2
                )
                assert dlgrad.full((2,), 0.5).tolist() == [0.5, 0.5]
                assert (dlgrad.arange(3) / 2).dtype is d
                assert dlgrad.zeros(2, requires_grad=True).requires_grad
        finally:
            dlgrad.set_default_dtype(dlgrad.float32)
    a, b = again(lambda: dlgrad.zeros(2)), dlgrad.zeros(2)
    a += 1
    assert b.sum() == 0


def test_random_numbers_and_statistics_go_on():
    x = dlgrad.ones(50)
    drawn = {tuple(F.dropout(x, 0.5).tolist()) for _ in range(TIMES)}
    assert len(drawn) == TIMES
    norm = dlgrad.nn.BatchNorm1d(3)
    seen = {
        tuple(norm(dlgrad.ones(4, 3) * 5) is not None and norm.running_mean.tolist())
        for _ in range(TIMES)
    }
    assert len(seen) == TIMES and norm.num_batches_tracked == TIMES
    norm.eval()
    assert again(lambda: norm(dlgrad.ones(4, 3))).shape == (4, 3)


def test_hooks_anomalies_and_transforms_see_everything():
    x = dlgrad.randn(4, requires_grad=True)
    for _ in range(TIMES):
        with dlgrad.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t / 2):
            y = dlgrad.softmax(x, 0)
        with dlgrad.autograd.set_detect_anomaly(True):
            dlgrad.softmax(x, 0).view(2, 2).sum().backward()
        y.sum().backward()
        f = dlgrad.func.vmap(lambda v: dlgrad.softmax(v, 0).reshape(2, 2).sum(0))
        assert f(x.detach().expand(3, 4)).shape == (3, 2)


def test_subclasses_and_parameters():
    class Mine(dlgrad.Tensor):
        pass

    p = dlgrad.nn.Parameter(dlgrad.ones(2, 2))
    for _ in range(TIMES):
        m = Mine([[1.0, 2.0]])
        assert m.view(2).tolist() == [1, 2]
        assert type(p.t()) is dlgrad.Tensor and p.t().requires_grad
        assert p.contiguous() is p and p.float() is p


def test_errors_are_raised_again():
    x = dlgrad.zeros(4, 8)
    for _ in range(TIMES):
        for wrong in (
            lambda: x.view(5),
            lambda: x[9],
            lambda: dlgrad.cat([x, x[0]]),
            lambda: x.sum(3),
            lambda: x @ x,
        ):
            with pytest.raises((RuntimeError, IndexError)):
                wrong()
    with pytest.raises(IndexError):
        again(lambda: x[dlgrad.tensor([4])])


def test_it_passes_for_the_function():
    for f in (dlgrad.softmax, dlgrad.permute, dlgrad.cat, F.relu, dlgrad.linalg.matmul):
        assert (
            pickle.loads(pickle.dumps(f)) is f
            and copy.deepcopy(f) is f
            and f.__doc__
            and f.__name__
        )


@pytest.mark.native
def test_caches_stay_bounded():
    x = dlgrad.zeros(5000)
    before = known(dlgrad.Tensor.__getitem__)
    for k in range(2, 3000):
        x[1:k], x[1:k]
    assert known(dlgrad.Tensor.__getitem__) <= max(before, 0) + 1100


@pytest.mark.native
def test_nothing_is_leaked():
    x, g = dlgrad.randn(4, 8), dlgrad.randn(4, 8, requires_grad=True)
    a, b, key = dlgrad.zeros(8), dlgrad.ones(8), (slice(None), slice(1, 5))

    def everything():
        (
            x.view(8, 4),
            x.t(),
            x[key],
            x[2],
            x.chunk(2),
            x.sort(),
            x.sum(1),
            dlgrad.zeros(4, 8),
            dlgrad.empty(3),
        )
        (
            dlgrad.cat([x, x]),
            dlgrad.softmax(g, 1),
            g.view(8, 4),
            F.layer_norm(g, (8,)),
            a.add_(b),
            x.contiguous(),
        )
        x[1] = 2.0
        (g * x + g).sum().backward()
        g.grad = None

    for _ in range(20):
        everything()
    gc.collect()
    held = [
        x,
        g,
        a,
        b,
        key,
        x._layout,
        x._storage,
        g._layout,
        None,
        True,
        False,
        dlgrad.float32,
        type(x),
    ]
    counts = [sys.getrefcount(o) for o in held]
    live = dlgrad.memory_stats()["live_bytes"]
    for _ in range(2000):
        everything()
    gc.collect()
    assert dlgrad.memory_stats()["live_bytes"] == live
    after = [sys.getrefcount(o) for o in held]
    assert all(abs(m - n) < 50 for n, m in zip(counts, after)), (counts, after)


def test_threads_at_once():
    x = dlgrad.arange(32.0).reshape(4, 8)
    wrong = []

    def work(k):
        for i in range(300):
            n = 1 + (i * k) % 7
            if x[:, :n].sum().item() != sum(8 * r + c for r in range(4) for c in range(n)):
                wrong.append((k, i))
            if dlgrad.zeros(n).add_(k).sum().item() != n * k:
                wrong.append((k, i))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.native
def test_the_python_function_is_asked_only_at_first():
    x = dlgrad.zeros(3, 5)
    calls = []
    memo = native["Memo"](lambda t, a, b: (calls.append(1), transpose(t, a, b))[1])
    for _ in range(10):
        assert memo(x, 0, 1).shape == (5, 3)
    assert len(calls) == 2


def test_lists_and_items_of_every_dtype_and_shape():
    for name in "float32 float64 int64 int32 int16 int8 uint8 bool bfloat16 float16".split():
        d = getattr(dlgrad, name)
        x = dlgrad.tensor([1, 0, 1]).to(d)
        for _ in range(3):
            assert x.tolist() == [1, 0, 1] and x[::2].tolist() == [1, 1] and x[:0].tolist() == []
            for shape in ((), (1,), (1, 1)):
                one = x[0].reshape(shape)
                nested = 1
                for _ in shape:
                    nested = [nested]
                assert one.item() == 1 and one.tolist() == nested
            with pytest.raises(RuntimeError):
                x.item()


def test_strided_views_know_where_their_storage_begins_and_ends():
    base = dlgrad.arange(20.0)
    for _ in range(TIMES):
        for at in (2, 4):
            x = base[at : at + 4]
            assert x.as_strided((2,), (1,), 5).tolist() == [5, 6]
            assert dlgrad.as_strided_copy(x, (2,), (1,), 5).tolist() == [5, 6]
            assert x.as_strided((10,), (1,)).tolist() == base[at : at + 10].tolist()
            want = x.tolist()
            want[5 - at] = 0
            assert dlgrad.as_strided_scatter(x, dlgrad.zeros(1), (1,), (1,), 5).tolist() == want
        y = dlgrad.ones(4)
        for f in (dlgrad.as_strided, dlgrad.as_strided_copy):
            with pytest.raises(RuntimeError, match="out of bounds"):
                f(y, (10,), (1,))
            with pytest.raises(RuntimeError, match="out of bounds"):
                f(y, (2,), (1,), 5)
        with pytest.raises(RuntimeError):
            dlgrad.as_strided_scatter(y, dlgrad.zeros(1), (1,), (1,), 6)
        assert dlgrad.view_as_complex(base[4:8].view(2, 2)).tolist() == [4 + 5j, 6 + 7j]
        with pytest.raises(RuntimeError, match="divisible by 2"):
            dlgrad.view_as_complex(base[3:7].view(2, 2))


@pytest.mark.native
def test_keys_that_take_turns_are_all_learned():
    memo_ = native["Memo"](lambda n: dlgrad.empty.__wrapped__(n))
    for _ in range(2):
        for i in range(160):
            memo_(1 + i * i % 9973)
    assert memo_.known() == 160
