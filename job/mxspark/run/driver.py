"""A whole run: check, plan, predict, sum up. What stops it is raised as MxsparkError with the exit code that it means."""

import hashlib
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from mxspark import __version__, host
from mxspark.dataset import output, plan, predictions, skipped
from mxspark.dataset.output import SUCCESS, SUMMARY
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.dataset.predictions import PARTS, Counts, EmptyPartError, Row
from mxspark.dataset.source import Source
from mxspark.errors import MxsparkError, TooManyFailedError, UsageError
from mxspark.inference import bundle, cuda, model_check
from mxspark.inference.bundle import Bundle
from mxspark.private_folder import private_folder
from mxspark.row_status import RowStatus
from mxspark.run import summary
from mxspark.run.last_word import Results
from mxspark.run.progress import RunListener
from mxspark.run.summary import Performance, Summary
from mxspark.settings.job import InputSettings, Settings, SparkSettings, resolved, visible
from mxspark.settings.model_spec import ModelSpec
from mxspark.spark import pods
from mxspark.spark.application import Application, as_submitted
from mxspark.spark.failing_executors import FailedTask
from mxspark.storage import Access, FolderStore, Hold, StorageError, Store, open_output, retries_so_far, telling, usage_errors
from mxspark.text.words import counted, printable
from mxspark.worker.pipeline import Timings
from mxspark.worker.shard import Job, ShardReport

NO_EXECUTORS_SECONDS = 60  # between two words about a cluster that gives none
SHOWN_ROWS = 10
# Settings of the input that no ok row depends on: what counts as right, and limits, which only say what fails or is refused. So
# --retry-failed with other limits can't mix results.
NO_IDENTITY = {
    "allow_outside",
    "sandbox",
    "true_label",
    "max_bytes",
    "max_manifest_bytes",
    "max_pixels",
    "max_frames",
    "formats",
    "max_decode_seconds",
    "max_decode_memory",
}
EXAMPLES = 3  # of failed images, where too many are


@dataclass(frozen=True)
class Result:
    """A run that ended; `too_many_failed` where more images failed than allowed."""

    summary: Summary
    results: Results
    too_many_failed: TooManyFailedError | None


def run(settings: Settings, access: Access, progress: RunListener, debug: bool = False) -> Result:
    """Runs the job. Raises UsageError before anything is written where settings, model, input or output can't work."""
    with telling(progress.note):
        return _Run(as_submitted(settings), access, progress, debug).run()


@dataclass(frozen=True)
class _Work:
    """What a run has to do: the plan, the shards to do, and how many images those are."""

    plan: Plan
    shards: list[int]
    images: int


@dataclass(frozen=True)
class ChosenContext:
    """What a network runs on, and with context auto, how that was chosen."""

    name: str
    chosen: str = ""
    notes: tuple[str, ...] = ()  # what the check of the model found that somebody should know

    def __str__(self) -> str:
        return f"{self.name} ({self.chosen})" if self.chosen else self.name


