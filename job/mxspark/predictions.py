"""Rows of predictions, the part files that hold them, and what they count to."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark import parquet
from mxspark.errors import MxsparkError
from mxspark.storage import Store
from mxspark.words import printable

OK = "ok"


@dataclass(frozen=True)
class Prediction:
    """One of the most probable classes."""

    index: int
    label: str | None
    probability: float


@dataclass(frozen=True)
class Row:
    """What became of one image: its most probable classes, or what was wrong with it."""

    key: str
    status: str
    error: str | None = None
    predictions: tuple[Prediction, ...] | None = None


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
        return self.by_status[OK]

    @property
    def failed(self) -> int:
        return self.rows - self.ok

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
        return cls(
            Counter(data["by_status"]), data["labelled"], data["correct"], data["correct_top_k"], data.get("first"), data.get("last")
        )


def top_k(probabilities: NDArray[np.float32], k: int, labels: Sequence[str], threshold: float = 0.0) -> tuple[Prediction, ...]:
    """The k most probable classes of one image, probabilities (classes,), most probable first; fewer where fewer reach `threshold`.

    What rounding took beyond 0 or 1 is 0 or 1.
    """
    probabilities = np.clip(probabilities, 0, 1)
    k = min(k, len(probabilities))
    candidates = np.flatnonzero(probabilities >= np.partition(probabilities, -k)[-k])
    # Ties in the order of the classes, so that a rerun gives the same row.
    best = candidates[np.argsort(-probabilities[candidates], kind="stable")[:k]]
    return tuple(Prediction(int(i), labels[i] if labels else None, float(p)) for i in best if (p := probabilities[i]) >= threshold)


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
        match = re.fullmatch(re.escape(self.prefix) + r"(\d{6,})" + re.escape(self.suffix), name)
        return int(match[1]) if match else None


# The text format's parts are hidden behind a leading underscore: its table is one object, written at the end.
PARTS = {
    "parquet": PartFormat("part-", ".parquet"),
    "jsonl": PartFormat("part-", ".jsonl"),
    "text": PartFormat("_parts/part-", ".jsonl"),
}


def encode(rows: Sequence[Row], true_label: str | None, output_format: str) -> bytes:
    """The bytes of a part; they depend on the rows and on what counts as a true label alone."""
    if output_format == "parquet":
        return parquet.encode([asdict(row) for row in rows], {**count(rows, true_label).to_json(), "true_label": true_label})
    lines = [json.dumps(asdict(row), ensure_ascii=False) for row in rows]
    return "".join(line + "\n" for line in lines).encode()


def read_counts(store: Store, shard: int, output_format: str, true_label: str | None) -> Counts:
    """What the part of `shard` really holds. Raises MxsparkError where it isn't whole."""
    name = PARTS[output_format].name(shard)
    if output_format == "parquet":
        counts = parquet.read_counts(store.read_tail(name, parquet.FOOTER_BYTES), f"{store.name}/{name}")
        try:
            if counts["true_label"] == true_label:
                return Counts.from_json(counts)
        except (KeyError, TypeError, ValueError):
            raise MxsparkError(f"{store.name}/{name}: not a part of this run", "Remove it and run the same command again.") from None
    return count(read_rows(store, shard, output_format), true_label)


def read_rows(store: Store, shard: int, output_format: str) -> Iterator[Row]:
    """The rows of a shard's part, in order. Raises MissingError where there is none, MxsparkError where it isn't whole."""
    name = PARTS[output_format].name(shard)
    data = store.read(name)
    if output_format == "parquet":
        return (_row(row) for row in parquet.read_rows(data, f"{store.name}/{name}"))
    return _json_rows(data, name)


def text_lines(store: Store, shard: int) -> Iterator[str]:
    """The lines of a shard in the article's format: Key <key>: Prediction: ['probability=0.381000, class=…', …]."""
    for row in read_rows(store, shard, "text"):
        if row.predictions is None:
            texts = [f"error={row.status}: {row.error}"]
        else:
            texts = [f"probability={p.probability:f}, class={p.index if p.label is None else p.label}" for p in row.predictions]
        yield f"Key {printable(row.key)}: Prediction: {texts}\n"


def _json_rows(data: bytes, name: str) -> Iterator[Row]:
    try:
        for line in data.decode().rstrip("\n").split("\n"):  # splitlines would split keys with U+2028 too
            yield _row(json.loads(line))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MxsparkError(f"{name}: not a part of this run", "Remove it and run the same command again.") from None


def _row(data: dict[str, Any]) -> Row:
    predictions = data["predictions"]
    return Row(data["key"], data["status"], data["error"], None if predictions is None else tuple(Prediction(**p) for p in predictions))
