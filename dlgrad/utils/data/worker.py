"""A DataLoader's worker process: fetches the batches whose indices it is sent."""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

import dlgrad

from .collate import default_collate, default_collate_fn_map
from .dataset import TensorDataset

# Seconds after which a worker looks whether its parent is still there.
CHECK_PARENT = 5.0

_info = None


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker process knows of itself."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info():
    """The WorkerInfo of the process this is called in; None in the main process."""
    return _info


class Failure:
    """An exception on its way to the main process, with its traceback as text."""

    def __init__(self, where):
        kind, value, _ = sys.exc_info()
        self.kind = kind
        self.key = value.args[0] if kind is KeyError and value.args else None
        self.text = f"Caught {kind.__name__} {where}.\nOriginal {traceback.format_exc()}"

    def reraise(self):
        """Raises the exception again, with the original traceback in its message."""
        if self.kind is KeyError:
            raise KeyError(self.key) from RuntimeError(self.text)
        try:
            error = self.kind(self.text)
        except Exception:  # an exception that can't be made from one string
            error = RuntimeError(self.text)
        raise error


class End:
    """Says that a worker's iterable dataset has no more."""


class Resume:
    """Says that a new epoch begins."""

    def __init__(self, epoch):
        self.epoch = epoch


class Fetcher:
    """Gets the samples of one batch and puts them together."""

    def __init__(self, dataset, iterable, auto_collation, collate_fn, drop_last):
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.iterator = iter(dataset) if iterable else None
        self.ended = False
        self.rows = auto_collation and type(dataset) is TensorDataset and collate_fn is default_collate

    def fetch(self, index):
        """The batch at `index`, a list of indices or (without auto collation) a single one.

        Raises StopIteration at the end of an iterable dataset.
        """
        if self.iterator is None:
            if self.rows and not default_collate_fn_map:
                # What stacking the samples gives, read in one piece.
                index = dlgrad.tensor(index, dtype=dlgrad.int64)
                return [tensor[index] for tensor in self.dataset.tensors]
            return self.collate_fn(self._by_index(index))
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.iterator))
        samples = []
        for _ in index:
            try:
                samples.append(next(self.iterator))
            except StopIteration:
                self.ended = True
                break
        if not samples or (self.drop_last and len(samples) < len(index)):
            raise StopIteration
        return self.collate_fn(samples)

    def _by_index(self, index):
        if not self.auto_collation:
            return self.dataset[index]
        getitems = getattr(self.dataset, "__getitems__", None)
        return getitems(index) if getitems else [self.dataset[i] for i in index]


def _seed(base_seed, worker_id):
    """Seeds all generators of this worker; returns the seed."""
    seed = base_seed + worker_id
    random.seed(seed)
    dlgrad.manual_seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        # Not the plain seed: Python's generator is the same algorithm as NumPy's old one.
        entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32]
        numpy.random.seed(numpy.random.SeedSequence(entropy).generate_state(4))
    return seed


class _Sender:
    """Sends results by a thread, so that fetching goes on while a large one is being taken.

    Each worker has a pipe of its own: one that dies while it writes leaves the others alone.
    """

    def __init__(self, connection):
        self.connection = connection
        self.queue = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data = self.queue.get()
            if data is None:
                return
            try:
                self.connection.send_bytes(data)
            except OSError:
                return  # the main process no longer listens

    def put(self, epoch, number, result, where):
        """Sends (epoch, number, result); a result that can't be pickled is sent as a Failure."""
        try:
            data = ForkingPickler.dumps((epoch, number, result))
        except Exception:
            data = ForkingPickler.dumps((epoch, number, Failure(where)))
        self.queue.put(bytes(data))

    def close(self):
        self.queue.put(None)
        self.thread.join()
        self.connection.close()


def run_worker(
    fetcher_args, index_queue, connection, base_seed, worker_id, num_workers, worker_init_fn
):
    """The worker's main loop: takes (number, index) until None; sends (epoch, number, result)."""
    global _info
    sender = _Sender(connection)
    parent = os.getppid()
    # The processes share the cores: one thread each.
    dlgrad.set_num_threads(1)
    seed = _seed(base_seed, worker_id)
    _info = WorkerInfo(worker_id, num_workers, seed, fetcher_args[0])
    where = f"in DataLoader worker process {worker_id}"
    failure = None
    fetcher = None
    epoch = 0
    try:
        if worker_init_fn is not None:
            worker_init_fn(worker_id)
        fetcher = Fetcher(*fetcher_args)
    except Exception:
        failure = Failure(where)
    while True:
        try:
            task = index_queue.get(timeout=CHECK_PARENT)
        except queue.Empty:
            if os.getppid() != parent:
                return  # the main process is gone
            continue
        if task is None:
            sender.close()
            return
        if isinstance(task, Resume):
            epoch = task.epoch
            if failure is None:
                try:
                    fetcher = Fetcher(*fetcher_args)
                except Exception:
                    failure = Failure(where)
            continue
        number, index = task
        if failure is not None:
            result, failure = failure, None
        else:
            try:
                result = fetcher.fetch(index)
            except StopIteration:
                result = End()
            except Exception:
                result = Failure(where)
        sender.put(epoch, number, result, where)
        del result