class _Run:
    """One run's settings and what is known by now."""

    def __init__(self, settings: Settings, access: Access, progress: RunListener, debug: bool) -> None:
        self._settings = settings
        self._access = access.of_driver(os.environ)
        self._first_contact = access.of_first_contact(os.environ)
        self._workers_access = access
        self._progress = progress
        self._debug = debug
        self._started = time.monotonic()
        self._retries = retries_so_far()
        self._store: Store = open_output(settings.output.path, self._access)
        self._source = Source(settings.input, self._access)

    def run(self) -> Result:
        host.check()
        self._progress.step("Checking the model and the output")
        model = self._fetch_model()
        if (model.source.spec.input, model.source.spec.preprocess) == (ModelSpec().input, ModelSpec().preprocess):
            self._progress.note("No model.yaml: using default preprocessing (224 x 224, RGB, 0-255).")
        # What can't work is told before anything is written, and before another run is disturbed.
        context = self._gpu_of_this_machine(model)
        keys: Iterator[str] | None = None
        if self._earlier_plan(model, open_output(self._settings.output.path, self._first_contact)) is None:
            keys = self._listed()
            self._confirm_overwriting()
        with output.hold(self._store, self._settings.output) as hold:
            output.sweep(self._store, self._settings.output, self._access)
            return self._run_alone(model, keys, hold, context)

    def _run_alone(self, model: Bundle, keys: Iterator[str] | None, hold: Hold, context: ChosenContext | None) -> Result:
        """The run, while no other works on its output; `keys` are those of a run that starts over, `context` is known for a GPU only."""
        frozen = self._earlier_plan(model, self._store)
        work = self._work(frozen) if frozen is not None else None
        if work is None and keys is None:
            raise MxsparkError(f"{self._store.name}: another run has just removed the plan", "Run the same command again.")
        if work is not None:
            self._tell(work)
            if not work.shards:
                return self._finish(work.plan, None)
        with ThreadPoolExecutor() as threads, closing(KeySpool()) as spool:
            check = threads.submit(lambda: context or check_once(model, self._settings))
            with self._spark(threads) as starting:
                if work is None:
                    with usage_errors("input.path", "Check input.path."):
                        spool.fill(keys or ())
                    self._tell_listed(spool)
                self._progress.step("Starting Spark")
                chosen = check.result()
                for note in chosen.notes:
                    self._progress.note(note)
                spark = starting.result()
                if work is None:
                    frozen = self._freeze(spool, spark.workers, model)
                    work = _Work(frozen, list(range(frozen.shards)), frozen.keys)
                performance = self._predict(work, model, spark, chosen, hold)
                threads.submit(spark.stop)  # takes a second, in which the parts are counted
                hold.check()
                return self._finish(work.plan, performance)

    def _listed(self) -> Iterator[str]:
        """The keys of the input. The first is read already: an input that can't be listed is told before Spark starts."""
        chosen = self._settings.input
        self._progress.step(f"Listing {chosen.place}")
        with usage_errors("input.path", "Check input.path."):
            Source(chosen, self._first_contact).reach()
            keys = self._source.keys()
            return chain([next(keys)], keys)

    def _tell_listed(self, spool: KeySpool) -> None:
        """What of the input gets no row, and why."""
        for problem in self._source.skipped.unreadable:
            self._progress.note(f"A folder is left out: {problem}")
        if self._source.empty:
            self._progress.note(f"No images in {', '.join(self._source.empty[:3])}{' …' if len(self._source.empty) > 3 else ''}")
        if doubles := spool.listed - len(spool):
            self._progress.note(f"Duplicate keys: {doubles:,}. Each key has one row.")
        self._tell_skipped(self._source.skipped.counts())

    def _tell_skipped(self, counts: Mapping[str, int]) -> None:
        if counts:
            self._progress.note(f"Skipped: {skipped.in_words(counts)}.{skipped.hint(counts)}")

    def _fetch_model(self) -> Bundle:
        with usage_errors("model", "Check model."):
            source = bundle.find(self._settings.model, self._first_contact)
            return bundle.fetch(source, cache_dir(self._settings), self._access)

    def _gpu_of_this_machine(self, model: Bundle) -> ChosenContext | None:
        """The GPU that was asked for, where this machine has to have it. Raises UsageError where there is none."""
        if self._settings.context != "gpu" or not self._settings.spark.is_local:
            return None
        return check_model(model, self._settings)

    def _earlier_plan(self, model: Bundle, store: Store) -> Plan | None:
        """The plan of the run that this one goes on with, None where it starts over."""
        existing = output.check(store, self._settings.output)
        if existing is None:
            return None
        known = {
            name: part for name, part in existing.identity.get("input", {}).items() if name not in NO_IDENTITY
        }  # earlier versions had them
        if changes := plan.differences({**existing.identity, "input": known}, self._identity(model)):
            raise UsageError(
                f"{self._store.name} holds the results of another job. Differences (existing -> requested):\n  " + "\n  ".join(changes),
                "Choose another output, or start over with --overwrite.",
            )
        return existing

    def _confirm_overwriting(self) -> None:
        if not self._settings.output.overwrite:
            return
        there = output.describe(self._store, self._settings.output.format)
        if there is not None and not self._progress.confirm(f"--overwrite deletes what is in {self._store.name}: {there}. Continue?"):
            raise UsageError("nothing was deleted, nothing was run", "")

    def _identity(self, model: Bundle) -> dict[str, Any]:
        """What a row depends on: runs that differ in it must not be mixed in one table."""
        chosen = self._settings.input
        return {
            "input": chosen.model_dump(mode="json", exclude=NO_IDENTITY) | _places_from_everywhere(chosen),
            "format": self._settings.output.format,
            "model": model.digest,
            "precision": self._settings.precision,
            "top_k": self._settings.top_k,
        }

    def _work(self, frozen: Plan) -> _Work:
        """What is left of a plan; with `retry_failed` what failed as well."""
        left = self._left(frozen)
        images = sum(map(frozen.size, left))
        if self._settings.output.retry_failed:
            failed = {
                shard: counts.failed for shard, counts in self._counts(frozen, set(range(frozen.shards)) - set(left)) if counts.failed
            }
            left, images = sorted([*left, *failed]), images + sum(failed.values())
        return _Work(frozen, left, images)

    def _left(self, frozen: Plan) -> list[int]:
        done = predictions.finished_shards(self._store, self._settings.output.format)
        if unknown := sorted(shard for shard in done if shard >= frozen.shards):
            name = PARTS[self._settings.output.format].name(unknown[0])
            raise MxsparkError(
                f"{self._store.name} has {name}, but the plan has only {counted(frozen.shards, 'shard')}", "Remove that part."
            )
        return [shard for shard in range(frozen.shards) if shard not in done]

    def _counts(self, frozen: Plan, shards: Iterable[int]) -> Iterator[tuple[int, Counts]]:
        return summary.count_parts(self._store, frozen, shards, self._settings.output.format, self._settings.input.true_label)

    def _tell(self, work: _Work) -> None:
        frozen, kept = work.plan, work.plan.keys - work.images
        what = "are left or failed" if self._settings.output.retry_failed else "are left"
        self._progress.note(
            f"Resuming the run of {frozen.created}: {kept:,} of {counted(frozen.keys, 'image')} are kept, {work.images:,} {what} "
            f"in {len(work.shards):,} of {counted(frozen.shards, 'shard')}. Images added since are not in it; "
            "--overwrite starts over."
        )
        self._tell_skipped(frozen.skipped)

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
        identity, shown = self._identity(model), visible(settings.model_dump(mode="json"))
        shown["input"] |= {name: identity["input"][name] for name in ("path", "base")}  # wherever they were typed
        return plan.write(self._store, spool, size, identity, shown, self._source.skipped.counts())

    def _predict(self, work: _Work, model: Bundle, spark: Application, context: ChosenContext, hold: Hold) -> Performance:
        settings, frozen = self._settings, work.plan
        self._store.delete(SUCCESS)  # until all is there again
        # A shard smaller than a batch would be padded to it; all are of the same size but the last.
        batch_size = min(settings.batch_size, frozen.shard_size)
        cache = str(cache_dir(settings))
        job = Job(
            uuid.uuid4().hex, _from_everywhere(settings), model.source, self._workers_access, batch_size, cache, frozen.id, frozen.samples
        )
        kept = frozen.keys - work.images
        self._progress.planned(frozen.keys, kept, frozen.shards)
        shards_done = frozen.shards - len(work.shards)
        counts, timings, retries, first = Counts(), Timings(), Counter[str](), time.monotonic()
        began: float | None = None  # when the first worker had its network
        failed: list[int] = []  # shards with examples
        contexts: set[str] = set()  # that the workers were heard to use

        def on_report(report: ShardReport) -> None:
            nonlocal counts, shards_done, began
            hold.check()
            retries.update(report.retries)
            if report.stopped_by is not None:
                raise report.stopped_by
            counts += report.counts
            shards_done += 1
            if settings.context == "auto" and not settings.spark.is_local and report.context not in contexts:
                contexts.add(report.context)
                self._progress.note(f"Running on {report.context}")
            timings.add(report.timings)
            start = max(first, time.monotonic() - report.timings.work)
            began = start if began is None else min(began, start)
            if report.counts.failed and len(failed) < EXAMPLES:
                failed.append(report.shard)
            self._progress.done(kept + counts.rows, counts.failed, shards_done)
            self._stop_if_hopeless(frozen, counts, failed)

        self._progress.note(f"Running on {context} with {counted(spark.workers, 'worker')}, Spark {spark.version}")
        if spark.key_problem:
            self._progress.note(
                "The run's key, by which Spark's processes know each other, stands in the executors' pods, for all who may read those: "
                f"{spark.key_problem}"
            )
        startup = first - self._started

        def on_bad_node(task: FailedTask) -> None:
            self._progress.note(f"A shard failed on {task.where}: {task.failure.error.problem}. It is tried again.")

        failing = spark.run(job, work.shards, on_report, _NoExecutors(spark, settings.spark, self._progress).tell, on_bad_node)
        retries.update(retries_so_far() - self._retries)
        workers_startup = first if began is None else began
        return Performance(
            counts.rows,
            time.monotonic() - first,
            startup,
            workers_startup - first,
            spark.workers,
            timings,
            retries,
            context.name,
            tuple((task.where, task.failure.error.problem) for task in failing),
        )

    def _stop_if_hopeless(self, frozen: Plan, counts: Counts, failed: list[int]) -> None:
        settings = self._settings
        enough = counts.rows >= settings.max_failed_after and counts.rows < frozen.keys
        if enough and counts.failed > settings.max_failed_fraction * counts.rows and not settings.output.retry_failed:
            raise self._too_many(counts, failed, f"stopped after {counts.rows:,} of {counted(frozen.keys, 'image')}: ")

    def _finish(self, frozen: Plan, performance: Performance | None) -> Result:
        """Counts what is really there, and marks the run as whole."""
        settings = self._settings
        self._progress.step("Counting the parts")
        missing = self._left(frozen)
        if missing:
            raise MxsparkError(
                f"{self._store.name}: {len(missing):,} of {counted(frozen.shards, 'part')} are missing, "
                f"the first is that of shard {missing[0]}",
                "Run the same command again: it does what is missing.",
            )
        counts = Counts()
        failed: list[int] = []
        try:
            for shard, part in self._counts(frozen, range(frozen.shards)):
                counts += part
                if part.failed and len(failed) < EXAMPLES:
                    failed.append(shard)
        except MxsparkError as error:
            self._store.delete(SUCCESS)  # whoever wrote it, the table is not whole
            if isinstance(error, EmptyPartError):
                self._store.delete(error.part)
                problem = f"{error.problem}: its upload broke off, perhaps, or somebody emptied it; it was removed"
                raise MxsparkError(problem, "Run the same command again: it does what is missing.") from None
            raise
        result = Summary(frozen, counts, performance, settings.model_dump(mode="json"))
        if settings.output.format == "text":
            output.write_text(self._store, frozen, settings.output, self._access)
        too_many = result.failed_fraction > settings.max_failed_fraction
        if too_many:
            self._store.delete(SUCCESS)
        if performance is not None or not self._store.has(SUCCESS):  # else the run that did it all has said it
            self._store.write(SUMMARY, result.to_json().encode())
        if not too_many:
            self._store.write(SUCCESS, b"")
        first_rows = tuple(islice(self._rows(range(frozen.shards)), SHOWN_ROWS))
        results = Results(counts, frozen.skipped, performance, first_rows, output.table(settings.output))
        return Result(result, results, self._too_many(counts, failed) if too_many else None)

    def _rows(self, shards: Iterable[int]) -> Iterator[Row]:
        return chain.from_iterable(predictions.read_rows(self._store, shard, self._settings.output.format) for shard in shards)

    def _too_many(self, counts: Counts, shards: list[int], prefix: str = "") -> TooManyFailedError:
        """The error with the counts by status and examples out of these shards."""
        failed = (row for row in self._rows(shards) if row.status != RowStatus.OK)
        examples = [f"{printable(row.key)} ({row.status}: {row.error})" for row in islice(failed, EXAMPLES)]
        return TooManyFailedError(
            f"{prefix}{counts.failed:,} of {counted(counts.rows, 'image')} failed, more than max_failed_fraction "
            f"{self._settings.max_failed_fraction:g} allows: {counts.failures}\nFor example {', '.join(examples)}",
            "Fix them and add --retry-failed, or allow more with --max-failed-fraction.",
        )


