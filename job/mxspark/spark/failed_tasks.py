"""Tasks that failed, as Spark's own store of statuses knows them, which its pages show."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mxspark.spark import errors
from mxspark.spark.failing_executors import Executor, FailedTask
from mxspark.worker.shard import TaskError, TaskFailure

OVERLAP = 50  # tasks that are read once more: Spark learns of several at a time
NOT_ITS_FAULT = "unrelated to the running tasks"  # Spark's words of executors that went for a reason of their own


@dataclass(frozen=True)
class Failure:
    """One of them, in Spark's words."""

    id: int
    shard: int
    attempt: int  # from 0
    executor: str
    text: str

    @cached_property
    def told(self) -> TaskFailure | None:
        """What the worker reported."""
        return TaskError.find(self.text)

    @property
    def of_machine(self) -> FailedTask | None:
        """The same where its machine may have it on its own."""
        return FailedTask(self.id, self.attempt, self.executor, self.told) if self.told and self.told.cause else None


class ShardTries:
    """How often shards failed that no machine is known to be at fault for: a worker that dies, memory, a mistake.

    Spark counts the failures of bad machines too, and so has to be allowed many more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[int] = set()
        self._failed: Counter[int] = Counter()

    def update(self, failures: Iterable[Failure]) -> None:
        """Raises MxsparkError where a shard has failed `most` times."""
        for failure in failures:
            if failure.of_machine or NOT_ITS_FAULT in failure.text or failure.id in self._seen:
                continue
            self._seen.add(failure.id)
            self._failed[failure.shard] += 1
            if self._failed[failure.shard] >= self._most:
                raise errors.given_up(failure.text, self._most, executor=failure.executor)


class JavasTasks:
    """Asks Java."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._failed: dict[tuple[int, int], int] = {}  # how many tasks had failed when they were read last

    def failed(self) -> list[Failure]:
        """Those that failed since the last call, and perhaps some of before."""
        found = []
        tracker = self._context.statusTracker()
        for stage in tracker.getActiveStageIds():
            info = tracker.getStageInfo(stage)
            before = self._failed.get((stage, info.currentAttemptId), 0) if info else 0
            if info is None or info.numFailedTasks <= before:
                continue
            self._failed[stage, info.currentAttemptId] = info.numFailedTasks
            found += self._read(stage, info.currentAttemptId, info.numFailedTasks - before + OVERLAP)
        return found

    def _read(self, stage: int, attempt: int, number: int) -> list[Failure]:
        """The last ones: a bad machine may fail ten thousand shards."""
        jvm = self._context._jvm
        states = jvm.java.util.ArrayList()
        states.add(jvm.org.apache.spark.status.api.v1.TaskStatus.FAILED)
        by_end = jvm.scala.Option.apply(jvm.org.apache.spark.status.TaskIndexNames.COMPLETION_TIME())
        tasks = self._store().taskList(stage, attempt, 0, number, by_end, False, states)
        return [_failure(tasks.apply(index)) for index in reversed(range(tasks.size()))]

    def executors(self) -> list[Executor]:
        found = self._store().executorList(True)
        executors = [found.apply(index) for index in range(found.size())]
        return [Executor(str(each.id()), int(each.activeTasks()), int(each.completedTasks())) for each in executors]

    def _store(self) -> Any:
        return self._context._jsc.sc().statusStore()


def _failure(task: Any) -> Failure:
    return Failure(int(task.taskId()), int(task.index()), int(task.attempt()), str(task.executorId()), str(task.errorMessage()))
