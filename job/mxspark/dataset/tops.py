"""The most probable class of each row, some rows at a time: as arrays, for tables of millions of rows.

With parquet.py the only place that imports pyarrow.
"""

import io
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate, islice
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mxspark.dataset import arrays, parquet, predictions
from mxspark.dataset.part_errors import EmptyPartError, PartError, not_a_part
from mxspark.dataset.predictions import PARTS, Counts, Row
from mxspark.storage import MissingError, Store, TooLargeError

AT_ONCE = 1024  # rows: whose predictions few bytes of a part may stand for
PREDICTIONS = parquet.LISTS
TYPES = [*[parquet.TEXT] * 3, PREDICTIONS]  # of keys, statuses, errors and predictions


@dataclass(frozen=True)
class Texts:
    """n texts, as references to different ones: few bytes of a part may stand for many copies of a long one."""

    different: pa.StringArray  # (m,): those of some rows after those of others, so that one may be there several times
    places: NDArray[np.int64]  # (n,): where each is among the different ones, -1 where there is none

    @classmethod
    def of(cls, *columns: pa.DictionaryArray) -> Self:
        """Those of all these, one after the other."""
        different = [column.dictionary for column in columns]
        starts = np.cumsum([0, *map(len, different[:-1])])
        places = [
            np.where(own < 0, -1, own + start)
            for own, start in zip((_numbers(column.indices) for column in columns), starts, strict=True)
        ]
        return cls(pa.concat_arrays(different), np.concatenate(places))

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
        equal = np.array([each == text for each in self.different.to_pylist()], bool)
        return self.spread(equal, False)  # type: ignore[return-value]

    def counts(self) -> Counter[str]:
        """How often there is each text."""
        numbers = np.bincount(self.places[self.places >= 0], minlength=len(self.different)).tolist()
        found: Counter[str] = Counter()
        for text, number in zip(self.different.to_pylist(), numbers, strict=True):
            if number:
                found[text] += number
        return found


@dataclass(frozen=True)
class Piece:
    """Some rows of a part as Arrow has them. Those of many parts are joined: a few by themselves cost as much."""

    part: str  # its place, for messages
    shard: int
    first: int  # place in the part of the first of them
    columns: tuple[pa.Array, ...]  # of these TYPES
    lines: Sequence[bytes] = ()  # where they are from JSON, whose further predictions aren't in the columns

    @classmethod
    def of(cls, part: str, shard: int, first: int, columns: Sequence[pa.Array], lines: Sequence[bytes] = ()) -> Self:
        """Raises ArrowInvalid or ValueError for what no run writes: others may have."""
        if [column.type for column in columns] != TYPES:
            raise ValueError(f"its columns are {', '.join(str(column.type) for column in columns)}")
        *texts, lists = columns
        texts = [_compact(column) for column in texts]
        for column in (*texts, lists):
            column.validate(full=True)
        index, label, probability = lists.values.flatten()
        if any(column.null_count for column in (*texts[:2], lists.values, index, probability)):
            raise ValueError("keys, statuses, indices or probabilities are missing")
        if any(column.dictionary.null_count for column in (*texts, label)):
            raise ValueError("a dictionary of texts holds nulls")
        if (_numbers(index) < 0).any():
            raise ValueError("an index that no class has")
        if not np.isfinite(_numbers(probability)).all():
            raise ValueError("a probability that isn't finite")
        return cls(part, shard, first, (*texts, lists), lines)

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def bytes(self) -> int:
        return sum(column.get_total_buffer_size() for column in self.columns)

    def row(self, place: int) -> Row:
        """One of them, without its vectors. Raises PartError."""
        if self.lines:
            return next(predictions.rows_of(self.lines[place : place + 1], self.part))
        key, status, error, best = (column[place].as_py() for column in self.columns)
        try:
            return predictions.row_from_json({"key": key, "status": status, "error": error, "predictions": best})
        except (KeyError, TypeError, ValueError) as wrong:
            raise not_a_part(self.part, wrong) from None


