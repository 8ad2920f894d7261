"""Objects behind one small interface: folders, s3:// buckets, and (for reading) http(s)://.

The rooms of boto3, obstore and urllib3 are imported when a place needs them: a command line that only shows its help is
quick.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mxspark.errors import UsageError
from mxspark.storage.folder import FolderStore, escape_bytes
from mxspark.storage.retry import retries_so_far, telling
from mxspark.storage.store import (
    Access,
    ClockError,
    Credentials,
    CredentialsError,
    DeniedError,
    HeldError,
    Hold,
    MissingError,
    ProxyError,
    StorageError,
    Store,
    TooLargeError,
    is_refusal,
    is_s3,
    join,
    parent,
    split_s3,
    usage_errors,
)

if TYPE_CHECKING:
    from mxspark.storage.s3 import S3Store
    from mxspark.storage.web import WebReader

__all__ = [
    "Access",
    "ClockError",
    "Credentials",
    "CredentialsError",
    "DeniedError",
    "FolderStore",
    "HeldError",
    "Hold",
    "MissingError",
    "ProxyError",
    "S3Store",
    "StorageError",
    "Store",
    "TooLargeError",
    "WebReader",
    "download",
    "escape_bytes",
    "is_refusal",
    "is_s3",
    "join",
    "open_output",
    "open_store",
    "parent",
    "read_object",
    "retries_so_far",
    "split_s3",
    "telling",
    "usage_errors",
]


def __getattr__(name: str) -> Any:
    if name == "S3Store":
        from mxspark.storage.s3 import S3Store

        return S3Store
    if name == "WebReader":
        from mxspark.storage.web import WebReader

        return WebReader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_store(location: str, access: Access, *, follow_links: bool = True) -> Store:
    """The store whose keys are relative to `location`, a folder or s3://bucket/prefix; links in a folder are
    followed or not.
    """
    if is_s3(location):
        from mxspark.storage.s3 import S3Store

        bucket, prefix = split_s3(location)
        return S3Store(bucket, prefix.rstrip("/") + "/" if prefix else "", access)
    if "://" in location:
        raise UsageError(
            f"{location!r}: only folders and s3:// are read and written", "Write s3://bucket/prefix, or a path."
        )
    return FolderStore(Path(location), access.settings, follow_links)


def open_output(location: str, access: Access) -> Store:
    """The store of a run's results: nothing there is followed, for others may be able to put links there."""
    return open_store(location, access, follow_links=False)


def read_object(location: str, access: Access, limit: int | None = None) -> bytes:
    """The bytes of the one object at `location`."""
    folder, name = parent(location), location.rsplit("/", 1)[-1]
    return open_store(folder, access).read(name, limit)


def download(location: str, access: Access, target: BinaryIO, limit: int | None = None) -> None:
    """Writes the object at `location` (path, s3://, http://, https://) to `target`. Raises StorageError, TooLargeError
    beyond `limit` bytes."""
    if location.startswith(("http://", "https://")):
        from mxspark.storage import web

        web.download(location, access.settings, target, limit)
    else:
        open_store(parent(location), access).download(location.rsplit("/", 1)[-1], target, limit)
