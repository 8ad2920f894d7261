"""The most probable class of each row, some rows at a time: as arrays, for tables of millions of rows.

With parquet.py the only place that imports pyarrow.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mxspark.dataset import parquet, predictions
from mxspark.dataset.part_errors import EmptyPartError, PartError
from mxspark.dataset.predictions import PARTS, Counts, Row
from mxspark.errors import one_line
from mxspark.storage import MissingError, Store, TooLargeError

AT_ONCE = 1024  # rows: whose predictions few bytes of a part may stand for
HIGHEST_INDEX = 2**31 - 1  # of a class


@dataclass(frozen=True)
class Texts:
    """n texts, each different one held once: few bytes of a part may stand for many copies of a long one."""

    different: pa.StringArray  # (m,)
    places: NDArray[np.int64]  # (n,): where each is among the different ones, -1 where there is none

    @classmethod
    def of(cls, column: pa.Array) -> Self:
        """Raises ArrowInvalid where it is no dictionary of texts."""
        if not (pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type)):
            raise pa.ArrowInvalid(f"a column of texts holds {column.type}")
        if column.dictionary.null_count:
            raise pa.ArrowInvalid("a dictionary of texts holds nulls")
        indices = column.indices.fill_null(-1) if column.null_count else column.indices
        places = indices.to_numpy(zero_copy_only=False).astype(np.int64)
        if len(column.dictionary) <= 2 * len(places):
            return cls(column.dictionary, places)
        used, among_used = np.unique(places[places >= 0], return_inverse=True)  # of a large part, those of these rows
        found = np.full(len(places), -1, np.int64)
        found[places >= 0] = among_used
        return cls(column.dictionary.take(pa.array(used)), found)

    @classmethod
    def of_texts(cls, texts: Sequence[str | None]) -> Self:
        """Raises UnicodeEncodeError for half a character."""
        return cls.of(pa.array(texts, pa.string()).dictionary_encode())

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> str | None:
        place = int(self.places[row])
        return None if place < 0 else str(self.different[place])

    def spread(self, values: NDArray[np.generic], missing: object) -> NDArray[np.generic]:
        """A value for each of the different texts (m,), as one for each text (n,)."""
        return np.append(values, np.array([missing], values.dtype))[self.places]

    def to_numpy(self) -> NDArray[np.object_]:
        """(n,) of texts and None: by way of NumPy, which takes a tenth of the time of Arrow's own lists."""
        return self.spread(self.different.to_numpy(zero_copy_only=False), None)  # type: ignore[return-value]

    def are(self, text: str) -> NDArray[np.bool_]:
        """(n,): which are this text."""
        import pyarrow.compute as pc  # half of Arrow's import: a run's start does without

        equal = pc.equal(self.different, text).to_numpy(zero_copy_only=False)
        return self.spread(equal, False)  # type: ignore[return-value]

    def counts(self) -> Counter[str]:
        """How often there is each text."""
        numbers = np.bincount(self.places[self.places >= 0], minlength=len(self.different)).tolist()
        found: Counter[str] = Counter()
        for text, number in zip(self.different.to_pylist(), numbers, strict=True):
            if number:
                found[text] += number
        return found

    def places_of(self, others: pa.StringArray) -> NDArray[np.int64]:
        """Where each of these texts is among the different ones, -2 where it isn't."""
        import pyarrow.compute as pc

        found = pc.index_in(others, value_set=self.different).fill_null(-2)
        return found.to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Tops:
    """n rows of a part. A row without a class has index -1 and probability NaN."""

    first: int  # place in the part of the first of them
    key_texts: Texts
    status_texts: Texts
    error_texts: Texts
    label_texts: Texts  # of the classes
    indices: NDArray[np.int64]  # (n,)
    probabilities: NDArray[np.float32]  # (n,), 0 to 1
    row: Callable[[int], Row]  # one of them, without its vectors; raises PartError

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def keys(self) -> NDArray[np.object_]:
        """(n,) of texts."""
        return self.key_texts.to_numpy()

    @cached_property
    def statuses(self) -> NDArray[np.object_]:
        """(n,) of texts."""
        return self.status_texts.to_numpy()

    @cached_property
    def errors(self) -> NDArray[np.object_]:
        """(n,) of texts, None where there is none."""
        return self.error_texts.to_numpy()

    @cached_property
    def labels(self) -> Mapping[int, str]:
        """Of the classes among `indices`, as far as they have one."""
        return self.labels_of(self.indices >= 0)

    def labels_of(self, rows: NDArray[np.bool_]) -> dict[int, str]:
        """Those of the classes of some rows (n,)."""
        classes, places = np.unique(self.indices[rows], return_index=True)
        places = np.flatnonzero(rows)[places]
        found = {index: self.label_texts[place] for index, place in zip(classes.tolist(), places.tolist(), strict=True)}
        return {index: label for index, label in found.items() if label is not None}

    def have_label(self, truths: Texts) -> NDArray[np.bool_]:
        """(n,): whose class has the true label as its label."""
        by_label = self.label_texts.spread(truths.places_of(self.label_texts.different), -2)
        found: NDArray[np.bool_] = by_label == truths.places
        return found


