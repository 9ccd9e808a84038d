"""Modules and functional forms: against PyTorch (weights for a seed, results, gradients, texts, keys), and by themselves."""

import copy
import gc
import math
import pickle
import subprocess
import sys
import warnings
import weakref
from collections import OrderedDict

import numpy as np
import pytest

import dlgrad
from dlgrad import nn
from dlgrad.nn import functional as F

torch = pytest.importorskip("torch")
tnn = torch.nn
TF = torch.nn.functional


def to_numpy(t):
    return np.asarray(t.detach().tolist(), dtype=np.float64).reshape(tuple(t.shape))


def here(t):
    """The counterpart of a torch tensor."""
    dtype = getattr(dlgrad, str(t.dtype).split(".")[-1])
    return dlgrad.tensor(t.detach().numpy().tolist(), dtype=dtype).reshape(tuple(t.shape))


def flat(value):
    """The tensors in a result."""
    if value is None:
        return []
    if hasattr(value, "tolist"):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [t for item in value for t in flat(item)]


def close(got, want, rtol=1e-4, atol=1e-5):
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for g, w in zip(got, want):
        assert tuple(g.shape) == tuple(w.shape)
        np.testing.assert_allclose(to_numpy(g), to_numpy(w), rtol=rtol, atol=atol)


X = {  # inputs by name: a function of the torch generator's state
    "2": lambda: torch.randn(5, 6),
    "1": lambda: torch.randn(6),
    "3": lambda: torch.randn(5, 6, 9),
    "4": lambda: torch.randn(2, 6, 7, 8),
    "5": lambda: torch.randn(2, 6, 5, 6, 7),
    "seq": lambda: torch.randn(4, 5, 6),
    "index": lambda: torch.randint(0, 10, (3, 4)),
}

