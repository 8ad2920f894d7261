"""A place is held by one run at a time: others are told by whom; a holder that dies, however it does, doesn't keep
it for long.
"""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event
from uuid import uuid4

import pytest
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, Request, answering, error

from mxspark.dataset import output
from mxspark.settings.job import OutputSettings
from mxspark.storage import Access, FolderStore, HeldError, MissingError, S3Store, StorageError, Store

LOCK = "_lock.json"
SECONDS = 3.0  # after which a holder of another machine that gives no sign is taken for dead
PATIENCE = 60.0  # seconds until a test that waits for something that never happens fails

HOLDER = """
import pickle, sys, time
from mxspark.storage import open_store

location, access, key, owner, seconds = pickle.loads(sys.stdin.buffer.read())
with open_store(location, access).hold(key, owner, seconds):
    print("held", flush=True)
    time.sleep(60)
"""


def owner(**more: object) -> dict[str, object]:
    """What a run says of itself, as output.py writes it."""
    return {"run": uuid4().hex, "host": "pod-7", "process": 4711, "since": "2026-01-02T03:04:05+00:00", **more}


@contextmanager
def holding_process(store: Store, access: Access) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process, which holds the store."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pickle.dumps((store.name, access, LOCK, owner(), SECONDS)))
        process.stdin.close()
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def refusal(store: Store, seconds: float = SECONDS) -> HeldError:
    with pytest.raises(HeldError) as refused, store.hold(LOCK, owner(), seconds):
        pass
    return refused.value


def is_free(store: Store) -> bool:
    """Whether the store can be had at once."""
    start = time.monotonic()
    with store.hold(LOCK, owner(), PATIENCE):
        return time.monotonic() - start < SECONDS


def becomes_true(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


# ---- one at a time ----


def test_the_second_is_refused_and_told_who_holds_the_place_and_since_when(store: Store) -> None:
    with store.hold(LOCK, owner(), SECONDS) as hold:
        refused = refusal(store)
        hold.check()

    assert (
        refused.problem
        == f"{store.name}: another run is writing here: process 4711 on pod-7, since 2026-01-02T03:04:05+00:00"
    )
    assert "mxspark status" in refused.hint
    assert refused.holder["host"] == "pod-7"


def test_anybody_can_ask_who_holds_it_without_taking_it(store: Store) -> None:
    assert store.holder(LOCK) is None
    mine = owner()
    with store.hold(LOCK, mine, SECONDS) as hold:
        for _ in range(3):
            holder = store.holder(LOCK)
            assert holder is not None
            assert {**holder, **mine} == holder
        hold.check()
    assert store.holder(LOCK) is None


def test_after_its_end_the_place_is_free_and_nothing_is_left(store: Store) -> None:
    with store.hold(LOCK, owner(), SECONDS):
        pass
    with pytest.raises(MissingError):
        store.read(LOCK)
    assert is_free(store)


def test_after_an_error_the_place_is_free_and_nothing_is_left(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.hold(LOCK, owner(), SECONDS):
        raise KeyboardInterrupt
    with pytest.raises(MissingError):
        store.read(LOCK)
    assert is_free(store)


def test_two_places_do_not_hinder_each_other(access: Access, s3_store: S3Store, tmp_path: Path) -> None:
    others: list[Store] = [
        FolderStore(tmp_path / "one"),
        FolderStore(tmp_path / "two"),
        S3Store(s3_store.bucket, f"{s3_store.root}deeper/", access),
    ]
    with ExitStack() as stack:
        for place in [s3_store, *others]:
            stack.enter_context(place.hold(LOCK, owner(), SECONDS))


def test_of_many_that_come_at_once_one_gets_the_place(store: Store) -> None:
    together, held = Barrier(6), Barrier(6)

    def come(number: int) -> bool:
        together.wait()
        with ExitStack() as stack:
            try:
                stack.enter_context(store.hold(LOCK, owner(process=number), SECONDS))
            except HeldError:
                held.wait()
                return False
            held.wait()
            return True

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(come, range(6))) == [*5 * [False], True]
    assert is_free(store)


# ---- folders ----


@pytest.mark.parametrize("place", ["new", "new/and/deep"])
def test_a_folder_that_was_made_for_the_lock_alone_does_not_stay(tmp_path: Path, place: str) -> None:
    with FolderStore(tmp_path / place).hold(LOCK, owner(), SECONDS):
        assert (tmp_path / place / LOCK).exists()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_results_stays_and_so_does_an_empty_one_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with FolderStore(tmp_path / "empty").hold(LOCK, owner(), SECONDS):
        pass
    with FolderStore(tmp_path / "new" / "one").hold(LOCK, owner(), SECONDS):
        FolderStore(tmp_path / "new" / "one").write("part-000000.parquet", b"rows")

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "empty",
        "new",
        "new/one",
        "new/one/part-000000.parquet",
    ]


