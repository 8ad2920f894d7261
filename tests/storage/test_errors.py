"""What goes wrong with a bucket is told by the right type of error: what, why, and how to mend it, and never a secret."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from examples.s3 import Server
from tests.conftest import BUCKET
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, error, scripted

from mxspark.errors import UsageError
from mxspark.storage import Access, Credentials, DeniedError, MissingError, S3Store, StorageError, open_store

WAYS = {
    "listing": lambda store: list(store.keys("photos/")),
    "reading": lambda store: store.read("photos/1.png"),
    "reading an awkward key": lambda store: store.read("photos//1.png"),
    "reading a tail": lambda store: store.read_tail("photos/1.png", 10),
    "downloading": lambda store: store.download("photos/1.png", io.BytesIO()),
    "writing": lambda store: store.write("photos/1.png", b"."),
    "deleting": lambda store: store.delete("photos/1.png"),
    "asking whether it can be written": lambda store: store.check_writable(),
}
Way = Callable[[S3Store], object]
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def told(store: S3Store, way: Way, kind: type[StorageError]) -> str:
    """What a person is told, who must be told the place and never how it was signed for."""
    with pytest.raises(kind) as caught:
        way(store)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert f"s3://{store.bucket}" in text
    assert "Signature=" not in text
    assert "Credential=" not in text
    assert store.access.credentials is not None
    assert store.access.credentials.secret_key not in text
    return text


@pytest.fixture(scope="module")
def wrong_secret(s3_server: Server) -> S3Store:
    return S3Store(BUCKET, "", access_to(s3_server.endpoint_url, Credentials(s3_server.access_key, "this-is-the-wrong-secret-key")))


@pytest.fixture(scope="module")
def unknown_key(s3_server: Server) -> S3Store:
    return S3Store(BUCKET, "", access_to(s3_server.endpoint_url, Credentials("nobody-known-here", s3_server.secret_key)))


@pytest.fixture(scope="module")
def no_bucket(access: Access) -> S3Store:
    return S3Store("no-such-bucket", "", access)


@pytest.fixture(scope="module", params=["nobody listens", "nobody knows the name"])
def no_server(request: pytest.FixtureRequest, unused_port: int) -> S3Store:
    url = f"http://127.0.0.1:{unused_port}" if request.param == "nobody listens" else "http://nowhere.invalid:1"
    return S3Store(BUCKET, "", access_to(url, retries=1))


@every_way
def test_a_wrong_secret_key_is_denied(wrong_secret: S3Store, s3_server: Server, way: Way) -> None:
    text = told(wrong_secret, way, DeniedError)
    assert s3_server.secret_key not in text
    assert "\n" in text, "the mend is missing"


@every_way
def test_an_unknown_access_key_is_denied(unknown_key: S3Store, way: Way) -> None:
    assert "\n" in told(unknown_key, way, DeniedError), "the mend is missing"


@pytest.mark.parametrize("way", [WAYS["listing"], WAYS["writing"], WAYS["asking whether it can be written"]])
def test_what_is_wrong_with_the_keys_is_said_where_the_server_says_it(unknown_key: S3Store, wrong_secret: S3Store, way: Way) -> None:
    text = told(unknown_key, way, DeniedError)
    assert "doesn't know this access key" in text
    assert "AWS_ACCESS_KEY_ID" in text
    text = told(wrong_secret, way, DeniedError)
    assert "the secret key doesn't fit the access key" in text
    assert "AWS_SECRET_ACCESS_KEY" in text


@pytest.mark.parametrize(
    "way", [way for name, way in WAYS.items() if name != "deleting"], ids=[name for name in WAYS if name != "deleting"]
)
def test_a_bucket_that_is_not_there_is_missing(no_bucket: S3Store, way: Way) -> None:
    told(no_bucket, way, MissingError)


def test_of_a_bucket_that_is_not_there_the_name_is_to_be_checked(no_bucket: S3Store) -> None:
    text = told(no_bucket, WAYS["listing"], MissingError)
    assert text == "s3://no-such-bucket: there is no such bucket\nCheck the bucket's name, and --endpoint-url if it isn't on AWS."


@every_way
def test_a_server_that_is_not_there_is_told_soon(no_server: S3Store, way: Way) -> None:
    started = time.monotonic()
    told(no_server, way, StorageError)
    assert time.monotonic() - started < 10


CONFUSED = {
    "a proxy's page": Answer(502, b"<html><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>", {"Content-Type": "text/html"}),
    "nothing": Answer(502, b""),
    "another server's page": Answer(418, b"<html><body>I'm a teapot</body></html>", {"Content-Type": "text/html"}),
    "an internal error": error(500, "InternalError"),
    "an error unheard of": error(400, "SomethingNew"),
}


@pytest.fixture(scope="module", params=[pytest.param(answer, id=name) for name, answer in CONFUSED.items()])
def confused(request: pytest.FixtureRequest) -> Iterator[S3Store]:
    with scripted(request.param) as server:
        yield S3Store("bucket", "", access_to(server.url, retries=0))


@every_way
def test_an_answer_that_makes_no_sense_is_an_error_of_storage(confused: S3Store, way: Way) -> None:
    told(confused, way, StorageError)


def test_a_web_page_is_not_an_empty_listing() -> None:
    page = Answer(200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})
    with scripted(page) as server:
        told(S3Store("bucket", "", access_to(server.url)), WAYS["listing"], StorageError)


def test_credentials_are_not_in_what_is_printed_of_a_store(access: Access, s3_store: S3Store) -> None:
    assert access.credentials is not None
    for printed in (repr(s3_store), str(access), repr(replace(access))):
        assert access.credentials.secret_key not in printed
        assert access.credentials.access_key not in printed


@pytest.mark.parametrize("location", ["gs://bucket/x", "https://host/x", "s3:///x", "s3://", "s3://b@d/x"])
def test_places_of_other_kinds_are_refused(access: Access, location: str) -> None:
    with pytest.raises(UsageError, match="Write s3://bucket/prefix"):
        open_store(location, access)
