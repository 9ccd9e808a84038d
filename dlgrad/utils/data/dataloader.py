"""DataLoader: batches of a dataset, fetched here or by worker processes."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import pickle
import time
from multiprocessing import connection

from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from .worker import End, Failure, Fetcher, Resume, run_worker

__all__ = ["DataLoader"]


class _Endless(Sampler):
    """None, for ever: what an iterable dataset is asked for."""

    def __iter__(self):
        return itertools.repeat(None)


class DataLoader:
    """Iterates over a dataset in batches.

    `shuffle` (with `generator`), or a `sampler`, or a `batch_sampler` gives the order; `drop_last`
    leaves out a last batch that is short; `collate_fn` makes a batch of a list of samples;
    batch_size=None gives single samples. `num_workers` processes fetch `prefetch_factor` batches
    ahead each (0: the main process fetches), in order unless `in_order` is false; every worker calls
    `worker_init_fn(id)` first and ends after each epoch, unless `persistent_workers`. `timeout` is in
    seconds, 0 waits for ever. `pin_memory` is taken and means nothing on a CPU.
    """

    _iterator = None

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=None,
        sampler=None,
        batch_sampler=None,
        num_workers=0,
        collate_fn=None,
        pin_memory=False,
        drop_last=False,
        timeout=0,
        worker_init_fn=None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor=None,
        persistent_workers=False,
        pin_memory_device="",
        in_order=True,
    ):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            for name, value, unset in (
                ("shuffle", shuffle, (None, False)),
                ("sampler", sampler, (None,)),
                ("batch_sampler", batch_sampler, (None,)),
            ):
                if not any(value is other for other in unset):
                    raise ValueError(
                        "DataLoader with IterableDataset: expected unspecified "
                        f"{name} option, but got {name}={value}"
                    )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
            drop_last = False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            if self._iterable:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.prefetch_factor = prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self.multiprocessing_context = multiprocessing_context

    @property
    def multiprocessing_context(self):
        """How workers are started: None (the platform's way), a name, or a context."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context):
        if context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading "
                    f"(num_workers > 0), but got num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(
                        "multiprocessing_context option should specify a valid start method in "
                        f"{methods!r}, but got multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            elif not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string "
                    f"specifying the start method, but got multiprocessing_context={context}"
                )
        self._context = context

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def _fetcher_args(self):
        return (self.dataset, self._iterable, self._auto_collation, self.collate_fn, self.drop_last)

    def __iter__(self):
        if self.num_workers == 0:
            return _SingleProcess(self)
        if not self.persistent_workers:
            return _Workers(self)
        if self._iterator is None:
            self._iterator = _Workers(self)
        else:
            self._iterator.begin_epoch()
        return self._iterator

    def __len__(self):
        if not self._iterable:
            return len(self._index_sampler)
        length = len(self.dataset)
        if self.batch_size is None:
            return length
        if self.drop_last:
            return length // self.batch_size
        return math.ceil(length / self.batch_size)

    def check_worker_number_rationality(self):
        """Nothing to check; here for programs that call it."""


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers):
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. Let num_workers > 0 "
            "to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


class _SingleProcess:
    """An epoch fetched by the main process."""

    def __init__(self, loader):
        self._length = loader
        self._indices = iter(loader._index_sampler)
        # Nobody needs it here, but the generator must go on as it does with workers.
        self._base_seed = draw_seed(loader.generator)
        self._fetcher = Fetcher(*loader._fetcher_args())

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._length)

    def __next__(self):
        return self._fetcher.fetch(next(self._indices))


