"""The real command line as a user runs it: a process of its own, with nothing of this machine's AWS configuration."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent
# Every process that a run starts inherits this variable: it is how they are found, orphans too.
MARK = "MARK_OF_TEST_RUN"
LIMIT_SECONDS = 300  # much beyond what anything takes, on a busy machine too
KILLED_SECONDS = 60


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    output: str
    errors: str
    seconds: float
    mark: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.output + self.errors

    def succeeded(self) -> "Finished":
        """Itself; fails the test, showing what it printed, where its exit code isn't 0."""
        return self.ended_with(0)

    def ended_with(self, code: int) -> "Finished":
        """Itself; fails the test, showing what it printed, where its exit code is another."""
        assert self.code == code, f"exit code {self.code}, expected {code}\n{self.output}\n{self.errors}"
        return self

    def refused(self, *named: str) -> None:
        """Fails the test unless it was refused in words: exit code 2, these things named, no stack trace, nothing on
        standard output.
        """
        self.ended_with(2)
        for name in named:
            assert name in self.errors
        assert "Traceback" not in self.errors
        assert "bug in mxspark" not in self.errors
        assert self.output == ""


@dataclass(frozen=True)
class Running:
    """A command that was started in the background."""

    process: "subprocess.Popen[str]"
    mark: str
    started: float = field(default_factory=time.monotonic)
    _heard: bytearray = field(default_factory=bytearray)  # of its errors, while it runs

    def processes(self) -> list[psutil.Process]:
        """It and all that it started and that is alive."""
        return processes_of(self.mark)

    def press_ctrl_c(self) -> None:
        """As a terminal does: the signal goes to the command and to all that it started in the terminal's
        foreground.
        """
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for(self, words: str, seconds: float = LIMIT_SECONDS) -> None:
        """Until it has said this on its standard error."""
        assert self.process.stderr is not None
        pipe, limit = self.process.stderr.fileno(), time.monotonic() + seconds
        while words.encode() not in self._heard:
            said = self._heard.decode(errors="replace")
            assert time.monotonic() < limit, f"it did not say {words!r}:\n{said}"
            if select.select([pipe], [], [], 1)[0]:
                # Past the stream's own buffer, of which wait() would know nothing.
                data = os.read(pipe, 2**16)
                assert data, f"it ended without saying {words!r}:\n{said}"
                self._heard.extend(data)

    def wait_until(self, condition: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> None:
        """Until the condition holds; fails the test, showing what it printed, where it ends before that."""
        limit = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.wait()
            assert time.monotonic() < limit, f"waited {seconds} s in vain"
            time.sleep(0.02)

    def left(self) -> list[psutil.Process]:
        """What is still alive of all that it started, when it has ended: the kernel may need a moment for those that
        were killed.
        """
        _, alive = psutil.wait_procs(self.processes(), KILLED_SECONDS)
        return list(alive)

    def wait(self, seconds: float = LIMIT_SECONDS) -> Finished:
        output, errors = self.process.communicate(timeout=seconds)
        return Finished(
            self.process.returncode, output, self._heard.decode() + errors, time.monotonic() - self.started, self.mark
        )


class Command:
    """Runs programs of the virtual environment from the repository's root."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str | None] | None = None,
        seconds: float = LIMIT_SECONDS,
    ) -> Finished:
        """`mxspark` with these arguments, to its end. A variable of `environment` that is None is taken away."""
        return self.run("mxspark", *arguments, environment=environment, seconds=seconds)

    def run(
        self,
        program: str,
        *arguments: str | Path,
        environment: Mapping[str, str | None] | None = None,
        seconds: float = LIMIT_SECONDS,
    ) -> Finished:
        """Another program of the virtual environment, to its end."""
        with self.start(program, *arguments, environment=environment) as running:
            return running.wait(seconds)

    @contextmanager
    def start(
        self, program: str, *arguments: str | Path, environment: Mapping[str, str | None] | None = None
    ) -> Iterator[Running]:
        """A program in the background. At the end nothing of it is left, whatever the test did."""
        mark = uuid4().hex
        changed = {**self.environment, MARK: mark, **(environment or {})}
        process = subprocess.Popen(
            [str(PROGRAMS / program), *map(str, arguments)],
            env={name: value for name, value in changed.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=REPOSITORY,
            start_new_session=True,  # a process group of its own, as a shell gives it
            preexec_fn=hear_signals,
        )
        try:
            yield Running(process, mark)
        finally:
            for left in processes_of(mark):
                left.kill()
            process.communicate()


def hear_signals() -> None:
    """In a new process, before its program begins: shells have what runs in their background ignore Ctrl-C, and
    nohup SIGHUP, tests too.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def processes_of(mark: str) -> list[psutil.Process]:
    """The processes alive that a run with this mark started, and itself."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # another user's, or gone meanwhile
            continue
    return found


def command_line(process: psutil.Process) -> list[str]:
    """A process's arguments; none where it has ended meanwhile."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def environment_without_aws(home: Path) -> dict[str, str]:
    """This process's environment without what would reach into a test: AWS's and mxspark's variables and configuration
    files.

    Python may keep what it compiles, where this machine's says that it may not: each of hundreds of processes would do
    it anew.
    """
    left_out = ("AWS_", "MXSPARK_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, **isolation(home), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"}


def isolation(home: Path) -> dict[str, str]:
    """Variables that keep boto3, the model cache and what is asked of a cluster within `home`."""
    return {
        "KUBECONFIG": str(home / "no-kubeconfig"),
        "AWS_CONFIG_FILE": str(home / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "no-aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "XDG_CACHE_HOME": str(home / "cache"),
    }


def summary(output: Path) -> dict[str, Any]:
    """What _summary.json in an output folder says."""
    data: dict[str, Any] = json.loads((output / "_summary.json").read_text())
    return data


def names(folder: Path, pattern: str = "*") -> list[str]:
    """The sorted names in a folder."""
    return sorted(path.name for path in folder.glob(pattern))
