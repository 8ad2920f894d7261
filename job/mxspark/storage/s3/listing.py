"""The pages of a list of objects: what is none, and lists that never end."""

from collections.abc import Sequence
from typing import NoReturn
from xml.etree import ElementTree

from mxspark.storage import web
from mxspark.storage.errors import (
    NOT_FOUND,
    PROXIES,
    is_no_xml,
    is_page,
    raise_answered,
    raise_page,
    raise_s3,
    raise_said,
)
from mxspark.storage.s3.bounds import declares_entities
from mxspark.storage.store import StorageError, TransientError

# Elements in a page: a thousand objects with checksums and owners have 30,000, each a Python object.
MOST_TAGS = 200_000
EMPTY_PAGES = 10_000  # in a row; some come where many objects have been deleted
LONGEST_KEY = 4_096  # characters: S3's keys have 1,024 bytes at most


class Repeats:
    """Raises StorageError where a list comes round again. It keeps one page in mind, the last whose number is a power
    of two (as Brent finds cycles): in a list of ten million keys as little as in one of ten."""

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
            raise self._error(f"has more than {EMPTY_PAGES:,} empty pages in a row")
        content = hash(tuple(keys)) if keys else 0
        if self._kept is not None and (token == self._kept[1] or (keys and content == self._kept[0])):
            raise self._error("repeats itself: the server keeps announcing more")
        self._number += 1
        if self._number & (self._number - 1) == 0:
            self._kept = content, token

    def _error(self, what: str) -> StorageError:
        return StorageError(f"the list of objects {what}", "Check --endpoint-url.", place=self._name)


def page_of(name: str, response: web.Answer) -> ElementTree.Element:
    """The page of a list in an answer. Raises StorageError where it has none, TransientError where the same request
    may get one.
    """
    if response.data.count(b"<") > MOST_TAGS:
        raise StorageError(
            f"the list of objects has more than {MOST_TAGS:,} tags in a page", "Check --endpoint-url.", place=name
        )
    text = response.data.decode(errors="replace")
    if is_page(text):
        raise_page(name, "HTTP 200") if response.status == 200 else raise_answered(
            name, response.status, response.reason
        )
    if declares_entities(response.data):
        raise StorageError(
            "the list of objects declares XML entities, as S3 never does", "Check --endpoint-url.", place=name
        )
    try:
        page = ElementTree.fromstring(response.data)  # noqa: S314  # without entities of its own
    except ElementTree.ParseError:
        _raise_unparsed(name, response, text)
    if response.status == 200 and not page.tag.endswith("ListBucketResult"):
        raise StorageError("not an S3 response (a web page?)", "Check --endpoint-url.", place=name)
    if response.status != 200:
        raise_said(name, text, response.status)
    return page


def _raise_unparsed(name: str, response: web.Answer, text: str) -> NoReturn:
    """Raises what an answer means that is no XML."""
    if response.status != 200 and b"<Code>" in response.data:  # half of an answer
        raise_said(name, text, response.status)
    if response.status == NOT_FOUND and is_no_xml(text):
        raise_answered(name, response.status, response.reason)
    if response.status >= 500 or str(response.status) in PROXIES:
        raise_s3(name, str(response.status), response.reason)
    if response.status == 200 and (not response.data or b"<ListBucketResult" in response.data):
        raise TransientError("the list of objects broke off", place=name, cause="truncated")
    cause = f"the server answered {response.status} {response.reason}, which is no S3 response"
    raise StorageError(cause, "Check --endpoint-url.", place=name)
