"""A container's log through connections that end: each line once, whatever stands in it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.submit.kubernetes import pod_log
from mxspark.submit.kubernetes.api_errors import ForbiddenError, MissingObjectError


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_log, "RECONNECT_SECONDS", 0.0)


class Connections:
    """Each gives some lines, or fails; after the last the container has ended."""

    def __init__(self, *given: tuple[str, ...] | MxsparkError) -> None:
        self._given = list(given)
        self.asked: list[int | None] = []

    def read(self, seconds: int | None) -> Iterator[str]:
        self.asked.append(seconds)
        given = self._given.pop(0)
        if isinstance(given, MxsparkError):
            raise given
        return iter(given)

    def is_running(self) -> bool:
        return bool(self._given)

    def lines(self) -> list[str]:
        return list(pod_log.follow(self.read, self.is_running, Event()))


ONE = "2026-11-23T07:00:00.000000001Z one"
TWO = "2026-11-23T07:00:00.00000001Z two"
THREE = "2026-11-23T09:00:01+02:00 three"


def test_lines_that_come_again_are_told_once() -> None:
    assert Connections((ONE, TWO), (ONE, TWO, THREE), (THREE,)).lines() == ["one", "two", "three"]


# What a program writes to its two streams at once: the second line was stamped first.
OUTPUT = "2026-11-23T07:00:02.000000009Z a line of its output"
ERROR = "2026-11-23T07:00:02.000000008Z a line of its errors"


def test_a_line_that_was_stamped_before_the_one_above_it_is_told() -> None:
    assert Connections((THREE, OUTPUT, ERROR)).lines() == ["three", "a line of its output", "a line of its errors"]


def test_it_is_told_once_too_and_after_a_new_connection() -> None:
    expected = ["three", "a line of its output", "a line of its errors"]
    assert Connections((THREE, OUTPUT, ERROR), (OUTPUT, ERROR)).lines() == expected
    assert Connections((THREE, OUTPUT), (THREE, OUTPUT, ERROR)).lines() == expected


def test_lines_with_the_same_words_are_all_told() -> None:
    assert Connections((ONE, ONE), (ONE, ONE, THREE)).lines() == ["one", "one", "three"]


def test_lines_are_in_order_whatever_the_node_s_time_zone_is() -> None:
    # Summer time ends between them.
    early, late = "2026-10-25T02:59:59.5+02:00 early", "2026-10-25T02:00:00.5+01:00 late"
    assert Connections((early,), (early, late)).lines() == ["early", "late"]


def test_a_second_connection_asks_for_what_came_since() -> None:
    connections = Connections((ONE,), (THREE,))
    connections.lines()
    first, second = connections.asked
    assert first is None
    assert second is not None
    assert second > pod_log.CLOCK_SECONDS


WATCHER = "failed to create fsnotify watcher: too many open files"


def test_the_kubelet_s_own_words_are_none_of_the_driver_s() -> None:
    assert Connections((ONE, WATCHER), (ONE, THREE)).lines() == ["one", "three"]


@pytest.mark.parametrize(
    "words", [WATCHER, "unable to retrieve container logs for containerd://6a1b", "rpc error: code = NotFound"]
)
def test_where_they_are_the_last_the_log_can_t_be_had(words: str) -> None:
    with pytest.raises(MxsparkError, match=f"its node can't provide the log: {words}"):
        Connections((words,)).lines()


def test_a_fault_that_passes_loses_nothing() -> None:
    assert Connections(PassingError("HTTP 500"), (ONE,), PassingError("HTTP 500"), (ONE, TWO)).lines() == ["one", "two"]


def test_a_kubelet_that_does_not_know_the_pod_for_a_moment_loses_nothing_and_repeats_nothing() -> None:
    gone = MissingObjectError("reading the log of pod digits-1: there is none")
    assert Connections((ONE,), gone, (ONE, TWO), UsageError("HTTP 400"), (ONE, TWO, THREE)).lines() == [
        "one",
        "two",
        "three",
    ]


def test_that_the_log_may_not_be_read_is_told_at_once() -> None:
    with pytest.raises(ForbiddenError, match="not allowed"):
        Connections(ForbiddenError("not allowed"), (ONE,)).lines()


def test_a_log_that_stays_out_of_reach_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_log, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(PassingError, match="HTTP 500"):
        Connections((ONE,), PassingError("HTTP 500"), (ONE,)).lines()


def test_where_the_pod_is_gone_with_its_log_the_error_is_told() -> None:
    with pytest.raises(MissingObjectError):
        Connections((ONE,), MissingObjectError("there is none")).lines()


def test_on_a_machine_whose_clock_is_late_a_second_connection_asks_for_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = f"{datetime.now(UTC) + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S}.000000001Z one"
    connections = Connections((ahead,), (ahead,))
    connections.lines()
    assert connections.asked[1] == pod_log.CLOCK_SECONDS


def test_between_two_connections_it_can_be_stopped() -> None:
    stop = Event()
    stop.set()
    assert list(pod_log.follow(Connections((ONE,), (TWO,)).read, lambda: True, stop)) == ["one"]
