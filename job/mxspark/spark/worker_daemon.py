"""Spark's Python daemon, which forks the workers, from the package pyspark as it is installed.

Spark puts its own pyspark.zip first on Python's path. What is in a zip Python compiles anew in each process: a second
of a processor for each daemon. `python -m mxspark.spark.worker_daemon pyspark.worker` is `python -m pyspark.daemon
pyspark.worker` without that.

And it imports once, before it forks, what each worker needs: 1 of a worker's 1.5 s of a processor.

`python -m mxspark.spark.worker_daemon prepare SOCKET` is the one that the driver starts before there is Spark
(prepared_daemon.py): it makes the network too, and becomes Spark's daemon when the one that Spark starts gives it its
pipes.
"""

import gc
import os
import pickle
import select
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PREPARED = "MXSPARK_PREPARED_DAEMON"  # the variable that names the socket
TAKE_SECONDS = 300  # for it to be ready
PACKAGES = ("pyspark", "py4j")
# pyarrow, which the last one imports, starts a thread of jemalloc's, which minds forks, as Arrow's own pools do.
MODULES = ("pyspark.worker", "mxspark.worker.shard", "mxspark.spark.application")


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


def hand_over(path: str) -> bool:
    """Gives this process's pipes, environment and arguments to the daemon that was prepared there, and waits until that
    one ends; False where there is none that takes them.
    """
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(TAKE_SECONDS)
        try:
            door.connect(path)
            socket.send_fds(door, [b"."], [0, 1, 2])
            door.sendall(pickle.dumps((sys.argv[1:], dict(os.environ))))
            door.shutdown(socket.SHUT_WR)
            if not door.recv(1):
                return False
        except OSError:
            return False
        door.settimeout(None)
        with suppress(OSError):  # Java takes this process's life for the daemon's
            door.recv(1)
    return True


def prepare(path: str) -> None:
    """Imports what workers need, answers what the driver asks of the model, and makes the network; returns as the
    daemon that Spark has started. Ends with the driver, if that comes first.
    """
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen(1)
        answers = os.dup(1)
        os.dup2(2, 1)  # libraries print what they like
        import_for_workers(os.environ)
        try:
            _prepare_network(answers)
        except EOFError:
            sys.exit()
        os.close(answers)
        gc.collect()
        gc.freeze()
        poll = select.poll()
        for file in (0, door):
            poll.register(file, select.POLLIN)
        if door.fileno() not in [file for file, _ in poll.poll()]:
            sys.exit()  # the driver has ended
        spark, _ = door.accept()
    Path(path).unlink()
    _, files, _, _ = socket.recv_fds(spark, 1, 3)
    with spark.makefile("rb") as message:
        arguments, environment = pickle.load(message)  # noqa: S301  # of this user: nobody else may enter the folder
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.update(environment)  # what is in this process is kept: MXNet has set variables for oneDNN
    sys.argv[1:] = arguments
    os.register_at_fork(after_in_child=spark.close)  # it tells of the daemon's end, which workers may outlive
    spark.sendall(b".")


def _prepare_network(answers: int) -> None:
    from mxspark.inference import mxnet_process
    from mxspark.worker import shared_network

    # Of the driver, that has started this process.
    if (question := pickle.load(sys.stdin.buffer)) is not None:  # noqa: S301
        function, *arguments = question
        os.write(answers, mxnet_process.answer(function, *arguments) + b"\n")
    task = pickle.load(sys.stdin.buffer)  # noqa: S301
    with suppress(Exception):  # workers will find out themselves, and tell
        shared_network.network(task)


def main() -> None:
    """Either kind of daemon."""
    sys.path[:] = without_zips(sys.path)
    if sys.argv[1:2] == ["prepare"]:
        prepare(sys.argv[2])
    elif (path := os.environ.pop(PREPARED, None)) is None or not hand_over(path):
        import_for_workers(os.environ)
    else:
        return
    from pyspark.daemon import manager

    try:
        manager()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)  # MXNet's arrays don't outlive the interpreter in peace


if __name__ == "__main__":
    main()
