"""A whole run: check, plan, predict, sum up. What stops it is raised as MxsparkError with the exit code that it
means.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path

from mxspark import host
from mxspark.dataset import output
from mxspark.dataset.output import REPORT, SUCCESS
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.errors import MxsparkError
from mxspark.inference import bundle
from mxspark.inference.bundle import Bundle
from mxspark.run import precision
from mxspark.run.chosen_context import ChosenContext, check_once, required_gpu
from mxspark.run.identity import check_columns, identity, with_absolute_places
from mxspark.run.listing import Listing, note_skipped
from mxspark.run.precision import Optimized
from mxspark.run.prediction import Prediction, RunStart
from mxspark.run.progress import RunListener
from mxspark.run.result import Result, sum_up
from mxspark.run.summary import Performance
from mxspark.run.table import Table
from mxspark.run.work import Work, confirm_overwriting, earlier_plan, new_plan, shard_size
from mxspark.settings.job import Settings
from mxspark.settings.model_spec import ModelSpec
from mxspark.spark import session
from mxspark.spark.application import Application, as_submitted, is_submitted, open_application
from mxspark.spark.configuration import local_workers
from mxspark.spark.prepared_daemon import PreparedDaemon, can_prepare
from mxspark.storage import Access, Hold, Store, open_output, telling, usage_errors
from mxspark.worker.shard import Job
from mxspark.worker.shared_network import NetworkTask


def run(settings: Settings, access: Access, progress: RunListener, debug: bool = False) -> Result:
    """Runs the job. Raises UsageError before anything is written where settings, model, input or output can't work."""
    with _listening(settings, progress) as listener, telling(listener.note):
        return _Run(as_submitted(settings), access, listener, debug).run()


def _listening(settings: Settings, progress: RunListener) -> AbstractContextManager[RunListener]:
    """`progress`, with what serves the run's metrics beside it, whose library is only imported where they are."""
    if settings.metrics.port is None:
        return nullcontext(progress)
    from mxspark.run import metrics

    return metrics.listening(settings, progress)


