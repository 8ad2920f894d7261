"""What S3 servers say is wrong, as errors that stay with a hint, or that may pass with their cause: one table of
their codes.
"""

import os
import re
from dataclasses import dataclass
from html import unescape
from typing import NoReturn

from mxspark.errors import LONGEST_SAID, bounded
from mxspark.storage.store import (
    ClockError,
    DeniedError,
    MissingError,
    ProxyError,
    RangeError,
    StorageError,
    TransientError,
)

LONGEST_CODE, LONGEST_MESSAGE = 100, 300  # of a server's words, as they are shown [characters]


@dataclass(frozen=True)
class Meaning:
    """What a code stands for: the cause in words, what to do, the kind of error that it is if it stays, and `passes`,
    one of CAUSES, where it may pass. The hint's `{region}` and `{action}` are what the server named."""

    words: str = ""
    hint: str = ""
    kind: type[StorageError] = StorageError
    passes: str | None = None


_DENIED = Meaning("access denied", "Give these credentials the right to do this.", DeniedError)
_ELSEWHERE = Meaning("the bucket is in another region", "Set storage.region{region}.")
_EXPIRED = Meaning(
    "the credentials have expired",
    "Renew them and run the same command again.",
    DeniedError,
    passes="expired_credentials",
)
_FOREIGN = Meaning(
    "the server doesn't support this", "Set storage.request_checksums to when_required; see docs/stores.md."
)
_SENT_ON = Meaning("the server redirects elsewhere", "Set --endpoint-url to the server that has the objects.")
_KMS = "the object's KMS key can't be used"
_THROTTLED, _SERVER, _TIMEOUT, _TRUNCATED, _REPLACED = (
    Meaning(passes=cause) for cause in ("throttled", "server_error", "timeout", "truncated", "replaced")
)
_CLOCK = Meaning("this machine's clock differs too much from the server's", "Set the clock.", ClockError)
PROXY_HINT = "Check proxies, firewalls and service meshes on the way, HTTPS_PROXY, NO_PROXY and --endpoint-url."
_PROXY = Meaning("not an S3 response", PROXY_HINT, ProxyError, "proxy")
_NAME_HINT = "and --endpoint-url if it isn't on AWS."
NOT_FOUND = 404
# Errors that S3 sends with a code of its own only: without one, something between here and the server has answered.
PROXIES = ("302", "303", "308", "401", "403", "407", "451", "511")
_PAGE = re.compile(r"<html|<!doctype html", re.IGNORECASE)
# Of a request's time, under whichever code: S3's, STS's, and those of requests with their signature in the address.
_TIMES = re.compile(
    r"[Ss]ignature (expired|not yet current)|[Rr]equest (has expired|is not (yet valid|valid yet))|^Request(Expired"
    r"|InTheFuture)"
)