@pytest.mark.parametrize("left", [b"", b"{", b'{"host": "pod-3", "run": "old"}'], ids=["empty", "broken", "whole"])
def test_a_lock_file_that_nobody_locks_is_no_hindrance(folder_store: FolderStore, left: bytes) -> None:
    folder_store.write(LOCK, left)

    assert folder_store.holder(LOCK) is None
    assert is_free(folder_store)


def test_a_folder_that_may_not_be_written_is_told() -> None:
    with (
        pytest.raises(StorageError, match="/proc/table"),
        FolderStore(Path("/proc/table")).hold(LOCK, owner(), SECONDS),
    ):
        pass


# ---- holders that die ----


def test_a_holder_that_is_killed_leaves_the_place_at_once(store: Store, access: Access) -> None:
    with holding_process(store, access) as process:
        refusal(store)
        process.kill()
        process.wait()
        assert store.holder(LOCK) is None
        assert is_free(store)


def test_a_holder_that_is_killed_and_not_yet_waited_for_leaves_the_place_at_once(store: Store, access: Access) -> None:
    with holding_process(store, access) as process:
        process.kill()
        assert becomes_true(lambda: store.holder(LOCK) is None)
        assert is_free(store)


# ---- buckets: holders on other machines ----


def elsewhere(**more: object) -> bytes:
    """The lock of a run on another machine."""
    return json.dumps(owner(machine="pod-7 of-another-boot pid:[1]", pid=1, start="1", renewals=0, **more)).encode()


def test_a_holder_of_another_machine_that_gives_no_sign_is_waited_for_and_then_taken_for_dead(
    s3_store: S3Store,
) -> None:
    s3_store.write(LOCK, elsewhere())
    assert s3_store.holder(LOCK) is not None  # perhaps it lives
    start = time.monotonic()
    with s3_store.hold(LOCK, owner(host="pod-8"), 1) as hold:
        assert 1 <= time.monotonic() - start < PATIENCE
        hold.check()
        holder = s3_store.holder(LOCK)
        assert holder is not None
        assert holder["host"] == "pod-8"


def test_a_holder_that_gives_signs_of_life_is_not_disturbed_however_long_another_would_wait(
    s3_store: S3Store, access: Access
) -> None:
    with s3_store.hold(LOCK, owner(), 0.6) as hold:
        refused = refusal(S3Store(s3_store.bucket, s3_store.root, access), 5)
        hold.check()

    assert refused.holder["renewals"] > 0


def test_a_holder_that_renews_more_slowly_than_another_would_wait_is_not_disturbed(s3_store: S3Store) -> None:
    """output.lock_seconds of the run that holds it counts, and not only that of the one that comes."""
    s3_store.write(LOCK, elsewhere(seconds=2))
    start = time.monotonic()
    with s3_store.hold(LOCK, owner(), 0.1):
        assert time.monotonic() - start >= 2


def test_a_holder_that_ends_while_another_waits_makes_room_for_it(s3_store: S3Store) -> None:
    s3_store.write(LOCK, elsewhere())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(is_free, s3_store)
        time.sleep(0.7)
        s3_store.delete(LOCK)
        assert waiting.result(PATIENCE)


def test_of_many_that_take_a_dead_ones_place_over_at_once_one_gets_it(s3_store: S3Store) -> None:
    s3_store.write(LOCK, elsewhere())
    done = Barrier(4)

    def come(number: int) -> bool:
        with ExitStack() as stack:
            try:
                stack.enter_context(s3_store.hold(LOCK, owner(process=number), 1)).check()
            except HeldError:
                done.wait()
                return False
            done.wait()
            return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(come, range(4))) == [False, False, False, True]


@pytest.mark.parametrize("left", [b"", b"[]"])
def test_a_lock_that_says_nothing_is_waited_for_as_any_other(s3_store: S3Store, left: bytes) -> None:
    s3_store.write(LOCK, left)
    start = time.monotonic()
    with s3_store.hold(LOCK, owner(), 1):
        assert time.monotonic() - start >= 1


def test_a_holder_whose_place_was_taken_over_notices_and_leaves_the_others_lock_alone(s3_store: S3Store) -> None:
    theirs = elsewhere(host="pod-9")
    with s3_store.hold(LOCK, owner(), 0.6) as hold:
        hold.check()
        s3_store.write(LOCK, theirs)
        assert becomes_true(lambda: has_lost(hold.check))
        with pytest.raises(HeldError, match="pod-9"):
            hold.check()
    assert s3_store.read(LOCK) == theirs


def has_lost(check: Callable[[], None]) -> bool:
    try:
        check()
    except HeldError:
        return True
    return False


def test_a_holder_that_ends_before_it_could_notice_leaves_the_others_lock_alone(s3_store: S3Store) -> None:
    """It was suspended, perhaps, and by now another has the place."""
    theirs = elsewhere()
    with s3_store.hold(LOCK, owner(), 600):
        s3_store.write(LOCK, theirs)
    assert s3_store.read(LOCK) == theirs


def test_a_holder_whose_lock_was_removed_by_hand_notices(s3_store: S3Store) -> None:
    with s3_store.hold(LOCK, owner(), 0.6) as hold:
        s3_store.delete(LOCK)
        assert becomes_true(lambda: has_lost(hold.check))


