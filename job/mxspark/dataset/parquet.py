"""Parquet files in and out.

With arrays.py and tops.py the only place that imports pyarrow.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mxspark.dataset import arrays
from mxspark.dataset.columns import PREDICTIONS, Columns, Vector, VectorColumn
from mxspark.dataset.part_errors import not_a_part
from mxspark.errors import UsageError, one_line
from mxspark.text.words import listed

PREDICTION = pa.struct([("index", pa.int32()), ("label", pa.string()), ("probability", pa.float32())])
FIELDS = [
    pa.field("key", pa.string(), nullable=False),
    pa.field("status", pa.string(), nullable=False),
    pa.field("error", pa.string()),
]
PREDICTIONS_FIELD = pa.field("predictions", pa.list_(PREDICTION))
COUNTS = b"mxspark.counts"
FOOTER_BYTES = 64 * 2**10
NUMBERS = ("predictions.list.element.index", "predictions.list.element.probability")
TEXTS = ("key", "status", "error", "predictions.list.element.label")
# As parts are read: with texts as references.
TEXT = pa.dictionary(pa.int32(), pa.string())
LISTS = pa.list_(pa.struct([("index", pa.int32()), ("label", TEXT), ("probability", pa.float32())]))
LONGEST_TEXT = 4 * 2**16  # bytes of one in a part
MOST_ELEMENTS = 5000  # of a schema, or row groups: of 20,000, one in the other, Arrow runs out of its stack
DEEPEST = 100  # levels of one column in another
LONGEST_VECTOR = 2**16  # numbers of one in a part
LONGEST_KEY = 2**16  # bytes of one in a manifest
BATCH_ROWS = 2**16  # whose texts must have fewer than 2 GiB
# Few bytes may stand for many equal predictions: of a row, of a group of rows, and as Python's objects at a time.
LONGEST_LIST, MOST_PREDICTIONS, MOST_OBJECTS = 2**16, 2**25, 2**18
MOST_BYTES = 2**32  # of a part's rows with their texts, where these are read whole


def opened(file: IO[bytes], texts: Sequence[str] = (), metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """Raises ArrowException or OSError where it is no file that can be read."""
    found = pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, thrift_container_size_limit=MOST_ELEMENTS)
    schema = found.metadata.schema
    if any(schema.column(number).path.count(".") > DEEPEST for number in range(len(schema))):
        raise pa.ArrowInvalid(f"columns in more than {DEEPEST} others")
    return found


def opened_part(data: bytes) -> pq.ParquetFile:
    """A part, whose texts are read as references to the different ones. Raises what `opened` does, and KeyError."""
    try:
        found = opened(pa.BufferReader(data), TEXTS)
    except KeyError:
        found = opened(pa.BufferReader(data), TEXTS[:3])
        if "predictions" in found.schema_arrow.names:  # a table of vectors alone has none
            raise
    known = {**dict.fromkeys(TEXTS[:3], TEXT), "predictions": LISTS}
    for column in found.schema_arrow:
        if column.type != known.get(column.name) and (column.name in known or not _is_vector(column.type)):
            raise pa.ArrowInvalid(f"a column that no run writes: {column.name[:40]!r}, {str(column.type)[:100]}")
    return found


def encode(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, Any], columns: Columns = PREDICTIONS) -> bytes:
    """The rows as a Parquet file whose footer holds `counts`; the same rows give the same bytes."""
    found = table(rows, columns)
    found = found.replace_schema_metadata({COUNTS: json.dumps(counts, sort_keys=True).encode()})
    buffer = io.BytesIO()
    # Of a vector's numbers hardly two are equal: a dictionary of them only costs time.
    pq.write_table(found, buffer, compression="zstd", use_dictionary=[*TEXTS, *NUMBERS])
    return buffer.getvalue()


def table(rows: Sequence[Mapping[str, Any]], columns: Columns = PREDICTIONS) -> pa.Table:
    """The rows as an Arrow table."""
    fields = [
        *FIELDS,
        *([PREDICTIONS_FIELD] if columns.has_predictions else []),
        *(pa.field(column.name, _vector_type(column), nullable=False) for column in columns.vectors),
    ]
    batches = [_batch(rows[start : start + BATCH_ROWS], columns) for start in range(0, len(rows), BATCH_ROWS)]
    return pa.Table.from_arrays(
        [pa.chunked_array([batch[number] for batch in batches], field.type) for number, field in enumerate(fields)],
        schema=pa.schema(fields),
    )


def _batch(rows: Sequence[Mapping[str, Any]], columns: Columns) -> list[pa.Array]:
    """The rows' columns. Their arrays are made of buffers: of Python's values Arrow makes none before it has imported
    pandas where that is installed, in each worker anew.
    """
    return [
        *(arrays.texts([row[field.name] for row in rows]) for field in FIELDS),
        *([_predictions([row["predictions"] for row in rows])] if columns.has_predictions else []),
        *(_vectors([row.get(column.name) for row in rows], column) for column in columns.vectors),
    ]


def _predictions(lists: Sequence[Sequence[Mapping[str, Any]] | None]) -> pa.Array:
    """Raises UsageError where there are more than can be read back."""
    flat = list(chain.from_iterable(found or () for found in lists))
    longest = max((len(found or ()) for found in lists), default=0)
    if longest > LONGEST_LIST or len(flat) > MOST_PREDICTIONS:
        raise UsageError(
            f"{len(flat):,} predictions in {len(lists):,} rows, {longest:,} in one: {MOST_PREDICTIONS:,} and "
            f"{LONGEST_LIST:,} are the most",
            "Give a smaller top_k or plan.shard_size.",
        )
    structs = pa.StructArray.from_arrays(
        [
            arrays.integers([one["index"] for one in flat]),
            arrays.texts([one["label"] for one in flat]),
            arrays.numbers(np.array([one["probability"] for one in flat], np.float32)),
        ],
        fields=list(PREDICTION),
    )
    return arrays.lists(lists, structs)


def whole_table(parts: Iterable[tuple[str, bytes]]) -> pa.Table:
    """The rows of Parquet files, by name, as one Arrow table; there is one at least.

    Raises PartError for what is none of one run.
    """
    tables = []
    for name, data in parts:
        try:
            tables.append(_whole(data))
            tables[-1].validate(full=True)
            if tables[-1].schema != tables[0].schema:
                raise pa.ArrowInvalid("its columns are not those of the part before")
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise not_a_part(name, error) from None
    return pa.concat_tables(tables)


def _whole(data: bytes) -> pa.Table:
    """A part's rows with their texts. Raises ArrowInvalid where few bytes stand for more than a part has."""
    import pyarrow.compute as pc

    schema = opened(io.BytesIO(data)).schema_arrow.remove_metadata()
    found, size = [], 0
    for batch in part_batches(opened_part(data), 2**16):
        for texts in chain.from_iterable(map(_referred, batch.columns)):
            size += pc.sum(pc.binary_length(texts.dictionary).take(texts.indices)).as_py() or 0
        size += batch.nbytes
        if size > MOST_BYTES:
            raise pa.ArrowInvalid(f"its rows have more than {MOST_BYTES:,} bytes")
        found.append(batch.cast(schema))
    return pa.Table.from_batches(found, schema)


