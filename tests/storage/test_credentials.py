"""Where credentials come from: boto3's default chain, or keys that were handed over; and none for public buckets."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from examples.s3 import Server
from tests.conftest import BUCKET
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, Request, an_object, answering, error, listing, scripted

from mxspark.settings.job import StorageSettings
from mxspark.storage import Access, Credentials, CredentialsError, DeniedError, S3Store, StorageError, retries_so_far


def uses_a_bucket_in_every_way(store: S3Store) -> None:
    """Through boto3, its presigned listing, and obstore."""
    store.write("photos/1.png", b"pixels")
    assert list(store.keys("photos/")) == ["photos/1.png"]
    assert store.read("photos/1.png") == b"pixels"
    store.delete("photos/1.png")


@pytest.fixture
def chain(s3_server: Server, request: pytest.FixtureRequest) -> S3Store:
    """A store that is told the server, and must find the keys by itself."""
    return S3Store(BUCKET, f"{request.node.name}/", Access(StorageSettings(endpoint_url=s3_server.endpoint_url)))


def test_keys_in_the_environment_are_found(chain: S3Store, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    uses_a_bucket_in_every_way(chain)


def test_the_server_is_found_in_the_environment_too(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    uses_a_bucket_in_every_way(S3Store(BUCKET, "by-environment/", Access()))


def test_a_profile_in_a_credentials_file_is_found(
    chain: S3Store, s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n"
        f"[lab]\naws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    uses_a_bucket_in_every_way(chain)


def test_a_profile_that_is_not_there_is_told(chain: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(StorageError, match="nobodys"):
        list(chain.keys())
    with pytest.raises(StorageError, match="nobodys"):
        chain.read("photos/1.png")


def test_keys_that_were_handed_over_win_over_the_environment(
    s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another session")
    given = Credentials(s3_server.access_key, s3_server.secret_key)
    uses_a_bucket_in_every_way(S3Store(BUCKET, "handed-over/", access_to(s3_server.endpoint_url, given)))


THREE_WAYS: dict[str, Callable[[S3Store], object]] = {
    "listing": lambda store: list(store.keys()),
    "reading": lambda store: store.read("photos/1.png"),
    "writing": lambda store: store.write("photos/1.png", b"."),
}


@pytest.mark.parametrize("way", THREE_WAYS.values(), ids=THREE_WAYS.keys())
def test_without_any_keys_the_mend_names_where_they_may_be(chain: S3Store, way: Callable[[S3Store], object]) -> None:
    with pytest.raises(CredentialsError, match="no AWS credentials found") as caught:
        way(chain)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE" in caught.value.hint
    assert "storage.anonymous" in caught.value.hint


def test_anonymous_requests_are_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "not-to-be-used")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-used")
    with scripted(listing("photos/1.png"), an_object(b"pixels"), an_object(b"pixels")) as server:
        store = S3Store("bucket", "", access_to(server.url, None, anonymous=True))
        assert list(store.keys()) == ["photos/1.png"]
        assert store.read("photos/1.png") == b"pixels"
        assert store.read("photos//1.png") == b"pixels"
    assert len(server.requests) == 3
    for request in server.requests:
        assert "authorization" not in request.headers
        assert "Signature" not in request.path


def test_anonymous_requests_to_a_private_bucket_are_denied(s3_server: Server) -> None:
    store = S3Store(BUCKET, "", access_to(s3_server.endpoint_url, None, anonymous=True))
    for way in THREE_WAYS.values():
        with pytest.raises(DeniedError):
            way(store)


def test_a_web_identity_is_changed_into_keys_with_a_token(
    moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("a-token-that-the-pod-was-given")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/predictor")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with scripted(listing("photos/1.png"), an_object(b"pixels"), an_object(b"pixels")) as server:
        store = S3Store("bucket", "", access_to(server.url, None))
        assert list(store.keys()) == ["photos/1.png"]
        assert store.read("photos/1.png") == b"pixels"
        store.download("photos/1.png", io.BytesIO())
    for request in server.requests:  # in their addresses, since over http:// obstore would tell the token to others
        assert "X-Amz-Security-Token=" in request.path
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in request.path


@pytest.mark.parametrize("way", ["listing", "writing"])
def test_a_web_identity_without_its_token_is_told(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/predictor")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(CredentialsError, match=r"the token of its role: .*token'\nCheck AWS_WEB_IDENTITY_TOKEN_FILE"):
        THREE_WAYS[way](S3Store("bucket", "", access_to("http://127.0.0.1:9", None)))


def test_keys_that_have_expired_are_told_to_be_renewed() -> None:
    body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    expired = Answer(400, body, {"Content-Type": "application/xml"})
    with scripted(expired) as server:
        store = S3Store("bucket", "", access_to(server.url))
        for way in THREE_WAYS.values():
            with pytest.raises(DeniedError, match=r"have expired.*\nRenew them"):
                way(store)


@pytest.mark.parametrize("way", THREE_WAYS.values(), ids=THREE_WAYS.keys())
def test_keys_that_are_renewed_while_they_are_tried_again_are_found(
    way: Callable[[S3Store], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever renews them writes the file anew, and the server knows the new ones alone."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    right = {"GET": an_object(b"pixels"), "PUT": Answer(headers={"ETag": '"1"'})}
    asked_with: list[str] = []

    def write(key: str) -> None:
        file.write_text(
            f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\naws_session_token = token\n"
        )

    def answer(request: Request) -> Answer:
        key = re.search(r"Credential=(\w+)", request.headers.get("authorization", "") + request.path)
        assert key is not None
        asked_with.append(key[1])
        if key[1] == "NEW":
            return listing("photos/1.png") if "list-type" in request.path else right[request.method]
        if len(asked_with) == 2:
            write("NEW")
        return error(400, "ExpiredToken")

    write("OLD")
    before = retries_so_far()
    with answering(answer) as server:
        way(S3Store("bucket", "", Access(StorageSettings(endpoint_url=server.url))))

    assert asked_with == ["OLD", "OLD", "NEW"]
    assert retries_so_far() - before == {"expired_credentials": 2}
