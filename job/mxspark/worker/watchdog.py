"""Ends a worker process that makes no progress, so that Spark starts another and tries its shard again."""

import faulthandler
import time
from types import TracebackType
from typing import Self

AT_MOST_EVERY = 1.0  # re-arming starts a thread: not for every image [seconds]


class Watchdog:
    """While it is entered, the process ends with a stack trace on standard error when `alive` isn't called for
    `seconds`.

    The timer is a thread of faulthandler's, in C: it does its duty where Python's own threads wait for a lock that
    hangs.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._armed = 0.0

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        faulthandler.cancel_dump_traceback_later()

    def alive(self) -> None:
        """Says that something was done."""
        if time.monotonic() - self._armed > AT_MOST_EVERY:
            self._arm()

    def _arm(self) -> None:
        self._armed = time.monotonic()
        faulthandler.dump_traceback_later(self._seconds + AT_MOST_EVERY, exit=True)
