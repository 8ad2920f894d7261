"""Tells a storage that is gone or closed from single images that are: the one stops the run, the others are rows."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from mxspark.errors import MxsparkError, UsageError
from mxspark.storage import CredentialsError, MissingError, StorageError, TooLargeError

SUSPICIOUS = 16  # images in a row that can't be fetched
GOES_ON = "The same command resumes where this run stopped."

OK, MISSING, GONE = "ok", "missing", "gone"  # what a sample can be

Fetch = Callable[[str], bytes]


class OutageError(MxsparkError):
    """No image can be fetched, wherever in the input: not the images are at fault. `cause` is the last error."""

    cause: MxsparkError | None = None


class OutageGuard:
    """Passes fetches on. When `SUSPICIOUS` in a row failed (access denied, no answer, …), it tries `samples` from all
    over the input with `probe`: where none of them can be fetched either, it raises OutageError; where all are missing,
    only if `listed` raises that the place itself is gone. Safe for many threads."""

    def __init__(
        self, fetch: Fetch, probe: Fetch, samples: Sequence[str], place: str, listed: Callable[[], object]
    ) -> None:
        self._fetch = fetch
        self._probe = probe
        self._samples = samples
        self._place = place
        self._listed = listed
        self._lock = Lock()
        self._failed = 0
        self._limit = SUSPICIOUS
        self._last: MxsparkError | None = None
        self._outage: OutageError | None = None  # found out, and no image has come since

    def fetch(self, key: str) -> bytes:
        """The image's bytes. Raises StorageError, OutageError."""
        try:
            data = self._fetch(key)
        except CredentialsError:
            raise  # no storage was asked
        except StorageError as error:
            self._note(error)
            raise
        self._failed, self._outage = 0, None
        return data

    def settle(self) -> None:
        """To be called before what was fetched is written down. Raises OutageError where the last ones failed for an
        outage.
        """
        with self._lock:
            if self._failed:
                self._examine()

    def _note(self, error: StorageError) -> None:
        with self._lock:
            if isinstance(error, TooLargeError):
                self._failed = 0
                return
            self._failed += 1
            self._last = error
            if self._failed >= self._limit:
                self._examine()
                # Perhaps a folder of images that can't be read: don't probe it again and again.
                self._limit *= 2

    def _examine(self) -> None:
        if self._outage is not None:  # all threads meet it; to look once takes long enough
            raise self._outage
        with ThreadPoolExecutor(max(1, len(self._samples))) as pool:
            found = set(pool.map(self._reach, self._samples))
        if OK in found or (MISSING in found and self._is_there()):
            self._failed = 0
            return
        cause, hint = (self._last.problem, self._last.hint) if self._last else ("", "")
        self._outage = OutageError(
            f"{self._place}: no image can be fetched, none of {len(self._samples)} tried all over the input: {cause}",
            f"{hint} {GOES_ON}".strip(),
        )
        self._outage.cause = self._last
        raise self._outage

    def _reach(self, key: str) -> str:
        try:
            self._probe(key)
        except StorageError as error:
            return MISSING if isinstance(error, MissingError) else OK if isinstance(error, TooLargeError) else GONE
        return OK

    def _is_there(self) -> bool:
        """Whether the place still has images, of which only some are missing."""
        try:
            self._listed()
        except (StorageError, UsageError) as error:
            self._last = error
            return False
        return True
