"""Attention, sequences, sampling, losses, initialization and hooks against PyTorch."""

import inspect
import warnings

import numpy as np
import pytest
import torch

import dlgrad
from dlgrad import nn
from dlgrad.nn import functional as F

from .both import close, here

tnn = torch.nn
TF = torch.nn.functional


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_gradients_of_grid_sample_against_pytorch(mode, padding, dtype):
    torch.manual_seed(5)
    close_to = {"rtol": 1e-3, "atol": 2e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-9}
    for sizes in ((5, 6), (4, 5, 6)):
        if mode == "bicubic" and len(sizes) == 3:
            continue
        # 21 points of 11 channels: more than are sampled together.
        image = torch.randn(2, 11, *sizes, dtype=getattr(torch, dtype), requires_grad=True)
        grid = (3 * torch.rand(2, *(3,) * (len(sizes) - 1), 7, len(sizes)) - 1.5).to(image.dtype)
        grid.requires_grad_()
        for corners in (False, True):
            options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
            ours = [here(t.detach()).requires_grad_() for t in (image, grid)]
            want, got = TF.grid_sample(image, grid, **options), F.grid_sample(*ours, **options)
            assert got.grad_fn.name() == want.grad_fn.name()
            close(got, want, **close_to)
            weight = torch.randn_like(want)
            for a, b in zip(
                dlgrad.autograd.grad(got, ours, here(weight)),
                torch.autograd.grad(want, (image, grid), weight),
            ):
                close(a, b, **close_to)


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


def test_gains_against_pytorch():
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == tnn.init.calculate_gain(name)


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

    def numbers(values):
        return [None if v is None else np.round(v.tolist(), 5).tolist() for v in values]

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
    return log, net[0].weight.grad.tolist()


def test_hooks_against_pytorch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = hooked(tnn, torch.tensor)
    got = hooked(nn, dlgrad.tensor)
    assert got[0] == want[0]
    np.testing.assert_allclose(got[1], want[1], rtol=1e-4, atol=1e-6)


def test_everything_has_pytorchs_name_and_signature():
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
