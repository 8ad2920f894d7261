"""Faults that pass are survived; those that stay are told."""

import errno
import gzip
import io
import os
import subprocess
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
from tests.security.endless import answering_with
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, Scripted, an_object, error, listing, scripted

from mxspark.settings.job import StorageSettings
from mxspark.storage import (
    Access,
    FolderStore,
    MissingError,
    S3Store,
    StorageError,
    TooLargeError,
    WebReader,
    download,
    retries_so_far,
)
from mxspark.storage import folder as folder_room
from mxspark.storage.web import root_cause

BUSY = error(503, "SlowDown")


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long is waited between tries is test_retry.py's business."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def store_at(url: str, retries: int = 2) -> S3Store:
    return S3Store("bucket", "", access_to(url, retries=retries))


@pytest.mark.parametrize("fault", [BUSY, error(500, "InternalError"), Answer(502, b"<hr>")], ids=["503", "500", "502"])
@pytest.mark.parametrize(
    ("ask", "answer", "wanted"),
    [
        (lambda store: store.read("photos/1.png"), an_object(b"pixels"), b"pixels"),
        (lambda store: store.read("photos//1.png"), an_object(b"pixels"), b"pixels"),
        (lambda store: list(store.keys("photos/")), listing("photos/1.png"), ["photos/1.png"]),
    ],
    ids=["reading", "reading an awkward key", "listing"],
)
def test_a_server_that_fails_twice_is_asked_a_third_time(
    fault: Answer, ask: Callable[[S3Store], object], answer: Answer, wanted: object
) -> None:
    with scripted(fault, fault, answer) as server:
        assert ask(store_at(server.url)) == wanted
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.read("photos/1.png"),
        lambda store: store.read("photos//1.png"),
        lambda store: list(store.keys("photos/")),
    ],
    ids=["reading", "reading an awkward key", "listing"],
)
def test_a_server_that_keeps_failing_is_given_up_after_the_retries(ask: Callable[[S3Store], object]) -> None:
    with scripted(BUSY) as server, pytest.raises(StorageError, match=r"s3://bucket.*(503|SlowDown|busy)") as caught:
        ask(store_at(server.url))
    assert type(caught.value) is StorageError
    assert len(server.requests) == 3


@pytest.mark.parametrize("key", ["photos/1.png", "photos//1.png"])
def test_an_object_whose_transfer_breaks_off_is_read_again_as_a_whole(key: str) -> None:
    """Never the rest alone: meanwhile it may have been replaced."""
    old, new = bytes(range(256)) * 40, bytes(reversed(range(256))) * 40
    with scripted(an_object(old[:4096], claimed=len(old)), an_object(new)) as server:
        assert store_at(server.url).read(key) == new
    assert [request.headers.get("range") for request in server.requests] == [None, None]


def test_an_object_whose_transfer_always_breaks_off_is_an_error_not_half_an_image() -> None:
    with scripted(an_object(b"half", claimed=8)) as server, pytest.raises(StorageError, match=r"photos//1\.png"):
        store_at(server.url, retries=0).read("photos//1.png")
    with scripted(an_object(b"half", claimed=8)) as server, pytest.raises(StorageError, match=r"photos/1\.png"):
        store_at(server.url, retries=0).read("photos/1.png")


def test_a_page_of_keys_whose_transfer_breaks_off_is_asked_for_again() -> None:
    whole = listing("photos/1.png", "photos/2.png")
    with scripted(Answer(200, whole.body[:80], whole.headers, claimed=len(whole.body)), whole) as server:
        assert list(store_at(server.url).keys()) == ["photos/1.png", "photos/2.png"]


def test_a_server_that_never_answers_is_given_up_after_the_time_out() -> None:
    silent = an_object(b"", claimed=100)
    with scripted(silent) as server:
        store = S3Store("bucket", "", access_to(server.url, retries=0, read_timeout=0.2))
        with pytest.raises(StorageError, match="s3://bucket"):
            list(store.keys())


# Model files over HTTP.


def fetch(url: str, retries: int = 2) -> bytes:
    target = io.BytesIO()
    download(url, Access(access_to(url, retries=retries).settings), target)
    return target.getvalue()


