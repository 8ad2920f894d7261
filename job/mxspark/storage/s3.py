"""Buckets as stores.

The only place that imports boto3 and obstore. boto3 finds credentials and writes; obstore does the bulk GETs at a fifteenth of boto3's
CPU time. Listing is ListObjectsV2 pages signed by boto3: obstore's own listing takes a prefix for whole path segments (`photos/img`
would not find `photos/img1.png`) and stops at keys such as `a//b`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import unquote_plus, urlsplit
from xml.etree import ElementTree

import boto3
import obstore
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import S3Store as ObstoreS3

from mxspark.errors import one_line
from mxspark.storage import web
from mxspark.storage.store import Access, DeniedError, MissingError, StorageError, ca_bundle, check_size, join

# botocore renews credentials ten minutes before they expire at the latest; asking it more often than that is always in time.
CREDENTIALS_TTL = timedelta(minutes=5)


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
            page = self._list_page(self.root + prefix, token)
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
        response = web.get(self._pages, self.name, url)
        try:
            page = ElementTree.fromstring(response.data)  # noqa: S314  # expat refuses entity bombs since 2.4.1
        except ElementTree.ParseError:
            cause = f"the server answered {response.status} {response.reason}, and not as S3 does"
            raise StorageError(f"{self.name}: {cause}", "Check --endpoint-url.") from None
        if response.status == 200 and not page.tag.endswith("ListBucketResult"):
            raise StorageError(f"{self.name}: the server answered with a page, and not as S3 does", "Check --endpoint-url.")
        if response.status != 200:
            _raise_s3(self.name, page.findtext("Code") or str(response.status), page.findtext("Message") or "")
        return page

    def read(self, key: str, limit: int | None = None) -> bytes:
        if not _obstore_can_name(self.root + key):
            return self._read_with_boto3(key, limit)
        with _obstore_errors(join(self.name, key)):
            result = obstore.get(self._obstore, self.root + key)
            check_size(result.meta["size"], limit)
            return bytes(result.bytes())

    def _read_with_boto3(self, key: str, limit: int | None) -> bytes:
        with _s3_errors(join(self.name, key)):
            response = self._client.get_object(Bucket=self.bucket, Key=self.root + key)
            with response["Body"] as body:
                check_size(response["ContentLength"], limit)
                data: bytes = body.read()
                return data

    def has(self, key: str) -> bool:
        return next((found == key for found in self.keys(key)), False)  # the key itself is the first that starts with it

    def read_tail(self, key: str, size: int) -> bytes:
        with _s3_errors(join(self.name, key)):
            try:
                data: bytes = self._client.get_object(Bucket=self.bucket, Key=self.root + key, Range=f"bytes=-{size}")["Body"].read()
            except self._client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") != "InvalidRange":
                    raise
                data = b""  # of an empty object there is no range
            return data

    def download(self, key: str, target: BinaryIO) -> None:
        with _s3_errors(join(self.name, key)):
            self._client.download_fileobj(self.bucket, self.root + key, target)

    def write(self, key: str, data: bytes) -> None:
        with _s3_errors(join(self.name, key)):
            self._client.put_object(Bucket=self.bucket, Key=self.root + key, Body=data)

    def upload(self, key: str, source: Path) -> None:
        with _s3_errors(join(self.name, key)):
            self._client.upload_file(str(source), self.bucket, self.root + key)

    def delete(self, key: str) -> None:
        with _s3_errors(join(self.name, key)):
            self._client.delete_object(Bucket=self.bucket, Key=self.root + key)

    def check_writable(self) -> None:
        # An upload that is never completed is never visible.
        with _s3_errors(self.name):
            probe = {"Bucket": self.bucket, "Key": self.root + "_writable"}
            upload = self._client.create_multipart_upload(**probe)["UploadId"]
            self._client.abort_multipart_upload(**probe, UploadId=upload)

    @cached_property
    def _session(self) -> boto3.Session:
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
                    retries={"total_max_attempts": settings.retries + 1, "mode": "standard"},
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
            scheme, host = urlsplit(endpoint).scheme, urlsplit(endpoint).netloc
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
            retry_config={"max_retries": settings.retries},
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


def _obstore_can_name(key: str) -> bool:
    """Whether obstore asks for this very key: it drops slashes at either end and refuses empty, `.` and `..` segments."""
    return all(part not in ("", ".", "..") for part in key.split("/")) and key.isprintable()


# What S3 servers say, as the cause in words and the mend.
_S3_CAUSES: dict[str, tuple[type[StorageError], str, str]] = {
    "NoSuchBucket": (MissingError, "there is no such bucket", "Check the bucket's name, and --endpoint-url if it isn't on AWS."),
    "NoSuchKey": (MissingError, "there is no such object", "Check the key."),
    "404": (MissingError, "there is no such object or bucket", "Check the name, and --endpoint-url if it isn't on AWS."),
    "AccessDenied": (DeniedError, "access denied", "Give these credentials the right to do this."),
    "403": (DeniedError, "access denied", "Give these credentials the right to do this."),
    "InvalidAccessKeyId": (DeniedError, "the server doesn't know this access key", "Check AWS_ACCESS_KEY_ID and --endpoint-url."),
    "SignatureDoesNotMatch": (DeniedError, "the secret key doesn't fit the access key", "Check AWS_SECRET_ACCESS_KEY."),
    "ExpiredToken": (DeniedError, "the credentials have expired", "Renew them and run the same command again."),
    "PermanentRedirect": (StorageError, "the bucket is in another region", "Set storage.region."),
}


def _raise_s3(name: str, code: str, message: str) -> NoReturn:
    kind, cause, mend = _S3_CAUSES.get(code, (StorageError, f"{code}: {message}".rstrip(": "), ""))
    raise kind(f"{name}: {cause}", mend)


@contextmanager
def _s3_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        _raise_s3(name, details.get("Code", "unknown"), details.get("Message", ""))
    except (BotoCoreError, web.HTTPError) as error:
        raise StorageError(f"{name}: {one_line(error)}", "Check --endpoint-url, the network, and the AWS configuration.") from error


@contextmanager
def _obstore_errors(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise MissingError(f"{name}: there is no such object") from None
    except ObstoreError as error:
        if isinstance(error, (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)):
            raise DeniedError(f"{name}: access denied", "Give these credentials the right to read it.") from None
        text = str(error)
        if said := re.search(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", text, re.DOTALL):
            _raise_s3(name, said[1], said[2] or "")
        raise StorageError(f"{name}: {web.gist(text)}", "Check --endpoint-url and the network.") from error
