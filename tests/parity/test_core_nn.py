"""Layers' functions: convolutions, pools, normalisations, attention, embeddings, resampling (see core.py)."""

import pytest

from .core import Table, check
from .strategies import REAL, WIDE, Call

TABLE = Table()


def row(*names, dtypes=WIDE, ulps=1024, **options):
    return TABLE.row(*["nn.functional." + n if n not in ("unfold:nn",) else n for n in names], dtypes=dtypes, ulps=ulps,
                     forms=False, **options)  # fmt: skip


def space(d, n, low=1, high=6):
    return tuple(d.int(low, high) for _ in range(n))


def one_or_each(d, n, *values):
    return d.any_of(*values) if d.bool() else tuple(d.any_of(*values) for _ in range(n))


def channels(d, c, n, empty=True, low=1):
    """A batch of images (now and then a single one) with c channels and n dimensions of space."""
    batch = () if d.int(0, 4) == 0 else (d.any_of(1, 2, 0 if empty and n < 3 else 1),)
    return d.tensor((*batch, c, *space(d, n, low)))


def convolution(n, transposed):
    def case(d):
        groups = d.any_of(1, 1, 2)
        c, k = d.any_of(1, 2) * groups, d.any_of(1, 2) * groups
        x = channels(d, c + (d.int(0, 15) == 15), n, empty=not transposed, low=1 + transposed)
        size = space(d, n, 1, 3)
        weight = d.tensor((c, k // groups, *size) if transposed else (k, c // groups, *size))
        options = {
            "stride": one_or_each(d, n, 1, 2),
            "dilation": one_or_each(d, n, 1, 2),
            "groups": groups,
        }
        if transposed:
            options |= {
                "padding": d.int(0, int(min(size) > 1)),
                "output_padding": d.any_of(0, 0, 1),
            }
        elif d.int(0, 3) == 0:
            options |= {"padding": d.any_of("same", "valid")}
        else:
            options |= {"padding": one_or_each(d, n, 0, 1, 2)}
        return Call(x, weight, d.tensor((k,)) if d.bool() else None, **options)

    return case


for _n in (1, 2, 3):
    row(f"conv{_n}d")(convolution(_n, False))
    if _n < 3:
        row(f"conv_transpose{_n}d")(convolution(_n, True))


def window(d, n):
    size = one_or_each(d, n, 1, 2, 3)
    options = {"padding": d.any_of(0, 0, 1), "ceil_mode": d.bool()}
    return size, options | ({"stride": one_or_each(d, n, 1, 2, 3)} if d.bool() else {})


def average_pool(n):
    def case(d):
        size, options = window(d, n)
        options |= {"count_include_pad": d.bool()}
        if n > 1 and d.int(0, 3) == 0:
            options["divisor_override"] = 3
        return Call(channels(d, 2, n), size, **options)

    return case


def max_pool(n):
    def case(d):
        size, options = window(d, n)
        x = channels(d, 2, n)
        x = d.tensor(x.shape, unique=True)
        # Where a window can lie in the padding alone, PyTorch's backward writes outside of its gradient.
        dilation = d.any_of(1, 1, 2) if not options["padding"] else 1
        return Call(x, size, dilation=dilation, return_indices=d.bool(), **options)

    return case


def adaptive(n, largest):
    def case(d):
        x = channels(d, 2, n)
        x = d.tensor(x.shape, unique=True)
        size = (
            d.int(0, 4) if n == 1 or d.bool() else tuple(d.any_of(1, 2, None, 3) for _ in range(n))
        )
        return Call(x, size, **({"return_indices": d.bool()} if largest else {}))

    return case


for _n in (1, 2, 3):
    row(f"avg_pool{_n}d")(average_pool(_n))
    row(f"max_pool{_n}d")(max_pool(_n))
    row(f"adaptive_avg_pool{_n}d")(adaptive(_n, False))
    row(f"adaptive_max_pool{_n}d")(adaptive(_n, True))


@row("linear", dtypes=(*REAL, "complex128"))
def linear(d):
    n, m = d.int(0, 4), d.int(0, 3)
    shape = (*d.shape(0, 2), n + (d.int(0, 15) == 15))
    return (
        d.tensor(shape),
        d.tensor((m, n) if d.int(0, 7) else (n,)),
        d.tensor((m,)) if d.bool() else None,
    )


def parameters(d, shape):
    return [d.tensor(shape) if d.bool() else None for _ in range(2)]


@row("layer_norm", "rms_norm", ulps=1 << 16)
def layer_norm(d):
    inner = d.shape(1, 2, least=1)
    return d.tensor((*d.shape(0, 2), *inner)), inner, *parameters(d, inner)[: d.int(0, 2)]


TABLE["nn.functional.rms_norm"].call = lambda m, x, shape, *w: m.nn.functional.rms_norm(
    x, shape, *w[:1]
)


@row("group_norm", ulps=1 << 16)
def group_norm(d):
    groups, each = d.int(1, 3), d.int(1, 2)
    c = groups * each + (d.int(0, 15) == 15)
    return d.tensor((d.int(1, 2), c, *space(d, d.int(1, 2), 2, 4))), groups, *parameters(d, (c,))


def statistics(d, c):
    return d.tensor((c,), layout="contiguous"), d.tensor((c,), low=0.5, layout="contiguous")


@row("batch_norm", ulps=1 << 16)
def batch_norm(d):
    c = d.int(1, 3)
    x = d.tensor((d.int(1, 3), c, *space(d, d.int(0, 2), 1, 4)))
    training = d.bool()
    mean, var = statistics(d, c)
    return Call(
        x, mean, var, *parameters(d, (c,)), training=training, momentum=d.any_of(0.1, 0.5), eps=1e-3
    )


@row("instance_norm", ulps=1 << 16)
def instance_norm(d):
    c = d.int(1, 3)
    weight, bias = parameters(d, (c,))
    return Call(
        d.tensor((d.int(1, 2), c, *space(d, d.int(1, 2), 1, 4))), weight=weight, bias=bias, eps=1e-3
    )


def without_gradients(m, call):
    """The running statistics are no inputs to differentiate by."""
    return lambda m, x, mean, var, *a, **k: call(
        m, x, mean.detach().clone(), var.detach().clone(), *a, **k
    )


TABLE["nn.functional.batch_norm"].call = without_gradients(
    None, lambda m, *a, **k: m.nn.functional.batch_norm(*a, **k)
)


@row("pad", dtypes=(*WIDE, "int64", "bool", "complex128"))
def pad(d):
    x = d.tensor(d.shape(1, 4, least=1))
    mode = d.any_of("constant", "constant", "reflect", "replicate", "circular")
    widths = [d.any_of(0, 1, 2) for _ in range(2 * d.int(1, min(x.ndim, 3)))]
    if mode == "constant":
        widths = [w - d.int(0, 1) for w in widths]
    return Call(
        x,
        widths,
        mode=mode,
        **({"value": d.any_of(1, 0.5)} if mode == "constant" and d.bool() else {}),
    )


@row("unfold:nn")
def unfold(d):
    x = d.tensor((d.int(1, 2), 2, *space(d, 2, 2, 5)))
    options = {
        "dilation": d.any_of(1, 2),
        "padding": d.any_of(0, 1),
        "stride": one_or_each(d, 2, 1, 2),
    }
    return Call(x, one_or_each(d, 2, 1, 2, 3), **options)


TABLE["nn.functional.unfold"] = TABLE.pop("unfold:nn")
TABLE["nn.functional.unfold"].call = lambda m, *a, **k: m.nn.functional.unfold(*a, **k)


@row("interpolate")
def interpolate(d):
    n = d.int(1, 3)
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[n]
    mode = d.any_of("nearest", linear, "area", "nearest-exact", "bicubic")
    x = d.tensor((d.int(1, 2), d.int(1, 2), *space(d, n, 1, 4)))
    options = {"align_corners": d.bool()} if mode in (linear, "bicubic") and d.bool() else {}
    options |= {"size": space(d, n, 1, 5)} if d.bool() else {"scale_factor": d.any_of(2, 1.5, 0.5)}
    return Call(x, mode=mode, **options)


@row("grid_sample")
def grid_sample(d):
    n = d.any_of(2, 2, 3)
    batch = d.int(1, 2)
    x = d.tensor((batch, d.int(1, 2), *space(d, n, 1, 4)))
    grid = d.tensor((batch, *space(d, n, 1, 3), n), low=-1.3, high=1.3)
    return Call(x, grid, mode=d.any_of("bilinear", "nearest", "bicubic"), align_corners=d.bool(),
                padding_mode=d.any_of("zeros", "border", "reflection"))  # fmt: skip


@row("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", dtypes=(*WIDE, "int64"))
def shuffles(d):
    r = d.any_of(1, 2)
    c, h, w = d.any_of(1, 2) * r * r + (d.int(0, 15) == 15), d.int(1, 3) * r, d.int(1, 3) * r
    return d.tensor((d.int(1, 2), c, h, w)), r


@row("scaled_dot_product_attention")
def attention(d):
    batch, heads = d.int(1, 2), d.int(1, 2)
    n, k, e, v = d.int(1, 3), d.int(1, 3), d.int(1, 4), d.int(1, 3)
    query, key, value = [d.tensor((batch, heads, *s)) for s in ((n, e), (k, e), (k, v))]
    mask = d.any_of(None, d.tensor(d.any_of((n, k), (batch, 1, n, k))))
    causal = mask is None and d.bool()
    return Call(query, key, value, mask, is_causal=causal, **({"scale": 0.5} if d.bool() else {}))


@row("multi_head_attention_forward", second=False)
def multi_head(d):
    heads = d.int(1, 2)
    e = heads * d.int(1, 2)
    n, s, batch = d.int(1, 3), d.int(1, 3), d.int(1, 2)
    query, key, value = d.tensor((n, batch, e)), d.tensor((s, batch, e)), d.tensor((s, batch, e))
    weights = (
        d.tensor((3 * e, e)),
        d.tensor((3 * e,)),
        None,
        None,
        False,
        0.0,
        d.tensor((e, e)),
        d.tensor((e,)),
    )
    return Call(query, key, value, e, heads, *weights, training=False, need_weights=d.bool())


@row("embedding", dtypes=(*WIDE, "bfloat16"))
def embedding(d):
    rows = d.int(1, 5)
    index = d.indices(d.shape(0, 3), rows, d.any_of("int64", "int32"))
    padding = {"padding_idx": d.int(-rows, rows - 1)} if d.bool() else {}
    return Call(index, d.tensor((rows, d.int(1, 3))), **padding)


@row("embedding_bag", second=False)
def embedding_bag(d):
    rows = d.int(1, 5)
    weight = d.tensor((rows, d.int(1, 3)), unique=True)
    mode = d.any_of("sum", "mean", "max")
    if d.bool():
        return Call(d.indices((d.int(0, 3), d.int(1, 3)), rows), weight, mode=mode)
    offsets = d.tensor((2,), "int64", 0.0, 0.0, layout="contiguous")
    offsets.values[1] = d.int(0, 2)
    return Call(d.indices((3,), rows), weight, offsets, mode=mode)


@row("one_hot", dtypes=("int64",), gradients=False)
def one_hot(d):
    return d.indices(d.shape(0, 3), 4), d.any_of(-1, 4, 5)


@row("normalize")
def normalize(d):
    x = d.tensor(d.shape(1, 3), low=0.2)
    return Call(x, p=d.any_of(2.0, 1.0, 3.0), dim=d.dim(x))


@row("cosine_similarity")
def cosine_similarity(d):
    x = d.tensor(d.shape(1, 3, least=1), low=0.2)
    return Call(x, d.tensor(d.like(x.shape), low=0.2), dim=d.dim(x))


@row("pairwise_distance")
def pairwise_distance(d):
    x = d.tensor(d.shape(1, 2, least=1))
    return Call(x, d.tensor(x.shape), p=d.any_of(2.0, 1.0), keepdim=d.bool())


@row("dropout", "dropout2d", gradients=False)
def dropout(d):  # the same numbers as PyTorch's, where nothing or everything is dropped
    p = d.any_of(0.0, 1.0, 0.4, -0.5)
    return Call(d.tensor(d.shape(3, 4)), p=p, training=p != 0.4)


@pytest.mark.parametrize("name", TABLE)
def test_row(name):
    check(TABLE[name])
