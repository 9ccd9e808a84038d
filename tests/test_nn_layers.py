"""Layers against their definitions in NumPy, and their gradients against differences."""

import math

import numpy as np
import pytest
import reference
from arrays import array, check_gradients, tensor

import dlgrad
from dlgrad import nn
from dlgrad.nn import functional as F

DTYPES = {"float32": 2e-5, "float64": 1e-12}


@pytest.fixture(params=DTYPES)
def near(request):
    """near(f, expected, *arrays): f of the arrays as tensors, in float32 or float64, is expected."""
    tolerance = DTYPES[request.param]

    def check(f, expected, *arrays):
        dtype = getattr(dlgrad, request.param)
        actual = f(
            *[tensor(a, dtype) if np.asarray(a).dtype.kind == "f" else tensor(a) for a in arrays]
        )
        assert actual.dtype is dtype and tuple(actual.shape) == expected.shape
        np.testing.assert_allclose(array(actual), expected, tolerance, tolerance)

    return check  # fmt: skip


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------------- linear, convolution


@pytest.mark.parametrize("lead", [(), (1,), (5,), (3, 2)])
def test_linear(near, lead):
    x, w, b = numbers(*lead, 7), numbers(4, 7, seed=1), numbers(4, seed=2)
    near(F.linear, x @ w.T + b, x, w, b)
    near(F.linear, x @ w.T, x, w)


def test_bilinear(near):
    x, y, w, b = numbers(5, 3), numbers(5, 4, seed=1), numbers(2, 3, 4, seed=2), numbers(2, seed=3)
    near(F.bilinear, np.einsum("ni,oij,nj->no", x, w, y) + b, x, y, w, b)


CONVOLUTIONS = [  # (input, weight, options)
    ((2, 4, 9), (6, 4, 3), {}), ((1, 4, 9), (6, 2, 4), {"stride": 2, "padding": 1, "groups": 2}),
    ((2, 4, 7, 8), (3, 4, 3, 2), {"stride": (2, 1), "padding": (1, 0)}), ((2, 4, 7, 8), (8, 1, 3, 3), {"groups": 4, "padding": 1}),
    ((1, 4, 9, 9), (2, 2, 3, 3), {"dilation": 2, "groups": 2}), ((3, 5, 4, 4), (7, 5, 1, 1), {}), ((1, 1, 30, 31), (1, 1, 5, 5), {"stride": 3}),
    ((2, 16, 12, 12), (16, 16, 3, 3), {"padding": 1}), ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2), {"stride": 2, "padding": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "kernel", "options"), CONVOLUTIONS)
def test_convolutions(near, shape, kernel, options):
    x, w, b = numbers(*shape), numbers(*kernel, seed=1), numbers(kernel[0], seed=2)
    function = getattr(F, f"conv{len(shape) - 2}d")
    near(lambda *t: function(*t, **options), reference.conv(x, w, b, **options), x, w, b)


