"""Writing into tensors: what out= and in-place operations refuse, and numbers that make no sense."""

import pytest

import dlgrad


def ints(*values):
    return dlgrad.tensor(values, dtype=dlgrad.int64)


def matrix():
    return dlgrad.tensor([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]])


INDEX = [[0, 1, 1], [1, 0, 0]]

WITH_OUT = {
    "gather": (lambda x, out: dlgrad.gather(x, 1, dlgrad.tensor(INDEX), out=out), (2, 3)),
    "take": (lambda x, out: dlgrad.take(x, dlgrad.tensor(INDEX), out=out), (2, 3)),
    "index_select": (lambda x, out: dlgrad.index_select(x, 0, ints(1, 0), out=out), (2, 3)),
    "masked_select": (lambda x, out: dlgrad.masked_select(x, x > 2, out=out), (4,)),
    "kthvalue": (lambda x, out: dlgrad.kthvalue(x, 2, out=(out, ints(0, 0))), (2,)),
    "mode": (lambda x, out: dlgrad.mode(x, 1, out=(out, ints(0, 0))), (2,)),
}


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_has_the_dtype_of_the_result(name):
    function, shape = WITH_OUT[name]
    out = dlgrad.zeros(shape)
    function(matrix(), out)
    assert out.sum() > 0
    with pytest.raises(RuntimeError, match="dtype float32, but got float64"):
        function(matrix(), dlgrad.zeros(shape, dtype=dlgrad.float64))


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_has_memory_of_its_own(name):
    x = matrix()
    with pytest.raises(RuntimeError, match="single memory location"):
        WITH_OUT[name][0](x, x)


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.scatter_(1, dlgrad.tensor(INDEX), x),
        lambda x: x.index_copy_(0, ints(1, 0), x),
        lambda x: x.put_(dlgrad.tensor(INDEX), x),
        lambda x: x.__setitem__(ints(1, 0), x),
        lambda x: dlgrad.cat([x[:1], x[1:]], out=x),
    ],
)
def test_writes_do_not_read_what_they_write(write):
    x = matrix()
    with pytest.raises(RuntimeError, match="single memory location"):
        write(x)
    assert x.equal(matrix())


def test_parts_that_lie_between_each_other_may_be_copied():
    x = dlgrad.arange(6.0)
    x[ints(0, 1)] = x[::3]
    assert x.tolist() == [0, 3, 2, 3, 4, 5]


def test_integers_have_no_negative_powers():
    for write in (lambda x: x**-1, lambda x: x.pow_(-2), lambda x: dlgrad.pow(x, -1)):
        with pytest.raises(RuntimeError, match="negative integer powers"):
            write(ints(2, 3))
        assert (ints(2, 3) ** 2).tolist() == [4, 9]  # the plan for numbers that fit is unharmed
    assert (2.0 ** ints(-1)).item() == 0.5


def test_bools_are_not_subtracted():
    byte = dlgrad.tensor([1, 2], dtype=dlgrad.uint8)
    for subtract in (
        lambda: byte.sub_(dlgrad.tensor([True, False])),
        lambda: byte - True,
        lambda: 1 - (byte > 1),
    ):
        with pytest.raises(RuntimeError, match="bool tensor is not supported"):
            subtract()


@pytest.mark.parametrize(
    "operator", ["__radd__", "__rmul__", "__rand__", "__ror__", "__rxor__", "__rdiv__"]
)
def test_methods_of_tensors_refuse_numbers_as_self(operator):
    for other in (ints(1, 2), 3):
        with pytest.raises(TypeError):
            getattr(dlgrad.Tensor, operator)(2, other)


def test_functions_of_tensors_refuse_numbers():
    for call in (
        lambda: dlgrad.ldexp(ints(1), 2),
        lambda: dlgrad.ldexp(2, ints(1)),
        lambda: dlgrad.rsub(2, ints(1)),
    ):
        with pytest.raises(TypeError, match="must be Tensor, not int"):
            call()
    with pytest.raises(RuntimeError, match="0-dim integral"):
        matrix().narrow(0, ints(0, 1), 1)


def test_cat_of_empty_vectors_stays_in_the_graph():
    empty = dlgrad.zeros(0, requires_grad=True)
    for parts in ([empty, empty], [empty, dlgrad.ones(2, 3)]):
        y = dlgrad.cat(parts)
        assert y.requires_grad
        y.sum().backward()
        assert empty.grad.shape == (0,)


KEEP_NO_RESULT = {
    "div": lambda x: x / (x * x + 1),
    "logaddexp": lambda x: dlgrad.logaddexp(x, x * 2),
    "logaddexp2": lambda x: dlgrad.logaddexp2(x, x * 2),
    "erfinv": lambda x: dlgrad.erfinv(x / 10),
    "normalize": lambda x: dlgrad.nn.functional.normalize(x, dim=0),
}


@pytest.mark.parametrize("name", KEEP_NO_RESULT)
def test_results_that_backward_does_not_need_may_be_overwritten(name):
    f, source = KEEP_NO_RESULT[name], dlgrad.tensor([0.5, -2.0, 3.0], dtype=dlgrad.float64)
    x, y = source.clone().requires_grad_(), source.clone().requires_grad_()
    (f(x) * 2).sum().backward()
    f(y).mul_(2).sum().backward()
    assert x.grad.tolist() == y.grad.tolist()
    assert dlgrad.autograd.gradgradcheck(f, (x,))


