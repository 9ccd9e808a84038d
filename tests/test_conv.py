"""Convolution's fast kernels: against double precision, and the same bits everywhere."""

import hashlib
import os
import subprocess
import sys

import pytest

import dlgrad
from dlgrad.info import cpu_level
from dlgrad.nn import functional as F

# Operation, input, weight, arguments: one for every kernel that shapes choose among.
CASES = [
    ("conv2d", (4, 64, 16, 16), (32, 64, 3, 3), {"padding": 1}),  # Winograd
    ("conv2d", (4, 48, 16, 16), (96, 16, 3, 3), {"padding": 1, "groups": 3}),
    ("conv2d", (1, 64, 8, 8), (48, 64, 3, 3), {"padding": 1, "stride": 2}),  # few positions
    ("conv2d", (2, 144, 14, 13), (48, 144, 3, 3), {"padding": (1, 0)}),
    ("conv2d", (3, 3, 32, 32), (16, 3, 3, 3), {"padding": 1}),  # few channels
    ("conv2d", (4, 6, 14, 14), (16, 6, 5, 5), {}),
    ("conv2d", (2, 20, 17, 19), (24, 20, 3, 3), {"padding": 1, "stride": 2}),
    ("conv2d", (2, 32, 16, 16), (32, 32, 1, 1), {"stride": 2}),
    ("conv2d", (2, 24, 20, 20), (24, 24, 3, 3), {"padding": 2, "dilation": 2}),
    ("conv2d", (2, 24, 14, 14), (24, 1, 3, 3), {"padding": 1, "groups": 24}),
    ("conv2d", (2, 24, 15, 14), (24, 1, 5, 5), {"padding": 2, "groups": 24, "stride": 2}),
    ("conv2d", (2, 32, 9, 9), (32, 4, 3, 3), {"padding": 1, "groups": 8}),
    ("conv2d", (2, 24, 28, 29), (24, 1, 3, 3), {"padding": 1, "groups": 24, "stride": 2}),
    ("conv2d", (3, 40, 28, 28), (40, 1, 5, 5), {"padding": 2, "groups": 40}),
    ("conv2d", (3, 50, 7, 7), (50, 1, 7, 7), {"padding": 3, "groups": 50}),
    ("conv2d", (1, 21, 18, 13), (21, 1, 5, 5), {"padding": 2, "groups": 21}),
    ("conv2d", (2, 20, 20, 19), (20, 1, 3, 3), {"padding": 1, "groups": 20}),
    ("conv2d", (2, 20, 30, 31), (20, 1, 7, 7), {"padding": 3, "groups": 20}),
    ("conv1d", (2, 20, 300), (20, 1, 9), {"padding": 4, "groups": 20}),
    ("conv2d", (3, 32, 14, 14), (48, 32, 1, 1), {}),
    ("conv2d", (2, 16, 20, 21), (32, 16, 5, 3), {"padding": (2, 1)}),
    ("conv2d", (1, 96, 4, 4), (32, 96, 3, 3), {"padding": 1}),
    ("conv2d", (2, 22, 15, 17), (1, 22, 1, 1), {}),  # one channel
    ("conv2d", (1, 530, 1, 1), (140, 530, 1, 1), {}),  # a vector
    ("conv1d", (2, 1, 3000), (16, 1, 400), {"stride": 160}),
    ("conv1d", (2, 20, 300), (20, 20, 5), {"padding": 2}),
    ("conv3d", (1, 16, 6, 8, 16), (16, 16, 3, 3, 3), {"padding": 1}),
    (
        "conv_transpose2d",
        (1, 64, 8, 7),
        (64, 48, 4, 3),
        {"padding": 1, "stride": 2, "output_padding": (1, 0)},
    ),  # few positions
    ("conv_transpose2d", (2, 32, 9, 16), (32, 16, 4, 4), {"padding": 1, "stride": 2}),
    ("conv_transpose2d", (1, 16, 28, 28), (16, 32, 2, 2), {"stride": 2}),
]


def results(case, dtype=dlgrad.float32):
    """The output and the gradients by input, weight and bias, of the same numbers in `dtype`."""
    operation, inputs, weights, arguments = case
    channels = weights[1] if "transpose" in operation else weights[0]
    dlgrad.manual_seed(3)
    leaves = [dlgrad.randn(s).to(dtype) for s in (inputs, weights, (channels,))]
    for leaf in leaves:
        leaf.requires_grad_()
    y = getattr(F, operation)(*leaves, **arguments)
    dlgrad.manual_seed(4)
    y.backward(dlgrad.randn(y.shape).to(dtype))
    return [y.detach(), *(t.grad for t in leaves)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_double_precision(case):
    for got, want in zip(results(case), results(case, dlgrad.float64)):
        rms = (want * want).mean().sqrt().item()
        assert (got.double() - want).abs().max().item() <= 2e-5 * rms


@pytest.mark.parametrize("case", CASES, ids=str)
def test_channels_last_in_memory_is_the_same(case):
    operation, inputs, weights, arguments = case
    x, w = dlgrad.randn(inputs), dlgrad.randn(weights)
    call = getattr(F, operation)
    last = [t.movedim(1, -1).contiguous().movedim(-1, 1) for t in (x, w)]
    assert (call(x, w, **arguments) == call(*last, **arguments)).all()


def digest():
    """A line for every case."""
    for case in CASES:
        parts = [
            hashlib.sha256(bytes(t.contiguous().numpy())).hexdigest()[:16] for t in results(case)
        ]
        print(*parts)


def test_same_bits_whatever_the_threads_and_the_cpu_level():
    def run(**environment):
        command = [sys.executable, "-c", "import test_conv; test_conv.digest()"]
        paths = [os.path.dirname(__file__), os.path.dirname(os.path.dirname(dlgrad.__file__))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    first = run(DLGRAD_NUM_THREADS="1")
    assert len(first) == len(CASES)
    assert run(DLGRAD_NUM_THREADS="3") == first
    if cpu_level() == "x86_64_v4":
        assert run(DLGRAD_CPU="x86_64_v3", DLGRAD_NUM_THREADS="2") == first
