"""Files that mxspark's user didn't write: whatever is in them is taken, or refused in a few words of ours.

What hypothesis makes up is the same in every run; what it found once, or what an attacker would try, stands beside it
as an example.
"""

import gzip
import io
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.security.endless import CHUNK, HEAD, answering_with
from tests.unit.runs import run_in

from mxspark.cli import console
from mxspark.dataset import output, parquet, plan, predictions, tops
from mxspark.dataset.predictions import PARTS, Prediction, Row
from mxspark.dataset.source import Source
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import bundle, labels
from mxspark.inference.figures import Figures
from mxspark.run import precision, shard_log, status, summary
from mxspark.run.last_word import LastWord
from mxspark.run.progress import Progress
from mxspark.run.shard_log import ShardRun
from mxspark.settings import document, sources
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings, StorageSettings
from mxspark.settings.model_spec import ModelSpec
from mxspark.storage import Access, StorageError, TooLargeError
from mxspark.storage.folder import FolderStore
from mxspark.storage.store import parsed_holder
from mxspark.submit.emr import driver_log

ACCESS = Access(StorageSettings(retries=0))
LONGEST_MESSAGE = 10_000  # characters
# By the limits these take far less; without them minutes, or all memory.
PATIENCE_SECONDS = 30

bounded = settings(derandomize=True, database=None, deadline=None, max_examples=30)

DEEP = "[" * 100_000
BILLION = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join(['*' + before] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)

texts = st.text(max_size=30)
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@contextmanager
def taken_or_refused(kind: type[MxsparkError] = MxsparkError) -> Iterator[None]:
    """The block works, or raises an error of ours that is short; and it is quick."""
    start = time.monotonic()
    message = ""
    try:
        yield
    except kind as refused:
        message = str(refused)
    assert len(message) < LONGEST_MESSAGE
    assert time.monotonic() - start < PATIENCE_SECONDS


# ---- YAML ----


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (BILLION, "alias"),
        ("a: &x 1\nb: {<<: *x}\n", "alias"),
        (DEEP, "levels"),
        ("{a: " * 1000, "levels"),
        ("- " * 1000 + "x", "levels"),
        ("".join(f"k{number}:\n" for number in range(100_000)), "keys and values"),
        ("x" * (2**20 + 1), "characters"),
        ("a: " + "1" * 5000, "number"),
        ("a: " + "1:1" * 200_000, "number"),
        ("a: 0x" + "f" * 100_000, "number"),
        ("a: ! b\n" * 3, "duplicate key"),
        ("!!python/object/apply:os.system [id]", "tag"),
        ("a: \x00", "not YAML"),
    ],
    ids=range(13),
)
def test_yaml_that_only_costs_is_refused_at_once(text: str, named: str) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError, match=f"model.yaml.*{named}") as refused:
        document.read_yaml(text, "model.yaml")
    assert len(str(refused.value)) < 1000
    assert time.monotonic() - start < PATIENCE_SECONDS


def test_a_text_that_looks_like_an_alias_is_still_a_value() -> None:
    assert document.parse_scalar("*.png", "--set") == "*.png"
    assert document.read_yaml("a: local[*]\nb: '*x'\n", "file") == {"a": "local[*]", "b": "*x"}


@pytest.mark.parametrize("kind", [ModelSpec, Settings])
def test_thousands_of_wrong_keys_are_told_in_a_few_lines(kind: type[document.Document]) -> None:
    with pytest.raises(UsageError) as refused:
        document.parse(kind, {f"{'key' * 100}{number}": "x" * 10_000 for number in range(5000)}, "model.yaml")
    assert len(refused.value.problem) < LONGEST_MESSAGE
    assert refused.value.problem.endswith(" more")


def test_a_value_of_a_million_characters_is_not_told_whole() -> None:
    with pytest.raises(UsageError) as refused:
        document.parse(ModelSpec, {"format": "x" * 10**6, "name": ["y" * 10**6] * 10}, "model.yaml")
    assert len(refused.value.problem) < 2000


