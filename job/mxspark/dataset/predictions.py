"""Rows of predictions, the part files that hold them, and what they count to."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark.dataset import parquet
from mxspark.dataset.columns import PREDICTIONS, Columns, Vector, VectorColumn, VectorType
from mxspark.dataset.part_errors import EmptyPartError, PartError, not_a_part
from mxspark.row_status import RowStatus
from mxspark.settings.model_spec import COLUMNS
from mxspark.storage import Store, TooLargeError
from mxspark.text.words import printable

MAX_PART_BYTES = 2**30
# Nearly all parts are smaller. Of larger ones, which others may have written, one is read at a time.
SMALL_PART_BYTES = 2**26
MAX_ROW_BYTES = 2**24  # of JSON: ten times the predictions of all classes of ImageNet
LARGE = Lock()


@dataclass(frozen=True)
class Prediction:
    """One of the most probable classes."""

    index: int
    label: str | None
    probability: float


@dataclass(frozen=True)
class Row:
    """What became of one image: its most probable classes, its vectors, or what was wrong with it."""

    key: str
    status: str
    error: str | None = None
    predictions: tuple[Prediction, ...] | None = None
    vectors: Mapping[str, Vector] = field(default_factory=dict, compare=False)  # by column


@dataclass(frozen=True)
class Counts:
    """What rows add up to. `labelled`, `correct` and `correct_top_k` are of the images whose true label is known."""

    by_status: Counter[str] = field(default_factory=Counter)
    labelled: int = 0
    correct: int = 0
    correct_top_k: int = 0
    first: str | None = field(default=None, compare=False)  # of a part's keys, and the last, where they are known
    last: str | None = field(default=None, compare=False)

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
    def failures(self) -> str:
        """How many of each other status, the most frequent first: `3 missing, 1 denied`."""
        return ", ".join(
            f"{number:,} {status}" for status, number in self.by_status.most_common() if status != RowStatus.OK
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.by_status + other.by_status,
            self.labelled + other.labelled,
            self.correct + other.correct,
            self.correct_top_k + other.correct_top_k,
        )

    def to_json(self) -> dict[str, Any]:
        numbers = {"labelled": self.labelled, "correct": self.correct, "correct_top_k": self.correct_top_k}
        return {"by_status": dict(sorted(self.by_status.items())), **numbers}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Counts":
        """Raises KeyError, TypeError or ValueError where `data` isn't what `to_json` gives: others may have written
        it.
        """
        by_status = dict(data["by_status"])
        found = cls(
            Counter(by_status),
            data["labelled"],
            data["correct"],
            data["correct_top_k"],
            data.get("first"),
            data.get("last"),
        )
        numbers = (found.labelled, found.correct, found.correct_top_k, *by_status.values())
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("not counts")
        if not all(isinstance(text, str | None) for text in (found.first, found.last)):
            raise TypeError("not keys")
        return found


def top_k(
    probabilities: NDArray[np.float32], k: int, labels: Sequence[str], threshold: float = 0.0
) -> tuple[Prediction, ...]:
    """The k most probable classes of one image, probabilities (classes,), most probable first; fewer where fewer reach
    `threshold`.

    What rounding took beyond 0 or 1 is 0 or 1.
    """
    probabilities = np.clip(probabilities, 0, 1)
    k = min(k, len(probabilities))
    candidates = np.flatnonzero(probabilities >= np.partition(probabilities, -k)[-k])
    # Ties in the order of the classes, so that a rerun gives the same row.
    best = candidates[np.argsort(-probabilities[candidates], kind="stable")[:k]]
    return tuple(
        Prediction(int(i), labels[i] if labels else None, float(p))
        for i in best
        if (p := probabilities[i]) >= threshold
    )


def count(rows: Iterable[Row], true_label: str | None) -> Counts:
    """What the rows add up to; `true_label` is the regular expression that finds the true label in a key."""
    pattern = re.compile(true_label) if true_label else None
    by_status: Counter[str] = Counter()
    labelled = correct = correct_top_k = 0
    keys: list[str] = []
    for row in rows:
        keys.append(row.key)
        by_status[row.status] += 1
        match = pattern.search(row.key) if pattern and row.predictions is not None else None
        if match and row.predictions is not None:
            hits = [match[1] in (prediction.label, str(prediction.index)) for prediction in row.predictions]
            labelled += 1
            correct += any(hits[:1])
            correct_top_k += any(hits)
    return Counts(by_status, labelled, correct, correct_top_k, min(keys, default=None), max(keys, default=None))


@dataclass(frozen=True)
class PartFormat:
    """How the rows of one shard are kept: the name depends on the shard alone."""

    prefix: str
    suffix: str

    def name(self, shard: int) -> str:
        return f"{self.prefix}{shard:06d}{self.suffix}"

    def shard(self, name: str) -> int | None:
        """The shard whose part this is, None for any other name."""
        match = re.fullmatch(self.pattern, name)
        return int(match[1]) if match else None

    @property
    def pattern(self) -> str:
        """Matches the names of parts, whose shard is its one group."""
        return re.escape(self.prefix) + r"(\d{6,})" + re.escape(self.suffix)


# The text format's parts are hidden behind a leading underscore: its table is one object, written at the end.
PARTS = {
    "parquet": PartFormat("part-", ".parquet"),
    "jsonl": PartFormat("part-", ".jsonl"),
    "text": PartFormat("_parts/part-", ".jsonl"),
}


def encode(rows: Sequence[Row], true_label: str | None, output_format: str, columns: Columns = PREDICTIONS) -> bytes:
    """The bytes of a part; they depend on the rows, the columns and on what counts as a true label alone."""
    if output_format == "parquet":
        counts = {**count(rows, true_label).to_json(), "true_label": true_label}
        return parquet.encode([_values(row, columns) for row in rows], counts, columns)
    lines = [json.dumps(row_to_json(row, columns), ensure_ascii=False) for row in rows]
    return "".join(line + "\n" for line in lines).encode()


def _values(row: Row, columns: Columns) -> dict[str, Any]:
    """By the names of the columns."""
    values: dict[str, Any] = {"key": row.key, "status": row.status, "error": row.error}
    if columns.has_predictions:
        values["predictions"] = None if row.predictions is None else [asdict(each) for each in row.predictions]
    return values | {column.name: row.vectors.get(column.name) for column in columns.vectors}


def row_to_json(row: Row, columns: Columns) -> dict[str, Any]:
    """What JSON can hold of a row."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in _values(row, columns).items()
    }


