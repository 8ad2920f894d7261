"""A command and all that it starts, daemons included: processor time, peak memory, wall clock.

A control group (version 2) counts the processor time where one can be made. Else the processes are found by a variable
in their environment, and their times are those of the last look at each.
"""

import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# Between looks at the processes: one takes tens of milliseconds, as the kernel adds up their pages.
SAMPLE_SECONDS = 1.0
LEFT_SECONDS = 15.0  # for daemons to end after the command has
LIMIT_SECONDS = 900.0  # of a command: some systems were seen to hang
MARK = "BENCH_RUN"  # mxspark takes MXSPARK_… for settings


class FailedError(Exception):
    """The command failed; the message has the end of its output."""


@dataclass(frozen=True)
class Usage:
    """What one run took."""

    start: float  # seconds since 1970
    wall: float  # seconds
    cpu: float  # seconds of all processes together
    memory: (
        int  # bytes: peak of the sum of proportional set sizes, which count a shared page once over all who share it
    )


class Group:
    """The processes of one run."""

    def __init__(self, folder: Path | None) -> None:
        self.mark = uuid.uuid4().hex
        self._folder = folder
        self._times: dict[int, float] = {}
        self.memory = 0

    def join(self) -> None:
        """Called in the new process, before it becomes the command."""
        if self._folder is not None:
            (self._folder / "cgroup.procs").write_text("0")

    def cpu(self) -> float:
        """Seconds so far."""
        if self._folder is None:
            return sum(self._times.values())
        found = re.search(r"^usage_usec (\d+)$", (self._folder / "cpu.stat").read_text(), re.MULTILINE)
        if found is None:
            raise FailedError(f"{self._folder}/cpu.stat has no usage_usec")
        return int(found[1]) / 1e6

    def look(self) -> bool:
        """Looks at the processes once; whether there are any."""
        memory, processes = 0, list(self._processes())
        for process in processes:
            with suppress(psutil.Error, OSError):
                times = process.cpu_times()
                self._times[process.pid] = times.user + times.system
                memory += process.memory_full_info().pss
        self.memory = max(self.memory, memory)
        return bool(processes)

    def end(self) -> None:
        """Waits for daemons; kills those that stay."""
        deadline = time.monotonic() + LEFT_SECONDS
        while self.look() and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in self._processes():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        while self.look():
            time.sleep(0.1)

    def _processes(self) -> Iterator[psutil.Process]:
        pids = psutil.pids()
        if self._folder is not None:
            pids = [int(word) for word in (self._folder / "cgroup.procs").read_text().split()]
        for pid in pids:
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                if self._folder is not None or process.environ().get(MARK) == self.mark:
                    yield process


@contextmanager
def group() -> Iterator[Group]:
    """A group of its own for one run, gone at the end."""
    place = _place()
    if place is None:
        yield Group(None)
        return
    folder = place / f"mxspark-bench-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    made = Group(folder)
    try:
        yield made
    finally:
        made.end()
        with suppress(OSError):  # a process that nobody has waited for yet: the group stays, and is empty
            folder.rmdir()


def is_exact() -> bool:
    """Whether a control group counts the processor time."""
    return _place() is not None


def run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Usage:
    """Runs the command to its end, its output in the file `log`. Raises FailedError."""
    with group() as running, log.open("wb") as output:
        start, begun = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**environment, MARK: running.mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=running.join,
        )
        try:
            wall = _wait(process, running, begun)
        finally:  # Ctrl-C too: until it is waited for, the kernel keeps it, and with it the group
            process.kill()
            process.wait()
        running.end()
        if wall > LIMIT_SECONDS:
            raise FailedError(f"{' '.join(command[:3])} … took more than {LIMIT_SECONDS:g} s")
        if process.returncode != 0:
            end = log.read_text(errors="replace")[-4000:]
            raise FailedError(f"{' '.join(command[:3])} … ended with {process.returncode}; {log}:\n{end}")
        return Usage(start, wall, running.cpu(), running.memory)


def _wait(process: "subprocess.Popen[bytes]", running: Group, begun: float) -> float:
    """Until the command itself has ended; how long that was [seconds]."""
    while True:
        try:
            process.wait(SAMPLE_SECONDS)
        except subprocess.TimeoutExpired:
            running.look()
        else:
            return time.perf_counter() - begun
        if time.perf_counter() - begun > LIMIT_SECONDS:
            process.kill()


def _place() -> Path | None:
    """Where this process may make groups; None where it may not."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        own = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return None
    mounted = next((line.split()[4] for line in mounts if " - cgroup2 " in line), None)
    path = next((line.removeprefix("0::/") for line in own if line.startswith("0::/")), None)
    if mounted is None or path is None:
        return None
    folder = Path(mounted, path)
    return folder if os.access(folder / "cgroup.procs", os.W_OK) and os.access(folder, os.W_OK) else None