@bounded
@given(st.text(max_size=200) | data.map(json.dumps))
@example("symbol: [")
@example("? [a, b]\n: c\n")
@example("!!int x: 1")
@example("!!float 'nan': .nan")
@example("a: !!int ''")
@example("!!omap [a]")
@example("<<: 3")
@example("a: !!binary é")
@example("--- a\n--- b\n")
def test_any_model_yaml(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, taken_or_refused():
        Path(folder, "model.yaml").write_bytes(text.encode(errors="replace"))
        bundle.find(ModelSettings(path=folder), ACCESS)


@bounded
@given(
    data, st.sampled_from(["input", "output", "spark", "kubernetes", "emr", "model", "storage", "top_k", "cache_dir"])
)
@example({"conf": {"a": {"b": {}}}}, "spark")
@example([[[]]], "input")
@example({"path": ["x"] * 1000}, "input")
def test_any_settings(value: Any, key: str) -> None:
    with taken_or_refused(UsageError):
        text = document.to_yaml({"model": {"path": "m"}, "output": {"path": "o"}, "input": {"path": "i"}, key: value})
        sources.effective([sources.file_layer(document.read_yaml(text, "settings.yaml"), "settings.yaml")])


# ---- what lies in an output folder ----


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A plan.json as a run writes it."""
    folder = tmp_path_factory.mktemp("run")
    run_in(folder, 0)
    found: dict[str, Any] = json.loads((folder / plan.PLAN).read_text())
    return found


def look_at(content: bytes) -> None:
    """What a run and `mxspark status` do with an output that holds this plan.json."""
    with tempfile.TemporaryDirectory() as folder:
        run_in(Path(folder), 1)
        Path(folder, plan.PLAN).write_bytes(content)
        store = FolderStore(Path(folder), follow_links=False)
        with taken_or_refused():
            console.show_status(status.read(folder, ACCESS))
        with taken_or_refused():
            output.check(store, OutputSettings(path=folder, submission="x", overwrite=True))
        with taken_or_refused():
            output.describe(store, "parquet")


@bounded
@given(
    key=st.sampled_from(
        ["keys", "shards", "shard_size", "sizes", "samples", "identity", "settings", "skipped", "created", "id"]
    ),
    value=data,
)
@example(key="shards", value=10**30)
@example(key="shard_size", value=0)
@example(key="sizes", value=[[1, 0]])
@example(key="sizes", value=[[10**30, 1]])
@example(key="sizes", value=[[1, -1], [True, 2]])
@example(key="sizes", value=[1, 2])
@example(key="sizes", value=[])
@example(key="keys", value=-1)
@example(key="keys", value=True)
@example(key="samples", value=[[]])
@example(key="samples", value=3)
@example(key="created", value=3)
@example(key="settings", value={"output": []})
@example(key="settings", value={"output": {"format": []}, "input": {"true_label": "("}})
@example(key="settings", value={"output": {"format": "xml"}, "input": {"true_label": 3}})
@example(key="skipped", value={"x": "y"})
def test_any_plan(sound: dict[str, Any], key: str, value: Any) -> None:
    look_at(json.dumps({**sound, key: value}).encode())


@pytest.mark.parametrize(
    "content",
    [
        DEEP.encode(),
        b"[]",
        b"3",
        b"{}",
        b"\xff",
        b'{"version": ' + b"9" * 5000 + b"}",
        b'{"version": "' + b"x" * 10**6 + b'"}',
    ],
)
def test_a_plan_that_is_none(content: bytes) -> None:
    look_at(content)


def test_a_plan_that_is_deeper_than_any_is_damaged(sound: dict[str, Any], tmp_path: Path) -> None:
    run_in(tmp_path, 0)
    (tmp_path / plan.PLAN).write_text(json.dumps(sound)[:-1] + f', "x": {"[" * 500}{"]" * 500}}}')
    with pytest.raises(MxsparkError, match="damaged"):
        plan.load(FolderStore(tmp_path))


def test_a_plan_that_is_larger_than_any_is_not_read(tmp_path: Path) -> None:
    run_in(tmp_path, 0)
    with open(tmp_path / plan.PLAN, "r+b") as file:
        file.truncate(2**40)
    with pytest.raises(StorageError, match="more than"):
        plan.load(FolderStore(tmp_path))


def test_few_bytes_that_unpack_to_more_than_there_is_memory_are_a_damaged_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_SHARD_BYTES", 2**20)
    store = run_in(tmp_path, 0)
    (tmp_path / "_plan" / "000000.jsonl.gz").write_bytes(gzip.compress(b"[" + b" " * (4 * 2**20)))
    for shard in (0, 3):
        with pytest.raises(MxsparkError, match="damaged"):
            plan.shard_keys(store, shard)


@bounded
@given(data.map(json.dumps).map(str.encode) | st.binary(max_size=50))
@example(DEEP.encode())
@example(b'[["host", "x"]]')
@example(b"{" + b" " * 2**20)
@example(b'{"pid": "../../self", "machine": null}')
@example(b'{"since": {}, "host": []}')
def test_any_lock(content: bytes) -> None:
    holder = parsed_holder(content)
    assert all(isinstance(value, str | int | None) for value in holder.values())
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, output.LOCK).write_bytes(content)
        store = FolderStore(Path(folder), follow_links=False)
        assert store.holder(output.LOCK) is None  # nobody has it locked
        with store.hold(output.LOCK, {}, 1):
            pass


@bounded
@given(st.sampled_from(["parquet", "jsonl", "text"]), st.binary(max_size=60) | data.map(json.dumps).map(str.encode))
@example("jsonl", DEEP.encode())
@example("jsonl", b'{"key": 1, "status": [], "error": {}, "predictions": [{}]}')
def test_any_part(output_format: Any, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, taken_or_refused():
        run_in(Path(folder), 1, output_format)
        part = next(Path(folder).rglob("part-000000.*"))
        part.write_bytes(content)
        console.show_status(status.read(folder, ACCESS))


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
def test_the_status_of_a_run_applies_no_pattern_that_its_plan_has(
    sound: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_format: Any
) -> None:
    """One such as (a+)+$ would never end."""
    store = run_in(tmp_path, 0, output_format)
    theirs = {"output": {"format": output_format}, "input": {"true_label": "("}}
    (tmp_path / plan.PLAN).write_text(json.dumps({**sound, "settings": theirs}))
    rows = [Row(key, "ok", None, (Prediction(0, "0", 1.0),)) for key in plan.shard_keys(store, 0)]
    store.write(PARTS[output_format].name(0), predictions.encode(rows, "(.)", output_format))
    if output_format == "parquet":  # nor does a footer of another pattern make it read rows
        monkeypatch.delattr(predictions, "read_rows")

    found = status.read(str(tmp_path), ACCESS)
    assert (found.state, found.counts.ok, found.counts.labelled) == ("not finished", 2, 0)


ROW = {"key": "0.png", "status": "ok", "error": None, "predictions": None}
CAT = {"index": 1, "label": "cat", "probability": 0.5}
COUNTS = {"by_status": {"ok": 2}, "labelled": 0, "correct": 0, "correct_top_k": 0, "true_label": None}


@pytest.mark.parametrize(
    "change",
    [{"key": 5}, {"status": 7}, {"status": []}, {"error": {}}, {"predictions": 5}, {"vector": [10**400]}]
    + [{"predictions": [{**CAT, **wrong}]} for wrong in ({"index": "1"}, {"label": [1]}, {"probability": "x"})],
    ids=str,
)
def test_rows_of_other_things_are_a_broken_part(tmp_path: Path, change: dict[str, Any]) -> None:
    run_in(tmp_path, 2, "jsonl")
    (tmp_path / "part-000000.jsonl").write_text(2 * (json.dumps({**ROW, **change}) + "\n"))
    tell_one_broken(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        *({"by_status": wrong} for wrong in ({"ok": "x"}, [["a"], "b"], 5, {"ok": -5, "x": 7})),
        {"labelled": "a"},
        {"correct": True},
    ],
    ids=str,
)
def test_counts_of_other_things_are_a_broken_part(tmp_path: Path, change: dict[str, Any]) -> None:
    run_in(tmp_path, 2)
    (tmp_path / "part-000000.parquet").write_bytes(parquet.encode([ROW, ROW], {**COUNTS, **change}))
    tell_one_broken(tmp_path)


def tell_one_broken(folder: Path) -> None:
    found = status.read(str(folder), ACCESS)
    assert (found.state, found.counts.ok) == ("damaged", 2)  # the other part's are told
    assert "not a part of this run" in "".join(found.broken)


def test_parts_of_a_gigabyte_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of small parts 16 at a time: as many large ones took all memory."""
    store = run_in(tmp_path, 5, "jsonl")
    monkeypatch.setattr(predictions, "SMALL_PART_BYTES", 0)
    alone: list[bool] = []

    class Watched(FolderStore):
        def read(self, key: str, limit: int | None = None) -> bytes:
            if not limit:
                raise TooLargeError("large")
            alone.append(predictions.LARGE.locked())
            return super().read(key, limit)

    found = plan.load(store)
    assert found is not None
    counts = dict(summary.count_parts(Watched(tmp_path), found, range(5), "jsonl", None))
    assert (alone, sum(each.rows for each in counts.values())) == ([True] * 5, 10)


def test_a_line_that_no_row_has_is_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte of [0,0,0… becomes 40 of Python's."""
    run_in(tmp_path, 2, "jsonl")
    monkeypatch.setattr(predictions, "MAX_ROW_BYTES", 1000)
    (tmp_path / "part-000000.jsonl").write_text(json.dumps({**ROW, "key": "0" * 1000}) + "\n" + json.dumps(ROW) + "\n")
    tell_one_broken(tmp_path)


LONG = "a" * (2**18 + 1)


@pytest.mark.parametrize(
    "change", [{"key": LONG}, {"error": LONG}, {"predictions": [{**CAT, "label": LONG}]}], ids=["key", "error", "label"]
)
def test_few_bytes_that_stand_for_many_copies_of_a_long_text_are_no_part(change: dict[str, Any]) -> None:
    with pytest.raises(MxsparkError, match="a text has more than"):
        list(parquet.read_rows(parquet.encode([{**ROW, **change}] * 20, COUNTS), "part"))


def repeated(folder: Path, predictions_of_each: list[int], **more: pa.Array) -> bytes:
    """A part of rows with so many predictions, all the same, and these columns."""
    total = sum(predictions_of_each)
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(total, np.int32)), pa.array(["cat"]))
    numbers = pa.array(np.ones(total, np.int32)), texts, pa.array(np.ones(total, np.float32))
    lists = pa.ListArray.from_arrays(
        pa.array(np.cumsum([0, *predictions_of_each]), pa.int32()),
        pa.StructArray.from_arrays(numbers, ["index", "label", "probability"]),
    )
    count = len(predictions_of_each)
    texts_of = {"key": [f"{row}.png" for row in range(count)], "status": ["ok"] * count}
    table = pa.table({**texts_of, "error": pa.nulls(count, pa.string()), "predictions": lists, **more})
    pq.write_table(table, folder / "part-000000.parquet")
    return (folder / "part-000000.parquet").read_bytes()


