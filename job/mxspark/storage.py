"""Objects behind one small interface: folders, s3:// buckets, and (for reading) http(s)://.

The only place that imports boto3, obstore and urllib3. boto3 finds credentials and writes; obstore does the bulk GETs at a
fifteenth of boto3's CPU time (bench/). Listing is ListObjectsV2 pages signed by boto3: obstore's own listing takes a prefix for
whole path segments (`photos/img` would not find `photos/img1.png`) and stops at keys such as `a//b`.
"""

import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol
from urllib.parse import unquote_plus, urlsplit
from urllib.request import getproxies, proxy_bypass
from xml.etree import ElementTree

import boto3
import obstore
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import S3Store as ObstoreS3

from mxspark.errors import MxsparkError, UsageError, one_line
from mxspark.settings import StorageSettings

# botocore renews credentials ten minutes before they expire at the latest; asking it more often than that is always in time.
CREDENTIALS_TTL = timedelta(minutes=5)
CHUNK = 4 * 2**20


class StorageError(MxsparkError):
    """An object couldn't be read, written or listed; `status` is what a row says of it."""

    status = "fetch_error"


class MissingError(StorageError):
    """There is no such object."""

    status = "missing"


class DeniedError(StorageError):
    """The credentials may not do this."""

    status = "denied"


class TooLargeError(StorageError):
    """The object has more bytes than allowed; it was not read."""

    status = "too_large"


@dataclass(frozen=True)
class Credentials:
    """Access keys that were handed over explicitly. Never printed; boto3's default chain is used where there are none."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Access:
    """How to reach storage: the settings, and explicit credentials if any. Travels to the workers as task data."""

    settings: StorageSettings = field(default_factory=StorageSettings)
    credentials: Credentials | None = None


class Store(Protocol):
    """A place with objects under keys. All methods raise StorageError."""

    @property
    def name(self) -> str:
        """How a person names it."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys that start with `prefix`, in no particular order; memory does not grow with their number."""

    def read(self, key: str, limit: int | None = None) -> bytes:
        """The object's bytes. Raises MissingError, DeniedError, and TooLargeError beyond `limit` bytes (before reading them)."""

    def read_tail(self, key: str, size: int) -> bytes:
        """The object's last `size` bytes, or all of them where it has fewer."""

    def download(self, key: str, target: BinaryIO) -> None:
        """Writes the object's bytes to `target`, in pieces."""

    def write(self, key: str, data: bytes) -> None:
        """Makes or replaces the object in one step: readers see the old bytes or the new ones."""

    def upload(self, key: str, source: Path) -> None:
        """`write` from a file, for what is too large for memory."""

    def delete(self, key: str) -> None:
        """Removes the object; no error where there is none."""

    def check_writable(self) -> None:
        """Raises StorageError where objects can't be written; leaves nothing behind."""


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
    match = re.fullmatch(r"s3://([A-Za-z0-9._-]+)(?:/(.*))?", location, re.DOTALL)
    if not match:
        raise UsageError(f"{location!r} names no bucket", "Write s3://bucket/prefix.")
    return match[1], match[2] or ""


def is_s3(location: str) -> bool:
    """Whether `location` is s3://… (Spark's s3a:// and s3n:// spellings are not accepted)."""
    return location.startswith("s3://")


def open_store(location: str, access: Access) -> Store:
    """The store whose keys are relative to `location`, a folder or s3://bucket/prefix."""
    if is_s3(location):
        bucket, prefix = split_s3(location)
        return S3Store(bucket, prefix.rstrip("/") + "/" if prefix else "", access)
    if "://" in location:
        raise UsageError(f"{location!r}: only folders and s3:// are read and written", "Write s3://bucket/prefix, or a path.")
    return FolderStore(Path(location))


def read_object(location: str, access: Access, limit: int | None = None) -> bytes:
    """The bytes of the one object at `location`."""
    folder, name = parent(location), location.rsplit("/", 1)[-1]
    return open_store(folder, access).read(name, limit)


def download(location: str, access: Access, target: BinaryIO) -> None:
    """Writes the object at `location` (path, s3://, http://, https://) to `target`. Raises StorageError."""
    if location.startswith(("http://", "https://")):
        _download_http(location, access.settings, target)
    else:
        open_store(parent(location), access).download(location.rsplit("/", 1)[-1], target)


