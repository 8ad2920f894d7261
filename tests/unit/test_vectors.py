"""Vectors: the network's numbers, of whatever layer, beside its classes or alone; and the columns that they become."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from mxspark.cli import console
from mxspark.dataset import parquet
from mxspark.dataset.columns import Columns, VectorColumn, VectorType
from mxspark.dataset.part_errors import PartError
from mxspark.dataset.predictions import PARTS, Counts, Prediction, Row, encode, read_rows, read_vectors
from mxspark.errors import UsageError
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.network import Layer, Network
from mxspark.inference.network import inspect as inspected
from mxspark.run.identity import check_columns, identity
from mxspark.run.last_word import LONGEST, LastWord, Results
from mxspark.settings import document
from mxspark.settings.job import OutputSettings, Settings
from mxspark.settings.model_spec import ModelOutput, ModelSpec
from mxspark.storage import FolderStore
from mxspark.worker.reading import Reading, columns_of
from tests.mx import mx
from tests.unit.test_network import BIAS, CLASSES, DENSE, NAMES, dense, images, made, refusal, saying, softmax

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mxnet.*")

DATA = mx.sym.var("data")
POOLED = mx.sym.Pooling(DATA, global_pool=True, pool_type="avg", name="pool")
LOGITS = mx.sym.FullyConnected(mx.sym.flatten(DATA, name="flat"), num_hidden=CLASSES, name="fc")
BOTH = mx.sym.Group([mx.sym.softmax(LOGITS, name="probability"), POOLED])
PIXELS = images(4)


def numbers(folder: Path, symbol: Any, parameters: Any = DENSE, labels: Any = (), **output: Any) -> Any:
    network = Network(made(folder, symbol, parameters, saying(**output), labels), 4, "cpu")
    return network.predict_all(PIXELS), network


# ---- what the network gives ----


@pytest.mark.parametrize("name", ["pool", "pool_output"])
def test_a_layer_is_a_vector_as_it_is(tmp_path: Path, name: str) -> None:
    found, network = numbers(tmp_path, BOTH, kind="vector", name=name)

    np.testing.assert_allclose(found, PIXELS.mean(axis=(2, 3)), rtol=1e-5)
    assert network.inspection.vectors == (("vector", 3),)
    assert not network.inspection.has_classes


def test_the_last_layer_is_a_vector_where_that_is_said(tmp_path: Path) -> None:
    found, _ = numbers(tmp_path, LOGITS, kind="vector", labels=NAMES)  # with a softmax they would be probabilities
    np.testing.assert_allclose(found, dense(PIXELS), rtol=1e-4, atol=1e-4)


def test_labels_of_another_number_are_of_the_last_layer_and_none_of_a_vector_s(tmp_path: Path) -> None:
    found, _ = numbers(tmp_path, BOTH, kind="vector", name="pool", labels=NAMES)
    assert found.shape == (4, 3)


@pytest.mark.parametrize(
    "end", [lambda logits: logits, lambda logits: mx.sym.softmax(logits)], ids=["logits", "softmax"]
)
def test_classes_and_layers_come_out_of_one_pass(tmp_path: Path, end: Any) -> None:
    found, network = numbers(
        tmp_path, end(LOGITS), labels=NAMES, also={"scores": "fc", "pixels": "flat", "again": "flat_output"}
    )

    flat = PIXELS.reshape(4, -1)
    np.testing.assert_allclose(
        found, np.hstack([softmax(dense(PIXELS)), dense(PIXELS), flat, flat]), rtol=1e-4, atol=1e-4
    )
    assert network.inspection.vectors == (("scores", CLASSES), ("pixels", 24), ("again", 24))
    np.testing.assert_array_equal(network.predict(PIXELS), found[:, :CLASSES])


def test_a_layer_that_leads_to_no_class_comes_too(tmp_path: Path) -> None:
    found, _ = numbers(tmp_path, BOTH, name="probability", also={"pooled": "pool"})
    np.testing.assert_allclose(found[:, CLASSES:], PIXELS.mean(axis=(2, 3)), rtol=1e-5)


def test_a_convolution_whose_numbers_are_asked_for_is_not_fused_with_what_follows(tmp_path: Path) -> None:
    """MXNet computes a convolution and what follows in one, and gives the wrong numbers to others that read it."""
    conv = mx.sym.Convolution(mx.sym.var("data"), num_filter=2, kernel=(2, 4), name="conv", no_bias=True)
    symbol = mx.sym.flatten(mx.sym.relu(conv, name="relu"))
    weight = np.random.default_rng(1).normal(0, 1, (2, 3, 2, 4)).astype(np.float32)

    found, _ = numbers(tmp_path, symbol, {"arg:conv_weight": weight}, kind="vector", also={"before": "conv"})

    expected = PIXELS.reshape(4, -1) @ weight.reshape(2, -1).T
    np.testing.assert_allclose(found, np.hstack([np.maximum(expected, 0), expected]), rtol=1e-4, atol=1e-3)


def test_the_layers_with_one_vector_an_image_are_listed(tmp_path: Path) -> None:
    found = inspected(made(tmp_path, BOTH, spec=saying(name="probability")), None)[0]
    assert found.layers == (
        Layer("flat", "Flatten", 24),
        Layer("fc", "FullyConnected", CLASSES),
        Layer("probability", "softmax", CLASSES),
        Layer("pool", "Pooling", 3),
    )


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"kind": "vector", "name": "poool"}, ("no output or layer 'poool', which output.name names", "mean pool?")),
        (
            {"name": "fc", "also": {"features": "flut"}},
            ("which output.also.features names", "Did you mean flat?", "--layers"),
        ),
        ({"kind": "vector", "name": "data"}, ("no output or layer 'data'",)),
        ({"kind": "vector", "name": "map"}, ("has the shape (N, 3, 2, 4)", "behind pooling or a flatten")),
        (
            {"name": "fc", "kind": "logits", "also": {"map": "map"}},
            ("map, which output.also.map names, has the shape",),
        ),
        ({"kind": "vector", "name": "all"}, ("does not give 2 rows of numbers for 2 images: its output",)),
        ({"name": "fc", "kind": "logits", "also": {"x": "all"}}, ("all_output then has the shape",)),
        ({"kind": "vector", "name": "pool", "threshold": 0.5}, ("goes with output.kind sigmoid, but that is vector",)),
        ({}, ("has 4 outputs", "Name one", "output.also")),
    ],
)
def test_what_is_no_vector_is_refused(tmp_path: Path, output: Any, words: tuple[str, ...]) -> None:
    everything = mx.sym.Group(
        [LOGITS, POOLED, mx.sym.relu(DATA, name="map"), mx.sym.reshape(DATA, shape=(-1, 3), name="all")]
    )
    told = refusal(made(tmp_path, everything, spec=saying(**output), labels=()))
    assert all(part in told for part in words), told


def test_a_name_that_two_layers_have_is_refused(tmp_path: Path) -> None:
    symbol = mx.sym.Group([LOGITS, mx.sym.relu(POOLED, name="pool")])
    told = refusal(made(tmp_path, symbol, spec=saying(kind="vector", name="pool"), labels=()))
    assert "has 2 layers 'pool', which output.name names" in told


def test_a_vector_whose_length_depends_on_the_image_is_refused(tmp_path: Path) -> None:
    data = mx.sym.flatten(DATA)
    symbol = mx.sym.contrib.boolean_mask(data, mx.sym.sum(data, axis=1), name="some")
    told = refusal(made(tmp_path, symbol, DENSE, saying(kind="vector"), ()))
    assert "the shape of some_output depends on what is in the images" in told


def test_a_vector_that_is_too_long_is_refused(tmp_path: Path) -> None:
    symbol = mx.sym.tile(mx.sym.flatten(mx.sym.var("data")), reps=(1, 3000), name="long")
    assert "longer than the 65,536 numbers" in refusal(made(tmp_path, symbol, DENSE, saying(kind="vector"), ()))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "also: {features: a, Features: b}",
            "two columns would be called features and Features, which are one for SQL",
        ),
        ("also: {key: a}", "two columns would be called key"),
        ("also: {predictions: a}", "two columns would be called predictions"),
        ("{kind: vector, also: {Vector: a}}", "two columns would be called vector and Vector"),
        ("also: {'a b': a}", "can't be a column's name"),
        ("also: {a: x, a: y}", "duplicate key"),
    ],
)
def test_columns_have_names_of_their_own(output: str, words: str) -> None:
    text = output if output.startswith("{") else f"{{{output}}}"
    with pytest.raises(UsageError, match=words):
        document.parse(ModelOutput, document.read_yaml(text, "model.yaml"), "model.yaml")


# ---- what a row has ----


def row_of(values: Any, column: VectorColumn, **more: Any) -> Row:
    columns = Columns((column,), has_predictions=False)
    return Reading(top_k=1, labels=(), columns=columns, **more).row("a.png", np.array(values, np.float32))


def test_a_vector_has_length_1_where_that_is_asked_for() -> None:
    row = row_of([3, 0, -4], VectorColumn("vector", 3, is_normalized=True))
    np.testing.assert_allclose(row.vectors["vector"], [0.6, 0, -0.8], rtol=1e-6)
    large = row_of([3e30, 4e30], VectorColumn("vector", 2, is_normalized=True))  # whose squares float32 doesn't hold
    np.testing.assert_allclose(large.vectors["vector"], [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "column", "words"),
    [
        ([1, np.nan], VectorColumn("v", 2), "the network's output is not a number"),
        ([1, np.inf], VectorColumn("v", 2), "the network's output is not a number"),
        ([1, 70_000], VectorColumn("v", 2, "float16"), "the numbers of v are beyond what float16 holds"),
        ([0, 0], VectorColumn("v", 2, is_normalized=True), "the numbers of v are all 0, which has no direction"),
    ],
)
def test_numbers_that_are_no_vector_are_told(values: Any, column: VectorColumn, words: str) -> None:
    row = row_of(values, column)
    assert (row.status, row.error, row.vectors) == ("not_finite", words, {})


def test_classes_and_vectors_of_a_row_are_their_own() -> None:
    columns = Columns((VectorColumn("a", 1), VectorColumn("b", 2)))
    row = Reading(top_k=1, labels=("cat", "dog"), columns=columns).row("x", np.array([0.25, 0.75, 7, 8, 9], np.float32))

    assert row.predictions == (Prediction(1, "dog", 0.75),)
    assert {name: list(vector) for name, vector in row.vectors.items()} == {"a": [7], "b": [8, 9]}


# ---- parts ----

Vectors = NDArray[Any]
COLUMN: dict[VectorType, Columns] = {
    kind: Columns((VectorColumn("vector", 3, kind),), has_predictions=False) for kind in get_args(VectorType)
}


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_part_gives_back_its_vectors_exactly(
    tmp_path_factory: pytest.TempPathFactory, output_format: str, kind: VectorType, data: st.DataObject
) -> None:
    finite = arrays.arrays(
        kind, 3, elements=st.floats(width=16 if kind == "float16" else 32, allow_nan=False, allow_infinity=False)
    )
    vectors: list[Vectors | None] = data.draw(st.lists(st.none() | finite, min_size=1, max_size=600))
    rows = [
        Row(f"{place:04}", "missing", "gone")
        if vector is None
        else Row(f"{place:04}", "ok", vectors={"vector": vector})
        for place, vector in enumerate(vectors)
    ]
    store = FolderStore(tmp_path_factory.mktemp("part"))
    store.write(PARTS[output_format].name(0), encode(rows, None, output_format, COLUMN[kind]))

    found = list(read_rows(store, 0, output_format))

    assert found == rows
    for row, vector in zip(found, vectors, strict=True):
        assert (vector is None) == (not row.vectors)
        if vector is not None:
            np.testing.assert_array_equal(row.vectors["vector"], vector)
    if any(vector is not None for vector in vectors):
        streamed = list(read_vectors(store, 0, output_format, "vector"))
        assert [key for keys, _ in streamed for key in keys] == [row.key for row in rows if row.vectors]
        expected = np.stack([vector for vector in vectors if vector is not None])
        np.testing.assert_array_equal(np.concatenate([numbers for _, numbers in streamed]), expected)


def test_a_part_with_vectors_has_the_documented_schema(tmp_path: Path) -> None:
    both = Columns((VectorColumn("features", 2, "float16"), VectorColumn("vector", 3)))
    rows = [
        Row(
            "a",
            "ok",
            None,
            (Prediction(0, "cat", 0.5),),
            {"features": np.ones(2, np.float16), "vector": np.ones(3, np.float32)},
        ),
        Row("b", "missing", "gone"),
    ]
    (tmp_path / "part.parquet").write_bytes(encode(rows, None, "parquet", both))

    schema = pq.read_schema(tmp_path / "part.parquet")
    assert schema.names == ["key", "status", "error", "predictions", "features", "vector"]
    assert schema.field("features").type == pa.list_(pa.field("element", pa.float16(), nullable=False), 2)
    assert schema.field("vector").type == pa.list_(pa.field("element", pa.float32(), nullable=False), 3)
    table = pandas.read_parquet(tmp_path / "part.parquet")
    assert list(table["vector"][0]) == [1, 1, 1]
    assert np.isnan(table["vector"][1]).all()
    assert encode(rows, None, "parquet", both) == encode(rows, None, "parquet", both)


def test_a_line_of_json_has_the_numbers() -> None:
    rows = [Row("a", "ok", vectors={"vector": np.array([0.5, -1, 2], np.float32)}), Row("b", "missing", "gone")]
    lines = encode(rows, None, "jsonl", COLUMN["float32"]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"key": "a", "status": "ok", "error": None, "vector": [0.5, -1, 2]},
        {"key": "b", "status": "missing", "error": "gone", "vector": None},
    ]


def test_a_part_whose_images_all_failed_has_the_same_columns() -> None:
    data = encode([Row("a", "missing", "gone")], None, "parquet", COLUMN["float32"])
    assert pq.read_schema(pa.BufferReader(data)).field("vector").type.list_size == 3
    assert [row["vector"] for row in parquet.read_rows(data, "part")] == [None]


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "a", "status": "ok", "error": null, "vector": ["x"]}',
        '{"key": "a", "status": "ok", "error": null, "vector": [NaN]}',
        '{"key": "a", "status": "ok", "error": null, "vector": [[1], [2]]}',
        '{"key": "a", "status": "ok", "error": null}',
    ],
)
def test_a_line_that_is_no_row_is_refused_by_name(tmp_path: Path, line: str) -> None:
    store = FolderStore(tmp_path)
    store.write(PARTS["jsonl"].name(0), line.encode())
    with pytest.raises(PartError, match=r"part-000000.jsonl: not a part of this run"):
        list(read_rows(store, 0, "jsonl"))


def test_the_columns_are_those_of_the_network(tmp_path: Path) -> None:
    _, network = numbers(tmp_path, LOGITS, labels=NAMES, also={"scores": "fc"})
    assert columns_of(network.inspection, "float16", is_normalized=True) == Columns(
        (VectorColumn("scores", CLASSES, "float16", is_normalized=True),), has_predictions=True
    )
    assert len(BIAS) == CLASSES


# ---- what is told of them ----


def test_a_driver_leaves_how_vectors_begin(capsys: pytest.CaptureFixture[str]) -> None:
    rows = tuple(
        Row(f"{number}.png", "ok", vectors={"vector": np.arange(1280, dtype=np.float32) + 0.5}) for number in range(10)
    )
    word = LastWord(0, results=Results(Counts(Counter(ok=10)), {}, None, rows, "s3://bucket/table")).to_json()

    assert len(word.encode()) <= LONGEST
    read = LastWord.read(word)
    assert read is not None
    assert read.results is not None
    assert list(read.results.first_rows[9].vectors["vector"]) == [0.5, 1.5, 2.5]
    console.show_results(read.results)
    told = capsys.readouterr().out
    assert "[0.500, 1.500, 2.500, …]" in told
    assert "Vectors: s3://bucket/table" in told
    assert "prediction" not in told


@pytest.mark.parametrize(
    ("output", "model", "words"),
    [
        ({"format": "text"}, {"kind": "vector"}, "the model gives vectors (vector)"),
        ({"format": "text"}, {"also": {"a": "x", "b": "y"}}, "the model gives vectors (a, b)"),
        ({"l2_normalize": True}, {}, "output.l2_normalize and output.vector_type are about vectors"),
        ({"vector_type": "float16"}, {"kind": "softmax"}, "the model gives only classes"),
    ],
)
def test_settings_that_do_not_go_with_the_model_are_refused(output: Any, model: Any, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_columns(OutputSettings(path="out", **output), ModelOutput(**model))
    assert words in refused.value.problem
    assert refused.value.hint


def test_how_vectors_are_written_is_part_of_what_a_table_is() -> None:
    def identity_of(model: Any, **output: Any) -> dict[str, Any]:
        spec = ModelSpec(output=ModelOutput(**model))
        job = {"input": {"path": "in"}, "output": {"path": "out", **output}, "model": {"path": "net"}}
        return identity(Settings.model_validate(job), Bundle(spec, {}, (), BundleSource(spec, {}, {})))

    vector = {"kind": "vector"}
    found = [
        identity_of(vector),
        identity_of(vector, l2_normalize=True),
        identity_of(vector, vector_type="float16"),
        identity_of({"kind": "softmax", "also": {"a": "x"}}),
        identity_of({"kind": "softmax", "also": {"a": "y"}}),
        identity_of({"kind": "softmax", "also": {"b": "x"}}),
    ]
    assert all(one != other for place, one in enumerate(found) for other in found[:place])
    # Runs of classes from before there were vectors can be resumed.
    assert set(identity_of({})) == {"input", "format", "model", "precision", "top_k"}
