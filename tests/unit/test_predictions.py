"""Predictions: the most probable classes in order, parts that hold the rows exactly, and counts that add up."""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mxspark.dataset import predictions
from mxspark.dataset.predictions import (
    PARTS,
    Counts,
    Prediction,
    Row,
    count,
    encode,
    read_counts,
    read_rows,
    text_lines,
    top_k,
)
from mxspark.errors import MxsparkError
from mxspark.storage import FolderStore

TABLES = ("parquet", "jsonl", "text")

# ---- the most probable classes ----

probabilities = arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1, width=32))
with_ties = arrays.arrays(
    np.float32, st.integers(1, 60), elements=st.sampled_from([np.float32(x) for x in (0, 0.1, 0.5)])
)


@given(probabilities | with_ties, st.integers(1, 80))
@settings(deadline=None, max_examples=200)
@example(np.zeros(1000, np.float32), 5)
def test_the_most_probable_come_first_and_of_equals_the_lower_class(values: Any, k: int) -> None:
    expected = sorted(range(len(values)), key=lambda index: (-values[index], index))[:k]

    found = top_k(values, k, ())

    assert [prediction.index for prediction in found] == expected
    assert [prediction.probability for prediction in found] == [float(values[index]) for index in expected]


def test_predictions_carry_the_labels_of_their_classes() -> None:
    found = top_k(np.array([0.1, 0.7, 0.2], np.float32), 2, ["ant", "bee", "cat"])

    assert [(prediction.index, prediction.label) for prediction in found] == [(1, "bee"), (2, "cat")]
    assert top_k(np.array([0.1, 0.7], np.float32), 1, ())[0].label is None


# ---- parts ----

keys = st.text(min_size=1) | st.sampled_from(["a\nb", "a b", '"', "\u2028", "日本", "a//b+%20"])
predicted = st.lists(
    st.builds(Prediction, st.integers(0, 2**31 - 1), st.none() | st.text(), st.floats(0, 1, width=32)),
    min_size=1,
    max_size=3,
).map(tuple)
rows_ok = st.builds(Row, keys, st.just("ok"), st.none(), predicted)
rows_failed = st.builds(Row, keys, st.sampled_from(["missing", "truncated"]), st.none() | st.text(), st.none())
rows_of_a_shard = st.lists(rows_ok | rows_failed, min_size=1, max_size=8)


