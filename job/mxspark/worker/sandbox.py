"""Decoding in a child process: an image that kills or hangs its decoder costs one row, and one that takes its decoder
over finds nothing.

The child has limits on time and memory, none of this process's environment, and once it is ready no way to files, to
the network or to other processes (confinement.py). A decoded image comes back through memory that both share. `python
-m mxspark.worker.sandbox FD` is the child: it gets its task as a pickle, then images, each after its length.
"""

import contextlib
import fcntl
import json
import math
import mmap
import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Lock
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from mxspark import host
from mxspark.decode import preprocess, thumbnail
from mxspark.decode.preprocess import BadImageError, ImageLimits, Pixels
from mxspark.errors import MxsparkError, how_it_ended
from mxspark.row_status import DECODERS, RowStatus
from mxspark.settings.model_spec import ModelInput, Preprocessing
from mxspark.text.words import printable
from mxspark.worker import confinement

LENGTH_BYTES = 8
READY = b"ready\n"
LONGEST_ANSWER = 2**16  # of a child, which an attacker may control [bytes]
PIPE = 2**20  # so that an image goes in at once [bytes]
START_SECONDS = 300  # for imports, on a machine that has much else to do
GRACE_SECONDS = 10  # after which a child is ended whose own limit on time has not ended it
# What of this process's environment the child gets: what Python and its libraries are found by.
KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class DecodeTask:
    """What every image is to become, in `seconds` and with `memory` bytes at most."""

    limits: ImageLimits
    model_input: ModelInput
    steps: Preprocessing
    seconds: float
    memory: int
    is_exact: bool = True
    may_have_gaps: bool = False  # then it becomes a picture of what there is of it, for people

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of every array."""
        wanted = self.model_input
        channels = wanted.channels or 3
        is_nchw = wanted.layout == "NCHW"
        return (channels, wanted.height, wanted.width) if is_nchw else (wanted.height, wanted.width, channels)

    @property
    def size(self) -> int:
        """That of every array [bytes]."""
        return 4 * math.prod(self.shape)


class Child:
    """A decoder's process, which imports what it needs while it waits for its task; and the memory that it shares."""

    def __init__(self) -> None:
        # The package may have come by --py-files: the child must find it where this process did. One thread: it is the
        # decoder's memory that counts, not that of a pool of threads that nobody needs.
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
        with _shared_file() as file:
            self._file: int | None = os.dup(file)
            process = subprocess.Popen(
                # -P: nothing is imported from the working folder
                [sys.executable, "-P", "-m", "mxspark.worker.sandbox", str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[file],
                bufsize=0,
            )
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the child has pipes")
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout
        self._memory: mmap.mmap | None = None
        os.set_blocking(process.stdin.fileno(), False)  # a child that reads nothing blocks no one
        with contextlib.suppress(AttributeError, OSError):  # Linux alone has this
            fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, PIPE)

    def begin(self, task: "DecodeTask") -> None:
        """Gives it its task. Raises MxsparkError where it can't be had."""
        if self._file is None:
            raise AssertionError("it has its task, or has ended")
        os.ftruncate(self._file, task.size)
        # Sealed: the child can't enlarge it. Linux only.
        with contextlib.suppress(AttributeError, OSError):
            fcntl.fcntl(self._file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        self._memory = mmap.mmap(self._file, task.size)
        self._close_file()
        answer, deadline = b"", time.monotonic() + START_SECONDS
        with contextlib.suppress(BrokenPipeError, TimeoutError):
            self.send(pickle.dumps(task), deadline)
            answer = self.answer(deadline)
        if answer != READY:
            raise MxsparkError(
                f"the decoder's process can't be started ({how_it_ended(self.end())})", "Check the worker's memory."
            )

    def send(self, data: bytes, deadline: float) -> None:
        """Raises BrokenPipeError where it has ended, TimeoutError where it doesn't read by then."""
        for part in (len(data).to_bytes(LENGTH_BYTES, "big"), data):
            rest = memoryview(part)
            while rest:
                try:
                    rest = rest[os.write(self.stdin.fileno(), rest) :]
                except BlockingIOError:
                    _wait(self.stdin, select.POLLOUT, deadline)

    def answer(self, deadline: float) -> bytes:
        """Its next line, cut short where it ends or writes too much. Raises TimeoutError where no whole line came by
        then.
        """
        line = b""
        while not line.endswith(b"\n") and len(line) < LONGEST_ANSWER:
            _wait(self.stdout, select.POLLIN, deadline)
            piece = os.read(self.stdout.fileno(), LONGEST_ANSWER)
            if not piece:
                break
            line += piece
        return line

    def array(self, task: "DecodeTask") -> Pixels:
        """A copy of what it decoded."""
        shared: NDArray[np.float32] = np.frombuffer(self._memory or b"", np.float32)
        return shared.reshape(task.shape).copy()

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def end(self) -> int:
        """Ends it; returns how it ended if it had done so by itself."""
        self._close_file()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):  # it is gone: the rest of the request is lost
                pipe.close()
        try:
            return self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _wait(pipe: IO[bytes], event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


@contextlib.contextmanager
def _shared_file() -> Iterator[int]:
    """A file without a name, in memory where that can be had."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("mxspark", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            yield file
        finally:
            os.close(file)
    else:
        with tempfile.TemporaryFile() as temporary:
            yield temporary.fileno()


class Sandbox:
    """Decodes as preprocess.load_array does, one image at a time, in a child process. Raises BadImageError, of its own
    accord where the decoder crashes, hangs or takes too much memory. Safe for many threads; the child lives as long as
    the context."""

    def __init__(self, task: DecodeTask, child: Child | None = None) -> None:
        self._task = task
        self._lock = Lock()
        self._waiting = child  # for its task
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
                    raise BadImageError(RowStatus.DECODER_CRASHED, crash.words(self._task)) from None
            # Perhaps an image before it broke the process: a fresh one decides.
            try:
                return self._ask(data)
            except _CrashError as crash:
                raise BadImageError(RowStatus.DECODER_CRASHED, crash.words(self._task)) from None

    def _ask(self, data: bytes) -> Pixels:
        child = self._child or self._start()
        start = time.monotonic()
        deadline = start + self._task.seconds + GRACE_SECONDS
        try:
            child.send(data, deadline)
            answer = json.loads(child.answer(deadline))
            is_image, status, problem = (answer[name] for name in ("is_image", "status", "problem"))
            if is_image is not True and (status := RowStatus(status)) not in DECODERS:
                raise ValueError("no answer of a decoder's")
        except TimeoutError:  # it has taken its own limit away
            child.process.kill()
            self._end()
            raise _CrashError(-signal.SIGALRM, time.monotonic() - start) from None
        except (BrokenPipeError, ValueError, LookupError, TypeError, RecursionError):
            took = time.monotonic() - start
            raise _CrashError(self._end(), took) from None
        if is_image is True:
            return child.array(self._task)
        if status == RowStatus.DECODER_CRASHED:  # out of memory: what it still holds isn't known
            self._end()
        raise BadImageError(status, printable(str(problem)))

    def _start(self) -> Child:
        child, self._waiting = self._waiting or Child(), None
        child.begin(self._task)
        self._child = child
        return child

    def _end(self) -> int:
        child, self._child, self._waiting = self._child or self._waiting, None, None
        return child.end() if child else 0


def shared_out(sandboxes: Sequence[Sandbox]) -> Callable[[bytes], Pixels]:
    """Decodes in whichever of them is idle."""
    idle: SimpleQueue[Sandbox] = SimpleQueue()
    for sandbox in sandboxes:
        idle.put(sandbox)

    def decode(data: bytes) -> Pixels:
        sandbox = idle.get()
        try:
            return sandbox.decode(data)
        finally:
            idle.put(sandbox)

    return decode


class _CrashError(Exception):
    """The child ended while it decoded, `seconds` after it was asked to."""

    def __init__(self, returncode: int, seconds: float) -> None:
        super().__init__(returncode, seconds)
        self.returncode = returncode
        self.seconds = seconds

    def is_timeout(self, task: DecodeTask) -> bool:
        return self.returncode == -signal.SIGALRM and self.seconds >= task.seconds

    def words(self, task: DecodeTask) -> str:
        if self.is_timeout(task):
            return f"decoding took more than {task.seconds:g} s"
        return f"the decoder crashed ({how_it_ended(self.returncode)})"


def main() -> None:
    """The child: answers each image with a line of JSON; where it could be decoded, its array is in the shared
    memory then.
    """
    images, answers = sys.stdin.buffer, sys.stdout.buffer
    task: DecodeTask = pickle.loads(_read(images) or b"")  # noqa: S301  # of the worker that started this process
    memory = mmap.mmap(int(sys.argv[1]), task.size)
    os.close(int(sys.argv[1]))
    array = np.frombuffer(memory, np.float32).reshape(task.shape)
    preprocess.prepare(task.limits)
    _limit_memory(task.memory)
    host.end_first()
    confinement.enter()
    answers.write(READY)
    answers.flush()
    while (data := _read(images)) is not None:
        signal.setitimer(signal.ITIMER_REAL, task.seconds)  # whose signal ends a process that hangs in a library too
        answer = _answer(task, partial(_decode, task, data), array)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _decode(task: DecodeTask, data: bytes) -> Pixels:
    if task.may_have_gaps:
        return thumbnail.partly(data, task.limits, task.model_input.height)
    return preprocess.load_array(data, task.limits, task.model_input, task.steps, task.is_exact)


def _answer(task: DecodeTask, decode: Callable[[], Pixels], array: Pixels) -> dict[str, object]:
    try:
        array[:] = decode()
        return {"is_image": True, "status": "", "problem": ""}
    except BadImageError as error:
        return {"is_image": False, "status": error.status, "problem": error.problem[:1000]}
    except MemoryError:
        problem = f"decoding took more than {task.memory // 2**20:,} MiB of memory"
        return {"is_image": False, "status": RowStatus.DECODER_CRASHED, "problem": problem}


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
