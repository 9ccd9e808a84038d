"""Datasets, samplers, DataLoader: by themselves, and their random orders against PyTorch's."""

import collections
import os
import time

import pytest

import dlgrad
from dlgrad.utils import data as D

Point = collections.namedtuple("Point", "x y")


class Squares(D.Dataset):
    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i, float(i * i)


class Failing(Squares):
    def __getitem__(self, i):
        if i == 5:
            raise ValueError("five is bad")
        if i == 7:
            os._exit(3)
        return i


class Slow(Squares):
    def __getitem__(self, i):
        time.sleep(5)
        return i


class Counting(D.IterableDataset):
    """0 to 9 in one process; with workers, each has five of its own (and one more for its number)."""

    def __iter__(self):
        info = D.get_worker_info()
        if info is None:
            return iter(range(10))
        return iter(range(5 * info.id, 5 * info.id + 5 + info.id))


class Seeds(D.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        info = D.get_worker_info()
        return dlgrad.tensor([info.id, info.seed, dlgrad.initial_seed()])


def lists(batches):
    return [
        [part.tolist() for part in batch] if isinstance(batch, (list, tuple)) else batch.tolist()
        for batch in batches
    ]


def test_batches_in_order():
    batches = lists(D.DataLoader(Squares(5), batch_size=2))
    assert batches == [[[0, 1], [0.0, 1.0]], [[2, 3], [4.0, 9.0]], [[4], [16.0]]]
    loader = D.DataLoader(Squares(5), batch_size=2, drop_last=True)
    assert len(loader) == 2 == len(list(loader))
    assert list(D.DataLoader(Squares(3), batch_size=None)) == [[0, 0.0], [1, 1.0], [2, 4.0]]
    rows = D.TensorDataset(dlgrad.arange(10), dlgrad.arange(10) * 2)
    whole = D.DataLoader(
        rows, sampler=D.BatchSampler(D.SequentialSampler(rows), 4, False), batch_size=None
    )
    assert lists(whole)[2] == [[8, 9], [16, 18]]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_give_the_same_batches(workers):
    plain = lists(D.DataLoader(Squares(), 4))
    assert lists(D.DataLoader(Squares(), 4, num_workers=workers)) == plain
    loose = lists(
        D.DataLoader(Squares(), 4, num_workers=workers, in_order=False, prefetch_factor=1)
    )
    assert sorted(i for ints, _ in loose for i in ints) == list(range(23))


def test_persistent_workers_and_an_epoch_broken_off():
    loader = D.DataLoader(Squares(), 2, num_workers=2, persistent_workers=True)
    first = iter(loader)
    next(first)
    workers = [w.pid for w in loader._iterator._workers]
    assert len(list(loader)) == 12 == len(list(loader))
    assert [w.pid for w in loader._iterator._workers] == workers


def test_breaking_off_ends_the_workers():
    iterator = iter(D.DataLoader(Squares(), 1, num_workers=2))
    next(iterator)
    workers = list(iterator._workers)
    started = time.monotonic()
    del iterator
    assert not any(w.is_alive() for w in workers) and time.monotonic() - started < 5


def test_iterable_datasets():
    assert lists(D.DataLoader(Counting(), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert lists(D.DataLoader(Counting(), 4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert lists(D.DataLoader(Counting(), 3, num_workers=2)) == [
        [0, 1, 2],
        [5, 6, 7],
        [3, 4],
        [8, 9, 10],
    ]
    assert sorted(D.DataLoader(Counting(), None, num_workers=2)) == list(range(11))
    chain = D.ChainDataset([Counting(), Counting()])
    assert len(list(chain)) == 20
    with pytest.raises(ValueError, match="shuffle"):
        D.DataLoader(Counting(), shuffle=True)


def test_errors_in_workers():
    with pytest.raises(ValueError, match="DataLoader worker process") as caught:
        list(D.DataLoader(Failing(), 1, num_workers=2, sampler=[1, 5]))
    assert "five is bad" in str(caught.value) and "__getitem__" in str(caught.value)
    with pytest.raises(RuntimeError, match="exit code 3"):
        list(D.DataLoader(Failing(), 1, num_workers=1, sampler=[7, 1]))
    with pytest.raises(RuntimeError, match="timed out after 0.2 seconds"):
        list(D.DataLoader(Slow(), 1, num_workers=1, timeout=0.2))
    with pytest.raises(ValueError, match="DataLoader worker process 0"):
        list(D.DataLoader(Squares(), 1, num_workers=1, worker_init_fn=_bad_start))


def _bad_start(worker_id):
    raise ValueError("no start")


def test_worker_seeds_and_init():
    dlgrad.manual_seed(0)
    rows = [row for batch in D.DataLoader(Seeds(), 2, num_workers=2) for row in batch.tolist()]
    base = rows[0][1]
    assert all(seed == base + worker == initial for worker, seed, initial in rows)
    assert {worker for worker, _, _ in rows} == {0, 1}
    assert D.get_worker_info() is None


def test_collate():
    numpy = pytest.importorskip("numpy")
    point = D.default_collate([Point(1, {"a": 2.0}), Point(3, {"a": 4.0})])
    assert point.x.tolist() == [1, 3] and point.y["a"].dtype == dlgrad.float64
    assert D.default_collate(["a", "b"]) == ["a", "b"]
    assert lists([D.default_collate([(1, dlgrad.ones(2)), (2, dlgrad.zeros(2))])]) == [
        [[1, 2], [[1, 1], [0, 0]]]
    ]
    assert D.default_collate([numpy.zeros((2, 3), "f4"), numpy.ones((2, 3), "f4")]).shape == (
        2,
        2,
        3,
    )
    assert D.default_collate([True, False]).dtype == dlgrad.bool
    assert D.default_convert({"x": numpy.arange(3)})["x"].tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="equal size"):
        D.default_collate([[1, 2], [3]])
    with pytest.raises(TypeError, match="object"):
        D.default_collate([object()])


def test_datasets():
    both = Squares(3) + Squares(2)
    assert len(both) == 5 and both[3] == (0, 0.0) and both[-1] == (1, 1.0)
    with pytest.raises(IndexError):
        both[5]
    assert D.Subset(Squares(), [4, 2]).__getitems__([1, 0]) == [(2, 4.0), (4, 16.0)]
    stacked = D.StackDataset(a=[1, 2], b=[3, 4])
    assert stacked[1] == {"a": 2, "b": 4} and len(stacked) == 2
    with pytest.raises(AssertionError, match="Size mismatch"):
        D.TensorDataset(dlgrad.zeros(2), dlgrad.zeros(3))
    with pytest.raises(ValueError, match="does not equal"):
        D.random_split(range(5), [2, 2])
    assert D.Dataset[int] is not None


@pytest.mark.parametrize("options", [
    {"batch_size": 0}, {"num_workers": -1}, {"timeout": -1}, {"prefetch_factor": 2}, {"persistent_workers": True},
    {"sampler": [1], "shuffle": True}, {"batch_sampler": [[1]], "batch_size": 2}, {"batch_size": None, "drop_last": True},
    {"multiprocessing_context": "fork"}, {"num_workers": 1, "multiprocessing_context": "nonsense"},
])  # fmt: skip
def test_wrong_options(options):
    with pytest.raises(ValueError):
        D.DataLoader([1, 2], **options)