@dataclass(frozen=True)
class FolderStore:
    """A folder; keys are paths relative to it, with `/` between their parts."""

    root: Path

    @property
    def name(self) -> str:
        return str(self.root)

    def keys(self, prefix: str = "") -> Iterator[str]:
        with _file_errors(self.root):
            if not self.root.is_dir():
                raise MissingError(f"{self.name}: there is no such folder", "Name a folder that exists.")
            yield from (key for key in _walk(self.root, "", frozenset()) if key.startswith(prefix))

    def read(self, key: str, limit: int | None = None) -> bytes:
        with _file_errors(self.root / key), open(self._regular(key), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if limit is not None and size > limit:
                raise TooLargeError(f"{size:,} bytes, more than the {limit:,} allowed")
            return file.read()

    def read_tail(self, key: str, size: int) -> bytes:
        with _file_errors(self.root / key), open(self._regular(key), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read()

    def download(self, key: str, target: BinaryIO) -> None:
        with _file_errors(self.root / key), open(self._regular(key), "rb") as file:
            while chunk := file.read(CHUNK):
                target.write(chunk)

    def write(self, key: str, data: bytes) -> None:
        with self._replacement(key) as file:
            file.write(data)

    def upload(self, key: str, source: Path) -> None:
        with self._replacement(key) as file, open(source, "rb") as content:
            while chunk := content.read(CHUNK):
                file.write(chunk)

    def delete(self, key: str) -> None:
        with _file_errors(self.root / key), suppress(NotADirectoryError):
            (self.root / key).unlink(missing_ok=True)

    def check_writable(self) -> None:
        nearest = next(folder for folder in (self.root.absolute(), *self.root.absolute().parents) if folder.exists())
        if not nearest.is_dir():
            raise StorageError(f"{self.name}: {nearest} is a file, not a folder", "Choose another place.")
        try:
            # A file without a name; only making one tells of read-only and odd file systems, whoever asks.
            with tempfile.TemporaryFile(dir=nearest):
                pass
        except OSError as error:
            problem = f"{self.name}: {nearest} can't be written: {error.strerror}"
            raise DeniedError(problem, "Choose another place, or change its permissions.") from None

    def _regular(self, key: str) -> Path:
        path = self.root / key
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise StorageError("not a regular file")
        return path

    @contextmanager
    def _replacement(self, key: str) -> Iterator[BinaryIO]:
        path = self.root / key
        with _file_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A leading dot, so that no reader of the table takes an unfinished file for a part.
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            try:
                with open(handle, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o666 & ~_umask())
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise


def _umask() -> int:
    """mkstemp makes files for their owner only; results are made as any other file is. Linux tells the mask without setting it."""
    try:
        text = Path("/proc/self/status").read_text()
        return int(re.search(r"^Umask:\s*(\d+)", text, re.MULTILINE)[1], 8)  # type: ignore[index]
    except (OSError, TypeError):
        return 0o022


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Keys below `folder`; follows links, but not into a folder that it is already in."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in above:
        return
    above |= {(status.st_dev, status.st_ino)}
    with os.scandir(folder) as entries:
        for entry in entries:
            key = prefix + entry.name
            if _is_folder(entry):
                yield from _walk(Path(entry.path), key + "/", above)
            elif not key.isprintable() and _is_not_utf8(key):
                raise UsageError(f"{folder}: the file name {os.fsencode(entry.name)!r} is not UTF-8", "Rename the file.")
            else:
                yield key


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: a key that can't be read, as any broken link is
        return False


def _is_not_utf8(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError(f"{path}: no such file") from None
    except PermissionError:
        raise DeniedError(f"{path}: permission denied") from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or one_line(error)}") from error
    except ValueError:  # a NUL, or what the file system's encoding can't hold
        raise MissingError(f"{str(path)!r}: can't be a file's name") from None


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
        response = _http_get(self._pages, self.name, url)
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
            _check_size(result.meta["size"], limit)
            return bytes(result.bytes())

    def _read_with_boto3(self, key: str, limit: int | None) -> bytes:
        with _s3_errors(join(self.name, key)):
            response = self._client.get_object(Bucket=self.bucket, Key=self.root + key)
            with response["Body"] as body:
                _check_size(response["ContentLength"], limit)
                data: bytes = body.read()
                return data

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
    def _pages(self) -> urllib3.PoolManager:
        with _s3_errors(self.name):
            url = self._client.generate_presigned_url("list_objects_v2", Params={"Bucket": self.bucket})
        return _http_pool(url, self.access.settings)

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


def _check_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise TooLargeError(f"{size:,} bytes, more than the {limit:,} allowed")


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
    except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
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
        raise StorageError(f"{name}: {_gist(text)}") from error


def _gist(text: str) -> str:
    """The cause at the end of obstore's chain of causes, without its debug print and addresses."""
    line = " ".join(text.partition("Debug source:")[0].split())
    return re.sub(r"\s*\(?https?://[^\s)]*\)?|HTTPS?Connection(Pool)?\([^)]*\): ", "", line)[-300:]


def _http_pool(url: str, settings: StorageSettings) -> urllib3.PoolManager:
    """Connections to the host of `url`, through the proxy that the environment names for it, as boto3 and obstore do."""
    timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
    retries = urllib3.Retry(
        settings.retries, backoff_factor=0.2, backoff_jitter=0.2, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False
    )
    address = urlsplit(url)
    proxy = None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, timeout=timeout, retries=retries)
    return urllib3.PoolManager(timeout=timeout, retries=retries)


def _http_get(pool: urllib3.PoolManager, name: str, url: str, *, preload: bool = True) -> urllib3.BaseHTTPResponse:
    try:
        return pool.request("GET", url, preload_content=preload)
    except urllib3.exceptions.HTTPError as error:
        cause = getattr(error, "reason", None) or error
        raise StorageError(f"{name}: {_gist(one_line(cause))}", "Check the address and the network.") from error


def _download_http(url: str, settings: StorageSettings, target: BinaryIO) -> None:
    name = url.partition("?")[0]  # the query of a presigned address is a secret
    with _http_pool(url, settings) as pool, _http_get(pool, name, url, preload=False) as response:
        if response.status != 200:
            kind: Callable[..., StorageError] = MissingError if response.status in (404, 410) else StorageError
            raise kind(f"{name}: the server answered {response.status} {response.reason}", "Check the address.")
        try:
            for chunk in response.stream(CHUNK):
                target.write(chunk)
        except urllib3.exceptions.HTTPError as error:
            raise StorageError(f"{name}: broke off: {one_line(error)}", "Try again.") from error
