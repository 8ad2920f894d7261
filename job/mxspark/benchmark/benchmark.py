"""A benchmark from its settings to its results: the model at each precision, compared with fp32; then rounds in which
each configuration is measured once, in worker processes of its own.
"""

import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mxspark import __version__, host
from mxspark.benchmark.configuration import Request, configurations
from mxspark.benchmark.crew import Crew
from mxspark.benchmark.results import Machine, Results, choose
from mxspark.benchmark.rounds import Rounds
from mxspark.benchmark.worker import Task
from mxspark.dataset.plan import SAMPLES, KeySpool
from mxspark.errors import UsageError
from mxspark.inference import bundle, model_check
from mxspark.inference.bundle import Bundle
from mxspark.inference.figures import Figures
from mxspark.inference.optimize import Precision
from mxspark.run import precision as precisions
from mxspark.run.identity import with_absolute_places
from mxspark.run.listing import Listing
from mxspark.run.progress import RunListener
from mxspark.settings.job import Settings
from mxspark.storage import Access, telling, usage_errors
from mxspark.worker.shard import Job

MOST_LISTED = 100_000  # keys, of which the sample is drawn: listing a bucket of millions would take minutes
BUSY = 0.1  # of the processor time, taken by others: more is worth a note


def run(settings: Settings, access: Access, request: Request, progress: RunListener) -> Results:
    """Raises UsageError where settings, model or images can't work, or nothing that was asked for can be measured."""
    check_possible(settings)
    with ExitStack() as ended:
        ended.enter_context(telling(progress.note))
        model = fetched_model(settings, access, progress)
        model_check.check_model(model, "cpu")
        spool = ended.enter_context(closing(_listed(settings, access, progress)))
        sample = tuple(spool.sample(request.images))
        compared = ended.enter_context(_compared(settings, access, request, model, spool, progress))
        refused = _refused(compared, settings.min_agreement)
        wanted = [name for name in request.precisions if name in compared.models]
        if not wanted:
            why = "; ".join(f"{name}: {text}" for name, text in refused.items())
            raise UsageError(f"no precision of those asked for can be measured: {why}", "Add --precision fp32.")
        rounds = Rounds(progress, request.seconds)
        ended.callback(rounds.end)
        for one in configurations(request, wanted, host.cores()):
            task = Task(job(settings, access, compared.models[one.precision], one.batch_size, sample), sample)
            rounds.add(one, Crew(task, one.workers, one.threads))
        others = Others()
        rounds.run()
        rounds.end()
        share = others.share()
        if share is not None and share > BUSY:
            progress.note(f"Other processes took {share:.0%} of this machine's processor time: it is faster without.")
        rows = rounds.rows()
        return Results(
            machine=machine(),
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


def check_possible(settings: Settings) -> None:
    """Raises UsageError, MxsparkError where nothing can be measured here."""
    if settings.context != "cpu":
        raise UsageError(f"context is {settings.context}, and CPUs are what is measured here", "Set context to cpu.")
    host.check()


def fetched_model(settings: Settings, access: Access, progress: RunListener) -> Bundle:
    """Raises UsageError where it can't be had."""
    progress.step("Checking the model")
    with usage_errors("model", "Check model."):
        source = bundle.find(settings.model, access.of_first_contact(os.environ))
        return bundle.fetch(source, bundle.cache_dir(settings.cache_dir), access)


def job(settings: Settings, access: Access, model: Bundle, batch_size: int, sample: Sequence[str]) -> Job:
    """As workers of a run get it, without a plan."""
    return Job(
        run_id=uuid.uuid4().hex,
        settings=with_absolute_places(settings),
        source=model.source.with_absolute_places(),
        access=access,
        batch_size=batch_size,
        cache_dir=str(bundle.cache_dir(settings.cache_dir)),
        plan_id="",
        samples=tuple(sample[:SAMPLES]),
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


class Others:
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


def machine() -> Machine:
    versions = {"mxspark": __version__, **host.versions("mxnet", "numpy", "pillow")}
    return Machine(host.processor(), host.cores(), host.memory(), versions, datetime.now(UTC).date().isoformat())