def test_a_file_is_fetched_from_a_web_server() -> None:
    with scripted(an_object(b"{nodes}")) as server:
        assert fetch(f"{server.url}/models/net-symbol.json?version=1") == b"{nodes}"
    assert server.requests[0].path == "/models/net-symbol.json?version=1"
    assert "authorization" not in server.requests[0].headers


def test_a_disk_that_is_full_is_no_fault_of_the_server_s() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with scripted(an_object(b"{nodes}")) as server, pytest.raises(OSError, match="No space left") as caught:
        download(f"{server.url}/net.json", Access(access_to(server.url).settings), Full())
    assert not isinstance(caught.value, StorageError)
    assert len(server.requests) == 1


def test_a_web_server_that_moved_the_file_is_followed() -> None:
    with scripted(an_object(b"{nodes}")) as new, scripted(Answer(302, b"", {"Location": f"{new.url}/new.json"})) as old:
        assert fetch(f"{old.url}/old.json") == b"{nodes}"


def test_a_web_server_that_fails_twice_is_asked_a_third_time() -> None:
    with scripted(Answer(503), Answer(503), an_object(b"{nodes}")) as server:
        assert fetch(f"{server.url}/net.json") == b"{nodes}"


def test_a_file_that_is_cut_short_is_an_error_that_names_it() -> None:
    with scripted(an_object(b"half of the par", claimed=3000)) as server, pytest.raises(StorageError) as caught:
        fetch(f"{server.url}/net-0000.params?token=secret-token")
    assert caught.value.problem.startswith(f"{server.url}/net-0000.params: broke off")
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, MissingError), (410, MissingError), (403, StorageError), (401, StorageError), (500, StorageError)],
)
def test_what_a_web_server_refuses_is_told_without_the_address_query(status: int, kind: type[StorageError]) -> None:
    with scripted(Answer(status, b"<html>")) as server, pytest.raises(kind) as caught:
        fetch(f"{server.url}/net.json?token=secret-token", retries=0)
    assert f"{server.url}/net.json: the server answered {status}" in str(caught.value)
    assert "secret-token" not in str(caught.value)


def test_a_web_server_that_is_not_there_is_told_without_the_address_query(unused_port: int) -> None:
    with pytest.raises(StorageError) as caught:
        fetch(f"http://127.0.0.1:{unused_port}/net.json?token=secret-token", retries=0)
    assert f"http://127.0.0.1:{unused_port}/net.json" in str(caught.value)
    assert "secret-token" not in str(caught.value)


WEB_READS: list[Callable[[str], object]] = [
    lambda url: WebReader(access_to(url, retries=0).settings).read(f"{url}/1.png"),
    lambda url: fetch(f"{url}/1.png", retries=0),
]


@pytest.mark.parametrize("read", WEB_READS, ids=["an image", "a model's file"])
@pytest.mark.parametrize(
    ("answer", "reason", "cause"),
    [
        (b"HTTP/1.1 200", "the answer broke off", "truncated"),  # not an empty object, which says so
        (b"", "the connection was closed", "connection"),
        (b"SSH-2.0-\x1b\r\n", r"can't read the server's answer: SSH-2.0-\x1b", "connection"),
        (b"HTTP/1.1 404 Not\x1b[31m\7\r\n\r\n", r"the server answered 404 Not\x1b[31m\x07", ""),
        (
            b"HTTP/1.1 302 -\r\nLocation: http://h\x1b[31m/\r\n\r\n",
            r"the server redirects to http://h\x1b[31m/, which isn't an HTTP address",
            "",
        ),
    ],
    ids=["cut behind its head", "nothing", "no HTTP", "controls in the phrase", "sent to no address"],
)
def test_odd_answers_of_web_servers_are_told_in_words(
    read: Callable[[str], object], answer: bytes, reason: str, cause: str
) -> None:
    """Adds that no library's notation is told, and no character that a terminal obeys."""
    with answering_with(answer) as url, pytest.raises(StorageError) as caught:
        read(url)
    assert (caught.value.reason, caught.value.cause) == (reason, cause)


@pytest.mark.parametrize("read", WEB_READS, ids=["an image", "a model's file"])
def test_an_object_that_says_it_is_empty_is(read: Callable[[str], object]) -> None:
    with scripted(Answer()) as server:
        assert not read(server.url)