TRANSPOSED = [
    ((2, 4, 6), (4, 3, 3), {"stride": 2}), ((2, 4, 5), (4, 2, 2), {"groups": 2, "padding": 1}),
    ((1, 4, 4, 5), (4, 3, 3, 2), {"stride": 2, "padding": 1, "output_padding": 1}), ((2, 3, 4, 4), (3, 2, 3, 3), {"dilation": 2}),
    ((1, 2, 3, 2, 3), (2, 3, 2, 2, 2), {"stride": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "kernel", "options"), TRANSPOSED)
def test_transposed_convolutions(near, shape, kernel, options):
    outs = kernel[1] * options.get("groups", 1)
    x, w, b = numbers(*shape), numbers(*kernel, seed=1), numbers(outs, seed=2)
    function = getattr(F, f"conv_transpose{len(shape) - 2}d")
    near(lambda *t: function(*t, **options), reference.conv_transpose(x, w, b, **options), x, w, b)


@pytest.mark.parametrize(("mode", "theirs"), [
    ("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap"),
])  # fmt: skip
def test_padding_modes_of_convolutions(mode, theirs):
    layer = nn.Conv2d(2, 3, 3, padding=(2, 1), padding_mode=mode).double()
    x = numbers(1, 2, 5, 6)
    padded = np.pad(x, [(0, 0), (0, 0), (2, 2), (1, 1)], theirs)
    expected = reference.conv(padded, array(layer.weight), array(layer.bias))
    np.testing.assert_allclose(array(layer(tensor(x))), expected, 1e-12, 1e-12)


def test_same_padding_and_a_single_image():
    x, w = numbers(2, 9), numbers(3, 2, 4, seed=1)
    padded = np.pad(x[None], [(0, 0), (0, 0), (1, 2)])  # the odd one is at the end
    y = F.conv1d(tensor(x), tensor(w), padding="same")
    np.testing.assert_allclose(array(y), reference.conv(padded, w)[0], 1e-12, 1e-12)


def test_gradients_of_convolutions():
    for shape, kernel, options in (CONVOLUTIONS[1], CONVOLUTIONS[4]):
        x, w, b = numbers(*shape), numbers(*kernel, seed=1), numbers(kernel[0], seed=2)
        function = getattr(F, f"conv{len(shape) - 2}d")
        check_gradients(lambda *t: function(*t, **options), [x, w, b], second=False)
    x, w = numbers(1, 2, 4), numbers(2, 2, 3, seed=1)
    check_gradients(lambda x, w: F.conv1d(x, w, padding=1) ** 2, [x, w])
    check_gradients(lambda x, w: F.conv_transpose1d(x, w, stride=2) ** 2, [x, w])


# ---------------------------------------------------------------------- small planes


@pytest.mark.parametrize("size", [(7, 7), (2, 3), (14, 9), (1, 1)])
@pytest.mark.parametrize("planes", [(1, 1), (3, 7), (2, 40)])
def test_small_planes_of_float32_are_as_those_of_float64(planes, size):
    x = dlgrad.from_numpy(
        np.random.default_rng(0)
        .permutation(planes[0] * planes[1] * size[0] * size[1])
        .astype("float32")
    )
    x = x.view(*planes, *size) / 64
    amounts = (size[1] - 1, 0, 0, size[0] - 1)
    for f in (
        lambda t: F.max_pool2d(t, 2, 1, 1),
        lambda t: F.max_pool2d(t, 2, 1, 1, return_indices=True)[1].to(t.dtype) + t.sum() * 0,
        lambda t: F.max_pool2d(t, (2, 1), 2, (1, 0), (3, 1)) if size[0] > 2 else t * 1,
        lambda t: F.avg_pool2d(t, 3, 2, 1, count_include_pad=False),
        lambda t: F.avg_pool2d(t, 1, 2, ceil_mode=True, divisor_override=3),
        lambda t: F.adaptive_max_pool2d(t, (3, 2)),
        lambda t: F.interpolate(t, (5, 9), mode="bilinear"),
        lambda t: F.interpolate(t, (3, 4), mode="bicubic", align_corners=True),
        lambda t: F.pad(t, amounts, mode="reflect"),
        lambda t: F.pad(t, (2, 1, 0, 3), mode="replicate"),
        lambda t: F.pad(t, amounts, mode="circular"),
        lambda t: F.pad(t, (1, 2, 0, 1), value=3.0),
    ):
        found = []
        for dtype in (dlgrad.float32, dlgrad.float64):
            t = x.to(dtype).clone().requires_grad_()
            y = f(t)
            (y * (y.detach() * 0.3).sin()).sum().backward()
            found.append((y.detach().double(), t.grad.double()))
        for ours, exact in zip(*found):
            assert (ours - exact).abs().max().item() <= 1e-4 * (1 + exact.abs().max().item())


# ---------------------------------------------------------------------- pooling


POOLS = [
    ((2, 3, 9), 3, {"stride": 2}), ((2, 3, 7, 8), 2, {}), ((2, 3, 7, 8), (3, 2), {"stride": (2, 3), "padding": 1}), ((1, 2, 4, 5, 6), 2, {"stride": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "kernel", "options"), POOLS)
def test_pools(near, shape, kernel, options):
    x, n = numbers(*shape), len(shape) - 2
    largest = reference.pool(x, kernel, kind="max", **options)
    near(lambda t: getattr(F, f"max_pool{n}d")(t, kernel, **options), largest, x)
    for counted in (True, False):
        mean = reference.pool(x, kernel, kind="mean", count_include_pad=counted, **options)
        options = {**options, "count_include_pad": counted}
        near(lambda t: getattr(F, f"avg_pool{n}d")(t, kernel, **options), mean, x)
        del options["count_include_pad"]


@pytest.mark.parametrize(
    ("shape", "out"), [((2, 3, 10), (4,)), ((2, 3, 7, 8), (3, 5)), ((1, 2, 4, 5, 6), (2, 2, 4))]
)
def test_adaptive_pools(near, shape, out):
    x, n = numbers(*shape), len(shape) - 2
    for kind, name in (("max", "max"), ("mean", "avg")):
        function = getattr(F, f"adaptive_{name}_pool{n}d")
        near(lambda t: function(t, out), reference.adaptive_pool(x, out, kind), x)


def test_places_of_maxima_and_back():
    x = numbers(2, 3, 6, 8)
    y, places = nn.MaxPool2d(2, return_indices=True)(tensor(x))
    flat = x.reshape(2, 3, -1)
    np.testing.assert_array_equal(
        array(y).reshape(2, 3, -1), np.take_along_axis(flat, array(places).reshape(2, 3, -1), 2)
    )
    back = array(nn.MaxUnpool2d(2)(y, places))
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    assert (back != 0).sum() == y.numel()


def test_gradients_of_pools():
    x = numbers(1, 2, 5, 6)
    check_gradients(lambda t: F.max_pool2d(t, 2, padding=1), [x], second=False)
    check_gradients(lambda t: F.avg_pool2d(t, 2, padding=1, ceil_mode=True), [x], second=False)
    check_gradients(lambda t: F.adaptive_avg_pool2d(t, (3, 4)), [x], second=False)
    check_gradients(lambda t: F.lp_pool2d(t, 3, 2), [np.abs(x) + 0.1], second=False)


# ---------------------------------------------------------------------- normalization


def test_layer_norm_and_rms_norm(near):
    x, w, b = numbers(4, 5, 6), numbers(5, 6, seed=1), numbers(5, 6, seed=2)
    expected = reference.normalized(x, (1, 2)) * w + b
    near(lambda x, w, b: F.layer_norm(x, (5, 6), w, b), expected, x, w, b)
    near(lambda x: F.layer_norm(x, (6,)), reference.normalized(x, 2), x)
    expected = x / np.sqrt((x * x).mean(2, keepdims=True) + 1e-3)
    near(lambda x: F.rms_norm(x, (6,), eps=1e-3), expected, x)


def test_group_norm_and_instance_norm(near):
    x, w, b = numbers(2, 6, 4, 5), numbers(6, seed=1), numbers(6, seed=2)
    over = reference.normalized(x.reshape(2, 3, 2, 4, 5), (2, 3, 4)).reshape(x.shape)
    expected = over * w.reshape(6, 1, 1) + b.reshape(6, 1, 1)
    near(lambda x, w, b: F.group_norm(x, 3, w, b), expected, x, w, b)
    near(F.instance_norm, reference.normalized(x, (2, 3)), x)


@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)])
def test_batch_norm_and_its_statistics(shape):
    layer = getattr(nn, f"BatchNorm{max(len(shape) - 2, 1)}d")(3, momentum=0.25).double()
    x = numbers(*shape)
    axes = (0, *range(2, len(shape)))
    expected = reference.normalized(x, axes)
    np.testing.assert_allclose(array(layer(tensor(x))), expected, 1e-12, 1e-12)
    mean, variance = 0.25 * x.mean(axes), 0.75 + 0.25 * x.var(axes, ddof=1)
    np.testing.assert_allclose(array(layer.running_mean), mean, 1e-12)
    np.testing.assert_allclose(array(layer.running_var), variance, 1e-12)
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    by = [v.reshape(-1, *[1] * (len(shape) - 2)) for v in (mean, variance)]
    expected = (x - by[0]) / np.sqrt(by[1] + 1e-5)
    np.testing.assert_allclose(array(layer(tensor(x))), expected, 1e-12, 1e-12)
    assert layer.num_batches_tracked.item() == 1


