"""Spark's Python daemon, started before Spark is: while Java starts it loads MXNet, checks the model, and makes the
network that the workers share which it forks.

Spark starts a daemon by itself, as a child of Java's; that one hands its pipes over to this one, by a socket in a
folder that only this user may enter (worker_daemon.py). Where there is none, or it has ended, it works by itself.
"""

import os
import pickle
import select
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mxspark import host
from mxspark.inference import model_check, mxnet_process
from mxspark.inference.bundle import Bundle
from mxspark.inference.model_check import ModelCheck
from mxspark.inference.mxnet import Context
from mxspark.settings.job import Settings
from mxspark.spark.run_folders import fits_socket
from mxspark.spark.worker_daemon import forks_mxnet
from mxspark.worker.shared_network import NetworkTask

# Properties by which workers may have another Python, daemon or environment.
_OTHERS = ("spark.pyspark.", "spark.python.daemon", "spark.executorEnv.")
SECONDS_TO_END = 30  # with Spark, whose end takes a second


def can_prepare(settings: Settings, is_submitted: bool) -> bool:
    """Whether workers are forked here, from this Python, by a daemon in which MXNet can compute before."""
    spark = settings.spark
    return (
        spark.is_local
        and not is_submitted
        and forks_mxnet({"OMP_NUM_THREADS": str(spark.task_cpus)})
        and os.environ.get("PYSPARK_PYTHON", sys.executable) == sys.executable
        and not any(key.startswith(_OTHERS) for key in spark.conf)
        and fits_socket(host.temporary_folder())
    )


class PreparedDaemon:
    """The process, from its start to where Spark has it; it ends with Spark, or with the context."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mxspark-", ignore_cleanup_errors=True)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self.socket = Path(self._folder.name, "daemon")
        # As Java starts the one of its own: nothing is imported from the working folder, and hashes are Spark's.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the package may have come by --py-files
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mxspark.spark.worker_daemon", "prepare", str(self.socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            process_group=0,  # Ctrl-C in a terminal is for the driver
        )
        self._is_asked = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            self._process.terminate()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()
        self._folder.cleanup()

    def check(self, model: Bundle, context: Context | None, seconds: float) -> ModelCheck:
        """`model_check.ask_model`, from this process."""
        self._send((model_check.check, model, context))
        self._is_asked = True
        output = self._process.stdout
        if output is None:
            raise AssertionError("it has pipes")
        deadline, answer = time.monotonic() + seconds, b""
        while not answer.endswith(b"\n"):
            if not select.select([output], [], [], max(0, deadline - time.monotonic()))[0]:
                self._process.kill()
                raise TimeoutError
            piece = os.read(output.fileno(), 2**16)
            if not piece:
                returncode = self._process.wait()
                self._stderr.seek(0)
                raise mxnet_process.crash(returncode, self._stderr.read())
            answer += piece
        found: ModelCheck = mxnet_process.read_answer(answer)
        return found

    def load(self, task: NetworkTask) -> None:
        """Has it make the network that workers will use, after the check if there was one."""
        if not self._is_asked:
            self._send(None)
        self._send(task)

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError):  # it has ended: whoever waits for it learns why
            pickle.dump(message, self._process.stdin)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]