CASES = [  # (name, arguments, keywords, inputs)
    ("Linear", (6, 4), {}, "2"), ("Linear", (6, 4), {"bias": False}, "3t"), ("Identity", (), {}, "2"),
    ("Conv1d", (6, 4, 3), {"padding": 1}, "3"), ("Conv1d", (6, 6, 4), {"padding": "same", "groups": 2}, "3"),
    ("Conv2d", (6, 4, (3, 2)), {"stride": 2, "padding": 1}, "4"), ("Conv2d", (6, 6, 3), {"groups": 6, "dilation": 2}, "4"),
    ("Conv2d", (6, 3, 3), {"padding": 2, "padding_mode": "reflect"}, "4"),
    ("Conv2d", (6, 3, 3), {"padding": 1, "padding_mode": "circular", "bias": False}, "4"),
    ("Conv3d", (6, 4, 2), {"padding_mode": "replicate", "padding": 1}, "5"),
    ("ConvTranspose1d", (6, 4, 3), {"stride": 2}, "3"),
    ("ConvTranspose2d", (6, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, "4"),
    ("ConvTranspose3d", (6, 4, 2), {"dilation": 2}, "5"),
    ("MaxPool1d", (3,), {"stride": 2}, "3"), ("MaxPool2d", (2,), {}, "4"), ("MaxPool2d", (3,), {"padding": 1, "ceil_mode": True}, "4"),
    ("MaxPool3d", (2,), {"dilation": 2, "stride": 1}, "5"), ("AvgPool1d", (2,), {}, "3"),
    ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False, "ceil_mode": True}, "4"), ("AvgPool3d", (2,), {"divisor_override": 3}, "5"),
    ("AdaptiveAvgPool1d", (4,), {}, "3"), ("AdaptiveAvgPool2d", ((3, None),), {}, "4"), ("AdaptiveAvgPool3d", (2,), {}, "5"),
    ("AdaptiveMaxPool2d", (3,), {"return_indices": True}, "4"), ("LPPool2d", (2, 2), {}, "4a"), ("LPPool1d", (math.inf, 3), {}, "3"),
    ("BatchNorm1d", (6,), {}, "2"), ("BatchNorm1d", (6,), {"momentum": None}, "3"), ("BatchNorm2d", (6,), {}, "4"),
    ("BatchNorm2d", (6,), {"affine": False, "track_running_stats": False}, "4"), ("BatchNorm3d", (6,), {}, "5"),
    ("LayerNorm", (9,), {}, "3"), ("LayerNorm", ((6, 9),), {"bias": False}, "3"), ("RMSNorm", (9,), {}, "3"),
    ("GroupNorm", (3, 6), {}, "4"), ("InstanceNorm1d", (6,), {"affine": True}, "3"), ("InstanceNorm2d", (6,), {"track_running_stats": True}, "4"),
    ("LocalResponseNorm", (3,), {}, "4"), ("Embedding", (10, 6), {"padding_idx": 2}, "index"), ("EmbeddingBag", (10, 6), {"mode": "mean"}, "index"),
    ("EmbeddingBag", (10, 6), {"mode": "max", "padding_idx": 1}, "index"),
    ("ReLU", (), {}, "2"), ("ReLU6", (), {}, "2"), ("Sigmoid", (), {}, "2"), ("Tanh", (), {}, "2"), ("GELU", (), {}, "2"),
    ("GELU", (), {"approximate": "tanh"}, "2"), ("SiLU", (), {}, "2"), ("Mish", (), {}, "2"), ("ELU", (0.7,), {}, "2"), ("CELU", (0.5,), {}, "2"),
    ("SELU", (), {}, "2"), ("GLU", (), {}, "2"), ("Hardtanh", (), {}, "2"), ("Hardsigmoid", (), {}, "2"), ("Hardswish", (), {}, "2"),
    ("Hardshrink", (), {}, "2"), ("Softshrink", (), {}, "2"), ("Tanhshrink", (), {}, "2"), ("LeakyReLU", (0.2,), {}, "2"), ("LogSigmoid", (), {}, "2"),
    ("Softplus", (2.0,), {}, "2"), ("Softsign", (), {}, "2"), ("Threshold", (0.1, 3.0), {}, "2"), ("PReLU", (6,), {}, "4"), ("Softmax", (1,), {}, "2"),
    ("LogSoftmax", (0,), {}, "2"), ("Softmin", (1,), {}, "2"), ("Softmax2d", (), {}, "4"), ("Flatten", (), {}, "4"), ("Unflatten", (1, (2, 3)), {}, "2"),
    ("ZeroPad2d", (1,), {}, "4"), ("ConstantPad1d", ((1, 2), 3.5), {}, "3"), ("ReflectionPad2d", ((1, 2, 0, 3),), {}, "4"),
    ("ReplicationPad3d", (1,), {}, "5"), ("CircularPad1d", ((2, 3),), {}, "3"), ("Upsample", (), {"scale_factor": 2}, "4"),
    ("Upsample", (), {"size": (5, 11), "mode": "bilinear"}, "4"), ("Upsample", (), {"scale_factor": 1.5, "mode": "bicubic"}, "4"),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, "4"), ("PixelShuffle", (1,), {}, "4"), ("ChannelShuffle", (3,), {}, "4"),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, "4"), ("RNN", (6, 5), {"num_layers": 2, "nonlinearity": "relu"}, "seq"),
    ("LSTM", (6, 5), {"num_layers": 2, "bidirectional": True, "batch_first": True}, "seq"), ("LSTM", (6, 5), {"proj_size": 3}, "seq"),
    ("GRU", (6, 5), {"bias": False, "bidirectional": True}, "seq"), ("RNNCell", (6, 5), {}, "2"), ("LSTMCell", (6, 5), {}, "2"), ("GRUCell", (6, 5), {}, "2"),
    ("TransformerEncoderLayer", (6, 2, 8), {"dropout": 0.0}, "seq"),
    ("TransformerEncoderLayer", (6, 3, 8), {"dropout": 0.0, "activation": "gelu", "norm_first": True, "batch_first": True}, "seq"),
]  # fmt: skip


def case_id(case):
    return f"{case[0]}-{case[3]}-" + "-".join(f"{k}={v}" for k, v in case[2].items())


def make_input(kind):
    if kind == "3t":
        return torch.randn(2, 5, 6)
    if kind == "4a":
        return torch.randn(2, 6, 7, 8).abs()
    return X[kind]()


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_module_against_pytorch(case):
    """The same seed gives the same weights, text, keys; then results, gradients and buffers agree."""
    name, args, kwargs, kind = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(11)
        theirs = getattr(tnn, name)(*args, **kwargs)
        dlgrad.manual_seed(11)
        ours = getattr(nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b)
    assert {k: dict(v) for k, v in a._metadata.items()} == {
        k: dict(v) for k, v in b._metadata.items()
    }
    for key in a:
        # normal_ computes logarithms and cosines, everything else is exact
        close(a[key], b[key], rtol=3e-6, atol=1e-6)
    ours.load_state_dict({key: here(value) for key, value in b.items()})

    x = make_input(kind)
    x1 = here(x)
    if x.is_floating_point():
        x.requires_grad_()
        x1.requires_grad_()
    want, got = theirs(x), ours(x1)
    close(got, want)
    torch.manual_seed(5)
    cotangents = [torch.randn(t.shape) for t in flat(want) if t.is_floating_point()]
    total = sum(
        (t * c).sum() for t, c in zip([t for t in flat(want) if t.requires_grad], cotangents)
    )
    if isinstance(total, int):
        return
    total.backward()
    pairs = zip([t for t in flat(got) if t.requires_grad], cotangents)
    sum((t * here(c)).sum() for t, c in pairs).backward()
    if x.grad is not None:
        close(x1.grad, x.grad, rtol=1e-3, atol=1e-4)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters()):
        assert (p.grad is None) == (q.grad is None), key
        if q.grad is not None:
            close(p.grad, q.grad, rtol=1e-3, atol=1e-4)
    for p, q in zip(ours.buffers(), theirs.buffers()):
        close(p, q)
    close(ours.eval()(x1), theirs.eval()(x))


