"""Executors that can't work: distinguishes one bad node, which the run continues without, from a job that no node can
do.

A node may have a wrong clock, no route, a broken disk or a damaged copy of the model. Its tasks fail then, Spark tries
their shards elsewhere and excludes the executor (spark.excludeOnFailure). Where most executors say the same, the job is
at fault and the run stops.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mxspark.errors import MxsparkError
from mxspark.text.words import counted
from mxspark.worker.shard import TaskFailure

TRIES_ALONE = 2  # of a shard, on the only executor that a run has
# Seconds to wait for requested executors, and for those on other machines, while all present ones fail.
GRACE_SECONDS = 60.0
SHOWN = 5  # nodes in a message


@dataclass(frozen=True)
class FailedTask:
    """A task that failed for a cause that its machine may have on its own."""

    id: int
    attempt: int  # from 0
    executor: str
    failure: TaskFailure

    @property
    def where(self) -> str:
        return self.failure.node if self.executor == "driver" else f"executor {self.executor} on {self.failure.node}"


@dataclass(frozen=True)
class Executor:
    """One that is there, and how many tasks it runs and has completed."""

    id: str
    running: int
    completed: int


class FailingExecutors:
    """Those that failed, and have completed nothing since."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` is how many executors the run may have."""
        self._most = most
        self._clock = clock
        self._seen: set[int] = set()
        self._last: dict[str, FailedTask] = {}
        self._completed: dict[str, int] = {}  # when the last failure of an executor was seen
        self._hopeless_since: float | None = None

    def update(self, failed: Iterable[FailedTask], executors: Sequence[Executor]) -> list[FailedTask]:
        """Takes what Spark knows by now; returns the first failure of each executor that was not failing before. Raises
        MxsparkError where the job is at fault."""
        completed = {executor.id: executor.completed for executor in executors}
        self.forget_working(executors)
        new = []
        for task in failed:
            if task.id in self._seen:
                continue
            self._seen.add(task.id)
            if task.executor not in self._last:
                new.append(task)
            self._last[task.executor] = task
            self._completed[task.executor] = completed.get(task.executor, 0)
        self._judge(executors)
        return new

    def forget_working(self, executors: Sequence[Executor]) -> None:
        """Those that have completed something since they failed."""
        for executor in executors:
            if executor.completed > self._completed.get(executor.id, executor.completed):
                self._last.pop(executor.id, None)

    @property
    def failing(self) -> tuple[FailedTask, ...]:
        """The last failure of each."""
        return tuple(self._last.values())

    @property
    def is_due(self) -> bool:
        """Whether to look at the executors though no other task has failed: those who might have worked had their
        time to come.
        """
        return self._hopeless_since is not None and self._clock() - self._hopeless_since >= GRACE_SECONDS

    def _judge(self, executors: Sequence[Executor]) -> None:
        """Raises MxsparkError where the job is at fault: the only executor fails, most machines fail for one cause, or
        all fail.

        Where there may be others, which were asked for, or which another machine has, that has to be so for
        GRACE_SECONDS.
        """
        there = {executor.id for executor in executors}
        failing = [task for id_, task in self._last.items() if id_ in there]
        if failing and self._most == 1:
            if failing[0].failure.is_lasting or failing[0].attempt + 1 >= TRIES_ALONE:
                raise failing[0].failure.error
            return
        hopeless = self._hopeless(failing, executors)
        if not hopeless:
            self._hopeless_since = None
            return
        if self._hopeless_since is None:
            self._hopeless_since = self._clock()
        on_one_machine = len(_machines(hopeless)) == 1
        may_be_others = len(there) < self._most or (on_one_machine and len(failing) < self._most)
        if may_be_others and not self.is_due:
            return
        error = hopeless[-1].failure.error
        stops = MxsparkError(
            f"{error.problem}; {counted(len(hopeless), 'executor')} failed so: {places(hopeless)}", error.hint
        )
        stops.exit_code = error.exit_code
        raise stops

    def _hopeless(self, failing: Sequence[FailedTask], executors: Sequence[Executor]) -> Sequence[FailedTask]:
        """Those of the failing ones that show that the job is at fault, if it is. Of machines that work only their
        executors are known.
        """
        working = sum(
            executor.id not in self._last and executor.running + executor.completed > 0 for executor in executors
        )
        causes = Counter(cause for cause, _machine in {(task.failure.cause, task.failure.machine) for task in failing})
        cause, number = causes.most_common(1)[0] if causes else ("", 0)
        if number >= 2 and 2 * number > len(_machines(failing)) + working:
            return [task for task in failing if task.failure.cause == cause]
        is_alone = len(failing) == len(executors)
        return failing if not working and (len(failing) >= 2 or is_alone) else ()


def places(failing: Sequence[FailedTask]) -> str:
    """Where they failed, some of them by name."""
    return ", ".join(task.where for task in failing[:SHOWN]) + (" …" if len(failing) > SHOWN else "")


def _machines(failing: Iterable[FailedTask]) -> set[str]:
    return {task.failure.machine for task in failing}
