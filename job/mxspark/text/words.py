"""Text as a person reads it."""

import re
import reprlib
from collections.abc import Sequence

# What a terminal, or the reader of a log, would obey rather than show: control characters (but for the end of a line
# and tabs), those that turn the direction of writing, separators of lines, and halves of characters, which can't be
# written at all.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 image`, `1,797 images`: the number with its noun, whose plural takes an s unless it is given."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def printable(text: str) -> str:
    """The text with line ends and other control characters escaped, so that it stays on its line and leaves
    terminals alone.
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def without_controls(text: str) -> str:
    """The text with each of CONTROLS as JSON escapes it, so that shown JSON stays what it is."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def without_middle(text: str, length: int) -> str:
    """A text whose both ends tell something, or about so many of its characters."""
    return text if len(text) <= length else f"{text[: length // 2]} … {text[-(length // 2) :]}"


def with_bytes(quoted: str) -> str:
    r"""What `repr` says, with the bytes of file names that are not UTF-8 as bytes (`\xff`), which Python writes as
    `\udcff`.
    """
    return re.sub(r"(?<!\\)\\udc(?=[89a-f][0-9a-f])", r"\\x", quoted)


def shortened(value: object) -> str:
    """What somebody gave, quoted, however long it is."""
    return reprlib.repr(value)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names that somebody gave, with commas between them: the first of them, and of each the beginning."""
    shown = ", ".join(printable(name[:40]) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown
