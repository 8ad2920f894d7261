"""Buckets as stores.

boto3 finds credentials and writes; obstore does the bulk GETs at a fifteenth of boto3's CPU time. Listing is ListObjectsV2 pages signed by
boto3: obstore's own listing takes a prefix for whole path segments (`photos/img` would not find `photos/img1.png`) and stops at keys such
as `a//b`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote_plus
from xml.etree import ElementTree

import obstore
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from mxspark.storage import web
from mxspark.storage.encoding import unpacked
from mxspark.storage.errors import NOT_FOUND, PROXIES, is_no_xml, is_page, raise_answered, raise_page, raise_s3, raise_said
from mxspark.storage.lease import Lease
from mxspark.storage.retry import Patience
from mxspark.storage.s3.address import is_directory
from mxspark.storage.s3.bounds import declares_entities
from mxspark.storage.s3.clients import Clients
from mxspark.storage.s3.errors import CertificateError, RedirectedError, WholeError, boto_requests, code_of, obstore_errors
from mxspark.storage.s3.listing import Repeats
from mxspark.storage.store import (
    MAX_HOLDER_BYTES,
    Access,
    CredentialsError,
    Hold,
    MissingError,
    Skip,
    StorageError,
    TransientError,
    check_size,
    join,
)

T = TypeVar("T")
Span = tuple[int, int] | int  # of an object: from a byte on to before another, or so many at its end

ONE_PUT = 8 * 2**20  # larger files go up in parts [bytes]
LONGEST_PAGE = 16 * 2**20  # of a list: a thousand keys have some 300 kB, 4 MB at most [bytes]
MOST_TAGS = 200_000  # in it: those of a thousand objects with checksums and owners are 30,000, and each becomes an object of Python's
MOST_UPLOADS = 1_000_000  # unfinished ones below a prefix
EMPTY = "bytes 0--1/0"  # MinIO's range of an empty object
PROBE = "_mxspark_writable"
PIECE, SMALLEST_PIECE = 8 * 2**20, 2**16  # large files come in pieces, which may be smaller than asked for [bytes]


@dataclass(frozen=True)
class _Got:
    """Bytes of an object, and what is known of it: its size in whole, its tag, and its Content-Encoding."""

    data: bytes
    size: int
    e_tag: str | None
    encoding: str | None


@dataclass(frozen=True)
class S3Store:
    """The part of a bucket whose keys start with `root` (empty, or ending in `/`); keys are relative to it."""

    bucket: str
    root: str
    access: Access

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.root}".rstrip("/")

    def keys(self, prefix: str = "", skip: Skip | None = None) -> Iterator[str]:
        wanted = self.root + prefix
        token: str | None = None
        repeats = Repeats(self.name)
        while True:
            page = self._tried(lambda token=token: self._list_page(_listed_by(self.bucket, wanted), token))  # type: ignore[misc]
            # Asked for, so that XML can hold every key; but not every server does it.
            decode = unquote_plus if page.findtext("{*}EncodingType") == "url" else str
            keys = [decode(content.findtext("{*}Key") or "") for content in page.iterfind("{*}Contents")]
            token = page.findtext("{*}NextContinuationToken")
            repeats.check(keys, token)
            yield from (key[len(self.root) :] for key in keys if key.startswith(wanted))
            if token is None:
                return

    def _list_page(self, prefix: str, token: str | None) -> ElementTree.Element:
        parameters = {"Bucket": self.bucket, "Prefix": prefix, "EncodingType": "url"}
        if token:
            parameters["ContinuationToken"] = token
        with boto_requests(self.name):
            url = self._clients.client.generate_presigned_url("list_objects_v2", Params=parameters)
        response = web.get(self._clients.pages, self.name, url, self.access.settings.read_timeout, LONGEST_PAGE, self._clients.headers)
        if response.data.count(b"<") > MOST_TAGS:
            raise StorageError(f"the list of objects has more than {MOST_TAGS:,} tags in a page", "Check --endpoint-url.", place=self.name)
        text = response.data.decode(errors="replace")
        if is_page(text):
            raise_page(self.name, "HTTP 200") if response.status == 200 else raise_answered(self.name, response.status, response.reason)
        if declares_entities(response.data):
            raise StorageError("the list of objects declares entities, which S3 has not", "Check --endpoint-url.", place=self.name)
        try:
            page = ElementTree.fromstring(response.data)  # noqa: S314  # without entities of its own
        except ElementTree.ParseError:
            if response.status != 200 and b"<Code>" in response.data:  # half of an answer
                raise_said(self.name, response.data.decode(errors="replace"), response.status)
            if response.status == NOT_FOUND and is_no_xml(text):
                raise_answered(self.name, response.status, response.reason)
            if response.status >= 500 or str(response.status) in PROXIES:
                raise_s3(self.name, str(response.status), response.reason)
            if response.status == 200 and (not response.data or b"<ListBucketResult" in response.data):
                raise TransientError("the list of objects broke off", place=self.name, cause="truncated") from None
            cause = f"the server answered {response.status} {response.reason}, which is no S3 response"
            raise StorageError(cause, "Check --endpoint-url.", place=self.name) from None
        if response.status == 200 and not page.tag.endswith("ListBucketResult"):
            raise StorageError("not an S3 response (a web page?)", "Check --endpoint-url.", place=self.name)
        if response.status != 200:
            raise_said(self.name, response.data.decode(errors="replace"), response.status)
        return page

    def _tried(self, function: Callable[[], T]) -> T:
        """What the function returns, tried again while it fails for causes that pass; with new credentials where they have expired."""

        def once() -> T:
            credentials = self._clients.credentials()  # here they can be waited for; obstore could only fail
            try:
                return function()
            except TransientError as error:
                if error.cause == "expired_credentials":
                    self._clients.forget(credentials)
                raise

        try:
            return self._patience(once)
        except CredentialsError:
            raise  # of which the server knows nothing
        except StorageError as error:
            error.say_host(self._clients.host)
            raise

    def read(self, key: str, limit: int | None = None) -> bytes:
        got = self._tried(lambda: self._get(key, limit))
        return b"".join(unpacked(join(self.name, key), [got.data], got.encoding, limit)) if got.encoding else got.data

    def _get(self, key: str, limit: int | None = None, span: Span | None = None) -> "_Got":
        """The object, or a span of it, as it is stored."""
        if _obstore_can_name(self.root + key) and self._clients.obstore_is_safe():
            try:
                return self._get_by_obstore(key, limit, span)
            except WholeError:
                pass
            except CertificateError:  # OpenSSL has the last word, for all that follows
                self._clients.is_without_obstore.set()
        return self._get_signed(key, limit, span)

    def _get_by_obstore(self, key: str, limit: int | None, span: Span | None) -> "_Got":
        wanted: Any = None if span is None else {"range": span if isinstance(span, tuple) else {"suffix": span}}
        data = bytearray()
        try:
            with obstore_errors(join(self.name, key)):
                result = obstore.get(self._clients.obstore, self.root + key, options=wanted)
                check_size(result.meta["size"], limit)
                start, end = result.range
                for piece in result.stream(min_chunk_size=PIECE):
                    data += piece
                    if len(data) > end - start:  # obstore would read what has no end to its end
                        break
        except RedirectedError:
            return self._get_signed(key, limit, span)  # raises with the words that obstore lost, which name the region
        if result.meta["e_tag"] is None and str(result.attributes.get("Content-Type")).startswith("text/html"):
            raise_page(join(self.name, key))
        self._check_whole(key, len(data), end - start)
        return _Got(bytes(data), result.meta["size"], result.meta["e_tag"], result.attributes.get("Content-Encoding"))

    def _check_whole(self, key: str, came: int, told: int) -> None:
        if came != told:
            came_in_words = f"{came:,} of" if came < told else "more than"
            raise TransientError(f"{came_in_words} {told:,} bytes came", place=join(self.name, key), cause="truncated")

    def _get_signed(self, key: str, limit: int | None = None, span: Span | None = None) -> "_Got":
        """The same by an address that boto3 signs, for what obstore can't name, sign for, or ask without telling others."""
        name = join(self.name, key)
        with boto_requests(name):
            url = self._clients.client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": self.root + key})
        headers = self._clients.headers | ({"Range": _range(span)} if span is not None else {})
        seconds = self.access.settings.read_timeout
        response = web.get(self._clients.pages, name, _with_dots(url), seconds, limit, headers, unpacks=False)
        if response.status not in (200, 206):
            raise_said(name, response.data.decode(errors="replace"), response.status)
        if response.is_page:
            raise_page(name)
        size, told = _sizes(name, response, span)
        self._check_whole(key, len(response.data), told)
        return _Got(response.data, size, response.headers.get("ETag"), response.headers.get("Content-Encoding"))

    def has(self, key: str) -> bool:
        if is_directory(self.bucket):  # which has no order
            return key in self.keys(key)
        return next((found == key for found in self.keys(key)), False)  # the key itself is the first that starts with it

    def read_tail(self, key: str, size: int) -> bytes:
        return self._tried(lambda: self._get_span(key, size).data)[-size:]  # a server may give all of it

    def _get_span(self, key: str, span: Span) -> "_Got":
        try:
            return self._get(key, span=span)
        except StorageError as error:
            if "InvalidRange" not in error.problem:
                raise
            return _Got(b"", 0, None, None)  # of an empty object there is no range

    def download(self, key: str, target: BinaryIO, limit: int | None = None) -> None:
        def whole() -> None:
            target.seek(0)
            target.truncate()
            pieces = self._pieces(key)
            first = next(pieces)
            check_size(first.size, limit)
            stored = chain([first.data], (piece.data for piece in pieces))
            for data in unpacked(join(self.name, key), stored, first.encoding, limit):
                target.write(data)

        self._patience(whole)

    def _pieces(self, key: str) -> Iterator["_Got"]:
        """The object piece by piece, each in the time of a request. Raises TransientError where it is replaced meanwhile."""
        first: _Got | None = None
        offset = 0
        while first is None or offset < first.size:
            piece = self._tried(lambda: self._get_span(key, (offset, offset + PIECE)))  # noqa: B023  # called at once
            first = first or piece
            if piece.e_tag != first.e_tag:
                raise TransientError("was replaced while it was read", place=join(self.name, key), cause="replaced")
            if len(piece.data) < min(SMALLEST_PIECE, PIECE, first.size - offset):  # of bytes one by one, or none, it would never be whole
                raise TransientError("parts of it come that are too small", place=join(self.name, key), cause="truncated")
            yield piece
            offset += len(piece.data)

    def write(self, key: str, data: bytes) -> None:
        def put() -> None:
            with boto_requests(join(self.name, key)):
                self._clients.client.put_object(Bucket=self.bucket, Key=self.root + key, Body=data)

        self._tried(put)

    def upload(self, key: str, source: Path) -> None:
        def put() -> None:
            with boto_requests(join(self.name, key)):
                self._clients.transfers.upload_file(
                    str(source), self.bucket, self.root + key, Config=TransferConfig(multipart_threshold=ONE_PUT)
                )

        self._tried(put)

    def delete(self, key: str) -> None:
        def remove() -> None:
            with boto_requests(join(self.name, key)):
                self._clients.client.delete_object(Bucket=self.bucket, Key=self.root + key)

        self._tried(remove)

    def check_writable(self) -> None:
        def probe() -> None:
            # With bytes: many servers take a request without any, and refuse how boto3 signs those.
            with boto_requests(self.name):
                place = {"Bucket": self.bucket, "Key": self.root + PROBE}
                self._clients.client.put_object(**place, Body=b"mxspark looks whether it can write here.\n")
                self._clients.client.delete_object(**place)

        self._tried(probe)

    def sweep(self, ours: Callable[[str], bool], prefix: str = "") -> int:
        def remove() -> int:
            with boto_requests(self.name):
                pages = self._clients.client.get_paginator("list_multipart_uploads").paginate(
                    Bucket=self.bucket, Prefix=_listed_by(self.bucket, self.root + prefix)
                )
                listed = (upload for page in pages for upload in page.get("Uploads", ()))
                found = [upload for upload in islice(listed, MOST_UPLOADS) if upload["Key"].startswith(self.root + prefix)]
                uploads = [upload for upload in found if ours(upload["Key"][len(self.root) :])]
                for upload in uploads:
                    self._clients.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                return len(uploads)

        return self._tried(remove)

    def replace(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Writes the object if it still has this tag, or if there is none where `tag` is None; returns its new tag, None where not so."""
        place = {"Bucket": self.bucket, "Key": self.root + key}
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}

        def put() -> str | None:
            # Some servers ignore conditions, some refuse them; there this look is all that keeps two apart.
            found = self._get_tagged(key)
            if (found[1] if found else None) != tag:
                return None
            with boto_requests(join(self.name, key)):
                try:
                    return str(self._clients.client.put_object(**place, Body=data, **condition)["ETag"])
                except ClientError as error:
                    # A missing object has no tag; two at once get a conflict, and the second try tells who was first.
                    if code_of(error) in ("PreconditionFailed", "412", "NoSuchKey", "404"):
                        return None
                    if code_of(error) != "NotImplemented":
                        raise
                return str(self._clients.client.put_object(**place, Body=data)["ETag"])

        return self._tried(put)

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """The object's bytes and tag, None where there is none."""
        return self._tried(lambda: self._get_tagged(key))

    def _get_tagged(self, key: str) -> tuple[bytes, str] | None:
        try:
            with boto_requests(join(self.name, key)):
                response = self._clients.client.get_object(Bucket=self.bucket, Key=self.root + key)
                data = response["Body"].read(MAX_HOLDER_BYTES)  # no more is a lock's
                if len(data) != min(response["ContentLength"], MAX_HOLDER_BYTES):
                    raise TransientError("the answer broke off", place=join(self.name, key), cause="truncated")
                return data, str(response["ETag"])
        except MissingError:
            return None

    def hold(self, key: str, owner: Mapping[str, Any], seconds: float) -> AbstractContextManager[Hold]:
        return Lease(self, key, owner, seconds)

    def holder(self, key: str) -> Mapping[str, Any] | None:
        return Lease(self, key, {}, 0).holder()

    @cached_property
    def _patience(self) -> Patience:
        return Patience(self.access.settings)

    @cached_property
    def _clients(self) -> Clients:
        return Clients(self.bucket, self.access, self.name)


def _listed_by(bucket: str, prefix: str) -> str:
    """The prefix to list by, which in a directory bucket is one of whole folders."""
    return prefix[: prefix.rfind("/") + 1] if is_directory(bucket) else prefix


def _range(span: Span) -> str:
    return f"bytes=-{span}" if isinstance(span, int) else f"bytes={span[0]}-{span[1] - 1}"


def _sizes(name: str, response: web.Answer, wanted: Span | None) -> tuple[int, int]:
    """The size of the object, and of what was to come of it [bytes]. Raises TransientError for a part that says neither, or another one."""
    if response.status != 206:
        return len(response.data), len(response.data)
    if response.headers.get("Content-Range") == EMPTY and not response.data:
        return 0, 0
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("Content-Range", ""))
    if found is None or (isinstance(wanted, tuple) and int(found[1]) != wanted[0]):
        raise TransientError("another part of it came than was asked for", place=name, cause="truncated")
    return int(found[3]), int(found[2]) - int(found[1]) + 1


def _obstore_can_name(key: str) -> bool:
    """Whether obstore asks for this very key: it drops slashes at either end and refuses empty, `.` and `..` segments."""
    return all(part not in ("", ".", "..") for part in key.split("/")) and key.isprintable()


def _with_dots(url: str) -> str:
    """The address with the segments `.` and `..` of its path encoded, which HTTP clients would resolve; servers take them for the same."""
    place, _, query = url.partition("?")
    segments = [segment.replace(".", "%2E") if segment in (".", "..") else segment for segment in place.split("/")]
    return f"{'/'.join(segments)}?{query}"