@pytest.mark.parametrize("each", [[2**16 + 1, 1], [2**16] * (2**9 + 1)], ids=["a row", "all"])
def test_few_bytes_that_stand_for_many_predictions_are_no_part(tmp_path: Path, each: list[int]) -> None:
    """3 kB stood for ten million, which took minutes and gigabytes to show, or to report at the end of a run."""
    store = run_in(tmp_path, 2)
    assert len(repeated(tmp_path, each)) < 2**16
    for read in (predictions.read_rows, tops.read):
        with pytest.raises(MxsparkError, match=r"has more than .* predictions"):
            list(read(store, 0, "parquet"))
    with pytest.raises(MxsparkError, match=r"has more than .* predictions"):
        predictions.read_table(store, "parquet", [0])


def test_predictions_of_all_classes_become_objects_a_row_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = repeated(tmp_path, [3, 0, 2**10])
    whole = list(parquet.read_rows(data, "part"))
    monkeypatch.setattr(parquet, "MOST_OBJECTS", 2)
    assert list(parquet.read_rows(data, "part")) == whole
    assert [len(row["predictions"]) for row in whole] == [3, 0, 2**10]


@pytest.mark.parametrize(
    "column", [pa.array([[1] * 1000] * 2), pa.array([b"x" * 1000] * 2), pa.array([1, 2])], ids=["lists", "bytes", "int"]
)
def test_a_part_with_columns_that_no_run_writes_is_none(tmp_path: Path, column: pa.Array) -> None:
    """Their limits nobody knows: few bytes may stand for many lists, too."""
    data = repeated(tmp_path, [1, 1], other=column)
    with pytest.raises(MxsparkError, match="a column that no run writes: 'other'"):
        list(parquet.read_rows(data, "part"))
    with pytest.raises(MxsparkError, match="a column that no run writes: 'other'"):
        parquet.whole_table([("part", data)])


