"""What goes wrong with a bucket is told by the right type of error: what, why, and how to hint it, and never a
secret.
"""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from examples.s3 import Server
from tests.conftest import BUCKET
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, Request, answering, error, scripted

from mxspark.errors import UsageError
from mxspark.storage import (
    Access,
    ClockError,
    Credentials,
    DeniedError,
    MissingError,
    ProxyError,
    S3Store,
    StorageError,
    download,
    is_refusal,
    open_store,
    retries_so_far,
)

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
    return S3Store(
        BUCKET, "", access_to(s3_server.endpoint_url, Credentials(s3_server.access_key, "this-is-the-wrong-secret-key"))
    )


@pytest.fixture(scope="module")
def unknown_key(s3_server: Server) -> S3Store:
    return S3Store(
        BUCKET, "", access_to(s3_server.endpoint_url, Credentials("nobody-known-here", s3_server.secret_key))
    )


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
    assert "\n" in text, "the hint is missing"


@every_way
def test_an_unknown_access_key_is_denied(unknown_key: S3Store, way: Way) -> None:
    assert "\n" in told(unknown_key, way, DeniedError), "the hint is missing"


@pytest.mark.parametrize("way", [WAYS["listing"], WAYS["writing"], WAYS["asking whether it can be written"]])
def test_what_is_wrong_with_the_keys_is_said_where_the_server_says_it(
    unknown_key: S3Store, wrong_secret: S3Store, way: Way
) -> None:
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
    host = urlsplit(no_bucket.access.settings.endpoint_url or "").netloc
    problem = (
        f"s3://no-such-bucket: there is no such bucket (NoSuchBucket: The specified bucket does not exist), at {host}"
    )
    assert text == f"{problem}\nCheck the bucket's name, and --endpoint-url if it isn't on AWS."


@every_way
def test_a_server_that_is_not_there_is_told_soon(no_server: S3Store, way: Way) -> None:
    started = time.monotonic()
    told(no_server, way, StorageError)
    assert time.monotonic() - started < 60  # by default it is tried for 120