LOSSES = [  # (name, keywords, input, target)
    ("L1Loss", {}, "n", "n"), ("MSELoss", {"reduction": "sum"}, "n", "n"), ("SmoothL1Loss", {"beta": 0.5}, "n", "n"), ("HuberLoss", {"delta": 0.7}, "n", "n"),
    ("BCELoss", {}, "p", "p"), ("BCEWithLogitsLoss", {"reduction": "none"}, "n", "p"), ("KLDivLoss", {"reduction": "batchmean"}, "lp", "p"),
    ("CrossEntropyLoss", {}, "n", "c"), ("CrossEntropyLoss", {"label_smoothing": 0.2, "ignore_index": 1}, "n", "c"), ("CrossEntropyLoss", {}, "n", "p"),
    ("NLLLoss", {"reduction": "sum"}, "lp", "c"), ("PoissonNLLLoss", {"full": True}, "n", "p"), ("SoftMarginLoss", {}, "n", "s"),
    ("HingeEmbeddingLoss", {}, "n", "s"), ("MultiLabelSoftMarginLoss", {}, "n", "b"), ("MultiMarginLoss", {"p": 2}, "n", "c"),
    ("MultiLabelMarginLoss", {}, "n", "l"),
]  # fmt: skip

VALUES = {
    "n": lambda: torch.randn(6, 4), "p": lambda: torch.rand(6, 4) * 0.9 + 0.05, "lp": lambda: torch.randn(6, 4).log_softmax(1),
    "c": lambda: torch.randint(0, 4, (6,)), "s": lambda: torch.randint(0, 2, (6, 4)).float() * 2 - 1, "b": lambda: torch.randint(0, 2, (6, 4)).float(),
    "l": lambda: torch.tensor([[3, 0, -1, 1], [1, -1, -1, -1], [-1, 0, 1, 2], [0, 1, 2, 3], [2, -1, 0, 1], [0, 2, -1, -1]]),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES, ids=lambda c: f"{c[0]}-{c[1]}-{c[3]}")
def test_loss_against_pytorch(case):
    name, kwargs, x, y = case
    torch.manual_seed(2)
    x, y = VALUES[x]().detach().requires_grad_(), VALUES[y]()
    x1 = here(x).requires_grad_()
    want = getattr(tnn, name)(**kwargs)(x, y)
    got = getattr(nn, name)(**kwargs)(x1, here(y))
    close(got, want)
    want.sum().backward()
    got.sum().backward()
    close(x1.grad, x.grad)


def test_other_losses_against_pytorch():
    torch.manual_seed(3)
    a, b, c = torch.randn(5, 4), torch.randn(5, 4), torch.randn(5, 4)
    sign = torch.tensor([1.0, -1, 1, 1, -1])
    A, B, C, S = here(a), here(b), here(c), here(sign)
    close(
        F.cosine_embedding_loss(A, B, S, margin=0.1),
        TF.cosine_embedding_loss(a, b, sign, margin=0.1),
    )
    close(
        F.margin_ranking_loss(A[:, 0], B[:, 0], S), TF.margin_ranking_loss(a[:, 0], b[:, 0], sign)
    )
    close(F.triplet_margin_loss(A, B, C, swap=True), TF.triplet_margin_loss(a, b, c, swap=True))
    close(
        F.gaussian_nll_loss(A, B, C.abs(), full=True),
        TF.gaussian_nll_loss(a, b, c.abs(), full=True),
    )
    weight, positive = torch.rand(4), torch.rand(4) + 0.5
    target = (b > 0).float()
    close(
        F.binary_cross_entropy_with_logits(
            A, here(target), weight=here(weight), pos_weight=here(positive)
        ),
        TF.binary_cross_entropy_with_logits(a, target, weight=weight, pos_weight=positive),
    )
    labels = torch.tensor([0, 1, -100, 3, 2])
    close(
        F.cross_entropy(A, here(labels), weight=here(weight)),
        TF.cross_entropy(a, labels, weight=weight),
    )


