"""The two ways to write a bucket into an address, and addresses that only a proxy can reach."""

import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import boto3
import botocore.session
import obstore
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from examples.s3 import Server
from tests.conftest import BUCKET
from tests.storage.certificates import own_certificate
from tests.storage.conftest import NOBODY, access_to
from tests.storage.scripted import Answer, Request, an_object, answering, listing, scripted

from mxspark.dataset.source import Source
from mxspark.errors import UsageError
from mxspark.settings.job import InputSettings, StorageSettings
from mxspark.storage import Access, Credentials, S3Store, StorageError, open_store
from mxspark.storage.s3.clients import Clients


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
            connection.putrequest(
                self.command, self.path.partition(wanted.netloc)[2], skip_host=True, skip_accept_encoding=True
            )
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
        for name in (
            "NO_PROXY",
            "no_proxy",
            "ALL_PROXY",
            "all_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "https_proxy",
            "REQUEST_METHOD",
        ):
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


def test_no_proxy_is_asked_for_hosts_that_need_none(
    s3_server: Server, proxy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    round_trip(a_store(s3_server, s3_server.endpoint_url, "path"))
    assert proxy == []


@pytest.mark.parametrize(
    ("environment", "is_asked"),
    [
        ({"http_proxy": "{proxy}"}, True),
        ({"http_proxy": "{bare}"}, True),
        ({"http_proxy": "{proxy}", "no_proxy": "127.0.0.0/8"}, True),
        ({"http_proxy": "{proxy}", "no_proxy": "*"}, False),
        ({"http_proxy": "{proxy}", "no_proxy": "127.0.0.1:{port}"}, False),
        ({"all_proxy": "{proxy}"}, False),
    ],
)
def test_all_requests_leave_by_the_way_that_boto3_s_take(
    environment: dict[str, str], is_asked: bool, proxy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: Request) -> Answer:
        return (
            Answer(headers={"ETag": '"1"'})
            if request.method == "PUT"
            else listing("1")
            if "list-type" in request.path
            else an_object(b".")
        )

    address = os.environ["http_proxy"]
    monkeypatch.delenv("http_proxy")
    with answering(answer) as server:
        for name, value in environment.items():
            monkeypatch.setenv(
                name, value.format(proxy=address, bare=urlsplit(address).netloc, port=urlsplit(server.url).port)
            )
        store = S3Store("bucket", "", access_to(server.url))
        ways: tuple[Callable[[], object], ...] = (
            lambda: store.write("1", b"."),
            lambda: list(store.keys()),
            lambda: store.read("1"),
            lambda: store.read("a//1"),
        )
        for count, use in enumerate(ways, 1):
            use()
            assert len(proxy) == count * is_asked


def test_a_proxy_is_told_who_asks(proxy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", os.environ["http_proxy"].replace("://", "://me:p%40ss@"))
    with scripted(listing("1"), an_object(b"."), an_object(b".")) as server:
        store = S3Store("bucket", "", access_to(server.url))
        assert [list(store.keys()), store.read("1"), store.read("a//1")] == [["1"], b".", b"."]
    assert [request.headers["proxy-authorization"] for request in server.requests] == 3 * ["Basic bWU6cEBzcw=="]


@pytest.mark.parametrize(
    ("style", "endpoint", "host", "path"),
    [
        ("path", "http://s3.company.invalid:9000", "s3.company.invalid:9000", "/photos.2024/a/1.png"),
        ("auto", "http://s3.company.invalid:9000", "s3.company.invalid:9000", "/photos.2024/a/1.png"),
        ("virtual", "http://s3.company.invalid:9000", "photos.2024.s3.company.invalid:9000", "/a/1.png"),
        ("path", "http://s3.company.invalid:9000/gateway", "s3.company.invalid:9000", "/gateway/photos.2024/a/1.png"),
    ],
)
def test_every_client_writes_the_same_address(
    style: str, endpoint: str, host: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def _regions() -> list[str]:
    """One of each of AWS's partitions, as botocore lists them."""
    partitions = botocore.session.Session().get_component("data_loader").load_data("partitions")["partitions"]
    return [
        next(region for region in partition["regions"] if not region.endswith("-global")) for partition in partitions
    ]


FIPS, DUAL_STACK = {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}
CONFIGURED = {
    "endpoint": "[default]\nendpoint_url = https://s3.corp.example\n",
    "services": "[default]\nservices = corp\n[services corp]\ns3 =\n  endpoint_url = https://s3.corp.example\n",
    "dual-stack": "[default]\nuse_dualstack_endpoint = true\n",
    "fips": "[default]\nuse_fips_endpoint = true\n",
    "path": "[default]\ns3 =\n  addressing_style = path\n",
    "virtual": "[default]\ns3 =\n  addressing_style = virtual\n",
}
OPTIONS: list[tuple[str, dict[str, str], str | None, dict[str, str], str]] = [
    ("photos", FIPS, None, {}, "photos.s3-fips.us-gov-west-1.amazonaws.com"),
    ("photos", DUAL_STACK, None, {}, "photos.s3.dualstack.us-gov-west-1.amazonaws.com"),
    ("photos", FIPS | DUAL_STACK, None, {}, "photos.s3-fips.dualstack.us-gov-west-1.amazonaws.com"),
    ("photos.2024", FIPS, None, {}, "s3-fips.us-gov-west-1.amazonaws.com"),
    ("photos", {}, "endpoint", {}, "s3.corp.example"),
    ("photos", {}, "services", {}, "s3.corp.example"),
    ("photos", {}, "services", {"addressing_style": "virtual"}, "photos.s3.corp.example"),
    ("photos", {}, "dual-stack", {}, "photos.s3.dualstack.us-gov-west-1.amazonaws.com"),
    ("photos", {}, "fips", {}, "photos.s3-fips.us-gov-west-1.amazonaws.com"),
    ("photos", {"AWS_ENDPOINT_URL_S3": "https://s3.corp.example"}, None, {}, "s3.corp.example"),
    (
        "photos",
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        "services",
        {},
        "photos.s3.us-gov-west-1.amazonaws.com",
    ),
    ("photos", {}, "endpoint", {"endpoint_url": "https://given.example/gate"}, "given.example"),
    ("photos", {}, "path", {}, "s3.us-gov-west-1.amazonaws.com"),
    ("photos", {}, "path", {"addressing_style": "virtual"}, "photos.s3.us-gov-west-1.amazonaws.com"),
    ("photos", {}, "virtual", {"endpoint_url": "https://given.example"}, "photos.given.example"),
    ("photos", {}, None, {"endpoint_url": "http://[fd00::1]:9000"}, "[fd00::1]:9000"),
    ("my-point-0123-s3alias", {}, None, {}, "my-point-0123-s3alias.s3.us-gov-west-1.amazonaws.com"),
]


def addresses(bucket: str, **settings: str) -> tuple[str, str]:
    """An object's for boto3 and for obstore, without the signature, and its region."""
    access = Access(StorageSettings.model_validate(settings), NOBODY)
    clients = Clients(bucket, access, f"s3://{bucket}")
    by_boto3 = clients.client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/1.png"})
    by_obstore = obstore.sign(clients.obstore, "GET", "a/1.png", timedelta(seconds=60))
    return _signed_for(by_boto3), _signed_for(by_obstore)


def _signed_for(url: str) -> str:
    place, query = url.split("?")
    return f"{place} {parse_qs(query)['X-Amz-Credential'][0].split('/', 2)[2]}"


@pytest.mark.parametrize("region", _regions())
@pytest.mark.parametrize("environment", [{}, FIPS, DUAL_STACK], ids=["plain", "fips", "dual-stack"])
def test_in_every_partition_all_requests_go_where_boto3_goes_by_itself(
    region: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    try:
        client = boto3.client(
            "s3",
            region_name=region,
            config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
            **keys,
        )
        alone = _signed_for(client.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "a/1.png"}))
    except BotoCoreError as error:  # not every partition has all
        with pytest.raises(StorageError, match=f"s3://photos: {re.escape(str(error)[:40])}"):
            open_store("s3://photos", Access(StorageSettings(region=region), NOBODY)).read("1.png")
    else:
        assert set(addresses("photos", region=region)) == {alone}


@pytest.mark.parametrize(("bucket", "environment", "configured", "settings", "host"), OPTIONS)
def test_what_boto3_is_configured_for_holds_for_obstore(
    bucket: str,
    environment: dict[str, str],
    configured: str | None,
    settings: dict[str, str],
    host: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text(CONFIGURED.get(configured or "", ""))
    for name, value in {"AWS_CONFIG_FILE": str(tmp_path / "config"), **environment}.items():
        monkeypatch.setenv(name, value)
    by_boto3, by_obstore = addresses(bucket, region="us-gov-west-1", **settings)
    assert by_boto3 == by_obstore
    assert urlsplit(by_boto3).netloc == host


@pytest.mark.parametrize("separator", ["/", ":"])
def test_the_arn_of_an_access_point_is_refused_with_a_hint_at_its_alias(separator: str) -> None:
    place = f"s3://arn:aws-cn:s3:cn-north-1:123456789012:accesspoint{separator}my-point/photos"
    for use in (lambda: open_store(place, Access()), lambda: Source(InputSettings(path=place), Access()).reach()):
        with pytest.raises(UsageError, match=r"the ARN of an access point isn't taken.*\n.*alias"):
            use()


def test_a_directory_bucket_is_listed_by_folders_and_asked_in_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    session = "".join(
        f"<{name}>{value}</{name}>"
        for name, value in {
            "SessionToken": "in-session",
            "SecretAccessKey": "s",
            "AccessKeyId": "SESSION",
            "Expiration": "2099-01-01T00:00:00Z",
        }.items()
    )

    def answer(request: Request) -> Answer:
        if "?session" in request.path:
            return Answer(
                body=f"<CreateSessionResult><Credentials>{session}</Credentials></CreateSessionResult>".encode()
            )
        if "list-type" in request.path:
            return listing("photos/img2.png", "photos/other.png", "photos/img1.png")
        return an_object(b"pixels") if request.method == "GET" else Answer(headers={"ETag": '"1"'})

    with answering(answer) as server:
        for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", server.url)
        store = S3Store("images--use1-az4--x-s3", "", access_to("http://s3express.company.invalid", region="us-east-1"))
        assert list(store.keys("photos/img")) == ["photos/img2.png", "photos/img1.png"]
        assert store.has("photos/img1.png")
        assert not store.has("photos/img")
        assert store.read("photos/img1.png") == b"pixels"
        assert store.read_tail("photos/img1.png", 2) == b"ls"
        store.write("photos/img3.png", b".")
    asked = [request for request in server.requests if "?session" not in request.path]
    assert {
        parse_qs(urlsplit(request.path).query)["prefix"][0] for request in asked if "list-type" in request.path
    } == {"photos/"}
    assert all("SESSION" in request.path + request.headers.get("authorization", "") for request in asked)


@pytest.fixture(scope="module", params=[False, True], ids=["a server's", "an authority's too"])
def own_authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_certificate(tmp_path_factory.mktemp("authority"), request.param)


@pytest.mark.parametrize("way", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "config"])
def test_every_client_trusts_whom_boto3_trusts(
    way: str, own_authority: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_authority)

    def answer(request: Request) -> Answer:
        if "list-type" in request.path:
            return listing("1.png")
        return an_object(b"pixels") if request.method == "GET" else Answer(headers={"ETag": '"1"'})

    with answering(answer, context=context) as server:
        store = S3Store("bucket", "", access_to(server.url.replace("127.0.0.1", "localhost"), retries=0))
        for use in (lambda: store.read("1.png"), lambda: list(store.keys()), lambda: store.write("1.png", b".")):
            with pytest.raises(
                StorageError, match=r"s3://bucket.* certificate of localhost:\d+ isn't trusted.*\n.*AWS_CA_BUNDLE"
            ) as told:
                use()
            assert told.value.cause == ""
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {own_authority}\n")
        monkeypatch.setenv(
            *(("AWS_CONFIG_FILE", str(tmp_path / "config")) if way == "config" else (way, str(own_authority)))
        )
        store = S3Store("bucket", "", store.access)
        assert store.read("1.png") == b"pixels"
        assert list(store.keys()) == ["1.png"]
        store.write("1.png", b".")
