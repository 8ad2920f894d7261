"""Java's classes, kept as they lie in memory."""

import hashlib
import secrets
from contextlib import suppress
from pathlib import Path

from mxspark.private_folder import private_folder


class ClassArchive:
    """Java's classes as they lie in memory (AppCDS), kept from the first run on: Spark starts a second sooner with it.

    An archive fits one Java and one class path; where it doesn't fit, Java goes on without. Java executes what is in it, so it lies in
    the user's own folder. Raises UsageError where `cache_dir` can't have one.
    """

    def __init__(self, cache_dir: Path, fits: str) -> None:
        self._file: Path | None = None
        with suppress(OSError):  # only a convenience
            folder = private_folder(cache_dir) / "java"
            folder.mkdir(exist_ok=True)
            self._file = folder / f"{hashlib.sha256(fits.encode()).hexdigest()[:16]}.jsa"
            self._new = self._file.with_suffix(f".{secrets.token_hex(8)}.new")

    @property
    def is_new(self) -> bool:
        """Whether there is none yet, so that Java writes it when it ends."""
        return self._file is not None and not self._file.exists()

    @property
    def options(self) -> str:
        """What Java is started with: the archive, or where there is none yet the wish for one."""
        if self._file is None or " " in str(self._file):
            return ""
        if self._file.exists():
            return f"-XX:SharedArchiveFile={self._file} -Xshare:auto"
        return f"-XX:ArchiveClassesAtExit={self._new}"

    def keep(self) -> None:
        """To be called when Java has ended: takes over the archive that it wrote."""
        with suppress(OSError):
            if self._file is not None:
                self._new.replace(self._file)
