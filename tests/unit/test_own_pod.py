"""A driver that says in its own pod how far it is; Kubernetes itself is asked in tests/kubernetes."""

from threading import Event

import pytest

from mxspark.run import own_pod
from mxspark.run.own_pod import ApiError, OwnPod
from mxspark.run.progress import Progress
from mxspark.spark.pods import DriverPod

POD = DriverPod("digits-1", "10.0.0.1", "vision")


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_pod, "PAUSE_SECONDS", 0.0)


def test_what_a_run_tells_gets_to_its_pod_though_a_request_fails() -> None:
    written: list[Progress] = []
    arrived = Event()

    def write(pod: DriverPod, progress: Progress) -> None:
        assert pod == POD
        written.append(progress)
        if len(written) == 1:
            raise OSError("connection refused")
        if progress.images == 4:
            arrived.set()

    with OwnPod(POD, pytest.fail, write) as telling:
        telling.step("Starting Spark")
        telling.note("Running on cpu(0)")
        telling.planned(keys=9, done=0, shards=2)
        while not written:  # so that something is told after the request that fails
            arrived.wait(0.01)
        telling.done(images=4, failed=1, shards=1)
        assert arrived.wait(60)

    assert (written[-1].step, written[-1].notes, written[-1].failed) == ("Predicting", ("Running on cpu(0)",), 1)


def test_without_the_right_it_is_said_once_and_the_run_goes_on() -> None:
    warnings: list[str] = []
    warned = Event()
    asked: list[Progress] = []

    def refuse(_pod: DriverPod, progress: Progress) -> None:
        asked.append(progress)
        raise ApiError("HTTP 403 Forbidden", is_refusal=True)

    def warn(words: str) -> None:
        warnings.append(words)
        warned.set()

    with OwnPod(POD, warn, refuse) as telling:
        telling.step("Starting Spark")
        assert warned.wait(60)
        telling.step("Predicting")

    assert len(asked) == len(warnings) == 1
    assert "HTTP 403 Forbidden for patching pod digits-1" in warnings[0]


def test_outside_of_a_pod_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert own_pod.from_environment() is None
