"""Buckets as stores.

The only place that imports boto3 and obstore. boto3 finds credentials and writes; obstore does the bulk GETs at a fifteenth of boto3's
CPU time. Listing is ListObjectsV2 pages signed by boto3: obstore's own listing takes a prefix for whole path segments (`photos/img`
would not find `photos/img1.png`) and stops at keys such as `a//b`.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar
from urllib.parse import SplitResult, unquote_plus, urlsplit
from xml.etree import ElementTree

import boto3
import obstore
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore import exceptions as boto_errors
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import S3Store as ObstoreS3

from mxspark.errors import one_line
from mxspark.storage import web
from mxspark.storage.causes import raise_s3
from mxspark.storage.lease import Lease
from mxspark.storage.retry import Patience
from mxspark.storage.store import (
    Access,
    DeniedError,
    Hold,
    MissingError,
    StorageError,
    TransientError,
    ca_bundle,
    check_size,
    hush,
    join,
)

T = TypeVar("T")

# botocore renews credentials ten minutes before they expire at the latest; asking it more often than that is always in time.
CREDENTIALS_TTL = timedelta(minutes=5)
ONE_PUT = 8 * 2**20  # larger files go up in parts [bytes]
LONGEST_PAGE = 64 * 2**20  # of a list: a thousand keys have some 300 kB, 4 MB at most [bytes]
PIECE = 8 * 2**20  # large files come in pieces [bytes]
PART_TRIES = 4  # of one part of a large file, before the whole file is tried again


@dataclass(frozen=True)
class S3Store:
    """The part of a bucket whose keys start with `root` (empty, or ending in `/`); keys are relative to it."""

    bucket: str
    root: str
    access: Access

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.root}".rstrip("/")

    def keys(self, prefix: str = "") -> Iterator[str]:
        token: str | None = None
        while True:
            page = self._tried(lambda token=token: self._list_page(self.root + prefix, token))  # type: ignore[misc]
            # Asked for, so that XML can hold every key; but not every server does it.
            decode = unquote_plus if page.findtext("{*}EncodingType") == "url" else str
            for content in page.iterfind("{*}Contents"):
                yield decode(content.findtext("{*}Key") or "")[len(self.root) :]
            token = page.findtext("{*}NextContinuationToken")
            if token is None:
                return

    def _list_page(self, prefix: str, token: str | None) -> ElementTree.Element:
        parameters = {"Bucket": self.bucket, "Prefix": prefix, "EncodingType": "url"}
        if token:
            parameters["ContinuationToken"] = token
        with _s3_errors(self.name):
            url = self._client.generate_presigned_url("list_objects_v2", Params=parameters)
        response = web.get(self._pages, self.name, url, self.access.settings.read_timeout, LONGEST_PAGE)
        try:
            page = ElementTree.fromstring(response.data)  # noqa: S314  # expat refuses entity bombs since 2.4.1
        except ElementTree.ParseError:
            if response.status >= 500:
                raise_s3(self.name, str(response.status), response.reason)
            if response.status == 200 and (not response.data or b"<ListBucketResult" in response.data):
                raise TransientError(f"{self.name}: the list of objects broke off", cause="truncated") from None
            cause = f"the server answered {response.status} {response.reason}, and not as S3 does"
            raise StorageError(f"{self.name}: {cause}", "Check --endpoint-url.") from None
        if response.status == 200 and not page.tag.endswith("ListBucketResult"):
            raise StorageError(f"{self.name}: the server answered with a page, and not as S3 does", "Check --endpoint-url.")
        if response.status != 200:
            raise_s3(self.name, page.findtext("Code") or str(response.status), page.findtext("Message") or "", response.status)
        return page

    def _tried(self, function: Callable[[], T]) -> T:
        """What the function returns, tried again while it fails for causes that pass; with new credentials where they have expired."""

        def once() -> T:
            try:
                return function()
            except TransientError as error:
                if error.cause == "expired_credentials":
                    for cached in ("_session", "_client", "_transfers", "_obstore"):
                        self.__dict__.pop(cached, None)  # who renews them may have written a file or a variable anew
                raise

        return self._patience(once)

    def read(self, key: str, limit: int | None = None) -> bytes:
        if _obstore_can_name(self.root + key):
            return self._tried(lambda: self._get(key, limit)[0])
        return self._tried(lambda: self._get_signed(key, limit))

    def _get(self, key: str, limit: int | None = None, **options: Any) -> tuple[bytes, Any]:
        """The object's bytes, or those of a range, and what obstore says of the object."""
        with _obstore_errors(join(self.name, key)):
            result = obstore.get(self._obstore, self.root + key, options=options or None)  # type: ignore[arg-type]
            check_size(result.meta["size"], limit)
            start, end = result.range
            data = bytes(result.bytes())
        if len(data) != end - start:
            raise TransientError(f"{join(self.name, key)}: {len(data):,} of {end - start:,} bytes came", cause="truncated")
        return data, result.meta

    def _get_signed(self, key: str, limit: int | None = None) -> bytes:
        """Objects that obstore can't name."""
        name = join(self.name, key)
        with _s3_errors(name):
            url = self._client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": self.root + key})
        response = web.get(self._pages, name, _with_dots(url), self.access.settings.read_timeout, limit)
        if response.status != 200:
            said = re.search(rb"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", response.data, re.DOTALL)
            code, message = (part.decode(errors="replace") for part in said.groups(b"")) if said else (str(response.status), "")
            raise_s3(name, code, unescape(message), response.status)
        return response.data

    def has(self, key: str) -> bool:
        return next((found == key for found in self.keys(key)), False)  # the key itself is the first that starts with it

    def read_tail(self, key: str, size: int) -> bytes:
        if not _obstore_can_name(self.root + key):
            return self.read(key)[-size:]
        return self._tried(lambda: self._get_range(key, {"suffix": size})[0])

    def _get_range(self, key: str, wanted: Any) -> tuple[bytes, Any]:
        try:
            return self._get(key, range=wanted)
        except StorageError as error:
            if "InvalidRange" not in error.problem:
                raise
            return b"", {"size": 0, "e_tag": None}  # of an empty object there is no range

    def download(self, key: str, target: BinaryIO) -> None:
        def whole() -> None:
            target.seek(0)
            target.truncate()
            for piece in self._pieces(key):
                target.write(piece)

        self._patience(whole)

    def _pieces(self, key: str) -> Iterator[bytes]:
        """The object's bytes piece by piece, each in the time of a request. Raises TransientError where it is replaced meanwhile."""
        if not _obstore_can_name(self.root + key):
            yield self.read(key)
            return
        first: Any = None
        offset = 0
        while first is None or offset < first["size"]:
            data, meta = self._tried(lambda: self._get_range(key, (offset, offset + PIECE)))  # noqa: B023  # called at once
            first = first or meta
            if meta["e_tag"] != first["e_tag"]:
                raise TransientError(f"{join(self.name, key)}: was replaced while it was read", cause="replaced")
            yield data
            offset += len(data)

    def write(self, key: str, data: bytes) -> None:
        def put() -> None:
            with _s3_errors(join(self.name, key)):
                self._client.put_object(Bucket=self.bucket, Key=self.root + key, Body=data)

        self._tried(put)

    def upload(self, key: str, source: Path) -> None:
        def put() -> None:
            with _s3_errors(join(self.name, key)):
                self._transfers.upload_file(str(source), self.bucket, self.root + key, Config=TransferConfig(multipart_threshold=ONE_PUT))

        self._tried(put)

    def delete(self, key: str) -> None:
        def remove() -> None:
            with _s3_errors(join(self.name, key)):
                self._client.delete_object(Bucket=self.bucket, Key=self.root + key)

        self._tried(remove)

    def check_writable(self) -> None:
        def probe() -> None:
            # An upload that is never completed is never visible.
            with _s3_errors(self.name):
                place = {"Bucket": self.bucket, "Key": self.root + "_writable"}
                upload = self._client.create_multipart_upload(**place)["UploadId"]
                self._client.abort_multipart_upload(**place, UploadId=upload)

        self._tried(probe)

    def sweep(self, ours: Callable[[str], bool], prefix: str = "") -> int:
        with _s3_errors(self.name):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.root + prefix)
            uploads = [upload for page in pages for upload in page.get("Uploads", ()) if ours(upload["Key"][len(self.root) :])]
            for upload in uploads:
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(uploads)

    def replace(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Writes the object if it still has this tag, or if there is none where `tag` is None; returns its new tag, None where not so."""
        place = {"Bucket": self.bucket, "Key": self.root + key}
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}

        def put() -> str | None:
            # Some servers ignore conditions, some refuse them; there this look is all that keeps two apart.
            found = self._get_tagged(key)
            if (found[1] if found else None) != tag:
                return None
            with _s3_errors(join(self.name, key)):
                try:
                    return str(self._client.put_object(**place, Body=data, **condition)["ETag"])
                except ClientError as error:
                    # A missing object has no tag; two at once get a conflict, and the second try tells who was first.
                    if _code(error) in ("PreconditionFailed", "412", "NoSuchKey", "404"):
                        return None
                    if _code(error) != "NotImplemented":
                        raise
                return str(self._client.put_object(**place, Body=data)["ETag"])

        return self._tried(put)

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """The object's bytes and tag, None where there is none."""
        return self._tried(lambda: self._get_tagged(key))

    def _get_tagged(self, key: str) -> tuple[bytes, str] | None:
        try:
            with _s3_errors(join(self.name, key)):
                response = self._client.get_object(Bucket=self.bucket, Key=self.root + key)
                return response["Body"].read(response["ContentLength"]), str(response["ETag"])
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
    def _session(self) -> boto3.Session:
        hush()
        given = self.access.credentials
        with _s3_errors(self.name):
            session = boto3.Session(
                aws_access_key_id=given.access_key if given else None,
                aws_secret_access_key=given.secret_key if given else None,
                region_name=self.access.settings.region,
            )
            if not self.access.settings.anonymous and session.get_credentials() is None:
                raise DeniedError(
                    f"{self.name}: no AWS credentials found",
                    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the pod or instance a role; "
                    "for a public bucket --set storage.anonymous=true.",
                )
            return session

    @cached_property
    def _client(self) -> Any:
        return self._make_client(1)

    @cached_property
    def _transfers(self) -> Any:
        """The client of large files, which go in parts that can be tried again each."""
        return self._make_client(PART_TRIES)

    def _make_client(self, attempts: int) -> Any:
        settings = self.access.settings
        with _s3_errors(self.name):
            return self._session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                verify=ca_bundle(),
                region_name=self._session.region_name or "us-east-1",
                config=Config(
                    signature_version=UNSIGNED if settings.anonymous else "s3v4",
                    s3={"addressing_style": "path" if self._is_path_style else "virtual"},
                    connect_timeout=settings.connect_timeout,
                    read_timeout=settings.read_timeout,
                    retries={"total_max_attempts": attempts, "mode": "standard"},
                ),
            )

    @cached_property
    def _pages(self) -> web.Pool:
        with _s3_errors(self.name):
            url = self._client.generate_presigned_url("list_objects_v2", Params={"Bucket": self.bucket})
        return web.pool(url, self.access.settings)

    @property
    def _endpoint(self) -> str | None:
        """The S3-compatible server that is not AWS, from the settings or where boto3 takes it from."""
        return self.access.settings.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")

    @property
    def _is_path_style(self) -> bool:
        style = self.access.settings.addressing_style
        # A dot in a bucket's name fits no wildcard certificate.
        return style == "path" or (style == "auto" and (self._endpoint is not None or "." in self.bucket))

    @cached_property
    def _obstore(self) -> ObstoreS3:
        settings = self.access.settings
        options: dict[str, Any] = {"skip_signature": True}
        if not settings.anonymous:
            options = {"credential_provider": Boto3CredentialProvider(self._session, ttl=CREDENTIALS_TTL)}
        if bundle := ca_bundle():
            os.environ.setdefault("SSL_CERT_FILE", bundle)  # the only way to tell obstore
        endpoint = self._endpoint
        if endpoint is not None:
            address = _address(self.name, endpoint)
            scheme, host = address.scheme, address.netloc
            options["endpoint"] = endpoint if self._is_path_style else f"{scheme}://{self.bucket}.{host}"
        return ObstoreS3(
            self.bucket,
            region=self._region(),
            virtual_hosted_style_request=not self._is_path_style,
            client_options={
                "allow_http": endpoint is not None and endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=settings.connect_timeout),
                "timeout": timedelta(seconds=settings.read_timeout),
            },
            retry_config={"max_retries": 0},
            **options,
        )

    def _region(self) -> str:
        """The bucket's region, which boto3 follows redirects to and obstore has to know."""
        region = self.access.settings.region or self._session.region_name
        if self._endpoint is None and self.access.settings.region is None:
            try:
                response = self._client.head_bucket(Bucket=self.bucket)
            except ClientError as error:  # a refused HEAD names the region all the same
                response = error.response
            except BotoCoreError:
                return region or "us-east-1"
            region = response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
        return region or "us-east-1"


