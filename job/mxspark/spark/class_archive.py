"""Java's classes, kept as they lie in memory."""

import hashlib
import secrets
from contextlib import suppress
from pathlib import Path

from mxspark.private_folder import private_folder


class ClassArchive:
    """Java's classes as they lie in memory (AppCDS), kept from the first run on: Spark starts a second sooner with it.

    An archive fits one Java and one class path, the folder `jars`, which may be reached by links; where it doesn't fit,
    Java goes on without. Java executes what is in it, so it lies in the user's own folder. Raises UsageError where
    `cache_dir` can't have one.
    """

    def __init__(self, cache_dir: Path, java: str, jars: Path) -> None:
        fits = f"{java} {jars.resolve()}"
        self._file: Path | None = None
        # Java looks for the jars where they were when it wrote the archive: one by way of a link would end with the
        # link.
        self._may_write = not jars.is_symlink()
        with suppress(OSError):  # only a convenience
            folder = private_folder(cache_dir) / "java"
            folder.mkdir(exist_ok=True)
            self._file = folder / f"{hashlib.sha256(fits.encode()).hexdigest()[:16]}.jsa"
            self._new = self._file.with_suffix(f".{secrets.token_hex(8)}.new")

    @property
    def is_new(self) -> bool:
        """Whether there is none yet, so that Java writes it when it ends."""
        return self._file is not None and not self._file.exists() and self._may_write

    @property
    def options(self) -> str:
        """What the driver's Java is started with: the archive, or where there is none yet the wish for one."""
        if self.is_new and " " not in str(self._file):
            return f"-XX:ArchiveClassesAtExit={self._new}"
        return self.options_to_read

    @property
    def options_to_read(self) -> str:
        """What any other Java on this machine is started with: the archive where there is one."""
        if self._file is None or " " in str(self._file) or not self._file.exists():
            return ""
        return f"-XX:SharedArchiveFile={self._file} -Xshare:auto"

    def keep(self, is_whole: bool) -> None:
        """To be called when Java has ended: takes over the archive that it wrote. A part of one would crash every
        Java after it.
        """
        with suppress(OSError):
            if self._file is not None:
                self._new.replace(self._file) if is_whole else self._new.unlink()
