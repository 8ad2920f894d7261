"""Addresses http:// and https://, for reading model files and for the pages of a bucket's listing.

The only place that imports urllib3.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import PoolManager as Pool
from urllib3 import exceptions
from urllib3.exceptions import HTTPError

from mxspark.errors import one_line, without_secrets
from mxspark.settings import StorageSettings
from mxspark.storage.causes import words_in
from mxspark.storage.encoding import unpacked
from mxspark.storage.retry import Patience
from mxspark.storage.store import MissingError, StorageError, TransientError, ca_bundle, check_size, hush

__all__ = ["Answer", "HTTPError", "Pool", "download", "get", "gist", "pool", "transient_cause", "unreadable"]

CHUNK = 4 * 2**20  # bytes copied at a time
CONNECTIONS = 16  # kept open to a host
LONGEST_ERROR = 2**20  # that a server's words about one may have [bytes]


def gist(text: str) -> str:
    """The cause at the end of a chain of causes, without addresses."""
    line = " ".join(text.partition("Debug source:")[0].split())
    return re.sub(r"\s*\(?https?://[^\s)]*\)?|HTTPS?Connection(Pool)?\([^)]*\): ", "", line)[-300:]


@dataclass(frozen=True)
class Answer:
    """What a server answered, in whole."""

    status: int
    reason: str
    data: bytes


def pool(url: str, settings: StorageSettings) -> Pool:
    """Connections to the host of `url`, through the proxy that the environment names for it, as boto3 and obstore do."""
    hush()
    timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
    retries = urllib3.Retry(total=None, connect=0, read=0, redirect=5, status=0, other=0)  # trying again is retry.py's business
    address = urlsplit(url)
    proxy = None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, timeout=timeout, retries=retries, ca_certs=ca_bundle(), maxsize=CONNECTIONS)
    return Pool(timeout=timeout, retries=retries, ca_certs=ca_bundle(), maxsize=CONNECTIONS)


def get(connections: Pool, name: str, url: str, seconds: float, limit: int | None = None) -> Answer:
    """The answer about what a person knows as `name`, within `seconds` in all. Raises TooLargeError beyond `limit` bytes."""
    end = time.monotonic() + seconds
    with _errors(name, url), connections.request("GET", url, preload_content=False) as response:
        if not _says_length(response):  # S3 always does
            raise TransientError("the answer broke off", place=name, cause="truncated")
        limit = limit if response.status == 200 else LONGEST_ERROR
        check_size(int(response.headers.get("Content-Length", 0)), limit)

        def pieces() -> Iterator[bytes]:
            while piece := response.read1(CHUNK, decode_content=False):
                yield piece
                if time.monotonic() > end:
                    raise TransientError(f"not all there after {seconds:g} s", "Raise storage.read_timeout.", place=name, cause="timeout")

        data = b"".join(unpacked(name, pieces(), response.headers.get("Content-Encoding"), limit))
        return Answer(response.status, response.reason or "", data)


def download(url: str, settings: StorageSettings, target: BinaryIO) -> None:
    """Writes what is at `url` to `target`, replacing what that holds. Raises StorageError."""

    def once() -> None:
        target.seek(0)
        target.truncate()
        with pool(url, settings) as connections:
            _download(connections, url, target)

    Patience(settings)(once)


def _download(connections: Pool, url: str, target: BinaryIO) -> None:
    name = without_secrets(url)
    with _errors(name, url), connections.request("GET", url, preload_content=False) as response:
        said = _said(response)
        if response.status in (429, 500, 502, 503, 504):
            cause = "throttled" if response.status in (429, 503) else "server_error"
            raise TransientError(said, "Check the address.", place=name, cause=cause)
        if response.status != 200:
            kind: Callable[..., StorageError] = MissingError if response.status in (404, 410) else StorageError
            raise kind(said, "Check the address.", place=name)
        pieces = response.stream(CHUNK, decode_content=False)
        written = sum(map(target.write, unpacked(name, pieces, response.headers.get("Content-Encoding"))))
        if not written and not _says_length(response):  # cut within its head, it looks whole and empty
            raise TransientError("the answer broke off", place=name, cause="truncated")


def _said(response: urllib3.BaseHTTPResponse) -> str:
    """What a server that didn't give the file says; those of buckets say why."""
    said = f"the server answered {response.status} {response.reason}"
    words = None if response.status == 200 else words_in(response.read(LONGEST_ERROR, decode_content=False).decode(errors="replace"))
    return f"{said} ({': '.join(filter(None, words))})" if words else said


def _says_length(response: urllib3.BaseHTTPResponse) -> bool:
    return bool({"Content-Length", "Transfer-Encoding"} & set(response.headers))


@contextmanager
def _errors(name: str, url: str) -> Iterator[None]:
    try:
        yield
    except HTTPError as error:
        reason = getattr(error, "reason", None) or error
        host = "" if url.startswith(name) else f"{urlsplit(url).netloc.rpartition('@')[2]}: "
        cause, said, mend = transient_cause(error), gist(one_line(reason)), "Check the address and the network."
        if cause == "truncated":
            said = "broke off" + "".join(re.findall(r" ?\(\d+ bytes read, \d+ more expected\)", said)[:1]).replace("(", " (")
        if cause is not None:
            raise TransientError(f"{host}{said}", mend, place=name, cause=cause) from error
        raise StorageError(f"{host}{said}", mend, place=name) from error
    except (StorageError, OSError):  # a disk of this machine's that is full; the network's are HTTPErrors
        raise
    except Exception as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> TransientError:
    """The error for whatever a library raises while it reads a broken answer about `name`."""
    words = gist(one_line(error)) or type(error).__name__
    return TransientError(f"can't read the server's answer: {words}", place=name, cause="truncated")


def transient_cause(error: BaseException) -> str | None:
    """Why a request failed, where the same request may do better later."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return transient_cause(reason)
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)) and not isinstance(
        error, exceptions.NewConnectionError
    ):
        return "timeout"
    if isinstance(error, (exceptions.IncompleteRead, exceptions.InvalidChunkLength)) or "IncompleteRead" in str(error):
        return "truncated"
    if "CERTIFICATE" in str(error) or isinstance(error, exceptions.LocationValueError):
        return None
    return "connection"