CONFUSED = {
    "a proxy's page": Answer(
        502, b"<html><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>", {"Content-Type": "text/html"}
    ),
    "nothing": Answer(502, b""),
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
        told(S3Store("bucket", "", access_to(server.url, retries=0)), WAYS["listing"], ProxyError)


# What the server says is kept, by whichever client it was heard.

HEARD: dict[str, Way] = {
    name: WAYS[name] for name in ("listing", "reading", "reading an awkward key", "downloading", "writing")
}
KEY = "arn:aws:kms:eu-west-1:111122223333:key/abc"
NOT_AUTHORISED = (
    "User: arn:aws:sts::111122223333:assumed-role/job/x is not authorized to perform: {} because no policy allows it"
)
CUSTOMERS = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided."
HEADER = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'"
QUERY = "Error parsing the X-Amz-Credential parameter; the region 'us-east-1' is wrong; expecting 'eu-south-2'"
ENDPOINT = "<Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint>"
CONSTRAINT = (
    "The ap-southeast-3 location constraint is incompatible for the region specific endpoint this request was sent to."
)
EXPLICIT = "x is not authorized to perform: s3:GetObject with an explicit deny in a resource-based policy"
NO_GET = NOT_AUTHORISED.format("s3:GetObject on resource: arn:aws:s3:::bucket/photos/1.png")
# What a server answers, the kind of error that it is, and what is told.
REASONS: dict[str, tuple[Answer, type[StorageError], tuple[str, ...]]] = {
    "archived": (
        error(403, "InvalidObjectState", "The operation is not valid for the object's storage class"),
        StorageError,
        ("the object is archived (InvalidObjectState: The operation is not valid", "Restore it from Glacier"),
    ),
    "no right to the key": (
        error(403, "AccessDenied", NOT_AUTHORISED.format(f"kms:Decrypt on resource: {KEY}")),
        DeniedError,
        (
            KEY,
            "AccessDenied: User: arn:aws:sts::111122223333:assumed-role/job/x",
            "Grant these credentials kms:Decrypt on the key",
        ),
    ),
    "no right": (
        error(403, "AccessDenied", NO_GET),
        DeniedError,
        (
            "access denied (AccessDenied: User",
            "arn:aws:s3:::bucket/photos/1.png",
            "Grant these credentials s3:GetObject.",
        ),
    ),
    "a policy against it": (
        error(403, "AccessDenied", EXPLICIT),
        DeniedError,
        ("A policy denies s3:GetObject explicitly",),
    ),
    "access that is disabled": (
        error(403, "AllAccessDisabled"),
        DeniedError,
        ("AllAccessDisabled: told by the test", "bucket's owner"),
    ),
    "a key that is disabled": (
        error(400, "KMS.DisabledException", f"{KEY} is disabled."),
        StorageError,
        (f"(KMS.DisabledException: {KEY} is disabled)", "Enable the key"),
    ),
    "a key to be deleted": (
        error(400, "KMS.KMSInvalidStateException"),
        StorageError,
        ("told by the test", "cancel its deletion"),
    ),
    "a key with other trouble": (
        error(400, "KMS.InvalidKeyUsageException"),
        StorageError,
        ("told by the test", "Check the key"),
    ),
    "a key of the customer's": (
        error(400, "InvalidRequest", CUSTOMERS),
        StorageError,
        ("(SSE-C)", "InvalidRequest: The object was stored using", "SSE-S3 or SSE-KMS"),
    ),
    "a wrong region, in the header": (
        error(400, "AuthorizationHeaderMalformed", HEADER),
        StorageError,
        ("the bucket is in another region (AuthorizationHeaderMalformed: ", "Set storage.region to eu-central-1."),
    ),
    "a wrong region, in the query": (
        error(400, "AuthorizationQueryParametersError", QUERY),
        StorageError,
        ("Set storage.region to eu-south-2.",),
    ),
    "a wrong region, by its endpoint": (
        error(301, "PermanentRedirect", more=ENDPOINT),
        StorageError,
        ("PermanentRedirect: told by the test", "Set storage.region to eu-west-1."),
    ),
    "a wrong region, by its constraint": (
        error(400, "IllegalLocationConstraintException", CONSTRAINT),
        StorageError,
        ("Set storage.region to ap-southeast-3.",),
    ),
    "a region that is not named": (error(301, "PermanentRedirect"), StorageError, ("Set storage.region.",)),
    "a clock that is wrong": (
        error(403, "RequestTimeTooSkewed"),
        ClockError,
        ("clock", "RequestTimeTooSkewed: told by the test"),
    ),
    "credentials that have expired": (
        error(400, "ExpiredToken"),
        DeniedError,
        ("have expired (ExpiredToken: told", "Renew them"),
    ),
    "no bucket": (
        error(404, "NoSuchBucket"),
        MissingError,
        ("there is no such bucket (NoSuchBucket: told by the test)",),
    ),
    "a code unheard of": (error(403, "BrandNew"), DeniedError, ("access denied (BrandNew: told by the test)",)),
    "a time that is wrong": (
        error(403, "AccessDenied", "Request has expired"),
        ClockError,
        ("clock", "AccessDenied: Request has expired"),
    ),
    "a time to come": (error(403, "AccessDenied", "Request is not yet valid"), ClockError, ("clock", "not yet valid")),
    "a request that is too old": (error(400, "RequestExpired"), ClockError, ("clock", "RequestExpired")),
    "half an error": (
        Answer(403, b"<Error><Code>AccessDenied</Code><Message>Acc"),
        DeniedError,
        ("access denied (AccessDenied)",),
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("reason", REASONS)
def test_the_server_s_reason_is_kept_with_a_hint_that_fits(reason: str) -> None:
    answer, kind, words = REASONS[reason]
    for name, way in HEARD.items():
        if (reason, name) == ("half an error", "writing"):
            continue  # boto3 has words of its own for it
        with scripted(answer) as server:
            text = told(S3Store("bucket", "", access_to(server.url, retries=0)), way, kind)
        assert all(part in text for part in words), f"{name}: {text}"
        assert len(text) < 700
        assert len(text.splitlines()) == 2


SECRETS = {
    "AKIAIOSFODNN7EXAMPLE": "The key AKIAIOSFODNN7EXAMPLE isn't known",
    "tom-s key": "There is no tom-s key here",
    "hushhush": "Access key id: hushhush isn't known",
    "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYhush": "It was made with wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYhush and "
    "that's wrong",
    "FwoGZXIvYXdzEBYaDhush": 'token="FwoGZXIvYXdzEBYaDhush"',
    "fe5f80f77d5fa3beca038a248ff027": "X-Amz-Signature=fe5f80f77d5fa3beca038a248ff027",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.hush": "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.hush",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_the_server_s_reason_tells_no_secret(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tom-s key")
    with scripted(error(403, "AccessDenied", f"{SECRETS[secret]}, it said.\n{'Very sorry. ' * 1000}")) as server:
        for way in HEARD.values():
            text = told(S3Store("bucket", "", access_to(server.url, retries=0)), way, DeniedError)
            assert secret not in text
            assert "Very sorry" in text
            assert len(text) < 600


def test_the_reason_of_a_bucket_that_a_web_address_leads_to_is_kept() -> None:
    with scripted(error(403, "AccessDenied", "Request has expired")) as server, pytest.raises(StorageError) as caught:
        download(f"{server.url}/net.json?X-Amz-Signature=hush", access_to(server.url), io.BytesIO())
    assert (
        caught.value.problem
        == f"{server.url}/net.json: the server answered 403 Forbidden (AccessDenied: Request has expired)"
    )


def test_credentials_are_not_in_what_is_printed_of_a_store(access: Access, s3_store: S3Store) -> None:
    assert access.credentials is not None
    for printed in (repr(s3_store), str(access), repr(replace(access))):
        assert access.credentials.secret_key not in printed
        assert access.credentials.access_key not in printed


@pytest.mark.parametrize("location", ["gs://bucket/x", "https://host/x", "s3:///x", "s3://", "s3://b@d/x"])
def test_places_of_other_kinds_are_refused(access: Access, location: str) -> None:
    with pytest.raises(UsageError, match="Write s3://bucket/prefix"):
        open_store(location, access)


@pytest.mark.parametrize("answer", [error(403, "AccessDenied"), error(404, "NoSuchBucket")])
def test_what_s3_refuses_itself_every_machine_would_get_and_it_is_named(answer: Answer) -> None:
    with scripted(answer) as server:
        for way in (HEARD["reading"], HEARD["writing"], HEARD["listing"]):
            with pytest.raises(StorageError, match=f"told by the test.*{urlsplit(server.url).netloc}") as caught:
                way(S3Store("bucket", "", access_to(server.url)))
            assert is_refusal(caught.value)


PAGES = {
    "a proxy's refusal": Answer(403, b"<html>" + b"no " * 100_000),
    "a mesh's refusal": Answer(403, b"RBAC: access denied"),
    "a log-in": Answer(401, b"<html>Who are you?</html>"),
    "a proxy's log-in": Answer(407),
    "an ingress that knows no such path": Answer(404, b"<html><h1>404 Not Found</h1></html>"),
    "an ingress without any path": Answer(404, b"default backend - 404"),
    "another server": Answer(418, b"<html><body>I'm a teapot</body></html>"),
    "a web server": Answer(405, b"<!DOCTYPE html><p>Not allowed<br>"),
    "a page of success": Answer(200, b"<!DOCTYPE html><p>Who are you?<br>", {"Content-Type": "text/html"}),
    "a portal": Answer(302, b"", {"Location": "/log-in"}),
    "a portal that sends on and on": Answer(302, b"", {"Location": "/loop"}),
}


ON_THE_WAY: dict[str, Way] = {**WAYS, "locking": lambda store: store.replace("lock", b".", None)}


@pytest.mark.parametrize("answer", PAGES.values(), ids=PAGES.keys())
def test_a_page_of_a_proxy_s_says_nothing_of_an_image_and_is_tried_again(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    before = retries_so_far()
    with answering(lambda request: _on_the_way(answer, request)) as server:
        for name, way in ON_THE_WAY.items():
            if answer.status == 200 and name in ("writing", "deleting", "asking whether it can be written"):
                continue  # which boto3 takes for the 500 that S3 may send so late
            if ("/loop", name) == (answer.headers.get("Location"), "reading an awkward key"):
                continue  # urllib3 has words of its own for it
            with pytest.raises(
                ProxyError, match=f"not an S3 response.*tried 2 times.*{urlsplit(server.url).netloc}"
            ) as caught:
                way(S3Store("bucket", "", access_to(server.url, retries=1)))
            assert caught.value.status == "fetch_error"
            assert not is_refusal(caught.value)
    assert set(retries_so_far() - before) == {"proxy"}


def _on_the_way(answer: Answer, request: Request) -> Answer:
    if request.path.startswith("/log-in"):
        return Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"})
    to = (
        {"Location": f"http://{request.headers['host']}{answer.headers['Location']}"}
        if "Location" in answer.headers
        else {}
    )
    return replace(answer, headers={**answer.headers, **to})
