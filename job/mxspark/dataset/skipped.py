"""What a listing leaves out, counted by why: memory is bounded, however many entries and kinds there are."""

from collections import Counter
from collections.abc import Mapping

from mxspark.text.words import counted, without_middle

KINDS = 1000  # counted apart while listing
SHOWN_KINDS = 50  # written down: the most frequent
EXAMPLES = 3  # unreadable entries that are named
LONGEST_PROBLEM = 300  # of a message, whose path may have thousands [characters]
LONGEST_SUFFIX = 16  # characters; what is longer is no suffix but a name with a dot in it
NO_SUFFIX, OTHER = "(none)", "(other)"
EXCLUDED, UNREADABLE, NO_KEY, MARKER = "(excluded)", "(unreadable folder)", "(no key)", "(folder marker)"
_WORDS = {
    NO_SUFFIX: "without a suffix",
    OTHER: "with other suffixes",
    EXCLUDED: "by input.exclude",
    UNREADABLE: "folders left out",
    NO_KEY: "rows without a key",
    MARKER: "folder markers",
}


class Skipped:
    """Counts of entries that no row stands for: by suffix (`.heic`, or `(none)`), or by what else kept them out, in
    parentheses.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.unreadable: list[str] = []  # the first folders that can't be listed, and why

    def add(self, kind: str) -> None:
        """One more of this kind."""
        self._counts[kind if kind in self._counts or len(self._counts) < KINDS else OTHER] += 1

    def add_unreadable(self, problem: str) -> None:
        """A folder that can't be listed."""
        self.add(UNREADABLE)
        if len(self.unreadable) < EXAMPLES:
            self.unreadable.append(without_middle(problem, LONGEST_PROBLEM))

    def counts(self) -> dict[str, int]:
        """The most frequent kinds with their counts, most frequent first, and the rest as `(other)`."""
        ranked = Counter({kind: number for kind, number in self._counts.items() if kind != OTHER}).most_common()
        rest = self._counts[OTHER] + sum(number for _, number in ranked[SHOWN_KINDS:])
        return dict(ranked[:SHOWN_KINDS]) | ({OTHER: rest} if rest else {})


def suffix(key: str) -> str:
    """The lower-case suffix of a key's name with its dot, `(none)` where it has none."""
    name = key.rpartition("/")[2].lstrip(".")
    stem, dot, end = name.rpartition(".")
    return f".{end.lower()}" if dot and stem and end and len(end) <= LONGEST_SUFFIX else NO_SUFFIX


def hint(counts: Mapping[str, int]) -> str:
    """How to take what has another suffix, with a blank before it; nothing where that isn't why something is
    skipped.
    """
    if not any(kind.startswith(".") or kind in (NO_SUFFIX, OTHER) for kind in counts):
        return ""
    return " input.suffixes selects which are used: --set 'input.suffixes=[]' takes every file."


def in_words(counts: Mapping[str, int], kinds: int = 10) -> str:
    """`12 .heic, 3 without a suffix`: the first kinds, as a sentence has them."""
    shown = ", ".join(f"{number:,} {_WORDS.get(kind, _shown(kind))}" for kind, number in list(counts.items())[:kinds])
    return f"{shown} and {counted(len(counts) - kinds, 'more kind')}" if len(counts) > kinds else shown


def _shown(kind: str) -> str:
    """A suffix, in quotes where something in it would not be seen, as a blank at its end."""
    return kind if kind.isprintable() and " " not in kind else repr(kind)