def test_batch_norm_with_the_average_of_all_batches():
    layer = nn.BatchNorm1d(3, momentum=None).double()
    batches = [numbers(6, 3, seed=i) for i in range(4)]
    for x in batches:
        layer(tensor(x))
    mean = np.mean([x.mean(0) for x in batches], 0)
    np.testing.assert_allclose(array(layer.running_mean), mean, 1e-12, 1e-14)


def test_local_response_norm():
    x = numbers(2, 5, 3)
    squares = np.pad(x * x, [(0, 0), (1, 1), (0, 0)])
    around = (squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]) / 3
    y = F.local_response_norm(tensor(x), 3, alpha=0.5, beta=0.75, k=2.0)
    np.testing.assert_allclose(array(y), x / (2 + 0.5 * around) ** 0.75, 1e-12)


def test_gradients_of_norms():
    x, w, b = numbers(3, 4), numbers(4, seed=1), numbers(4, seed=2)
    check_gradients(lambda x, w, b: F.layer_norm(x, (4,), w, b), [x, w, b])
    check_gradients(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [x, w, b])
    check_gradients(lambda x, w, b: F.group_norm(x, 2, w, b), [x, w, b])
    check_gradients(lambda x, w: F.rms_norm(x, (4,), w), [x, w])


def test_normalize_and_distances():
    x, y = numbers(4, 5), numbers(4, 5, seed=1)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(array(F.normalize(tensor(x))), x / lengths, 1e-12)
    cosine = (x * y).sum(1) / lengths[:, 0] / np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(array(F.cosine_similarity(tensor(x), tensor(y))), cosine, 1e-12)
    distance = np.linalg.norm(x - y + 1e-6, axis=1)
    np.testing.assert_allclose(array(F.pairwise_distance(tensor(x), tensor(y))), distance, 1e-12)