def test_a_table_is_not_read_where_few_bytes_stand_for_more_than_its_parts_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = parquet.encode([{**ROW, "error": "x" * 10_000}] * 1000, COUNTS)
    assert len(data) < 2**16
    assert parquet.whole_table([("part", data)]).num_rows == 1000
    monkeypatch.setattr(parquet, "MOST_BYTES", 2**20)
    with pytest.raises(MxsparkError, match="its rows have more than"):
        parquet.whole_table([("part", data)])


def test_rows_of_different_columns_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_rows(
        [
            Row("a.png", "ok", vectors={"one": np.ones(3, np.float32)}),
            Row("b.png", "ok", vectors={"two": np.ones(3, np.float32)}),
        ]
    )
    assert "b.png" in capsys.readouterr().out


def test_numbers_without_end_are_no_progress_no_last_word_and_no_figures(tmp_path: Path) -> None:
    assert LastWord.read('{"exit_code": 1e999}') is None
    with pytest.raises(ValueError, match="not a run's progress"):
        Progress.read('{"notes_total": 1e999}')
    store, digest = run_in(tmp_path, 0), "a" * 64
    frozen = plan.load(store)
    assert frozen is not None
    figures = Figures("int8", 9, 9, 10**400, 0.1, 0.1)
    store.write(f"_model/{digest}/figures.json", json.dumps(figures.to_json()).encode())
    with pytest.raises(MxsparkError, match="damaged"):
        precision.kept_figures(store, replace(frozen, identity={"optimized": digest}))