def _vector_type(column: VectorColumn) -> pa.DataType:
    # Not null within: readers then know that there is a number in each place.
    number = pa.float16() if column.type == "float16" else pa.float32()
    return pa.list_(pa.field("element", number, nullable=False), column.length)


def _vectors(vectors: Sequence[Vector | None], column: VectorColumn) -> pa.Array:
    """An Arrow array of vectors, without Python's numbers: of 1,000 vectors there are a million.

    Where there is none it has NaNs: Arrow can't read back a fixed-size list that is null (as of 25.0).
    """
    numbers = np.full((len(vectors), column.length), np.nan, column.type)
    for place, vector in enumerate(vectors):
        if vector is not None:
            numbers[place] = vector
    return pa.FixedSizeListArray.from_arrays(arrays.numbers(numbers.reshape(-1)), type=_vector_type(column))


def read_counts(tail: bytes, name: str) -> dict[str, Any]:
    """The counts in the footer of a file whose last bytes are `tail`, and its first and last key.

    Raises PartError where it is not a whole part.
    """
    try:
        # A Parquet footer is found from the end of the file, and holds all that is asked of it.
        metadata = opened(io.BytesIO(tail)).metadata
        counts: dict[str, Any] = json.loads((metadata.metadata or {})[COUNTS])
        if not isinstance(counts, dict):
            raise TypeError("not counts")
        known = [metadata.row_group(group).column(0).statistics for group in range(metadata.num_row_groups)]
        if known and all(statistics is not None and statistics.has_min_max for statistics in known):
            counts |= {"first": min(each.min for each in known), "last": max(each.max for each in known)}
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise not_a_part(name, error) from None
    return counts