class _Run:
    """One run, from its settings to its result."""

    def __init__(self, settings: Settings, access: Access, progress: RunListener, debug: bool) -> None:
        self._settings = settings
        self._access = access.of_driver(os.environ)
        self._first_contact = access.of_first_contact(os.environ)
        self._workers_access = access
        self._progress = progress
        self._debug = debug
        self._id = uuid.uuid4().hex
        self._start = RunStart()
        self._cache = bundle.cache_dir(settings.cache_dir)
        self._store: Store = open_output(settings.output.path, self._access)

    def run(self) -> Result:
        host.check()
        self._progress.begin(self._id)
        # What can't work is an error before anything is written, and before another run is disturbed.
        self._progress.step("Checking the model and the output")
        model = self._fetch_model()
        gpu = required_gpu(model, self._settings)
        precision.check_possible(self._settings)
        listing: Listing | None = None
        if self._earlier_plan(model, open_output(self._settings.output.path, self._first_contact)) is None:
            listing = Listing(self._settings.input, self._access, self._first_contact, self._progress)
            confirm_overwriting(self._store, self._settings, self._progress)
        with output.hold(self._store, self._settings.output) as hold:
            output.sweep(self._store, self._settings.output, self._access)
            todo = self._left(model) or listing
            if todo is None:
                raise MxsparkError(
                    f"{self._store.name}: another run just removed the plan", "Run the same command again."
                )
            if isinstance(todo, Work) and not todo.shards:
                return self._sum_up(todo.table, None)
            return self._run_workers(todo, model, gpu, hold)

    def _run_workers(self, todo: Work | Listing, model: Bundle, gpu: ChosenContext | None, hold: Hold) -> Result:
        """Predicts what an earlier run left, or what is listed; meanwhile the model is checked and Spark starts."""
        with ExitStack() as ended:
            threads, spool = ended.enter_context(ThreadPoolExecutor()), ended.enter_context(closing(KeySpool()))
            if isinstance(todo, Work):
                optimized, used = None, self._used(todo, model)
            else:
                optimized = self._optimized(todo, model, spool, ended)
                used = optimized.model if optimized else model
            daemon = ended.enter_context(self._daemon())
            ask, socket = (None, None) if daemon is None else (daemon.check, daemon.socket)
            check = threads.submit(lambda: gpu or check_once(model, self._settings, ask))
            with self._spark(threads, socket) as starting:
                if isinstance(todo, Listing) and not len(spool):
                    todo.fill(spool)
                self._progress.step("Starting Spark")
                context = check.result()
                for note in context.notes:
                    self._progress.note(note)
                if daemon is not None:
                    batch_size = self._batch_size(self._expected_size(todo, spool))
                    daemon.load(NetworkTask.of(used, batch_size, self._settings.context))
                spark = starting.result()
                hold.check()  # making the model may have taken long, and a new plan deletes what is there
                work = (
                    todo
                    if isinstance(todo, Work)
                    else self._planned(spool, spark.workers, model, todo.skipped, optimized)
                )
                performance = self._predict(work, self._used(work, model), spark, context, hold)
                threads.submit(spark.stop)  # takes a second, in which the parts are counted
                hold.check()
                return self._sum_up(work.table, performance)

    def _fetch_model(self) -> Bundle:
        with usage_errors("model", "Check model."):
            model = bundle.fetch(bundle.find(self._settings.model, self._first_contact), self._cache, self._access)
        spec, default = model.source.spec, ModelSpec()
        check_columns(self._settings.output, spec.output)
        if (spec.input, spec.preprocess, spec.preset) == (default.input, default.preprocess, None):
            self._progress.note(
                "No model.yaml: using default preprocessing (squashed, RGB, 0-255); model.preset names another."
            )
        return model

    def _earlier_plan(self, model: Bundle, store: Store) -> Plan | None:
        return earlier_plan(store, self._settings, identity(self._settings, model))

    def _left(self, model: Bundle) -> Work | None:
        """What an earlier run left, None where this one starts from the beginning."""
        plan = self._earlier_plan(model, self._store)
        if plan is None:
            return None
        work = Work.left(Table(self._store, plan, self._settings))
        work.note(self._progress)
        note_skipped(plan.skipped, self._progress)
        return work

    def _planned(
        self, spool: KeySpool, workers: int, model: Bundle, skipped: Mapping[str, int], optimized: Optimized | None
    ) -> Work:
        same = identity(self._settings, model)
        plan = new_plan(self._store, spool, workers, self._settings, same, skipped, optimized)
        return Work.from_beginning(Table(self._store, plan, self._settings))

    def _optimized(self, todo: Listing, model: Bundle, spool: KeySpool, ended: ExitStack) -> Optimized | None:
        """The model at the precision of the settings; None where that is fp32. It lasts until `ended`."""
        if self._settings.precision == "fp32":
            return None
        todo.fill(spool)
        # Before Spark and its daemon start: speeds are measured.
        maker = precision.optimizer(self._settings, model, self._access, self._progress)
        return ended.enter_context(maker).choose(spool)

    def _used(self, work: Work, model: Bundle) -> Bundle:
        """The model that this plan's rows come from: the one that was made for its precision, if there is one."""
        kept = precision.kept(self._store, work.plan, self._settings, self._cache, self._access)
        return kept.model if kept is not None else model

    def _daemon(self) -> AbstractContextManager[PreparedDaemon | None]:
        """What Spark's workers are forked from, where it can be prepared while Spark starts."""
        return (
            PreparedDaemon()
            if can_prepare(self._settings, is_submitted() or session.context() is not None)
            else nullcontext()
        )

    @contextmanager
    def _spark(self, threads: ThreadPoolExecutor, daemon: Path | None) -> Iterator["Future[Application]"]:
        """Spark, starting while the keys are listed; killed when what is done with it fails."""
        starting = threads.submit(open_application, self._settings, self._cache, self._debug, daemon)
        try:
            yield starting
        except BaseException:
            if starting.exception() is None:
                starting.result().kill()
            raise

    def _expected_size(self, todo: Work | Listing, spool: KeySpool) -> int:
        """The size of shards before Spark is there to tell how many workers it has."""
        if isinstance(todo, Work):
            return todo.plan.shard_size
        return shard_size(len(spool), local_workers(self._settings.spark), self._settings)

    def _batch_size(self, shard_size: int) -> int:
        """Shards smaller than a batch would be padded to it."""
        return min(self._settings.batch_size, shard_size)

    def _predict(
        self, work: Work, model: Bundle, spark: Application, context: ChosenContext, hold: Hold
    ) -> Performance:
        self._store.delete(SUCCESS)  # until all is there again
        self._store.delete(REPORT)
        job = Job(
            run_id=self._id,
            settings=with_absolute_places(self._settings),
            source=model.source.with_absolute_places(),
            access=self._workers_access,
            batch_size=self._batch_size(work.plan.shard_size),
            cache_dir=str(self._cache),
            plan_id=work.plan.id,
            samples=work.plan.samples,
        )
        return Prediction(work, hold, self._progress).run(job, spark, context, self._start)

    def _sum_up(self, table: Table, performance: Performance | None) -> Result:
        self._progress.step("Counting the parts")
        return sum_up(table, performance, self._access)