@dataclass(frozen=True)
class Tops:
    """n rows of some pieces. A row without a class has index -1 and probability NaN."""

    pieces: Sequence[Piece]
    key_texts: Texts
    status_texts: Texts
    error_texts: Texts
    label_texts: Texts  # of the classes
    indices: NDArray[np.int64]  # (n,)
    probabilities: NDArray[np.float32]  # (n,), 0 to 1

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> Self:
        """The first one of each row's predictions."""
        *texts, some = zip(*(piece.columns for piece in pieces), strict=True)
        lists = pa.concat_arrays(some)
        has_one = _numbers(lists.value_lengths()) > 0
        first = lists.values.take(arrays.numbers(_numbers(lists.offsets)[:-1][has_one]))
        index, label, probability = first.flatten()
        labels = Texts.of(label)
        places, indices = np.full((2, len(has_one)), -1, np.int64)
        probabilities = np.full(len(has_one), np.nan, np.float32)
        places[has_one], indices[has_one] = labels.places, _numbers(index)
        probabilities[has_one] = _numbers(probability)
        key, status, error = (Texts.of(*columns) for columns in texts)
        return cls(pieces, key, status, error, Texts(labels.different, places), indices, probabilities)

    def __len__(self) -> int:
        return len(self.indices)

    def origin(self, place: int) -> tuple[int, int]:
        """The shard of a row, and its place in the part."""
        piece, place = self._piece(place)
        return piece.shard, piece.first + place

    def row(self, place: int) -> Row:
        """As of a piece."""
        piece, place = self._piece(place)
        return piece.row(place)

    def _piece(self, place: int) -> tuple[Piece, int]:
        number = bisect(self._starts, place) - 1
        return self.pieces[number], place - self._starts[number]

    @cached_property
    def _starts(self) -> list[int]:
        """Where each piece begins."""
        return [0, *accumulate(map(len, self.pieces[:-1]))]

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
        """(n,): whose class has the true label as its label; `truths` holds each different one once."""
        by_label = self.label_texts.spread(_places(self.label_texts.different, truths.different), -1)
        found: NDArray[np.bool_] = (by_label == truths.places) & (truths.places >= 0)
        return found


def matching(texts: Texts, pattern: str) -> NDArray[np.bool_] | None:
    """(n,): which texts a regular expression matches from end to end; None where RE2, which takes linear time, doesn't
    know it.
    """
    import pyarrow.compute as pc

    try:
        found = pc.match_substring_regex(texts.different, f"^(?:{pattern})$")
    except pa.ArrowException:
        return None
    return texts.spread(np.array(found.to_pylist(), bool), False)  # type: ignore[return-value]


class Vocabulary:
    """Numbers for texts, in the order in which they come: of `most` different ones at most, of no more than `longest`
    bytes each. `indices` has those that are the index of a class as numbers, -2 for others.
    """

    def __init__(self, most: int, longest: int) -> None:
        self._most, self._longest = most, longest
        self._texts = pa.nulls(0, pa.string())
        self.words: list[str] = []
        self.indices = np.zeros(0, np.int64)

    def numbers(self, texts: Texts) -> NDArray[np.int64]:
        """(n,); -1 where there is no text, or none with a number."""
        found = _places(texts.different, self._texts)
        if (found < 0).any() and len(self.words) < self._most:
            self._learn(texts.different.take(arrays.numbers(np.flatnonzero(found < 0))).unique())
            found = _places(texts.different, self._texts)
        return texts.spread(found, -1)  # type: ignore[return-value]

    def _learn(self, texts: pa.StringArray) -> None:
        """Of different texts, those that aren't too long."""
        short = [place for place, text in enumerate(texts.to_pylist()) if len(text.encode()) <= self._longest]
        new = texts.take(arrays.numbers(np.array(short[: self._most - len(self.words)], np.int64)))
        self._texts = pa.concat_arrays([self._texts, new])
        self.words += new.to_pylist()
        self.indices = np.array([_as_index(word) for word in self.words], np.int64)


def _as_index(word: str) -> int:
    is_index = word.isascii() and word.isdecimal() and len(word) < 12 and (word == "0" or word[0] != "0")
    return int(word) if is_index else -2


def _places(texts: pa.StringArray, among: pa.StringArray) -> NDArray[np.int64]:
    """Where each of the texts is among the others, -1 where it isn't."""
    import pyarrow.compute as pc  # half of Arrow's import: a run's start does without

    return _numbers(pc.index_in(texts, value_set=among)).astype(np.int64)


def _numbers(array: pa.Array) -> NDArray[Any]:
    """Without a copy, and without pandas, which Arrow's own ways import; -1 for those that are missing of integers."""
    if array.null_count:
        array = array.fill_null(MISSING)
    found: NDArray[Any] = np.from_dlpack(array)
    return found


MISSING = arrays.numbers(np.full(1, -1, np.int32))[0]


def read(store: Store, shard: int, output_format: str) -> Iterator[Tops]:
    """Those of a shard's part, nothing where there is none. Raises PartError where it isn't whole, or too large."""
    return (Tops.of([piece]) for piece in pieces(store, shard, output_format))


def pieces(
    store: Store, shard: int, output_format: str, decoding: AbstractContextManager[Any] | None = None
) -> Iterator[Piece]:
    """Those of a shard's part, as `read`; decoded within `decoding`, which may limit how many are at a time."""
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
    with decoding or nullcontext():
        yield from _of_parquet(data, shard, whole) if output_format == "parquet" else _of_json(data, shard, whole)


@dataclass(frozen=True)
class Part:
    """A part that was counted: what it counts to, and its rows, or why these can't be had."""

    counts: Counts
    pieces: tuple[Piece, ...] | PartError | None  # None where it was not read whole
    bytes: int  # that were read for them


