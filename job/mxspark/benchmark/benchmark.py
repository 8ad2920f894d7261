"""A benchmark from its settings to its results: the model at each precision, compared with fp32; then rounds in which
each configuration is measured once, in worker processes of its own.
"""

import importlib.metadata
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mxspark import __version__, host
from mxspark.benchmark.configuration import Configuration, Request, configurations
from mxspark.benchmark.crew import LIMIT_SECONDS, Crew
from mxspark.benchmark.results import Machine, Results, Row, Speed, choose
from mxspark.benchmark.worker import Measured, Stage, Task
from mxspark.dataset.plan import KeySpool
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import bundle, model_check
from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet_process import CrashError
from mxspark.inference.optimize import Figures, Precision
from mxspark.run import precision as precisions
from mxspark.run.identity import with_absolute_places
from mxspark.run.listing import Listing
from mxspark.run.progress import RunListener
from mxspark.settings.job import Settings
from mxspark.storage import Access, telling, usage_errors
from mxspark.worker.shard import Job

MOST_LISTED = 100_000  # keys, of which the sample is drawn: listing a bucket of millions would take minutes
MOST_ROUNDS = 5
BUSY = 0.1  # of the processor time, taken by others: more is worth a note
KEPT_MEMORY = 0.5  # of the memory, that workers may take together which wait for their next round
_FAILURES = (MxsparkError, CrashError, TimeoutError)


def run(settings: Settings, access: Access, request: Request, progress: RunListener) -> Results:
    """Raises UsageError where settings, model or images can't work, or nothing that was asked for can be measured."""
    if settings.context != "cpu":
        raise UsageError(f"context is {settings.context}, and CPUs are what is measured here", "Set context to cpu.")
    host.check()
    with ExitStack() as ended:
        ended.enter_context(telling(progress.note))
        progress.step("Checking the model")
        cache = bundle.cache_dir(settings.cache_dir)
        with usage_errors("model", "Check model."):
            source = bundle.find(settings.model, access.of_first_contact(os.environ))
            model = bundle.fetch(source, cache, access)
        model_check.check_model(model, "cpu")
        spool = ended.enter_context(closing(_listed(settings, access, progress)))
        sample = tuple(spool.sample(request.images))
        compared = ended.enter_context(_compared(settings, access, request, model, spool, progress))
        refused = _refused(compared, settings.min_agreement)
        wanted = [name for name in request.precisions if name in compared.models]
        if not wanted:
            why = "; ".join(f"{name}: {text}" for name, text in refused.items())
            raise UsageError(f"no precision of those asked for can be measured: {why}", "Add --precision fp32.")
        rounds = ended.enter_context(_Rounds(progress, request.seconds))
        for one in configurations(request, wanted, host.cores()):
            job = Job(
                run_id=uuid.uuid4().hex,
                settings=with_absolute_places(settings),
                source=compared.models[one.precision].source.with_absolute_places(),
                access=access,
                batch_size=one.batch_size,
                cache_dir=str(cache),
                plan_id="",
                samples=sample[:8],
            )
            rounds.add(one, Crew(Task(job, sample), one.workers, one.threads))
        others = _Others()
        rounds.run()
        rounds.end()
        share = others.share()
        if share is not None and share > BUSY:
            progress.note(f"Other processes took {share:.0%} of this machine's processor time: it is faster without.")
        rows = rounds.rows()
        return Results(
            machine=_machine(),
            others=share,
            model=model.spec.name,
            images=len(sample),
            rounds=rounds.number,
            reading=rounds.part("reading"),
            decoding=rounds.part("decoding"),
            rows=rows,
            figures=compared.figures,
            refused=refused,
            unusable=rounds.unusable,
            chosen=choose(rows, refused),
        )


@dataclass
class _Compared:
    """The model at each precision that can be computed, how it compares with fp32, and why another can't be."""

    models: dict[Precision, Bundle]
    figures: dict[Precision, Figures] = field(default_factory=dict)
    troubles: dict[Precision, str] = field(default_factory=dict)


def _listed(settings: Settings, access: Access, progress: RunListener) -> KeySpool:
    chosen = settings.input.model_copy(update={"limit": min(settings.input.limit or MOST_LISTED, MOST_LISTED)})
    spool = KeySpool()
    Listing(chosen, access, access.of_first_contact(os.environ), progress).fill(spool)
    if spool.listed == MOST_LISTED:
        progress.note(f"The sample is drawn from the first {MOST_LISTED:,} images.")
    return spool


@contextmanager
def _compared(
    settings: Settings, access: Access, request: Request, model: Bundle, spool: KeySpool, progress: RunListener
) -> Iterator[_Compared]:
    """The models last as long as the context."""
    found = _Compared({"fp32": model} if "fp32" in request.precisions else {})
    others = [name for name in request.precisions if name != "fp32"]
    # As with auto, a precision that can't be made is no error.
    chosen = settings.model_copy(update={"precision": "auto", "comparison_images": request.images})
    with precisions.optimizer(chosen, model, access, progress) as maker:
        for candidate in maker.candidates(others, spool) if others else ():
            if candidate.figures is None:
                found.troubles[candidate.precision] = candidate.trouble
                continue
            made = precisions.optimized(candidate.folder, candidate.figures)
            found.models[candidate.precision] = made.model
            found.figures[candidate.precision] = made.figures
        yield found


