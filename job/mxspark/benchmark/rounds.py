"""Rounds, in each of which all configurations are measured once."""

import time
from collections import defaultdict

from mxspark import host
from mxspark.benchmark.configuration import Configuration
from mxspark.benchmark.crew import LIMIT_SECONDS, Crew
from mxspark.benchmark.results import Row, Speed
from mxspark.benchmark.worker import Measured, Stage
from mxspark.errors import MxsparkError
from mxspark.inference.mxnet_process import CrashError
from mxspark.run.progress import RunListener

MOST_ROUNDS = 5
KEPT_MEMORY = 0.5  # of the memory, that workers may take together which wait for their next round
_FAILURES = (MxsparkError, CrashError, TimeoutError)


class Rounds:
    """So that what else the machine does meets all configurations alike."""

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

    def end(self) -> None:
        """Ends all workers."""
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
        """Of a stage that is the same for all configurations."""
        return Speed.of(self._parts[stage])

    def rows(self) -> tuple[Row, ...]:
        """Of the configurations that can be measured."""
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
