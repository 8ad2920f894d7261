"""Whoever gives credentials may be busy, slow or away: that costs time, and says nothing of S3 or an image."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.storage.conftest import access_to
from tests.storage.scripted import Answer, Request, Scripted, an_object, answering, error, listing

from mxspark.storage import Access, CredentialsError, DeniedError, ProxyError, S3Store, StorageError, retries_so_far

RETRY_SECONDS = 60.0
SOON, LATER = timedelta(minutes=5), timedelta(hours=1)


def keys(name: str = "KEY", lasts: timedelta = LATER) -> dict[str, str]:
    expires = (datetime.now(UTC) + lasts).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"AccessKeyId": name, "SecretAccessKey": "secret", "Token": "token", "Expiration": expires}


def sts_keys(name: str = "KEY", lasts: timedelta = LATER, seconds: float = 0.0) -> Answer:
    given = {"SessionToken" if key == "Token" else key: value for key, value in keys(name, lasts).items()}
    text = "".join(f"<{key}>{value}</{key}>" for key, value in given.items())
    result = f"<AssumeRoleWithWebIdentityResult><Credentials>{text}</Credentials></AssumeRoleWithWebIdentityResult>"
    body = (
        "<AssumeRoleWithWebIdentityResponse "
        f'xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{result}</AssumeRoleWithWebIdentityResponse>'
    )
    return Answer(body=body.encode(), headers={"Content-Type": "text/xml"}, seconds=seconds)


def sts_error(status: int, code: str, message: str = "told by the test") -> Answer:
    details = f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
    body = f"<ErrorResponse><Error>{details}</Error></ErrorResponse>"
    return Answer(status, body.encode(), {"Content-Type": "text/xml"})


def as_json(**content: str) -> Answer:
    return Answer(body=json.dumps(content).encode(), headers={"Content-Type": "application/json"})


@dataclass
class Giver:
    """Who gives credentials: STS, an instance's metadata service or a pod's agent. It answers as `script` says, then
    with keys.
    """

    script: list[Answer]
    asked: int = 0
    keys: Answer | None = None

    def answer(self, request: Request) -> Answer:
        if request.path == "/latest/api/token":
            return Answer(body=b"token")
        if request.path.endswith("/security-credentials/"):
            return Answer(body=b"role")
        self.asked += 1
        if self.script:
            return self.script.pop(0)
        return self.keys or (sts_keys() if request.method == "POST" else as_json(**keys(), Code="Success"))


ENVIRONMENTS = {
    "STS": {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token",
        "AWS_ENDPOINT_URL_STS": "{url}",
    },
    "metadata": {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}"},
    "agent": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/v1/credentials"},
}


@pytest.fixture
def s3() -> Iterator[Scripted]:
    """A server in good health, which knows the keys KEY and NEW."""
    answers = {"GET": an_object(b"pixels"), "PUT": Answer(headers={"ETag": '"1"'})}

    def answer(request: Request) -> Answer:
        signed = re.search(r"Credential=(KEY|NEW)\b", request.headers.get("authorization", "") + request.path)
        return (
            (listing("photos/1.png") if "list-type" in request.path else answers[request.method])
            if signed
            else error(403, "AccessDenied")
        )

    with answering(answer) as server:
        yield server


@dataclass
class Waits:
    """Time that passes by waiting alone."""

    seconds: float = 1000.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    passed = Waits()
    monkeypatch.setattr("time.sleep", passed.sleep)
    monkeypatch.setattr("time.monotonic", lambda: passed.seconds)
    return passed


Given = Callable[[str, Giver], S3Store]


@pytest.fixture
def given(s3: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Given]:
    """A store whose credentials are given so."""
    (tmp_path / "token").write_text("a-token-that-the-pod-was-given")
    with ExitStack() as stack:

        def give(way: str, giver: Giver) -> S3Store:
            server = stack.enter_context(answering(giver.answer))
            for name, value in ENVIRONMENTS[way].items():
                monkeypatch.setenv(name, value.format(url=server.url, folder=tmp_path))
            monkeypatch.setenv("AWS_REGION", "us-east-1")
            return S3Store("bucket", "", access_to(s3.url, None, retries=2, retry_seconds=RETRY_SECONDS))

        yield give


USES: dict[str, Callable[[S3Store], object]] = {
    "reading": lambda store: store.read("photos/1.png"),
    "listing": lambda store: list(store.keys()),
    "writing": lambda store: store.write("photos/1.png", b"."),
}
PAGE = b"<!DOCTYPE html><p>Log in<br></body>"  # which is no XML
THROTTLED = sts_error(400, "Throttling", "Rate exceeded")
PASSING = {
    "STS throttled": ("STS", THROTTLED, r"STS throttled \(Throttling: Rate exceeded\)"),
    "STS out of order": ("STS", sts_error(503, "ServiceUnavailable"), "STS: ServiceUnavailable"),
    "no word of STS": ("STS", Answer(drop=True), r"STS can't be reached at 127\.0\.0\.1:\d+"),
    "STS's answer broken off": (
        "STS",
        Answer(body=sts_keys().body[:100], headers={"Content-Type": "text/xml"}),
        "ResponseParserError",
    ),
    "a page instead of STS's answer": ("STS", Answer(body=PAGE), r"not a response of STS \(HTTP 200\)"),
    "a proxy's log-in": ("STS", Answer(407, PAGE), r"not a response of STS \(HTTP 407\)"),
    "a proxy without words": ("STS", Answer(403), r"not a response of STS \(HTTP 403\)"),
    "a portal": ("STS", Answer(302, PAGE, {"Location": "/log-in"}), r"not a response of STS \(HTTP 302\)"),
    "a balancer that is out of order": ("STS", Answer(502, PAGE), "STS: HTTP 502 Bad Gateway"),
    "a page instead of the agent's answer": (
        "agent",
        Answer(403, PAGE),
        r"not a response of the pod's or container's agent \(HTTP 403\)",
    ),
    "STS throttled by a proxy": ("STS", Answer(429, b"<html>busy</html>"), "STS: HTTP 429 Too Many Requests"),
    "a proxy that refuses STS": ("STS", Answer(403, b"<html>blocked</html>"), r"not a response of STS \(HTTP 403\)"),
    "identity provider away": ("STS", sts_error(400, "IDPCommunicationError"), "STS: IDPCommunicationError"),
    "identity provider's keys away": (
        "STS",
        sts_error(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"),
        "STS: InvalidIdentityToken",
    ),
    "metadata service throttled": ("metadata", Answer(429), "metadata service: 429"),
    "metadata service out of order": ("metadata", Answer(500), "metadata service: 500"),
    "metadata service silent": ("metadata", Answer(drop=True), "metadata service: ConnectionClosed"),
    "metadata service's nonsense": ("metadata", Answer(body=b"null"), "TypeError"),
    "Pod Identity's nonsense": ("agent", Answer(body=b"[]"), "TypeError"),
    "Pod Identity's half answer": ("agent", as_json(AccessKeyId="KEY"), "KeyError: 'SecretAccessKey'"),
    "Pod Identity out of order": (
        "agent",
        Answer(500, b"internal"),
        r"the pod's or container's agent: 500 \(internal\)",
    ),
    "Pod Identity throttled": ("agent", Answer(429), "the pod's or container's agent: 429"),
}
passing = pytest.mark.parametrize(("way", "fault", "words"), PASSING.values(), ids=PASSING.keys())


@passing
def test_what_passes_costs_time_and_nothing_else(
    way: str, fault: Answer, words: str, given: Given, s3: Scripted, waits: Waits
) -> None:
    store, before = given(way, Giver([fault] * 6)), retries_so_far()
    assert [use(store) for use in USES.values()] == [b"pixels", ["photos/1.png"], None]
    assert set(retries_so_far() - before) == {"credentials"}
    assert len(s3.requests) == len(USES), "of S3 nothing was asked before there were credentials"


@passing
def test_what_does_not_pass_is_told_as_what_it_is(
    way: str, fault: Answer, words: str, given: Given, s3: Scripted, waits: Waits
) -> None:
    giver, started = Giver([fault] * 1000), waits.seconds
    store = given(way, giver)
    with pytest.raises(
        CredentialsError,
        match=f"^s3://bucket/photos/1.png: can't get credentials: {words}.* times|^s3://bucket: can't.*{words}",
    ) as told:
        store.read("photos/1.png")
    assert told.value.cause == "credentials"
    assert told.value.hint
    assert RETRY_SECONDS / 2 <= waits.seconds - started <= RETRY_SECONDS
    assert s3.requests == []


@pytest.mark.parametrize("is_pod", [False, True])
def test_a_token_that_is_still_empty_is_told_and_in_a_pod_waited_for(
    is_pod: bool, given: Given, waits: Waits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if is_pod:
        monkeypatch.setenv("POD_NAME", "driver")
    store, started = given("STS", Giver([])), waits.seconds
    (tmp_path / "token").write_text("")
    with pytest.raises(CredentialsError, match="Invalid length for parameter WebIdentityToken"):
        store.read("photos/1.png")
    assert (waits.seconds > started) == is_pod


@pytest.mark.parametrize(
    ("way", "answer", "words"),
    [
        (
            "STS",
            sts_error(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            "STS: AccessDenied: Not authorized",
        ),
        ("STS", sts_error(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT"), "not a valid JWT"),
        ("agent", Answer(403, b"no association"), r"agent: 403 \(no association\)"),
        ("metadata", as_json(Code="AssumeRoleUnauthorizedAccess"), "metadata service: AssumeRoleUnauthorizedAccess"),
        ("metadata", Answer(400), "metadata service: 400"),
        ("metadata", Answer(401), "metadata service: 401"),
        ("metadata", Answer(403), "metadata service: 403"),
        ("metadata", Answer(403, PAGE), r"not a response of the metadata service \(HTTP 403\)"),
        ("metadata", Answer(200, PAGE), r"not a response of the metadata service \(HTTP 200\)"),
        ("metadata", Answer(405), r"not a response of the metadata service \(HTTP 405\)"),
        (
            "metadata",
            Answer(302, headers={"Location": "http://portal.invalid"}),
            r"not a response of the metadata service \(HTTP 302\)",
        ),
        (
            "STS",
            sts_error(403, "SignatureDoesNotMatch", "Signature expired: 20261129T0 is now earlier than 20261129T1"),
            r"STS: this machine's clock differs too much \(SignatureDoesNotMatch: Signature expired",
        ),
        ("STS", sts_error(400, "RequestExpired"), "STS: this machine's clock differs too much"),
    ],
)
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_what_can_never_come_is_told_at_once(
    way: str, answer: Answer, words: str, use: Callable[[S3Store], object], given: Given, waits: Waits
) -> None:
    started = waits.seconds
    with pytest.raises(CredentialsError, match=words) as told:
        use(given(way, Giver([answer] * 100)))
    assert told.value.cause == ""
    assert told.value.hint
    assert waits.seconds == started


def test_a_page_in_place_of_the_metadata_service_s_token_is_no_token(
    s3: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that knows no PUT: botocore would send the page on as a header. Without a token the service answers,
    too.
    """
    answers = iter([Answer(200, PAGE), Answer(body=b"role"), as_json(**keys(), Code="Success")])
    with answering(lambda _: next(answers)) as server:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        assert S3Store("bucket", "", access_to(s3.url, None)).read("photos/1.png") == b"pixels"


