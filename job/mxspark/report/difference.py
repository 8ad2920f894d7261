"""Two tables over the same keys: how often they name the same class, what moved where, and what only one has."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from mxspark.dataset import tops
from mxspark.errors import MxsparkError, UsageError
from mxspark.report.finished_run import FinishedRun
from mxspark.storage import Access
from mxspark.text.words import printable

EXAMPLES = 10
MOST_MOVES = 100_000  # different ones that are counted
SHOWN_MOVES = 20
LONGEST_NAME = 1024  # characters of a class or a status that are kept: few bytes may stand for many long ones


class Best(NamedTuple):
    """A row of a table, and its most probable class: -1 where it has none."""

    key: str
    status: str
    class_index: int
    label: str | None
    probability: float

    @property
    def name(self) -> str:
        """Of the class."""
        return self.label[:LONGEST_NAME] if self.label is not None else f"class {self.class_index}"

    def is_like(self, other: "Best") -> bool:
        """Whether both name the same class: by label where both have one, for models may number them differently."""
        if self.label is not None and other.label is not None:
            return self.label == other.label
        return self.class_index == other.class_index


@dataclass
class Difference:
    """What `compare` found. `changed` counts (before, after) of the rows' statuses, `moves` of their classes."""

    first: str
    second: str
    both: int = 0
    compared: int = 0  # rows with a class in both
    same: int = 0
    change: float = 0.0  # sum of |difference of probability| where the class is the same
    largest_change: float = 0.0
    only: tuple[int, int] = (0, 0)
    only_examples: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed_examples: list[tuple[str, str, str]] = field(default_factory=list)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[tuple[Best, Best]] = field(default_factory=list)  # that moved, the surest of both first

    @property
    def agreement(self) -> float | None:
        """Share of the rows with a class in both; None where there is no such row."""
        return self.same / self.compared if self.compared else None

    @property
    def mean_change(self) -> float | None:
        return self.change / self.same if self.same else None

    def to_json(self) -> dict[str, Any]:
        return {
            "a": self.first,
            "b": self.second,
            "keys": {"both": self.both, "only_a": self.only[0], "only_b": self.only[1]},
            "only_a_examples": self.only_examples[0],
            "only_b_examples": self.only_examples[1],
            "top_1": {
                "compared": self.compared,
                "same": self.same,
                "agreement": self.agreement,
                "mean_change": self.mean_change,
                "largest_change": self.largest_change if self.same else None,
            },
            "moved": [
                {"a": before, "b": after, "rows": number}
                for (before, after), number in self.moves.most_common(SHOWN_MOVES)
            ],
            "statuses_changed": [
                {"a": before, "b": after, "rows": number} for (before, after), number in self.changed.most_common()
            ],
            "statuses_changed_examples": [
                {"key": key, "a": before, "b": after} for key, before, after in self.changed_examples
            ],
            "examples": [
                {"key": a.key, "a": [a.name, round(a.probability, 4)], "b": [b.name, round(b.probability, 4)]}
                for a, b in self.examples
            ],
        }

    def add(self, a: Best, b: Best) -> None:
        """The rows of a key that both have."""
        self.both += 1
        if a.status != b.status:
            self.changed[a.status, b.status] += 1
            if len(self.changed_examples) < EXAMPLES:
                self.changed_examples.append((a.key, a.status, b.status))
        if a.class_index < 0 or b.class_index < 0:
            return
        self.compared += 1
        if a.is_like(b):
            self.same += 1
            change = abs(a.probability - b.probability)
            self.change += change
            self.largest_change = max(self.largest_change, change)
            return
        if len(self.moves) < MOST_MOVES or (a.name, b.name) in self.moves:
            self.moves[a.name, b.name] += 1
        if len(self.examples) < EXAMPLES or _surety((a, b)) > _surety(self.examples[-1]):
            self.examples = sorted([*self.examples, (a, b)], key=_surety, reverse=True)[:EXAMPLES]

    def add_only(self, side: int, row: Best) -> None:
        """A row of a key that one of them has."""
        self.only = (self.only[0] + (side == 0), self.only[1] + (side == 1))
        if len(self.only_examples[side]) < EXAMPLES:
            self.only_examples[side].append(row.key)


def _surety(pair: tuple[Best, Best]) -> float:
    return pair[0].probability + pair[1].probability


def compare(first: str, second: str, access: Access) -> Difference:
    """Two outputs, row by row.

    Raises UsageError where one of them is none, or they have no key in common or no classes to compare.
    """
    a, b = FinishedRun.open(first, access), FinishedRun.open(second, access)
    found = Difference(a.store.name, b.store.name)
    for row_a, row_b in _joined(_rows(a), _rows(b)):
        if row_a is not None and row_b is not None:
            found.add(row_a, row_b)
        elif row_a is not None:
            found.add_only(0, row_a)
        elif row_b is not None:
            found.add_only(1, row_b)
    _check(found)
    return found


def _joined(first: Iterator[Best], second: Iterator[Best]) -> Iterator[tuple[Best | None, Best | None]]:
    """The rows of each key of both, which come in the order of their keys."""
    a, b = next(first, None), next(second, None)
    while a is not None or b is not None:
        takes_a = a is not None and (b is None or a.key <= b.key)
        takes_b = b is not None and (a is None or b.key <= a.key)
        yield a if takes_a else None, b if takes_b else None
        a, b = next(first, None) if takes_a else a, next(second, None) if takes_b else b


def _check(found: Difference) -> None:
    if found.both:
        return
    if not any(found.only):
        raise UsageError(f"{found.first}, {found.second}: neither has a row yet", "Compare outputs that have parts.")
    if not all(found.only):
        none = found.second if found.only[0] else found.first
        raise UsageError(
            f"{none}: has no row yet", "Compare outputs that have parts: `mxspark status` says how far it is."
        )
    examples = [printable(keys[0]) for keys in found.only_examples if keys]
    raise UsageError(
        f"{found.first} and {found.second} have no key in common: {' and '.join(examples)}, for example",
        "Compare outputs of the same input: keys are relative to it.",
    )


def _rows(run: FinishedRun) -> Iterator[Best]:
    """In the order of their keys, as plans are sorted. Raises MxsparkError where they aren't."""
    last = ""
    for shard in run.shards:
        for some in tops.read(run.store, shard, run.format):
            keys = some.keys.tolist()
            if keys and (keys[0] < last or any(after < before for before, after in pairwise(keys))):
                raise MxsparkError(
                    f"{run.store.name}: the keys of shard {shard} are out of order", "Is that part another run's?"
                )
            last = keys[-1] if keys else last
            pairs = zip(keys, some.statuses.tolist(), some.indices.tolist(), some.probabilities.tolist(), strict=True)
            for key, status, index, probability in pairs:
                yield Best(key, status[:LONGEST_NAME], index, some.labels.get(index), probability)


def is_clean(found: Difference) -> bool:
    """Whether both say the same of every key."""
    return not (any(found.only) or found.changed or found.same < found.compared)
