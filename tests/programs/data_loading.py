"""Datasets and loaders: custom Dataset, collate, samplers, splits, workers' absence, generators, IterableDataset."""

import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)  # fmt: skip


class Words(Dataset):
    def __init__(self, n):
        self.words = [("abcdefgh" * 3)[i % 5 : i % 5 + 1 + i % 7] for i in range(n)]

    def __len__(self):
        return len(self.words)

    def __getitem__(self, i):
        w = self.words[i]
        return {
            "x": torch.tensor([ord(c) for c in w]),
            "length": len(w),
            "name": w,
            "weight": i / 10,
        }


def collate(batch):
    length = max(b["length"] for b in batch)
    x = torch.zeros(len(batch), length, dtype=torch.long)
    for row, b in zip(x, batch):
        row[: b["length"]] = b["x"]
    return x, torch.tensor([b["length"] for b in batch]), [b["name"] for b in batch]


class Stream(IterableDataset):
    def __iter__(self):
        assert torch.utils.data.get_worker_info() is None
        return iter(torch.arange(7).float())


def main():
    torch.manual_seed(12)
    results = []
    for x, lengths, names in DataLoader(
        Words(11), batch_size=4, shuffle=True, collate_fn=collate, drop_last=False
    ):
        results += [*x.sum(1).tolist(), *lengths.tolist(), sum(map(len, names))]
    train, val, test = random_split(
        Words(20), [0.5, 0.3, 0.2], generator=torch.Generator().manual_seed(42)
    )
    results += [len(train), *train.indices, *val.indices, *test.indices]
    sampler = WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0], 10, replacement=True)
    results += list(sampler)
    labels = torch.randint(0, 3, (30,))
    weights = 1.0 / torch.bincount(labels).float()
    loader = DataLoader(
        TensorDataset(torch.randn(30, 2), labels),
        batch_size=7,
        sampler=WeightedRandomSampler(weights[labels], 30),
        drop_last=True,
    )
    for x, y in loader:
        results += [x.sum().item(), *y.tolist()]
    results += list(SubsetRandomSampler([3, 5, 8]))
    results += [i for b in BatchSampler(RandomSampler(range(9)), 4, drop_last=True) for i in b]
    both = ConcatDataset(
        [Subset(TensorDataset(torch.arange(10)), [1, 3]), TensorDataset(torch.arange(100, 103))]
    )
    results += [x.item() for (x,) in both]
    g = torch.Generator()
    g.manual_seed(5)
    results += [
        v
        for b in DataLoader(torch.arange(12), batch_size=5, shuffle=True, generator=g)
        for v in b.tolist()
    ]
    results += [v for b in DataLoader(Stream(), batch_size=3) for v in b.tolist()]
    for batch in DataLoader([{"a": 1, "b": (2.0, [3])}, {"a": 4, "b": (5.0, [6])}], batch_size=2):
        results += [*batch["a"].tolist(), *batch["b"][0].tolist(), *batch["b"][1][0].tolist()]
    results.append(torch.rand(1).item())
    return results
