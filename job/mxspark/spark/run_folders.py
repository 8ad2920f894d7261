"""The folders of a run on the machine of its driver: only this user may enter them, and they go with the run."""

import os
import tempfile
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from mxspark.errors import UsageError

LOCAL_DIRS = "SPARK_LOCAL_DIRS"  # wins over spark.local.dir
# Bytes. Spark refuses longer folders: a socket's name, a UUID, has to fit macOS's limit too.
LONGEST_SOCKETS_FOLDER = 60


class Properties(Protocol):
    """Spark's properties, as pyspark's SparkConf has them."""

    def get(self, key: str, /) -> str | None: ...

    def set(self, key: str, value: str) -> object: ...

    def contains(self, key: str) -> bool: ...


class RunFolders:
    """A scratch folder, and those for Spark's blocks."""

    def __init__(self) -> None:
        self._folders = ExitStack()
        self.scratch = self._make()

    def keep_blocks(self, properties: Properties, environ: MutableMapping[str, str], is_submitted: bool) -> None:
        """Spark makes folders for its blocks with the umask's rights, which on a machine of many are everybody's to
        read.

        Raises UsageError where none of the places that were chosen for them can be written.
        """
        if is_submitted and LOCAL_DIRS in environ:  # Java has it by now
            return
        given = environ.pop(LOCAL_DIRS, None) or properties.get("spark.local.dir") or ""
        places = [place.strip() for place in given.split(",") if place.strip()]
        folders, problem = [], None
        for place in places:  # Spark, too, does without a disk that is broken
            try:
                folders.append(self._make(place))
            except UsageError as error:
                problem = error
        if problem is not None and not folders:
            raise problem
        properties.set("spark.local.dir", ",".join(map(str, folders or [self.scratch])))

    def close(self) -> None:
        self._folders.close()

    def _make(self, place: str | None = None) -> Path:
        """A new folder in `place`, or where temporary files are."""
        try:
            if place is not None:
                Path(place).mkdir(parents=True, exist_ok=True)
            # Java that is killed leaves files in it.
            folder = tempfile.TemporaryDirectory(prefix="mxspark-", dir=place, ignore_cleanup_errors=True)
        except OSError as error:
            raise UsageError(
                f"{place}: Spark can't keep its files there: {error.strerror or error}", "Check spark.local.dir."
            ) from None
        return Path(self._folders.enter_context(folder))


def fits_socket(folder: Path) -> bool:
    """Whether Spark takes `folder` for its sockets, by the length of its name."""
    return len(os.fsencode(folder)) <= LONGEST_SOCKETS_FOLDER
