"""What hostile servers say: looked at in linear time, bounded in size, and never without end.

Each attempt worked before: a message of 24 kB took 0.7 s, and lists, locks and bodies without end took all memory.
"""

import gzip
import io
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.security.endless import CHUNK, HEAD, answering_with
from tests.storage.scripted import Answer, Request, an_object, answering, error, listing, scripted

from mxspark import storage
from mxspark.errors import MxsparkError, bounded, one_line, without_paths, without_secrets
from mxspark.settings.job import StorageSettings
from mxspark.storage import Access, Credentials, DeniedError, MissingError, S3Store, StorageError, TooLargeError, web
from mxspark.storage.errors import shown, words_in
from mxspark.storage.s3.listing import EMPTY_PAGES, Repeats
from mxspark.storage.web import root_cause

LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"
LONG = 2**17  # characters, of which patterns that look at each pair took half a minute
WORDS = (
    "://a:b", "=a:b,", "=a:b'/", "a@", "a@-", "http://", "http://x?)", "sig&", "eyJ-", "!a", "(/a", "pw1", "<Code>",
    "s3.aa-b-1.", "HTTPSConnectionPool(", "certificate verify failed: ", "<Message>",
)  # fmt: skip
LOOKS: tuple[Callable[[str], object], ...] = (
    without_secrets, without_paths, shown, root_cause, words_in, MxsparkError, lambda text: one_line(OSError(text)),
)  # fmt: skip


def store(url: str, **limits: float) -> S3Store:
    found = StorageSettings.model_validate(
        {"endpoint_url": url, "region": "us-east-1", "retries": 0, "read_timeout": 30} | limits
    )
    return S3Store("bucket", "", Access(found, Credentials("nobody", "nothing")))


# ---- words ----


@pytest.mark.parametrize("word", WORDS)
def test_words_of_any_length_are_looked_at_in_linear_time(word: str) -> None:
    text = word * (LONG // len(word))
    start = time.process_time()
    for look in LOOKS:
        look(f"pw{text}!")
    assert time.process_time() - start < 15  # a tenth of which is enough on a busy machine


def test_what_the_cut_goes_through_is_dropped_whole() -> None:
    text = "words " * 10 + "https://user:pass" + "word" * 1000 + "@host/"
    assert bounded(text, 90) == "words " * 10 + "…"
    assert "pass" not in one_line(OSError("https://user:pass" + "word" * 10_000 + "@host/"))
    assert shown("a" * 10_000) == "…"


@given(st.text("ab1-", min_size=1), st.text("ab1:'(="), st.sampled_from(" '\"(=,"))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_no_password_of_an_address_is_told(user: str, password: str, before: str) -> None:
    password = f"a{password}"  # after a colon, digits and a slash are a port
    assert f"{user}:{password}@" not in without_secrets(f"can't reach{before}https://{user}:{password}@host/path")


# ---- lists ----


def page(*keys: str, token: str) -> Answer:
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken></ListBucketResult>"
    whole = listing(*keys)
    return Answer(body=whole.body.replace(b"</ListBucketResult>", more.encode()), headers=whole.headers)


@pytest.mark.parametrize("pages", [1, 2, 7])
@pytest.mark.parametrize("tokens", ["the same", "new ones"])
def test_a_list_that_comes_round_again_is_an_error(tokens: str, pages: int) -> None:
    asked = 0

    def answer(_request: Request) -> Answer:
        nonlocal asked
        asked += 1
        number = asked % pages
        return page(f"{number}a.png", f"{number}b.png", token=str(number if tokens == "the same" else asked))

    with answering(answer) as server, pytest.raises(StorageError, match="repeats itself"):
        list(store(server.url).keys())
    assert asked < 40


def test_a_list_of_empty_pages_ends() -> None:
    repeats = Repeats("s3://bucket")
    for number in range(EMPTY_PAGES):
        repeats.check([], str(number))
    with pytest.raises(StorageError, match="empty pages in a row"):
        repeats.check([], "and another")


def test_an_honest_list_of_many_pages_is_read_to_its_end() -> None:
    answers = [page(f"{number:04}.png", token=f"after {number}") for number in range(70)]
    with scripted(*answers, listing("last.png")) as server:
        assert len(list(store(server.url).keys())) == 71


@pytest.mark.parametrize(
    "body",
    [
        b"<ListBucketResult>" + b"<a>" * 300_000,
        b"<ListBucketResult><Contents><Key>" + b"a" * 5000 + b"</Key></Contents></ListBucketResult>",
    ],
    ids=["of many tags", "with a key of 5,000 characters"],
)
def test_a_page_that_no_s3_server_gives_is_refused(body: bytes) -> None:
    with (
        scripted(Answer(body=body)) as server,
        pytest.raises(StorageError, match=r"has more than 200,000 tags|a key of 5,000"),
    ):
        list(store(server.url).keys())


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "' + b"k" * 1000 + b'">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("read", ["a list", "the answer to a write"])
def test_xml_with_entities_of_its_own_is_refused(read: str, encoding: str) -> None:
    """Expat lets them stand for a hundred times the size: 16 MB became 1.5 GB."""
    tag = b"ListBucketResult" if read == "a list" else b"Error"
    body = ENTITIES + b"<%b><Code>%b</Code></%b>" % (tag, b"&a;" * 50, tag)
    status = 200 if read == "a list" else 403
    with scripted(Answer(status, body.decode().encode(encoding))) as server, pytest.raises(StorageError) as told:
        READS[read](store(server.url))
    assert "kkk" not in str(told.value)
    assert "denied" not in str(told.value)


@given(st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=12)), max_size=6))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_pages_with_anything_in_them_are_a_list_or_an_error_of_ours(edits: list[tuple[int, bytes]]) -> None:
    body = bytearray(page("a.png", "b%20c.png", token="t").body)
    for place, data in edits:
        body[place : place + len(data)] = data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mxspark.storage.web.get", lambda *_given, **_more: Answered(200, "OK", bytes(body)))
        with suppress(StorageError):
            assert all(isinstance(key, str) for key in store("http://127.0.0.1:9").keys())