class Vocabulary:
    """Numbers for texts, in the order in which they come: of `most` different ones at most, of no more than `longest`
    bytes each. `indices` has those that are the index of a class as numbers, -2 for others.
    """

    def __init__(self, most: int, longest: int) -> None:
        self._most, self._longest = most, longest
        self._texts = Texts(pa.array([], pa.string()), np.zeros(0, np.int64))
        self.words: list[str] = []
        self.indices = np.zeros(0, np.int64)

    def numbers(self, texts: Texts) -> NDArray[np.int64]:
        """(n,); -1 where there is no text, or none with a number."""
        found = self._texts.places_of(texts.different)
        if (found < 0).any() and len(self.words) < self._most:
            self._learn(texts.different.filter(pa.array(found < 0)))
            found = self._texts.places_of(texts.different)
        return texts.spread(np.maximum(found, -1), -1)  # type: ignore[return-value]

    def _learn(self, texts: pa.StringArray) -> None:
        new = [text for text in texts.unique().to_pylist() if len(text.encode()) <= self._longest]
        new = new[: self._most - len(self.words)]
        self.words += new
        self.indices = np.append(self.indices, np.array([_as_index(word) for word in new], np.int64))
        self._texts = Texts(pa.array(self.words, pa.string()), np.arange(len(self.words)))


def _as_index(word: str) -> int:
    is_index = word.isascii() and word.isdecimal() and len(word) < 12 and (word == "0" or word[0] != "0")
    return int(word) if is_index else -2


def read(store: Store, shard: int, output_format: str) -> Iterator[Tops]:
    """Those of a shard's part, nothing where there is none. Raises PartError where it isn't whole, or too large."""
    name = PARTS[output_format].name(shard)
    whole = f"{store.name}/{name}"
    try:
        data = store.read(name, predictions.MAX_PART_BYTES)
    except MissingError:
        return
    except TooLargeError as error:
        raise PartError(error.problem) from None
    if not data:
        raise EmptyPartError(store.name, name)
    yield from _of_parquet(data, whole) if output_format == "parquet" else _of_json(data, whole)


@dataclass(frozen=True)
class Part:
    """A part that was counted: what it counts to, and its rows' classes, or why these can't be had."""

    counts: Counts
    tops: tuple[Tops, ...] | PartError | None  # None where it was not read whole
    bytes: int  # that were read for them


