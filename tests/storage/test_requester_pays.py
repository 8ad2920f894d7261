"""Buckets whose readers pay: every request says so, whichever library makes it; without the setting none does."""

from pathlib import Path

import pytest
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, Request, answering

from mxspark.storage import DeniedError, S3Store

LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a.png</Key></Contents></ListBucketResult>"
UPLOAD = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
DENIED = Answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")


def bucket(request: Request) -> Answer:
    """What a Requester Pays bucket answers."""
    if request.headers.get("x-amz-request-payer") != "requester":
        return DENIED
    if request.method == "POST":
        return Answer(200, UPLOAD)
    if request.method == "DELETE":
        return Answer(204)
    if "list-type=2" in request.path:
        return Answer(200, LIST)
    told = {"ETag": '"x"', "Last-Modified": "Sat, 28 Nov 2026 10:00:00 GMT"}
    if "range" in request.headers:
        return Answer(206, b"an image", {**told, "Content-Range": "bytes 0-7/8"})
    return Answer(200, b"" if request.method == "PUT" else b"an image", told)


def test_all_that_a_store_does_says_who_pays(tmp_path: Path) -> None:
    with answering(bucket) as server:
        store = S3Store("bucket", "", access_to(server.url, request_payer=True))

        assert list(store.keys()) == ["a.png"]
        assert store.read("a.png") == store.read("a//b.png") == store.read_tail("a.png", 8) == b"an image"
        assert store.has("a.png")
        with open(tmp_path / "a.png", "w+b") as file:
            store.download("a.png", file)
        assert (tmp_path / "a.png").read_bytes() == b"an image"
        store.write("b", b"")
        store.upload("c", tmp_path / "a.png")
        store.delete("b")
        store.check_writable()
        store.read_tagged("a.png")


@pytest.mark.parametrize("key", ["a.png", "a//b.png"])
def test_nobody_pays_unasked(key: str) -> None:
    with answering(bucket) as server:
        store = S3Store("bucket", "", access_to(server.url))

        with pytest.raises(DeniedError):
            store.read(key)
        with pytest.raises(DeniedError):
            next(store.keys())
