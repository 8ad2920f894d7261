"""A driver whose storage or credentials aren't there yet: in a pod it waits and says so, on a laptop it tells soon.

It ends with exit code 1, so that it is started again; on a laptop missing credentials are wrong usage.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.storage.conftest import access_to
from tests.storage.scripted import Scripted, error, scripted

from mxspark.errors import MxsparkError, UsageError
from mxspark.run import driver
from mxspark.run.progress import Silent
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings
from mxspark.storage.retry import LONGEST_WAIT

RETRY_SECONDS = 90.0
PLACES = {
    "input": "s3://bucket/photos/",
    "manifest": "s3://bucket/list.txt",
    "output": "s3://bucket/table",
    "model": "s3://bucket/net",
    "model on the web": "http://127.0.0.1:{port}/net-symbol.json",
}


class Waits:
    """Time that passes by waiting alone; after `late` seconds the server comes up."""

    def __init__(self, stack: ExitStack, port: socket.socket, late: float) -> None:
        self.seconds = 0.0
        self.told = Told()
        self.server: Scripted | None = None
        self._stack = stack
        self._port = port
        self._late = late

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds >= self._late and self.server is None:
            number = self._port.getsockname()[1]
            self._port.close()
            self.server = self._stack.enter_context(scripted(error(404, "NoSuchBucket"), port=number))


class Told(Silent):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, what: str) -> None:
        self.notes.append(what)


def run(
    place: str, port: socket.socket, folder: Path, monkeypatch: pytest.MonkeyPatch, late: float
) -> tuple[MxsparkError, Waits]:
    """How a run ends of which this place is on the server."""
    (folder / "images").mkdir()
    (folder / "images" / "1.png").touch()
    for name in ("net-symbol.json", "net.params"):
        (folder / name).write_text("{}")
    number = port.getsockname()[1]
    location = PLACES[place].format(port=number)
    files = ModelSettings(symbol=str(folder / "net-symbol.json"), params=str(folder / "net.params"))
    settings = Settings(
        input=InputSettings(path=location if place in ("input", "manifest") else str(folder / "images")),
        output=OutputSettings(path=location if place == "output" else str(folder / "table")),
        model=ModelSettings(path=location)
        if place == "model"
        else files.model_copy(update={"symbol": location} if "web" in place else {}),
    )
    with ExitStack() as stack:
        waits = Waits(stack, port, late)
        monkeypatch.setattr("time.sleep", waits.sleep)
        monkeypatch.setattr("time.monotonic", lambda: waits.seconds)
        with pytest.raises(MxsparkError) as caught:
            driver.run(
                settings, access_to(f"http://127.0.0.1:{number}", retries=8, retry_seconds=RETRY_SECONDS), waits.told
            )
    assert not (folder / "table").exists()
    return caught.value, waits


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """Where nobody listens, and nobody else will before the server comes up there."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved


@pytest.fixture(params=["KUBERNETES_SERVICE_HOST", "POD_NAME"])
def pod(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment as pods have it."""
    monkeypatch.setenv(request.param, "10.0.0.1")


@pytest.mark.parametrize("place", PLACES)
def test_in_a_pod_storage_that_comes_up_late_is_waited_for(
    place: str, pod: None, port: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, waits = run(place, port, tmp_path, monkeypatch, late=60)

    assert waits.server is not None
    assert waits.server.requests
    assert isinstance(told, UsageError), "by now the server says what can't pass"
    assert "NoSuchBucket" in told.problem


@pytest.mark.parametrize("place", PLACES)
def test_in_a_pod_storage_that_never_comes_ends_the_driver_so_that_it_is_started_again(
    place: str, pod: None, port: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, waits = run(place, port, tmp_path, monkeypatch, late=1e9)

    assert told.exit_code == 1
    assert "onnect" in told.problem
    assert RETRY_SECONDS - LONGEST_WAIT <= waits.seconds <= RETRY_SECONDS
    waiting = [note for note in waits.told.notes if note.startswith("Waiting for ")]
    assert 2 <= len(waiting) <= 4
    assert "onnect" in waiting[0]
    assert "s more" in waiting[0]


def without_keys(late: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MxsparkError, float]:
    """How a run ends, and after how long, whose credentials come after `late` seconds to a server that knows no
    bucket.
    """
    seconds = 0.0

    def sleep(wait: float) -> None:
        nonlocal seconds
        seconds += wait
        if seconds >= late:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: seconds)
    settings = Settings(
        input=InputSettings(path=str(folder)),
        output=OutputSettings(path=str(folder / "table")),
        model=ModelSettings(path="s3://bucket/net"),
    )
    with scripted(error(404, "NoSuchBucket")) as server, pytest.raises(MxsparkError) as caught:
        driver.run(settings, access_to(server.url, None, retries=8, retry_seconds=RETRY_SECONDS), Silent())
    return caught.value, seconds


def test_in_a_pod_credentials_that_come_late_are_waited_for(
    pod: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, _ = without_keys(60, tmp_path, monkeypatch)

    assert "NoSuchBucket" in told.problem


def test_in_a_pod_without_credentials_the_driver_ends_so_that_it_is_started_again(
    pod: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, seconds = without_keys(1e9, tmp_path, monkeypatch)

    assert "no AWS credentials found" in told.problem
    assert told.exit_code == 1
    assert seconds >= RETRY_SECONDS - LONGEST_WAIT


def test_on_a_laptop_missing_credentials_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, seconds = without_keys(1e9, tmp_path, monkeypatch)

    assert told.exit_code == 2
    assert "AWS_PROFILE" in told.hint
    assert seconds == 0


@pytest.mark.parametrize("place", [place for place in PLACES if "web" not in place])
def test_on_a_laptop_a_wrong_endpoint_is_told_within_seconds(
    place: str, port: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, waits = run(place, port, tmp_path, monkeypatch, late=1e9)

    assert told.exit_code == 1
    assert f"127.0.0.1:{port.getsockname()[1]}" in told.problem
    assert waits.seconds < 10