def _address(name: str, endpoint: str) -> SplitResult:
    """The endpoint in its parts. obstore would panic at a port that is none."""
    try:
        address = urlsplit(endpoint)
        _ = address.port
    except ValueError as error:
        raise StorageError(f"{name}: the endpoint {endpoint} is no address: {error}", "Write http://host:port.") from None
    return address


def _obstore_can_name(key: str) -> bool:
    """Whether obstore asks for this very key: it drops slashes at either end and refuses empty, `.` and `..` segments."""
    return all(part not in ("", ".", "..") for part in key.split("/")) and key.isprintable()


def _with_dots(url: str) -> str:
    """The address with the segments `.` and `..` of its path encoded, which HTTP clients would resolve; servers take them for the same."""
    place, _, query = url.partition("?")
    segments = [segment.replace(".", "%2E") if segment in (".", "..") else segment for segment in place.split("/")]
    return f"{'/'.join(segments)}?{query}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


@contextmanager
def _s3_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        _raise_client_error(name, error)
    except KeyError as error:
        raise TransientError(f"{name}: the answer broke off: it has no {error}", cause="truncated") from error
    except S3UploadFailedError as error:
        if isinstance(error.__context__, ClientError):
            _raise_client_error(name, error.__context__)
        raise StorageError(f"{name}: {web.gist(one_line(error))}") from error
    except (BotoCoreError, web.HTTPError) as error:
        problem = f"{name}: {web.gist(one_line(error))}"
        mend = "Check --endpoint-url, the network, and the AWS configuration."
        if cause := _transient_cause(error):
            raise TransientError(problem, mend, cause=cause) from error
        raise StorageError(problem, mend) from error


