"""What makes a build run once: a stamp over sources and outputs, so that an unfinished or outdated build is redone."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock

from examples.archives import REPOSITORY

STAMPS = REPOSITORY / ".cache" / "examples"


def once(name: str, sources: Iterable[Path], outputs: Callable[[], Iterable[Path]], make: Callable[[], None]) -> bool:
    """Call `make`, unless its last run was finished and neither sources nor outputs have changed since.

    `outputs` names the files that `make` leaves; it is called before and after. Files beside them don't matter: people
    may put their own pictures there. Returns whether `make` was called.
    """
    STAMPS.mkdir(parents=True, exist_ok=True)
    stamp = STAMPS / f"{name}.sha256"
    sources = sorted(sources)
    with FileLock(STAMPS / f"{name}.lock"):  # two terminals, or tests in parallel
        if stamp.exists() and stamp.read_text() == _fingerprint([*sources, *outputs()]):
            return False
        stamp.unlink(missing_ok=True)
        make()
        stamp.write_text(_fingerprint([*sources, *outputs()]))
    return True


def _fingerprint(paths: Iterable[Path]) -> str:
    """One sha256 over names and contents; a missing file counts as such."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes() if path.is_file() else b"(missing)"
        digest.update(f"{path.relative_to(REPOSITORY)} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()
