"""The two ways to write a bucket into an address, and addresses that only a proxy can reach."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from examples.s3 import Server
from tests.conftest import BUCKET
from tests.storage.conftest import access_to
from tests.storage.scripted import an_object, listing, scripted

from mxspark.storage import Credentials, S3Store


@contextmanager
def forward_proxy() -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy that finds every name on this machine; its address, and the hosts it was asked for."""
    hosts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = urlsplit(self.path)
            hosts.append(wanted.netloc)
            connection = HTTPConnection("127.0.0.1", wanted.port or 80, timeout=10)
            connection.putrequest(self.command, self.path.partition(wanted.netloc)[2], skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            response = connection.getresponse()
            body = response.read()
            self.send_response(response.status)
            for name, value in response.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            connection.close()

        do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hosts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The only way out, as in many companies' networks; the hosts that were asked for through it."""
    with forward_proxy() as (address, hosts):
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "REQUEST_METHOD"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", address)
        yield hosts


def round_trip(store: S3Store) -> None:
    store.write("photos/a b+c.png", b"pixels")
    assert list(store.keys("photos/")) == ["photos/a b+c.png"]
    assert store.read("photos/a b+c.png") == b"pixels"
    assert store.read_tail("photos/a b+c.png", 2) == b"ls"
    store.check_writable()
    store.delete("photos/a b+c.png")
    assert list(store.keys("photos/")) == []


def a_store(server: Server, endpoint_url: str, style: str) -> S3Store:
    keys = Credentials(server.access_key, server.secret_key)
    return S3Store(BUCKET, f"{uuid4().hex[:8]}/", access_to(endpoint_url, keys, addressing_style=style))


@pytest.mark.parametrize("style", ["path", "auto"])
def test_a_bucket_in_the_path_works(s3_server: Server, style: str) -> None:
    round_trip(a_store(s3_server, s3_server.endpoint_url, style))


def test_a_bucket_in_the_host_name_works(s3_server: Server, request: pytest.FixtureRequest) -> None:
    if not _resolves(f"{BUCKET}.{s3_server.domain}"):  # many resolvers know no names below localhost
        request.getfixturevalue("proxy")
    port = urlsplit(s3_server.endpoint_url).port
    round_trip(a_store(s3_server, f"http://{s3_server.domain}:{port}", "virtual"))


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, 80)
    except OSError:
        return False
    return True


def test_all_requests_go_through_the_proxy_of_the_environment(s3_server: Server, proxy: list[str]) -> None:
    port = urlsplit(s3_server.endpoint_url).port
    store = a_store(s3_server, f"http://s3.company.invalid:{port}", "path")
    round_trip(store)
    assert set(proxy) == {f"s3.company.invalid:{port}"}


def test_no_proxy_is_asked_for_hosts_that_need_none(s3_server: Server, proxy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    round_trip(a_store(s3_server, s3_server.endpoint_url, "path"))
    assert proxy == []


@pytest.mark.parametrize(
    ("style", "endpoint", "host", "path"),
    [
        ("path", "http://s3.company.invalid:9000", "s3.company.invalid:9000", "/photos.2024/a/1.png"),
        ("auto", "http://s3.company.invalid:9000", "s3.company.invalid:9000", "/photos.2024/a/1.png"),
        ("virtual", "http://s3.company.invalid:9000", "photos.2024.s3.company.invalid:9000", "/a/1.png"),
        ("path", "http://s3.company.invalid:9000/gateway", "s3.company.invalid:9000", "/gateway/photos.2024/a/1.png"),
    ],
)
def test_every_client_writes_the_same_address(style: str, endpoint: str, host: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(an_object(b"."), an_object(b"."), listing("a/1.png")) as server:
        for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", server.url)  # so that any host's requests come here, with their address
        store = S3Store("photos.2024", "a/", access_to(endpoint, addressing_style=style))
        store.read("1.png")
        store.read_tail("1.png", 1)
        list(store.keys())
    asked = [urlsplit(request.path) for request in server.requests]
    assert [address.netloc for address in asked] == [host] * 3
    assert [address.path for address in asked[:2]] == [path] * 2
    assert asked[2].path.rstrip("/") == path.removesuffix("/a/1.png")