def _refused(compared: _Compared, least: float) -> dict[Precision, str]:
    below = {
        name: f"{figures}. That is less than min_agreement {least:g}"
        for name, figures in compared.figures.items()
        if figures.agreement < least
    }
    return {**compared.troubles, **below}


class _Others:
    """What other processes of this machine do beside a measurement."""

    def __init__(self) -> None:
        self._start, self._busy, self._own = time.monotonic(), host.busy_seconds(), _own_seconds()

    def share(self) -> float | None:
        """Of the machine's processor time since then, when our processes have ended; None where that isn't known."""
        busy = host.busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (_own_seconds() - self._own)
        return max(0.0, others / (time.monotonic() - self._start) / (os.cpu_count() or 1))


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _Rounds:
    """Measures each configuration once a round, so that what else the machine does meets all of them alike."""

    def __init__(self, progress: RunListener, seconds: float) -> None:
        self._progress = progress
        self._seconds = seconds
        self._crews: dict[Configuration, Crew] = {}
        self._found: dict[tuple[Configuration, Stage], list[tuple[Measured, ...]]] = defaultdict(list)
        self._parts: dict[Stage, list[tuple[Measured, ...]]] = defaultdict(list)
        self._kept = 0  # bytes of workers that wait for their next round
        self._staying: set[Configuration] = set()
        self.unusable: dict[Configuration, str] = {}
        self.number = 0

    def __enter__(self) -> "_Rounds":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        for crew in self._crews.values():
            crew.end()

    def add(self, one: Configuration, crew: Crew) -> None:
        self._crews[one] = crew

    def run(self) -> None:
        """At least one round, and as many as fit the time. Raises the first error where no configuration works."""
        start = time.monotonic()
        while self.number < MOST_ROUNDS:
            begun = time.monotonic()
            self.number += 1
            self._round()
            now = time.monotonic()
            # The first round starts the processes too: later ones are shorter, unless they start anew.
            if now - start + (now - begun) / (2 if self.number == 1 else 1) > self._seconds:
                break
        if self.number == 1:
            self._progress.note("There was time for one round only: more --seconds make the figures steadier.")

    def _round(self) -> None:
        has_parts, first_error = False, None
        usable = [one for one in self._crews if one not in self.unusable]
        for place, one in enumerate(usable, 1):
            self._progress.step(f"Round {self.number}: {one} ({place} of {len(usable)})")
            try:
                self._measure(one, not has_parts)
                has_parts = True
            except _FAILURES as error:
                first_error = first_error or error
                self.unusable[one] = _why(error)
                self._crews[one].end()
        if not has_parts:
            if isinstance(first_error, MxsparkError):
                raise first_error
            raise MxsparkError(
                f"no configuration can be measured: {next(iter(self.unusable.values()), '')}",
                "Check the model by `mxspark model inspect`, and this machine's memory.",
            )

    def _measure(self, one: Configuration, with_parts: bool) -> None:
        crew, is_new = self._crews[one], self.number == 1
        stages: tuple[Stage, ...] = ("network", "whole")
        measured = {stage: crew.measure(stage) for stage in stages}
        parts: tuple[Stage, ...] = ("reading", "decoding") if with_parts else ()
        alone = {stage: crew.measure(stage) for stage in parts}
        for stage, workers in measured.items():
            self._found[one, stage].append(workers)
        for stage, workers in alone.items():
            self._parts[stage].append(workers)
        if is_new:
            memory = sum(worker.memory for worker in measured["whole"])
            if self._kept + memory <= KEPT_MEMORY * host.memory():
                self._kept += memory
                self._staying.add(one)
        if one not in self._staying:
            crew.end()

    def part(self, stage: Stage) -> Speed:
        return Speed.of(self._parts[stage])

    def rows(self) -> tuple[Row, ...]:
        return tuple(
            Row(
                one,
                Speed.of(self._found[one, "whole"]),
                Speed.of(self._found[one, "network"]),
                # Of the first round: later on the images of what is measured alone are in memory too.
                max(worker.memory for worker in self._found[one, "whole"][0]),
            )
            for one in self._crews
            if one not in self.unusable
        )


def _why(error: BaseException) -> str:
    if isinstance(error, MxsparkError):
        return error.problem
    return f"it took more than {LIMIT_SECONDS:g} s" if isinstance(error, TimeoutError) else f"MXNet crashes ({error})"


def _machine() -> Machine:
    versions: Mapping[str, str] = {"mxspark": __version__}
    installed = (name for name in ("mxnet", "numpy", "pillow") if _version(name))
    versions = {**versions, **{name: _version(name) for name in installed}}
    return Machine(host.processor(), host.cores(), host.memory(), versions, datetime.now(UTC).date().isoformat())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