@pytest.mark.parametrize("name", ["lerp", "addcmul", "where", "clamp", "clamp_"])
def test_three_inputs_straight_into_out(name):
    """Also once the call is known, out may overlap an input, be one, or have another shape."""
    f = {
        "lerp": lambda a, b, o: dlgrad.lerp(a, b, 0.3, out=o),
        "addcmul": lambda a, b, o: dlgrad.addcmul(a, b, b, out=o),
        "where": lambda a, b, o: dlgrad.where(a > 0, a, b, out=o),
        "clamp": lambda a, b, o: dlgrad.clamp(a, b, b + 1, out=o),
        "clamp_": lambda a, b, o: o.clamp_(b, a),
    }[name]
    b = dlgrad.randn(40)
    for _ in range(5):
        f(dlgrad.randn(40), b, dlgrad.randn(40))
    buffer = dlgrad.randn(80)
    a, out = buffer[:40], buffer[1:41]
    want, version = f(a.clone(), b, out.clone()), out._version
    assert f(a, b, out) is out and dlgrad.equal(out, want) and out._version > version
    a = dlgrad.randn(40)
    want = f(a.clone(), b, a.clone())
    assert dlgrad.equal(f(a, b, a), want)
    if name != "clamp_":
        assert dlgrad.equal(f(out, b, dlgrad.empty(0)), f(out, b, None))
        with pytest.raises(RuntimeError, match="automatic differentiation"):
            f(dlgrad.randn(40, requires_grad=True), b, dlgrad.empty(40))


def test_numbers_straight_into_out():
    """Each number counts, also where the call is known."""
    x, out, whole = dlgrad.tensor([-2.0, 0.5, 3.0]), dlgrad.empty(3), dlgrad.empty(3, dtype=dlgrad.int64)
    calls = [
        lambda n, o: dlgrad.mul(x, n, out=o),
        lambda n, o: dlgrad.add(x, n, out=o),
        lambda n, o: dlgrad.div(x, n, out=o),
        lambda n, o: dlgrad.pow(x, n, out=o),
        lambda n, o: dlgrad.clamp(x, -n, n, out=o),
        lambda n, o: dlgrad.clamp(x, min=n, out=o),
    ]
    for f in calls:
        for n in (2.0, 2, 3, 0.25, -0.0, 0.0, float("inf"), True, 2.0):
            for _ in range(3):
                assert dlgrad.equal(f(n, out).nan_to_num(7.0), f(n, None).nan_to_num(7.0))
        with pytest.raises(RuntimeError):
            f(2, whole)
        with pytest.raises(RuntimeError):
            f(2, dlgrad.zeros(1).expand(3))
    for n in (1.0, 0, -1.5, True):
        for _ in range(3):
            assert x.clone().clamp_min_(n).tolist() == [max(v, n) for v in x.tolist()]
            assert x.clone().clamp_max_(n).tolist() == [min(v, n) for v in x.tolist()]


@pytest.mark.parametrize("count", [1, 2, 4, 5])
@pytest.mark.parametrize("name", ["cat", "stack"])
def test_joined_straight_into_out(name, count):
    f = getattr(dlgrad, name)
    tensors = [dlgrad.randn(3, 4) for _ in range(count)]
    for dim in (0, 1, -1):
        want = f(tensors, dim)
        for out in (dlgrad.zeros(want.shape), dlgrad.zeros(0), dlgrad.zeros((*want.shape, 2))[..., 0]):
            for _ in range(3):
                assert f(tensors, dim, out=out) is out and dlgrad.equal(out, want)
    with pytest.raises(RuntimeError):
        f([tensors[0]], out=tensors[0].view(1, 3, 4) if name == "stack" else tensors[0])


OVERWRITES = {
    "copy_": lambda t: t.copy_(dlgrad.full((3,), 7.0)),
    "copy_ of another dtype": lambda t: t.copy_(dlgrad.full((), 7)),
    "fill_ with a tensor": lambda t: t.fill_(dlgrad.tensor(7.0)),
    "zero_": lambda t: t.zero_(),
    "ge_": lambda t: t.ge_(0.5),
    "eq_": lambda t: t.eq_(dlgrad.ones(3)),
    "logical_not_": lambda t: t.logical_not_(),
    "normal_": lambda t: t.normal_(),
    "bernoulli_": lambda t: t.bernoulli_(dlgrad.full((3,), 0.5)),
}


@pytest.mark.parametrize("name", OVERWRITES)
@pytest.mark.parametrize("retains", [False, True])
def test_what_is_overwritten_has_the_gradient_0(name, retains):
    """The history stays one that asks for a gradient, so that an optimizer finds zeros and not None."""
    for _ in range(4):
        x = dlgrad.ones(3, requires_grad=True)
        t = x * 2
        if retains:
            t.retain_grad()
        OVERWRITES[name](t)
        assert t.requires_grad and not t.is_leaf
        (t * 3).sum().backward()
        assert x.grad.tolist() == [0, 0, 0]
        assert not retains or t.grad.tolist() == [3, 3, 3]
        with dlgrad.no_grad():
            t = x * 2
            OVERWRITES[name](t)
        assert not t.requires_grad


def test_a_copy_reaches_its_source_and_zeros_its_past():
    for dtype in (dlgrad.float32, dlgrad.float64):
        x, y = dlgrad.ones(3, requires_grad=True), dlgrad.ones((), dtype=dtype, requires_grad=True)
        t = x * 2
        assert t.copy_(y * 2).grad_fn.name() == "CopyBackwards"
        (t * t).sum().backward()
        assert x.grad.tolist() == [0, 0, 0] and y.grad.item() == 24 and y.grad.dtype is dtype


def test_a_copy_onto_itself_is_checked_each_time():
    for _ in range(4):
        t = dlgrad.ones(3, requires_grad=True) * 2
        assert t.copy_(t) is t
    with pytest.raises(RuntimeError, match="leaf Variable"):
        leaf = dlgrad.ones(3, requires_grad=True)
        leaf.copy_(leaf)
