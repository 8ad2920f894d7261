"""Decoding in a child process with limits on time and memory: an image that kills or hangs its decoder costs one row.

A decoded image passes through a pipe, so this is for shards that are tried again after their worker died, not for every day.
`python -m mxspark.sandbox` is the child: it gets its task as a pickle, then images, each after its length.
"""

import contextlib
import faulthandler
import json
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from mxspark import machine, preprocess
from mxspark.errors import MxsparkError, how_it_ended
from mxspark.model_spec import ModelInput, Preprocessing
from mxspark.preprocess import BadImageError, ImageLimits, Pixels

CRASHED = "decoder_crashed"
LENGTH_BYTES = 8
READY = b"ready\n"
# What the child ends with when its time is up: faulthandler's.
TIME_IS_UP = 1


@dataclass(frozen=True)
class DecodeTask:
    """What every image is to become, in `seconds` and with `memory` bytes at most."""

    limits: ImageLimits
    model_input: ModelInput
    steps: Preprocessing
    seconds: float
    memory: int


class Sandbox:
    """Decodes as preprocess.load_array does, one image at a time, in a child process. Raises BadImageError, of its own accord where the
    decoder crashes, hangs or takes too much memory. Safe for many threads; the child lives as long as the context."""

    def __init__(self, task: DecodeTask) -> None:
        self._task = task
        self._lock = Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._end()

    def decode(self, data: bytes) -> Pixels:
        """The image in `data` as preprocess.load_array returns it."""
        with self._lock:
            was_used = self._child is not None
            try:
                return self._ask(data)
            except _CrashError as crash:
                if crash.is_timeout(self._task) or not was_used:
                    raise BadImageError(CRASHED, crash.words(self._task)) from None
            # Perhaps an image before it broke the process: a fresh one decides.
            try:
                return self._ask(data)
            except _CrashError as crash:
                raise BadImageError(CRASHED, crash.words(self._task)) from None

    def _ask(self, data: bytes) -> Pixels:
        child = self._child or self._start()
        if child.stdin is None or child.stdout is None:
            raise AssertionError("the child has pipes")
        start = time.monotonic()
        try:
            child.stdin.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            if "shape" in answer:
                return _read_array(child.stdout, answer["shape"])
        except (BrokenPipeError, ValueError):
            took = time.monotonic() - start
            raise _CrashError(self._end(), took) from None
        if answer["status"] == CRASHED:  # out of memory: what it still holds isn't known
            self._end()
        raise BadImageError(answer["status"], answer["problem"])

    def _start(self) -> "subprocess.Popen[bytes]":
        # The package may have come by --py-files: the child must find it where this process did. One thread: it is the decoder's memory
        # that counts, not that of a pool of threads that nobody needs.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "mxspark.sandbox"],  # -P: nothing is imported from the working folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        task = pickle.dumps(self._task)
        if self._child.stdin is not None and self._child.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.write(len(task).to_bytes(LENGTH_BYTES, "big") + task)
                self._child.stdin.flush()
            if self._child.stdout.readline() != READY:
                raise MxsparkError(f"the decoder's process can't be started ({how_it_ended(self._end())})", "Check the worker's memory.")
        return self._child

    def _end(self) -> int:
        """Ends the child; returns how it ended if it had done so by itself."""
        child, self._child = self._child, None
        if child is None:
            return 0
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):  # what it was still to be told, it can't be
                if pipe is not None:
                    pipe.close()
        try:
            return child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


class _CrashError(Exception):
    """The child ended while it decoded, `seconds` after it was asked to."""

    def __init__(self, returncode: int, seconds: float) -> None:
        super().__init__(returncode, seconds)
        self.returncode = returncode
        self.seconds = seconds

    def is_timeout(self, task: DecodeTask) -> bool:
        # An error of the child's own, such as a file for which it has no memory, ends it with the same code.
        return self.returncode == TIME_IS_UP and self.seconds >= task.seconds

    def words(self, task: DecodeTask) -> str:
        if self.is_timeout(task):
            return f"decoding took more than {task.seconds:g} s"
        return f"the decoder crashed ({how_it_ended(self.returncode)})"


def _read_array(pipe: IO[bytes], shape: list[int]) -> Pixels:
    size = int(np.prod(shape)) * 4
    data = pipe.read(size)
    if len(data) != size:
        raise ValueError("cut short")
    array: NDArray[np.float32] = np.frombuffer(data, np.float32).reshape(shape)
    return array


def main() -> None:
    """The child: answers each image with a line of JSON, and with the array's bytes where there is one."""
    images, answers = sys.stdin.buffer, sys.stdout.buffer
    task: DecodeTask = pickle.loads(_read(images) or b"")  # noqa: S301  # of the worker that started this process
    _limit_memory(task.memory)
    machine.end_first()
    answers.write(READY)
    answers.flush()
    while (data := _read(images)) is not None:
        faulthandler.dump_traceback_later(task.seconds, exit=True)
        header, array = _answer(task, lambda data=data: preprocess.load_array(data, task.limits, task.model_input, task.steps))  # type: ignore[misc]
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(header).encode() + b"\n")
        answers.write(array)
        answers.flush()


def _answer(task: DecodeTask, decode: Callable[[], Pixels]) -> tuple[dict[str, object], bytes]:
    try:
        array = decode()
        return {"shape": array.shape}, array.tobytes()
    except BadImageError as error:
        return {"status": error.status, "problem": error.problem}, b""
    except MemoryError:
        return {"status": CRASHED, "problem": f"decoding took more than {task.memory // 2**20:,} MiB of memory"}, b""


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message, None where there are no more."""
    length = pipe.read(LENGTH_BYTES)
    return pipe.read(int.from_bytes(length, "big")) if len(length) == LENGTH_BYTES else None


def _limit_memory(extra: int) -> None:
    """Lets this process have `extra` bytes more than it has."""
    with contextlib.suppress(OSError), open("/proc/self/statm") as status:
        pages = int(status.read().split()[0])
        limit = pages * resource.getpagesize() + extra
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