@pytest.mark.parametrize("change", [{}, {"left_out": 10**4300 - 1}, {"workers": -1}, {"left_out": "1"}], ids=str)
def test_a_record_of_a_run_with_other_numbers_is_passed_by(tmp_path: Path, change: dict[str, Any]) -> None:
    """A number of 4,300 digits, and one more, can't be written any more: no report was."""
    columns = [each.name for each in fields(ShardRun)]
    shards = [[0, "host", *[1] * (len(columns) - 2)]]
    head = {"mxspark": "1", "plan": "id", "began": "", "workers": 1, "context": "cpu", "left_out": 0}
    record = {**head, "columns": columns, "shards": shards, **change}
    (tmp_path / "_runs").mkdir()
    (tmp_path / "_runs" / "1.json").write_text(json.dumps(record))
    assert len(list(shard_log.read(FolderStore(tmp_path), "id"))) == (not change)


def nested(levels: int, leaf: bytes) -> bytes:
    """A Parquet file of no rows, with the column `key` and a column in so many others: its footer in Thrift's
    compact form.
    """
    elements = [
        b"\x48\x01r\x15\x04\x00",
        b"\x15\x0c\x25\x02\x18\x03key\x25\x00\x00",
        *[b"\x35\x02\x18\x01a\x15\x02\x00"] * levels,
        leaf,
    ]
    count = len(elements)
    size = bytes([count & 127 | 128, count >> 7 & 127 | 128, count >> 14])
    footer = b"\x15\x04\x19\xfc" + size + b"".join(elements) + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize(
    "leaf", [b"\x15\x02\x25\x02\x18\x01a\x00", b"\x35\x02\x18\x01a\x15\x00\x00"], ids=["a number", "no column"]
)
@pytest.mark.parametrize("levels", [1000, 4900, 19_000, 100_000])
def test_columns_in_columns_in_columns_do_not_end_the_process(tmp_path: Path, levels: int, leaf: bytes) -> None:
    """Arrow ran out of its stack: 160 kB ended a driver without a word."""
    (tmp_path / "keys.parquet").write_bytes(nested(levels, leaf))
    with taken_or_refused():
        list(Source(InputSettings(path=str(tmp_path / "keys.parquet")), ACCESS).keys())
    with pytest.raises(MxsparkError, match="not a part"):
        list(parquet.read_rows(nested(levels, leaf), "part"))


