"""The work of a run, done by workers: what they report, shown as it comes and added up."""

import time
from collections import Counter
from dataclasses import dataclass, field

from mxspark import host
from mxspark.errors import MxsparkError
from mxspark.run.chosen_context import ChosenContext
from mxspark.run.executor_watch import ExecutorWatch
from mxspark.run.progress import RunListener
from mxspark.run.shard_log import ShardLog
from mxspark.run.summary import Performance
from mxspark.run.table import Tally
from mxspark.run.work import Work
from mxspark.spark.application import Application
from mxspark.spark.failing_executors import FailedTask
from mxspark.storage import Hold, StorageError, retries_so_far
from mxspark.text.words import counted
from mxspark.worker.pipeline import Timings
from mxspark.worker.shard import Job, ShardReport


@dataclass(frozen=True)
class RunStart:
    """When a run began, and the retries that this process had counted by then."""

    seconds: float = field(default_factory=time.monotonic)
    retries: Counter[str] = field(default_factory=retries_so_far)


class Prediction:
    """A run's shards while workers predict them."""

    def __init__(self, work: Work, hold: Hold, progress: RunListener) -> None:
        self._work = work
        self._settings = work.table.settings
        self._hold = hold
        self._progress = progress
        self._tally = Tally()
        self._timings = Timings()
        self._retries: Counter[str] = Counter()
        self._shards_done = work.plan.shards - len(work.shards)
        self._contexts: set[str] = set()  # that workers reported
        self._asked = time.monotonic()
        self._began: float | None = None  # when the first worker had its network
        self._log: ShardLog | None = None

    def run(self, job: Job, spark: Application, context: ChosenContext, start: RunStart) -> Performance:
        """Predicts all shards. Raises MxsparkError where one can't be done, TooManyFailedError as soon as that is
        certain.
        """
        plan, progress = self._work.plan, self._progress
        progress.planned(plan.keys, self._work.kept_images, plan.shards, self._shards_done)
        self._asked = time.monotonic()
        progress.note(f"Running on {context} with {counted(spark.workers, 'worker')}, Spark {spark.version}")
        if spark.key_problem:
            progress.note(
                "Spark's authentication key is in the executors' pods, readable by everyone who may read pods: "
                f"{spark.key_problem}"
            )
        watch = ExecutorWatch(spark, self._settings.spark, progress)
        versions = {"Spark": spark.version, **host.versions("mxnet", "mxnet-cu112", "numpy", "pillow", "pyarrow")}
        self._log = ShardLog.begin(self._work.table.store, job.run_id, plan.id, spark.workers, context.name, versions)
        try:
            failing = spark.run(job, self._work.shards, self._add, watch.check, self._note_bad_node)
        except MxsparkError as error:
            if not isinstance(error, StorageError):  # else it can't be written, and trying takes long
                self._log.write()
            raise
        self._log.write()
        return Performance(
            images=self._tally.counts.rows,
            seconds=time.monotonic() - self._asked,
            startup_seconds=self._asked - start.seconds,
            workers_startup_seconds=0.0 if self._began is None else self._began - self._asked,
            workers=spark.workers,
            timings=self._timings,
            retries=self._retries + (retries_so_far() - start.retries),
            context=context.name,
            failing=tuple((task.where, task.failure.error.problem) for task in failing),
        )

    def _add(self, report: ShardReport) -> None:
        """Takes in what a shard came to. Raises what stopped it."""
        self._hold.check()
        self._retries.update(report.retries)
        if report.stopped_by is not None:
            raise report.stopped_by
        self._tally.add(report.shard, report.counts)
        self._timings.add(report.timings)
        if self._log is not None:
            self._log.add(report)
        self._progress.shard(report)
        self._shards_done += 1
        began = max(self._asked, time.monotonic() - report.timings.work)
        self._began = began if self._began is None else min(self._began, began)
        if (
            self._settings.context == "auto"
            and not self._settings.spark.is_local
            and report.context not in self._contexts
        ):
            self._contexts.add(report.context)
            self._progress.note(f"Running on {report.context}")
        counts = self._tally.counts
        self._progress.done(self._work.kept_images + counts.rows, counts.failed, self._shards_done)
        self._stop_if_hopeless()

    def _stop_if_hopeless(self) -> None:
        settings, counts, planned = self._settings, self._tally.counts, self._work.plan.keys
        enough = counts.rows >= settings.max_failed_after and counts.rows < planned
        if enough and counts.failed > settings.max_failed_fraction * counts.rows and not settings.output.retry_failed:
            raise self._work.table.too_many_failed(
                self._tally, f"stopped after {counts.rows:,} of {counted(planned, 'image')}: "
            )

    def _note_bad_node(self, task: FailedTask) -> None:
        self._progress.note(f"A shard failed on {task.where}: {task.failure.error.problem}. It is retried.")
