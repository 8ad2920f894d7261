"""Where the images are: a folder, a bucket's prefix, or a manifest; which keys there are, and the bytes behind one.

A key is what a person would call the image: the S3 key without the bucket, the path relative to the folder, or the manifest's
own entry.
"""

import csv
import heapq
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import IO

from mxspark import parquet, storage
from mxspark.errors import UsageError
from mxspark.settings import InputSettings
from mxspark.storage import Access, Store

MANIFEST_SUFFIXES = (".txt", ".csv", ".parquet")
# S3's own limit; longer lines mean that the file is not a manifest.
MAX_KEY_BYTES = 1024


class Source:
    """The images that the settings name."""

    def __init__(self, settings: InputSettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._is_manifest = settings.path.lower().endswith(MANIFEST_SUFFIXES)
        self._base, self._prefix = self._place()
        self._store = lru_cache(maxsize=64)(self._open)  # one client for each bucket that a manifest names

    def reach(self) -> None:
        """Raises UsageError or StorageError where a bucket can't be read, by what costs little: a page of a list, the end of a manifest."""
        if not storage.is_s3(self._settings.path):
            return
        if self._is_manifest:
            name = self._settings.path.rsplit("/", 1)[-1]
            self._open(storage.parent(self._settings.path)).read_tail(name, 1)
        else:
            next(self.keys())

    def _place(self) -> tuple[str, str]:
        """(location that keys are relative to, prefix of the keys listed)."""
        path = self._settings.path
        if self._is_manifest:
            if self._settings.base is None and path.startswith(("http://", "https://")):
                raise UsageError(f"{path}: a manifest from the web does not say where its images are", "Set input.base to that place.")
            return self._settings.base or storage.parent(path), ""
        if storage.is_s3(path):
            bucket, prefix = storage.split_s3(path)
            return f"s3://{bucket}", prefix
        return path, ""

    def _open(self, location: str) -> Store:
        return storage.open_store(location, self._access)

    def keys(self) -> Iterator[str]:
        """The keys that pass the suffix filter, as listed, `limit` of them at most.

        Raises UsageError where there are none, StorageError where the place isn't there or can't be read.
        """
        taken = 0
        for key in self._limited(self._matching(self._all())):
            taken += 1
            yield key
        if taken == 0:
            listed = sum(1 for _ in islice(self._all(), 1000))
            what = f"none of its {listed}{'+' if listed == 1000 else ''} objects ends in {', '.join(self._settings.suffixes)}"
            raise UsageError(
                f"{self._settings.path}: no images: {what if listed else 'there is nothing there'}",
                "Check input.path" + (", or set input.suffixes (an empty list takes every object)." if listed else "."),
            )

    def check(self) -> None:
        """Raises StorageError or UsageError where the place is gone, or has no images any more. Of a manifest nothing can be said."""
        if not self._is_manifest:
            next(self._matching(self._all()), None) or next(self.keys())

    def _limited(self, keys: Iterator[str]) -> Iterator[str]:
        """The first `limit` keys. Buckets and manifests have an order; of a folder, it is the first by name."""
        limit = self._settings.limit
        if limit is None or self._is_manifest or storage.is_s3(self._base):
            return islice(keys, limit)
        return iter(heapq.nsmallest(limit, keys))

    def _matching(self, keys: Iterator[str]) -> Iterator[str]:
        suffixes = self._settings.suffixes
        # Keys that end in a slash are the folder markers that some tools make.
        return (key for key in keys if not key.endswith("/") and (not suffixes or key.lower().endswith(suffixes)))

    def _all(self) -> Iterator[str]:
        if self._is_manifest:
            yield from read_manifest(self._settings.path, self._access)
        else:
            yield from self._store(self._base).keys(self._prefix)

    def read(self, key: str) -> bytes:
        """The image's bytes. Raises StorageError, TooLargeError beyond `max_bytes`."""
        base, name = self._base, key
        if storage.is_s3(key):
            bucket, name = storage.split_s3(key)
            base = f"s3://{bucket}"
        elif key.startswith("/") and not storage.is_s3(base):
            base = "/"
        return self._store(base).read(name, self._settings.max_bytes)


def read_manifest(path: str, access: Access) -> Iterator[str]:
    """The keys in a manifest: a line each (.txt), or the column `key` (.csv, .parquet)."""
    with tempfile.TemporaryFile() as file:
        storage.download(path, access, file)
        file.seek(0)
        if path.lower().endswith(".parquet"):
            keys = parquet.read_column(file, "key", path)
        else:
            keys = _csv_keys(file, path) if path.lower().endswith(".csv") else _text_keys(file, path)
        for number, key in enumerate(keys, start=1):
            if len(key.encode(errors="replace")) > MAX_KEY_BYTES and storage.is_s3(path):
                raise UsageError(f"{path}: key {number} has more than {MAX_KEY_BYTES} bytes", "Is this a manifest, one key a line?")
            yield key


def _text_keys(file: IO[bytes], path: str) -> Iterator[str]:
    with _utf8(file, path) as lines:
        for line in lines:
            if key := line.rstrip("\r\n"):
                yield key


def _csv_keys(file: IO[bytes], path: str) -> Iterator[str]:
    with _utf8(file, path) as lines:
        reader = csv.DictReader(lines)
        if "key" not in (reader.fieldnames or ()):
            raise UsageError(f"{path}: has no column `key`, only {', '.join(reader.fieldnames or ['nothing'])}", "Name the column `key`.")
        for row in reader:
            if row["key"]:
                yield row["key"]


@contextmanager
def _utf8(file: IO[bytes], path: str) -> Iterator[IO[str]]:
    try:
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            yield text
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a manifest: {error}", "Write UTF-8 text, one key a line, or CSV with a column `key`.") from None
