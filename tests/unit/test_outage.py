"""Outages: a storage that is gone or closed stops the run; images that are, however many, do not."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from mxspark.storage import CredentialsError, DeniedError, MissingError, StorageError, TooLargeError
from mxspark.worker.outage import SUSPICIOUS, OutageError, OutageGuard

SAMPLES = tuple(f"sample {number}.png" for number in range(8))
ERRORS = {
    "denied": DeniedError("access denied", "Give these credentials the right to do this."),
    "silent": StorageError("no answer", "Check the network."),
    "missing": MissingError("there is no such object"),
    "unsigned": CredentialsError("can't get credentials", cause="credentials"),
    "large": TooLargeError("more bytes than allowed"),
}


class Storage:
    """Images whose keys say what is wrong with them; `closed` is what it says to all others. Counts what it is
    asked.
    """

    def __init__(self, closed: str | None = None) -> None:
        self.closed = closed
        self.fetched: Counter[str] = Counter()
        self.probed: Counter[str] = Counter()

    def _get(self, key: str) -> bytes:
        wrong = next((name for name in ERRORS if key.startswith(name)), self.closed)
        if wrong is not None:
            raise ERRORS[wrong]
        return key.encode()

    def fetch(self, key: str) -> bytes:
        self.fetched[key] += 1
        return self._get(key)

    def probe(self, key: str) -> bytes:
        self.probed[key] += 1
        return self._get(key)


def guard_of(storage: Storage) -> OutageGuard:
    return OutageGuard(storage.fetch, storage.probe, SAMPLES, "s3://bucket/photos", lambda: None)


def fetch_all(guard: OutageGuard, kind: str, number: int) -> None:
    """That many images that can't be fetched, each a row and no more."""
    for index in range(number):
        with pytest.raises(StorageError):
            guard.fetch(f"{kind} {index}.png")


# ---- outages ----


@pytest.mark.parametrize("closed", ["denied", "silent"])
def test_a_storage_that_is_closed_to_all_is_an_outage_as_soon_as_it_looks_like_one(closed: str) -> None:
    storage = Storage(closed)
    guard = guard_of(storage)
    fetch_all(guard, "any", SUSPICIOUS - 1)
    assert not storage.probed

    with pytest.raises(OutageError) as outage:
        guard.fetch("the last straw.png")

    assert storage.probed == Counter(SAMPLES)
    assert outage.value.problem == (
        f"s3://bucket/photos: no image can be fetched, none of 8 tried all over the input: {ERRORS[closed].problem}"
    )
    assert outage.value.hint == f"{ERRORS[closed].hint} The same command resumes where this run stopped."


def test_missing_credentials_say_nothing_of_the_storage() -> None:
    storage = Storage()
    guard = guard_of(storage)
    fetch_all(guard, "unsigned", 2 * SUSPICIOUS)
    guard.settle()
    assert not storage.probed


def test_a_storage_that_closes_later_is_an_outage_then() -> None:
    storage = Storage()
    guard = guard_of(storage)
    for index in range(100):
        assert guard.fetch(f"{index}.png") == f"{index}.png".encode()
    storage.closed = "denied"
    fetch_all(guard, "any", SUSPICIOUS - 1)

    with pytest.raises(OutageError):
        guard.fetch("the last straw.png")


def test_threads_that_meet_an_outage_together_all_stop_and_look_into_it_once() -> None:
    """Looking into it takes as long as the storage is asked in vain, and they wait for each other."""
    storage = Storage("silent")
    together = threading.Barrier(2 * SUSPICIOUS)

    def fetch(key: str) -> bytes:
        together.wait()
        return storage.fetch(key)

    guard = OutageGuard(fetch, storage.probe, SAMPLES, "s3://bucket/photos", lambda: None)
    with ThreadPoolExecutor(2 * SUSPICIOUS) as threads:
        ended = [threads.submit(guard.fetch, f"{index}.png").exception for index in range(2 * SUSPICIOUS)]
        errors = Counter(type(error()) for error in ended)

    assert errors == {StorageError: SUSPICIOUS - 1, OutageError: SUSPICIOUS + 1}
    assert storage.probed == Counter(SAMPLES)


