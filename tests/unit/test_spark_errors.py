"""What ends a job of Spark's: the cause and the node in words, and a shard's own failures counted without those of
bad machines.
"""

import pytest

from mxspark.errors import MxsparkError, UsageError
from mxspark.spark.errors import translated
from mxspark.spark.failed_tasks import Failure, ShardTries
from mxspark.spark.failing_executors import FailedTask
from mxspark.worker.shard import TaskError, TaskFailure

CLOCK = TaskFailure(UsageError("the clock is wrong", "Set it."), "node a (pod x-exec-3)", "ClockError", is_lasting=True)
TOLD = str(TaskError(CLOCK))
REFUSED = str(TaskError(TaskFailure(MxsparkError("no such bucket", "Make it."), "node b (pod x-exec-4)")))
LOST = "Lost task 0.7 in stage 0.0 (TID 9) (10.0.0.3 executor 3): "
ABORTED = "Job aborted due to stage failure: "
CRASHED = "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)"
FAILING = (FailedTask(1, 0, "3", CLOCK),)


@pytest.mark.parametrize(
    ("text", "failing", "problem"),
    [
        (
            f"{ABORTED}Task 0 in stage 0.0 failed 26 times, most recent failure: {LOST}{TOLD}",
            (),
            "the clock is wrong; a shard failed 26 times, last on node a (pod x-exec-3)",
        ),
        (
            f"{ABORTED}Task 0 in stage 0.0 failed 8 times, most recent failure: {LOST}{CRASHED}",
            FAILING,
            "a worker's process crashed or was killed, 8 times at one shard, last on executor 3 (10.0.0.3) "
            "(unusable: executor 3 on node a (pod x-exec-3): the clock is wrong)",
        ),
        (
            f"{ABORTED}Task 0 in stage 0.0 failed 8 times, most recent failure: {LOST}java.io.IOException: no disk\n"
            "stack",
            (),
            "a shard failed 8 times, last on executor 3 (10.0.0.3), last error: java.io.IOException: no disk",
        ),
        (
            f"{ABORTED}cannot run anywhere due to node and executor excludeOnFailure. Most recent failure: "
            f"{LOST}{TOLD}",
            (),
            "the clock is wrong; all executors failed too often and are excluded, last on node a (pod x-exec-3)",
        ),
        (
            f"{ABORTED}cannot run anywhere due to node and executor excludeOnFailure.",
            FAILING,
            "the clock is wrong; all executors failed too often and are excluded: executor 3 on node a (pod x-exec-3)",
        ),
        (
            "Job 0 cancelled because SparkContext was shut down",
            FAILING,
            "Spark ended the application: too many executor failures "
            "(unusable: executor 3 on node a (pod x-exec-3): the clock is wrong)",
        ),
    ],
)
def test_what_ended_the_job_names_the_nodes_and_the_cause(
    text: str, failing: tuple[FailedTask, ...], problem: str
) -> None:
    told = translated(Exception(text), failing)

    assert told.problem == problem
    assert told.exit_code == (2 if "the clock is wrong;" in problem else 1)


def tasks(text: str, number: int, shard: int = 0, first: int = 0) -> list[Failure]:
    return [Failure(first + each, shard, each, "3", text) for each in range(number)]


def test_a_shard_is_given_up_after_its_own_failures_however_many_are_of_bad_machines() -> None:
    tries = ShardTries(8)
    tries.update(tasks(TOLD, 40))
    tries.update(tasks(CRASHED, 7, first=40))
    tries.update(tasks(CRASHED, 7, first=40))  # read once more
    tries.update(tasks(CRASHED, 7, shard=1, first=50))
    tries.update(
        tasks(
            "ExecutorLostFailure (executor 3 exited unrelated to the running tasks) Reason: its node went", 9, first=60
        )
    )

    with pytest.raises(
        MxsparkError, match="a worker's process crashed or was killed, 8 times at one shard, last on executor 3"
    ):
        tries.update(tasks(CRASHED, 1, first=80))


def test_what_the_job_is_to_blame_for_counts_too() -> None:
    with pytest.raises(MxsparkError, match=r"no such bucket; a shard failed 2 times, last on node b \(pod x-exec-4\)"):
        ShardTries(2).update(tasks(REFUSED, 2))


KILLED = (
    "ExecutorLostFailure (executor 3 exited caused by one of the running tasks) Reason: exit code 137 (SIGKILL, "
    "possible container OOM)"
)


def killed(node: str, number: int, first: int = 0) -> list[Failure]:
    return [Failure(first + each, 0, each, "3", KILLED, node) for each in range(number)]


def test_one_node_that_kills_its_pods_ends_no_run() -> None:
    tries = ShardTries(8)
    tries.update(killed("bad", 90))
    tries.update(killed("bad", 1, first=90) + killed("good", 1, first=91))


@pytest.mark.parametrize("last", [killed("good", 1, first=93), tasks(CRASHED, 1, first=93)])
def test_a_shard_that_kills_executors_on_two_nodes_is_given_up(last: list[Failure]) -> None:
    tries = ShardTries(8)
    tries.update(killed("bad", 90) + killed("good", 3, first=90))

    with pytest.raises(MxsparkError, match="8 times"):
        tries.update(last)


def test_the_only_node_of_a_run_uses_up_all_tries() -> None:
    with pytest.raises(MxsparkError, match="a shard failed 8 times"):
        ShardTries(8).update(killed("", 8))
