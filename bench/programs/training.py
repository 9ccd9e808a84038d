"""Whole training steps: zero_grad, forward, loss, backward, optimizer."""

from . import models, program

GROUP = "training"


def step_of(model, optimizer, loss):
    """The function that runs one training step."""

    def step():
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()

    return step


def classify(torch, model, optimizer, images, classes=10):
    """A step of a classifier on one fixed batch."""
    labels = torch.randint(0, classes, (images.shape[0],))
    criterion = torch.nn.CrossEntropyLoss()
    return step_of(model, optimizer, lambda model: criterion(model(images), labels))


@program("tiny MLP 2-16-16-1, batch 32, SGD", GROUP, flops=6.0 * 32 * (2 * 16 + 16 * 16 + 16))
def tiny(torch):
    model = models.mlp(torch.nn, 2, 16, 16, 1, activation=torch.nn.Tanh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = torch.randn(32, 2), torch.randn(32, 1)
    return step_of(model, optimizer, lambda model: torch.nn.functional.mse_loss(model(x), y))


@program("MLP 784-64-10, batch 128, Adam", GROUP, flops=6.0 * 128 * (784 * 64 + 640))
def mnist(torch):
    model = models.mlp(torch.nn, 784, 64, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return classify(torch, model, optimizer, torch.rand(128, 784))


@program("MLP 784-1024-1024-10, batch 256, AdamW", GROUP,
         flops=6.0 * 256 * (784 * 1024 + 1024 * 1024 + 10240))  # fmt: skip
def wide(torch):
    model = models.mlp(torch.nn, 784, 1024, 1024, 10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return classify(torch, model, optimizer, torch.rand(256, 784))


@program("MLP 784-1024-1024-10, 4 batches of 16 to a step, SGD", GROUP,
         flops=6.0 * 64 * (784 * 1024 + 1024 * 1024 + 10240))  # fmt: skip
def accumulation(torch):
    model = models.mlp(torch.nn, 784, 1024, 1024, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = [(torch.rand(16, 784), torch.randint(0, 10, (16,))) for _ in range(4)]

    def step():
        optimizer.zero_grad()
        for images, labels in batches:
            torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


@program("LeNet 28x28, batch 64, Adam", GROUP,
         flops=6.0 * 64 * (6 * 25 * 784 + 16 * 150 * 100 + 400 * 120 + 120 * 84 + 840))  # fmt: skip
def lenet(torch):
    model = models.lenet(torch.nn)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return classify(torch, model, optimizer, torch.rand(64, 1, 28, 28))


@program("ResNet-18 32x32, batch 16, SGD", GROUP, flops=6.0 * 16 * 555.4e6)
def resnet18(torch):
    model = models.resnet18(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    return classify(torch, model, optimizer, torch.randn(16, 3, 32, 32))


def language_model(torch, model, optimizer, ids, targets):
    """A step of a model of logits over a fixed batch of token ids."""

    def loss(model):
        logits = model(ids)
        return torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten())

    return step_of(model, optimizer, loss)


@program("GPT 6x128 (characters), 16x128 tokens, AdamW", GROUP,
         flops=2048 * (6.0 * (6 * 12 * 128 * 128 + 65 * 128) + 6 * 6.0 * 128 * 128))  # fmt: skip
def char_gpt(torch):
    model = models.gpt(torch, 65, 128, 128, 4, 6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    ids, targets = (torch.randint(0, 65, (16, 128)) for _ in range(2))
    return language_model(torch, model, optimizer, ids, targets)


@program("GPT-2 124M, 1x128 tokens, AdamW", GROUP,
         flops=128 * (6.0 * (12 * 12 * 768 * 768 + 50257 * 768) + 12 * 6.0 * 128 * 768))  # fmt: skip
def gpt2(torch):
    model = models.gpt(torch, 50257, 1024, 768, 12, 12, tied=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    ids, targets = (torch.randint(0, 50257, (1, 128)) for _ in range(2))
    return language_model(torch, model, optimizer, ids, targets)


@program("LSTM language model 128-256, 16x35 tokens, Adam", GROUP,
         flops=560 * 6.0 * (4 * 256 * (128 + 256) + 256 * 1000))  # fmt: skip
def lstm(torch):
    model = models.lstm_language_model(torch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ids, targets = (torch.randint(0, 1000, (35, 16)) for _ in range(2))
    return language_model(torch, lambda ids: model(ids)[0], optimizer, ids, targets)


@program("VAE 784-400-20, batch 128, Adam", GROUP,
         flops=6.0 * 128 * (2 * 784 * 400 + 3 * 400 * 20))  # fmt: skip
def vae(torch):
    model = models.vae(torch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.rand(128, 784)

    def loss(model):
        y, mean, log_variance = model(x)
        error = torch.nn.functional.binary_cross_entropy(y, x, reduction="sum")
        return error - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())

    return step_of(model, optimizer, loss)


#: The steps whose peak memory `python -m bench --memory` compares.
MEMORY = (
    "MLP 784-1024-1024-10, batch 256, AdamW",
    "LeNet 28x28, batch 64, Adam",
    "ResNet-18 32x32, batch 16, SGD",
    "GPT 6x128 (characters), 16x128 tokens, AdamW",
    "GPT-2 124M, 1x128 tokens, AdamW",
)