class Answered:
    def __init__(self, status: int, reason: str, data: bytes) -> None:
        self.status, self.reason, self.data = status, reason, data


# ---- bodies ----


READS: dict[str, Callable[[S3Store], object]] = {
    "an image": lambda found: found.read("a.png", 10**6),
    "an image of an odd name": lambda found: found.read("a//b.png", 10**6),
    "a part's end, of an odd name": lambda found: found.read_tail("a//b.parquet", 1000),
    "a list": lambda found: list(found.keys()),
    "a lock": lambda found: found.read_tagged("_lock.json"),
    "a model": lambda found: found.download("model.params", io.BytesIO(), 10**6),
    "the answer to a write": lambda found: found.write("part", b"rows"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("length", [b"", b"Content-Length: 10\r\n"], ids=["no length", "a length that lies"])
def test_a_body_without_end_is_an_error(read: Callable[[S3Store], object], length: bytes) -> None:
    with (
        answering_with(HEAD + length + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK) as url,
        pytest.raises(StorageError),
    ):
        read(store(url, read_timeout=2))  # a model's first piece has no other end


@pytest.mark.parametrize("key", ["a.parquet", "a//b.parquet"], ids=["by obstore", "by a signed address"])
def test_a_server_that_ignores_ranges_is_not_read_to_its_end(key: str) -> None:
    """By its size, and not only by the time that a request may take."""
    with (
        answering_with(HEAD + b"Content-Length: 3000000000\r\n\r\n", bytes(2**16)) as url,
        pytest.raises(StorageError, match=r"ignores Range|another range|part"),
    ):
        store(url).read_tail(key, 1000)


def test_a_part_that_nobody_asked_for_is_no_object() -> None:
    """By a signed address; obstore doesn't tell an answer of 206 from one of 200."""
    answer = Answer(206, b"abcde", {"Content-Range": "bytes 0-4/10", "ETag": '"1"', "Last-Modified": LONG_AGO})
    with scripted(answer) as server, pytest.raises(StorageError):
        store(server.url).read("a//b.png", 100)


@pytest.mark.parametrize("key", ["InvalidRange.png", "a//InvalidRange.png"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(404, "NoSuchKey"), MissingError),
        (error(403, "AccessDenied", "no InvalidRange here for you"), DeniedError),
    ],
    ids=["missing", "denied"],
)
def test_only_the_code_says_that_an_object_is_empty(key: str, answer: Answer, kind: type[StorageError]) -> None:
    with scripted(answer) as server, pytest.raises(kind):
        store(server.url).read_tail(key, 10)


@pytest.mark.parametrize("key", ["a.png", "a//b.png"], ids=["by obstore", "by a signed address"])
def test_long_words_about_an_error_are_cut_and_the_error_is_kept(key: str) -> None:
    with scripted(error(404, "NoSuchKey", "a" * 2**21)) as server, pytest.raises(MissingError):
        store(server.url).read(key, 100)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: -5\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"X: " + b"a" * 2**20 + b"\r\nContent-Length: 3\r\n",
        b"".join(b"X-%d: a\r\n" % number for number in range(5000)) + b"Content-Length: 3\r\n",
    ],
    ids=["negative", "two lengths", "absurd", "a huge header", "many headers"],
)
def test_broken_headers_are_errors(head: bytes) -> None:
    with answering_with(HEAD + head + b"\r\nabc") as url:
        for name in ("an image", "an image of an odd name", "a list", "a lock"):
            with pytest.raises(StorageError):
                READS[name](store(url))


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "then"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"X: ", b"x"),
        (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    ],
    ids=["100 Continue", "a head", "a body", "chunks", "a chunk's length", "an error"],
)
def test_an_answer_that_drips_for_ever_is_one_that_came_too_late(head: bytes, then: bytes) -> None:
    """An address, a byte or line of which came before each timeout, held a run for ever."""
    settings = StorageSettings(retries=0, read_timeout=0.2)
    with answering_with(head, then, pause=0.01) as url:
        for read in (
            lambda: web.download(f"{url}/net", settings, io.BytesIO(), 10**6),
            lambda: web.WebReader(settings).read(f"{url}/a.png"),
        ):
            with pytest.raises(StorageError, match=r"not complete in time|timed out"):
                read()


