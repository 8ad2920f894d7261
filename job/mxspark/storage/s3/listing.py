"""Lists of objects that never end: a server that says again and again that there is more."""

from collections.abc import Sequence

from mxspark.storage.store import StorageError

EMPTY_PAGES = 10_000  # in a row; some come where many objects have been deleted
LONGEST_KEY = 4_096  # characters: S3's keys have 1,024 bytes at most


class Repeats:
    """Raises StorageError where a list comes round again. It keeps one page in mind, the last whose number is a power of two (as Brent
    finds cycles): in a list of ten million keys as little as in one of ten."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self._empty = 0
        self._kept: tuple[int, str | None] | None = None

    def check(self, keys: Sequence[str], token: str | None) -> None:
        """Looks at the next page, with the token of the page after it."""
        longest = max(map(len, keys), default=0)
        if longest > LONGEST_KEY:
            raise self._error(f"has a key of {longest:,} characters")
        if token is None:
            return
        self._empty = 0 if keys else self._empty + 1
        if self._empty > EMPTY_PAGES:
            raise self._error(f"goes on after {EMPTY_PAGES:,} pages without any")
        content = hash(tuple(keys)) if keys else 0
        if self._kept is not None and (token == self._kept[1] or (keys and content == self._kept[0])):
            raise self._error("comes round again: the server says without end that there is more")
        self._number += 1
        if self._number & (self._number - 1) == 0:
            self._kept = content, token

    def _error(self, what: str) -> StorageError:
        return StorageError(f"the list of objects {what}", "Check --endpoint-url: an S3 server's lists have an end.", place=self._name)