def _places_from_everywhere(chosen: InputSettings) -> dict[str, Any]:
    """Where the images are, the same in whatever folder it is asked."""
    paths = [resolved(path) for path in chosen.paths]
    return {"path": paths if len(paths) > 1 else paths[0], "base": chosen.base and resolved(chosen.base)}


def _from_everywhere(settings: Settings) -> Settings:
    """The settings with places of the input that mean the same in another working folder, as that of a worker may be."""
    chosen = settings.input
    places = _places_from_everywhere(chosen)
    if isinstance(places["path"], list):
        places["path"] = tuple(places["path"])  # as the setting has several
    return settings.model_copy(update={"input": chosen.model_copy(update=places)})


class _NoExecutors:
    """Says now and then that a cluster gives no executors: Spark would wait for them without a word."""

    def __init__(self, spark: Application, settings: SparkSettings, progress: RunListener) -> None:
        self._spark = spark
        self._settings = settings
        self._progress = progress
        self._next = time.monotonic() + NO_EXECUTORS_SECONDS
        self._started = time.monotonic()

    def tell(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next += NO_EXECUTORS_SECONDS
        if self._spark.executors != 0:
            return
        look = "the master's page says what it can give"
        if self._spark.is_kubernetes:
            selector = ",".join(f"{key}={value}" for key, value in pods.labels(self._settings.app_name, "executor").items())
            look = f"`kubectl describe pods -l {selector}` says why their pods don't come up; where there are none, look at the quotas"
        waited = time.monotonic() - self._started
        self._progress.note(f"Waiting for executors for {waited:.0f} s: {self._settings.executors} are requested, none is running; {look}.")


def cache_dir(settings: Settings) -> Path:
    """Where this node keeps model files."""
    return Path(settings.cache_dir) if settings.cache_dir else bundle.default_cache_dir()


def check_once(model: Bundle, settings: Settings) -> ChosenContext:
    """`check_model`, or what it found before: a model that fitted does so again, and MXNet takes seconds to load."""
    if settings.context != "cpu":
        return check_model(model, settings)
    mark = f"checked/{hashlib.sha256(f'{__version__} {model.digest}'.encode()).hexdigest()}"
    store: FolderStore | None = None
    with suppress(OSError, StorageError, ValueError, TypeError, KeyError, RecursionError):  # only a convenience
        store = FolderStore(private_folder(cache_dir(settings)), follow_links=False)
        name, notes = json.loads(store.read(mark, 2**20))
        return ChosenContext(name, notes=tuple(notes))
    context = check_model(model, settings)
    with suppress(StorageError):
        if store is not None:
            store.write(mark, json.dumps([context.name, context.notes]).encode())
    return context


def check_model(model: Bundle, settings: Settings) -> ChosenContext:
    """Checks, in a process of its own, that the model's files fit each other and that the network computes; returns its context.

    Raises UsageError, MxsparkError. The driver itself never imports MXNet (inference/mxnet.py says why), and a file that crashes MXNet is
    told like any other.
    """
    local = settings.spark.is_local
    chosen = "each executor takes a GPU if it has one that MXNet can use" if settings.context == "auto" else ""
    try:
        # Elsewhere the executors have the GPUs, and each finds out for itself: what only a GPU computes can't be tried here.
        check = model_check.check_model(model, settings.context if local or settings.context == "cpu" else None)
    except cuda.NoDriverError:
        if local or settings.context == "cpu":
            raise
        # As in a driver's pod of the GPU image: the GPUs, and what belongs to them, are the executors', who check the files as well.
        return ChosenContext(
            settings.context, f"{chosen}{'; ' if chosen else ''}the executors check the model, for MXNet can't be loaded here"
        )
    if local:
        chosen = f"context auto chose it{f': {check.why}' if check.why else ''}" if settings.context == "auto" else ""
    return ChosenContext(check.context if local else settings.context, chosen, check.inspection.notes)
