"""A user who starts the same command again whenever it ended before all was done."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from tests.command import Command, Running, command_line, processes_of

MASTERS = {"local": "local[2]", "cluster": "local-cluster[2,1,512]"}  # the latter has executors that can be killed
# Java as the driver has it: executors are killed before they have warmed up.
EXECUTORS = ("spark.conf.spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData",)
FEWEST_SECONDS = 1.0  # between two starts: nobody types faster
GONE_SECONDS = 120  # for what a killed driver leaves to notice that it is gone

Log = Callable[[str], None]


@dataclass(frozen=True)
class Typed:
    """What the user types: the program's arguments and variables, all but the master."""

    command: Command
    arguments: tuple[str | Path, ...]
    environment: Mapping[str, str]

    def on(self, master: str) -> tuple[str | Path, ...]:
        """The arguments with a master."""
        return (
            *self.arguments,
            "--master",
            MASTERS[master],
            *(word for setting in EXECUTORS for word in ("--set", setting)),
        )


class StubbornUser:
    """Runs the command, one life of the driver after the other. To be used as a context: at the end no process of it
    is left.
    """

    def __init__(self, typed: Typed, log: Log, most_lives: int) -> None:
        self.master = "local"  # of the next life
        self.done = False
        self._typed = typed
        self._log = log
        self._most_lives = most_lives
        self._lives: list[Running] = []
        self._ending = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    @property
    def lives(self) -> int:
        """How often the command was started."""
        return len(self._lives)

    def start(self) -> None:
        """Starts the command. Fails when that has been done too often."""
        assert self.lives < self._most_lives, f"started {self.lives} times, and still not done"
        self._log(f"driver {self.lives + 1} starts on {MASTERS[self.master]}")
        self._lives.append(
            self._ending.enter_context(
                self._typed.command.start(
                    "mxspark", *self._typed.on(self.master), environment=dict(self._typed.environment)
                )
            )
        )

    def tend(self) -> None:
        """Looks whether the command has ended, and starts it again unless it ended well."""
        life = self._lives[-1]
        if self.done or life.process.poll() is None:
            return
        code = life.process.returncode
        # A killed process reported nothing, and its children may still hold its pipes.
        said = "" if code < 0 else _last_words(life)
        self._log(f"driver {self.lives} ended with exit code {code} {said}".rstrip())
        self.done = code == 0
        if not self.done:
            time.sleep(FEWEST_SECONDS)
            self.start()

    def driver(self) -> psutil.Process:
        """The command's own process."""
        return psutil.Process(self._lives[-1].process.pid)

    def workers(self) -> list[psutil.Process]:
        """The Python workers, which Spark's daemon forked: both have the same command line."""
        return [process for process in self._processes() if _is_worker(process)]

    def executors(self) -> list[psutil.Process]:
        """The executors' Java processes."""
        return [process for process in self._processes() if _runs(process, "CoarseGrainedExecutorBackend")]

    def _processes(self) -> list[psutil.Process]:
        return sorted(self._lives[-1].processes(), key=lambda process: process.pid)

    def left(self) -> list[str]:
        """The processes of all lives that are still there some time after the end."""
        deadline = time.monotonic() + GONE_SECONDS
        while (
            left := [process for life in self._lives for process in processes_of(life.mark)]
        ) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [f"{process.pid} {' '.join(command_line(process))[:200]}" for process in left]


def _last_words(life: Running) -> str:
    # A file or a pipe that some process still holds has no end to wait for.
    assert life.process.stderr is not None
    os.set_blocking(life.process.stderr.fileno(), False)
    text = b""
    with suppress(BlockingIOError):
        text = os.read(life.process.stderr.fileno(), 1_000_000)
    return " | ".join(text.decode(errors="replace").strip().splitlines()[-3:])


def _is_worker(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
    except psutil.Error:
        return False
    return (
        parent is not None
        and _runs(process, "mxspark.spark.worker_daemon")
        and _runs(parent, "mxspark.spark.worker_daemon")
    )


def _runs(process: psutil.Process, what: str) -> bool:
    return what in " ".join(command_line(process))
