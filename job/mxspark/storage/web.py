"""Addresses http:// and https://, for reading model files and images, and for the pages of a bucket's listing.

The only place that imports urllib3.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from http.client import HTTPException
from io import BufferedReader, RawIOBase
from ipaddress import IPv6Network, ip_address
from typing import IO, Any, BinaryIO
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError as HTTPError  # others take it from here
from urllib3.util import parse_url

from mxspark import __version__
from mxspark.errors import LONGEST_SAID, bounded, one_line, without_secrets
from mxspark.settings.job import StorageSettings
from mxspark.storage.encoding import unpacked
from mxspark.storage.errors import PROXY_HINT, words_in
from mxspark.storage.retry import Patience
from mxspark.storage.store import (
    DeniedError,
    MissingError,
    ProxyError,
    StorageError,
    TransientError,
    ca_bundle,
    check_size,
    hush,
)
from mxspark.text.words import printable

Pool = urllib3.PoolManager
CHUNK = 4 * 2**20  # bytes copied at a time
PIECE = 2**20  # bytes of a large file that come within storage.read_timeout
CONNECTIONS = 16  # kept open to a host
REDIRECTS = 5  # that are followed, one after the other
METADATA = IPv6Network("fd00:ec2::/32")  # AWS's by IPv6; elsewhere it is link-local
LONGEST_GIST = 300  # [characters]
LONGEST_ERROR = 2**20  # that a server's words about one may have [bytes]


def root_cause(text: str) -> str:
    """The cause at the end of a chain of causes, without addresses."""
    line = " ".join(text[:LONGEST_SAID].partition("Debug source:")[0][-10 * LONGEST_GIST :].split())
    return re.sub(r"\s*\(?https?://[^\s)]*\)?|\b\w+\(host=[^)]*\): ", "", line)[-LONGEST_GIST:]


@dataclass(frozen=True)
class Answer:
    """What a server answered, in whole; the names of `headers` in any case."""

    status: int
    reason: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # by names of any case

    @property
    def is_page(self) -> bool:
        """HTML without a tag: no object of a bucket's, but what a portal on the way shows."""
        return "ETag" not in self.headers and self.headers.get("Content-Type", "").startswith("text/html")


class TimedSocket:
    """A socket whose answers are read until a deadline: its own timeout starts anew with each byte that comes."""

    def __init__(self, connected: Any) -> None:
        self._connected = connected
        self._end = math.inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected, name)

    def read_until(self, end: float) -> None:
        """Reads raise TimeoutError from then on, on the clock of time.monotonic."""
        self._end = end

    def makefile(self, mode: str = "r", buffering: int = -1) -> IO[bytes]:
        """For reading bytes, as HTTP clients do."""
        reader: Any = _TimedReader(self, self._connected.makefile(mode, 0))
        return reader if buffering == 0 else BufferedReader(reader)

    def receive(self, raw: RawIOBase, buffer: Any) -> int | None:
        if (left := self._end - time.monotonic()) <= 0:
            raise TimeoutError("timed out")
        usual = self._connected.gettimeout()
        self._connected.settimeout(left if usual is None else min(left, usual))
        try:
            return raw.readinto(buffer)
        finally:
            self._connected.settimeout(usual)  # of requests


