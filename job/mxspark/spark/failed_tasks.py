"""Tasks that failed, as Spark's own store of statuses knows them, which its pages show."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mxspark.spark import errors
from mxspark.spark.failing_executors import Executor, FailedTask
from mxspark.spark.pods import NODE_ATTRIBUTE
from mxspark.worker.shard import TaskError, TaskFailure

OVERLAP = 50  # tasks that are read once more: Spark learns of several at a time
# Spark's words of executors that are gone, and of those that went for a reason of their own.
EXECUTOR_LOST, NOT_ITS_FAULT = "ExecutorLostFailure (", "unrelated to the running tasks"


@dataclass(frozen=True)
class Failure:
    """One of them, in Spark's words."""

    id: int
    shard: int
    attempt: int  # from 0
    executor: str
    text: str
    lost_on: str = ""  # the node that its executor died on, where the run has executors on others too

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

    Spark counts the failures of bad machines too, and so has to be allowed many more. An executor that dies without a
    word may have run out of memory, or its node may kill whatever it runs: so one node alone uses up no more than half
    of a shard's tries. The other half takes another node, which the shard comes to when that one has nothing else to
    do.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_on_a_node = -(-most // 2)
        self._seen: set[int] = set()
        self._failed: Counter[int] = Counter()
        self._lost: Counter[tuple[int, str]] = Counter()

    def update(self, failures: Iterable[Failure]) -> None:
        """Raises MxsparkError where a shard has failed `most` times."""
        for failure in failures:
            if failure.of_machine or NOT_ITS_FAULT in failure.text or failure.id in self._seen:
                continue
            self._seen.add(failure.id)
            if failure.lost_on:
                self._lost[failure.shard, failure.lost_on] += 1
                if self._lost[failure.shard, failure.lost_on] > self._most_on_a_node:
                    continue
            self._failed[failure.shard] += 1
            if self._failed[failure.shard] >= self._most:
                raise errors.given_up(failure.text, self._most, executor=failure.executor)


class JavasTasks:
    """Asks Java."""

    def __init__(self, context: Any, group: str) -> None:
        self._context = context
        self._group = group  # of jobs: a session may run others at the same time
        self._failed: dict[tuple[int, int], int] = {}  # how many tasks had failed when they were read last

    def failed(self) -> list[Failure]:
        """Those that failed since the last call, and perhaps some of before."""
        found = []
        tracker = self._context.statusTracker()
        jobs = filter(None, map(tracker.getJobInfo, tracker.getJobIdsForGroup(self._group)))
        active = set(tracker.getActiveStageIds())
        for stage in [stage for job in jobs for stage in job.stageIds if stage in active]:
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
        failures = [_failure(tasks.apply(index)) for index in reversed(range(tasks.size()))]
        lost = {failure.executor for failure in failures if failure.text.startswith(EXECUTOR_LOST)}
        nodes = {executor: self._only_there(executor) for executor in lost}
        return [replace(failure, lost_on=nodes.get(failure.executor, "")) for failure in failures]

    def _only_there(self, executor: str) -> str:
        """The node of an executor that is gone; empty where no other executor is on another node."""
        try:
            node = _node(self._store().executorSummary(executor))
            found = self._store().executorList(True)
            # There may be a thousand executors: stop at the first on another node.
            others = (found.apply(index) for index in range(found.size()))
            return node if any(str(other.id()) != "driver" and _node(other) != node for other in others) else ""
        except Exception:  # noqa: BLE001  # of executors that are gone Spark keeps the last hundred; without the node all counts
            return ""

    def executors(self) -> list[Executor]:
        found = self._store().executorList(True)
        executors = [found.apply(index) for index in range(found.size())]
        return [Executor(str(each.id()), int(each.activeTasks()), int(each.completedTasks())) for each in executors]

    def _store(self) -> Any:
        return self._context._jsc.sc().statusStore()


def _failure(task: Any) -> Failure:
    return Failure(
        int(task.taskId()), int(task.index()), int(task.attempt()), str(task.executorId()), str(task.errorMessage())
    )


def _node(executor: Any) -> str:
    """Where an executor is, or was: for Spark a pod is a host of its own, and so pods name their nodes."""
    node = executor.attributes().get(NODE_ATTRIBUTE)
    return str(node.get()) if node.isDefined() else str(executor.hostPort()).rpartition(":")[0]
