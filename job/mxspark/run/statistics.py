"""What a table's rows add up to: statuses, classes, confidences, true labels; and the rows that are worth a look. Parts
are read some at a time, so that memory doesn't grow with the table.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from threading import BoundedSemaphore

import numpy as np
from numpy.typing import NDArray

from mxspark.dataset import tops
from mxspark.dataset.part_errors import PartError
from mxspark.dataset.predictions import Counts, Row
from mxspark.dataset.tops import Piece, Texts, Tops, TrueLabels, Vocabulary
from mxspark.errors import one_line
from mxspark.row_status import RowStatus
from mxspark.storage import Store
from mxspark.worker.pipeline import ordered_map

READERS = 8  # parts that are read and held at a time
DECODERS = 2  # of them that are decoded: more of them wait for Python's lock, and for one another's memory
BINS = 20  # of confidences
EXAMPLES = 4  # of each status
MOST_STATUSES = 40
LEAST_CERTAIN = 24
SAMPLE = 12
MOST_LABELS = 20_000  # different true labels in `pairs`, or that are the index of a class: more are no classes
MOST_PAIRS = 200_000  # of a true label and a class
MOST_BROKEN = 20
KNOWN = 2**16  # classes from there on are looked at each time
PLAIN_KEY = 1024  # characters of a key, a class or a status, bytes of a true label, that are kept
AT_ONCE = 2**16  # rows that are summed at a time: a few by themselves cost as much as thousands
MOST_BYTES = 2**24  # of them


@dataclass(frozen=True)
class Pairs:
    """n pairs of a true label and the index of the class that was predicted, the most frequent first."""

    words: Sequence[str]  # true labels
    numbers: NDArray[np.int64]  # (n,): the place among `words`, and the class in the lower 32 bits: sorted fast as one
    counts: NDArray[np.int64]  # (n,)

    @property
    def truths(self) -> NDArray[np.int64]:
        """(n,): places among `words`."""
        return self.numbers >> 32

    @property
    def classes(self) -> NDArray[np.int64]:
        """(n,)."""
        return self.numbers & 0xFFFFFFFF


@dataclass(frozen=True)
class Statistics:
    """Sums over rows."""

    parts: int
    counts: Counts  # without `correct_top_k`
    examples: Mapping[str, list[tuple[str, str]]]  # key and error, by status
    classes: Counter[int]
    labels: Mapping[int, str]
    confidences: NDArray[np.int64]  # (BINS,)
    confident: float  # sum of the probabilities
    least_certain: tuple[Row, ...]
    sample: tuple[Row, ...]  # of the others with a class; drawn at random, and the same each time
    paired: Pairs
    right_of: NDArray[np.int64]  # (BINS,), by confidence
    labelled_of: NDArray[np.int64]
    broken: tuple[str, ...]

    @property
    def predicted(self) -> int:
        """Rows with a class."""
        return int(self.confidences.sum())

    @property
    def pairs(self) -> Counter[tuple[str, int]]:
        """True labels with the index of the class that was predicted; for few of them."""
        paired = self.paired
        flat = zip(paired.truths.tolist(), paired.classes.tolist(), paired.counts.tolist(), strict=True)
        return Counter({(paired.words[truth], index): count for truth, index, count in flat})

    def name(self, index: int) -> str:
        """Of a class."""
        return self.labels.get(index, f"class {index}")


class _Least:
    """The rows with the lowest scores."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._found: list[tuple[float, int, int, Row]] = []

    def add(self, some: Tops, scores: NDArray[np.float32] | NDArray[np.float64]) -> None:
        """Scores (n,), NaN for rows that don't count."""
        limit = self._found[-1][0] if len(self._found) == self._number else np.inf
        few = np.flatnonzero(scores < limit)  # NaN is not below
        if len(few):
            few = few[np.argsort(scores[few], kind="stable")[: self._number]]
            rows = [(float(scores[place]), *some.origin(place), some.row(place)) for place in few.tolist()]
            self._found = heapq.nsmallest(self._number, [*self._found, *rows], key=lambda each: each[:3])

    def rows(self) -> tuple[Row, ...]:
        """The lowest first."""
        return tuple(row for *_, row in self._found)


