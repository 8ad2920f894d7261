"""Files below a folder, reached without following any link: others may be able to put links there.

Each folder on the way is opened by itself, so that none can be swapped for a link between a look and a step.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mxspark.storage.store import StorageError
from mxspark.text.words import printable

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK opening a pipe would wait for ever.
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def folder_of(root: Path, path: Path, *, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder that holds `path`, which is below `root`; `root` itself may be a link. Raises
    OSError, StorageError.
    """
    if make:
        root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        reached = root
        for name in path.relative_to(root).parts[:-1]:
            reached /= name
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=descriptor)
            try:
                below = os.open(name, FOLDER, dir_fd=descriptor)
            except OSError:
                refuse_link(reached, descriptor)
                raise
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def refuse_link(path: Path, folder: int) -> None:
    """Raises StorageError where `path`, in the folder of this descriptor, is a link."""
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise StorageError(
            "is a link, and none is followed where results are written", "Remove it.", place=printable(os.fspath(path))
        )


def open_file(path: Path, folder: int, flags: int) -> int:
    """A descriptor of the regular file `path` in the folder of a descriptor. Raises OSError, StorageError."""
    try:
        descriptor = os.open(path.name, flags | FILE, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            refuse_link(path, folder)
        raise
    return _regular(descriptor, path)


def open_followed(path: Path) -> int:
    """A descriptor of the regular file to which `path` leads, for reading. Raises OSError, StorageError."""
    # O_NONBLOCK: a pipe would wait for a writer.
    return _regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)


def _regular(descriptor: int, path: Path) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageError("not a regular file", place=printable(os.fspath(path)))
    return descriptor


def new_file(name: str, folder: int) -> tuple[int, str]:
    """A new file for a hidden name that begins with `.NAME.`, and that name."""
    hidden = f".{name}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(hidden, flags, 0o600, dir_fd=folder), hidden
