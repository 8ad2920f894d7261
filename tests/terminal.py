"""A command in a terminal of its own, at whose keyboard a test sits."""

import os
import pty
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.command import PROGRAMS, REPOSITORY, hear_signals

LIMIT_SECONDS = 300
CTRL_C = "\x03"


class Terminal:
    """To be used as a context: at the end the command is gone."""

    def __init__(self, program: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self._command = [str(PROGRAMS / program), *arguments]
        self._environment = {**environment, "TERM": "dumb", "COLUMNS": "400"}
        self.said = ""

    def __enter__(self) -> Self:
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            hear_signals()
            os.chdir(REPOSITORY)
            os.execve(self._command[0], self._command, self._environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._terminal)
        with suppress(ProcessLookupError, ChildProcessError):  # it has ended, as it should
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)

    def wait_for(self, text: str) -> None:
        """Until it says so."""
        limit = time.monotonic() + LIMIT_SECONDS
        while text not in self.said:
            assert time.monotonic() < limit, f"it did not say {text!r}:\n{self.said}"
            assert self._read(), f"it ended without saying {text!r}:\n{self.said}"

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def insist(self, text: str, told: str) -> None:
        """Types it, again every second, until it says `told`: a program may not listen yet when it has just asked."""
        limit = time.monotonic() + LIMIT_SECONDS
        while told not in self.said:
            assert time.monotonic() < limit, f"it did not say {told!r}:\n{self.said}"
            self.type(text)
            again = time.monotonic() + 1
            while told not in self.said and time.monotonic() < again:
                assert self._read(), f"it ended without saying {told!r}:\n{self.said}"

    def end(self) -> int:
        """Its exit code."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def _read(self) -> bool:
        """Hears what it says; False when it has ended."""
        if not select.select([self._terminal], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._terminal, 2**16)
        except OSError:
            return False
        self.said += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