def test_a_proxy_that_connects_nobody_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch, s3: Scripted) -> None:
    with answering(lambda _: Answer()) as proxy:  # which answers CONNECT with 501
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        store = S3Store("bucket", "", access_to("https://s3.invalid", retries=0))
        for use in USES.values():
            with pytest.raises(
                ProxyError, match=r"the proxy refuses to connect it \(HTTP 501 Unsupported method.*at s3.invalid"
            ):
                use(store)
        for name, value in ENVIRONMENTS["STS"].items():
            monkeypatch.setenv(name, value.format(url="https://sts.invalid", folder=Path(__file__).parent))
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", __file__)
        with pytest.raises(
            CredentialsError, match=r"can't get credentials: the proxy refuses to connect it \(HTTP 501"
        ):
            S3Store("bucket", "", access_to(s3.url, None, retries=0, retry_seconds=0)).read("1.png")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_PROFILE", "nobodys", "nobodys"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token", "No such file or directory: '/nowhere/token'"),
        ("AWS_CONFIG_FILE", "{folder}/config", "config"),
    ],
)
def test_what_is_configured_wrongly_is_told_at_once(
    name: str, value: str, words: str, given: Given, waits: Waits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("no section\n[[")
    store, started = given("STS", Giver([])), waits.seconds
    monkeypatch.setenv(name, value.format(folder=tmp_path))
    for use in USES.values():
        with pytest.raises(CredentialsError, match=words) as told:
            use(store)
        assert told.value.cause == ""
    assert waits.seconds == started


@pytest.mark.parametrize("name", ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"])
def test_a_key_with_a_line_break_is_told_before_it_is_sent(
    name: str, s3: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{each}", "KEY\n" if each == name else "KEY")
    for use in USES.values():
        with pytest.raises(CredentialsError, match="has a space or a line break in it"):
            use(S3Store("bucket", "", access_to(s3.url, None)))
    assert s3.requests == []


def test_a_log_in_that_has_expired_is_waited_for(
    s3: Scripted, waits: Waits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sso = "sso_start_url = https://x.invalid\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = x\n"
    (tmp_path / "config").write_text(f"[default]\nregion = us-east-1\n{sso}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CredentialsError) as told:
        S3Store("bucket", "", access_to(s3.url, None)).read("1.png")
    assert told.value.cause == "credentials"
    assert "aws sso login" in told.value.hint
    assert waits.seconds > 1000


def test_all_threads_and_stores_of_a_process_ask_once(given: Given, s3: Scripted) -> None:
    giver = Giver([], keys=sts_keys(seconds=0.2))
    store = given("STS", giver)
    stores = [S3Store("bucket", f"{number}/", store.access) for number in range(4)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda job: job[0](job[1]), [(use, one) for one in stores for use in USES.values()]))
    assert giver.asked == 1


def test_threads_do_not_multiply_the_requests_to_who_is_busy(given: Given, s3: Scripted) -> None:
    giver = Giver([THROTTLED] * 4)
    store = given("STS", giver)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(store.read, [f"photos/{number}.png" for number in range(32)]))
    assert giver.asked == 5


def test_good_credentials_are_used_to_their_end_while_new_ones_do_not_come(
    given: Given, s3: Scripted, waits: Waits
) -> None:
    giver = Giver([sts_keys("KEY", SOON), *[THROTTLED] * 3, sts_keys("NEW")])
    store, before = given("STS", giver), retries_so_far()
    for _ in range(20):
        store.read("photos/1.png")
        waits.sleep(30)
    assert giver.asked == 5
    assert retries_so_far() == before, "nobody waited"
    assert "Credential=KEY" in s3.requests[0].path
    store.write("photos/1.png", b".")
    assert "Credential=NEW" in s3.requests[-1].headers["authorization"]


def test_what_s3_refuses_is_denied_by_it(given: Given) -> None:
    store = given("STS", Giver([], keys=sts_keys("UNKNOWN")))
    for use in USES.values():
        with pytest.raises(DeniedError, match="AccessDenied"):
            use(store)


def test_a_first_contact_waits_for_who_is_busy_but_not_for_long(given: Given, waits: Waits) -> None:
    store = given("STS", Giver([THROTTLED] * 1000))
    hasty = S3Store("bucket", "", Access(store.access.settings).hasty)
    started = waits.seconds
    with pytest.raises(StorageError, match="STS throttled"):
        hasty.read("1.png")
    assert 10 < waits.seconds - started <= 30


@pytest.mark.parametrize("profile", ["", "role_arn = arn:aws:iam::123456789012:role/x\nsource_profile = default\n"])
def test_a_process_that_never_gives_credentials_is_not_waited_for_without_end(
    profile: str, s3: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = f"credential_process = {sys.executable} -c 'import time; time.sleep(600)'"
    (tmp_path / "config").write_text(f"[default]\nregion = us-east-1\n{program}\n[profile other]\n{profile}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "other" if profile else "default")
    with pytest.raises(CredentialsError, match=r"credential_process: no answer in 0.2 s \(storage.read_timeout\)"):
        S3Store("bucket", "", access_to(s3.url, None, retries=0, retry_seconds=0, read_timeout=0.2)).read("1.png")
    assert s3.requests == []
