"""Trying again what fails for causes that pass, with backoff and jitter, under a budget; and a tally of why.

The only place that imports tenacity.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import ceil
from threading import Lock
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay
from tenacity.stop import stop_base
from tenacity.wait import wait_exponential, wait_random_exponential

from mxspark.settings.job import StorageSettings
from mxspark.storage.store import StorageError, TransientError

T = TypeVar("T")

# Waits of 0.25, 0.5, 1, … 20 s at most, of which half is left to chance, so that a thousand workers don't come back all
# at once.
FIRST_WAIT, LONGEST_WAIT = 0.25, 20.0
FIRST_WORD, NEXT_WORD = 2.0, 30.0  # before the first note about a wait, and between notes [seconds]

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)

_tally: Counter[str] = Counter()
_tally_lock = Lock()


def retries_so_far() -> Counter[str]:
    """How often this process has tried something again, by cause."""
    with _tally_lock:
        return Counter(_tally)


@contextmanager
def telling(listener: Callable[[str], None]) -> Iterator[None]:
    """Tells `listener` what this thread waits for, why, and how long still, where that is more than a moment."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def shortest_wait(failures: int) -> float:
    """What is waited at least after so many failures in a row [seconds]."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (failures - 1)) / 2


class _Requests(stop_base):
    """Stops after so many requests."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return state.attempt_number >= self._most and getattr(error, "cause", "") != "credentials"


class Patience:
    """Calls functions, again where they raise TransientError: `settings.retries` times within `settings.retry_seconds`
    at most.

    Where credentials are missing no request has been made yet: that is limited by the time alone.
    """

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        half = {"multiplier": FIRST_WAIT / 2, "max": LONGEST_WAIT / 2}
        self._retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=_Requests(settings.retries + 1) | stop_before_delay(settings.retry_seconds),
            wait=wait_exponential(**half) + wait_random_exponential(**half),
            before_sleep=_count,
            reraise=True,
        )

    def __call__(self, function: Callable[[], T]) -> T:
        """What the function returns. Raises what it raises; where that is a TransientError to the end, the error
        that it stands for.
        """
        retrying, listener = self._retrying, _listener.get()
        if listener is not None:
            retrying = retrying.copy(before_sleep=_Telling(self._settings, listener))
        try:
            return retrying(function)
        except TransientError as error:
            tries = retrying.statistics.get("attempt_number", 1)
            raise given_up(error, tries) from error


def given_up(error: TransientError, tries: int) -> StorageError:
    """The lasting error that a transient one has turned out to be."""
    reason = f"{error.reason} (tried {tries} times)" if tries > 1 else error.reason
    return error.final(reason, error.hint, place=error.place, cause=error.cause)


class _Telling:
    """Counts the retries of one call and tells about them, sparsely."""

    def __init__(self, settings: StorageSettings, listener: Callable[[str], None]) -> None:
        self._settings = settings
        self._listener = listener
        self._next = FIRST_WORD

    def __call__(self, state: RetryCallState) -> None:
        _count(state)
        error = state.outcome.exception() if state.outcome else None
        waited = state.seconds_since_start or 0.0
        if not isinstance(error, TransientError) or waited + state.upcoming_sleep < self._next:
            return
        self._next = waited + state.upcoming_sleep + NEXT_WORD
        limit, done = self._settings.retry_seconds, state.attempt_number - 1
        # With more tries the limit is reached anyway.
        waits = range(done, min(self._settings.retries, done + ceil(limit / LONGEST_WAIT) + 10))
        left = min(limit - waited, sum(min(FIRST_WAIT * 2 ** min(wait, 10), LONGEST_WAIT) for wait in waits))
        self._listener(f"Waiting for {error.place or 'storage'}: {error.reason}. Retrying for {ceil(left):,} s more.")


def _count(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, TransientError):
        with _tally_lock:
            _tally[error.cause] += 1
