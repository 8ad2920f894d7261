"""What all stores have in common: the interface, its errors, how they are reached, and how places are written."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from mxspark.errors import MxsparkError, PassingError, UsageError, without_secrets
from mxspark.host import is_pod
from mxspark.row_status import RowStatus
from mxspark.settings.job import StorageSettings
from mxspark.text.words import printable

MAX_HOLDER_BYTES = 2**16  # of a lock: a run writes some hundred
LONGEST_NAME = 253  # of a host, as DNS has them
HASTY_RETRIES = 5  # eight seconds at most
HASTY_SECONDS = 30.0  # for what only time limits


class StorageError(MxsparkError):
    """An object couldn't be read, written or listed; `status` is what a row says of it.

    `place` is what a person calls it and `reason` what is wrong with it, for a row, whose key says where. `cause` is
    one of CAUSES where the fault was tried again and stayed, which may pass all the same; else it is empty.
    """

    status = RowStatus.FETCH_ERROR

    def __init__(self, reason: str, hint: str = "", *, place: str = "", cause: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason, hint)
        self.reason = without_secrets(reason)
        self.place = place
        self.cause = cause

    def say_host(self, host: str) -> None:
        """Adds the host, where the message lacks it."""
        if host and host not in self.problem:
            self.problem = f"{self.problem}, at {host}"


class MissingError(StorageError):
    """There is no such object."""

    status = RowStatus.MISSING


class DeniedError(StorageError):
    """The credentials may not do this."""

    status = RowStatus.DENIED


class ClockError(DeniedError):
    """This machine's clock is wrong: the server takes its signatures for old or future ones."""


class CredentialsError(StorageError):
    """There are no credentials to sign a request with: none was sent, which says nothing of any object, and is never
    a row.
    """


class ProxyError(StorageError):
    """Something between here and the store has answered in its place: that says nothing about the object."""


class RangeError(StorageError):
    """The object has no bytes in the range requested, as an empty one has none at all."""


class TooLargeError(StorageError):
    """The object has more bytes than allowed; it was not read."""

    status = RowStatus.TOO_LARGE


class HeldError(StorageError):
    """The place is held by another run; `holder` is what that one says of itself."""

    def __init__(self, problem: str, holder: Mapping[str, Any]) -> None:
        super().__init__(
            problem, "Wait for it to end, stop it, or choose another place; `mxspark status` says how far it is."
        )
        self.holder = holder


class TransientError(StorageError):
    """A fault that may pass: `cause` is one of CAUSES, `final` the kind of error that it is when it stays."""

    # `cause` has a default for pickle alone, which fills it in afterwards.
    def __init__(
        self, reason: str, hint: str = "", *, place: str = "", cause: str = "", final: type[StorageError] = StorageError
    ) -> None:
        super().__init__(reason, hint, place=place, cause=cause)
        self.final = final


# Why requests are tried again, as the summary counts them.
CAUSES = (
    "timeout",
    "connection",
    "truncated",
    "throttled",
    "server_error",
    "credentials",
    "expired_credentials",
    "proxy",
    "replaced",
    "no_space",
)


@dataclass(frozen=True)
class Credentials:
    """Access keys that were handed over explicitly. Never printed; boto3's default chain is used where there are
    none.
    """

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Access:
    """How to reach storage: the settings, and explicit credentials if any. Travels to the workers as task data."""

    settings: StorageSettings = field(default_factory=StorageSettings)
    credentials: Credentials | None = None

    @property
    def hasty(self) -> "Access":
        """The same with less patience: for the first contact, where a host that doesn't answer is probably a typo."""
        seconds = min(self.settings.retry_seconds, HASTY_SECONDS)
        return self._trying(min(self.settings.retries, HASTY_RETRIES), retry_seconds=seconds)

    def of_driver(self, environ: Mapping[str, str]) -> "Access":
        """The same, in a pod with all the patience of `retry_seconds`: a driver may be there before names, policies
        and sidecars are.
        """
        return self._trying(sys.maxsize) if is_pod(environ) else self

    def of_first_contact(self, environ: Mapping[str, str]) -> "Access":
        """`hasty` where somebody may wait for a message, `of_driver` in a pod."""
        return self.of_driver(environ) if is_pod(environ) else self.hasty

    def _trying(self, retries: int, **more: float) -> "Access":
        return replace(self, settings=self.settings.model_copy(update={"retries": retries, **more}))


def is_refusal(error: Exception | None) -> bool:
    """Whether it is a server's own answer about a right or a name, which every machine would get. A folder's needn't
    be: on one machine it may not be mounted; nor that of a proxy on the way, which knows none of S3's codes."""
    if not isinstance(error, (DeniedError, MissingError)) or isinstance(error, ClockError):
        return False
    return not error.cause and "://" in error.place and "(HTTP " not in error.reason


Skip = Callable[[StorageError], None]


