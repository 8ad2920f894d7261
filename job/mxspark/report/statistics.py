"""What a table's rows add up to: statuses, classes, confidences, true labels; and the rows that are worth a look. Parts
are read some at a time, so that memory doesn't grow with the table.
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mxspark.dataset import tops
from mxspark.dataset.part_errors import PartError
from mxspark.dataset.tops import Tops, TrueLabels
from mxspark.errors import one_line
from mxspark.row_status import RowStatus
from mxspark.storage import Store

READERS = 8  # parts that are read and held at a time
BINS = 20  # of confidences
EXAMPLES = 4  # of each status
MOST_STATUSES = 40
LEAST_CERTAIN = 24
MOST_LABELS = 2000  # different true labels: more are no classes
MOST_PAIRS = 200_000  # of a true label and a class
MOST_BROKEN = 20
PLAIN_KEY = 1024  # characters of a key that are kept


@dataclass(frozen=True, order=True)
class Spot:
    """A row: how probable its class is, and where it lies."""

    probability: float
    shard: int
    row: int


@dataclass
class Statistics:
    """Sums over rows. `pairs` counts true labels with the index of the class that was predicted."""

    parts: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # key and error, by status
    classes: Counter[int] = field(default_factory=Counter)
    labels: dict[int, str] = field(default_factory=dict)
    confidences: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    confident: float = 0.0  # sum of the probabilities
    least_certain: list[Spot] = field(default_factory=list)
    labelled: int = 0
    correct: int = 0
    pairs: Counter[tuple[str, int]] = field(default_factory=Counter)
    right_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))  # by confidence
    labelled_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    broken: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.by_status.total()

    @property
    def ok(self) -> int:
        return self.by_status[RowStatus.OK]

    @property
    def failed(self) -> int:
        return self.rows - self.ok

    @property
    def predicted(self) -> int:
        """Rows with a class."""
        return int(self.confidences.sum())

    def name(self, index: int) -> str:
        """Of a class."""
        return self.labels.get(index, f"class {index}")

    def add(self, shard: int, some: Tops, true_labels: TrueLabels | None) -> None:
        self.by_status.update(some.statuses.tolist())
        self._add_failed(some)
        has_class = some.indices >= 0
        if not has_class.any():
            return
        indices, counts = np.unique(some.indices[has_class], return_counts=True)
        self.classes.update(dict(zip(indices.tolist(), counts.tolist(), strict=True)))
        for index, label in some.labels.items():
            self.labels.setdefault(index, label)
        bins = np.clip(some.probabilities * BINS, 0, BINS - 1)
        placed = np.where(has_class, np.nan_to_num(bins), 0).astype(np.int64)
        self.confidences += np.bincount(placed[has_class], minlength=BINS)
        self.confident += float(some.probabilities[has_class].sum(dtype=np.float64))
        self._add_least_certain(shard, some)
        if true_labels is not None:
            self._add_labelled(some, placed, *true_labels.of(some.keys))

    def _add_failed(self, some: Tops) -> None:
        for place in np.flatnonzero(some.statuses != str(RowStatus.OK)):
            status = some.statuses[place]
            if status in self.examples or len(self.examples) < MOST_STATUSES:
                kept = self.examples.setdefault(status, [])
                if len(kept) < EXAMPLES:
                    kept.append((some.keys[place][:PLAIN_KEY], (some.errors[place] or "")[:PLAIN_KEY]))

    def _add_least_certain(self, shard: int, some: Tops) -> None:
        full = len(self.least_certain) == LEAST_CERTAIN
        limit = self.least_certain[-1].probability if full else np.inf
        few = np.flatnonzero(some.probabilities < limit)  # NaN, where there is no class, is not below
        if not len(few):
            return
        few = few[np.argsort(some.probabilities[few], kind="stable")[:LEAST_CERTAIN]]
        spots = [Spot(float(some.probabilities[row]), shard, some.first + int(row)) for row in few]
        self.least_certain = heapq.nsmallest(LEAST_CERTAIN, [*self.least_certain, *spots])

    def _add_labelled(
        self, some: Tops, placed: NDArray[np.int64], truths: NDArray[np.int64], names: Sequence[str]
    ) -> None:
        known = (truths >= 0) & (some.indices >= 0)
        some_truths, some_indices = truths[known], some.indices[known]
        # A pair as one number: pairs are sorted slowly.
        span = int(some.indices.max()) + 1
        different, pair_of, counts = np.unique(
            some_truths * span + some_indices, return_inverse=True, return_counts=True
        )
        is_right = np.zeros(len(counts), bool)
        for place, (number, count) in enumerate(zip(different.tolist(), counts.tolist(), strict=True)):
            truth, index = divmod(number, span)
            is_right[place] = names[truth] in (some.labels.get(index), str(index))
            pair = (names[truth][:PLAIN_KEY], index)
            if len(self.pairs) < MOST_PAIRS or pair in self.pairs:
                self.pairs[pair] += count
        right = is_right[pair_of]
        self.labelled += len(right)
        self.correct += int(right.sum())
        self.labelled_of += np.bincount(placed[known], minlength=BINS)
        self.right_of += np.bincount(placed[known][right], minlength=BINS)


def gather(store: Store, shards: Iterable[int], output_format: str, true_label: str | None) -> Statistics:
    """Of the parts of these shards; those that can't be read are named in `broken`."""
    found = Statistics()
    true_labels = TrueLabels(true_label) if true_label else None
    with ThreadPoolExecutor(READERS) as pool:
        for shard, part in _read_ahead(pool, store, iter(shards), output_format):
            if isinstance(part, PartError):
                if len(found.broken) < MOST_BROKEN:
                    found.broken.append(one_line(part))
                continue
            found.parts += bool(part)
            for some in part:
                found.add(shard, some, true_labels)
    return found


def _read_ahead(
    pool: ThreadPoolExecutor, store: Store, shards: Iterator[int], output_format: str
) -> Iterator[tuple[int, list[Tops] | PartError]]:
    def read(shard: int) -> list[Tops] | PartError:
        try:
            return list(tops.read(store, shard, output_format))
        except PartError as error:
            return error

    pending: deque[tuple[int, Future[list[Tops] | PartError]]] = deque()
    for shard in shards:
        pending.append((shard, pool.submit(read, shard)))
        if len(pending) >= READERS:
            number, oldest = pending.popleft()
            yield number, oldest.result()
    while pending:
        number, oldest = pending.popleft()
        yield number, oldest.result()
