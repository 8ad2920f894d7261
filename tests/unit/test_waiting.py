"""A cluster that gives no executors: the driver says so, for Spark would wait without a word."""

import time
from typing import Any

import pytest

from mxspark.run import executor_watch
from mxspark.run.progress import Silent
from mxspark.settings.job import SparkSettings


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


class Application:
    """So many executors."""

    def __init__(self, executors: int | None, is_kubernetes: bool = True) -> None:
        self.executors = executors
        self.most_executors = 3
        self.is_kubernetes = is_kubernetes


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, what: str) -> None:
        self.told.append(what)


def told(monkeypatch: pytest.MonkeyPatch, application: Any, seconds: int) -> list[str]:
    """What is said within so many seconds, of which each is a moment of waiting."""
    clock, notes = Clock(monkeypatch), Notes()
    watch = executor_watch.ExecutorWatch(
        application, SparkSettings(master="k8s://https://host", app_name="photos", executors=3), notes
    )
    for _ in range(seconds):
        clock.now += 1
        watch.check()
    return notes.told


def test_it_is_said_once_a_minute_with_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = told(monkeypatch, Application(0), 130)

    assert first.startswith("No executors after 60 s (0 of 3 running): `kubectl describe pods -l ")
    assert "app.kubernetes.io/instance=photos,app.kubernetes.io/component=executor" in first
    assert "after 120 s" in second


def test_on_another_cluster_it_names_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    (only,) = told(monkeypatch, Application(0, is_kubernetes=False), 70)

    assert "kubectl" not in only
    assert "master" in only


@pytest.mark.parametrize("executors", [1, None], ids=["there is one", "workers of this machine"])
def test_nothing_is_said_where_there_are_some_or_none_are_needed(
    monkeypatch: pytest.MonkeyPatch, executors: int | None
) -> None:
    assert told(monkeypatch, Application(executors), 200) == []
