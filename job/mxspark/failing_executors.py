"""Executors that can't work: tells one bad node, which the run goes on without, from a job that no node can do.

A node may have a wrong clock, no route, a broken disk or a damaged copy of the model. Its tasks fail then, Spark tries their shards
elsewhere and excludes the executor (spark.excludeOnFailure). Where most executors say the same, the job is at fault and the run stops.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mxspark.errors import MxsparkError
from mxspark.words import counted
from mxspark.worker import TaskError, TaskFailure

TRIES_ALONE = 2  # of a shard, on the only executor that a run has
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

    def __init__(self, most: int) -> None:
        """`most` is how many executors the run may have."""
        self._most = most
        self._seen: set[int] = set()
        self._last: dict[str, FailedTask] = {}
        self._completed: dict[str, int] = {}  # when the last failure of an executor was seen

    def update(self, failed: Iterable[FailedTask], executors: Sequence[Executor]) -> list[FailedTask]:
        """Takes what Spark knows by now; returns the first failure of each executor that was not failing before. Raises MxsparkError where
        the job is at fault."""
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

    def _judge(self, executors: Sequence[Executor]) -> None:
        """Raises MxsparkError where the job is at fault: the only executor fails, most fail for one cause, or all fail."""
        there = {executor.id for executor in executors}
        failing = [task for id_, task in self._last.items() if id_ in there]
        if not failing:
            return
        if self._most == 1:
            if failing[0].failure.is_lasting or failing[0].attempt + 1 >= TRIES_ALONE:
                raise failing[0].failure.error
            return
        if len({task.failure.machine for task in failing}) == 1 and len(failing) < self._most:
            return  # one node has several of them, and may be the first with any
        working = sum(executor.id not in self._last and executor.running + executor.completed > 0 for executor in executors)
        cause, number = Counter(task.failure.cause for task in failing).most_common(1)[0]
        if number >= 2 and 2 * number > len(failing) + working:
            failing = [task for task in failing if task.failure.cause == cause]
        elif working or len(failing) < 2:
            return
        error = failing[-1].failure.error
        shown = ", ".join(task.where for task in failing[:SHOWN]) + (" …" if len(failing) > SHOWN else "")
        stops = MxsparkError(f"{error.problem}; {counted(len(failing), 'executor')} failed so: {shown}", error.mend)
        stops.exit_code = error.exit_code
        raise stops


class JavasTasks:
    """What Spark's own store of statuses, which its pages show, knows of the tasks of the stage that runs."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._failed: dict[tuple[int, int], int] = {}  # how many tasks had failed when they were read last

    def failed(self) -> list[FailedTask]:
        """Those that failed for a cause on their machine; only where others have failed since the last call."""
        found = []
        tracker = self._context.statusTracker()
        for stage in tracker.getActiveStageIds():
            info = tracker.getStageInfo(stage)
            if info is None or info.numFailedTasks <= self._failed.get((stage, info.currentAttemptId), 0):
                continue
            self._failed[stage, info.currentAttemptId] = info.numFailedTasks
            found += self._read(stage, info.currentAttemptId, info.numFailedTasks)
        return found

    def _read(self, stage: int, attempt: int, number: int) -> list[FailedTask]:
        jvm = self._context._jvm
        api, states = jvm.org.apache.spark.status.api.v1, jvm.java.util.ArrayList()
        states.add(api.TaskStatus.FAILED)
        tasks = self._store().taskList(stage, attempt, 0, number, api.TaskSorting.ID, states)
        found = []
        for index in range(tasks.size()):
            task = tasks.apply(index)
            failure = TaskError.find(str(task.errorMessage()))
            if failure is not None and failure.cause:
                found.append(FailedTask(int(task.taskId()), int(task.attempt()), str(task.executorId()), failure))
        return found

    def executors(self) -> list[Executor]:
        found = self._store().executorList(True)
        executors = [found.apply(index) for index in range(found.size())]
        return [Executor(str(each.id()), int(each.activeTasks()), int(each.completedTasks())) for each in executors]

    def _store(self) -> Any:
        return self._context._jsc.sc().statusStore()