def read_part(store: Store, shard: int, output_format: str, true_label: str | None) -> Part:
    """What `predictions.read_counts` reads, and of a part that isn't large the tops out of the same bytes. Raises what
    that raises.
    """
    name = PARTS[output_format].name(shard)
    whole = f"{store.name}/{name}"
    try:
        data = store.read(name, predictions.SMALL_PART_BYTES)
    except TooLargeError:
        return Part(predictions.read_counts(store, shard, output_format, true_label), None, 0)
    if not data:
        raise EmptyPartError(store.name, name)
    if output_format != "parquet":
        return _counted_json(data, whole, true_label)
    counts = predictions.footer_counts(data[-parquet.FOOTER_BYTES :], whole, true_label)
    if counts is None:
        counts = predictions.count(predictions.rows_in(data, whole, output_format), true_label)
    return Part(counts, _or_error(lambda: _of_parquet(data, whole), whole), len(data))


def _counted_json(data: bytes, whole: str, true_label: str | None) -> Part:
    """In one pass, in which only some rows are there at a time."""
    found: list[Tops] = []
    errors: list[PartError] = []

    def rows() -> Iterator[Row]:
        for first, lines, some in _some_rows(data, whole):
            made = _or_error(partial(_of_rows, first, lines, some, whole), whole) if not errors else ()
            if isinstance(made, PartError):
                errors.append(made)
            else:
                found.extend(made)
            yield from some

    counts = predictions.count(rows(), true_label)
    return Part(counts, errors[0] if errors else tuple(found), len(data))


def _or_error(found: Callable[[], Iterator[Tops]], whole: str) -> tuple[Tops, ...] | PartError:
    """What is counted doesn't depend on it."""
    try:
        return tuple(found())
    except PartError as error:
        return error
    except Exception as error:  # noqa: BLE001  # nor may a bug here end a run
        return _not_a_part(whole, error)


def _not_a_part(whole: str, error: Exception) -> PartError:
    return PartError(f"{whole}: not a part of this run: {one_line(error)}")


def _of_json(data: bytes, whole: str) -> Iterator[Tops]:
    for first, lines, rows in _some_rows(data, whole):
        yield from _of_rows(first, lines, rows, whole)


def _some_rows(data: bytes, whole: str) -> Iterator[tuple[int, list[bytes], list[Row]]]:
    """Rows of a part of JSON, the place of the first of them, and the lines that they are from."""
    file, first = io.BytesIO(data), 0
    while lines := list(islice(file, AT_ONCE)):
        yield first, lines, list(predictions.rows_of(lines, whole))
        first += len(lines)


def _of_rows(first: int, lines: list[bytes], rows: list[Row], whole: str) -> Iterator[Tops]:
    """Of rows at hand, of which only the lines are kept: a row takes ten times the room of its line."""
    best = [row.predictions[0] if row.predictions else None for row in rows]
    try:
        has_class = np.array([one is not None for one in best], bool)
        indices = np.array([-1 if one is None else one.index for one in best], np.int64)
        with np.errstate(over="ignore"):
            probabilities = np.array([np.nan if one is None else one.probability for one in best], np.float32)
        _check(indices[has_class], probabilities[has_class])
        yield Tops(
            first,
            Texts.of_texts([row.key for row in rows]),
            Texts.of_texts([row.status for row in rows]),
            Texts.of_texts([row.error for row in rows]),
            Texts.of_texts([None if one is None else one.label for one in best]),
            indices,
            probabilities,
            lambda place: next(predictions.rows_of(lines[place : place + 1], whole)),
        )
    except (ValueError, OverflowError) as error:
        raise _not_a_part(whole, error) from None


def _check(indices: NDArray[np.int64], probabilities: NDArray[np.float32]) -> None:
    """Raises ValueError for what no run writes: others may have."""
    if ((indices < 0) | (indices > HIGHEST_INDEX)).any():
        raise ValueError("an index that no class has")
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability that isn't finite")


