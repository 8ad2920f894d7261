"""Which failures are a node's, and which are the job's."""

from itertools import count

import pytest

from mxspark.errors import MxsparkError, UsageError
from mxspark.spark.failing_executors import GRACE_SECONDS, Executor, FailedTask, FailingExecutors
from mxspark.worker.shard import TaskFailure

_ids = count()


def failed(
    executor: str, cause: str = "clock", attempt: int = 0, is_lasting: bool = False, node: str = ""
) -> FailedTask:
    error = UsageError(f"trouble with the {cause}", "Mend it.")
    return FailedTask(next(_ids), attempt, executor, TaskFailure(error, node or f"node n{executor}", cause, is_lasting))


def working(*ids: str, completed: int = 0) -> list[Executor]:
    return [Executor(id_, 1, completed) for id_ in ids]


def test_one_bad_node_is_told_once_and_stops_nothing() -> None:
    executors = FailingExecutors(3)

    assert [task.where for task in executors.update([failed("2")], working("1", "2", "3"))] == ["executor 2 on node n2"]
    assert executors.update([failed("2"), failed("2")], working("1", "2", "3")) == []
    assert [task.executor for task in executors.failing] == ["2"]


def test_the_run_stops_when_most_executors_say_the_same_and_names_their_nodes() -> None:
    executors = FailingExecutors(4)
    there = working("1", "2", "3", "4")
    executors.update([failed("1"), failed("2")], there)

    with pytest.raises(MxsparkError) as stopped:
        executors.update([failed("3")], there)

    assert "trouble with the clock" in stopped.value.problem
    assert (
        "3 executors failed so: executor 1 on node n1, executor 2 on node n2, executor 3 on node n3"
        in stopped.value.problem
    )
    assert (stopped.value.hint, stopped.value.exit_code) == ("Mend it.", 2)


def test_executors_with_troubles_of_their_own_leave_the_run_to_the_others() -> None:
    executors = FailingExecutors(3)

    executors.update([failed("1", "clock"), failed("2", "no_space")], working("1", "2", "3"))

    with pytest.raises(MxsparkError, match="3 executors failed so"):
        executors.update([failed("3", "connection")], working("1", "2", "3"))


def test_who_completes_a_task_after_a_failure_works() -> None:
    executors = FailingExecutors(2)
    executors.update([failed("1")], working("1", "2"))

    executors.update([failed("2")], [Executor("1", 1, 1), Executor("2", 1, 0)])

    assert [task.executor for task in executors.failing] == ["2"]


def test_those_that_are_gone_or_do_nothing_say_nothing() -> None:
    executors = FailingExecutors(3)
    executors.update([failed("1")], working("1", "2"))

    executors.update([failed("2")], [*working("2"), Executor("3", 0, 0)])
    assert [task.executor for task in executors.failing] == ["1", "2"], "told in the summary"

    with pytest.raises(MxsparkError, match="2 executors failed so"):
        executors.update([failed("4")], [*working("2", "4"), Executor("3", 0, 0)])


@pytest.mark.parametrize(("attempt", "is_lasting"), [(0, True), (1, False)])
def test_the_only_executor_stops_the_run_in_its_own_words(attempt: int, is_lasting: bool) -> None:
    executors = FailingExecutors(1)
    executors.update([failed("driver")], working("driver"))

    with pytest.raises(UsageError) as stopped:
        executors.update([failed("driver", attempt=attempt, is_lasting=is_lasting)], working("driver"))

    assert stopped.value.problem == "trouble with the clock"


class Clock:
    """A time that only passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("bad", [("1",), ("1", "2"), ("1", "2", "3")])
def test_bad_ones_that_are_there_first_stop_nothing_while_the_others_may_come(bad: tuple[str, ...]) -> None:
    clock = Clock()
    executors = FailingExecutors(10, clock)
    executors.update([failed(id_, is_lasting=True) for id_ in bad], working(*bad))
    clock.now = GRACE_SECONDS - 1
    executors.update([failed(id_, attempt=1) for id_ in bad], working(*bad))

    clock.now += 1
    executors.update([], working(*bad, "4", "5", "6", "7"))

    assert not executors.is_due
    clock.now += 1000
    executors.update([failed("1", attempt=2)], working(*bad, "4", "5", "6", "7"))


@pytest.mark.parametrize(("bad", "node"), [(("1",), ""), (("1", "2"), ""), (("1", "2", "3"), "node a")])
def test_where_no_others_come_those_that_fail_stop_the_run_soon(bad: tuple[str, ...], node: str) -> None:
    clock = Clock()
    executors = FailingExecutors(10, clock)
    executors.update([failed(id_, node=node) for id_ in bad], working(*bad))
    assert not executors.is_due

    clock.now += GRACE_SECONDS

    assert executors.is_due, "without another task that fails"
    with pytest.raises(MxsparkError, match=rf"{len(bad)} executors? failed so: executor 1"):
        executors.update([], working(*bad))


def test_few_bad_nodes_with_many_executors_each_are_few_all_the_same() -> None:
    executors = FailingExecutors(11)
    bad = [failed(str(number), node=f"node {number % 2} (pod {number})") for number in range(8)]

    executors.update(bad, working(*map(str, range(11))))

    assert len(executors.failing) == 8


def test_several_executors_of_one_node_that_are_there_first_stop_nothing_but_all_do() -> None:
    executors = FailingExecutors(3)
    first = [failed(id_, node=f"node a (pod {id_})") for id_ in ("1", "2")]

    assert executors.update(first, working("1", "2")) == first

    with pytest.raises(MxsparkError, match="3 executors failed so"):
        executors.update([failed("3", node="node a (pod 3)")], working("1", "2", "3"))
