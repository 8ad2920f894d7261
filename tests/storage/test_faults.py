"""Faults that pass are survived; those that stay are told."""

import io
from collections.abc import Callable

import pytest
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, an_object, error, listing, scripted

from mxspark.storage import Access, MissingError, S3Store, StorageError, download

BUSY = error(503, "SlowDown")


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
    [lambda store: store.read("photos/1.png"), lambda store: store.read("photos//1.png"), lambda store: list(store.keys("photos/"))],
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
    ("status", "kind"), [(404, MissingError), (410, MissingError), (403, StorageError), (401, StorageError), (500, StorageError)]
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