def read_rows(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The rows, in order, with vectors as NumPy's arrays. Raises PartError where it is not a whole part."""
    try:
        table = opened_part(data)
        vectors = _vectors_in(table)
        for batch in chain.from_iterable(map(_few, part_batches(table, 256))):
            rows = batch.drop_columns(vectors).to_pylist() if vectors else batch.to_pylist()
            for column in vectors:
                for row, vector in zip(rows, _unpacked(batch.column(column)), strict=True):
                    row[column] = None if np.isnan(vector).all() else vector
            yield from rows
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise not_a_part(name, error) from None


def read_vectors(data: bytes, column: str, name: str) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Keys and vectors (n, length) of the rows that have one, some at a time.

    Raises UsageError where there is no such column of vectors, PartError where it is not a whole part.
    """
    try:
        table = opened(io.BytesIO(data))
        found = _vectors_in(table)
        if column not in found:
            raise no_vectors(name, column, found)
        length = table.schema_arrow.field(column).type.list_size
        table = opened(io.BytesIO(data), ["key"], table.metadata)
        for batch in batches(table, ["key", column], _batch_size(length), LONGEST_TEXT):
            kind = batch.column(0).type
            if not (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)):
                raise pa.ArrowInvalid("the keys are no texts")
            vectors = _unpacked(batch.column(1)).astype(np.float32, copy=False)
            is_there = ~np.isnan(vectors).any(axis=1)
            yield batch.column(0).filter(pa.array(is_there)).to_pylist(), vectors[is_there]
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise not_a_part(name, error) from None


def part_batches(part: pq.ParquetFile, most: int) -> Iterator[pa.RecordBatch]:
    """All columns of a part in batches of `most` rows. Raises what `batches` does."""
    numbers = sum(part.schema_arrow.field(name).type.list_size for name in _vectors_in(part))
    return batches(part, None, _batch_size(numbers, most), LONGEST_TEXT)


def _vectors_in(part: pq.ParquetFile) -> list[str]:
    return [each.name for each in part.schema_arrow if _is_vector(each.type)]


def _few(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """The batch, or each of its rows, where all of it takes too much memory as Python's objects."""
    lists = [column.values for column in batch.columns if pa.types.is_list(column.type)]
    is_small = sum(map(len, lists)) <= MOST_OBJECTS
    return [batch] if is_small else [batch.slice(row, 1) for row in range(len(batch))]


def _batch_size(numbers: int, most: int = 256) -> int:
    """The rows with so many numbers in vectors that are read at a time: few bytes may stand for many numbers."""
    return min(most, max(1, 2**22 // max(numbers, 1)))


def no_vectors(name: str, column: str, found: Sequence[str]) -> UsageError:
    """The error where a table's part `name` lacks `column`, but has these."""
    has = f"it has {listed(found)}" if found else "it has none"
    hint = "Name one: --column." if found else "Vectors are written where output.kind is vector, or for output.also."
    return UsageError(f"{name}: has no column {column!r} of vectors; {has}", hint)


def _is_vector(kind: pa.DataType) -> bool:
    """Whether a column holds vectors; not longer ones than are written, which few bytes may stand for."""
    is_list: bool = pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)
    return is_list and 0 < kind.list_size <= LONGEST_VECTOR


def _unpacked(vectors: pa.Array) -> Vector:
    """The vectors as an array (n, length). Raises ValueError where some are missing, which isn't written."""
    numbers: Vector = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), vectors.type.list_size)
    return numbers


