"""Modules and losses against PyTorch: weights for a seed, texts, keys, results, gradients, buffers."""

import math
import warnings

import pytest
import torch

import dlgrad
from dlgrad import nn

from .both import close, flat, here

tnn = torch.nn


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
