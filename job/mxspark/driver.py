"""A whole run: check, plan, predict, sum up. What stops it is raised as MxsparkError with the exit code that it means."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from mxspark import __version__, bundle, output, plan, predictions, summary
from mxspark.bundle import Bundle
from mxspark.errors import MxsparkError, UsageError, how_it_ended
from mxspark.model_spec import ModelSpec
from mxspark.output import SUCCESS, SUMMARY
from mxspark.pipeline import Timings
from mxspark.plan import KeySpool, Plan
from mxspark.predictions import Counts, Row
from mxspark.progress import Progress
from mxspark.settings import Settings
from mxspark.source import Source
from mxspark.spark import Application
from mxspark.storage import Access, FolderStore, StorageError, Store, open_store, usage_errors
from mxspark.summary import Performance, Summary
from mxspark.worker import Job, ShardReport

CHECK_SECONDS = 300  # limit on the check of the model, which only loads its graph and parameters
SHOWN_ROWS = 10


@dataclass(frozen=True)
class Result:
    """A run that ended; `too_many_failed` says so where more images failed than allowed."""

    summary: Summary
    first_rows: tuple[Row, ...]
    table: str  # where the predictions are
    too_many_failed: str | None


def run(settings: Settings, access: Access, progress: Progress, debug: bool = False) -> Result:
    """Runs the job. Raises UsageError before anything is written where settings, model, input or output can't work."""
    return _Run(settings, access, progress, debug).run()


class _Run:
    """One run's settings and what is known by now."""

    def __init__(self, settings: Settings, access: Access, progress: Progress, debug: bool) -> None:
        self._settings = settings
        self._access = access
        self._progress = progress
        self._debug = debug
        self._started = time.monotonic()
        self._store: Store = open_store(settings.output.path, access)

    def run(self) -> Result:
        self._progress.step("Checking the model and the output")
        model = self._fetch_model()
        if model.source.spec == ModelSpec():
            self._progress.note("No model.yaml says what pixels the model wants; taking the article's: 224 x 224, raw 0 to 255, RGB.")
        frozen = self._resumed(model)
        if frozen is not None:
            left = len(self._left(frozen))
            self._progress.note(
                f"Going on with the plan of {frozen.created}: {left} of {frozen.shards} shards are left. "
                "Images that came later are not in it; --overwrite starts afresh."
            )
            if left == 0:
                return self._finish(frozen, None)
        with ThreadPoolExecutor() as threads, closing(KeySpool()) as spool:
            check = threads.submit(check_once, model, self._settings)
            # An input that can't be listed is told before Spark starts; the rest is listed while it does.
            keys = self._listed() if frozen is None else iter(())
            with self._spark(threads) as starting:
                with usage_errors("input.path", "Check input.path."):
                    spool.fill(keys)
                self._progress.step("Starting Spark")
                context = check.result()
                spark = starting.result()
                frozen = frozen or self._freeze(spool, spark.workers, model)
                performance = self._predict(frozen, self._left(frozen), model, spark, context)
                threads.submit(spark.stop)  # takes a second, in which the parts are counted
                return self._finish(frozen, performance)

    def _listed(self) -> Iterator[str]:
        """The keys of the input, the first of them listed already."""
        self._progress.step(f"Listing {self._settings.input.path}")
        with usage_errors("input.path", "Check input.path."):
            keys = Source(self._settings.input, self._access).keys()
            return chain([next(keys)], keys)

    def _fetch_model(self) -> Bundle:
        with usage_errors("model", "Check model."):
            source = bundle.find(self._settings.model, self._access)
            return bundle.fetch(source, cache_dir(self._settings), self._access)

    def _resumed(self, model: Bundle) -> Plan | None:
        existing = output.check(self._store, self._settings.output)
        if existing is not None and (changes := plan.differences(existing.identity, self._identity(model))):
            raise UsageError(
                f"{self._store.name} holds the results of another job. What differs (there -> now):\n  " + "\n  ".join(changes),
                "Choose another output, or start afresh with --overwrite.",
            )
        return existing

    def _identity(self, model: Bundle) -> dict[str, Any]:
        """What a row depends on: runs that differ in it must not be mixed in one table."""
        return {
            "input": self._settings.input.model_dump(mode="json", exclude={"true_label"}),  # which no prediction depends on
            "format": self._settings.output.format,
            "model": model.digest,
            "precision": self._settings.precision,
            "top_k": self._settings.top_k,
        }

    def _left(self, frozen: Plan) -> list[int]:
        done = summary.finished_shards(self._store, self._settings.output.format)
        return [shard for shard in range(frozen.shards) if shard not in done]

    @contextmanager
    def _spark(self, threads: ThreadPoolExecutor) -> Iterator["Future[Application]"]:
        """Spark, starting while the keys are listed; killed when what is done with it fails."""
        starting = threads.submit(Application, self._settings, cache_dir(self._settings), self._debug)
        try:
            yield starting
        except BaseException:
            if starting.exception() is None:
                starting.result().kill()
            raise

    def _freeze(self, spool: KeySpool, workers: int, model: Bundle) -> Plan:
        settings = self._settings
        size = settings.plan.shard_size or plan.choose_shard_size(len(spool), workers, settings.batch_size)
        output.clear(self._store)
        return plan.write(self._store, spool, size, self._identity(model))

    def _predict(self, frozen: Plan, shards: list[int], model: Bundle, spark: Application, context: str) -> Performance:
        settings = self._settings
        # A shard smaller than a batch would be padded to it; all are of the same size but the last.
        batch_size = min(settings.batch_size, frozen.shard_size)
        job = Job(uuid.uuid4().hex, settings, model.source, self._access, batch_size, str(cache_dir(settings)))
        done_before = frozen.keys - sum(map(frozen.size, shards))
        self._progress.planned(frozen.keys, done_before)
        counts, timings, first = Counts(), Timings(), time.monotonic()

        def on_report(report: ShardReport) -> None:
            nonlocal counts
            counts += report.counts
            timings.add(report.timings)
            self._progress.done(done_before + counts.rows, counts.failed)

        chosen = f"{context}, which context auto chose," if settings.context == "auto" else context
        self._progress.note(f"Running on {chosen} with {spark.workers} workers, Spark {spark.version}")
        startup = first - self._started
        spark.run(job, shards, on_report)
        return Performance(counts.rows, time.monotonic() - first, startup, spark.workers, timings, context)

    def _finish(self, frozen: Plan, performance: Performance | None) -> Result:
        """Counts what is really there, and marks the run as whole."""
        settings = self._settings
        self._progress.step("Counting the parts")
        missing = self._left(frozen)
        if missing:
            raise MxsparkError(
                f"{self._store.name}: {len(missing)} of {frozen.shards} parts are missing, the first is that of shard {missing[0]}",
                "Run the same command again: it does what is missing.",
            )
        counts = summary.count_parts(self._store, frozen, range(frozen.shards), settings.output.format, settings.input.true_label)
        result = Summary(frozen, counts, performance, settings.model_dump(mode="json"))
        if settings.output.format == "text":
            output.write_text(self._store, frozen, settings.output, self._access)
        too_many = _too_many(result, settings.max_failed_fraction)
        if too_many is not None:
            self._store.delete(SUCCESS)
        if performance is not None or not self._store.has(SUCCESS):  # else the run that did it all has said it
            self._store.write(SUMMARY, result.to_json().encode())
        if too_many is None:
            self._store.write(SUCCESS, b"")
        rows = tuple(predictions.first_rows(self._store, 0, settings.output.format, SHOWN_ROWS))
        return Result(result, rows, output.table(settings.output), too_many)