def batches(table: pq.ParquetFile, columns: Sequence[str] | None, size: int, longest: int) -> Iterator[pa.RecordBatch]:
    """The table in batches, whose texts are still references to each different one: a few bytes may stand for many
    copies of a long one.

    Raises ArrowInvalid where one has more than `longest` bytes.
    """
    import pyarrow.compute as pc  # half of Arrow's import: workers and a run's start do without

    for group in range(table.num_row_groups):
        for column in map(table.metadata.row_group(group).column, range(table.metadata.num_columns)):
            if column.path_in_schema.startswith("predictions.") and column.num_values > MOST_PREDICTIONS:
                raise pa.ArrowInvalid(f"it has more than {MOST_PREDICTIONS:,} predictions")
            if (
                column.path_in_schema in (columns or TEXTS)
                and column.total_uncompressed_size > (column.num_values + 1) * longest
            ):
                raise pa.ArrowInvalid(f"a text has more than {longest:,} bytes")
    for batch in table.iter_batches(
        columns=columns,
        batch_size=size,
        use_threads=False,  # for a thousand rows they cost more than they bring
    ):
        for texts in (each.dictionary for each in chain.from_iterable(map(_referred, batch.columns))):
            if texts.nbytes > longest and pc.max(pc.binary_length(texts)).as_py() > longest:
                raise pa.ArrowInvalid(f"a text has more than {longest:,} bytes")
        for lists in (column for column in batch.columns if pa.types.is_list(column.type)):
            if len(lists.values) > LONGEST_LIST and pc.max(lists.value_lengths()).as_py() > LONGEST_LIST:
                raise pa.ArrowInvalid(f"a row has more than {LONGEST_LIST:,} predictions")
        yield batch


def _referred(array: pa.Array) -> Iterator[pa.DictionaryArray]:
    """The texts in a column, or in what is nested in it, as references to the different ones."""
    if pa.types.is_dictionary(array.type):
        yield array
    elif pa.types.is_list(array.type):
        yield from _referred(array.values)
    elif pa.types.is_struct(array.type):
        yield from chain.from_iterable(_referred(array.field(number)) for number in range(array.type.num_fields))


def read_column(file: IO[bytes], column: str, name: str) -> Iterator[str | None]:
    """The texts in a column; streamed. Raises UsageError where the file has no such column of texts."""
    try:
        table = opened(file)
        if column not in table.schema_arrow.names:
            raise UsageError(
                f"{name}: has no column `{column}`, only {listed(table.schema_arrow.names)}",
                f"Name the column `{column}`.",
            )
        kind = table.schema_arrow.field(column).type
        texts = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(texts) or pa.types.is_large_string(texts)):
            raise UsageError(f"{name}: the column `{column}` holds {kind}, not texts", "Write the keys as strings.")
        table = opened(file, [column], table.metadata)
        for batch in batches(table, [column], 4096, LONGEST_KEY):
            keys = batch.column(0)
            keys = keys.dictionary_decode() if pa.types.is_dictionary(keys.type) else keys
            texts = keys.cast(pa.large_binary() if pa.types.is_large_string(keys.type) else pa.binary()).to_pylist()
            yield from (None if text is None else text.decode(errors="surrogateescape") for text in texts)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{name}: not a Parquet file: {one_line(error)}", "Give a manifest as .txt, .csv or .parquet."
        ) from None
