"""python -m dlgrad demo: trains a small network on handwritten digits, in the plain PyTorch style."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import dlgrad
from dlgrad import nn
from dlgrad.nn import functional as F
from dlgrad.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from . import datasets

BATCH = 32
EPOCHS = {"mlp": 30, "cnn": 20}
MNIST_BATCH = 128
MNIST_EPOCHS = 3


class MLP(nn.Module):
    """Two hidden layers; images are taken as rows of pixels."""

    def __init__(self, pixels, hidden=(256, 128)):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], 10),
        )

    def forward(self, images):
        return self.layers(images)


class CNN(nn.Module):
    """Two convolutions with pooling, and a linear layer."""

    def __init__(self, side):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.norm2 = nn.BatchNorm2d(32)
        self.output = nn.Linear(32 * (side // 4) ** 2, 10)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(images))), 2)
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        return self.output(x.flatten(1))


def load_data(folder=None):
    """(name, train images, train labels, test images, test labels); images (N, 1, H, W) in [0, 1]."""
    if folder is not None:
        train_x, train_y, test_x, test_y = datasets.mnist(folder)
        name, top = f"MNIST in {folder}", 255
    else:
        images, labels = datasets.digits()
        # One fifth is held out: the same one whatever the seed.
        order = dlgrad.randperm(len(images), generator=dlgrad.Generator().manual_seed(0))
        images, labels = images[order], labels[order]
        cut = len(images) // 5
        train_x, train_y, test_x, test_y = images[cut:], labels[cut:], images[:cut], labels[:cut]
        name, top = "handwritten digits (UCI, CC BY 4.0)", 16

    def scaled(x):
        return x.to(dlgrad.float32).unsqueeze(1) / top

    return name, scaled(train_x), train_y.long(), scaled(test_x), test_y.long()


@dlgrad.no_grad()
def accuracy(model, images, labels, batch=1000):
    """The share of images whose most probable class is the label."""
    model.eval()
    right = 0
    for x, y in zip(images.split(batch), labels.split(batch)):
        right += (model(x).argmax(1) == y).sum().item()
    model.train()
    return right / len(labels)


def _bar(total):
    """A progress bar over `total` steps (tqdm's; without tqdm, one that says nothing)."""
    try:
        from tqdm import tqdm
    except ImportError:
        print('no progress bar: pip install "dlgrad[demo]" brings tqdm', file=sys.stderr)

        class Silent:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def update(self, n=1):
                pass

            def set_postfix_str(self, text, refresh=True):
                pass

        return Silent()
    return tqdm(total=total, unit="step", file=sys.stderr, dynamic_ncols=True, smoothing=0.1)


def train(model, images, labels, epochs, batch, after_epoch=None, bar=None):
    """Trains with Adam and a learning rate that falls as a cosine; returns the loss of each step."""
    loader = DataLoader(
        TensorDataset(images, labels),
        sampler=BatchSampler(RandomSampler(labels), batch, drop_last=True),
        batch_size=None,
    )
    optimizer = dlgrad.optim.Adam(model.parameters(), lr=3e-3)
    schedule = dlgrad.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    losses = []
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if bar is not None:
                bar.update()
        if after_epoch is not None:
            after_epoch(epoch, losses)
    return losses


def draw(path, losses, steps_per_epoch, model, images, labels, title):
    """Writes a figure with the loss curve and some predictions; False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with dlgrad.no_grad():
        model.eval()
        guesses = model(images).argmax(1).tolist()
    labels = labels.tolist()
    wrong = [i for i, (guess, label) in enumerate(zip(guesses, labels)) if guess != label]
    shown = (wrong[:12] + [i for i in range(len(labels)) if guesses[i] == labels[i]])[:30]
    figure = pyplot.figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    axes = left.subplots()
    epochs = [(i + 1) / steps_per_epoch for i in range(len(losses))]
    axes.plot(epochs, losses, linewidth=0.6, alpha=0.4)
    means = [
        sum(losses[i : i + steps_per_epoch]) / len(losses[i : i + steps_per_epoch])
        for i in range(0, len(losses), steps_per_epoch)
    ]
    axes.plot(range(1, len(means) + 1), means, marker=".")
    axes.set(xlabel="epoch", ylabel="cross entropy", yscale="log", title=title)
    for i, place in zip(shown, right.subplots(5, 6).flat):
        place.imshow(images[i, 0].tolist(), cmap="gray_r")
        place.set_title(
            f"{guesses[i]}" if guesses[i] == labels[i] else f"{guesses[i]} (is {labels[i]})",
            fontsize=9,
            color="black" if guesses[i] == labels[i] else "red",
            pad=2,
        )
        place.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format=path.suffix[1:] or "png")
    pyplot.close(figure)
    return True


def run(model_name="mlp", epochs=None, seed=0, out="dlgrad-demo.png", data=None, save=None):
    """The demo; returns the test accuracy."""
    from .info import cpu_level

    name, train_x, train_y, test_x, test_y = load_data(data)
    epochs = epochs or (EPOCHS[model_name] if data is None else MNIST_EPOCHS)
    batch = BATCH if data is None else MNIST_BATCH
    dlgrad.manual_seed(seed)
    side = train_x.shape[-1]
    model = MLP(side * train_x.shape[-2]) if model_name == "mlp" else CNN(side)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"dlgrad {dlgrad.__version__}, CPU level {cpu_level()}, {dlgrad.get_num_threads()} threads"
    )
    print(f"{name}: {len(train_y):,} images to train on, {len(test_y):,} held out to test")
    print(f"{model_name}: {count:,} parameters, {epochs} epochs, seed {seed}", flush=True)

    steps = len(train_y) // batch
    started = time.perf_counter()
    with _bar(epochs * steps) as bar:

        def after_epoch(epoch, losses):
            mean = sum(losses[-steps:]) / steps
            test = accuracy(model, test_x, test_y)
            bar.set_postfix_str(f"epoch {epoch + 1}, loss {mean:.4f}, test {test:.1%}")

        losses = train(model, train_x, train_y, epochs, batch, after_epoch, bar)
    seconds = time.perf_counter() - started
    train_accuracy = accuracy(model, train_x, train_y)
    test_accuracy = accuracy(model, test_x, test_y)
    print(f"time: {seconds:.2f} s, {seconds / epochs:.3f} s per epoch")
    if save is not None:
        dlgrad.save(model.state_dict(), save)
        print(f"weights: {Path(save).resolve()}")
    path = Path(out).resolve()
    title = f"{model_name}, {epochs} epochs, test accuracy {test_accuracy:.1%}"
    if draw(path, losses, steps, model, test_x[:400], test_y[:400], title):
        print(f"figure: {path}")
    else:
        print('no figure: pip install "dlgrad[demo]" brings matplotlib')
    print(f"train accuracy: {train_accuracy:.1%}")
    print(f"test accuracy: {test_accuracy:.1%}")
    return test_accuracy
