"""What a worker process does: build the network once, then run shard after shard. Knows no Spark; a Spark task calls
`run_shard`.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from mxspark import host, storage
from mxspark.dataset import plan, predictions
from mxspark.dataset.predictions import PARTS, Counts, Row
from mxspark.dataset.source import Source
from mxspark.errors import MxsparkError, UsageError, frames, mistake, one_line
from mxspark.inference import bundle
from mxspark.inference.bundle import BundleSource
from mxspark.row_status import RowStatus
from mxspark.settings.job import Settings
from mxspark.storage import Access, HeldError, MissingError, StorageError, Store, open_output
from mxspark.worker import pipeline, shared_network
from mxspark.worker.outage import GOES_ON, OutageError, OutageGuard
from mxspark.worker.pipeline import Floats, Stages, Timings
from mxspark.worker.reading import PredictionError
from mxspark.worker.sandbox import Child, DecodeTask, Sandbox
from mxspark.worker.shared_network import NetworkTask
from mxspark.worker.stages import decode_task, stages
from mxspark.worker.watchdog import Watchdog


@dataclass(frozen=True, eq=False)
class Job:
    """All that a worker must know; travels with every task. The same run has the same `run_id`, so that it is set up
    once a process.
    """

    run_id: str
    settings: Settings
    source: BundleSource
    access: Access
    batch_size: int
    cache_dir: str
    plan_id: str
    samples: tuple[str, ...]  # keys from all over the input

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.run_id == self.run_id

    def __hash__(self) -> int:
        return hash(self.run_id)


@dataclass(frozen=True)
class ShardReport:
    """What a shard came to: the rows that were predicted, and how often something was tried again, by cause."""

    shard: int
    counts: Counts
    timings: Timings
    retries: Counter[str]
    stopped_by: MxsparkError | None = None  # why the run can't go on; then there is no part
    context: str = ""  # what the network ran on, and with context auto, why
    began: float = 0.0  # when, by the worker's clock [seconds since 1970]
    seconds: float = 0.0  # that it took there, loading the network included
    where: str = ""  # the executor's machine, or node and pod
    process: int = 0  # the worker's, on that machine
    bytes_read: int = 0  # of images


@dataclass(frozen=True)
class TaskFailure:
    """What a failed task tells the driver: the error, and on which machine.

    Where the machine may have it on its own (its clock, network, disk, copy of the model), `cause` is the same for the
    same cause, and `is_lasting` says that it would not do better in a second attempt.
    """

    error: MxsparkError
    node: str
    cause: str = ""
    is_lasting: bool = False

    @property
    def machine(self) -> str:
        """The node without the pod."""
        return self.node.partition(" (")[0]


class TaskError(Exception):
    """A TaskFailure in a form that survives Spark's way of reporting what went wrong in a task."""

    def __init__(self, failure: TaskFailure) -> None:
        error = failure.error
        told = json.dumps([error.problem, error.hint, error.exit_code, failure.node, failure.cause, failure.is_lasting])
        super().__init__(f"<mxspark>{told}</mxspark>\n{frames(error)}")

    @staticmethod
    def find(text: str) -> TaskFailure | None:
        """What a worker reported, found in Spark's message."""
        match = re.search(r"<mxspark>(.*?)</mxspark>", text, re.DOTALL)
        if not match:
            return None
        problem, hint, exit_code, node, cause, is_lasting = json.loads(match[1])
        error = MxsparkError(problem, hint)
        error.exit_code = exit_code
        return TaskFailure(error, node, cause, is_lasting)


def run_shard(job: Job, shard: int, device: int, attempt: int = 0) -> ShardReport:
    """Predicts one shard's images and writes its part in one step. Raises TaskError, after which Spark tries the shard
    again.

    In a later attempt the worker of the one before may have died of an image: then images are decoded in a sandbox, if
    they aren't anyhow.
    """
    retries = storage.retries_so_far()
    timings = Timings()
    began, first = time.time(), time.perf_counter()
    try:
        with Watchdog(job.settings.model.fetch_seconds):
            start = time.perf_counter()
            worker = set_up(job, device)
            timings.setup = time.perf_counter() - start
        with Watchdog(job.settings.stall_seconds) as watchdog:
            counts, bytes_read = _predict(job, worker, shard, attempt > 0, watchdog, timings)
        return ShardReport(
            shard,
            counts,
            timings,
            storage.retries_so_far() - retries,
            context=worker.context,
            began=began,
            seconds=time.perf_counter() - first,
            where=host.name(),
            process=os.getpid(),
            bytes_read=bytes_read,
        )
    except MxsparkError as error:
        told = error
        if isinstance(error, StorageError) and not isinstance(error, HeldError):
            told = MxsparkError(error.problem, f"{error.hint} {GOES_ON}".strip())
        cause = _cause_on_node(error)
        is_lasting = isinstance(error, (UsageError, OutageError, HeldError))
        if cause or (attempt == 0 and not is_lasting):
            # What it came from may name secrets, and Spark shows all of it in its pages and logs.
            raise TaskError(TaskFailure(told, host.name(), cause, is_lasting)) from None
        # Another attempt would not do better: the driver ends the run.
        return ShardReport(shard, Counts(), timings, storage.retries_so_far() - retries, told)
    except (OSError, ImportError) as error:
        told = MxsparkError(
            f"{type(error).__name__}: {one_line(error)}", "Check that machine: its disk, memory and libraries."
        )
        raise TaskError(TaskFailure(told, host.name(), type(error).__name__)) from None
    except Exception as error:  # noqa: BLE001  # whatever it is, Spark must not show its words, which may name secrets
        raise TaskError(TaskFailure(mistake(error), host.name())) from None


