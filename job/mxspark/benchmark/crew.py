"""The worker processes of a configuration, which measure at the same time."""

import os
import pickle
import select
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import IO

from mxspark.benchmark.worker import Measured, Stage, Task
from mxspark.inference import mxnet_process

LIMIT_SECONDS = 300.0  # of binding a network, or of one measurement


class Crew:
    """Started when something is to be measured, and again after `end`."""

    def __init__(self, task: Task, workers: int, threads: int) -> None:
        self._task = task
        self._workers = workers
        self._threads = threads
        self._processes: list[_Process] = []

    def measure(self, stage: Stage) -> tuple[Measured, ...]:
        """What each worker measured. Raises MxsparkError, CrashError, TimeoutError."""
        if not self._processes:
            self.start()
        for process in self._processes:
            process.send(f"{stage}\n".encode())
        found: list[Measured] = [process.answer() for process in self._processes]  # type: ignore[misc]
        return tuple(found)

    def end(self) -> None:
        for process in self._processes:
            process.end()
        self._processes = []

    def start(self) -> None:
        """Ready to measure. Raises MxsparkError, CrashError, TimeoutError."""
        task = pickle.dumps(self._task)
        for _ in range(self._workers):
            self._processes.append(_Process(self._threads))
        for process in self._processes:
            process.send(task)
        for process in self._processes:
            process.answer()


class _Process:
    def __init__(self, threads: int) -> None:
        # As Spark's workers have it; the package may have come by PYTHONPATH.
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            # -P: nothing is imported from the working folder
            [sys.executable, "-P", "-c", "from mxspark.benchmark.worker import main; main()", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("it has pipes")
        self._stdin: IO[bytes] = self._process.stdin
        self._stdout: IO[bytes] = self._process.stdout

    def send(self, message: bytes) -> None:
        with suppress(BrokenPipeError):  # it has ended: whoever waits for the answer learns why
            self._stdin.write(message)
            self._stdin.flush()

    def answer(self) -> object:
        """Its next answer. Raises MxsparkError that it raised, CrashError, KilledError, TimeoutError."""
        line, deadline = b"", time.monotonic() + LIMIT_SECONDS
        while not line.endswith(b"\n"):
            if not select.select([self._stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            piece = os.read(self._stdout.fileno(), 2**16)
            if not piece:
                code = self._process.wait()
                self._stderr.seek(0)
                raise mxnet_process.crash(code, self._stderr.read())
            line += piece
        return mxnet_process.read_answer(line)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                pipe.close()