def finished_shards(store: Store, output_format: str) -> set[int]:
    """The shards that have their part."""
    part = PARTS[output_format]
    return {shard for name in store.keys(part.prefix) if (shard := part.shard(name)) is not None}


def planned_shards(store: Store, output_format: str, planned: int) -> list[int]:
    """Those of a plan of so many shards that have their part, in order."""
    return sorted(shard for shard in finished_shards(store, output_format) if shard < planned)


def read_counts(store: Store, shard: int, output_format: str, true_label: str | None) -> Counts:
    """What the part of `shard` really holds, its rows alone without a `true_label`.

    Raises EmptyPartError, PartError where it isn't whole.
    """
    name = PARTS[output_format].name(shard)
    if output_format == "parquet":
        tail = store.read_tail(name, parquet.FOOTER_BYTES)
        if not tail:
            raise EmptyPartError(store.name, name)
        if (found := footer_counts(tail, f"{store.name}/{name}", true_label)) is not None:
            return found
    try:
        return count(read_rows(store, shard, output_format, SMALL_PART_BYTES), true_label)
    except TooLargeError:
        with LARGE:
            return count(read_rows(store, shard, output_format), true_label)


def footer_counts(tail: bytes, whole: str, true_label: str | None) -> Counts | None:
    """What the footer of a Parquet part says that the part holds, by its last bytes; None where that was counted with
    another `true_label`. Raises PartError, naming the part as `whole`.
    """
    counts = parquet.read_counts(tail, whole)
    try:
        found = Counts.from_json(counts)
        if true_label is None:
            return replace(found, labelled=0, correct=0, correct_top_k=0)
        return found if counts["true_label"] == true_label else None
    except (KeyError, TypeError, ValueError):
        raise not_a_part(whole) from None


def read_rows(store: Store, shard: int, output_format: str, limit: int = MAX_PART_BYTES) -> Iterator[Row]:
    """The rows of a shard's part, in order. Raises MissingError where there is none, EmptyPartError, PartError where it
    isn't whole, TooLargeError beyond `limit` bytes."""
    name = PARTS[output_format].name(shard)
    data = store.read(name, limit)
    if not data:
        raise EmptyPartError(store.name, name)
    return rows_in(data, f"{store.name}/{name}", output_format)


