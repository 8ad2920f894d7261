"""Stores that aren't AWS's: many refuse checksums that come after the body, as boto3 sends them by https, each in
words of its own.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from tests.storage.certificates import own_certificate
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, Request, Scripted, an_object, answering, error, listing

from mxspark.storage import Credentials, DeniedError, S3Store, StorageError

KEYS = Credentials("nobody", "nothing-that-is-a-secret")
# What they are known to answer, by their users' reports.
REFUSALS = {
    "Oracle OCI": error(501, "NotImplemented", "AWS chunked encoding not supported"),
    "Cloudflare R2 of 2025": error(
        501, "NotImplemented", "Header 'x-amz-checksum-crc32' with value '…' not implemented"
    ),
    "Backblaze B2": error(
        400, "InvalidArgument", "Unsupported header 'x-amz-checksum-crc32' received for this API call."
    ),
    "Storj, MinIO before 2025": error(411, "MissingContentLength", "You must provide the Content-Length HTTP header."),
    "Ceph": error(400, "XAmzContentSHA256Mismatch", ""),
    "Google Cloud Storage": error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match"),
}


@contextmanager
def store_that_refuses(refusal: Answer, certificate: Path) -> Iterator[Scripted]:
    def answer(request: Request) -> Answer:
        if request.method != "GET" and any(
            name.startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk-checksum")) for name in request.headers
        ):
            return refusal
        if "aws-chunked" in request.headers.get("content-encoding", "") or request.headers.get(
            "x-amz-content-sha256", ""
        ).startswith("STREAMING"):
            return refusal
        if "list-type" in request.path:
            return listing("1.png")
        if request.path.endswith("?uploads"):
            return Answer(body=b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        if request.method == "POST":
            return Answer(body=b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>')
        return an_object(b"pixels") if request.method == "GET" else Answer(headers={"ETag": '"1"'})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with answering(answer, context=context) as server:
        yield server


@pytest.fixture(autouse=True)
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = own_certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    return file


def store_at(server: Scripted, **settings: str) -> S3Store:
    return S3Store("bucket", "", access_to(server.url.replace("127.0.0.1", "localhost"), KEYS, retries=0, **settings))


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_store_that_knows_no_checksums_is_written(refusal: Answer, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(9 * 2**20))
    with store_that_refuses(refusal, certificate) as server:
        store = store_at(server)
        store.check_writable()
        store.write("1.png", b"pixels")
        store.upload("large", tmp_path / "large")
        assert store.replace("_lock.json", b"{}", '"0123456789abcdef"') == '"1"'
        assert store.read("1.png") == b"pixels"
        store.delete("1.png")
    bodies = {request.path: request.body for request in server.requests if request.method == "PUT"}
    assert bodies["/bucket/1.png"] == b"pixels", "as it is, not in chunks"
    assert bodies["/bucket/_mxspark_writable"], "no bytes would prove nothing"
    assert [request.path for request in server.requests[:2]] == ["/bucket/_mxspark_writable"] * 2
    assert server.requests[1].method == "DELETE"


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("way", ["setting", "variable"])
def test_one_that_is_sent_checksums_all_the_same_is_known_before_a_run(
    refusal: Answer, way: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "variable":
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    with store_that_refuses(refusal, certificate) as server:
        store = store_at(server, **({"request_checksums": "when_supported"} if way == "setting" else {}))
        with pytest.raises(StorageError) as told:
            store.check_writable()
    assert "storage.request_checksums" in told.value.hint
    assert "when_required" in told.value.hint


def test_a_signature_that_does_not_match_has_two_causes(certificate: Path) -> None:
    refusal = REFUSALS["Google Cloud Storage"]
    with store_that_refuses(refusal, certificate) as server, pytest.raises(DeniedError) as told:
        store_at(server, request_checksums="when_supported").write("1.png", b".")
    assert (
        "the secret key doesn't fit the access key, or the server got another request than was signed"
        in told.value.problem
    )
    assert "AWS_SECRET_ACCESS_KEY" in told.value.hint


@pytest.mark.parametrize(("chosen", "asks"), [("auto", False), ("when_required", False), ("when_supported", True)])
def test_checksums_of_what_is_read_are_asked_for_where_that_is_wanted(
    chosen: str, asks: bool, certificate: Path
) -> None:
    with store_that_refuses(error(500, "InternalError"), certificate) as server:
        store_at(server, response_checksums=chosen).read_tagged("1.png")
    assert ("x-amz-checksum-mode" in server.requests[0].headers) is asks


def test_an_empty_object_of_a_store_that_has_no_range_of_it_is_read() -> None:
    """versitygw does it of empty objects; obstore takes no such answer."""
    target = BytesIO()
    whole = Answer(headers={"ETag": '"1"', "Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"})
    with answering(lambda _request: whole) as server:
        store = S3Store("bucket", "", access_to(server.url, KEYS, retries=0))
        store.download("1.png", target)
        assert target.getvalue() == store.read_tail("1.png", 3) == b""


@pytest.mark.parametrize("span", [None, "bytes 0-9/*", "bytes 5-14/40", "bytes 0-3/40"])
def test_a_part_that_does_not_say_which_it_is_is_no_whole_object(span: str | None) -> None:
    part = Answer(206, b"ten bytes.", {"ETag": '"1"', **({"Content-Range": span} if span else {})})
    with answering(lambda _request: part) as server:
        store = S3Store("bucket", "", access_to(server.url, KEYS, retries=0))
        with pytest.raises(StorageError):
            store.download("a//model.params", BytesIO())  # a key that obstore can't name


def test_a_key_that_is_unknown_is_no_object_that_is_missing() -> None:
    """As versitygw says it."""
    refusal = error(404, "XAdminUserNotFound", "No user exists with the provided access key ID")
    with (
        answering(lambda _request: refusal) as server,
        pytest.raises(DeniedError, match="doesn't know this access key"),
    ):
        S3Store("bucket", "", access_to(server.url, KEYS, retries=0)).read("1.png")
