"""Losses and activations over random shapes, targets and reductions (see core.py)."""

import pytest

from .core import Table, check
from .strategies import REAL, WIDE, Call

TABLE = Table()


def row(*names, dtypes=WIDE, ulps=1024, **options):
    return TABLE.row(
        *["nn.functional." + n for n in names], dtypes=dtypes, ulps=ulps, forms=False, **options
    )


# ---------------------------------------------------------------------- activations


@row(
    "relu",
    "relu6",
    "silu",
    "mish",
    "softsign",
    "tanhshrink",
    "logsigmoid",
    "hardsigmoid",
    "hardswish",
    "selu",
    dtypes=REAL,
)
def plain(d):
    x = d.tensor()
    return (x,)


TABLE["nn.functional.hardsigmoid"].ulps = 1 << 30  # PyTorch's 1 / 6 is a float32
TABLE["nn.functional.selu"].ulps = 1 << 12


@row("gelu", dtypes=REAL)
def gelu(d):
    return Call(d.tensor(), approximate=d.any_of("none", "tanh"))


@row("elu", "celu", dtypes=REAL)
def elu(d):
    return Call(d.tensor(), alpha=d.any_of(1.0, 0.5, 2.0))


@row("leaky_relu", dtypes=REAL)
def leaky_relu(d):
    return Call(d.tensor(), negative_slope=d.any_of(0.01, 0.3))


@row("hardtanh", dtypes=REAL)
def hardtanh(d):
    return d.tensor(), d.any_of(-1.0, -0.5), d.any_of(1.0, 0.25)


@row("threshold", dtypes=(*REAL, "int64"))
def threshold(d):
    return d.tensor(), d.any_of(0, 1), d.any_of(2, -1)


@row("softshrink", "hardshrink", dtypes=REAL)
def shrink(d):
    return d.tensor(), d.any_of(0.5, 1.0, 0.0)


@row("softplus", dtypes=REAL)
def softplus(d):
    return Call(d.tensor(), beta=d.any_of(1.0, 2.0), threshold=d.any_of(20.0, 1.0))


@row("glu", dtypes=REAL)
def glu(d):
    shape = list(d.shape(0, 3))
    dim = d.dim(len(shape))
    if -len(shape) <= dim < len(shape):
        shape[dim] *= d.any_of(2, 2, 2, 1)
    return d.tensor(tuple(shape)), dim


@row("prelu")
def prelu(d):
    c = d.int(1, 3)
    return d.tensor((d.int(0, 2), c, *d.shape(0, 2))), d.tensor((d.any_of(1, c, c, 4),), low=0.1)


# ---------------------------------------------------------------------- losses of two tensors of one shape


def reduction(d):
    return {"reduction": d.any_of("mean", "sum", "none")}


@row("mse_loss", "l1_loss", "soft_margin_loss")
def pairs(d):
    x = d.tensor()
    return Call(x, d.tensor(d.like(x.shape)), **reduction(d))


@row("smooth_l1_loss")
def smooth_l1_loss(d):
    x = d.tensor()
    return Call(x, d.tensor(x.shape), beta=d.any_of(1.0, 0.5, 0.0), **reduction(d))


@row("huber_loss")
def huber_loss(d):
    x = d.tensor()
    return Call(x, d.tensor(x.shape), delta=d.any_of(1.0, 0.5), **reduction(d))


@row("binary_cross_entropy", ulps=1 << 16)  # PyTorch adds 1e-12 in its derivative
def binary_cross_entropy(d):
    x = d.tensor(low=0.1, high=0.9)
    weight = d.tensor(d.beside(x.shape), low=0.5) if d.bool() else None
    return Call(x, d.tensor(d.like(x.shape), low=0.1, high=0.9), weight=weight, **reduction(d))


@row("binary_cross_entropy_with_logits")
def with_logits(d):
    x = d.tensor()
    weight = d.tensor(x.shape, low=0.5) if d.bool() else None
    return Call(x, d.tensor(x.shape, low=0.1, high=0.9), weight=weight,
                pos_weight=d.tensor(d.beside(x.shape), low=0.5) if d.bool() else None, **reduction(d))  # fmt: skip


@row("kl_div")
def kl_div(d):
    x = d.tensor()
    log_target = d.bool()
    kind = (
        {"reduction": d.any_of("mean", "sum", "none", "batchmean")}
        if x.ndim
        else {"reduction": "sum"}
    )
    return Call(
        x,
        d.tensor(x.shape, low=-2.0 if log_target else 0.1, high=1.0),
        log_target=log_target,
        **kind,
    )