def test_ctc_loss_against_pytorch():
    torch.manual_seed(0)
    scores = torch.randn(12, 3, 5, requires_grad=True)
    targets = torch.randint(1, 5, (3, 4))
    inputs, lengths = torch.tensor([12, 10, 7]), torch.tensor([4, 2, 0])
    x = here(scores).requires_grad_()
    for reduction in ("mean", "sum", "none"):
        want = TF.ctc_loss(scores.log_softmax(2), targets, inputs, lengths, reduction=reduction)
        got = F.ctc_loss(
            x.log_softmax(2), here(targets), here(inputs), here(lengths), reduction=reduction
        )
        close(got, want)
    want.sum().backward()
    got.sum().backward()
    close(x.grad, scores.grad, atol=1e-4)


def test_attention_against_pytorch():
    torch.manual_seed(1)
    theirs = tnn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True, kdim=5, vdim=3)
    dlgrad.manual_seed(1)
    ours = nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True, kdim=5, vdim=3)
    ours.load_state_dict({k: here(v) for k, v in theirs.state_dict().items()})
    q, k, v = torch.randn(4, 3, 8), torch.randn(6, 3, 5), torch.randn(6, 3, 3)
    mask = torch.zeros(3, 6, dtype=torch.bool)
    mask[1, 4:] = True
    forbidden = torch.ones(4, 6).triu(2).bool()
    options = {"key_padding_mask": mask, "attn_mask": forbidden}
    want = theirs(q, k, v, **options)
    got = ours(here(q), here(k), here(v), **{name: here(m) for name, m in options.items()})
    close(got, want)
    close(
        ours(here(q), here(k), here(v), need_weights=False)[0],
        theirs(q, k, v, need_weights=False)[0],
    )


def test_transformer_against_pytorch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        theirs = tnn.Transformer(8, 2, 2, 2, 16, dropout=0.0)
    dlgrad.manual_seed(1)
    ours = nn.Transformer(8, 2, 2, 2, 16, dropout=0.0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.parameters(), theirs.parameters()):
        close(a, b, rtol=3e-6, atol=1e-6)
    src, tgt = torch.randn(5, 3, 8), torch.randn(4, 3, 8)
    mask = tnn.Transformer.generate_square_subsequent_mask(4)
    ours_mask = nn.Transformer.generate_square_subsequent_mask(4)
    close(ours(here(src), here(tgt), tgt_mask=ours_mask), theirs(src, tgt, tgt_mask=mask))


def test_packed_sequences_against_pytorch():
    torch.manual_seed(0)
    x, lengths = torch.randn(7, 3, 4), [3, 7, 5]
    for name, kwargs in (("LSTM", {"num_layers": 2, "bidirectional": True}), ("GRU", {})):
        theirs, ours = getattr(tnn, name)(4, 6, **kwargs), getattr(nn, name)(4, 6, **kwargs)
        ours.load_state_dict({k: here(v) for k, v in theirs.state_dict().items()})
        a = tnn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        b = nn.utils.rnn.pack_padded_sequence(here(x), lengths, enforce_sorted=False)
        assert b.batch_sizes.tolist() == a.batch_sizes.tolist()
        (ya, ha), (yb, hb) = theirs(a), ours(b)
        pa, la = tnn.utils.rnn.pad_packed_sequence(ya, batch_first=True)
        pb, lb = nn.utils.rnn.pad_packed_sequence(yb, batch_first=True)
        close(pb, pa)
        assert lb.tolist() == la.tolist()
        close(hb, ha)
    rows = [torch.randn(n, 2) for n in (3, 1, 4)]
    close(
        nn.utils.rnn.pad_sequence([here(r) for r in rows], True, -1.0),
        tnn.utils.rnn.pad_sequence(rows, True, -1.0),
    )


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_grid_sample_against_pytorch(mode, padding, corners):
    torch.manual_seed(4)
    image, theta = torch.randn(2, 3, 5, 6), torch.randn(2, 2, 3)
    grid = TF.affine_grid(theta, (2, 3, 4, 7), align_corners=corners)
    close(F.affine_grid(here(theta), (2, 3, 4, 7), align_corners=corners), grid)
    options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    close(
        F.grid_sample(here(image), here(grid), **options),
        TF.grid_sample(image, grid, **options),
        rtol=1e-3,
        atol=1e-4,
    )


def test_fold_is_the_transpose_of_unfold():
    dlgrad.manual_seed(0)
    x = dlgrad.rand(2, 3, 6, 7)
    columns = F.unfold(x, (2, 3), dilation=2, padding=1, stride=2)
    other = dlgrad.rand(*columns.shape)
    back = F.fold(other, (6, 7), (2, 3), dilation=2, padding=1, stride=2)
    assert (columns * other).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-5)


# ---------------------------------------------------------------------------------------------- init


