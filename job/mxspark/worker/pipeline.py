"""One shard, overlapped: while the network computes a batch, threads fetch and decode the next ones. Knows no Spark, S3
or MXNet.

Memory is bounded by `batches_ahead` batches of arrays, `decode_threads` images being decoded and `fetch_threads`
objects.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from threading import BoundedSemaphore
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mxspark.dataset.predictions import Row
from mxspark.decode.preprocess import BadImageError
from mxspark.settings.job import PipelineSettings
from mxspark.storage import StorageError
from mxspark.worker.bad_image import failed_row
from mxspark.worker.reading import Reading

Floats = NDArray[np.float32]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Stages(Reading):
    """What is done to each image: key to bytes, bytes to array (C, H, W), arrays (n, C, H, W) to numbers (n, …), and
    those to rows.
    """

    fetch: Callable[
        [str], bytes
    ]  # called from many threads; raises StorageError, of which CredentialsError is no row, BadImageError
    decode: Callable[[bytes], Floats]  # called from `decode_threads` threads; raises BadImageError
    predict: Callable[[Floats], Floats]  # called from the caller's thread only, with `batch_size` images at most
    batch_size: int


@dataclass
class Timings:
    """Where a shard's time went. `fetch` and `decode` are summed over threads, so they may exceed the wall clock
    [seconds].
    """

    setup: float = 0.0  # loading and binding the network, in a worker's first shard
    fetch: float = 0.0
    decode: float = 0.0
    forward: float = 0.0  # the network computing
    starved: float = 0.0  # the network waiting for images: small where the overlap works
    write: float = 0.0

    @property
    def work(self) -> float:
        """How long the shard took by the clock, but for loading the network [seconds]."""
        return self.forward + self.starved + self.write

    def add(self, other: "Timings") -> None:
        for name, seconds in vars(other).items():
            setattr(self, name, getattr(self, name) + seconds)


@dataclass(frozen=True)
class _Loaded:
    """An image on its way: its array, or the row that says what is wrong with it."""

    key: str
    array: Floats | None
    failure: Row | None
    fetch_seconds: float
    decode_seconds: float


def run(keys: Iterable[str], stages: Stages, settings: PipelineSettings, timings: Timings) -> Iterator[Row]:
    """The row of every key, in order; adds to `timings`."""
    decoding = BoundedSemaphore(settings.decode_threads)
    with (
        ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="fetch") as pool,
        closing(
            ordered_map(
                pool, lambda key: _load(key, stages, decoding), keys, settings.batches_ahead * stages.batch_size
            )
        ) as loading,
    ):
        while True:
            start = time.perf_counter()
            batch = list(islice(loading, stages.batch_size))
            timings.starved += time.perf_counter() - start
            if not batch:
                return
            timings.fetch += sum(image.fetch_seconds for image in batch)
            timings.decode += sum(image.decode_seconds for image in batch)
            start = time.perf_counter()
            rows = list(_forward(batch, stages))
            timings.forward += time.perf_counter() - start
            yield from rows


def ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Generator[R, None, None]:
    """`function` of every item, in order, computed in the pool at most `ahead` items before they are taken."""
    remaining = iter(items)
    pending: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(remaining, ahead))
    try:
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield result
    finally:
        for future in pending:
            future.cancel()


def _load(key: str, stages: Stages, decoding: BoundedSemaphore) -> _Loaded:
    start = time.perf_counter()
    try:
        data = stages.fetch(key)
    except (StorageError, BadImageError) as error:
        return _Loaded(key, None, failed_row(key, error), time.perf_counter() - start, 0.0)
    fetched = time.perf_counter()
    with decoding:
        # Thread time: waiting for the interpreter's lock is not decoding.
        start_decoding = time.thread_time()
        try:
            array, failure = stages.decode(data), None
        except BadImageError as error:
            array, failure = None, failed_row(key, error)
        return _Loaded(key, array, failure, fetched - start, time.thread_time() - start_decoding)


def _forward(batch: Sequence[_Loaded], stages: Stages) -> Iterator[Row]:
    arrays = [image.array for image in batch if image.array is not None]
    numbers = iter(stages.predict(np.stack(arrays)) if arrays else ())
    for image in batch:
        yield image.failure or stages.row(image.key, next(numbers))
