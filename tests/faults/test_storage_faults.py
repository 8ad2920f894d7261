"""The S3 store on a bad way: faults that pass are survived, those that stay are told within the limits that the
settings give.
"""

import io
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from examples.s3 import Server
from tests.conftest import BUCKET, put
from tests.faults.s3_faults import SLOW_DOWN
from tests.faults.toxiproxy import Toxic
from tests.faults.way import WAY_FAULTS, Way, passing
from tests.shared import once

from mxspark.settings.job import StorageSettings
from mxspark.storage import Access, Credentials, DeniedError, StorageError, Store, open_store

FAULT_SECONDS = 1.0
# What takes longer hangs: a fault that stays takes two tries, each of half a second and more, and the waits between
# them.
LIMIT_SECONDS = 60.0
# Longer than a part of a listing that is asked for at a time.
LISTED = 1100
ODD = "odd\u2003data"
DATA = bytes(range(256)) * 200


@pytest.fixture(scope="session")  # so that these tests, which wait, run side by side
def filled(s3_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A place with objects: `data`, one that only boto3 can name, and many to be listed."""
    prefix = f"faults/{uuid4().hex[:8]}"

    def fill() -> str:
        put(s3_server, {f"{prefix}/many/{number:04d}": b"" for number in range(LISTED)} | {f"{prefix}/data": DATA})
        s3_server.client().put_object(Bucket=BUCKET, Key=f"{prefix}/{ODD}", Body=DATA)
        return f"s3://{BUCKET}/{prefix}"

    return once(tmp_path_factory, "storage-faults", fill)


def store_at(url: str, server: Server, place: str, **settings: Any) -> Store:
    """A store whose single requests may take half a second."""
    limits = {"connect_timeout": 0.5, "read_timeout": 0.5, **settings}
    return open_store(
        place, Access(StorageSettings(endpoint_url=url, **limits), Credentials(server.access_key, server.secret_key))
    )


EXPECTED = {
    "reading": DATA,
    "reading what only boto3 can name": DATA,
    "reading the end": DATA[-1000:],
    "downloading": DATA,
    "listing": LISTED,
    "looking for one": True,
    "checking for writing": None,
    "writing": None,
    "uploading": None,
    "deleting": None,
}


def actions(store: Store, folder: Path) -> dict[str, Callable[[], Any]]:
    """All that stores do, by the names of `EXPECTED`."""
    file, target = folder / "file", io.BytesIO()
    file.write_bytes(DATA)

    def download() -> bytes:
        store.download("data", target)
        return target.getvalue()

    return {
        "reading": lambda: store.read("data"),
        "reading what only boto3 can name": lambda: store.read(ODD),
        "reading the end": lambda: store.read_tail("data", 1000),
        "downloading": download,
        "listing": lambda: len(list(store.keys("many/"))),
        "looking for one": lambda: store.has("data"),
        "checking for writing": store.check_writable,
        "writing": lambda: store.write("written", DATA),
        "uploading": lambda: store.upload("uploaded", file),
        "deleting": lambda: store.delete("not-there"),
    }


def outcomes(actions: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """What each action returned or raised, all done at the same time; a TimeoutError where one hangs, instead of
    hanging with it.
    """
    futures = {name: _started(action) for name, action in actions.items()}
    deadline = time.monotonic() + LIMIT_SECONDS
    wait(futures.values(), LIMIT_SECONDS)
    return {name: _outcome(future, max(0.0, deadline - time.monotonic())) for name, future in futures.items()}


def _started(action: Callable[[], Any]) -> "Future[Any]":
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _outcome(future: "Future[Any]", seconds: float) -> Any:
    try:
        return future.result(seconds)
    except BaseException as error:  # noqa: BLE001
        return error


@pytest.mark.parametrize("fault", WAY_FAULTS)
def test_a_fault_that_passes_is_survived(fault: str, way: Way, s3_server: Server, filled: str, tmp_path: Path) -> None:
    store = store_at(way.url, s3_server, filled, retries=20)
    with passing(WAY_FAULTS[fault](way), FAULT_SECONDS):
        found = outcomes(actions(store, tmp_path))
    wrong = [name for name in found if found[name] != EXPECTED[name]]
    assert not wrong, _told(wrong, found)
    straight = store_at(s3_server.endpoint_url, s3_server, filled)
    assert straight.read("written") == straight.read("uploaded") == DATA


@pytest.mark.parametrize("fault", WAY_FAULTS)
def test_a_fault_that_stays_is_told_and_nothing_hangs(
    fault: str, way: Way, s3_server: Server, filled: str, tmp_path: Path
) -> None:
    store = store_at(way.url, s3_server, filled, retries=1)
    with WAY_FAULTS[fault](way):
        found = outcomes(actions(store, tmp_path))
    assert isinstance(found["reading"], StorageError)
    # Some of what takes a few bytes only may have come through.
    wrong = [name for name in found if not (found[name] == EXPECTED[name] or _is_told(found[name], s3_server))]
    if fault == "answers that trickle" and "reading what only boto3 can name" in wrong:
        # its headers come in time, a few bytes at a time: a worker's watchdog ends that
        wrong.remove("reading what only boto3 can name")
    assert not wrong, _told(wrong, found)


def _told(names: Iterable[str], found: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {found[name]!r:.300}" for name in names)


def _is_told(outcome: Any, server: Server) -> bool:
    """Whether it is an error that names the place and tells no secret."""
    return isinstance(outcome, StorageError) and BUCKET in str(outcome) and server.secret_key not in str(outcome)


def test_credentials_that_stay_expired_are_told_as_that(way: Way, s3_server: Server, filled: str) -> None:
    with WAY_FAULTS["400 ExpiredToken"](way), pytest.raises(DeniedError, match="expired"):
        store_at(way.url, s3_server, filled, retries=1).read("data")


def test_with_half_of_the_connections_reset_all_of_many_reads_come(way: Way, s3_server: Server, filled: str) -> None:
    store = store_at(way.url, s3_server, filled, retries=20)
    with way.proxy.poisoned(Toxic("reset_peer", {"timeout": 0}, toxicity=0.5)), ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: store.read("data"), range(100))) == {DATA}


def test_with_a_third_of_the_requests_refused_all_of_many_reads_come(way: Way, s3_server: Server, filled: str) -> None:
    store = store_at(way.url, s3_server, filled, retries=20)
    with way.front.refusing(SLOW_DOWN, share=0.3), ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: store.read("data"), range(50))) == {DATA}
    assert way.front.refused["SlowDown"] > 0