def test_causes_are_told_without_the_names_of_classes() -> None:
    said = (
        "HTTPSConnectionPool(host='h', port=1): _PoolTLS(host='h', port=1): Prompt(host='h', port=1): Read timed out."
    )
    assert root_cause(said) == "Read timed out."


# Objects that are packed.

READS: dict[str, Callable[[Scripted, int | None], bytes]] = {
    "reading": lambda server, limit: store_at(server.url).read("photos/1.png", limit),
    "reading an awkward key": lambda server, limit: store_at(server.url).read("photos//1.png", limit),
    "downloading": lambda server, _: downloaded(store_at(server.url)),
    "from the web": lambda server, _: fetch(f"{server.url}/net.params"),
}
LIMITED = [READS["reading"], READS["reading an awkward key"]]
PIXELS = bytes(range(256)) * 10_000
PACKED = {
    "gzip": ("gzip", gzip.compress(PIXELS)),
    "in two": ("GZip", gzip.compress(PIXELS[:99]) + gzip.compress(PIXELS[99:])),
    "padded": ("x-gzip", gzip.compress(PIXELS) + bytes(512)),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(PIXELS))),
    "deflate": ("deflate", zlib.compress(PIXELS)),
    "chunks of a careless client's": ("aws-chunked,gzip", gzip.compress(PIXELS)),
    "not packed at all": ("gzip", PIXELS),
    "something else": ("utf-8", PIXELS),
    "nothing": ("", PIXELS),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("packed", PACKED)
def test_objects_are_unpacked_as_their_content_encoding_says(
    read: Callable[[Scripted, int | None], bytes], packed: str
) -> None:
    encoding, data = PACKED[packed]
    with scripted(an_object(data, Content_Encoding=encoding)) as server:
        assert read(server, None) == PIXELS


@pytest.mark.parametrize("read", LIMITED)
def test_an_object_that_unpacks_to_more_than_allowed_is_too_large_and_takes_no_memory(
    read: Callable[[Scripted, int | None], bytes],
) -> None:
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()  # a quarter of a GiB in 1 MB
    tracemalloc.start()
    try:
        with (
            scripted(an_object(bomb, Content_Encoding="gzip")) as server,
            pytest.raises(TooLargeError, match="10,000,000 allowed"),
        ):
            read(server, 10_000_000)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    ("encoding", "data", "words"),
    [
        ("gzip", gzip.compress(PIXELS)[:-20], "ends too soon"),
        ("gzip", gzip.compress(PIXELS)[:-8] + bytes(8), "is broken"),
        ("gzip", gzip.compress(PIXELS) + b"and so on", "is broken"),
        ("br", PIXELS, "br can't be decoded"),
    ],
    ids=["cut", "damaged", "with more", "unknown"],
)
def test_what_can_not_be_unpacked_is_told_and_not_asked_for_again(
    read: Callable[[Scripted, int | None], bytes], encoding: str, data: bytes, words: str
) -> None:
    with scripted(an_object(data, Content_Encoding=encoding)) as server:
        with pytest.raises(StorageError, match=f"Content-Encoding {words}"):
            read(server, None)
        assert len(server.requests) == 1


# What is tried again is counted by its cause.

WAYS: dict[str, tuple[Callable[[S3Store], object], Answer]] = {
    "reading": (lambda store: store.read("photos/1.png"), an_object(b"pixels")),
    "reading an awkward key": (lambda store: store.read("photos//1.png"), an_object(b"pixels")),
    "reading the end": (lambda store: store.read_tail("photos/1.png", 6), an_object(b"pixels")),
    "listing": (lambda store: list(store.keys()), listing("photos/1.png")),
    "writing": (lambda store: store.write("photos/1.png", b"pixels"), Answer(headers={"ETag": '"1"'})),
    "deleting": (lambda store: store.delete("photos/1.png"), Answer(204)),
}
SILENT = Answer(claimed=6, seconds=1.5)
FAULTS = {
    "throttled": error(503, "SlowDown"),
    "server_error": error(500, "InternalError"),
    "truncated": an_object(b"half", claimed=100),
    "timeout": SILENT,
    "connection": Answer(drop=True),
    "expired_credentials": error(400, "ExpiredToken"),
}


