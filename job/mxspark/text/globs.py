"""Patterns of keys: `*` and `?` stay within a segment, `[ab]`, `[a-z]` and `[!a]` are one character, `**` is any
number of segments.
"""

import re

_WILDCARD = re.compile(r"(?<![^/])\*\*/|\*\*|[*?]|\[(!?)(\]?[^\]]+)\]")
_REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def is_glob(text: str) -> bool:
    """Whether there is a wildcard in it."""
    return _WILDCARD.search(text) is not None


def literal_start(pattern: str) -> str:
    """What every text that the pattern matches begins with: all before its first wildcard."""
    first = _WILDCARD.search(pattern)
    return pattern[: first.start()] if first else pattern


def names_suffix(pattern: str) -> bool:
    """Whether it says itself how names end, as `*.jpg` does."""
    return re.search(r"\.[^].*?[/]+$", pattern) is not None


def regex(pattern: str) -> str:
    """A regular expression that matches what the pattern does, and all that lies below a folder that it matches.

    Raises ValueError where `[…]` holds no characters, such as `[z-a]`.
    """
    found, end = "", 0
    folder = pattern.rstrip("/")
    for wildcard in _WILDCARD.finditer(folder):
        found += re.escape(folder[end : wildcard.start()])
        end = wildcard.end()
        found += _REGEX.get(wildcard[0]) or _one_of(wildcard[1], wildcard[2])
    below = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return f"(?s:{found}{re.escape(folder[end:])}{below})"


def _one_of(negation: str, characters: str) -> str:
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", characters)
    try:
        re.compile(f"[{escaped}]")
    except re.error as error:
        raise ValueError(f"[{negation}{characters}] is no set of characters: {error.msg}") from None
    if negation:
        return f"[^/{escaped}]" if escaped[0] != "-" else rf"[^/\{escaped}]"
    # RE2 has no look-ahead.
    return f"(?!/)[{escaped}]" if re.match(f"[{escaped}]", "/") else f"[{escaped}]"
