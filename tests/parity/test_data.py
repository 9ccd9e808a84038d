"""The random orders of samplers and DataLoader are PyTorch's."""

import pytest
import torch

import dlgrad
from dlgrad.utils import data as D


@pytest.mark.parametrize("workers, persistent", [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("own_generator", [False, True])
def test_shuffled_order_is_pytorchs(workers, persistent, own_generator):
    found = []
    for library, module in ((dlgrad, D), (torch, torch.utils.data)):
        library.manual_seed(4)
        options = {"generator": library.Generator().manual_seed(9)} if own_generator else {}
        loader = module.DataLoader(
            range(23),
            4,
            shuffle=True,
            num_workers=workers,
            persistent_workers=persistent,
            **options,
        )
        found.append(
            ([b.tolist() for _ in range(2) for b in loader], round(library.rand(1).item(), 6))
        )
        del loader
    assert found[0] == found[1]


def test_samplers_are_pytorchs():
    makers = [
        lambda M: M.RandomSampler(range(10), replacement=True, num_samples=70), lambda M: M.RandomSampler(range(10), num_samples=25),
        lambda M: M.SubsetRandomSampler([4, 5, 6]), lambda M: M.BatchSampler(M.RandomSampler(range(10)), 3, False),
        lambda M: M.random_split(range(11), [0.3, 0.7])[0].indices, lambda M: M.random_split(range(10), [3, 7])[1].indices,
        lambda M: M.DistributedSampler(range(11), 3, 1, seed=2),
    ]  # fmt: skip
    for make in makers:
        found = []
        for library, module in ((dlgrad, D), (torch, torch.utils.data)):
            if not hasattr(module, "DistributedSampler"):
                module.DistributedSampler = torch.utils.data.distributed.DistributedSampler
            library.manual_seed(3)
            found.append(list(make(module)))
        assert found[0] == found[1]
    drawn = list(D.WeightedRandomSampler([0.0, 1.0, 3.0], 400))
    assert 0 not in drawn and 240 < drawn.count(2) < 360
