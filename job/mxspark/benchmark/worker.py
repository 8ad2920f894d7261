"""One worker of a configuration, in a process of its own: what a run's worker does, timed as a whole and in parts.

The process (`main`, started by crew.py) gets a pickled Task on standard input, then a line for each stage to measure,
and answers each with a line.
"""

import os
import pickle
import re
import resource
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import numpy as np

from mxspark import host
from mxspark.dataset import predictions
from mxspark.decode.preprocess import BadImageError
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import mxnet_process
from mxspark.storage import StorageError
from mxspark.worker import pipeline, shard
from mxspark.worker.pipeline import Floats, Timings, ordered_map
from mxspark.worker.shard import Job

Stage = Literal["reading", "decoding", "network", "whole", "shard", "batch"]
SECONDS: dict[Stage, float] = {
    "reading": 0.3,
    "decoding": 0.3,
    "network": 0.5,
    "whole": 1.0,
}  # of measuring, at least
LEAST_STEPS = 2  # batches, or images, that are measured at least
MOST_BYTES = 64 * 2**20  # of images that are decoded alone


@dataclass(frozen=True)
class Task:
    """What a worker does, and the images that it does it with, again and again."""

    job: Job
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """What a worker did in a measurement."""

    images: int
    wall: float  # seconds
    cpu: float  # seconds of all threads of the process
    memory: int  # the process's peak so far [bytes]


class Measurer:
    """A worker with its network bound, and a batch of images for it."""

    def __init__(self, task: Task) -> None:
        """Raises UsageError where none of the images can be read and decoded."""
        self._task = task
        self._stages = shard.set_up(task.job, 0).stages
        settings = task.job.settings
        self._pipeline, self._format = settings.pipeline, settings.output.format
        self._true_label = settings.input.true_label
        self._batch = np.stack(self._arrays())

    def measure(self, stage: Stage) -> Measured:
        """One stage alone, or all of them overlapped as in a run: in the steady `whole`, or from start to end of a
        shard that has the whole sample, or one `batch` of it.
        """
        if stage == "shard" or stage == "batch":
            return self._shard(self._task.keys if stage == "shard" else self._task.keys[: self._stages.batch_size])
        steps = {"reading": self._reads, "decoding": self._decodes, "network": self._forwards}
        with closing(steps.get(stage, self._wholes)()) as running:
            return _steady(running, SECONDS[stage])

    def _read(self, key: str) -> bytes | StorageError:
        try:
            return self._stages.fetch(key)
        except StorageError as error:
            return error

    def _decode(self, data: bytes) -> Floats | BadImageError:
        try:
            return self._stages.decode(data)
        except BadImageError as error:
            return error

    def _arrays(self) -> list[Floats]:
        """A batch, with images twice where there are too few."""
        size, good, bad = self._stages.batch_size, list[Floats](), list[MxsparkError]()
        with closing(self._read_all(self._task.keys)) as read:
            for data in read:
                array = self._decode(data) if isinstance(data, bytes) else data
                if isinstance(array, MxsparkError):
                    bad.append(array)
                else:
                    good.append(array)
                if len(good) == size:
                    break
        if not good:
            raise UsageError(
                f"none of the {len(bad)} images of the sample can be decoded: {bad[0].problem}", "Check input.path."
            )
        return list(islice(cycle(good), size))

    def _read_all(self, keys: Iterable[str]) -> Generator[bytes | StorageError, None, None]:
        ahead = self._pipeline.batches_ahead * self._stages.batch_size
        with (
            ThreadPoolExecutor(self._pipeline.fetch_threads) as pool,
            closing(ordered_map(pool, self._read, keys, ahead)) as read,
        ):
            yield from read

    def _reads(self) -> Generator[int, None, None]:
        with closing(self._read_all(cycle(self._task.keys))) as read:
            for _ in read:
                yield 1

    def _decodes(self) -> Generator[int, None, None]:
        threads, images, room = self._pipeline.decode_threads, list[bytes](), MOST_BYTES
        with closing(self._read_all(self._task.keys)) as read:
            for data in read:
                if isinstance(data, bytes):
                    images.append(data)
                    room -= len(data)
                if room < 0:
                    break
        with (
            ThreadPoolExecutor(threads) as pool,
            closing(ordered_map(pool, self._decode, cycle(images), 2 * threads)) as decoded,
        ):
            for _ in decoded:
                yield 1

    def _forwards(self) -> Generator[int, None, None]:
        while True:
            yield len(self._stages.predict(self._batch))

    def _wholes(self) -> Generator[int, None, None]:
        """A batch's rows at a time; a run's own pipeline, over the sample again and again."""
        rows = pipeline.run(cycle(self._task.keys), self._stages, self._pipeline, Timings())
        with closing(rows):  # type: ignore[type-var]  # it is a generator
            while batch := list(islice(rows, self._stages.batch_size)):
                yield len(batch)

    def _shard(self, keys: Sequence[str]) -> Measured:
        """As a run does a shard, but that its part is written nowhere."""
        start, cpu = time.perf_counter(), time.process_time()
        rows = list(pipeline.run(keys, self._stages, self._pipeline, Timings()))
        predictions.encode(rows, self._true_label, self._format, self._stages.columns)
        return Measured(len(keys), time.perf_counter() - start, time.process_time() - cpu, _peak_memory())


def _steady(steps: Generator[int, None, None], seconds: float) -> Measured:
    """Measures steps, each of so many images, after a first one that prepares."""
    next(steps)
    start, cpu = time.perf_counter(), time.process_time()
    images = 0
    for number, step in enumerate(steps, 1):
        images += step
        wall = time.perf_counter() - start
        if number >= LEAST_STEPS and wall >= seconds:
            break
    return Measured(images, wall, time.process_time() - cpu, _peak_memory())


def _peak_memory() -> int:
    """Of this process [bytes]. Linux's maxrss would count the process that started this one."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """The process, which ends with its standard input."""
    host.end_first()  # whoever started it is there to tell of it
    host.end_with_parent(int(sys.argv[1]))
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # MXNet may print

        def say(line: bytes) -> None:
            answers.write(line + b"\n")
            answers.flush()

        task: Task = pickle.load(requests)  # noqa: S301  # of the process that started this one
        measurer: list[Measurer] = []
        say(mxnet_process.answer(lambda: measurer.append(Measurer(task))))
        while line := requests.readline():
            stage: Stage = line.decode().strip()  # type: ignore[assignment]
            say(mxnet_process.answer(measurer[0].measure, stage))
