"""Buckets as stores.

boto3 finds credentials, signs the pages of lists, and writes; reading.py has how objects are read. Listing is not
obstore's: that takes a prefix for whole path segments (`photos/img` would not find `photos/img1.png`) and stops at keys
such as `a//b`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from mxspark.storage import web
from mxspark.storage.encoding import unpacked
from mxspark.storage.lease import Lease
from mxspark.storage.retry import Patience
from mxspark.storage.s3.address import is_directory
from mxspark.storage.s3.clients import Clients
from mxspark.storage.s3.errors import boto_requests, code_of
from mxspark.storage.s3.listing import Repeats, page_of
from mxspark.storage.s3.reading import PIECE, Got, Reader, Span
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

ONE_PUT = 8 * 2**20  # larger files go up in parts [bytes]
LONGEST_PAGE = 16 * 2**20  # of a list: a thousand keys have some 300 kB, 4 MB at most [bytes]
MOST_UPLOADS = 1_000_000  # unfinished ones below a prefix
PROBE = "_mxspark_writable"
SMALLEST_PIECE = 2**16  # a piece of a large file may be smaller than asked for [bytes]


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
        seconds, headers = self.access.settings.read_timeout, self._clients.headers
        return page_of(self.name, web.get(self._clients.pages, self.name, url, seconds, LONGEST_PAGE, headers))

    def _tried(self, function: Callable[[], T]) -> T:
        """What the function returns, tried again while it fails for causes that pass; with new credentials where
        they have expired.
        """

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

    def _get(self, key: str, limit: int | None = None, span: Span | None = None) -> Got:
        """The object, or a span of it, as it is stored: the one way to read."""
        return self._tried(lambda: self._reader.get(join(self.name, key), self.root + key, limit, span))

    def read(self, key: str, limit: int | None = None) -> bytes:
        got = self._get(key, limit)
        return b"".join(unpacked(join(self.name, key), [got.data], got.encoding, limit)) if got.encoding else got.data

    def has(self, key: str) -> bool:
        if is_directory(self.bucket):  # which has no order
            return key in self.keys(key)
        # The key itself is the first key that starts with it.
        return next((found == key for found in self.keys(key)), False)

    def read_tail(self, key: str, size: int) -> bytes:
        return self._get(key, span=size).data[-size:]  # a server may give all of it

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

    def _pieces(self, key: str) -> Iterator[Got]:
        """The object piece by piece, each in the time of a request. Raises TransientError where it is replaced
        meanwhile.
        """
        first: Got | None = None
        offset = 0
        while first is None or offset < first.size:
            piece = self._get(key, span=(offset, offset + PIECE))
            first = first or piece
            if piece.e_tag != first.e_tag:
                raise TransientError("was replaced while it was read", place=join(self.name, key), cause="replaced")
            # Sent byte by byte, or not at all, the object would never be complete.
            if len(piece.data) < min(SMALLEST_PIECE, PIECE, first.size - offset):
                raise TransientError(
                    "the server sends too little at a time", place=join(self.name, key), cause="truncated"
                )
            yield piece
            offset += len(piece.data)

    def _asked(self, name: str, function: Callable[[], T]) -> T:
        """What the function returns, which makes requests about `name` by boto3; tried as by `_tried`."""

        def once() -> T:
            with boto_requests(name):
                return function()

        return self._tried(once)

    def write(self, key: str, data: bytes) -> None:
        place = {"Bucket": self.bucket, "Key": self.root + key}
        self._asked(join(self.name, key), lambda: self._clients.client.put_object(**place, Body=data))

    def upload(self, key: str, source: Path) -> None:
        config, place = TransferConfig(multipart_threshold=ONE_PUT), (self.bucket, self.root + key)
        self._asked(
            join(self.name, key), lambda: self._clients.transfers.upload_file(str(source), *place, Config=config)
        )

    def delete(self, key: str) -> None:
        place = {"Bucket": self.bucket, "Key": self.root + key}
        self._asked(join(self.name, key), lambda: self._clients.client.delete_object(**place))

    def check_writable(self) -> None:
        place = {"Bucket": self.bucket, "Key": self.root + PROBE}

        def probe() -> None:
            # With bytes: many servers take a request without any, and refuse how boto3 signs those.
            self._clients.client.put_object(**place, Body=b"mxspark looks whether it can write here.\n")
            self._clients.client.delete_object(**place)

        self._asked(self.name, probe)

    def sweep(self, ours: Callable[[str], bool], prefix: str = "") -> int:
        wanted = self.root + prefix

        def remove() -> int:
            client = self._clients.client
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=_listed_by(self.bucket, wanted)
            )
            listed = islice((upload for page in pages for upload in page.get("Uploads", ())), MOST_UPLOADS)
            uploads = [
                upload
                for upload in listed
                if upload["Key"].startswith(wanted) and ours(upload["Key"].removeprefix(self.root))
            ]
            for upload in uploads:
                client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            return len(uploads)

        return self._asked(self.name, remove)

    def replace(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Writes the object if it still has this tag, or if there is none where `tag` is None; returns its new tag,
        None where not so.
        """
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
        """The object's bytes and tag, None where there is none. By boto3, as it is written: that verifies
        `response_checksums`.
        """
        return self._tried(lambda: self._get_tagged(key))

    def _get_tagged(self, key: str) -> tuple[bytes, str] | None:
        try:
            with boto_requests(join(self.name, key)):
                response = self._clients.client.get_object(Bucket=self.bucket, Key=self.root + key)
                data = response["Body"].read(MAX_HOLDER_BYTES)  # no more is a lock's
                if "ContentRange" in response or len(data) != min(response.get("ContentLength", -1), MAX_HOLDER_BYTES):
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
    def _reader(self) -> Reader:
        return Reader(self.bucket, self._clients, self.access.settings.read_timeout)

    @cached_property
    def _clients(self) -> Clients:
        return Clients(self.bucket, self.access, self.name)


def _listed_by(bucket: str, prefix: str) -> str:
    """The prefix to list by, which in a directory bucket is one of whole folders."""
    return prefix[: prefix.rfind("/") + 1] if is_directory(bucket) else prefix