def retries_of(function: Callable[[], object]) -> Counter[str]:
    before = retries_so_far()
    function()
    return retries_so_far() - before


@pytest.mark.parametrize("cause", [cause for cause in FAULTS if cause != "truncated"])
def test_a_fault_is_counted_by_its_cause_whatever_is_asked(cause: str) -> None:
    with scripted(*(answer for _, right in WAYS.values() for answer in (FAULTS[cause], right))) as server:
        store = S3Store("bucket", "", access_to(server.url, read_timeout=1 if cause == "timeout" else 60))
        for ask, _ in WAYS.values():
            assert retries_of(lambda ask=ask: ask(store)) == {cause: 1}  # type: ignore[misc]
    assert len(server.requests) == 2 * len(WAYS)


def test_what_comes_cut_short_is_counted_as_that() -> None:
    for way in (way for way in WAYS if way.startswith(("reading", "listing"))):
        ask, answer = WAYS[way]
        with scripted(Answer(200, answer.body[:-1], answer.headers, claimed=len(answer.body)), answer) as server:
            store = store_at(server.url)
            assert retries_of(lambda ask=ask, store=store: ask(store)) == {"truncated": 1}  # type: ignore[misc]


# Every request of every store, and the answers that it needs.
REQUESTS: dict[str, tuple[Callable[[S3Store], object], Answer]] = {
    **WAYS,
    "looking for one": (lambda store: store.has("photos/1.png"), listing("photos/1.png")),
    "downloading": (lambda store: downloaded(store), an_object(b"pixels")),
    "uploading": (lambda store: store.upload("photos/1.png", Path(__file__)), Answer(headers={"ETag": '"1"'})),
    "reading a lock": (lambda store: store.read_tagged("_lock.json"), an_object(b"pixels")),
    "reading from the web": (
        lambda store: fetch(f"{store.access.settings.endpoint_url}/net.json"),
        an_object(b"pixels"),
    ),
}
LONGEST, EVERY = 420, 3  # bytes of an answer, and between the places where it is cut


def downloaded(store: S3Store) -> bytes:
    target = io.BytesIO()
    store.download("photos/1.png", target)
    return target.getvalue()


@pytest.mark.filterwarnings("ignore:tzname")  # of half a date
@pytest.mark.parametrize("way", REQUESTS)
def test_an_answer_that_is_cut_anywhere_is_asked_for_again(way: str) -> None:
    """Within the head too: what a library raises while it reads half an answer is a fault of the network like
    another.
    """
    ask, answer = REQUESTS[way]
    with scripted(answer) as server:
        wanted = ask(store_at(server.url))
    with scripted(*(each for cut in range(0, LONGEST, EVERY) for each in (replace(answer, cut=cut), answer))) as server:
        store = store_at(server.url)
        for number in range(0, LONGEST, EVERY):
            assert ask(store) == wanted, f"cut after about {number} bytes"


def test_nothing_listening_is_counted_as_that(unused_port: int) -> None:
    store = store_at(f"http://127.0.0.1:{unused_port}", retries=1)

    def ask() -> None:
        for way in ("reading", "reading an awkward key", "listing", "writing"):
            with pytest.raises(StorageError):
                WAYS[way][0](store)

    assert retries_of(ask) == {"connection": 4}


@pytest.mark.parametrize(
    ("code", "status"), [("AccessDenied", 403), ("NoSuchBucket", 404), ("InvalidAccessKeyId", 403)]
)
def test_what_does_not_pass_is_asked_for_once_and_not_counted(code: str, status: int) -> None:
    with scripted(error(status, code)) as server:
        store = store_at(server.url)

        def refused() -> None:
            for ask, _ in WAYS.values():
                with pytest.raises(StorageError):
                    ask(store)

        assert retries_of(refused) == {}
    assert len(server.requests) == len(WAYS)


# Large files.


@pytest.mark.parametrize("cause", ["throttled", "connection"])
def test_an_upload_is_tried_again_in_whole(cause: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"lines\n" * 100)
    # the client of large files tries a part four times
    with scripted(*4 * [FAULTS[cause]], Answer(headers={"ETag": '"1"'})) as server:
        assert retries_of(lambda: store_at(server.url).upload("all.txt", tmp_path / "text")) == {cause: 1}
    assert b"lines\n" * 100 in server.requests[-1].body


