"""Folders as stores."""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mxspark.errors import UsageError, one_line
from mxspark.storage.store import DeniedError, MissingError, StorageError, check_size

CHUNK = 4 * 2**20  # bytes copied at a time


@dataclass(frozen=True)
class FolderStore:
    """A folder; keys are paths relative to it, with `/` between their parts."""

    root: Path

    @property
    def name(self) -> str:
        return str(self.root)

    def keys(self, prefix: str = "") -> Iterator[str]:
        with _file_errors(self.root):
            if self.root.is_file():
                raise StorageError(f"{self.name}: is a file, not a folder", "Name its folder, or a manifest (.txt, .csv, .parquet).")
            if not self.root.is_dir():
                raise MissingError(f"{self.name}: there is no such folder", "Name a folder that exists.")
            yield from (key for key in _walk(self.root, "", frozenset()) if key.startswith(prefix))

    def read(self, key: str, limit: int | None = None) -> bytes:
        with _file_errors(self.root / key), open(self._regular(key), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            check_size(size, limit)
            return file.read()

    def has(self, key: str) -> bool:
        with _file_errors(self.root / key):
            return (self.root / key).is_file()

    def read_tail(self, key: str, size: int) -> bytes:
        with _file_errors(self.root / key), open(self._regular(key), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read()

    def download(self, key: str, target: BinaryIO) -> None:
        with _file_errors(self.root / key), open(self._regular(key), "rb") as file:
            shutil.copyfileobj(file, target, CHUNK)

    def write(self, key: str, data: bytes) -> None:
        with self._replacement(key) as file:
            file.write(data)

    def upload(self, key: str, source: Path) -> None:
        with self._replacement(key) as file, open(source, "rb") as content:
            shutil.copyfileobj(content, file, CHUNK)

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
            raise StorageError(f"{path}: not a regular file")
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