@pytest.mark.parametrize("shape", [(5, 3), (20, 30), (4, 6, 3, 3)])
def test_init_against_pytorch(shape):
    calls = [
        ("uniform_", (-1.0, 2.0)), ("normal_", (0.5, 2.0)), ("trunc_normal_", ()), ("trunc_normal_", (0.0, 1.0, 3.0, 4.0)), ("constant_", (3.0,)), ("ones_", ()),
        ("zeros_", ()), ("xavier_uniform_", (2.0,)), ("xavier_normal_", ()), ("kaiming_uniform_", (0.3, "fan_out")), ("kaiming_normal_", (0, "fan_in", "relu")),
    ]  # fmt: skip
    if len(shape) == 2:
        calls += [("eye_", ()), ("sparse_", (0.4,))]
    else:
        calls += [("dirac_", (2,))]
    for name, args in calls:
        torch.manual_seed(7)
        want = getattr(tnn.init, name)(torch.empty(shape), *args)
        following = torch.rand(1).item()
        dlgrad.manual_seed(7)
        got = getattr(nn.init, name)(dlgrad.empty(shape), *args)
        close(got, want, rtol=3e-6, atol=1e-6)
        assert dlgrad.rand(1).item() == pytest.approx(following), (
            f"{name} drew another number of values"
        )


def test_gains_and_orthogonal():
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == tnn.init.calculate_gain(name)
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.init.calculate_gain("sin")
    if not hasattr(dlgrad, "linalg"):
        pytest.skip("dlgrad.linalg is not there")
    w = nn.init.orthogonal_(dlgrad.empty(3, 5), gain=2.0)
    close(w @ w.t(), dlgrad.eye(3) * 4, atol=1e-5)


# ---------------------------------------------------------------------------------------------- Module


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(dlgrad.ones(4))
        self.register_buffer("seen", dlgrad.zeros(1))
        self.register_buffer("scratch", dlgrad.zeros(2), persistent=False)
        self.rest = nn.ModuleList([nn.Linear(4, 4), nn.Dropout(0.5)])

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x) * self.scale))


def test_registration():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == ["seen", "scratch"]
    assert list(net.state_dict()) == [
        "scale",
        "seen",
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
    ]
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert net.get_submodule("rest.0") is net.rest[0]
    assert net.get_parameter("first.bias") is net.first.bias
    assert "scale" in dir(net)
    net.first.weight = None
    assert "first.weight" not in net.state_dict()
    net.tied = net.rest[0]
    assert len(list(net.parameters())) == 4  # each once
    del net.scale
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'scale'"):
        net.scale  # noqa: B018
    net.scale = dlgrad.ones(2)  # a plain attribute now
    assert "scale" not in dict(net.named_parameters())
    net.scale = nn.Parameter(dlgrad.ones(2))
    assert "scale" in dict(net.named_parameters())
    net.scratch = dlgrad.ones(2)
    assert net._buffers["scratch"].tolist() == [1, 1]
    net.stats = nn.Buffer(dlgrad.zeros(3), persistent=False)
    assert "stats" in dict(net.named_buffers()) and "stats" not in net.state_dict()


def test_assignment_errors():
    class NoSuper(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)

    with pytest.raises(AttributeError, match=r"super\(\).__init__"):
        NoSuper()
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter 'weight'"):
        layer.weight = 3
    with pytest.raises(TypeError, match="as parameter 'weight'"):
        layer.weight = dlgrad.zeros(2, 2)
    with pytest.raises(TypeError, match="not a Module subclass"):
        nn.Sequential(abs)
    with pytest.raises(KeyError, match="t contain"):
        layer.register_buffer("a.b", dlgrad.zeros(1))
    with pytest.raises(KeyError, match="already exists"):
        layer.register_buffer("forward", dlgrad.zeros(1))
    with pytest.raises(TypeError, match="parameter 'a'"):
        layer.register_parameter("a", 3)
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        nn.Module(x=1)
    with pytest.raises(ValueError, match="non-leaf"):
        layer.register_parameter("b", _non_leaf(layer))


def _non_leaf(layer):
    result = layer.weight * 2
    result.__class__ = nn.Parameter
    return result


