"""Servers that send their readers elsewhere: no credentials go along, and what comes from there is no object.

Before, obstore carried x-amz-security-token to any host, and took what came from there for the image.
"""

import io
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.storage.certificates import own_certificate
from tests.storage.scripted import Answer, Scripted, an_object, answering, scripted

from mxspark import storage
from mxspark.settings.job import StorageSettings
from mxspark.storage import Access, S3Store, StorageError, WebReader, web

TOKEN = "a-session-token"
SENT = (301, 302, 303, 307, 308)
READS: dict[str, Callable[[S3Store], object]] = {
    "an image": lambda store: store.read("a.png"),
    "an image of an odd name": lambda store: store.read("a//b.png"),
    "the end of a part": lambda store: store.read_tail("part", 8),
    "a model": lambda store: store.download("model.params", io.BytesIO()),
    "a list": lambda store: list(store.keys()),
    "a lock": lambda store: store.read_tagged("_lock.json"),
    "a write": lambda store: store.write("part", b"rows"),
}


@pytest.fixture(autouse=True)
def _keys(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "AKIAEXAMPLE", "SECRET_ACCESS_KEY": "secret", "SESSION_TOKEN": TOKEN}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@contextmanager
def sending_on(status: int, host: str = "127.0.0.1") -> Iterator[tuple[Scripted, Scripted]]:
    """A server, and the one to which it sends everybody."""
    with ExitStack() as stack:
        other = stack.enter_context(scripted(an_object(b"not the object")))
        place = f"{other.url.replace('127.0.0.1', host)}/elsewhere"
        yield stack.enter_context(scripted(Answer(status, b"", {"Location": place}))), other


def store(url: str) -> S3Store:
    return S3Store("bucket", "", Access(StorageSettings(endpoint_url=url, region="us-east-1", retries=0)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_nobody_is_sent_on_from_a_bucket(read: Callable[[S3Store], object], host: str) -> None:
    with sending_on(307, host) as (first, other), pytest.raises(StorageError):
        read(store(first.url))
    assert other.requests == []


@pytest.mark.parametrize("status", SENT)
def test_every_kind_of_sending_on_is_told(status: int) -> None:
    with (
        sending_on(status) as (first, other),
        pytest.raises(StorageError, match=r"not an S3 response|elsewhere|another region"),
    ):
        store(first.url).read("a.png")
    assert other.requests == []


def test_permanent_keys_go_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN")  # so that obstore itself reads
    with sending_on(307, "localhost") as (first, other), pytest.raises(StorageError, match="redirects elsewhere"):
        store(first.url).read("a.png")
    assert other.requests == []


def test_through_a_proxy_nobody_is_sent_on_either(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Answer(307, b"", {"Location": "http://elsewhere.invalid/"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(StorageError, match="elsewhere"):
            store("http://store.invalid").read("a.png")
    assert [request.path.partition("?")[0] for request in proxy.requests] == ["http://store.invalid/bucket/a.png"]


def test_web_addresses_may_be_sent_on_but_not_in_circles() -> None:
    reader = WebReader(StorageSettings(retries=0))
    with sending_on(302) as (first, other):
        assert reader.read(f"{first.url}/a.png") == b"not the object"
        assert not {"authorization", "cookie", "x-amz-security-token"} & set(other.requests[0].headers)
    with (
        answering(lambda request: Answer(302, b"", {"Location": f"{request.path}x"})) as circle,
        pytest.raises(StorageError, match="5 times"),
    ):
        reader.read(f"{circle.url}/a.png")


def test_nobody_is_sent_to_this_machine_s_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service of a cloud gives credentials to who asks from the machine; a server outside can't ask it."""
    with sending_on(302) as (first, other):
        monkeypatch.setattr(
            web, "_is_near", lambda connected: str(connected.getpeername()[1]) == other.url.rpartition(":")[2]
        )
        with pytest.raises(StorageError, match="an address of this machine"):
            WebReader(StorageSettings(retries=0)).read(f"{first.url}/a.png")


@pytest.mark.parametrize(
    ("address", "is_near"),
    [
        ("169.254.169.254", True),
        ("127.0.0.1", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("10.0.0.1", False),
        ("fd00::1", False),
    ],
)
def test_which_addresses_those_are(address: str, is_near: bool) -> None:
    assert web._is_near(SimpleNamespace(getpeername=lambda: (address, 80))) is is_near


def test_from_https_nobody_is_sent_to_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = own_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))  # which wins over the others that a machine may have
    reads: list[Callable[[str, Access], object]] = [
        lambda place, access: WebReader(access.settings).read(place),
        lambda place, access: storage.download(place, access, io.BytesIO()),
    ]
    with scripted(an_object(b"in the open")) as other:
        sends = Answer(302, b"", {"Location": f"{other.url}/a.png"})
        with answering(lambda _request: sends, context=context) as first:
            for read in reads:
                with pytest.raises(StorageError, match="from https:// to http://"):
                    read(first.url.replace("127.0.0.1", "localhost") + "/a.png", Access(StorageSettings(retries=0)))
    assert other.requests == []
