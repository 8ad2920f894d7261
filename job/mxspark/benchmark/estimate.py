"""How long a run would take, and what it would cost: its keys counted, a sample of them predicted by workers as a run
has them, Spark started once, and arithmetic. Writes nothing.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from random import Random
from statistics import median
from typing import Any, Self

from mxspark import host
from mxspark.benchmark import benchmark
from mxspark.benchmark.benchmark import BUSY, Others
from mxspark.benchmark.crew import LIMIT_SECONDS, Crew
from mxspark.benchmark.results import Machine, Speed
from mxspark.benchmark.worker import Measured, Task
from mxspark.dataset import plan
from mxspark.dataset.plan import KeySpool
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import bundle
from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet_process import CrashError
from mxspark.run import precision as precisions
from mxspark.run import work
from mxspark.run.chosen_context import check_once
from mxspark.run.identity import identity
from mxspark.run.listing import Listing
from mxspark.run.progress import RunListener
from mxspark.run.table import Table
from mxspark.run.work import Work
from mxspark.settings.job import Settings, SparkSettings
from mxspark.spark.configuration import local_workers, most_executors
from mxspark.storage import Access, open_output, telling
from mxspark.text.words import counted

SPARK_SECONDS = 10.0  # where Spark can't be started here
CLUSTER_SECONDS = 60.0  # until executors are there and have their network: docs/kubernetes.md has a job's phases
LEAST_ROUNDS, MOST_ROUNDS = 2, 20
SAMPLED_SHARDS = 16  # of what an earlier run left


@dataclass(frozen=True)
class Request:
    """What a person wants to know."""

    images: int = 64  # of the sample
    seconds: float = 15.0  # for predicting it again and again
    executors: int | None = None  # those of the settings, where the master is a cluster
    cores: int | None = None  # of an executor
    price: float | None = None  # dollars for a core and hour


@dataclass(frozen=True)
class Start:
    """What a run here does before its workers predict, each measured by itself [seconds]."""

    command: float  # until it reads the settings: Python's imports
    model: float  # checked, and made at another precision
    listing: float
    spark: float  # started, and stopped at the end
    workers: float  # MXNet imported, the network bound

    @property
    def seconds(self) -> float:
        """Spark starts beside what its workers are forked from."""
        return self.command + self.model + self.listing + max(self.spark, self.workers)


@dataclass(frozen=True)
class ShardTimes:
    """What shards take one worker, all workers of this machine being busy [seconds]."""

    image: float
    shard: float  # for each shard more than its images: the first batch waited for, the part made
    first: float  # for the first shard more than for others: the network's first pass

    @classmethod
    def of(cls, cold: float, shard: float, batch: float, batches: int, batch_size: int) -> Self:
        """From what a shard took first, later, and one of a single batch. A short batch takes as long as a full one."""
        if batches > 1 and shard > batch:
            image = (shard - batch) / ((batches - 1) * batch_size)
            return cls(image, max(0.0, batch - batch_size * image), max(0.0, cold - shard))
        return cls(shard / (batches * batch_size), 0.0, max(0.0, cold - shard))


@dataclass(frozen=True)
class Forecast:
    """A run somewhere. `cores` are all that it keeps busy or idle, the driver's included where that has its own."""

    where: str
    workers: int
    cores: int
    rate: float  # images/s
    seconds: float
    cost: float | None  # dollars

    @property
    def core_hours(self) -> float:
        return self.cores * self.seconds / 3600


@dataclass(frozen=True)
class Estimate:
    """All that was found. `images` are those that have no row yet."""

    machine: Machine
    others: float | None  # share of the machine's processor time that other processes took, where that is known
    model: str
    precision: str
    images: int
    done: int  # by an earlier run of the same output
    skipped: Mapping[str, int]
    sample: int
    measured: Speed | None  # of `workers` together; None where nothing is left to do
    times: ShardTimes | None
    workers: int
    start: Start | None
    forecasts: tuple[Forecast, ...]
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "forecasts": [{**asdict(each), "core_hours": each.core_hours} for each in self.forecasts],
        }


@dataclass
class _Clock:
    """Seconds of each phase."""

    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - start


@dataclass(frozen=True)
class _Todo:
    """What a run would do: how many images, some of their keys, and the model that predicts them."""

    images: int
    shards: int | None  # that an earlier run's plan has left; else as many as fit the workers
    done: int
    skipped: Mapping[str, int]
    sample: tuple[str, ...]
    batch_size: int
    model: Bundle