class Store(Protocol):
    """A place with objects under keys. All methods raise StorageError."""

    @property
    def name(self) -> str:
        """How a person names it."""

    def keys(self, prefix: str = "", skip: Skip | None = None) -> Iterator[str]:
        """The keys that start with `prefix`, in no particular order; memory does not grow with their number.

        Where a part of the place can't be listed, such as a folder below it, `skip` is called with the error, which
        names that part; without `skip` it is raised.
        """

    def read(self, key: str, limit: int | None = None) -> bytes:
        """The object's bytes. Raises MissingError, DeniedError, and TooLargeError beyond `limit` bytes (before
        reading them).
        """

    def has(self, key: str) -> bool:
        """Whether there is such an object."""

    def read_tail(self, key: str, size: int) -> bytes:
        """The object's last `size` bytes, or all of them where it has fewer."""

    def download(self, key: str, target: BinaryIO, limit: int | None = None) -> None:
        """Writes the object's bytes to `target`, in pieces. Raises TooLargeError beyond `limit` bytes."""

    def write(self, key: str, data: bytes) -> None:
        """Makes or replaces the object in one step: readers see the old bytes or the new ones."""

    def upload(self, key: str, source: Path) -> None:
        """`write` from a file, for what is too large for memory."""

    def delete(self, key: str) -> None:
        """Removes the object; no error where there is none."""

    def check_writable(self) -> None:
        """Raises StorageError where objects can't be written; leaves nothing behind."""

    def sweep(self, ours: Callable[[str], bool], prefix: str = "") -> int:
        """Removes what killed writers of the keys that are `ours` left and no reader sees; returns how many. Nobody may
        be writing them.

        Looks only where keys that start with `prefix` are.
        """

    def hold(self, key: str, owner: Mapping[str, Any], seconds: float) -> AbstractContextManager["Hold"]:
        """The place, for this process alone as long as the context lasts; `key` tells `owner` to others.

        A holder that died leaves it at once where that can be known, else `seconds` after its last sign of life. Raises
        HeldError.
        """

    def holder(self, key: str) -> Mapping[str, Any] | None:
        """What the one says of itself that holds the place, None where nobody does (or nobody that lives)."""


class Hold(Protocol):
    """A place that this process holds."""

    def check(self) -> None:
        """Raises HeldError where another run has taken the place over."""


def held(name: str, holder: Mapping[str, Any]) -> HeldError:
    """The error that says who holds the place `name`."""
    if not holder:
        return HeldError(f"{name}: another run has written here", holder)
    process, host, since = (
        printable(str(holder.get(name, "?")))[:LONGEST_NAME] for name in ("process", "host", "since")
    )
    who = f"process {process} on {host}, since {since}"
    return HeldError(f"{name}: another run is writing here: {who}", holder)


def parsed_holder(data: bytes) -> Mapping[str, Any]:
    """What a lock's content says, empty where that is nothing that a run writes."""
    try:
        found = json.loads(data) if len(data) < MAX_HOLDER_BYTES else None
    except (ValueError, RecursionError):
        return {}
    return (
        {str(key): value for key, value in found.items() if isinstance(value, str | int | None)}
        if isinstance(found, dict)
        else {}
    )


def join(location: str, name: str) -> str:
    """The location of `name` in the folder or prefix `location`."""
    return f"{location.rstrip('/')}/{name}"


def parent(location: str) -> str:
    """The folder or prefix that holds the object at `location`."""
    if "://" not in location:
        return os.path.dirname(os.path.abspath(location))
    return location.rsplit("/", 1)[0]


def split_s3(location: str) -> tuple[str, str]:
    """('bucket', 'key or prefix') of s3://bucket/key or prefix. Raises UsageError where it isn't one."""
    if re.match(r"s3[an]?://arn:", location, re.IGNORECASE):
        raise UsageError(
            f"{location!r}: the ARN of an access point isn't taken for a bucket's name",
            "Write its alias, s3://…-s3alias/prefix (aws s3control get-access-point tells it).",
        )
    match = re.fullmatch(r"s3[an]?://([A-Za-z0-9._-]+)(?:/(.*))?", location, re.DOTALL | re.IGNORECASE)
    if not match:
        raise UsageError(f"{location!r} names no bucket", "Write s3://bucket/prefix.")
    return match[1], match[2] or ""


def is_s3(location: str) -> bool:
    """Whether `location` is s3://…, or s3a://… or s3n://… as Hadoop spells it."""
    return location[:6].lower().startswith(("s3://", "s3a://", "s3n://"))


# At DEBUG they log requests as they are sent, with keys, tokens and signatures; urllib3 names addresses even in its
# warnings.
_LOUDEST = {"boto3": logging.INFO, "botocore": logging.INFO, "s3transfer": logging.INFO, "urllib3": logging.ERROR}


def hush() -> None:
    """Keeps secrets out of the logs of the libraries that storage uses, however much is logged. To be called before
    they are used.
    """
    for name, level in _LOUDEST.items():
        logger = logging.getLogger(name)
        logger.setLevel(max(level, logger.level))


def ca_bundle() -> str | None:
    """The certificates to trust instead of the system's, in boto3's variables or in OpenSSL's: each holds for all
    clients.
    """
    return next(filter(None, map(os.environ.get, ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))), None)


@contextmanager
def usage_errors(what: str, hint: str) -> Iterator[None]:
    """What storage refuses before anything was written is the fault of `what` named the place: a UsageError, with
    `hint` if it has none.

    What may pass is a PassingError, after which the same command, or Kubernetes, tries again.
    """
    try:
        yield
    except StorageError as error:
        kind = PassingError if error.cause else UsageError
        raise kind(f"{what}: {error.problem}", error.hint or hint) from error


def check_size(size: int, limit: int | None) -> None:
    """Raises TooLargeError where an object of `size` bytes is beyond `limit`."""
    if limit is not None and size > limit:
        raise TooLargeError(f"{size:,} bytes, more than the {limit:,} allowed")