# ---------------------------------------------------------------------- activations

sigmoid = reference.sigmoid
SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)), (nn.ReLU6(), lambda x: np.clip(x, 0, 6)), (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.Sigmoid(), sigmoid), (nn.LogSigmoid(), lambda x: np.log(sigmoid(x))), (nn.Tanh(), np.tanh), (nn.Tanhshrink(), lambda x: x - np.tanh(x)),
    (nn.ELU(0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))), (nn.CELU(0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x / 0.5))),
    (nn.SELU(), lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * np.expm1(x))), (nn.SiLU(), lambda x: x * sigmoid(x)),
    (nn.GELU(), lambda x: x * (1 + reference.erf(x / math.sqrt(2))) / 2), (nn.Softsign(), lambda x: x / (1 + abs(x))),
    (nn.GELU("tanh"), lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    (nn.Mish(), lambda x: x * np.tanh(np.log1p(np.exp(x)))), (nn.Softplus(2.0), lambda x: np.log1p(np.exp(2 * x)) / 2),
    (nn.Hardtanh(-0.5, 0.8), lambda x: np.clip(x, -0.5, 0.8)), (nn.Hardsigmoid(), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (nn.Hardswish(), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)), (nn.Hardshrink(0.4), lambda x: np.where(abs(x) > 0.4, x, 0)),
    (nn.Softshrink(0.4), lambda x: np.sign(x) * np.maximum(abs(x) - 0.4, 0)), (nn.Threshold(0.1, 3.0), lambda x: np.where(x > 0.1, x, 3)),
    (nn.GLU(), lambda x: x[:, :10] * sigmoid(x[:, 10:])), (nn.Softmax(1), lambda x: reference.softmax(x, 1)),
    (nn.LogSoftmax(0), lambda x: reference.log_softmax(x, 0)), (nn.Softmin(1), lambda x: reference.softmax(-x, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "formula"), ACTIVATIONS, ids=lambda v: repr(v)[:20])
def test_activations(near, layer, formula):
    x = numbers(6, 20) * 2
    near(layer, formula(x), x)


# ---------------------------------------------------------------------- embeddings, shapes, sampling


def test_embedding(near):
    w, index = numbers(10, 4), np.array([[1, 2, 2], [9, 0, 1]])
    near(lambda w, i: F.embedding(i, w), w[index], w, index)
    table = tensor(w).requires_grad_()
    F.embedding(tensor(index), table, padding_idx=2).sum().backward()
    counts = np.bincount(index.ravel(), minlength=10) * (np.arange(10) != 2)
    np.testing.assert_array_equal(array(table.grad), np.repeat(counts[:, None], 4, 1))
    layer = nn.Embedding(10, 4, padding_idx=2, max_norm=0.5)
    assert layer.weight[2].tolist() == [0, 0, 0, 0]
    assert float(layer(tensor(index)).norm(dim=2).max()) <= 0.5 + 1e-6


@pytest.mark.parametrize(("mode", "reduce"), [("sum", np.sum), ("mean", np.mean), ("max", np.max)])
def test_embedding_bag(near, mode, reduce):
    w, index, starts = numbers(10, 4), np.array([1, 2, 2, 9, 0, 1]), np.array([0, 2, 5])
    bags = np.stack([reduce(w[i], 0) for i in (index[:2], index[2:5], index[5:])])
    near(lambda w, i, s: F.embedding_bag(i, w, s, mode=mode), bags, w, index, starts)


def test_shuffles_and_folds():
    x = numbers(2, 8, 3, 4)
    blocks = x.reshape(2, 2, 2, 2, 3, 4).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 6, 8)
    np.testing.assert_array_equal(array(F.pixel_shuffle(tensor(x), 2)), blocks)
    np.testing.assert_array_equal(array(F.pixel_unshuffle(tensor(blocks), 2)), x)
    groups = x.reshape(2, 4, 2, 3, 4).swapaxes(1, 2).reshape(x.shape)
    np.testing.assert_array_equal(array(F.channel_shuffle(tensor(x), 4)), groups)
    columns = array(F.unfold(tensor(x), 2)).reshape(2, 8, 2, 2, 2, 3)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        np.testing.assert_array_equal(columns[:, :, i, j], x[:, :, i : i + 2, j : j + 3])