def run(settings: Settings, access: Access, request: Request, progress: RunListener, resumes: bool) -> Estimate:
    """`resumes`: whether the output of the settings may hold what an earlier run has done, which is not done again.

    Raises UsageError where settings, model, input or output can't work.
    """
    benchmark.check_possible(settings)
    executors = _executors(settings, request)
    command = time.process_time()
    clock, others = _Clock(), Others()
    with ExitStack() as ended:
        ended.enter_context(telling(progress.note))
        with clock.phase("model"):
            model = benchmark.fetched_model(settings, access, progress)
            check_once(model, settings)
            precisions.check_possible(settings)
        left = _left(settings, access, model) if resumes else None
        todo = (
            _listed(settings, access, request, model, progress, clock, ended)
            if left is None
            else _resumed(settings, access, request, model, left)
        )
        workers = _local_workers(settings)
        counted_only = Estimate(
            machine=benchmark.machine(),
            others=None,
            model=model.spec.name,
            precision=settings.precision,
            images=todo.images,
            done=todo.done,
            skipped=dict(todo.skipped),
            sample=0,
            measured=None,
            times=None,
            workers=workers,
            start=None,
            forecasts=(),
            assumptions=(),
        )
        if not todo.images:
            return counted_only
        spark = _spark_seconds(settings, progress)
        speed, times = _measured(settings, access, request, todo, workers, progress, clock)
    share = others.share()
    if share is not None and share > BUSY:
        progress.note(f"Other processes took {share:.0%} of this machine's processor time: it is faster without.")
    phases = clock.phases
    start = Start(command, phases["model"], phases.get("listing", 0.0), spark, phases["workers"])
    found = _Here(settings, todo, times, workers, start, request.price)
    forecasts = [found.here(), *([found.elsewhere(*executors)] if executors else [])]
    return replace(
        counted_only,
        others=share,
        sample=len(todo.sample),
        measured=speed,
        times=times,
        start=start,
        forecasts=tuple(forecasts),
        assumptions=_assumptions(settings, todo, workers, bool(executors), request.price),
    )


def _executors(settings: Settings, request: Request) -> tuple[int, int] | None:
    """How many, and the cores of each; None where nobody asks for any. Raises UsageError."""
    if request.executors is None and settings.spark.is_local:
        if request.cores is not None:
            raise UsageError("--cores are those of an executor", "Say how many executors: --executors.")
        return None
    found = request.executors or most_executors(settings.spark), request.cores or settings.spark.executor_cores
    if found[1] < settings.spark.task_cpus:
        problem = f"an executor of {counted(found[1], 'core')} has no room for a worker of spark.task_cpus"
        raise UsageError(f"{problem} {settings.spark.task_cpus}", "Give more --cores.")
    return found


def _left(settings: Settings, access: Access, model: Bundle) -> Work | None:
    """What an earlier run left, None where there was none. Raises UsageError where its table is another job's."""
    store = open_output(settings.output.path, access.of_first_contact(os.environ))
    existing = work.earlier_plan(store, settings, identity(settings, model), probes=False)
    return None if existing is None else Work.left(Table(store, existing, settings))


def _listed(
    settings: Settings,
    access: Access,
    request: Request,
    model: Bundle,
    progress: RunListener,
    clock: _Clock,
    ended: ExitStack,
) -> _Todo:
    """All of the input; the model at the precision of the settings lasts until `ended`."""
    spool = ended.enter_context(closing(KeySpool()))
    with clock.phase("listing"):
        listing = Listing(settings.input, access, access.of_first_contact(os.environ), progress)
        listing.fill(spool)
    with clock.phase("model"):
        if settings.precision != "fp32":
            maker = ended.enter_context(precisions.optimizer(settings, model, access, progress))
            optimized = maker.choose(spool)
            model = optimized.model if optimized else model
    size = min(settings.batch_size, work.shard_size(len(spool), _local_workers(settings), settings))
    sample = tuple(spool.sample(request.images))
    return _Todo(len(spool), None, 0, listing.skipped, sample, size, model)


def _resumed(settings: Settings, access: Access, request: Request, model: Bundle, left: Work) -> _Todo:
    store = left.table.store
    kept = precisions.kept(store, left.plan, settings, bundle.cache_dir(settings.cache_dir), access)
    chance = Random(0)  # noqa: S311  # no secret
    shards = chance.sample(left.shards, min(SAMPLED_SHARDS, len(left.shards)))
    keys = [key for shard in shards for key in plan.shard_keys(store, shard)]
    sample = tuple(chance.sample(keys, min(request.images, len(keys))))
    used = kept.model if kept else model
    size = min(settings.batch_size, left.plan.shard_size)
    return _Todo(left.images, len(left.shards), left.kept_images, left.plan.skipped, sample, size, used)


def _local_workers(settings: Settings) -> int:
    """That a run has on this machine: those of a local master, else one for each of its cores."""
    return local_workers(_local(settings.spark))


def _local(spark: SparkSettings) -> SparkSettings:
    return spark if spark.is_local else spark.model_copy(update={"master": "local[*]"})


def _spark_seconds(settings: Settings, progress: RunListener) -> float:
    """What Spark's start and end take on this machine: it is started as a run does, but for properties of the user's,
    which may have it write somewhere, and stopped.
    """
    try:
        from mxspark.spark.application import Application
    except ModuleNotFoundError:
        progress.note(f"Spark is not installed here: {SPARK_SECONDS:g} s are assumed for its start.")
        return SPARK_SECONDS
    progress.step("Starting Spark")
    local = _local(settings.spark).model_copy(update={"conf": {}})
    start = time.monotonic()
    try:
        with _without_defaults():
            settings = settings.model_copy(update={"spark": local})
            spark = Application(settings, bundle.cache_dir(settings.cache_dir), False)
    except MxsparkError as error:
        progress.note(f"{error.problem}. For its start {SPARK_SECONDS:g} s are assumed.")
        return SPARK_SECONDS
    # At its end the first Java would write the class archive: an estimate writes nothing, and only one run waits.
    spark.kill() if spark.makes_archive else spark.stop()
    return time.monotonic() - start