def test_load_state_dict_tells_everything_that_is_wrong():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(
            {
                "0.weight": dlgrad.zeros(3, 3),
                "1.weight": dlgrad.zeros(1, 3),
                "2.bias": dlgrad.zeros(1),
            }
        )
    text = str(caught.value)
    for part in (
        'Missing key(s) in state_dict: "0.bias", "1.bias"',
        'Unexpected key(s) in state_dict: "2.bias"',
        "size mismatch for 0.weight",
    ):
        assert part in text
    result = net.load_state_dict({"0.bias": dlgrad.ones(3), "x": dlgrad.zeros(1)}, strict=False)
    assert result.missing_keys == ["0.weight", "1.weight", "1.bias"] and result.unexpected_keys == [
        "x"
    ]
    assert net[0].bias.tolist() == [1, 1, 1]
    assert str(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    other = nn.Linear(2, 3)
    given = {
        "weight": dlgrad.ones(3, 2, dtype=dlgrad.float64),
        "bias": dlgrad.ones(3, dtype=dlgrad.float64),
    }
    other.load_state_dict(given, assign=True)
    assert other.weight.dtype == dlgrad.float64 and isinstance(other.weight, nn.Parameter)
    with pytest.raises(TypeError, match="dict-like"):
        other.load_state_dict([1])


def test_state_dict_hooks():
    net = nn.Linear(2, 2)
    calls = []
    handles = [
        net.register_state_dict_pre_hook(
            lambda m, prefix, keep: calls.append(("pre", prefix, keep))
        ),
        net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update(extra=1)),
        net.register_load_state_dict_pre_hook(lambda m, state, *rest: state.pop("extra", None)),
        net.register_load_state_dict_post_hook(
            lambda m, keys: calls.append(("post", list(keys.missing_keys)))
        ),
    ]
    state = net.state_dict()
    assert list(state) == ["weight", "bias", "extra"]
    net.load_state_dict(state)
    assert calls == [("pre", "", False), ("post", [])]
    for handle in handles:
        handle.remove()
    assert list(net.state_dict()) == ["weight", "bias"]


def test_modes_and_conversion():
    net = Net().eval()
    assert not net.rest[1].training and not net.training
    net.train()
    assert net.rest[1].training
    with pytest.raises(ValueError, match="boolean"):
        net.train(1)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    weight = net.first.weight
    net(dlgrad.ones(1, 3)).sum().backward()
    assert net.double() is net
    assert (
        net.first.weight is weight
        and weight.dtype == dlgrad.float64
        and weight.grad.dtype == dlgrad.float64
    )
    assert net.seen.dtype == dlgrad.float64
    net.to("cpu").to(dlgrad.float32).to(device="cpu", dtype=dlgrad.float32)
    assert weight.dtype == dlgrad.float32 and weight.requires_grad
    net.zero_grad()
    assert weight.grad is None
    with pytest.raises(TypeError, match="floating"):
        net.to(dlgrad.int64)
    with pytest.raises(RuntimeError, match="CPU"):
        net.cuda()
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Linear", "Dropout", "ModuleList", "Net"]


def test_copy_and_pickle():
    net = Net().eval()
    x = dlgrad.rand(2, 3)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin(x).tolist() == net(x).tolist()
        assert isinstance(twin.scale, nn.Parameter) and twin.scale.requires_grad
        with dlgrad.no_grad():
            twin.scale.add_(1)
        assert net.scale.tolist() == [1, 1, 1, 1]
    tied = nn.Module()
    tied.a = tied.b = nn.Parameter(dlgrad.ones(2))
    twin = copy.deepcopy(tied)
    assert twin.a is twin.b and twin.a is not tied.a


def test_module_does_not_leak():
    net = Net()
    net.register_forward_hook(lambda *a: None)
    net(dlgrad.ones(1, 3)).sum().backward()
    reference = weakref.ref(net.first)
    del net
    gc.collect()
    assert reference() is None


def hooked(library, tensor):
    """What the hooks of a small network saw, and a weight's gradient."""
    log = []
    net = library.Sequential(library.Linear(3, 3), library.Tanh(), library.Linear(3, 2))
    with dlgrad.no_grad(), torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(
                tensor([0.1 * ((7 * k + i) % 5 - 2) for k in range(p.numel())]).reshape(
                    tuple(p.shape)
                )
            )
    numbers = lambda values: [
        None if v is None else np.round(to_numpy(v), 5).tolist() for v in values
    ]  # noqa: E731
    net[1].register_forward_pre_hook(lambda m, a: (log.append("pre"), (a[0] * 2,))[1])
    net[1].register_forward_hook(lambda m, a, o: (log.append("post"), o * 3)[1])
    net[1].register_forward_hook(
        lambda m, a, k, o: log.append(("kwargs", k)), with_kwargs=True, prepend=True
    )
    net[0].register_full_backward_hook(
        lambda m, gi, go: log.append(("first", numbers(gi), numbers(go)))
    )
    net[2].register_full_backward_hook(
        lambda m, gi, go: (log.append(("last", numbers(gi))), (gi[0] * 2,))[1]
    )
    net[2].register_full_backward_pre_hook(lambda m, go: (log.append("before"), (go[0] * 0.5,))[1])
    net(tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])).sum().backward()
    return log, to_numpy(net[0].weight.grad)


