"""Parquet: the schema that readers rely on, and manifests in it, the wrong ones told in words."""

import io
import random
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxspark.dataset import arrays, parquet
from mxspark.errors import UsageError
from tests.unit.words import right_or_refused


def parquet_file(**columns: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    buffer.seek(0)
    return buffer


def keys_of(file: io.BytesIO) -> list[str | None]:
    return list(parquet.read_column(file, "key", "keys.parquet"))


def refusal(file: io.BytesIO) -> str:
    with pytest.raises(UsageError) as refused:
        keys_of(file)
    return refused.value.problem


def test_a_part_has_the_documented_schema() -> None:
    data = parquet.encode([{"key": "a", "status": "missing", "error": "gone", "predictions": None}], {})

    schema = pq.read_schema(io.BytesIO(data))

    prediction = pa.struct([("index", pa.int32()), ("label", pa.string()), ("probability", pa.float32())])
    assert [(field.name, field.type) for field in schema] == [
        ("key", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("predictions", pa.list_(pa.field("element", prediction))),
    ]


TEXT = st.text(max_size=4)  # of it Hypothesis makes no half characters that Parquet can't hold
PREDICTION = st.fixed_dictionaries(
    {"index": st.integers(-(2**31), 2**31 - 1), "label": st.none() | TEXT, "probability": st.floats(width=32)}
)
ROW = st.fixed_dictionaries(
    {
        "key": TEXT,
        "status": TEXT,
        "error": st.none() | TEXT,
        "predictions": st.none() | st.lists(PREDICTION, max_size=3),
    }
)


@given(st.lists(ROW, max_size=20), st.integers(1, 5))
def test_a_table_has_what_arrow_makes_of_the_rows(rows: list[dict[str, Any]], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "BATCH_ROWS", at_once)
        found = parquet.table(rows)
    found.validate(full=True)
    expected = pa.Table.from_pylist(rows, found.schema)
    assert repr(found.to_pylist()) == repr(expected.to_pylist())  # NaNs too


def test_numbers_and_texts_that_an_array_cannot_hold_are_refused() -> None:
    for number in (2**31, -(2**31) - 1, 2**80):
        with pytest.raises((pa.ArrowInvalid, OverflowError)):
            arrays.integers([1, number])
    with pytest.raises(pa.ArrowInvalid, match=r"4,294,967,296 bytes or elements in a column of 2 rows"):
        arrays.lists([range(2**31), range(2**31)], arrays.texts([]))
    with pytest.raises(UnicodeEncodeError):
        arrays.texts(["\udce9"])


def test_more_predictions_than_are_read_back_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = {"index": 1, "label": None, "probability": 0.5}
    rows = [{"key": "a", "status": "ok", "error": None, "predictions": [prediction] * 3}] * 2
    for limit, least in (("LONGEST_LIST", 3), ("MOST_PREDICTIONS", 6)):
        monkeypatch.setattr(parquet, limit, least)
        parquet.encode(rows, {})
        monkeypatch.setattr(parquet, limit, least - 1)
        with pytest.raises(UsageError, match=r"6 predictions in 2 rows, 3 in one: .* are the most"):
            parquet.encode(rows, {})
        monkeypatch.undo()


def test_a_part_is_made_and_read_without_pandas_which_takes_half_a_second() -> None:
    program = """
import sys
from mxspark.dataset import arrays, parquet
row = {"key": "a", "status": "ok", "error": None, "predictions": [{"index": 1, "label": None, "probability": 0.5}]}
assert list(parquet.read_rows(parquet.encode([row], {}), "part")) == [row]
print("pandas" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_the_counts_are_read_from_the_end_of_the_file_alone() -> None:
    rows: list[dict[str, Any]] = [
        {"key": random.Random(index).randbytes(500).hex(), "status": "ok", "error": None, "predictions": []}
        for index in range(1024)
    ]
    data = parquet.encode(rows, {"rows": 1024})

    assert len(data) > 4 * parquet.FOOTER_BYTES
    keys = sorted(row["key"] for row in rows)
    assert parquet.read_counts(data[-parquet.FOOTER_BYTES :], "part") == {
        "rows": 1024,
        "first": keys[0],
        "last": keys[-1],
    }


def test_rows_are_read_in_order() -> None:
    rows: list[dict[str, Any]] = [
        {"key": str(index), "status": "ok", "error": None, "predictions": []} for index in range(10)
    ]

    assert list(parquet.read_rows(parquet.encode(rows, {}), "part")) == rows


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_keys_are_read_whatever_kind_of_text_they_are(kind: pa.DataType) -> None:
    assert keys_of(parquet_file(size=[1, 2, 3], key=pa.array(["a.png", "日本.png", "a b"]).cast(kind))) == [
        "a.png",
        "日本.png",
        "a b",
    ]


def test_rows_without_a_key_are_told_apart() -> None:
    assert keys_of(parquet_file(key=["a.png", None, "", "b.png"])) == ["a.png", None, "", "b.png"]


def test_more_keys_than_fit_one_batch_are_all_read_in_order() -> None:
    keys = [f"{number}.png" for number in range(30_000)]

    assert keys_of(parquet_file(key=keys)) == keys


def test_a_file_without_the_column_is_refused_with_those_it_has() -> None:
    refused = refusal(parquet_file(path=["a.png"], size=[1]))

    assert "keys.parquet" in refused
    assert "path, size" in refused


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([1, 2]).dictionary_encode(), pa.array([["a"], ["b"]])])
def test_a_column_of_other_things_than_texts_is_refused_with_what_it_holds(column: pa.Array) -> None:
    refused = refusal(parquet_file(key=column))

    assert "keys.parquet" in refused
    assert "int64" in refused or "list" in refused


def test_a_file_that_is_not_parquet_is_refused_by_name() -> None:
    for content in (b"", b"key\na.png\n", b"PAR1", b"PAR1" * 10):
        assert "keys.parquet" in refusal(io.BytesIO(content))


WHOLE = parquet_file(key=[f"{number}.png" for number in range(100)]).getvalue()


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
def test_a_damaged_file_is_read_or_refused_by_name_but_never_a_crash(position: int, noise: bytes) -> None:
    damaged = WHOLE[:position] + noise + WHOLE[position + len(noise) :]
    with right_or_refused("keys.parquet"):
        keys_of(io.BytesIO(damaged))


@given(st.integers(0, len(WHOLE) - 1))
@settings(deadline=None, max_examples=30)
def test_a_file_that_is_cut_is_refused_by_name(length: int) -> None:
    assert "keys.parquet" in refusal(io.BytesIO(WHOLE[:length]))
