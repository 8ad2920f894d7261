"""Parquet files in and out.

The only place that imports pyarrow.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mxspark.dataset.part_errors import PartError
from mxspark.errors import UsageError, one_line
from mxspark.text.words import listed

PREDICTION = pa.struct([("index", pa.int32()), ("label", pa.string()), ("probability", pa.float32())])
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("predictions", pa.list_(PREDICTION)),
    ]
)
COUNTS = b"mxspark.counts"
FOOTER_BYTES = 64 * 2**10
TEXTS = ("key", "status", "error", "predictions.list.element.label")
LONGEST_TEXT = 4 * 2**16  # bytes of one in a part
MOST_ELEMENTS = 5000  # of a schema, or row groups: of 20,000, one in the other, Arrow runs out of its stack
DEEPEST = 100  # levels of one column in another
LONGEST_KEY = 2**16  # bytes of one in a manifest


def _opened(file: IO[bytes], texts: Sequence[str] = (), metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """Raises ArrowException or OSError where it is no file that can be read."""
    found = pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, thrift_container_size_limit=MOST_ELEMENTS)
    schema = found.metadata.schema
    if any(schema.column(number).path.count(".") > DEEPEST for number in range(len(schema))):
        raise pa.ArrowInvalid(f"columns in more than {DEEPEST} others")
    return found


def encode(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]) -> bytes:
    """The rows as a Parquet file whose footer holds `counts`; the same rows give the same bytes."""
    schema = SCHEMA.with_metadata({COUNTS: json.dumps(counts, sort_keys=True).encode()})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def read_counts(tail: bytes, name: str) -> dict[str, Any]:
    """The counts in the footer of a file whose last bytes are `tail`, and its first and last key.

    Raises PartError where it is not a whole part.
    """
    try:
        # A Parquet footer is found from the end of the file, and holds all that is asked of it.
        metadata = _opened(io.BytesIO(tail)).metadata
        counts: dict[str, Any] = json.loads((metadata.metadata or {})[COUNTS])
        if not isinstance(counts, dict):
            raise TypeError("not counts")
        known = [metadata.row_group(group).column(0).statistics for group in range(metadata.num_row_groups)]
        if known and all(statistics is not None and statistics.has_min_max for statistics in known):
            counts |= {"first": min(each.min for each in known), "last": max(each.max for each in known)}
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise _not_a_part(name, error) from None
    return counts


def read_rows(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The rows, in order. Raises PartError where it is not a whole part."""
    try:
        for batch in _batches(_opened(io.BytesIO(data), TEXTS), None, 256, LONGEST_TEXT):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _not_a_part(name, error) from None


def _batches(table: pq.ParquetFile, columns: Sequence[str] | None, size: int, longest: int) -> Iterator[pa.RecordBatch]:
    """The table in batches, whose texts are still references to each different one: a few bytes may stand for many
    copies of a long one.

    Raises ArrowInvalid where one has more than `longest` bytes.
    """
    import pyarrow.compute as pc  # half of Arrow's import: workers and a run's start do without

    for group in range(table.num_row_groups):
        for column in map(table.metadata.row_group(group).column, range(table.metadata.num_columns)):
            if (
                column.path_in_schema in (columns or TEXTS)
                and column.total_uncompressed_size > (column.num_values + 1) * longest
            ):
                raise pa.ArrowInvalid(f"a text has more than {longest:,} bytes")
    for batch in table.iter_batches(columns=columns, batch_size=size):
        for texts in chain.from_iterable(map(_dictionaries, batch.columns)):
            if (pc.max(pc.binary_length(texts)).as_py() or 0) > longest:
                raise pa.ArrowInvalid(f"a text has more than {longest:,} bytes")
        yield batch


def _dictionaries(array: pa.Array) -> Iterator[pa.Array]:
    """The different texts in a column, or in what is nested in it."""
    if pa.types.is_dictionary(array.type):
        yield array.dictionary
    elif pa.types.is_list(array.type):
        yield from _dictionaries(array.values)
    elif pa.types.is_struct(array.type):
        yield from chain.from_iterable(_dictionaries(array.field(number)) for number in range(array.type.num_fields))


def _not_a_part(name: str, error: Exception) -> PartError:
    return PartError(f"{name}: not a part of this run: {one_line(error)}")


def read_column(file: IO[bytes], column: str, name: str) -> Iterator[str | None]:
    """The texts in a column; streamed. Raises UsageError where the file has no such column of texts."""
    try:
        table = _opened(file)
        if column not in table.schema_arrow.names:
            raise UsageError(
                f"{name}: has no column `{column}`, only {listed(table.schema_arrow.names)}",
                f"Name the column `{column}`.",
            )
        kind = table.schema_arrow.field(column).type
        texts = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(texts) or pa.types.is_large_string(texts)):
            raise UsageError(f"{name}: the column `{column}` holds {kind}, not texts", "Write the keys as strings.")
        table = _opened(file, [column], table.metadata)
        for batch in _batches(table, [column], 4096, LONGEST_KEY):
            keys = batch.column(0)
            keys = keys.dictionary_decode() if pa.types.is_dictionary(keys.type) else keys
            texts = keys.cast(pa.large_binary() if pa.types.is_large_string(keys.type) else pa.binary()).to_pylist()
            yield from (None if text is None else text.decode(errors="surrogateescape") for text in texts)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{name}: not a Parquet file: {one_line(error)}", "Give a manifest as .txt, .csv or .parquet."
        ) from None
