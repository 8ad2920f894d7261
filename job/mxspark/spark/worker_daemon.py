"""Spark's Python daemon, which forks the workers, from the package pyspark as it is installed.

Spark puts its own pyspark.zip first on Python's path. What is in a zip Python compiles anew in each process: a second
of a processor for each daemon. `python -m mxspark.spark.worker_daemon pyspark.worker` is `python -m pyspark.daemon
pyspark.worker` without that.

And it imports once, before it forks, what each worker needs: 1 of a worker's 1.5 s of a processor.
"""

import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("pyspark", "py4j")
# Not pyarrow, which starts a thread.
MODULES = (
    "pyspark.worker",
    "mxspark.inference.network",
    "mxspark.decode.preprocess",
    "mxspark.worker.sandbox",
    "mxspark.dataset.source",
)


def without_zips(path: Sequence[str]) -> list[str]:
    """Python's path without Spark's zips, where the package that is found then is the very one that they came with;
    else as it is.
    """
    zips = [entry for entry in path if entry.endswith(".zip") and Path(entry).name.startswith(PACKAGES)]
    rest = [entry for entry in path if entry not in zips]
    found = [PathFinder.find_spec(package, rest) for package in PACKAGES]
    if not all(spec and spec.origin for spec in found):
        return list(path)
    package = Path(str(found[0].origin)).resolve().parent  # type: ignore[union-attr]
    came_with = {Path(entry).resolve().parent for entry in zips}  # Spark's home may be a folder of links
    return rest if came_with == {package / "python" / "lib"} else list(path)


def forks_mxnet(environ: Mapping[str, str]) -> bool:
    """Whether MXNet works as well in workers that are forked when it is imported: one for CPUs, that computes on one
    thread.

    MXNet stops its own threads before a fork. OpenMP's it does without afterwards; and CUDA can't be used where it was
    initialised before.
    """
    with suppress(PackageNotFoundError):
        return bool(version("mxnet")) and environ.get("OMP_NUM_THREADS") == "1"  # the wheels for GPUs have other names
    return False


def import_for_workers(environ: Mapping[str, str]) -> None:
    """Imports what workers need. What can't be imported they find out themselves, and tell."""
    with _standard_output_kept(), suppress(Exception):
        for module in MODULES:
            import_module(module)
        if forks_mxnet(environ):
            import_module("mxspark.inference.mxnet").load_mxnet()
    gc.collect()
    gc.freeze()  # memory that no worker's collector touches stays one for all


@contextmanager
def _standard_output_kept() -> Iterator[None]:
    """Spark reads from there where the daemon listens: what libraries print goes elsewhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


if __name__ == "__main__":
    sys.path[:] = without_zips(sys.path)
    from pyspark.daemon import manager

    import_for_workers(os.environ)
    manager()