def _cause_on_node(error: MxsparkError) -> str:
    """Why this machine alone may have failed, in a word; empty where the job itself is at fault, on every machine: what
    a server refuses it refuses all of them, and the same model gives the same numbers."""
    first = error.cause if isinstance(error, OutageError) else error
    if isinstance(first, (HeldError, PredictionError)) or storage.is_refusal(first):
        return ""
    return (isinstance(first, StorageError) and first.cause) or type(first).__name__


def _predict(
    job: Job, worker: "Worker", shard: int, careful: bool, watchdog: Watchdog, timings: Timings
) -> tuple[Counts, int]:
    """Writes the shard's part; returns what the rows come to that were predicted, and the bytes of their images."""
    settings = job.settings
    keys = plan.shard_keys(worker.output, shard)
    kept = _kept_rows(worker.output, shard, keys, settings)
    wanted = [key for key in keys if key not in kept]
    sizes: list[int] = []
    with Sandbox(worker.task) as fresh:
        in_sandbox = careful and settings.input.sandbox == "after_crash"
        watched = _watched(worker.stages, fresh.decode if in_sandbox else worker.stages.decode, watchdog, sizes)
        new = list(pipeline.run(wanted, watched, settings.pipeline, timings))
    worker.guard.settle()
    watchdog.alive()
    start = time.perf_counter()
    _check_plan(job, worker.output, shard, len(keys))
    watchdog.alive()
    rows = iter(new)
    _write_part(job, shard, worker, [kept.get(key) or next(rows) for key in keys])
    timings.write = time.perf_counter() - start
    return predictions.count(new, settings.input.true_label), sum(sizes)


def _kept_rows(output: Store, shard: int, keys: Sequence[str], settings: Settings) -> dict[str, Row]:
    """The rows of an earlier run that are not to be predicted again, by key."""
    if not settings.output.retry_failed:
        return {}
    try:
        rows = list(predictions.read_rows(output, shard, settings.output.format))
    except MissingError:
        return {}
    return (
        {row.key: row for row in rows if row.status == RowStatus.OK} if [row.key for row in rows] == list(keys) else {}
    )


def _check_plan(job: Job, output: Store, shard: int, keys: int) -> None:
    """Raises MxsparkError where what was done doesn't match the plan in the output any more."""
    current = plan.load(output)
    if current is None:
        raise MxsparkError(f"{output.name}: the plan is gone", "Was the output moved or deleted? Start the run again.")
    if current.size(shard) != keys:
        raise plan.damaged(output, f"the keys of shard {shard}")
    if current.id != job.plan_id:
        raise HeldError(f"{output.name}: another run has overwritten this output", {})


def _write_part(job: Job, shard: int, worker: "Worker", rows: Sequence[Row]) -> None:
    output_format, true_label = job.settings.output.format, job.settings.input.true_label
    part = predictions.encode(rows, true_label, output_format, worker.stages.columns)
    worker.output.write(PARTS[output_format].name(shard), part)


def _watched(unwatched: Stages, decode: Callable[[bytes], Floats], watchdog: Watchdog, sizes: list[int]) -> Stages:
    """The stages, telling the watchdog of every step that is done, and adding each image's bytes to `sizes`."""

    def watched_fetch(key: str) -> bytes:
        try:
            data = unwatched.fetch(key)
            sizes.append(len(data))  # from many threads, which a list takes and a sum doesn't
            return data
        finally:
            watchdog.alive()

    def watched_decode(data: bytes) -> Floats:
        try:
            return decode(data)
        finally:
            watchdog.alive()

    return replace(unwatched, fetch=watched_fetch, decode=watched_decode)


@dataclass(frozen=True)
class Worker:
    """What is costly and serves all shards of a run."""

    stages: Stages
    task: DecodeTask
    guard: OutageGuard
    output: Store
    context: str


@lru_cache(maxsize=1)
def set_up(job: Job, device: int) -> Worker:
    """The network bound and the storage clients made, once in this process."""
    with ExitStack() as undone:
        # They import what they need while this process loads its model.
        children = [
            Child()
            for _ in range(job.settings.pipeline.decode_threads if job.settings.input.sandbox == "always" else 0)
        ]
        for child in children:
            undone.callback(child.end)
        worker = _with_network(job, device, children)
        undone.pop_all()
    return worker


def _with_network(job: Job, device: int, children: Sequence[Child]) -> Worker:
    settings = job.settings
    model = bundle.fetch(job.source, Path(job.cache_dir), job.access)
    network = shared_network.network(NetworkTask.of(model, job.batch_size, settings.context, device))
    task = decode_task(settings.input, network)
    probe = Source(settings.input, job.access.hasty)
    guard = OutageGuard(
        Source(settings.input, job.access).read, probe.read, job.samples, settings.input.place, probe.check
    )
    found = stages(settings, model, network, task, guard.fetch, children)
    return Worker(found, task, guard, open_output(settings.output.path, job.access), str(network.choice))