class _Workers:
    """An epoch fetched by worker processes (or, with persistent workers, one epoch after another).

    Batches are numbered in the order of the sampler. A worker has at most `prefetch_factor` of them
    open; what arrives before its turn waits in `_arrived`. Results carry the epoch's number, so that
    what is left of an epoch that was broken off is told apart.
    """

    def __init__(self, loader):
        self._loader = loader
        self._timeout = loader.timeout
        context = loader.multiprocessing_context or multiprocessing
        self._workers = []
        self._index_queues = []
        self._results = []
        self._closed = False
        self._epoch = 0
        indices = iter(loader._index_sampler)
        base_seed = draw_seed(loader.generator)
        try:
            for worker_id in range(loader.num_workers):
                index_queue = context.Queue()
                # Waiting for a queue's thread at exit could wait for a dead worker.
                index_queue.cancel_join_thread()
                reader, writer = context.Pipe(duplex=False)
                worker = context.Process(
                    target=run_worker,
                    args=(
                        loader._fetcher_args(),
                        index_queue,
                        writer,
                        base_seed,
                        worker_id,
                        loader.num_workers,
                        loader.worker_init_fn,
                    ),
                    daemon=True,
                )
                worker.start()
                # With the worker's end open here its death would not be seen.
                writer.close()
                self._results.append(reader)
                self._index_queues.append(index_queue)
                self._workers.append(worker)
        except BaseException:
            self._close()
            raise
        self._start(indices)

    def begin_epoch(self):
        """A new epoch with the same workers."""
        self._epoch += 1
        for index_queue in self._index_queues:
            index_queue.put(Resume(self._epoch))
        indices = iter(self._loader._index_sampler)
        self._start(indices)

    def _start(self, indices):
        self._indices = indices
        self._sent = 0  # the number of the next batch to ask for
        self._wanted = 0  # the number of the next batch to give
        self._arrived = {}
        self._owner = {}  # number -> worker, of what was asked for and has not been given
        self._busy = [0] * len(self._workers)
        self._active = [True] * len(self._workers)
        self._turn = 0
        self._heard = -1
        for _ in range(max(self._loader.prefetch_factor, 1) * len(self._workers)):
            self._ask()

    def _ask(self):
        """Asks the next worker whose turn it is for one more batch."""
        limit = max(self._loader.prefetch_factor, 1)
        for _ in range(len(self._workers)):
            worker = self._turn
            self._turn = (worker + 1) % len(self._workers)
            if self._active[worker] and (self._loader.in_order or self._busy[worker] < limit):
                break
        else:
            return
        try:
            index = next(self._indices)
        except StopIteration:
            return
        self._index_queues[worker].put((self._sent, index))
        self._owner[self._sent] = worker
        self._busy[worker] += 1
        self._sent += 1

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._loader)

    def __next__(self):
        while True:
            # Batches of workers that have ended will not come.
            while self._wanted < self._sent and self._wanted not in self._owner:
                self._wanted += 1
            if not self._owner:
                if not self._loader.persistent_workers:
                    self._close()
                raise StopIteration
            if self._loader.in_order:
                number = self._wanted
                if number in self._arrived:
                    return self._give(number, self._arrived.pop(number))
            worker, epoch, number, result = self._receive()
            if epoch != self._epoch:
                continue
            self._busy[worker] -= 1
            if isinstance(result, End):
                self._active[worker] = False
                self._owner.pop(number, None)
                self._ask()
            elif self._loader.in_order and number != self._wanted:
                self._arrived[number] = result
            else:
                return self._give(number, result)

    def _give(self, number, result):
        self._owner.pop(number, None)
        self._ask()
        if isinstance(result, Failure):
            result.reraise()
        return result

    def _receive(self):
        """The next result and its worker; RuntimeError when one has died or the time is over."""
        ready = connection.wait(self._results, timeout=self._timeout or None)
        if not ready:
            self._close()
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        # In turn, so that no worker is left waiting.
        ready = min(
            (self._results.index(each) for each in ready),
            key=lambda worker: (worker - self._heard - 1) % len(self._workers),
        )
        self._heard = ready
        try:
            data = self._results[ready].recv_bytes()
        except (EOFError, OSError):
            worker = self._workers[ready]
            worker.join(timeout=1.0)
            self._close()
            raise RuntimeError(
                f"DataLoader worker (pid {worker.pid}) exited unexpectedly with exit code "
                f"{worker.exitcode}; -9 is often the system running out of memory. num_workers=0 "
                "shows errors where they happen"
            ) from None
        return (ready, *pickle.loads(data))

    def _close(self):
        """Ends the workers."""
        if self._closed:
            return
        self._closed = True
        for index_queue in self._index_queues:
            try:
                index_queue.put(None)
            except (OSError, ValueError):
                pass
        deadline = time.monotonic() + 2.0
        # A worker that is sending stops when nobody listens.
        for reader in self._results:
            reader.close()
        for worker in self._workers:
            worker.join(timeout=max(deadline - time.monotonic(), 0.0))
            if worker.is_alive():
                worker.terminate()
                worker.join(timeout=1.0)
        for index_queue in self._index_queues:
            index_queue.close()

    def __del__(self):
        try:
            self._close()
        except Exception:  # the interpreter may be half gone
            pass