def _raise_client_error(name: str, error: ClientError) -> NoReturn:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    raise_s3(name, _code(error), error.response.get("Error", {}).get("Message", ""), status)


def _transient_cause(error: Exception) -> str | None:
    if isinstance(error, (boto_errors.ConnectTimeoutError, boto_errors.ReadTimeoutError)):
        return "timeout"
    if isinstance(error, (boto_errors.IncompleteReadError, boto_errors.ResponseStreamingError)):
        return "truncated"
    if "CERTIFICATE" in str(error):
        return None
    if isinstance(error, (boto_errors.ConnectionError, boto_errors.HTTPClientError)):
        return "connection"
    return web.transient_cause(error) if isinstance(error, web.HTTPError) else None


@contextmanager
def _obstore_errors(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise MissingError(f"{name}: there is no such object") from None
    except ObstoreError as error:
        text = str(error)
        status = re.search(r"status code: (\d{3})", text)
        said = re.search(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", text, re.DOTALL)
        if status:
            code, message = (said[1], unescape(said[2] or "")) if said else (status[1], "")
            raise_s3(name, code, message, int(status[1]))
        if isinstance(error, (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)):
            raise DeniedError(f"{name}: access denied", "Give these credentials the right to read it.") from None
        _raise_network_error(name, text, error)


def _raise_network_error(name: str, text: str, error: Exception) -> NoReturn:
    mend = "Check --endpoint-url and the network."
    kind = re.search(r"kind: (Timeout|Connect|Request|Interrupted|Body)\b", text)  # the outermost, in obstore's debug print
    if kind is None or "ertificate" in text:
        raise StorageError(f"{name}: {web.gist(text)}", mend) from error
    if kind[1] == "Timeout":
        raise TransientError(f"{name}: no answer in time", mend, cause="timeout") from error
    if "kind: Body" in text:
        raise TransientError(f"{name}: the transfer broke off", mend, cause="truncated") from error
    innermost = "".join(f": {words}" for words in re.findall(r'(?:message|error): "([^"]+)"', text)[-1:])
    raise TransientError(f"{name}: the connection failed{innermost}", mend, cause="connection") from error