def rows_in(data: bytes, whole: str, output_format: str) -> Iterator[Row]:
    """The rows of a part with these bytes, in order. Raises PartError, naming the part as `whole`."""
    if output_format == "parquet":
        return _rows(parquet.read_rows(data, whole), whole)
    return rows_of(io.BytesIO(data), whole)  # by \n alone, and a line at a time: copies of all take more than the part


def rows_of(lines: Iterable[bytes], whole: str) -> Iterator[Row]:
    """The rows in some lines of a part of JSON. Raises PartError, naming the part as `whole`."""
    return _rows(_parsed(lines), whole)


def read_table(store: Store, output_format: str, shards: Sequence[int], vector_type: VectorType = "float32") -> Any:
    """The rows of these shards' parts, in order, as an Arrow table. Raises PartError where one isn't whole."""
    part = PARTS[output_format]
    if output_format == "parquet" and shards:
        names = map(part.name, shards)
        return parquet.whole_table((f"{store.name}/{name}", store.read(name, MAX_PART_BYTES)) for name in names)
    rows = [row for shard in shards for row in read_rows(store, shard, output_format)]
    lengths = {name: len(vector) for row in rows for name, vector in row.vectors.items()}
    if any(len(vector) != lengths[name] for row in rows for name, vector in row.vectors.items()):
        raise PartError(f"{store.name}: its vectors have different lengths: not parts of one run")
    vectors = tuple(VectorColumn(name, length, vector_type) for name, length in lengths.items())
    columns = Columns(vectors, not vectors or any(row.predictions is not None for row in rows))
    return parquet.table([_values(row, columns) for row in rows], columns)


def text_lines(store: Store, shard: int) -> Iterator[str]:
    """The lines of a shard in the article's format: Key <key>: Prediction: ['probability=0.381000, class=…', …]."""
    for row in read_rows(store, shard, "text"):
        if row.predictions is None:
            texts = [f"error={row.status}: {row.error}"]
        else:
            texts = [
                f"probability={p.probability:f}, class={p.index if p.label is None else p.label}"
                for p in row.predictions
            ]
        yield f"Key {printable(row.key)}: Prediction: {texts}\n"


def _parsed(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        if len(line) > MAX_ROW_BYTES:
            raise ValueError("too long")
        yield json.loads(line)


def _rows(found: Iterator[Any], name: str) -> Iterator[Row]:
    try:
        yield from map(row_from_json, found)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise not_a_part(name) from None


def row_from_json(data: dict[str, Any]) -> Row:
    """Raises KeyError, TypeError, ValueError or OverflowError where it is none: others may have written it."""
    key, status, error = (data[name] for name in ("key", "status", "error"))
    vectors = {name: value for name, value in data.items() if name not in COLUMNS}
    predictions = data.get("predictions") if vectors else data["predictions"]
    row = Row(
        key,
        status,
        error,
        None if predictions is None else tuple(map(_prediction, predictions)),
        {name: _vector(value) for name, value in vectors.items() if value is not None},
    )
    if not (isinstance(row.key, str) and isinstance(row.status, str) and isinstance(row.error, str | None)):
        raise TypeError("not a row")
    return row


def _vector(value: Any) -> Vector:
    vector = value if isinstance(value, np.ndarray) else np.array(value, np.float32)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("not a vector")
    return vector


def read_vectors(
    store: Store, shard: int, output_format: str, column: str
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Keys and vectors (n, length) of a part's rows that have one, some at a time.

    Raises UsageError where the table has no such column, and what `read_rows` does.
    """
    name = PARTS[output_format].name(shard)
    if output_format == "parquet":
        yield from parquet.read_vectors(store.read(name, MAX_PART_BYTES), column, f"{store.name}/{name}")
        return
    rows = read_rows(store, shard, output_format)
    while some := list(islice(rows, 256)):
        having = [row for row in some if column in row.vectors]
        if not having and any(row.status == RowStatus.OK for row in some):
            found = next((list(row.vectors) for row in some if row.vectors), [])
            raise parquet.no_vectors(f"{store.name}/{name}", column, found)
        if len({len(row.vectors[column]) for row in having}) > 1:
            raise PartError(f"{store.name}/{name}: its vectors have different lengths")
        if having:
            yield [row.key for row in having], np.stack([row.vectors[column] for row in having])


def _prediction(data: dict[str, Any]) -> Prediction:
    found = Prediction(**data)
    if not (type(found.index) is int and isinstance(found.label, str | None) and isinstance(found.probability, float)):
        raise TypeError("not a prediction")
    return found
