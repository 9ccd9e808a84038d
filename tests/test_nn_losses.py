"""Losses against their formulas in NumPy, and their gradients against differences."""

import math

import numpy as np
import pytest
import reference
from arrays import array, check_gradients, tensor

import dlgrad
from dlgrad import nn
from dlgrad.nn import functional as F

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 4))
P = RNG.uniform(0.05, 0.95, (6, 4))  # probabilities
LOG_P = reference.log_softmax(X, 1)
SIGNS = np.where(Y > 0, 1.0, -1.0)
BITS = (Y > 0).astype(float)
CLASSES = np.array([0, 3, 1, 1, 2, 0])
ROWS = np.arange(6)
D = X - Y


def softplus(x):
    return np.log1p(np.exp(x))


def multi_margin(p, margin=1.0):
    """sum over j != y of max(0, margin - x[y] + x[j])^p, divided by the number of classes."""
    own = X[ROWS, CLASSES][:, None]
    terms = np.maximum(0, margin - own + X) ** p
    terms[ROWS, CLASSES] = 0
    return terms.sum(1) / 4


# (loss, the first tensor, the others, its values before they are reduced)
LOSSES = {
    "l1": (F.l1_loss, X, (Y,), abs(D)),
    "mse": (F.mse_loss, X, (Y,), D**2),
    "smooth l1": (lambda x, y, reduction: F.smooth_l1_loss(x, y, beta=0.5, reduction=reduction), X, (Y,), np.where(abs(D) < 0.5, D**2, abs(D) - 0.25)),
    "huber": (lambda x, y, reduction: F.huber_loss(x, y, delta=0.7, reduction=reduction), X, (Y,), np.where(abs(D) < 0.7, D**2 / 2, 0.7 * (abs(D) - 0.35))),
    "bce": (F.binary_cross_entropy, P, (BITS,), -(BITS * np.log(P) + (1 - BITS) * np.log(1 - P))),
    "bce with logits": (F.binary_cross_entropy_with_logits, X, (P,), softplus(X) - X * P),
    "kl": (F.kl_div, LOG_P, (P,), P * (np.log(P) - LOG_P)),
    "nll": (F.nll_loss, LOG_P, (CLASSES,), -LOG_P[ROWS, CLASSES]),
    "cross entropy": (F.cross_entropy, X, (CLASSES,), -LOG_P[ROWS, CLASSES]),
    "cross entropy with probabilities": (F.cross_entropy, X, (P,), -(P * LOG_P).sum(1)),
    "smoothed": (lambda x, y, reduction: F.cross_entropy(x, y, label_smoothing=0.2, reduction=reduction), X, (CLASSES,), -0.8 * LOG_P[ROWS, CLASSES] - 0.05 * LOG_P.sum(1)),
    "poisson": (F.poisson_nll_loss, X, (P,), np.exp(X) - P * X),
    "gaussian": (lambda x, y, v, reduction: F.gaussian_nll_loss(x, y, v, full=True, reduction=reduction), X, (Y, P), (np.log(P) + D**2 / P + math.log(2 * math.pi)) / 2),
    "soft margin": (F.soft_margin_loss, X, (SIGNS,), softplus(-SIGNS * X)),
    "hinge embedding": (F.hinge_embedding_loss, X, (SIGNS,), np.where(SIGNS > 0, X, np.maximum(0, 1 - X))),
    "many labels": (F.multilabel_soft_margin_loss, X, (BITS,), (softplus(X) - X * BITS).mean(1)),
    "margins": (F.multi_margin_loss, X, (CLASSES,), multi_margin(1)),
    "squared margins": (lambda x, y, reduction: F.multi_margin_loss(x, y, p=2, reduction=reduction), X, (CLASSES,), multi_margin(2)),
    "ranking": (F.margin_ranking_loss, X, (Y, SIGNS), np.maximum(0, -SIGNS * D)),
    "triplet": (F.triplet_margin_loss, X, (Y, P), np.maximum(0, 1 + np.linalg.norm(D + 1e-6, axis=1) - np.linalg.norm(X - P + 1e-6, axis=1))),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    loss, x, others, values = LOSSES[name]
    for dtype, tolerance in ((dlgrad.float64, 1e-10), (dlgrad.float32, 2e-5)):
        given = [tensor(a) if a.dtype.kind == "i" else tensor(a, dtype) for a in (x, *others)]
        for reduction, wanted in (("none", values), ("mean", values.mean()), ("sum", values.sum())):
            if (name, reduction) == ("kl", "mean"):
                continue  # PyTorch warns: it is not the divergence; batchmean is
            result = loss(*given, reduction=reduction)
            assert result.dtype is dtype
            np.testing.assert_allclose(
                array(result), wanted, tolerance, tolerance, err_msg=reduction
            )
    check_gradients(
        lambda t: loss(t, *[tensor(a) for a in others], reduction="none"), [x], second=False
    )


def test_batchmean_and_logarithms_of_targets():
    wanted = (P * (np.log(P) - LOG_P)).sum() / 6
    args = tensor(LOG_P), tensor(P)
    assert F.kl_div(*args, reduction="batchmean").item() == pytest.approx(wanted)
    logarithms = F.kl_div(tensor(LOG_P), tensor(np.log(P)), reduction="batchmean", log_target=True)
    assert logarithms.item() == pytest.approx(wanted)


def test_weights_and_classes_to_ignore():
    w, labels = np.array([0.5, 1.0, 2.0, 0.1]), np.array([0, 3, -100, 1, 2, -100])
    kept = labels >= 0
    terms = -LOG_P[ROWS[kept], labels[kept]] * w[labels[kept]]
    loss = F.cross_entropy(tensor(X), tensor(labels), weight=tensor(w))
    assert loss.item() == pytest.approx(terms.sum() / w[labels[kept]].sum())
    positive = np.array([1.0, 2.0, 0.5, 3.0])
    values = positive * BITS * softplus(-X) + (1 - BITS) * softplus(X)
    loss = F.binary_cross_entropy_with_logits(
        tensor(X), tensor(BITS), weight=tensor(w), pos_weight=tensor(positive)
    )
    assert loss.item() == pytest.approx((values * w).mean())


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (9, 3, 2), (50, 4, 3), (3, 7, 2, 2)])
def test_classes_of_images(shape):
    scores = np.random.default_rng(1).standard_normal(shape)
    labels = np.random.default_rng(2).integers(0, shape[1], (shape[0], *shape[2:]))
    logarithms = reference.log_softmax(scores, 1)
    chosen = np.take_along_axis(logarithms, labels[:, None], 1)[:, 0]
    x, y = tensor(scores).requires_grad_(), tensor(labels)
    loss = nn.CrossEntropyLoss(reduction="none")(x, y)
    np.testing.assert_allclose(array(loss), -chosen, 1e-12)
    np.testing.assert_allclose(array(F.nll_loss(tensor(logarithms), y, reduction="none")), -chosen, 1e-12)
    mean = F.cross_entropy(x, y)
    assert mean.item() == pytest.approx(-chosen.mean())
    mean.backward()
    hit = np.zeros(shape)
    np.put_along_axis(hit, labels[:, None], 1, 1)
    np.testing.assert_allclose(array(x.grad), (np.exp(logarithms) - hit) / labels.size, 1e-9)