@pytest.mark.parametrize(
    ("head", "then"),
    [
        (b"HTTP/1.1 100 Continue", b"x"),
        (OK + b"X: ", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x"),
    ],
    ids=["consent to a body", "a head", "a chunk's length", "a body"],
)
@pytest.mark.parametrize("read", ["a lock", "the answer to a write"])
def test_nor_does_what_boto3_reads_hold_a_driver(read: str, head: bytes, then: bytes) -> None:
    """Each byte of these had storage.read_timeout."""
    with answering_with(head, then, pause=0.01) as url, pytest.raises(StorageError):
        READS[read](store(url, read_timeout=0.2, connect_timeout=0.2))


def test_a_bomb_for_a_model_is_stopped_while_it_arrives() -> None:
    bomb = an_object(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
    target = io.BytesIO()
    with scripted(bomb) as server:
        for place in (f"{server.url}/model.params", "s3://bucket/model.params"):
            with pytest.raises(TooLargeError):
                storage.download(place, store(server.url).access, target, 10_000_000)
            assert target.tell() < 20_000_000


@pytest.mark.parametrize("name", ["model.params", "odd//model.params"])
def test_a_model_that_comes_in_pieces_of_nothing_is_an_error(name: str) -> None:
    """By an address that boto3 signed, it was asked for again and again."""

    def answer(request: Request) -> Answer:
        start = request.headers["range"].partition("=")[2].partition("-")[0]
        told = f"bytes {start}-{start}/100000000" if start == "0" else f"bytes {start}-{int(start) - 1}/100000000"
        return Answer(206, b"x" if start == "0" else b"", {"Content-Range": told, "ETag": '"1"'})

    with answering(answer) as server, pytest.raises(StorageError):
        store(server.url).download(name, io.BytesIO(), 10**9)


def test_an_object_that_was_packed_thousands_of_times_is_not_unpacked() -> None:
    body = an_object(gzip.compress(b"x"), Content_Encoding=", ".join(["gzip"] * 5000))
    with scripted(body) as server:
        for read in (
            store(server.url).read,
            lambda name: web.WebReader(StorageSettings(retries=0)).read(f"{server.url}/{name}"),
        ):
            with pytest.raises(StorageError, match="Content-Encodings"):
                read("a.png")


def test_the_words_of_an_error_are_bounded() -> None:
    with scripted(error(403, "AccessDenied" * 5, "no " * 300_000)) as server:
        for name in ("an image", "a list", "a lock"):
            with pytest.raises(StorageError) as told:
                READS[name](store(server.url))
            assert len(str(told.value)) < 1000
