"""Java's classes, kept as they lie in memory."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path


class ClassArchive:
    """Java's classes as they lie in memory (AppCDS), kept from the first run on: Spark starts a second sooner with it.

    An archive fits one Java and one class path; where it doesn't fit, Java goes on without.
    """

    def __init__(self, folder: Path, fits: str) -> None:
        self._file = folder / f"{hashlib.sha256(fits.encode()).hexdigest()[:16]}.jsa"
        self._new = self._file.with_suffix(f".{os.getpid()}.new")

    @property
    def is_new(self) -> bool:
        """Whether there is none yet, so that Java writes it when it ends."""
        return not self._file.exists()

    @property
    def options(self) -> str:
        """What Java is started with: the archive, or where there is none yet the wish for one."""
        if self._file.exists():
            return f"-XX:SharedArchiveFile={self._file} -Xshare:auto"
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            return ""
        return f"-XX:ArchiveClassesAtExit={self._new}" if " " not in str(self._new) else ""

    def keep(self) -> None:
        """To be called when Java has ended: takes over the archive that it wrote."""
        with suppress(OSError):
            self._new.replace(self._file)
