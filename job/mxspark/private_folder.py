"""Folders of this user's own, for what is executed or believed later: Java's wrapper and classes, model files, marks
of checks.
"""

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mxspark.errors import UsageError
from mxspark.host import is_pod
from mxspark.text.words import printable

NOBODY = 65534  # what root's folders belong to inside a user namespace; elsewhere a user like any other
USERS = Path("/proc/self/uid_map")
HINT = (
    "Name a cache_dir of your own (MXSPARK_CACHE_DIR), in folders that belong to you or to root and that others can't "
    "write."
)

NO_OWNERS = (
    "run as that one (kubernetes.driver.template and executor.template: securityContext.runAsUser), or name a "
    "cache_dir elsewhere (MXSPARK_CACHE_DIR), such as an emptyDir."
)


def private_folder(place: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """This user's folder in `place`, which may be everybody's: nobody else may enter it. Made where it isn't there.

    Raises UsageError where it is another's, a link, or where another could put one of his own there; OSError where it
    can't be made.
    """
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    place = Path(os.path.realpath(place))  # what is a link above it leads where the check looks
    if not _is_container(environ):
        for folder in (place, *place.parents):
            _check_above(folder)
    own = place / f"user-{os.geteuid()}"
    with suppress(FileExistsError):
        own.mkdir(mode=0o700)
    _make_private(own, _is_container(environ))
    return own


def _make_private(folder: Path, lenient: bool) -> None:
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise UsageError(
            f"{printable(str(folder))}: is a link or a file, and not this user's folder for files that are kept", HINT
        )
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            hint = HINT if _keeps_owners(folder.parent) else f"Its volume gives all files to one user: {NO_OWNERS}"
            raise UsageError(
                f"{printable(str(folder))}: belongs to user {found.st_uid}, who could put anything there", hint
            )
        # In a container nobody else is there. Kubernetes opens the files of a volume for its fsGroup each time that it
        # is mounted.
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not lenient:
            raise UsageError(
                f"{printable(str(folder))}: others could write to it (mode {stat.S_IMODE(found.st_mode):o}), and put "
                "anything there",
                f"Remove it; it is made again, for you alone. {HINT}",
            )
        if stat.S_IMODE(found.st_mode) & 0o777 != 0o700:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _keeps_owners(place: Path) -> bool:
    """Whether what this user makes there is this user's: access points of network file systems may give all files to
    one.
    """
    try:
        with tempfile.TemporaryDirectory(dir=place) as made:
            return Path(made).stat().st_uid == os.geteuid()
    except OSError:  # nothing can be made there: then nobody knows
        return True


def _check_above(folder: Path) -> None:
    """Raises UsageError where others could rename what lies in `folder`, and put something else in its place."""
    found = folder.stat()
    if found.st_uid not in (0, os.geteuid()) and not (found.st_uid == NOBODY and _renames_users()):
        raise UsageError(
            f"{printable(str(folder))}: belongs to user {found.st_uid}, who could replace what is kept below it", HINT
        )
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise UsageError(
            f"{printable(str(folder))}: everybody could replace what is kept below it (mode "
            f"{stat.S_IMODE(found.st_mode):o}, not sticky)",
            f"chmod +t it as /tmp is. {HINT}",
        )


def _renames_users() -> bool:
    """Whether this is a user namespace, in which the numbers of users aren't those of the machine."""
    return USERS.exists() and USERS.read_text().split() != ["0", "0", str(2**32 - 1)]


def _is_container(environ: Mapping[str, str]) -> bool:
    """Whether all that is here was put here for this process: an emptyDir belongs to root, and everybody may write
    to it.
    """
    return is_pod(environ) or any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))
