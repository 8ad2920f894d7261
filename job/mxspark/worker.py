"""What a worker process does: build the network once, then run shard after shard. Knows no Spark; a Spark task calls `run_shard`."""

import json
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mxspark import bundle, pipeline, plan, predictions, preprocess
from mxspark.bundle import BundleSource
from mxspark.errors import MxsparkError
from mxspark.network import Network
from mxspark.pipeline import Stages, Timings
from mxspark.predictions import PARTS, Counts
from mxspark.preprocess import ImageLimits
from mxspark.settings import Settings
from mxspark.source import Source
from mxspark.storage import Access, Store, open_store


@dataclass(frozen=True, eq=False)
class Job:
    """All that a worker must know; travels with every task. The same run has the same `run_id`, so that it is set up once a process."""

    run_id: str
    settings: Settings
    source: BundleSource
    access: Access
    batch_size: int
    cache_dir: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.run_id == self.run_id

    def __hash__(self) -> int:
        return hash(self.run_id)


@dataclass(frozen=True)
class ShardReport:
    """What a shard came to."""

    shard: int
    counts: Counts
    timings: Timings


class TaskError(Exception):
    """An error with words for a person, in a form that survives Spark's way of reporting what went wrong in a task."""

    def __init__(self, error: MxsparkError) -> None:
        super().__init__(f"<mxspark>{json.dumps([error.problem, error.mend, error.exit_code])}</mxspark>")

    @staticmethod
    def find(text: str) -> MxsparkError | None:
        """The error in what Spark reports."""
        match = re.search(r"<mxspark>(.*?)</mxspark>", text, re.DOTALL)
        if not match:
            return None
        problem, mend, exit_code = json.loads(match[1])
        error = MxsparkError(problem, mend)
        error.exit_code = exit_code
        return error


def run_shard(job: Job, shard: int, device: int) -> ShardReport:
    """Predicts one shard's images and writes its part in one step. Raises TaskError."""
    timings = Timings()
    start = time.perf_counter()
    try:
        worker = _set_up(job, device)
        timings.setup = time.perf_counter() - start
        keys = plan.shard_keys(worker.output, shard)
        rows = list(pipeline.run(keys, worker.stages, job.settings.pipeline, timings))
        start = time.perf_counter()
        counts = predictions.count(rows, job.settings.input.true_label)
        output_format = job.settings.output.format
        worker.output.write(PARTS[output_format].name(shard), predictions.encode(rows, job.settings.input.true_label, output_format))
        timings.write = time.perf_counter() - start
        return ShardReport(shard, counts, timings)
    except MxsparkError as error:
        raise TaskError(error) from error


@dataclass(frozen=True)
class _Worker:
    """What is costly and serves all shards of a run."""

    stages: Stages
    output: Store


@lru_cache(maxsize=1)
def _set_up(job: Job, device: int) -> _Worker:
    """The network bound and the storage clients made, once in this process."""
    settings = job.settings
    model = bundle.fetch(job.source, Path(job.cache_dir), job.access)
    network = Network(model, job.batch_size, settings.context, device)
    limits = ImageLimits(settings.input.max_pixels, settings.input.formats)
    stages = Stages(
        fetch=Source(settings.input, job.access).read,
        decode=lambda data: preprocess.load_array(data, limits, model.spec.input, model.spec.preprocess),
        predict=network.predict,
        batch_size=job.batch_size,
        top_k=settings.top_k,
        labels=model.labels,
    )
    return _Worker(stages, open_store(settings.output.path, job.access))