def test_a_holder_gives_signs_of_life_as_long_as_it_lives(s3_store: S3Store) -> None:
    def renewals() -> int:
        holder = s3_store.holder(LOCK)
        assert holder is not None
        return int(holder["renewals"])

    with s3_store.hold(LOCK, owner(), 0.6) as hold:
        assert becomes_true(lambda: renewals() >= 3)
        hold.check()


# ---- buckets of other servers ----


class Bucket:
    """A small bucket. `conditions` says what the server does with conditional writes: keeps, refuses or ignores
    them.
    """

    def __init__(self, conditions: str) -> None:
        self.conditions = conditions
        self.objects: dict[str, bytes] = {}

    def answer(self, request: Request) -> Answer:
        old = self.objects.get(request.path)
        if request.method == "GET":
            return error(404, "NoSuchKey") if old is None else self._told(old)
        if request.method == "DELETE":
            self.objects.pop(request.path, None)
            return Answer(204)
        absent, same = request.headers.get("if-none-match"), request.headers.get("if-match")
        if self.conditions == "refuses" and (absent or same):
            return error(501, "NotImplemented")
        if self.conditions == "keeps" and (
            (absent and old is not None) or (same and (old is None or same != tag_of(old)))
        ):
            return error(412, "PreconditionFailed")
        self.objects[request.path] = request.body
        return replace(self._told(request.body), body=b"")

    def _told(self, data: bytes) -> Answer:
        return Answer(body=data, headers={"ETag": tag_of(data)})


def tag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


@pytest.fixture(params=["keeps", "refuses", "ignores"])
def other_server(request: pytest.FixtureRequest) -> Iterator[S3Store]:
    """A store on a server that treats conditional writes in one way or another."""
    with answering(Bucket(request.param).answer) as server:
        yield S3Store("bucket", "", access_to(server.url))


def test_whatever_the_server_does_with_conditions_the_second_is_refused_and_the_first_not_disturbed(
    other_server: S3Store,
) -> None:
    with other_server.hold(LOCK, owner(), 1) as hold:
        with ThreadPoolExecutor(1) as threads:
            assert "pod-7" in threads.submit(refusal, S3Store("bucket", "", other_server.access)).result().problem
        hold.check()
    assert other_server.holder(LOCK) is None
    assert is_free(other_server)


def test_whatever_the_server_does_with_conditions_a_dead_ones_place_is_taken_and_a_lost_one_noticed(
    other_server: S3Store,
) -> None:
    theirs = elsewhere(host="pod-9")
    other_server.write(LOCK, elsewhere())
    with other_server.hold(LOCK, owner(), 1) as hold:
        hold.check()
        other_server.write(LOCK, theirs)
        assert becomes_true(lambda: has_lost(hold.check))
    assert other_server.read(LOCK) == theirs


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lock_that_was_written_while_the_answer_got_lost_is_ones_own(lost: int) -> None:
    """The request is tried again, and refused: the object is there."""
    bucket = Bucket("keeps")
    puts = Counter[str]()

    def answer(request: Request) -> Answer:
        told = bucket.answer(request)
        puts[request.method] += 1
        return error(500, "InternalError") if request.method == "PUT" and puts["PUT"] <= lost else told

    with answering(answer) as server:
        assert is_free(S3Store("bucket", "", access_to(server.url)))
    assert bucket.objects == {}


def test_a_renewal_whose_answer_got_lost_loses_nothing() -> None:
    bucket = Bucket("keeps")
    puts = Counter[str]()

    def answer(request: Request) -> Answer:
        told = bucket.answer(request)
        puts[request.method] += 1
        return error(500, "InternalError") if request.method == "PUT" and puts["PUT"] % 2 == 0 else told

    with answering(answer) as server, S3Store("bucket", "", access_to(server.url)).hold(LOCK, owner(), 0.3) as hold:
        assert becomes_true(lambda: puts["PUT"] > 5)
        hold.check()


def test_a_server_that_is_gone_for_a_while_does_not_cost_the_place() -> None:
    bucket = Bucket("keeps")
    gone = Event()

    with (
        answering(lambda request: error(500, "InternalError") if gone.is_set() else bucket.answer(request)) as server,
        S3Store("bucket", "", access_to(server.url, retries=0)).hold(LOCK, owner(), 0.3) as hold,
    ):
        gone.set()
        time.sleep(0.5)
        gone.clear()
        before = len(server.requests)
        assert becomes_true(lambda: len(server.requests) > before + 4)
        hold.check()
    assert bucket.objects == {}


# ---- the lock of a run ----


def test_a_run_holds_its_output_and_says_which_process_it_is(store: Store) -> None:
    settings = OutputSettings(path=store.name, lock_seconds=2)
    with output.hold(store, settings):
        holder = store.holder(output.LOCK)
        assert holder is not None
        assert holder["process"] == os.getpid()
        with pytest.raises(HeldError), output.hold(store, settings):
            pass
    assert output.check(store, settings) is None
