"""A program that type checkers accept in their strict modes (tests/test_stubs.py; it also runs)."""

from __future__ import annotations

from collections.abc import Iterator

import dlgrad
import dlgrad.nn.functional as F
from dlgrad import Tensor, nn, optim
from dlgrad.utils.data import DataLoader, Dataset, TensorDataset, random_split


class Squares(Dataset[tuple[Tensor, Tensor]]):
    """Numbers and their squares."""

    def __init__(self, count: int) -> None:
        self.x = dlgrad.linspace(-1, 1, count).unsqueeze(1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.x[index] ** 2


class Net(nn.Module):
    """Two layers and a buffer."""

    calls: Tensor

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, 1, bias=False)
        self.scale = nn.Parameter(dlgrad.ones(1))
        self.register_buffer("calls", dlgrad.zeros(1, dtype=dlgrad.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        hidden = self.norm(F.relu(self.hidden(x)))
        return self.out(self.dropout(hidden)) * self.scale


class Reader(nn.Module):
    """A recurrent layer, attention, an embedding and a convolution: results that are tuples."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 8, num_layers=2, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.conv = nn.Conv1d(8, 4, kernel_size=3, padding="same")

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        states, (h, c) = self.lstm(self.embedding(tokens))
        mixed, _ = self.attention(states, states, states)
        return self.conv(mixed.transpose(1, 2)).mean(dim=2), h + c


def tensors() -> Tensor:
    """Creation, indexing, operators, reductions with several results."""
    x = dlgrad.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = dlgrad.arange(4).reshape(2, 2).to(dlgrad.float32)
    z = 2 * x @ y.T + x[0] - x[:, 1:].sum(dim=1, keepdim=True) / 3
    z[z > 5] = 0.0
    values, indices = z.detach().max(dim=1)
    largest: Tensor = z.max()
    best = dlgrad.topk(z, 1).values[..., 0]
    rows, columns = z.shape
    first, *rest = dlgrad.split(z, 1, dim=0)
    u, s, vh = dlgrad.linalg.svd(z)
    number: float = z.sum().item()
    chosen = dlgrad.where(z > number, z, dlgrad.zeros_like(z))
    wide = dlgrad.cat([chosen, first], dim=0).view(-1, columns).clamp(min=0.0)
    for row in wide:
        assert row.ndim == 1 and row.dtype == dlgrad.float32 and row.size(0) == columns
    assert isinstance(rows, int) and not rest[0].is_leaf and u.shape == (2, 2)
    return (
        wide.add_(1).mean() + largest + best.sum() + values.sum() + indices[0] + s.std() + vh.norm()
    ).exp()


def evaluate(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """The mean loss over the batches."""
    model.eval()
    total, count = 0.0, 0
    with dlgrad.no_grad():
        for x, y in batches:
            total += F.mse_loss(model(x), y, reduction="sum").item()
            count += len(x)
    return total / count


@dlgrad.no_grad()
def norm_of(model: nn.Module) -> Tensor:
    return dlgrad.stack([p.norm() for p in model.parameters()]).norm()


def train(epochs: int = 2) -> float:
    """Trains the network on the squares; returns the loss on what it did not see."""
    generator = dlgrad.manual_seed(0)
    training, test = random_split(Squares(64), [48, 16], generator=generator)
    loader = DataLoader(training, batch_size=16, shuffle=True, drop_last=True)
    model = Net()
    loss_function = nn.MSELoss()
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    for _ in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
    gradient = model.hidden.weight.grad
    assert gradient is not None and gradient.shape == model.hidden.weight.shape
    dlgrad.save({"model": model.state_dict(), "norm": norm_of(model).item()}, "checkpoint.safetensors")
    return evaluate(model, iter(DataLoader(test, batch_size=8)))


if __name__ == "__main__":
    tokens = dlgrad.randint(0, 10, (2, 5))
    features, state = Reader()(tokens)
    tuple_dataset = TensorDataset(features, tokens)
    print(tensors().item(), train(), tuple_dataset[0][0].shape, state.shape)