class _TimedReader(RawIOBase):
    def __init__(self, timed: TimedSocket, raw: RawIOBase) -> None:
        self._timed = timed
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._timed.receive(self._raw, buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Prompt(HTTPConnection):
    """Waits its timeout for the head of an answer in all: urllib3 waits so long for each byte of it, and answers `100
    Continue` have no end."""

    def connect(self) -> None:
        super().connect()
        self.sock: Any = TimedSocket(self.sock)

    def getresponse(self) -> Any:  # on which http.client and urllib3 don't agree
        connected = self.sock
        connected.read_until(time.monotonic() + (self.timeout or 0))
        response: Any = super().getresponse()
        response.connected = connected  # which the connection forgets where it is the last answer
        return response


class _PromptTLS(Prompt, HTTPSConnection):
    """Likewise."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = Prompt


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _PromptTLS


def pool(url: str, settings: StorageSettings, certificates: str | None = None) -> Pool:
    """Connections to the host of `url`, through the proxy that the environment names for it, as boto3 and obstore
    do.
    """
    hush()
    trusted = certificates or ca_bundle()
    timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
    # retry.py retries.
    retries = urllib3.Retry(total=None, connect=0, read=0, redirect=0, status=0, other=0)
    if through := proxy(url):
        user = parse_url(through).auth  # which urllib3 doesn't tell the proxy by itself
        headers = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
        found: Pool = urllib3.ProxyManager(
            through, timeout=timeout, retries=retries, ca_certs=trusted, maxsize=CONNECTIONS, proxy_headers=headers
        )
    else:
        found = Pool(timeout=timeout, retries=retries, ca_certs=trusted, maxsize=CONNECTIONS)
    found.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}
    return found


def proxy(url: str) -> str | None:
    """What the environment names for an address, as boto3 reads it."""
    place = urlsplit(url)
    found = None if proxy_bypass(place.netloc.rpartition("@")[2]) else getproxies().get(place.scheme)
    return f"http://{found}" if found and "://" not in found else found or None


def get(
    connections: Pool,
    name: str,
    url: str,
    seconds: float,
    limit: int | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    of_s3: bool = True,
    unpacks: bool = True,
) -> Answer:
    """The answer about what a person knows as `name`, within `seconds` in all. Raises TooLargeError beyond `limit`
    bytes.

    Without `unpacks` an object is left as it is stored. Those `of_s3` say how long they are, else they have broken off;
    and such a server sends nobody elsewhere: what comes from there would not be what was signed for.
    """
    end = time.monotonic() + seconds
    with _errors(name, url), _response(connections, name, url, headers, 0 if of_s3 else REDIRECTS) as response:
        if of_s3:
            _check_says_length(name, response)
        pieces = body(name, response, end - time.monotonic())
        encoding = response.headers.get("Content-Encoding") if unpacks else None
        if response.status in (200, 206):
            check_size(_length(name, response), limit)
            data = b"".join(unpacked(name, pieces, encoding, limit))
        else:
            data = _beginning(unpacked(name, pieces, encoding))
        if response.status == 200 and not data:
            _check_says_length(name, response)  # cut within its head, it looks whole and empty
        return Answer(response.status, _phrase(response), data, response.headers)


def _beginning(pieces: Iterator[bytes]) -> bytes:
    """As much of a server's words about an error as anybody needs."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > LONGEST_ERROR:
            break
    return bytes(data[:LONGEST_ERROR])


def body(name: str, response: Any, seconds: float, every: float = math.inf) -> Iterator[bytes]:
    """A body as it comes: each `every` bytes within `seconds`, else all of it."""
    end, count = time.monotonic() + seconds, 0
    response.connected.read_until(end)
    try:
        while piece := response.read1(CHUNK, decode_content=False):
            yield piece
            count += len(piece)
            if count >= every:
                end, count = time.monotonic() + seconds, 0
                response.connected.read_until(end)
    except exceptions.ReadTimeoutError:
        if time.monotonic() < end:
            raise
        raise TransientError(
            "not complete in time", "Raise storage.read_timeout.", place=name, cause="timeout"
        ) from None


def _response(
    connections: Pool, name: str, url: str, headers: Mapping[str, str] | None, redirects: int
) -> urllib3.BaseHTTPResponse:
    """The answer, or that of the place where it sends us, so many times. urllib3 would read an answer that does so to
    its end, if it has one, and go from https to http."""
    is_near = None
    for _ in range(redirects + 1):
        response = connections.request("GET", url, headers=headers, preload_content=False, redirect=False)
        was_near, is_near = is_near, _is_near(getattr(response, "connected", None))
        if is_near and was_near is False:
            response.close()
            raise StorageError("the server redirects to an address of this machine", "Check the address.", place=name)
        place = response.get_redirect_location()
        if not place or redirects == 0:
            return response
        response.close()
        new = _sent_to(name, url, place)
        if urlsplit(url).scheme == "https" and urlsplit(new).scheme != "https":
            raise StorageError("the server redirects from https:// to http://", "Check the address.", place=name)
        url = new
    raise StorageError(f"the server redirects more than {redirects} times", "Check the address.", place=name)


def _sent_to(name: str, url: str, place: str) -> str:
    """The address that an answer from `url` sends its readers to. Raises StorageError where it is none."""
    with suppress(ValueError, HTTPError):
        new = urljoin(url, place)
        if urlsplit(new).scheme in ("http", "https") and parse_url(new).host:
            return new
    shown = printable(bounded(without_secrets(place[:LONGEST_SAID]), LONGEST_GIST))
    raise StorageError(
        f"the server redirects to {shown}, which isn't an HTTP address", "Check the address.", place=name
    )


def _is_near(connected: Any) -> bool:
    """Whether the other side is this machine, or one that only this machine sees: the metadata service, which gives
    out credentials.
    """
    with suppress(OSError, ValueError):  # closed already, or a socket of another kind
        address = ip_address(connected.getpeername()[0].partition("%")[0])
        return address.is_loopback or address.is_link_local or address in METADATA
    return False


@dataclass(frozen=True)
class WebReader:
    """Objects by their addresses, for many threads; connections are kept."""

    settings: StorageSettings

    def read(self, url: str, limit: int | None = None) -> bytes:
        """What is at `url`. Raises StorageError, TooLargeError beyond `limit` bytes."""
        name = without_secrets(url)

        def once() -> bytes:
            try:
                connections = self._pool(*urlsplit(url)[:2])
            except ValueError as error:
                raise StorageError(f"not an address: {error}", place=name) from None
            seconds = self.settings.read_timeout
            answer = get(
                connections, name, url, seconds, limit, headers={"User-Agent": f"mxspark/{__version__}"}, of_s3=False
            )
            _check_status(name, answer)
            return answer.data

        return self._patience(once)

    @cached_property
    def _patience(self) -> Patience:
        return Patience(self.settings)

    @cached_property
    def _pool(self) -> Callable[[str, str], Pool]:
        return lru_cache(maxsize=64)(lambda scheme, host: pool(f"{scheme}://{host}", self.settings))


def download(url: str, settings: StorageSettings, target: BinaryIO, limit: int | None = None) -> None:
    """Writes what is at `url` to `target`, replacing what that holds. Raises StorageError, TooLargeError beyond
    `limit` bytes.
    """

    def once() -> None:
        target.seek(0)
        target.truncate()
        with pool(url, settings) as connections:
            _download(connections, url, target, limit, settings.read_timeout)

    Patience(settings)(once)


def _download(connections: Pool, url: str, target: BinaryIO, limit: int | None, seconds: float) -> None:
    name = without_secrets(url)
    with _errors(name, url), _response(connections, name, url, None, REDIRECTS) as response:
        if response.status != 200:
            said = _beginning(body(name, response, seconds))
            _check_status(name, Answer(response.status, _phrase(response), said))
        check_size(_length(name, response), limit)
        pieces = body(name, response, seconds, PIECE)
        written = sum(map(target.write, unpacked(name, pieces, response.headers.get("Content-Encoding"), limit)))
        if not written:
            _check_says_length(name, response)  # cut within its head, it looks whole and empty


def _check_status(name: str, answer: Answer) -> None:
    """Raises what a status other than 200 means; the servers of buckets say why."""
    if answer.status == 200:
        return
    words = words_in(answer.data.decode(errors="replace"))
    said = f"the server answered {answer.status} {answer.reason}".rstrip() + (
        f" ({': '.join(filter(None, words))})" if words else ""
    )
    if answer.status in (408, 429, 500, 502, 503, 504):
        cause = "throttled" if answer.status in (429, 503) else "timeout" if answer.status == 408 else "server_error"
        raise TransientError(said, "Check the address.", place=name, cause=cause)
    kind = {404: MissingError, 410: MissingError, 401: DeniedError, 403: DeniedError}.get(answer.status, StorageError)
    raise kind(said, "Check the address.", place=name)


def _length(name: str, response: urllib3.BaseHTTPResponse) -> int:
    """The answer's Content-Length; 0 without one."""
    length = response.headers.get("Content-Length", "0")
    if re.fullmatch("[0-9]{1,18}", length) is None:
        raise TransientError(
            "can't read the server's answer: its Content-Length is invalid", place=name, cause="truncated"
        )
    return int(length)


def _phrase(response: urllib3.BaseHTTPResponse) -> str:
    """What the server says beside the status, of its own choosing."""
    return printable(bounded(response.reason or "", LONGEST_GIST))


def _check_says_length(name: str, response: urllib3.BaseHTTPResponse) -> None:
    """Raises TransientError where the answer doesn't say how long it is: it broke off within its head."""
    if not {"Content-Length", "Transfer-Encoding"} & set(response.headers):
        raise TransientError("the answer broke off", place=name, cause="truncated")


@contextmanager
def _errors(name: str, url: str) -> Iterator[None]:
    try:
        yield
    except HTTPError as error:
        reason = getattr(error, "reason", None) or error
        host = "" if url.startswith(name) else f"{urlsplit(url).netloc.rpartition('@')[2]}: "
        if refusal := refused_by_proxy(error):
            raise no_proxy(name, refusal) from error
        if "CERTIFICATE" in str(error):
            raise untrusted(name, urlsplit(url).netloc.rpartition("@")[2], why_untrusted(error)) from error
        cause, said, hint = transient_cause(error), _in_words(reason), "Check the address and the network."
        if cause == "truncated":
            said = "broke off" + "".join(re.findall(r" ?\(\d+ bytes read, \d+ more expected\)", said)[:1]).replace(
                "(", " ("
            )
        if cause is not None:
            raise TransientError(f"{host}{said}", hint, place=name, cause=cause) from error
        raise StorageError(f"{host}{said}", hint, place=name) from error
    except (StorageError, OSError):  # a disk of this machine's that is full; the network's are HTTPErrors
        raise
    except Exception as error:
        raise unreadable(name, error) from error


def _in_words(error: BaseException) -> str:
    """What broke a connection; urllib3 has Python's own error as a second argument."""
    inner = error.args[1] if isinstance(error, exceptions.ProtocolError) and len(error.args) > 1 else error
    if isinstance(inner, ConnectionError):
        return "the connection was closed"
    if isinstance(inner, HTTPException):
        return f"can't read the server's answer: {printable(one_line(inner))}"
    return root_cause(one_line(error))


def unreadable(name: str, error: Exception) -> TransientError:
    """The error for whatever a library raises while it reads a broken answer about `name`."""
    words = root_cause(one_line(error)) or type(error).__name__
    return TransientError(f"can't read the server's answer: {words}", place=name, cause="truncated")


def refused_by_proxy(error: BaseException) -> str | None:
    """Why a proxy refused to connect; None where it was no proxy."""
    # botocore keeps urllib3's message in a field of its own.
    text = f"{error} {getattr(error, 'kwargs', {}).get('error', '')}"[:LONGEST_SAID]
    if said := re.search(r"Tunnel connection failed: (\d{3} ?[\w -]{0,60})", text):
        return f"the proxy refuses to connect it (HTTP {said[1].strip()})"
    return "can't connect to the proxy" if re.search("to connect to proxy", text) else None


def no_proxy(name: str, refusal: str) -> TransientError:
    """The error for a proxy that refuses to connect."""
    return TransientError(refusal, PROXY_HINT, place=name, cause="proxy", final=ProxyError)


def untrusted(name: str, host: str, why: str) -> StorageError:
    """The error for a server that isn't known for the one it says it is."""
    problem = f"the certificate{f' of {host}' if host else ''} isn't trusted{f': {why}' if why else ''}"
    return StorageError(
        problem, "AWS_CA_BUNDLE or SSL_CERT_FILE names the file of the authorities to trust.", place=name
    )


def why_untrusted(error: BaseException) -> str:
    """What Python's TLS has against a certificate."""
    return "".join(re.findall(r"certificate verify failed: ([^(]{1,200}?) \(", str(error))[:1])


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
    if isinstance(error, exceptions.LocationValueError):
        return None
    return "connection"