def test_a_storage_that_came_back_is_not_remembered_as_gone() -> None:
    storage = Storage("denied")
    guard = guard_of(storage)
    fetch_all(guard, "any", SUSPICIOUS - 1)
    with pytest.raises(OutageError):
        guard.fetch("the last straw.png")
    storage.closed = None

    assert guard.fetch("photo.png") == b"photo.png"
    fetch_all(guard, "denied", 10 * SUSPICIOUS)
    guard.settle()


# ---- no outages ----


def test_a_folder_of_closed_images_among_others_is_never_an_outage() -> None:
    storage = Storage()
    guard = guard_of(storage)

    fetch_all(guard, "denied", 1000)
    guard.settle()

    assert sum(storage.fetched.values()) == 1000


def test_the_more_closed_images_there_are_the_more_seldom_it_is_looked_into() -> None:
    storage = Storage()

    fetch_all(guard_of(storage), "denied", (1 + 2 + 4 + 8) * SUSPICIOUS)

    assert storage.probed[SAMPLES[0]] == 4


def test_closed_images_here_and_there_are_not_even_looked_into() -> None:
    storage = Storage()
    guard = guard_of(storage)
    for _ in range(50):
        fetch_all(guard, "denied", SUSPICIOUS - 1)
        guard.fetch("photo.png")

    assert not storage.probed


def test_too_large_images_are_no_sign_of_an_outage_for_somebody_answered() -> None:
    storage = Storage("denied")
    guard = guard_of(storage)
    fetch_all(guard, "large", 10 * SUSPICIOUS)
    guard.settle()
    for _ in range(10):
        fetch_all(guard, "denied", SUSPICIOUS - 1)
        fetch_all(guard, "large", 1)

    assert not storage.probed


def test_missing_images_are_rows_as_long_as_the_input_is_there() -> None:
    guard = guard_of(Storage("missing"))
    fetch_all(guard, "missing", 10 * SUSPICIOUS)
    guard.settle()


@pytest.mark.parametrize("kind", ["missing", "large"])
def test_a_sample_that_is_gone_or_too_large_now_shows_that_the_storage_is_there(kind: str) -> None:
    storage = Storage("denied")
    guard = OutageGuard(storage.fetch, storage.probe, [*SAMPLES, f"{kind}.png"], "photos", lambda: None)

    fetch_all(guard, "any", 10 * SUSPICIOUS)
    guard.settle()


# ---- before a shard is written down ----


@pytest.mark.parametrize("failed", [1, SUSPICIOUS - 1])
def test_a_shard_that_ends_in_an_outage_is_not_written_down_however_short_it_is(failed: int) -> None:
    storage = Storage()
    guard = guard_of(storage)
    guard.fetch("photo.png")
    storage.closed = "denied"
    fetch_all(guard, "any", failed)

    with pytest.raises(OutageError):
        guard.settle()


@pytest.mark.parametrize("last", ["denied", "missing", "photo"])
def test_a_shard_that_ends_in_a_bad_image_is_written_down(last: str) -> None:
    storage = Storage()
    guard = guard_of(storage)
    with suppress(StorageError):
        guard.fetch(f"{last}.png")

    guard.settle()

    assert bool(storage.probed) == (last != "photo")


# ---- threads ----


def test_threads_each_get_their_own_image_or_error_and_no_outage_is_made_up() -> None:
    guard = guard_of(Storage())
    kinds: list[str] = [*("denied",) * 300, *("missing",) * 50, *("photo",) * 50]
    keys = [f"{kind} {index}.png" for index, kind in enumerate(random.Random(0).sample(kinds, len(kinds)))]

    def outcome(get: Callable[[str], bytes], key: str) -> object:
        try:
            return get(key)
        except StorageError as error:
            return type(error)

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda key: outcome(guard.fetch, key), keys))

    assert found == [outcome(Storage().fetch, key) for key in keys]


def test_an_input_that_is_gone_is_an_outage_though_somebody_answers() -> None:
    def listed() -> None:
        raise StorageError("s3://bucket: there is no such bucket")

    storage = Storage("missing")
    guard = OutageGuard(
        storage.fetch, storage.probe, [f"missing{index}.png" for index in range(8)], "s3://bucket/photos", listed
    )

    fetch_all(guard, "missing", SUSPICIOUS - 1)
    with pytest.raises(OutageError, match="no such bucket"):
        guard.fetch("missing.png")
