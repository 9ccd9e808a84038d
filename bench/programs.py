"""What is timed: each program is plain PyTorch code that takes its module as an argument.

`PROGRAMS[name](torch)` sets the program up and returns the function to time, which runs once a
call. Under `--tiny` only those of `TINY` run.
"""

from __future__ import annotations

PROGRAMS: dict = {}
TINY = ("add 10", "add 10, grad", "chain 50, backward", "matmul 64")


def program(name):
    """Registers a set-up function under the name that the table shows."""

    def register(setup):
        PROGRAMS[name] = setup
        return setup

    return register


# ------------------------------------------------------------- the cost of an operation by itself


@program("add 10")
def add(torch):
    """Two tensors of 10 elements, no gradient wanted."""
    a, b = torch.randn(10), torch.randn(10)
    return lambda: a + b


@program("add 10, grad")
def add_with_gradient(torch):
    """The same with a graph node made (no backward)."""
    a, b = torch.randn(10, requires_grad=True), torch.randn(10)
    return lambda: a + b


@program("chain 50, backward")
def chain(torch):
    """Fifty operations on 10 elements, multiplications and additions in turn, then backward."""
    x, a, b = torch.randn(10, requires_grad=True), torch.randn(10), torch.randn(10)

    def run():
        y = x
        for _ in range(25):
            y = y * a + b
        y.sum().backward()
        x.grad = None

    return run


# ------------------------------------------------------------------------------ single operations


def unary(name, size, label):
    """A program that applies one function to `size` elements."""

    @program(f"{name} {label}")
    def setup(torch):
        x, function = torch.randn(size), getattr(torch, name)
        return lambda: function(x)


def matmul(n):
    """A program that multiplies two n x n matrices."""

    @program(f"matmul {n}")
    def setup(torch):
        a, b = torch.randn(n, n), torch.randn(n, n)
        return lambda: a @ b


unary("exp", 10_000, "10 K")
unary("exp", 1_000_000, "1 M")
unary("tanh", 1_000_000, "1 M")


@program("add 1 M")
def add_1m(torch):
    a, b = torch.randn(1_000_000), torch.randn(1_000_000)
    return lambda: a + b


@program("add 16 M")
def add_16m(torch):
    """Larger than the caches."""
    a, b = torch.randn(16_000_000), torch.randn(16_000_000)
    return lambda: a + b


unary("sum", 10_000, "10 K")
unary("sum", 1_000_000, "1 M")


@program("sum 1000x1000, columns")
def sum_columns(torch):
    x = torch.randn(1000, 1000)
    return lambda: x.sum(0)


@program("softmax 1000x1000")
def softmax(torch):
    x = torch.randn(1000, 1000)
    return lambda: torch.softmax(x, 1)


for _n in (32, 64, 256, 512):
    matmul(_n)


@program("matmul 128x784 @ 784x64")
def matmul_mlp(torch):
    """The first layer of the MLP below."""
    a, b = torch.randn(128, 784), torch.randn(784, 64)
    return lambda: a @ b


@program("conv2d 16x64x32x32, 3x3")
def conv(torch):
    x, w = torch.randn(16, 64, 32, 32), torch.randn(64, 64, 3, 3)
    return lambda: torch.nn.functional.conv2d(x, w, padding=1)


# --------------------------------------------------------------------------- whole training steps


def training(torch, model, images, classes):
    """The function that runs one step of Adam on one batch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    labels = torch.randint(0, classes, (images.shape[0],))
    loss_function = torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss = loss_function(model(images), labels)
        loss.backward()
        optimizer.step()

    return step


@program("MLP 784-64-10, batch 128, Adam")
def mlp(torch):
    nn = torch.nn
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    return training(torch, model, torch.rand(128, 784), 10)


@program("LeNet 28x28, batch 64, Adam")
def lenet(torch):
    """LeNet-5 (LeCun 1998) with ReLU and max pooling."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )
    return training(torch, model, torch.rand(64, 1, 28, 28), 10)