@given(rows_of_a_shard, st.sampled_from(TABLES))
@settings(deadline=None, max_examples=150)
def test_a_part_holds_its_rows_exactly_and_its_counts(rows: list[Row], output_format: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        counts = count(rows, None)
        store.write(PARTS[output_format].name(3), encode(rows, None, output_format))

        assert list(read_rows(store, 3, output_format)) == rows
        assert read_counts(store, 3, output_format, None) == counts
        assert counts.rows == len(rows)
        assert counts.ok + counts.failed == counts.rows


@given(rows_of_a_shard, st.sampled_from(TABLES))
@settings(deadline=None, max_examples=30)
def test_the_same_rows_are_the_same_bytes(rows: list[Row], output_format: str) -> None:
    assert encode(rows, None, output_format) == encode(rows, None, output_format)


ROWS = (
    Row("a.png", "ok", None, (Prediction(3, "cat", 0.75), Prediction(1, "bee", 0.25))),
    Row("b.png", "missing", "no such file"),
)


def test_pandas_reads_a_parquet_part(tmp_path: Path) -> None:
    path = tmp_path / "part-000000.parquet"
    path.write_bytes(encode(ROWS, None, "parquet"))

    table = pd.read_parquet(path)

    assert list(table.columns) == ["key", "status", "error", "predictions"]
    assert list(table["key"]) == ["a.png", "b.png"]
    assert table["predictions"][0][0] == {"index": 3, "label": "cat", "probability": 0.75}
    assert table["predictions"][1] is None


def test_a_json_part_is_an_object_a_line_that_any_tool_reads() -> None:
    lines = encode(ROWS, None, "jsonl").decode().splitlines()

    assert [json.loads(line) for line in lines] == [
        {
            "key": "a.png",
            "status": "ok",
            "error": None,
            "predictions": [
                {"index": 3, "label": "cat", "probability": 0.75},
                {"index": 1, "label": "bee", "probability": 0.25},
            ],
        },
        {"key": "b.png", "status": "missing", "error": "no such file", "predictions": None},
    ]


def test_the_text_is_the_articles(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    rows = [*ROWS, Row("c.png", "ok", None, (Prediction(7, None, 0.381),))]
    store.write(PARTS["text"].name(0), encode(rows, None, "text"))

    assert list(text_lines(store, 0)) == [
        "Key a.png: Prediction: ['probability=0.750000, class=cat', 'probability=0.250000, class=bee']\n",
        "Key b.png: Prediction: ['error=missing: no such file']\n",
        "Key c.png: Prediction: ['probability=0.381000, class=7']\n",
    ]


@pytest.mark.parametrize("output_format", TABLES)
@pytest.mark.parametrize("cut", [0, 1, 10, -1, -5])
def test_a_part_that_is_cut_is_refused_by_name(tmp_path: Path, output_format: str, cut: int) -> None:
    store = FolderStore(tmp_path)
    name = PARTS[output_format].name(7)
    whole = encode(ROWS, None, output_format)
    if cut == -1 and output_format != "parquet":
        cut = -2  # the last byte of a text is only the end of its line
    store.write(name, whole[:cut])

    with pytest.raises(MxsparkError, match="part-000007"):
        read_counts(store, 7, output_format, None)


@given(st.binary(max_size=200), st.sampled_from(TABLES))
@settings(deadline=None, max_examples=100)
@example(b"[]", "jsonl")
@example(b"null", "jsonl")
@example(b'{"key": "a", "status": "ok", "error": null, "predictions": [{}]}', "jsonl")
@example(b'{"key": "a", "status": "ok", "error": null, "predictions": 3}', "jsonl")
@example(b"PAR1" * 4, "parquet")
def test_any_other_file_in_a_parts_place_is_refused_by_name(content: bytes, output_format: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        store.write(PARTS[output_format].name(7), content)

        with pytest.raises(MxsparkError, match="part-000007"):
            read_counts(store, 7, output_format, None)


def test_a_parquet_file_of_somebody_else_is_not_a_part(tmp_path: Path) -> None:
    (tmp_path / "part-000007.parquet").parent.mkdir(exist_ok=True)
    pd.DataFrame({"key": ["a.png"]}).to_parquet(tmp_path / "part-000007.parquet")

    with pytest.raises(MxsparkError, match="part-000007"):
        read_counts(FolderStore(tmp_path), 7, "parquet", None)


@given(st.integers(0, 10**9), st.sampled_from(TABLES))
@settings(deadline=None, max_examples=50)
def test_a_parts_name_says_its_shard_and_nothing_else_does(shard: int, output_format: str) -> None:
    part = PARTS[output_format]

    assert part.shard(part.name(shard)) == shard
    assert part.shard("x" + part.name(shard)) is None
    assert part.shard(part.name(shard) + ".tmp") is None


def test_parts_sort_by_name_as_their_shards_do() -> None:
    names = [predictions.PARTS["parquet"].name(shard) for shard in (0, 9, 10, 99_999, 999_999)]

    assert names == sorted(names)


# ---- counts ----


def test_accuracy_is_counted_over_the_images_whose_label_is_known() -> None:
    rows = [
        Row("cat/1.png", "ok", None, (Prediction(0, "cat", 0.9), Prediction(1, "dog", 0.1))),
        Row("dog/2.png", "ok", None, (Prediction(0, "cat", 0.9), Prediction(1, "dog", 0.1))),
        Row("cow/3.png", "ok", None, (Prediction(0, "cat", 0.9), Prediction(1, "dog", 0.1))),
        Row("elsewhere.png", "ok", None, (Prediction(0, "cat", 0.9),)),
        Row("cat/4.png", "missing", "no such file"),
    ]

    found = count(rows, "^([a-z]+)/")

    assert (found.labelled, found.correct, found.correct_top_k) == (3, 1, 2)
    assert (found.rows, found.ok, found.failed) == (5, 4, 1)


def test_a_true_label_may_be_the_number_of_the_class() -> None:
    assert count([Row("7_0001.png", "ok", None, (Prediction(7, "seven", 0.9),))], r"^(\d)_").correct == 1


def test_without_a_pattern_no_accuracy_is_counted() -> None:
    assert count(ROWS, None).labelled == 0


some_counts = st.builds(
    Counts,
    st.dictionaries(st.sampled_from(["ok", "missing", "truncated"]), st.integers(1, 99)).map(Counter),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
)


@given(some_counts, some_counts)
@settings(deadline=None, max_examples=50)
def test_counts_add_up_and_survive_json(one: Counts, two: Counts) -> None:
    both = one + two

    assert (both.rows, both.ok, both.failed) == (one.rows + two.rows, one.ok + two.ok, one.failed + two.failed)
    assert both.correct == one.correct + two.correct
    assert Counts.from_json(json.loads(json.dumps(both.to_json()))) == both