def test_losses_at_the_edges():
    big = dlgrad.tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = F.cross_entropy(big, dlgrad.tensor([1]))
    loss.backward()
    assert loss.item() == 2000.0 and big.grad.tolist() == [[1.0, -1.0]]
    x = dlgrad.tensor([100.0, -100.0])
    assert F.binary_cross_entropy_with_logits(x, dlgrad.tensor([0.0, 1.0])).item() == 100.0
    certain = F.binary_cross_entropy(dlgrad.tensor([0.0, 1.0]), dlgrad.tensor([1.0, 0.0]))
    assert certain.item() == 100.0  # logarithms are cut at -100
    nothing = F.cross_entropy(dlgrad.zeros(2, 3), dlgrad.tensor([-100, -100]))
    assert math.isnan(nothing.item())


def test_cosine_embedding():
    cosine = (X * Y).sum(1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    wanted = np.where(SIGNS[:, 0] > 0, 1 - cosine, np.maximum(0, cosine - 0.1))
    loss = F.cosine_embedding_loss(
        tensor(X), tensor(Y), tensor(SIGNS[:, 0]), margin=0.1, reduction="none"
    )
    np.testing.assert_allclose(array(loss), wanted, 1e-10, 1e-12)


def test_multilabel_margin():
    x, labels = tensor(np.array([[0.1, 0.2, 0.4, 0.8]])), tensor(np.array([[3, 0, -1, 1]]))
    assert F.multilabel_margin_loss(x, labels).item() == pytest.approx(
        0.85
    )  # PyTorch's own example


def test_ctc_is_the_sum_over_all_paths():
    rng = np.random.default_rng(5)
    scores = reference.log_softmax(rng.standard_normal((5, 3, 3)), 2)
    targets, lengths, steps = np.array([[1, 2], [1, 1], [2, 0]]), [2, 2, 1], [5, 4, 3]
    wanted = [
        reference.ctc(scores[:t, i], targets[i, :n]) for i, (n, t) in enumerate(zip(lengths, steps))
    ]
    given = [tensor(targets), tensor(np.array(steps)), tensor(np.array(lengths))]
    loss = F.ctc_loss(tensor(scores), *given, reduction="none")
    np.testing.assert_allclose(array(loss), wanted, 1e-10)
    mean = F.ctc_loss(tensor(scores), *given)
    assert mean.item() == pytest.approx(np.mean(np.array(wanted) / lengths))
    check_gradients(
        lambda t: F.ctc_loss(t.log_softmax(2), *given, reduction="none"), [scores], second=False
    )  # fmt: skip
    nowhere = F.ctc_loss(tensor(scores[:2]), tensor(targets[:, :2]), tensor(np.array([1, 1, 1])), given[2], reduction="none")  # fmt: skip
    assert array(nowhere)[0] == math.inf


def test_modules_pass_their_options_on():
    x, y = tensor(X), tensor(Y)
    for layer, wanted in (
        (nn.SmoothL1Loss(reduction="sum", beta=0.5), F.smooth_l1_loss(x, y, reduction="sum", beta=0.5)),
        (nn.HuberLoss(delta=0.7), F.huber_loss(x, y, delta=0.7)),
        (nn.PoissonNLLLoss(log_input=False, full=True), F.poisson_nll_loss(x, y, log_input=False, full=True)),
        (nn.L1Loss(reduction="none"), (x - y).abs()),
    ):  # fmt: skip
        np.testing.assert_array_equal(array(layer(x, y)), array(wanted))