class Gatherer:
    """Takes in parts, in the order of their shards."""

    def __init__(self, true_label: str | None) -> None:
        self._true_labels = TrueLabels(true_label) if true_label else None
        self._parts = 0
        self._by_status: Counter[str] = Counter()
        self._examples: dict[str, list[tuple[str, str]]] = {}
        self._labels: dict[int, str] = {}
        self._known = np.zeros(KNOWN + 1, bool)  # the classes whose labels were looked for
        self._confident = 0.0
        self._least_certain, self._sample = _Least(LEAST_CERTAIN), _Least(SAMPLE)
        self._sums = _Sums()
        self._broken: list[str] = []
        self._waiting: list[Piece] = []
        self._rows = self._bytes = 0  # of what waits

    def add(self, part: tuple[Piece, ...] | PartError) -> None:
        """A part's rows, or why they can't be had."""
        if isinstance(part, PartError):
            if len(self._broken) < MOST_BROKEN:
                self._broken.append(one_line(part))
            return
        self._parts += bool(part)
        for piece in part:
            self._waiting.append(piece)
            self._rows += len(piece)
            self._bytes += piece.bytes
            if self._rows >= AT_ONCE or self._bytes >= MOST_BYTES:
                self._settle()

    def _settle(self) -> None:
        """Sums what waits."""
        if waiting := self._waiting:
            self._waiting, self._rows, self._bytes = [], 0, 0
            self._add(Tops.of(waiting))

    def _add(self, some: Tops) -> None:
        by_status = some.status_texts.counts()
        for status, count in by_status.items():
            self._by_status[status[:PLAIN_KEY]] += count
            if status != RowStatus.OK:
                self._add_examples(status, some)
        has_class = some.indices >= 0
        if not has_class.any():
            return
        self._add_labels(some, has_class)
        self._confident += float(some.probabilities[has_class].sum(dtype=np.float64))
        self._least_certain.add(some, some.probabilities)
        chances = [np.random.default_rng((each.shard, each.first)).random(len(each)) for each in some.pieces]
        self._sample.add(some, np.where(has_class, np.concatenate(chances), np.nan))
        truths = self._true_labels.of(some.key_texts) if self._true_labels else None
        self._sums.add(some, has_class, truths)

    def _add_labels(self, some: Tops, has_class: NDArray[np.bool_]) -> None:
        places = np.minimum(some.indices, KNOWN)
        is_new = has_class & ~self._known[places]
        if is_new.any():
            self._labels |= {index: label[:PLAIN_KEY] for index, label in some.labels_of(is_new).items()}
            self._known[places[is_new]] = True
            self._known[KNOWN] = False

    def _add_examples(self, status: str, some: Tops) -> None:
        if status not in self._examples and len(self._examples) == MOST_STATUSES:
            return
        kept = self._examples.setdefault(status, [])
        if len(kept) < EXAMPLES:
            for place in np.flatnonzero(some.status_texts.are(status))[: EXAMPLES - len(kept)].tolist():
                key, error = some.key_texts[place] or "", some.error_texts[place] or ""
                kept.append((key[:PLAIN_KEY], error[:PLAIN_KEY]))

    def statistics(self) -> Statistics:
        """Of what was taken in so far."""
        self._settle()
        sums, least_certain = self._sums, self._least_certain.rows()
        keys = {row.key for row in least_certain}
        return Statistics(
            self._parts,
            Counts(self._by_status, int(sums.labelled_of.sum()), int(sums.right_of.sum())),
            self._examples,
            sums.classes,
            self._labels,
            sums.confidences,
            self._confident,
            least_certain,
            tuple(row for row in self._sample.rows() if row.key not in keys),
            sums.pairs(),
            sums.right_of,
            sums.labelled_of,
            tuple(self._broken),
        )


class _Sums:
    """Of the numbers of rows with a class."""

    def __init__(self) -> None:
        self.classes: Counter[int] = Counter()
        self.confidences, self.labelled_of, self.right_of = (np.zeros(BINS, np.int64) for _ in range(3))
        self._pairs, self._pair_counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._truths = Vocabulary(MOST_LABELS, PLAIN_KEY)

    def add(self, some: Tops, has_class: NDArray[np.bool_], truths: Texts | None) -> None:
        different, counts = np.unique(some.indices[has_class], return_counts=True)
        self.classes.update(dict(zip(different.tolist(), counts.tolist(), strict=True)))
        bins = np.clip(some.probabilities * BINS, 0, BINS - 1)
        self.confidences += _by_bin(bins, has_class)
        if truths is not None:
            numbers = self._truths.numbers(truths)
            is_right = some.have_label(truths) | (np.append(self._truths.indices, -2)[numbers] == some.indices)
            is_labelled = has_class & (truths.places >= 0)
            self.labelled_of += _by_bin(bins, is_labelled)
            self.right_of += _by_bin(bins, is_labelled & is_right)
            is_paired = has_class & (numbers >= 0)
            self._add_pairs(numbers[is_paired], some.indices[is_paired])

    def _add_pairs(self, truths: NDArray[np.int64], indices: NDArray[np.int64]) -> None:
        weights = np.append(self._pair_counts, np.ones(len(truths), np.int64))
        self._pairs, place = np.unique(np.append(self._pairs, (truths << 32) + indices), return_inverse=True)
        self._pair_counts = np.bincount(place, weights, len(self._pairs)).astype(np.int64)
        if len(self._pairs) > MOST_PAIRS:
            most = self.pairs()
            self._pairs, self._pair_counts = most.numbers, most.counts

    def pairs(self) -> Pairs:
        most = np.argsort(-self._pair_counts, kind="stable")[:MOST_PAIRS]
        return Pairs(self._truths.words, self._pairs[most], self._pair_counts[most])


def _by_bin(bins: NDArray[np.float32], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(bins[chosen].astype(np.int64), minlength=BINS)


def gather(store: Store, shards: Iterable[int], output_format: str, true_label: str | None) -> Statistics:
    """Of the parts of these shards; those that can't be read are named in `broken`."""
    found = Gatherer(true_label)
    decoding = BoundedSemaphore(DECODERS)

    def read(shard: int) -> tuple[Piece, ...] | PartError:
        try:
            return tuple(tops.pieces(store, shard, output_format, decoding))
        except PartError as error:
            return error

    with ThreadPoolExecutor(READERS) as pool, closing(ordered_map(pool, read, shards, READERS)) as parts:
        for part in parts:
            found.add(part)
    return found.statistics()