def test_hooks_against_pytorch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = hooked(tnn, torch.tensor)
    got = hooked(nn, dlgrad.tensor)
    assert got[0] == want[0]
    np.testing.assert_allclose(got[1], want[1], rtol=1e-4, atol=1e-6)


def test_hooks_can_be_removed_and_are_global_if_asked():
    layer, log = nn.Linear(2, 2), []
    with layer.register_forward_hook(lambda *a: log.append("own")):
        layer(dlgrad.ones(1, 2))
    handle = nn.modules.module.register_module_forward_hook(
        lambda m, a, o: log.append(type(m).__name__)
    )
    layer(dlgrad.ones(1, 2))
    handle.remove()
    layer(dlgrad.ones(1, 2))
    assert log == ["own", "Linear"]
    layer.register_forward_hook(lambda m, a, o: log.append(("failed", o)), always_call=True)
    with pytest.raises(RuntimeError, match="linear"):
        layer(dlgrad.ones(1, 3))
    assert log[-1] == ("failed", None)


def test_containers():
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert net.a is net[0] and len(net) == 2 and [type(m).__name__ for m in net[1:]] == ["ReLU"]
    net.append(nn.Tanh()).insert(0, nn.Identity())
    assert list(net._modules) == ["0", "1", "2", "3"]
    del net[1]
    assert list(net._modules) == ["0", "1", "2"] and isinstance(net[-1], nn.Tanh)
    modules = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    modules += [nn.ReLU()]
    text = repr(modules)
    assert (
        "(0-2): 3 x Linear(in_features=2, out_features=2, bias=True)" in text
        and "(3): ReLU()" in text
    )
    with pytest.raises(IndexError):
        modules[4]
    table = nn.ModuleDict({"x": nn.Linear(1, 1)})
    table["y"] = nn.ReLU()
    assert list(table) == ["x", "y"] and "x" in table and isinstance(table.pop("y"), nn.ReLU)
    parameters = nn.ParameterList([dlgrad.ones(2), dlgrad.zeros(1)])
    assert (
        len(parameters) == 2
        and isinstance(parameters[0], nn.Parameter)
        and list(parameters.state_dict()) == ["0", "1"]
    )
    named = nn.ParameterDict({"w": dlgrad.ones(2)})
    named["v"] = nn.Parameter(dlgrad.zeros(1))
    assert list(named.keys()) == ["w", "v"] and list(named.state_dict()) == ["w", "v"]


def test_lazy_modules():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert net(dlgrad.rand(2, 3, 5, 5)).shape == (2, 2)
    assert [type(m).__name__ for m in net] == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    assert net[3].in_features == 36 and type(net[3].weight) is nn.Parameter
    fresh = nn.LazyLinear(2)
    fresh.load_state_dict(nn.Linear(5, 2).state_dict())
    assert fresh.weight.shape == (2, 5)
    with pytest.raises(RuntimeError, match="not known"):
        nn.LazyLinear(2).weight.shape  # noqa: B018