def test_a_table_without_keys_has_not_all_of_its_columns_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"column {number}": [1] for number in range(1000)}), tmp_path / "keys.parquet")
    with pytest.raises(UsageError, match="and 990 more") as refused:
        list(Source(InputSettings(path=str(tmp_path / "keys.parquet")), ACCESS).keys())
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("by_reference", [True, False])
def test_few_bytes_that_stand_for_many_copies_of_a_long_key_are_no_manifest(by_reference: bool) -> None:
    """1,044 bytes took 4.85 GB."""
    file = io.BytesIO()
    pq.write_table(pa.table({"key": [LONG] * 60 + ["a.png"] * 1000 * by_reference}), file, use_dictionary=by_reference)
    assert len(file.getvalue()) < 2**20
    with pytest.raises(UsageError, match="a text has more than"):
        list(parquet.read_column(file, "key", "keys.parquet"))


# ---- lists ----


@bounded
@given(
    st.binary(max_size=100) | st.text(max_size=100).map(lambda text: text.encode(errors="replace")),
    st.sampled_from(["txt", "csv", "lst"]),
)
@example(b"key\n" + b"," * 60_000, "csv")
@example(b"," * 65_000 + b"\n", "csv")
@example(b'key\n"' + b"x" * 200_000, "csv")
@example(b"x" * 10**6, "txt")
@example(b"\x1b]0;owned\x07", "txt")
@example(b"1\t" * 30_000, "lst")
def test_any_manifest(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder, taken_or_refused():
        path = Path(folder, f"keys.{suffix}")
        path.write_bytes(content)
        list(Source(InputSettings(path=str(path)), ACCESS).keys())


@bounded
@given(
    st.text(max_size=100) | data.map(json.dumps) | data.map(repr),
    st.sampled_from(["labels.txt", "labels.csv", "labels.json"]),
)
@example(DEEP, "labels.json")
@example(DEEP, "labels.txt")
@example('{"a":' * 10_000, "labels.json")
@example("{" + "-" * 100_000 + "1: 2}", "labels.json")
@example("[" + "-" * 100_000 + "1]", "labels.txt")
@example("{1" + "+1j" * 100_000 + ": 2}", "labels.json")
@example("9" * 5000 + " cat\n", "labels.txt")
@example('{"' + "9" * 5000 + '": "cat"}', "labels.json")
@example("index,label\n" + "9" * 5000 + ",cat\n", "labels.csv")
@example("label\n" + "x" * 200_000 + "\n", "labels.csv")
@example("x," * 100_000, "labels.csv")
@example("x" * 200_000, "labels.csv")
@example("<html" + "x" * 10**6, "labels.txt")
@example("x" * 10**6, "labels.txt")
@example(":1" * 500_000 + "x", "labels.txt")
def test_any_labels(text: str, name: str) -> None:
    with taken_or_refused(UsageError):
        labels.read(text, name)


def test_labels_of_a_million_lines_are_read_in_their_time() -> None:
    start = time.monotonic()
    assert len(labels.read("a: 1\n" * 10**5, "labels.txt")) == 10**5
    assert time.monotonic() - start < PATIENCE_SECONDS


@pytest.mark.parametrize(
    "log", [gzip.compress(bytes(2**22)), gzip.compress(b"") * 100_000], ids=["a bomb", "nothing many times"]
)
def test_a_log_in_a_bucket_that_unpacks_to_more_than_there_is_memory_is_cut(
    monkeypatch: pytest.MonkeyPatch, log: bytes
) -> None:
    """Who may write to the folder of EMR's logs may not run who reads them out of memory, or of time: it was
    quadratic in the members.
    """
    monkeypatch.setattr(driver_log, "LONGEST", 2**20)
    with taken_or_refused():
        assert len(driver_log.unpacked(log)) <= 2**20


@pytest.mark.parametrize("place", ["a file", "the web"])
def test_a_manifest_without_end_is_refused_while_it_arrives(tmp_path: Path, place: str) -> None:
    (tmp_path / "keys.txt").write_text("a.png\n" * 10_000)
    with answering_with(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK) as url:
        path = {"a file": str(tmp_path / "keys.txt"), "the web": f"{url}/keys.txt"}[place]
        images = Source(InputSettings(path=path, base=str(tmp_path), max_manifest_bytes=50_000), ACCESS)
        with pytest.raises(UsageError, match=r"by input\.max_manifest_bytes"):
            list(images.keys())