def read_part(store: Store, shard: int, output_format: str, true_label: str | None) -> Part:
    """What `predictions.read_counts` reads, and of a part that isn't large the rows out of the same bytes. Raises what
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
        return _counted_json(data, shard, whole, true_label)
    counts = predictions.footer_counts(data[-parquet.FOOTER_BYTES :], whole, true_label)
    if counts is None:
        counts = predictions.count(predictions.rows_in(data, whole, output_format), true_label)
    return Part(counts, _or_error(lambda: _of_parquet(data, shard, whole), whole), len(data))


def _counted_json(data: bytes, shard: int, whole: str, true_label: str | None) -> Part:
    """In one pass, in which only some rows are there at a time."""
    found: list[Piece] = []
    errors: list[PartError] = []

    def rows() -> Iterator[Row]:
        for first, lines, some in _some_rows(data, whole):
            made = _or_error(partial(_of_rows, shard, first, lines, some, whole), whole) if not errors else ()
            if isinstance(made, PartError):
                errors.append(made)
            else:
                found.extend(made)
            yield from some

    counts = predictions.count(rows(), true_label)
    return Part(counts, errors[0] if errors else tuple(found), len(data))


def _or_error(found: Callable[[], Iterator[Piece]], whole: str) -> tuple[Piece, ...] | PartError:
    """What is counted doesn't depend on it."""
    try:
        return tuple(found())
    except PartError as error:
        return error
    except Exception as error:  # noqa: BLE001  # nor may a bug here end a run
        return not_a_part(whole, error)


def _of_json(data: bytes, shard: int, whole: str) -> Iterator[Piece]:
    for first, lines, rows in _some_rows(data, whole):
        yield from _of_rows(shard, first, lines, rows, whole)


def _some_rows(data: bytes, whole: str) -> Iterator[tuple[int, list[bytes], list[Row]]]:
    """Rows of a part of JSON, the place of the first of them, and the lines that they are from."""
    file, first = io.BytesIO(data), 0
    while lines := list(islice(file, AT_ONCE)):
        yield first, lines, list(predictions.rows_of(lines, whole))
        first += len(lines)


def _of_rows(shard: int, first: int, lines: list[bytes], rows: list[Row], whole: str) -> Iterator[Piece]:
    """Of rows at hand, of which only the lines are kept: a row takes ten times the room of its line."""
    best = [row.predictions[:1] if row.predictions else () for row in rows]
    flat = [one for some in best for one in some]
    try:
        values = [
            arrays.integers([one.index for one in flat]),
            _encoded([one.label for one in flat]),
            arrays.numbers(np.array([one.probability for one in flat], np.float32)),
        ]
        columns = [
            _encoded([row.key for row in rows]),
            _encoded([row.status for row in rows]),
            _encoded([row.error for row in rows]),
            arrays.lists(best, pa.StructArray.from_arrays(values, fields=list(PREDICTIONS.value_type))),
        ]
        yield Piece.of(whole, shard, first, columns, lines)
    except (ValueError, OverflowError) as error:
        raise not_a_part(whole, error) from None


def _encoded(texts: Sequence[str | None]) -> pa.DictionaryArray:
    """Raises UnicodeEncodeError for half a character."""
    return arrays.texts(texts).dictionary_encode()


def _of_parquet(data: bytes, shard: int, whole: str) -> Iterator[Piece]:
    try:
        part = parquet.opened_part(data)
        names = [name for name in (*parquet.TEXTS[:3], "predictions") if name in part.schema_arrow.names]
        first = 0
        for batch in parquet.batches(part, names, AT_ONCE, parquet.LONGEST_TEXT):
            lists = [] if "predictions" in names else [pa.nulls(len(batch), PREDICTIONS)]
            yield Piece.of(whole, shard, first, [*batch.columns, *lists])
            first += len(batch)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise not_a_part(whole, error) from None


def _compact(texts: pa.DictionaryArray) -> pa.DictionaryArray:
    """Without the texts of a large part's other rows."""
    if len(texts.dictionary) <= 2 * len(texts):
        return texts
    used = texts.indices.dictionary_encode()
    return pa.DictionaryArray.from_arrays(used.indices, texts.dictionary.take(used.dictionary))


class TrueLabels:
    """The true label in a key, by the regular expression of input.true_label.

    In RE2, which takes linear time: the expression comes from the output, where others may be able to write. `works`
    says whether RE2 can do it: it has no look-ahead and no references.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = _with_names(pattern)
        self.works = self._extracted(pa.nulls(1, pa.string())) is not None

    def of(self, keys: Texts) -> Texts:
        """The label of each key, none where it has none."""
        found = self._extracted(keys.different) if self.works else None
        if found is None:
            return Texts(pa.nulls(0, pa.string()), np.full(len(keys), -1, np.int64))
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