def test_parameters_as_vector_and_clipping():
    net = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (8,)
    nn.utils.vector_to_parameters(dlgrad.arange(8.0), net.parameters())
    assert net.bias.tolist() == [6, 7]
    for p in net.parameters():
        p.grad = dlgrad.ones(*p.shape) * 2
    norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    assert norm.item() == pytest.approx(math.sqrt(32))
    assert math.sqrt(
        sum((p.grad * p.grad).sum().item() for p in net.parameters())
    ) == pytest.approx(1, abs=1e-5)
    nn.utils.clip_grad_value_(net.parameters(), 0.1)
    assert max(p.grad.max().item() for p in net.parameters()) <= 0.1 + 1e-7
    net.bias.grad = dlgrad.tensor([math.inf, 0.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(net.parameters(), 1.0, error_if_nonfinite=True)


def test_dropout():
    dlgrad.manual_seed(0)
    x = dlgrad.ones(100, 20, 3)
    y = F.dropout(x, 0.25)
    values = set(np.round(to_numpy(y), 4).ravel().tolist())
    assert values == {0.0, 1.3333} and 0.7 < (y > 0).float().mean().item() < 0.8
    assert F.dropout(x, 0.25, training=False) is x
    assert (F.dropout(x, 1.0) == 0).all()
    channels = F.dropout1d(x, 0.5)
    assert ((channels == 0).all(2) | (channels == 2).all(2)).all()
    x.requires_grad_()
    y = F.dropout(x, 0.5)
    y.sum().backward()
    assert (x.grad == y.detach()).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(x, 1.5)


def test_gumbel_softmax():
    dlgrad.manual_seed(0)
    x = dlgrad.zeros(50, 4, requires_grad=True)
    y = F.gumbel_softmax(x, hard=True)
    assert ((y.detach() * y.detach()).sum(1) - 1).abs().max().item() < 1e-5
    (y * dlgrad.arange(4.0)).sum().backward()
    assert x.grad.abs().sum().item() > 0


ERRORS = [  # (call, exception, a part of the message)
    (lambda: nn.Linear(3, 2)(dlgrad.ones(4)), RuntimeError, "in_features = 3"),
    (lambda: nn.Conv2d(3, 2, 3)(dlgrad.ones(1, 2, 5, 5)), RuntimeError, "3 channels, but got 2 channels"),
    (lambda: nn.Conv2d(1, 1, 5)(dlgrad.ones(1, 1, 3, 3)), RuntimeError, "Kernel size can't be greater"),
    (lambda: F.conv2d(dlgrad.ones(1, 1, 3, 3), dlgrad.ones(1, 1, 2, 2), stride=0), RuntimeError, "stride"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "divisible by groups"),
    (lambda: F.max_pool2d(dlgrad.ones(1, 1, 4, 4), 2, padding=2), RuntimeError, "half of effective kernel size"),
    (lambda: F.max_pool2d(dlgrad.ones(1, 1, 2, 2), 5), RuntimeError, "too small"),
    (lambda: nn.BatchNorm1d(3)(dlgrad.ones(1, 3)), ValueError, "more than 1 value per channel"),
    (lambda: nn.BatchNorm2d(3)(dlgrad.ones(2, 3)), ValueError, "expected 4D input"),
    (lambda: nn.LayerNorm(4)(dlgrad.ones(2, 3)), RuntimeError, "normalized_shape"),
    (lambda: nn.GroupNorm(2, 3), ValueError, "divisible"),
    (lambda: nn.LSTM(3, 2)(dlgrad.ones(4, 1, 2)), RuntimeError, "Expected 3, got 2"),
    (lambda: nn.LSTM(3, 2)(dlgrad.ones(4, 1, 3), (dlgrad.ones(1, 1, 5), dlgrad.ones(1, 1, 5))), RuntimeError, "hidden"),
    (lambda: nn.MultiheadAttention(5, 2), AssertionError, "divisible by num_heads"),
    (lambda: F.interpolate(dlgrad.ones(1, 1, 2, 2)), ValueError, "size or scale_factor"),
    (lambda: F.pixel_shuffle(dlgrad.ones(1, 3, 2, 2), 2), RuntimeError, "divisible by the square"),
    (lambda: F.mse_loss(dlgrad.ones(2), dlgrad.ones(2), reduction="maen"), ValueError, "maen"),
    (lambda: F.binary_cross_entropy(dlgrad.ones(2) * 2, dlgrad.ones(2)), RuntimeError, "between 0 and 1"),
    (lambda: F.cross_entropy(dlgrad.ones(2, 3), dlgrad.tensor([0, 1, 2])), ValueError, "batch_size"),
    (lambda: F.one_hot(dlgrad.tensor([5]), 3), RuntimeError, "smaller than num_classes"),
    (lambda: F.pad(dlgrad.ones(1, 1, 3), (3, 3), mode="reflect"), RuntimeError, "Padding size should be less"),
    (lambda: F.pad(dlgrad.ones(3), (1,)), RuntimeError, "divisible by 2"),
    (lambda: F.relu6(3), TypeError, "expected a Tensor"),
    (lambda: F.embedding(dlgrad.ones(2), dlgrad.ones(3, 2)), RuntimeError, "int64"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_error_messages(number):
    call, kind, text = ERRORS[number]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


def test_everything_has_pytorchs_name_and_signature():
    import inspect

    left_out = {"LinearCrossEntropyOptions"}
    missing = {name for name in dir(tnn) if name[0].isupper() and not hasattr(nn, name)} - left_out
    assert not missing
    for name in F.__all__:
        try:
            want = [
                (p.name, p.default)
                for p in inspect.signature(getattr(TF, name)).parameters.values()
            ]
        except (AttributeError, ValueError):
            continue
        if [p for p, _ in want] != ["args", "kwargs"]:
            got = [
                (p.name, p.default) for p in inspect.signature(getattr(F, name)).parameters.values()
            ]
            assert got == want, name


def test_pytorchs_file_names():
    import dlgrad.nn.modules.batchnorm
    from dlgrad.nn.modules.utils import _pair

    assert dlgrad.nn.modules.batchnorm.BatchNorm2d is nn.BatchNorm2d and _pair(3) == (3, 3)
    assert dlgrad.nn.modules.activation.MultiheadAttention is nn.MultiheadAttention


def test_importing_nn_loads_no_layer():
    code = "import sys, dlgrad, dlgrad.nn; print([m for m in sys.modules if m.startswith('dlgrad.nn.')], 'numpy' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[] False"