@row("poisson_nll_loss")
def poisson_nll_loss(d):
    x = d.tensor(low=0.2)
    return Call(x, d.tensor(x.shape, low=0.2), log_input=d.bool(), full=d.bool(), **reduction(d))


@row("gaussian_nll_loss")
def gaussian_nll_loss(d):
    x = d.tensor(d.shape(1, 3))
    var = d.tensor(d.any_of(x.shape, x.shape[:-1], (*x.shape[:-1], 1)), low=0.3)
    return Call(x, d.tensor(x.shape), var, full=d.bool(), **reduction(d))


def signs(d, shape):
    """1 and -1 as targets."""
    y = d.tensor(shape, "float64", layout="contiguous")
    y.values, y.dtype = (y.values > 0) * 2 - 1, "int64"
    return y


@row("hinge_embedding_loss")
def hinge_embedding_loss(d):
    x = d.tensor()
    return Call(x, signs(d, x.shape), margin=d.any_of(1.0, 0.5), **reduction(d))


@row("margin_ranking_loss")
def margin_ranking_loss(d):
    x = d.tensor()
    return Call(x, d.tensor(x.shape), signs(d, x.shape), margin=d.any_of(0.0, 0.5), **reduction(d))


@row("cosine_embedding_loss")
def cosine_embedding_loss(d):
    shape = d.shape(1, 2, least=1)
    x = d.tensor(shape, low=0.2)
    return Call(
        x, d.tensor(shape, low=0.2), signs(d, shape[:-1]), margin=d.any_of(0.0, 0.3), **reduction(d)
    )


@row("triplet_margin_loss", second=False)
def triplet_margin_loss(d):
    shape = d.shape(1, 2, least=1)
    return Call(
        *[d.tensor(shape) for _ in range(3)], p=d.any_of(2.0, 1.0), swap=d.bool(), **reduction(d)
    )


@row("multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(d):
    shape = d.shape(1, 2, least=1)
    x = d.tensor(shape)
    target = d.tensor(shape, d.dtype, low=0.0, high=1.0, layout="contiguous")
    return Call(
        x, target, weight=d.tensor(shape[-1:], low=0.5) if d.bool() else None, **reduction(d)
    )


# ---------------------------------------------------------------------- losses of classes


def classes(d):
    """(input of scores, target of class indices, number of classes), with or without batch and space."""
    c = d.int(1, 4)
    kind = d.int(0, 2)
    shape, target = (((c,), ()), ((n := d.int(0, 3), c), (n,)), ((2, c, k := d.int(1, 3)), (2, k)))[
        kind
    ]
    return d.tensor(shape), d.indices(target, c), c


def class_options(d, c):
    options = {"weight": d.tensor((c,), low=0.5, layout="contiguous")} if d.bool() else {}
    return options | ({"ignore_index": 0} if d.bool() else {}) | reduction(d)


def constant_weight(name):
    """Class weights are no inputs to differentiate by."""

    def call(m, x, target, weight=None, **options):
        return getattr(m.nn.functional, name)(
            x, target, weight=None if weight is None else weight.detach(), **options
        )

    return call


@row("nll_loss", call=constant_weight("nll_loss"))
def nll_loss(d):
    x, target, c = classes(d)
    return Call(x, target, **class_options(d, c))


@row("cross_entropy", call=constant_weight("cross_entropy"))
def cross_entropy(d):
    x, target, c = classes(d)
    smoothing = {"label_smoothing": d.any_of(0.0, 0.2)}
    if d.int(0, 3) == 0:
        return Call(x, d.tensor(x.shape, low=0.1, high=0.9), **smoothing, **reduction(d))
    return Call(x, target, **class_options(d, c), **smoothing)


@row("ctc_loss", second=False)
def ctc_loss(d):
    steps, batch, c = d.int(2, 5), d.int(1, 2), d.int(2, 4)
    longest = d.int(1, 2)
    targets = d.tensor((batch, longest), "int64", 1.0, c - 1.0, layout="contiguous")
    lengths = (
        tuple(d.int(1, steps) for _ in range(batch)),
        tuple(d.int(0, longest) for _ in range(batch)),
    )
    possible = min(lengths[0]) > 2 * longest  # otherwise PyTorch's gradient is nan
    return Call(
        d.tensor((steps, batch, c)),
        targets,
        *lengths,
        zero_infinity=not possible or d.bool(),
        **reduction(d),
    )


def _ctc(m, x, *args, **options):
    return m.nn.functional.ctc_loss(m.log_softmax(x, -1), *args, **options)


TABLE["nn.functional.ctc_loss"].call = _ctc


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
