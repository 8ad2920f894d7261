"""An object, or a span of it, read: by obstore at a fifteenth of boto3's CPU time, or by an address that boto3 signs.

The latter is for keys that obstore can't name, buckets that it can't sign for, and servers that would send it
elsewhere.
"""

import re
from dataclasses import dataclass
from typing import Any

import obstore

from mxspark.storage import web
from mxspark.storage.errors import raise_page, raise_said
from mxspark.storage.s3.clients import Clients
from mxspark.storage.s3.errors import CertificateError, RedirectedError, WholeError, boto_requests, obstore_errors
from mxspark.storage.store import RangeError, TooLargeError, TransientError, check_size

Span = tuple[int, int] | int  # of an object: from a byte on to before another, or so many at its end

PIECE = 8 * 2**20  # in which large objects come [bytes]
EMPTY = "bytes 0--1/0"  # MinIO's range of an empty object


@dataclass(frozen=True)
class Got:
    """Bytes of an object, and what is known of it: its size in whole, its tag, and its Content-Encoding."""

    data: bytes
    size: int
    e_tag: str | None
    encoding: str | None


@dataclass(frozen=True)
class Reader:
    """Reads the objects of a bucket, each request once and within `seconds`; `name` is what a person calls an
    object.
    """

    bucket: str
    clients: Clients
    seconds: float

    def get(self, name: str, key: str, limit: int | None = None, span: Span | None = None) -> Got:
        """The object, or a span of it, as it is stored. Raises StorageError, TooLargeError beyond `limit` bytes
        (before reading them).
        """
        try:
            return self._get(name, key, limit, span)
        except RangeError:
            if span is None or (isinstance(span, tuple) and span[0] > 0):
                raise
            return Got(b"", 0, None, None)  # of an empty object there is no range

    def _get(self, name: str, key: str, limit: int | None, span: Span | None) -> Got:
        if _obstore_can_name(key) and self.clients.obstore_is_safe():
            try:
                return self._by_obstore(name, key, limit, span)
            except (WholeError, RedirectedError):  # of the latter, obstore lost the words that name the region
                pass
            except CertificateError:  # OpenSSL has the last word, for all that follows
                self.clients.is_without_obstore.set()
        return self._by_signed_address(name, key, limit, span)

    def _by_obstore(self, name: str, key: str, limit: int | None, span: Span | None) -> Got:
        wanted: Any = None if span is None else {"range": span if isinstance(span, tuple) else {"suffix": span}}
        data = bytearray()
        with obstore_errors(name):
            result = obstore.get(self.clients.obstore, key, options=wanted)
            check_size(result.meta["size"], limit)
            start, end = result.range
            _check_range(name, span, start, end, result.meta["size"])
            for piece in result.stream(min_chunk_size=PIECE):
                data += piece
                if len(data) > end - start:  # obstore would read what has no end to its end
                    break
        if result.meta["e_tag"] is None and str(result.attributes.get("Content-Type")).startswith("text/html"):
            raise_page(name)
        _check_whole(name, len(data), end - start)
        return Got(bytes(data), result.meta["size"], result.meta["e_tag"], result.attributes.get("Content-Encoding"))

    def _by_signed_address(self, name: str, key: str, limit: int | None, span: Span | None) -> Got:
        with boto_requests(name):
            url = self.clients.client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": key})
        headers = self.clients.headers | ({"Range": _range(span)} if span is not None else {})
        most = limit if span is None else _most(span)
        try:
            response = web.get(self.clients.pages, name, _with_dots(url), self.seconds, most, headers, unpacks=False)
        except TooLargeError:
            if span is None:
                raise
            raise _ignored_range(name) from None
        if response.status not in (200, 206):
            raise_said(name, response.data.decode(errors="replace"), response.status)
        if response.is_page:
            raise_page(name)
        size, expected = _sizes(name, response, span)
        _check_whole(name, len(response.data), expected)
        return Got(response.data, size, response.headers.get("ETag"), response.headers.get("Content-Encoding"))


def _check_whole(name: str, came: int, expected: int) -> None:
    if came != expected:
        came_in_words = f"{came:,} of" if came < expected else "more than"
        raise TransientError(f"{came_in_words} {expected:,} bytes came", place=name, cause="truncated")


def _most(span: Span) -> int:
    """How much may come for a span [bytes]: of a small object a server may send all."""
    return max(PIECE, span if isinstance(span, int) else span[1] - span[0])


def _ignored_range(name: str) -> TransientError:
    problem = "the server sends all of the object where a part was requested: it ignores Range"
    return TransientError(problem, place=name, cause="truncated")


def _range(span: Span) -> str:
    return f"bytes=-{span}" if isinstance(span, int) else f"bytes={span[0]}-{span[1] - 1}"


def _sizes(name: str, response: web.Answer, wanted: Span | None) -> tuple[int, int]:
    """The size of the object, and of what was to come of it [bytes]. Raises TransientError for a part that says
    neither, or another one.
    """
    if response.status != 206:
        return len(response.data), len(response.data)
    if response.headers.get("Content-Range") == EMPTY and not response.data:
        return 0, 0
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("Content-Range", ""))
    start, last, size = (int(number) for number in found.groups()) if found else (1, 0, 0)
    _check_range(name, wanted, start, last + 1, size)
    return size, last + 1 - start


def _check_range(name: str, wanted: Span | None, start: int, end: int, size: int) -> None:
    """Raises TransientError where the bytes from `start` on to before `end` of `size` aren't those that were wanted, or
    are all of a large object where a part was.
    """
    if wanted is None:
        is_wanted = (start, end) == (0, size)
    elif isinstance(wanted, int):
        is_wanted = 0 <= start <= end == size
    else:
        is_wanted = wanted[0] == start <= end <= size
    if not is_wanted:
        raise TransientError("the server sent another range than requested", place=name, cause="truncated")
    if wanted is not None and end - start > _most(wanted):
        raise _ignored_range(name)


def _obstore_can_name(key: str) -> bool:
    """Whether obstore asks for this very key: it drops slashes at either end and refuses empty, `.` and `..`
    segments.
    """
    return all(part not in ("", ".", "..") for part in key.split("/")) and key.isprintable()


def _with_dots(url: str) -> str:
    """The address with the segments `.` and `..` of its path encoded, which HTTP clients would resolve; servers take
    them for the same.
    """
    place, _, query = url.partition("?")
    segments = [segment.replace(".", "%2E") if segment in (".", "..") else segment for segment in place.split("/")]
    return f"{'/'.join(segments)}?{query}"