# By code, or where the code says nothing by HTTP status.
_CODES: dict[str, Meaning] = {
    "NoSuchBucket": Meaning("there is no such bucket", f"Check the bucket's name, {_NAME_HINT}", MissingError),
    "NoSuchKey": Meaning("there is no such object", "Check the key.", MissingError),
    **dict.fromkeys(
        ("InvalidRange", "416"), Meaning("the object has no bytes in the range requested", "Run again.", RangeError)
    ),
    "404": Meaning("there is no such object or bucket", f"Check the name, {_NAME_HINT}", MissingError),
    "AllAccessDisabled": Meaning(
        "access denied", "Ask the bucket's owner: all access to it has been disabled.", DeniedError
    ),
    "AccountProblem": Meaning("the AWS account has a problem", "Ask AWS's support about the account.", DeniedError),
    "NotSignedUp": Meaning("the AWS account isn't signed up for S3", "Sign up, or use other credentials.", DeniedError),
    "InvalidAccessKeyId": Meaning(
        "the server doesn't know this access key", "Check AWS_ACCESS_KEY_ID and --endpoint-url.", DeniedError
    ),
    # versitygw sends it with HTTP 404.
    "XAdminUserNotFound": Meaning("the server doesn't know this access key", "Check AWS_ACCESS_KEY_ID.", DeniedError),
    "SignatureDoesNotMatch": Meaning(
        "the secret key doesn't fit the access key, or the server got another request than was signed",
        "Check AWS_SECRET_ACCESS_KEY; with a store that isn't AWS's, storage.request_checksums (when_required) and "
        "proxies on the way.",
        DeniedError,
    ),
    "InvalidToken": Meaning("the session token is not one of this server's", "Check AWS_SESSION_TOKEN.", DeniedError),
    "RequestTimeTooSkewed": _CLOCK,
    "InvalidObjectState": Meaning(
        "the object is archived", "Restore it from Glacier (aws s3api restore-object); then --retry-failed."
    ),
    **dict.fromkeys(("302", "303", "307", "308"), _SENT_ON),
    **dict.fromkeys(("AccessDenied", "401", "403"), _DENIED),
    **dict.fromkeys(
        ("PermanentRedirect", "IllegalLocationConstraintException", "IncorrectEndpoint", "301"), _ELSEWHERE
    ),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("NotImplemented", "XAmzContentSHA256Mismatch", "MissingContentLength", "411", "501"), _FOREIGN),
    **dict.fromkeys(("SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "429", "503"), _THROTTLED),
    **dict.fromkeys(("Throttling", "ThrottlingException", "RequestLimitExceeded"), _THROTTLED),
    **dict.fromkeys(("TooManyRequests", "TooManyRequestsException"), _THROTTLED),
    **dict.fromkeys(("InternalError", "TemporaryRedirect", "OperationAborted"), _SERVER),
    **dict.fromkeys(("ConditionalRequestConflict", "409", "500", "502", "504"), _SERVER),
    **dict.fromkeys(("RequestTimeout", "RequestTimeoutException", "408"), _TIMEOUT),
    **dict.fromkeys(("IncompleteBody", "BadDigest"), _TRUNCATED),
    **dict.fromkeys(("PreconditionFailed", "412"), _REPLACED),
    "AuthorizationHeaderMalformed": Meaning(
        "the server can't read the signature", "Check the access key and storage.region{region}."
    ),
    "InvalidBucketName": Meaning("this can't be the name of a bucket", "Check the bucket's name."),
}
# Some codes stand for many things, which only `CODE: message` tells apart; the first that fits counts.
_REFINED: tuple[tuple[re.Pattern[str], Meaning], ...] = (
    (_TIMES, _CLOCK),
    (
        re.compile(r"not authorized to perform:? (?P<action>kms:\w+)"),
        Meaning("access denied to the object's KMS key", "Grant these credentials {action} on the key.", DeniedError),
    ),
    (
        re.compile(r"not authorized to perform:? (?P<action>[\w-]+:\w+).*explicit deny"),
        Meaning(
            "access denied",
            "A policy denies {action} explicitly: change that policy, or use other credentials.",
            DeniedError,
        ),
    ),
    (
        re.compile(r"not authorized to perform:? (?P<action>[\w-]+:\w+)"),
        Meaning("access denied", "Grant these credentials {action}.", DeniedError),
    ),
    (
        re.compile(r"^Invalid(Request|Argument): .*(Server[ -]Side Encryption|SSE-?C|encryption key)", re.IGNORECASE),
        Meaning(
            "the object is encrypted with a key of the customer's (SSE-C)",
            "Copy it to one encrypted with SSE-S3 or SSE-KMS.",
        ),
    ),
    (re.compile(r"^InvalidArgument: .*x-amz-(checksum|content-sha256|sdk-checksum|trailer)", re.IGNORECASE), _FOREIGN),
    # versitygw's answer to chunks on a kept connection.
    (re.compile(r"^BadRequest: .*parsing the HTTP request"), _FOREIGN),
    (re.compile(r"^Authorization\w+: .*region '[^']*' is wrong"), _ELSEWHERE),
    (
        re.compile(r"^KMS\.\w*(Disabled|InvalidState)"),
        Meaning(_KMS, "Enable the key in KMS, or cancel its deletion; then --retry-failed."),
    ),
    (
        re.compile(r"^KMS\.\w*NotFound"),
        Meaning(_KMS, "The key that encrypted the object is gone: upload the object again."),
    ),
    (
        re.compile(r"^KMS\.\w*AccessDenied"),
        Meaning(_KMS, "Grant these credentials kms:Decrypt on the key.", DeniedError),
    ),
    (re.compile(r"^KMS\.\w*Throttl"), _THROTTLED),
    (re.compile(r"^KMS\.\w*(Internal|Timeout|Unavailable)"), _SERVER),
    (re.compile(r"^KMS\."), Meaning(_KMS, "Check the key in KMS.")),
)
# Where a server names the bucket's region.
_REGION = re.compile(
    r"expecting '([\w-]+)'|<Region>([\w-]+)|\bs3[.-]([a-z]{2,}-[a-z]+-\d)[\w.]*\.amazonaws"
    r"|The ([a-z]{2,}-[\w-]+) location constraint"
)
# What no hint needs and may be a secret: key ids, keys and tokens by their names or by their form.
_SECRETS = re.compile(
    r"""(?P<name>(?i:(?:access[ _-]?key(?:[ _-]?id)?|secret(?:[ _-]?(?:access[ _-]?)?key)?|token|signature"""
    r"""|authorization|password)"""
    r"""['"]?\s*[:=]\s*['"]?(?:bearer |basic )?))[^\s'",;)]{4,}"""
    r"""|\b(?:AKIA|ASIA)[A-Z0-9]{8,}|\beyJ[\w-]++\.[\w-]++\.[\w-]*+"""
    r"""|(?<![\w/+=:.-])(?=\S{0,99}\d)(?=\S{0,99}[a-z])(?=\S{0,99}[A-Z])[\w/+=-]{40,}"""
)


# On servers other than AWS's, keys may have any form.
OWN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
LEAST_SECRET = 6  # characters: shorter ones would be found in any text


def raise_said(place: str, text: str, status: int) -> NoReturn:
    """Raises what a server's answer about `place` means; `text` holds its XML, if it sent any."""
    if is_page(text) or (status == NOT_FOUND and is_no_xml(text)):
        raise_answered(place, status)
    code, message = words_in(text) or (str(status), "")
    raise_s3(place, code, message, status, text)


def raise_answered(place: str, status: int, phrase: str = "") -> NoReturn:
    """Raises what it means that a page came about `place`: a server's own, where its status may pass, else a
    proxy's.
    """
    if passing("", status):
        raise_s3(place, str(status), phrase, status)
    raise_page(place, f"HTTP {status}")


def is_page(text: str) -> bool:
    """Whether it is a page for people, and no server's words."""
    return _PAGE.search(text[:LONGEST_SAID]) is not None and words_in(text) is None


def is_no_xml(text: str) -> bool:
    """Whether it is text, but no XML: what an ingress says that knows no such path, and no store of an object that
    isn't there.
    """
    start = text[:LONGEST_SAID].lstrip("\ufeff \t\r\n")
    return bool(start) and not start.startswith("<")


def words_in(text: str) -> tuple[str, str] | None:
    """The code and the message of S3's XML in `text`; None of pages and other answers."""
    text = text[:LONGEST_SAID]
    said = re.search(rf"<Code>([^<]{{1,{LONGEST_CODE}}})</Code>(?:.*?<Message>([^<]*)</Message>)?", text, re.DOTALL)
    return (shown(said[1]), shown(unescape(said[2] or ""))) if said else None


def raise_s3(
    place: str, code: str, message: str, status: int | None = None, more: str = "", is_s3s: bool = False
) -> NoReturn:
    """Raises what the code (or else the HTTP status) of a server's answer about `place` means, with the server's words.

    `more` is what else the answer holds, where the bucket's region may be named. An answer without a code is a proxy's,
    but where it `is_s3s` by its head.
    """
    code, message = shown(code), shown(message).rstrip(".")
    name = f"HTTP {code}" if code.isdigit() else code
    said = f"{name}: {message}" if message else name
    meaning, named = (_PROXY, "") if code in PROXIES and not is_s3s else _meaning(code, said, status)
    region = _REGION.search(f"{message} {more[:LONGEST_SAID]}")
    hint = meaning.hint.format(action=named, region=f" to {region[region.lastindex or 0]}" if region else "")
    _raise(place, meaning, said, hint)


def raise_page(place: str, said: str = "a page in the object's place") -> NoReturn:
    """Raises the error for an answer of a proxy in place of the server's, perhaps after a redirect."""
    _raise(place, _PROXY, said)


def _raise(place: str, meaning: Meaning, said: str, hint: str | None = None) -> NoReturn:
    problem, hint = f"{meaning.words} ({said})" if meaning.words else said, meaning.hint if hint is None else hint
    if meaning.passes:
        raise TransientError(problem, hint, place=place, cause=meaning.passes, final=meaning.kind)
    raise meaning.kind(problem, hint, place=place)


def is_about_time(said: str) -> bool:
    """Whether `CODE: message` says that this machine's clock is wrong."""
    return _TIMES.search(said) is not None or said.startswith("RequestTimeTooSkewed")


def passing(code: str, status: int | None) -> str | None:
    """The cause, one of CAUSES, where what the code (or else the HTTP status) stands for may pass."""
    return _meaning(code, code, status)[0].passes


def _meaning(code: str, said: str, status: int | None) -> tuple[Meaning, str]:
    """What the answer means, and the action that it names."""
    for pattern, refined in _REFINED:
        if match := pattern.search(said):
            return refined, match.groupdict().get("action") or ""
    return _CODES.get(code) or _CODES.get(str(status), Meaning()), ""


def shown(text: str) -> str:
    """A server's words on one line, bounded, without secrets."""
    line = "".join(
        character for character in " ".join(bounded(text, 10 * LONGEST_MESSAGE).split()) if character.isprintable()
    )
    for name in OWN:
        value = os.environ.get(name, "")
        line = line.replace(value, "…") if len(value) >= LEAST_SECRET else line
    # Before the text is cut: half a key would not be recognised.
    open_words = _SECRETS.sub(lambda match: f"{match['name'] or ''}…", line)
    return open_words if len(open_words) <= LONGEST_MESSAGE else open_words[: LONGEST_MESSAGE - 1] + "…"