def test_an_upload_that_never_gets_through_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"lines\n")
    with (
        scripted(BUSY) as server,
        pytest.raises(StorageError, match=r"s3://bucket/all\.txt.*SlowDown.*tried 2 times") as caught,
    ):
        store_at(server.url, retries=1).upload("all.txt", tmp_path / "text")
    assert type(caught.value) is StorageError


@pytest.mark.parametrize("cause", ["truncated", "timeout"])
def test_a_download_that_never_gets_through_is_told(cause: str) -> None:
    with scripted(an_object(b"half", claimed=100) if cause == "truncated" else SILENT) as server:
        store = S3Store("bucket", "", access_to(server.url, retries=1, read_timeout=0.3))

        def ask() -> None:
            with pytest.raises(StorageError, match=r"s3://bucket/net\.params"):
                store.download("net.params", io.BytesIO())

        assert retries_of(ask) == {cause: 1}


# Folders.


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[FolderStore]:
    """A file system of 64 kB."""
    (tmp_path / "disk").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path / "disk"], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root can make a small file system")
    try:
        yield FolderStore(tmp_path / "disk" / "table", StorageSettings(retries=2))
    finally:
        subprocess.run(["umount", "-l", tmp_path / "disk"], check=True)


def test_a_full_disk_is_waited_for_and_then_told_and_no_short_file_is_left(
    full_disk: FolderStore, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(bytes(100_000))
    full_disk.write("part-000000.parquet", b"rows")

    def fill() -> None:
        puts: list[Callable[[], None]] = [
            lambda: full_disk.write("part-000000.parquet", bytes(100_000)),
            lambda: full_disk.write("part-000001.parquet", bytes(100_000)),
            lambda: full_disk.upload("predictions.txt", tmp_path / "text"),
        ]
        for put in puts:
            with pytest.raises(StorageError, match=r"No space left.*tried 3 times\)\nMake room") as caught:
                put()
            assert type(caught.value) is StorageError

    assert retries_of(fill) == {"no_space": 6}
    assert list(full_disk.keys()) == ["part-000000.parquet"]
    assert full_disk.read("part-000000.parquet") == b"rows"


def test_a_disk_that_may_not_be_written_any_more_is_told_and_keeps_what_it_has(
    full_disk: FolderStore, tmp_path: Path
) -> None:
    full_disk.write("part-000000.parquet", b"rows")
    subprocess.run(["mount", "-o", "remount,ro", tmp_path / "disk"], check=True)

    with pytest.raises(StorageError, match=r"table/part-000001\.parquet: .*Read-only file system"):
        full_disk.write("part-000001.parquet", b"rows")
    assert full_disk.read("part-000000.parquet") == b"rows"


def test_a_disk_in_which_room_is_made_meanwhile_is_written_to(
    full_disk: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk.write("old", bytes(50_000))
    monkeypatch.setattr("time.sleep", lambda _: full_disk.delete("old"))

    assert retries_of(lambda: full_disk.write("part-000000.parquet", bytes(50_000))) == {"no_space": 1}
    assert full_disk.read("part-000000.parquet") == bytes(50_000)


@pytest.mark.parametrize(("number", "cause"), [(errno.ESTALE, "connection"), (errno.ETIMEDOUT, "timeout")])
def test_a_file_server_that_comes_back_is_asked_again(
    folder_store: FolderStore, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    folder_store.write("photo.png", b"pixels")
    target = io.BytesIO()
    asked = Counter[str]()

    def opened(path: Path, mode: str) -> IO[Any]:
        asked["times"] += 1
        if asked["times"] % 2:
            raise OSError(number, os.strerror(number))
        return open(path, mode)

    monkeypatch.setattr(folder_room, "open", opened, raising=False)

    def read() -> None:
        assert folder_store.read("photo.png") == b"pixels"
        assert folder_store.read_tail("photo.png", 3) == b"els"
        folder_store.download("photo.png", target)

    assert retries_of(read) == {cause: 3}
    assert target.getvalue() == b"pixels"