def _too_many(result: Summary, allowed: float) -> str | None:
    if result.failed_fraction <= allowed:
        return None
    return f"{result.counts.failed} of {result.counts.rows} images failed, more than max_failed_fraction {allowed:g} allows"


def cache_dir(settings: Settings) -> Path:
    """Where this node keeps model files."""
    return Path(settings.cache_dir) if settings.cache_dir else bundle.default_cache_dir()


def check_once(model: Bundle, settings: Settings) -> str:
    """`check_model`, or what it found before: a model that fitted does so again, and MXNet takes seconds to load."""
    mark = cache_dir(settings) / "checked" / hashlib.sha256(f"{__version__} {model.digest}".encode()).hexdigest()
    if settings.context == "cpu" and mark.exists():
        return mark.read_text()
    context = check_model(model, settings)
    if settings.context == "cpu":
        with suppress(StorageError):  # only a convenience
            FolderStore(mark.parent).write(mark.name, context.encode())
    return context


def check_model(model: Bundle, settings: Settings) -> str:
    """Checks, in a process of its own, that the model's files fit each other; returns the context that the network will run on.

    Raises UsageError. The driver itself never imports MXNet (network.py says why), and a file that crashes MXNet is told like any other.
    """
    local = settings.spark.master.startswith("local")
    # Elsewhere the executors have the GPUs, and each says for itself what it found.
    request = pickle.dumps((model, settings.context if local else "cpu"))
    command = [sys.executable, "-m", "mxspark.network"]
    try:
        process = subprocess.run(command, input=request, capture_output=True, timeout=CHECK_SECONDS, env=_environment(), check=False)
    except subprocess.TimeoutExpired:
        raise UsageError(f"loading the model took more than {CHECK_SECONDS} s", "Check its files.") from None
    if process.returncode != 0:
        said = process.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise UsageError(
            f"the model's files crash MXNet ({how_it_ended(process.returncode)}: {said[-1][:300]})",
            "They are damaged or not of MXNet 1.x; fetch them again.",
        )
    answer = json.loads(process.stdout.splitlines()[-1])
    if "problem" in answer:
        raise UsageError(answer["problem"], answer["mend"])
    return str(answer["context"]) if local else settings.context


def _environment() -> dict[str, str]:
    # The package may have come by --py-files: the child must find it where this process did.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
