"""Spark's Python daemon, which forks the workers, from the package pyspark as it is installed.

Spark puts its own pyspark.zip first on Python's path. What is in a zip Python compiles anew in each process: a second of a processor for
each daemon. `python -m mxspark.worker_daemon pyspark.worker` is `python -m pyspark.daemon pyspark.worker` without that.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("pyspark", "py4j")


def without_zips(path: Sequence[str]) -> list[str]:
    """Python's path without Spark's zips, where the package that is found then is the very one that they came with; else as it is."""
    zips = [entry for entry in path if entry.endswith(".zip") and Path(entry).name.startswith(PACKAGES)]
    rest = [entry for entry in path if entry not in zips]
    found = [PathFinder.find_spec(package, rest) for package in PACKAGES]
    if not all(spec and spec.origin for spec in found):
        return list(path)
    package = Path(str(found[0].origin)).resolve().parent  # type: ignore[union-attr]
    came_with = {Path(entry).resolve().parent for entry in zips}  # Spark's home may be a folder of links
    return rest if came_with == {package / "python" / "lib"} else list(path)


if __name__ == "__main__":
    sys.path[:] = without_zips(sys.path)
    from pyspark.daemon import manager

    manager()