def test_fold_is_the_transpose_of_unfold():
    dlgrad.manual_seed(0)
    x = dlgrad.rand(2, 3, 6, 7)
    columns = F.unfold(x, (2, 3), dilation=2, padding=1, stride=2)
    other = dlgrad.rand(*columns.shape)
    back = F.fold(other, (6, 7), (2, 3), dilation=2, padding=1, stride=2)
    assert (columns * other).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-5)


@pytest.mark.parametrize(("layer", "widths", "mode"), [
    (nn.ZeroPad2d((1, 2, 0, 3)), [(0, 3), (1, 2)], {"mode": "constant"}), (nn.ConstantPad1d((1, 2), 3.5), [(1, 2)], {"constant_values": 3.5}),
    (nn.ReflectionPad2d((1, 2, 0, 3)), [(0, 3), (1, 2)], {"mode": "reflect"}), (nn.ReplicationPad3d(2), [(2, 2)] * 3, {"mode": "edge"}),
    (nn.CircularPad1d((2, 3)), [(2, 3)], {"mode": "wrap"}),
], ids=repr)  # fmt: skip
def test_pads(near, layer, widths, mode):
    x = numbers(2, 3, *[4, 5, 6][: len(widths)])
    near(layer, np.pad(x, [(0, 0), (0, 0), *widths], **mode), x)


def test_interpolate(near):
    x = numbers(1, 2, 3, 4)
    near(lambda t: F.interpolate(t, scale_factor=2), x.repeat(2, 2).repeat(2, 3), x)
    line = numbers(2, 3, 5)
    places = np.linspace(0, 4, 9)
    ends = np.apply_along_axis(lambda v: np.interp(places, range(5), v), 2, line)
    near(lambda t: F.interpolate(t, 9, mode="linear", align_corners=True), ends, line)
    middles = np.clip((np.arange(10) + 0.5) / 2 - 0.5, 0, 4)
    inner = np.apply_along_axis(lambda v: np.interp(middles, range(5), v), 2, line)
    near(lambda t: F.interpolate(t, 10, mode="linear"), inner, line)


def test_grid_sample():
    x = numbers(1, 2, 5, 6)
    same = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    grid = F.affine_grid(tensor(same), (1, 2, 5, 6), align_corners=True)
    for mode in ("bilinear", "nearest", "bicubic"):
        y = F.grid_sample(tensor(x), grid, mode=mode, align_corners=True)
        np.testing.assert_allclose(array(y), x, 1e-12, 1e-12)
    y = F.grid_sample(tensor(x), -grid, align_corners=True)
    np.testing.assert_allclose(array(y), x[..., ::-1, ::-1], 1e-12, 1e-12)
    y = F.grid_sample(tensor(x), grid * 9 + 5, align_corners=True, padding_mode="border")
    assert array(y)[0, 0, -1, -1] == x[0, 0, -1, -1]
    middle = tensor(np.array([[[[-0.8, -1.0], [0.0, 9.0]]]]))  # between columns 0 and 1; outside
    y = array(F.grid_sample(tensor(x), middle, align_corners=True))
    np.testing.assert_allclose(y[0, :, 0, 0], x[0, :, 0, :2].mean(1), 1e-12)
    assert (y[0, :, 0, 1] == 0).all()
    inside = np.random.default_rng(3).uniform(-0.9, 0.9, (1, 2, 2, 2))
    check_gradients(
        lambda x, g: F.grid_sample(x, g, align_corners=False), [x, inside], second=False
    )


def test_one_hot():
    assert F.one_hot(dlgrad.tensor([2, 0]), 4).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert F.one_hot(dlgrad.tensor([[1], [2]])).shape == (2, 1, 3)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_gradients_of_no_samples(mode):
    x = dlgrad.zeros(0, 3, 6, requires_grad=True)
    F.pad(x, (1, 2), mode).sum().backward()
    assert x.grad.shape == x.shape
    x = dlgrad.zeros(0, 2, 4, 4, requires_grad=True)
    F.unfold(x, 3).sum().backward()
    assert x.grad.shape == x.shape
    assert F.fold(dlgrad.zeros(0, 8, 9), (4, 4), 2).shape == (0, 2, 4, 4)