def _of_parquet(data: bytes, whole: str) -> Iterator[Tops]:
    try:
        table = parquet.opened(pa.BufferReader(data))
        has_predictions = "predictions" in table.schema_arrow.names
        wanted = [*parquet.TEXTS[:3], *(["predictions"] if has_predictions else [])]
        if has_predictions and table.schema_arrow.field("predictions").type != parquet.PREDICTIONS_FIELD.type:
            raise pa.ArrowInvalid("its predictions are of another type")
        texts = parquet.TEXTS if has_predictions else parquet.TEXTS[:3]
        table = parquet.opened(pa.BufferReader(data), texts, table.metadata)
        first = 0
        for batch in parquet.batches(table, wanted, AT_ONCE, parquet.LONGEST_TEXT):
            if any(batch.column(column).null_count for column in parquet.TEXTS[:2]):
                raise pa.ArrowInvalid("keys or statuses are missing")
            key, status, error = (Texts.of(batch.column(column)) for column in parquet.TEXTS[:3])
            best = _first_of(batch.column("predictions") if has_predictions else None, len(batch))
            yield Tops(first, key, status, error, *best, _row_of(batch, whole))
            first += len(batch)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise _not_a_part(whole, error) from None


def _row_of(batch: pa.RecordBatch, whole: str) -> Callable[[int], Row]:
    def row(place: int) -> Row:
        try:
            (values,) = batch.slice(place, 1).to_pylist()
            return predictions.row_from_json({"predictions": None, **values})
        except (KeyError, TypeError, ValueError) as error:
            raise _not_a_part(whole, error) from None

    return row


def _first_of(lists: pa.Array | None, rows: int) -> tuple[Texts, NDArray[np.int64], NDArray[np.float32]]:
    """Of each list of predictions the first one's label, index and probability."""
    places = np.full(rows, -1, np.int64)
    indices, probabilities = places.copy(), np.full(rows, np.nan, np.float32)
    if lists is None:
        return Texts(pa.array([], pa.string()), places), indices, probabilities
    offsets = lists.offsets.to_numpy()
    has_one = (offsets[1:] > offsets[:-1]) & lists.is_valid().to_numpy(zero_copy_only=False)
    first = pa.array(offsets[:-1][has_one])
    index, label, probability = (lists.values.field(number).take(first) for number in range(3))
    if index.null_count or probability.null_count:
        raise pa.ArrowInvalid("a prediction has no index or no probability")
    labels = Texts.of(label)
    places[has_one], indices[has_one], probabilities[has_one] = labels.places, index.to_numpy(), probability.to_numpy()
    _check(indices[has_one], probabilities[has_one])
    return Texts(labels.different, places), indices, probabilities


class TrueLabels:
    """The true label in a key, by the regular expression of input.true_label.

    In RE2, which takes linear time: the expression comes from the output, where others may be able to write. `works`
    says whether RE2 can do it: it has no look-ahead and no references.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = _with_names(pattern)
        self.works = self._extracted(pa.array(["x"], pa.string())) is not None

    def of(self, keys: Texts) -> Texts:
        """The label of each key, none where it has none."""
        found = self._extracted(keys.different) if self.works else None
        if found is None:
            return Texts(pa.array([], pa.string()), np.full(len(keys), -1, np.int64))
        labels = Texts.of(found)
        return Texts(labels.different, keys.spread(labels.places, -1))  # type: ignore[arg-type]

    def _extracted(self, texts: pa.StringArray) -> pa.DictionaryArray | None:
        """What the group `label` matches in each; None where it is no such pattern."""
        import pyarrow.compute as pc

        try:
            return pc.struct_field(pc.extract_regex(texts, self._pattern), "label").dictionary_encode()
        except pa.ArrowException:
            return None


def _with_names(pattern: str) -> str:
    """The expression with its first group called `label`, and the other ones as groups that aren't kept."""
    names = iter(["(?P<label>"])
    text = re.sub(
        r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?P<\w+>|(?!\?))",
        lambda match: next(names, "(?:") if match[0].startswith("(") else match[0],
        pattern,
        flags=re.DOTALL,
    )
    return re.sub(r"\\Z", r"\\z", text)