@contextmanager
def _without_defaults() -> Iterator[None]:
    """While Spark starts it finds no configuration of the user's, such as spark-defaults.conf."""
    name, kept = "SPARK_CONF_DIR", os.environ.get("SPARK_CONF_DIR")
    with tempfile.TemporaryDirectory() as empty:
        os.environ[name] = empty
        try:
            yield
        finally:
            del os.environ[name]
            if kept is not None:
                os.environ[name] = kept


def _measured(
    settings: Settings,
    access: Access,
    request: Request,
    todo: _Todo,
    workers: int,
    progress: RunListener,
    clock: _Clock,
) -> tuple[Speed, ShardTimes]:
    """Of all workers of this machine together: each predicts the sample as a shard, and a batch of it as another."""
    job = benchmark.job(settings, access, todo.model, todo.batch_size, todo.sample)
    crew = Crew(Task(job, todo.sample), workers, settings.spark.task_cpus)
    shards, batches = list[tuple[Measured, ...]](), list[tuple[Measured, ...]]()
    progress.step(f"Predicting a sample of {counted(len(todo.sample), 'image')}")
    try:
        with clock.phase("workers"):
            crew.start()
        cold = crew.measure("shard")
        start = time.monotonic()
        while len(shards) < LEAST_ROUNDS or (len(shards) < MOST_ROUNDS and time.monotonic() - start < request.seconds):
            shards.append(crew.measure("shard"))
            batches.append(crew.measure("batch"))
    except CrashError as error:
        raise MxsparkError(f"MXNet crashes on the sample ({error})", "Check the model: mxspark model try.") from None
    except TimeoutError:
        problem = f"{counted(len(todo.sample), 'image')} take more than {LIMIT_SECONDS:g} s"
        raise MxsparkError(problem, "Take a smaller sample: --images.") from None
    finally:
        crew.end()
    times = ShardTimes.of(
        _seconds([cold]),
        _seconds(shards),
        _seconds(batches),
        -(-len(todo.sample) // todo.batch_size),
        todo.batch_size,
    )
    return Speed(workers / times.image, Speed.of(shards).cpu), times


def _seconds(rounds: Sequence[Sequence[Measured]]) -> float:
    """That a worker took, in the median."""
    return median(one.wall for workers in rounds for one in workers)


@dataclass(frozen=True)
class _Here:
    """What was measured on this machine, and what follows from it."""

    settings: Settings
    todo: _Todo
    times: ShardTimes
    workers: int
    start: Start
    price: float | None

    def here(self) -> Forecast:
        cores = self.workers * self.settings.spark.task_cpus
        return self._forecast("this machine", self.workers, cores, self.start.seconds)

    def elsewhere(self, executors: int, cores: int) -> Forecast:
        """On executors whose cores are as fast as those here."""
        workers = executors * (cores // self.settings.spark.task_cpus)
        start = self.start.model + self.start.listing + CLUSTER_SECONDS
        where = f"{counted(executors, 'executor')} of {counted(cores, 'core')}"
        return self._forecast(where, workers, executors * cores + self.settings.spark.driver_cores, start)

    def _forecast(self, where: str, workers: int, cores: int, start: float) -> Forecast:
        images, shards = self.todo.images, self.todo.shards
        if shards is None:
            shards = sum(count for count, _ in work.shard_sizes(images, workers, self.settings))
        busy = min(workers, shards)
        rate = busy / (self.times.image + self.times.shard * shards / images)
        seconds = start + self.times.first + images / rate
        cost = None if self.price is None else self.price * cores * seconds / 3600
        return Forecast(where, workers, cores, rate, seconds, cost)


def _assumptions(
    settings: Settings, todo: _Todo, workers: int, has_executors: bool, price: float | None
) -> tuple[str, ...]:
    """In sentences, as far as they matter for what is said."""
    found = [
        f"All images are like the {counted(len(todo.sample), 'image')} of the sample, which "
        f"{counted(workers, 'worker')} of this machine read, decoded and predicted again and again.",
        "Nothing has to be tried again, and the machine has nothing else to do.",
    ]
    if has_executors:
        found += [
            f"A core of an executor is as fast as one here ({host.processor()}), and the store serves all of them as "
            "fast as this machine.",
            f"The executors are there and have loaded the model after {CLUSTER_SECONDS:g} s; the driver has "
            f"{counted(settings.spark.driver_cores, 'core')} of its own.",
        ]
    if price is not None:
        found.append("A core is paid for as long as the run takes; storage, network and idle nodes are not in it.")
    return tuple(found)
