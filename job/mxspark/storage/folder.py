"""Folders as stores."""

import errno
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from mxspark.errors import one_line
from mxspark.settings.job import StorageSettings
from mxspark.storage import beneath
from mxspark.storage.retry import Patience
from mxspark.storage.store import (
    MAX_HOLDER_BYTES,
    DeniedError,
    Hold,
    MissingError,
    Skip,
    StorageError,
    TransientError,
    check_size,
    held,
    parsed_holder,
)

CHUNK = 4 * 2**20  # bytes copied at a time
# What passes when somebody makes room, or a file server comes back.
TRANSIENT = {errno.ENOSPC: "no_space", errno.EDQUOT: "no_space", errno.ESTALE: "connection", errno.ETIMEDOUT: "timeout"}
# at a time while listing; what lies deeper in each other is listed at once, for the files a process may open are few
OPEN_FOLDERS = 100
LOCK_SECONDS = 0.5  # longer than `mxspark status` looks at a lock
# `.NAME.` and eight characters of tempfile's: a file that is being written.
TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}")


@dataclass(frozen=True)
class FolderStore:
    """A folder; keys are paths relative to it, with `/` between their parts, and bytes that are not UTF-8 escaped as
    `escaped` does.

    No key leads out of the folder by itself. Links in it are followed, as people have them in folders of images;
    without `follow_links`, for folders that are written to, none is, in no method.
    """

    root: Path
    settings: StorageSettings = field(default_factory=StorageSettings)
    follow_links: bool = True

    @property
    def name(self) -> str:
        return str(self.root)

    def keys(self, prefix: str = "", skip: Skip | None = None) -> Iterator[str]:
        with _file_errors(self.root):
            if self.root.is_file():
                raise StorageError(f"{self.name}: is a file, not a folder", "Name its folder.")
            if not self.root.exists():
                raise MissingError(f"{self.name}: there is no such file or folder", "Name one that exists.")
            if not self.root.is_dir():
                raise StorageError(f"{self.name}: is neither a file nor a folder", "Name one of them.")
            os.scandir(self.root).close()  # it is the root that can't be read then, not an entry
        yield from _walk(self.root, prefix, skip, self.follow_links)

    def read(self, key: str, limit: int | None = None) -> bytes:
        def get() -> bytes:
            with self._opened(key) as file:
                check_size(os.fstat(file.fileno()).st_size, limit)
                # Not more than was asked for, should the file grow meanwhile.
                return file.read() if limit is None else file.read(limit)

        return self._patience(get)

    def has(self, key: str) -> bool:
        path = self._path(key)
        with _file_errors(path):
            return path.is_file() if self.follow_links else _is_file_beneath(self.root, path)

    def read_tail(self, key: str, size: int) -> bytes:
        def get() -> bytes:
            with self._opened(key) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                return file.read()

        return self._patience(get)

    def download(self, key: str, target: BinaryIO, limit: int | None = None) -> None:
        def get() -> None:
            with self._opened(key) as file:
                check_size(os.fstat(file.fileno()).st_size, limit)
                target.seek(0)
                target.truncate()
                shutil.copyfileobj(file, target, CHUNK)

        self._patience(get)

    def write(self, key: str, data: bytes) -> None:
        def put() -> None:
            with self._replacement(key) as file:
                file.write(data)

        self._patience(put)

    def upload(self, key: str, source: Path) -> None:
        def put() -> None:
            with self._replacement(key) as file, open(source, "rb") as content:
                shutil.copyfileobj(content, file, CHUNK)

        self._patience(put)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _file_errors(path), suppress(NotADirectoryError, FileNotFoundError):
            if self.follow_links:
                path.unlink()
            else:
                with beneath.folder_of(self.root, path) as folder:
                    os.unlink(path.name, dir_fd=folder)

    def check_writable(self) -> None:
        nearest = next(folder for folder in (self.root.absolute(), *self.root.absolute().parents) if folder.exists())
        if not nearest.is_dir():
            raise StorageError(f"{self.name}: {nearest} is a file, not a folder", "Choose another place.")
        try:
            # A file without a name; only making one tells of read-only and odd file systems, whoever asks.
            with tempfile.TemporaryFile(dir=nearest):
                pass
        except OSError as error:
            problem = f"{self.name}: {nearest} can't be written by user {os.getuid()}: {error.strerror}"
            hint = (
                "Choose another place, or change its permissions; where it is mounted into a container: docker run "
                "--user, with its owner."
            )
            raise DeniedError(problem, hint) from None

    def sweep(self, ours: Callable[[str], bool], prefix: str = "") -> int:
        swept = 0
        above, slash, start = prefix.rpartition("/")
        with suppress(MissingError):
            for key in self.keys(f"{above}{slash}.{start}" if start else prefix, skip=lambda _error: None):
                folder, _, name = key.rpartition("/")
                unfinished = TEMPORARY.fullmatch(name)
                if unfinished and ours(f"{folder}/{unfinished[1]}".lstrip("/")):
                    self.delete(key)
                    swept += 1
        return swept

    @contextmanager
    def hold(self, key: str, owner: Mapping[str, Any], seconds: float) -> Iterator[Hold]:
        """The kernel lets a lock go when its process dies, however that happens: there is nothing to wait for."""
        absent = [folder for folder in (self.root.absolute(), *self.root.absolute().parents) if not folder.exists()]
        with _file_errors(self.root / key):
            self.root.mkdir(parents=True, exist_ok=True)
            file = _locked(self.root, self._path(key))
        if file is None:
            raise held(self.name, self.holder(key) or {})
        with file:
            try:
                with _file_errors(self.root / key):
                    file.truncate(0)
                    # Unbuffered: closing a buffer would write it again.
                    os.write(file.fileno(), json.dumps(owner).encode())
                yield _FolderHold()
            finally:
                with suppress(OSError):  # it may be read-only by now; the lock itself goes with the process
                    (self.root / key).unlink(missing_ok=True)
                with suppress(OSError):  # it isn't empty where something was written
                    for folder in absent:
                        folder.rmdir()

    def holder(self, key: str) -> Mapping[str, Any] | None:
        try:
            with _opened_beneath(self.root, self._path(key), os.O_RDONLY) as file:
                if _try_lock(file):
                    return None  # its process is gone
                return parsed_holder(file.read(MAX_HOLDER_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, StorageError):
            return {}

    @cached_property
    def _patience(self) -> Patience:
        return Patience(self.settings)

    def _path(self, key: str) -> Path:
        if key.startswith("/") or (".." in key and ".." in key.split("/") and self.root != Path("/")):
            raise DeniedError("leads out of the folder", place=escaped(f"{self.root}/{key}"))
        return self.root / unescaped(key)

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with _file_errors(path):
            if not self.follow_links:
                with _opened_beneath(self.root, path, os.O_RDONLY) as file:
                    yield file
                return
            with open(beneath.open_followed(path), "rb") as file:
                yield file

    @contextmanager
    def _replacement(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with _file_errors(path):
            if self.follow_links:
                path.parent.mkdir(parents=True, exist_ok=True)
            with beneath.folder_of(path.parent if self.follow_links else self.root, path, make=True) as folder:
                # A leading dot, so that no reader of the table takes an unfinished file for a part.
                handle, temporary = beneath.new_file(path.name, folder)
                try:
                    with open(handle, "wb") as file:
                        yield file
                        file.flush()
                        os.fsync(file.fileno())
                        os.fchmod(file.fileno(), 0o666 & ~_umask())
                    os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    with suppress(FileNotFoundError):
                        os.unlink(temporary, dir_fd=folder)
                    raise


class _FolderHold:
    """A lock of the kernel's can't be lost."""

    def check(self) -> None: ...


@contextmanager
def _opened_beneath(root: Path, path: Path, flags: int) -> Iterator[BinaryIO]:
    with beneath.folder_of(root, path) as folder, open(beneath.open_file(path, folder, flags), "rb") as file:
        yield file


def _is_file_beneath(root: Path, path: Path) -> bool:
    try:
        with beneath.folder_of(root, path) as folder:
            return stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _locked(root: Path, path: Path) -> BinaryIO | None:
    """The file at `path`, locked; None where another process has it locked. No link is followed: the file is emptied
    and written.
    """
    end = time.monotonic() + LOCK_SECONDS
    while True:
        with beneath.folder_of(root, path) as folder:
            file = open(beneath.open_file(path, folder, os.O_RDWR | os.O_CREAT), "r+b")  # noqa: SIM115  # it is the caller who closes it
        if not _try_lock(file):
            file.close()
            if time.monotonic() > end:
                return None
            time.sleep(LOCK_SECONDS / 10)
            continue
        # The one who held it before may have removed it meanwhile: then this is a file that nobody else sees.
        with suppress(FileNotFoundError):
            found = path.lstat()
            if os.fstat(file.fileno()).st_ino == found.st_ino:
                if found.st_nlink > 1:
                    file.close()
                    raise StorageError(
                        "has another name too (a hard link); mxspark does not write to such files",
                        "Remove it.",
                        place=escaped(str(path)),
                    )
                return file
        file.close()


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # On a file system without locks no one is kept out; the plan's id still keeps the parts of two runs apart.
        if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):
            raise
    return True


def _umask() -> int:
    """mkstemp makes files for their owner only; results are made as any other file is. Linux tells the mask without
    setting it.
    """
    try:
        text = Path("/proc/self/status").read_text()
        return int(re.search(r"^Umask:\s*(\d+)", text, re.MULTILINE)[1], 8)  # type: ignore[index]
    except (OSError, TypeError):
        return 0o022


@dataclass(frozen=True)
class _Listing:
    """A folder that is being listed: its key, with a slash at its end, and the entries that are still to come."""

    path: str
    key: str
    identity: tuple[int, int]
    entries: Iterator["os.DirEntry[str]"]

    def close(self) -> None:
        if close := getattr(self.entries, "close", None):
            close()


def _walk(root: Path, wanted: str, skip: Skip | None, follow_links: bool) -> Iterator[str]:
    """Keys below `root` that start with `wanted`; follows links, but not into a folder that it is already in. Without
    `follow_links` a link is a key, wherever it leads.

    A folder that can't be listed is an error of its own, which `skip` takes where there is one. No recursion: folders
    may lie deeper in each other than Python's functions.
    """
    listings: list[_Listing] = []
    try:
        _enter(str(root), "", listings, skip)
        while listings:
            listing, inner = listings[-1], None
            with _skipping(listing.path, skip):
                for entry in listing.entries:
                    key = listing.key + escaped(entry.name)
                    if not (f"{key}/".startswith(wanted) or wanted.startswith(f"{key}/")):
                        continue
                    if _is_folder(entry, follow_links):
                        inner = entry.path
                        break
                    if key.startswith(wanted):
                        yield key
            if inner is None:
                listings.pop().close()
            else:
                _enter(inner, f"{key}/", listings, skip)
    finally:
        for listing in listings:
            listing.close()


def _enter(path: str, key: str, listings: list[_Listing], skip: Skip | None) -> None:
    """Adds the folder at `path` to those that are being listed, unless it is one of them."""
    with _skipping(path, skip):
        status = Path(path).stat()
        identity = (status.st_dev, status.st_ino)
        if any(listing.identity == identity for listing in listings):
            if skip is not None:
                skip(StorageError(f"{escaped(path)}: a link to a folder that it lies in"))
            return
        entries: Iterator[os.DirEntry[str]] = os.scandir(path)
        if len(listings) >= OPEN_FOLDERS:
            entries = iter(list(entries))  # read to its end it is closed
        listings.append(_Listing(path, key, identity, entries))


@contextmanager
def _skipping(path: str, skip: Skip | None) -> Iterator[None]:
    """Has `skip` take the errors about a folder, where there is one."""
    try:
        with _file_errors(Path(path)):
            yield
    except StorageError as error:
        # With a transient one it is the disk or the file server that is at fault, not this folder.
        if skip is None or isinstance(error, TransientError):
            raise
        skip(error)


def _is_folder(entry: "os.DirEntry[str]", follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # a link to itself: a key that can't be read, as any broken link is
        return False


# What `escaped` makes: a byte that is no part of UTF-8, or the backslash of a name that looks like one.
_ESCAPE = re.compile(r"\\x(5c|[89a-f][0-9a-f])")


def escaped(name: str) -> str:
    r"""A file's name, as Python has it, as UTF-8 text that `unescaped` takes back: the byte FF is written `\xff`.

    The backslash of a name that has such four characters already is written `\x5c`; all other names stay as they are.
    """
    if name.isprintable() and "\\" not in name:
        return name
    return escape_bytes(_ESCAPE.sub(r"\\x5cx\1", name))


def escape_bytes(text: str) -> str:
    """The bytes in a text that are not UTF-8, which Python has as lone surrogates, as `escaped` writes them."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def unescaped(key: str) -> str:
    """The file's name that `escaped` made a key of, as Python has it."""
    if "\\x" not in key:
        return key
    return _ESCAPE.sub(lambda match: "\\" if match[1] == "5c" else chr(0xDC00 + int(match[1], 16)), key)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    name = escaped(str(path))
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError("no such file", place=name) from None
    except PermissionError:
        raise DeniedError("permission denied", place=name) from None
    except OSError as error:
        reason = error.strerror or one_line(error)
        if cause := TRANSIENT.get(error.errno or 0):
            hint = "Make room." if cause == "no_space" else ""
            raise TransientError(reason, hint, place=name, cause=cause) from error
        raise StorageError(reason, place=name) from error
    except ValueError:  # a NUL, or what the file system's encoding can't hold
        raise MissingError("can't be a file's name", place=repr(str(path))) from None
