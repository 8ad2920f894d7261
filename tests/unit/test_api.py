"""What people call from Python, without Spark: settings out of keywords, a model called with images, tables read."""

import ast
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyspark.sql import types

import mxspark
from mxspark import Predictor, UsageError
from mxspark.api import settings as api_settings
from mxspark.cli import console
from mxspark.cli.flags import flags_of
from mxspark.dataset import plan, predictions
from mxspark.dataset.columns import Columns, VectorColumn
from mxspark.dataset.plan import KeySpool
from mxspark.dataset.predictions import PARTS, Prediction, Row
from mxspark.decode import in_memory, preprocess
from mxspark.decode.preprocess import ImageLimits
from mxspark.errors import MxsparkError
from mxspark.row_status import RowStatus
from mxspark.run import driver
from mxspark.run.progress import Silent
from mxspark.settings.job import FORMATS, Settings
from mxspark.settings.model_spec import ModelInput, Preprocessing
from mxspark.spark import session, udf
from mxspark.storage import Access, FolderStore
from tests.conftest import DIGITS

BUNDLE = DIGITS / "bundle"
DIGIT = DIGITS / "images" / "0007_7.png"
JOB: dict[str, Any] = {"input": "in", "output": "out", "model": "net"}


@pytest.fixture(scope="module")
def predictor() -> Iterator[Predictor]:
    with Predictor(BUNDLE, top_k=1, batch_size=3) as made:
        yield made


def test_an_image_is_the_same_as_a_file_as_bytes_as_picture_and_as_array(predictor: Predictor) -> None:
    picture = Image.open(DIGIT)
    rows = predictor([DIGIT, str(DIGIT), DIGIT.read_bytes(), picture, np.asarray(picture)])
    assert [row.key for row in rows] == [str(DIGIT), str(DIGIT), "2", "3", "4"]
    assert {row.status for row in rows} == {RowStatus.OK}
    assert len({row.predictions for row in rows}) == 1
    assert rows[0].predictions is not None
    assert rows[0].predictions[0].label == "7"


def test_what_fails_is_a_row_in_its_place(predictor: Predictor) -> None:
    images = [b"", DIGIT, b"x", DIGIT.with_name("none.png"), None, np.zeros((4, 4)), Image.new("F", (4, 4)), "gs://a/b"]
    rows = predictor(images)
    assert [str(row.status) for row in rows] == [
        "empty",
        "ok",
        "not_an_image",
        "missing",
        "missing",
        "unsupported_pixels",
        "unsupported_pixels",
        "fetch_error",
    ]
    assert all(row.error for row in rows if row.status != RowStatus.OK)


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("P", "png"), ("LA", "png"), ("CMYK", "jpg")])
def test_a_picture_becomes_the_pixels_that_its_file_becomes(tmp_path: Path, mode: str, suffix: str) -> None:
    """Its orientation, which is in its EXIF, and its transparency too."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    file = tmp_path / f"turned.{suffix}"
    Image.open(DIGIT).convert(mode).save(file, exif=exif)
    limits, wanted = ImageLimits(10**6, 1, FORMATS), ModelInput(height=8, width=8)
    arrays = [
        preprocess.load_array(data, limits, wanted, Preprocessing(exif_orientation=is_turned))
        for data in (file.read_bytes(), in_memory.as_file(Image.open(file)))
        for is_turned in (True, False)
    ]
    turned, stored = arrays[:2]
    assert not np.array_equal(turned, stored)
    assert np.array_equal(turned, arrays[2])
    assert np.array_equal(stored, arrays[3])


@pytest.mark.parametrize("broken", [b"no TIFF", {0x0112: "six"}, {0x0112: 2**40}])
def test_a_picture_of_broken_exif_is_one_as_its_file_is(broken: bytes | dict[int, Any]) -> None:
    picture = Image.new("RGB", (8, 8))
    if isinstance(broken, bytes):
        picture.info["exif"] = broken
    else:
        picture.getexif().update(broken)

    assert Image.open(io.BytesIO(in_memory.as_file(picture))).size == (8, 8)


def test_images_stream(predictor: Predictor) -> None:
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(DIGIT)
            yield DIGIT

    rows = predictor.stream(endless())
    assert next(rows).status == RowStatus.OK
    assert len(taken) < 100


@pytest.mark.parametrize(
    "kind", [types.BinaryType(), types.StringType(), types.VarcharType(9), types.CharType(9), types.NullType()]
)
def test_a_column_may_have_bytes_or_places(kind: types.DataType) -> None:
    udf.check(column_of(kind))


@pytest.mark.parametrize(
    "kind", [types.DoubleType(), types.ArrayType(types.ByteType()), types.StructType().add("path", types.StringType())]
)
def test_a_column_that_has_no_images_is_refused(kind: types.DataType) -> None:
    with pytest.raises(UsageError, match="the column photo is of the type"):
        udf.check(column_of(kind))


def column_of(kind: types.DataType) -> Any:
    return SimpleNamespace(columns=["photo"], schema=types.StructType().add("photo", kind))


@pytest.mark.parametrize("images", [str(DIGIT), DIGIT, b"bytes", np.zeros((4, 4), np.uint8), [3]])
def test_what_is_no_list_of_images_is_refused(predictor: Predictor, images: Any) -> None:
    with pytest.raises(UsageError, match=r"one image is passed|is no image"):
        predictor(images)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"topk": 3}, "Did you mean top_k"),
        ({"precision": "int8"}, "precision would have no effect"),
        ({"spark": {"executors": 3}}, "spark.executors would have no effect"),
        ({"input.limit": 3}, "input.limit would have no effect"),
        ({"top_k": 3, "input": {"max_pixels": "many"}}, "input.max_pixels"),
    ],
)
def test_a_setting_that_is_wrong_or_useless_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Predictor(BUNDLE, **settings)


def test_what_is_printed_after_a_run_is_no_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_settings: Settings, _access: Access, progress: Silent, _debug: bool) -> None:
        progress.note("json")
        raise MxsparkError("no")

    monkeypatch.setattr(driver, "run", fail)
    with pytest.raises(MxsparkError, match="no"):
        mxspark.run(**JOB, log_format="json")
    console.show_warning("later")
    first, second = capsys.readouterr().err.splitlines()
    assert (json.loads(first)["message"], second) == ("json", "Warning: later")


def test_keywords_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("top_k: 1\nbatch_size: 2\ncontext: auto\n")
    monkeypatch.setenv("MXSPARK_BATCH_SIZE", "3")
    given = {"context": "cpu", "spark": {"conf": {"spark.a.b": "1"}}, "spark.conf.spark.ui.enabled": "false", **JOB}
    given["input"] = [tmp_path / "a", "b"]
    found = api_settings.effective("mxspark.run", given, file)
    chosen = found.settings
    assert (chosen.top_k, chosen.batch_size, chosen.context) == (1, 3, "cpu")
    assert chosen.input.paths == (str(tmp_path / "a"), "b")
    assert chosen.spark.conf == {"spark.a.b": "1", "spark.ui.enabled": "false"}
    assert found.origins["context"] == "mxspark.run"
    with pytest.raises(UsageError, match=r"input\.path is given twice"):
        api_settings.effective("mxspark.run", {**JOB, "input.path": "other"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"spark": {"master": "local[4]"}}, r"spark\.master = local\[4\] .*the session's is local\[2\]"),
        ({"spark": {"driver_memory": "2g"}}, r"spark\.driver\.memory = 2g: the session has none"),
        ({"spark.conf.spark.ui.enabled": "true"}, r"spark\.ui\.enabled = true: the session has false"),
        ({"kubernetes.namespace": "mine"}, r"kubernetes\.namespace .*how Spark is started"),
    ],
)
def test_what_a_session_can_do_no_more_is_refused(
    given: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = {"spark.ui.enabled": "false", "spark.a": "1"}
    monkeypatch.setattr(session, "context", lambda: SimpleNamespace(master="local[2]", getConf=lambda: has))
    same = {"spark.master": "local[2]", "spark.conf.spark.a": "1"}
    for settings in (JOB, JOB | same):
        found = api_settings.effective("mxspark.run", settings)
        session.check(found.settings, found.origins)
    found = api_settings.effective("mxspark.run", JOB | given)
    with pytest.raises(UsageError, match=words):
        session.check(found.settings, found.origins)


@pytest.mark.parametrize(
    ("master", "failures"), [("local", 1), ("local[*]", 1), ("local[2, 8]", 8), ("yarn", 4), ("spark://a:1", 4)]
)
def test_how_often_a_session_tries_a_task(master: str, failures: int) -> None:
    assert session.task_failures(SimpleNamespace(master=master, getConf=dict)) == failures


ROWS = (
    Row("a.png", RowStatus.OK, None, (Prediction(1, "one", 0.75),), {"features": np.array([1, 2], np.float32)}),
    Row("b.png", RowStatus.EMPTY, "the object has no bytes"),
)


def written(folder: Path, output_format: str, finished: bool = True) -> str:
    """An output of two parts."""
    store = FolderStore(folder)
    settings = Settings.model_validate(
        {"input": {"path": "i"}, "output": {"path": "o", "format": output_format}} | {"model": {"path": "m"}}
    )
    with closing(KeySpool()) as spool:
        spool.fill(iter([row.key for row in ROWS]))
        plan.write(store, spool, 1, {}, settings.model_dump(mode="json"), {})
    columns = Columns((VectorColumn("features", 2),) if output_format != "text" else ())
    for shard, row in enumerate(ROWS):
        kept = row if columns.vectors else replace(row, vectors={})
        store.write(PARTS[output_format].name(shard), predictions.encode([kept], None, output_format, columns))
    if finished:
        store.write("_SUCCESS", b"")
    return str(folder)


@pytest.mark.parametrize("output_format", ["parquet", "jsonl", "text"])
def test_a_table_is_read_in_each_format(tmp_path: Path, output_format: str) -> None:
    output = written(tmp_path, output_format)
    table = mxspark.read(output, as_="arrow")
    frame = mxspark.read(output)
    assert list(frame["key"]) == table["key"].to_pylist() == ["a.png", "b.png"]
    assert list(frame["status"]) == ["ok", "empty"]
    assert table["predictions"].to_pylist() == [[{"index": 1, "label": "one", "probability": 0.75}], None]
    if output_format != "text":
        assert table["features"].to_pylist()[0] == [1, 2]
        assert str(table.schema.field("features").type).startswith("fixed_size_list")


def test_an_unfinished_table_is_read_only_when_that_is_said(tmp_path: Path) -> None:
    output = written(tmp_path, "parquet", finished=False)
    (tmp_path / PARTS["parquet"].name(1)).unlink()
    with pytest.raises(UsageError, match=r"not ended with success.*\n.*unfinished=True"):
        mxspark.read(output)
    assert list(mxspark.read(output, unfinished=True)["key"]) == ["a.png"]


@pytest.mark.parametrize("as_", ["pandas", "arrow", "spark"])
def test_a_table_that_lacks_a_part_is_not_taken_for_whole(tmp_path: Path, as_: Any) -> None:
    output = written(tmp_path, "parquet")
    (tmp_path / PARTS["parquet"].name(1)).unlink()

    with pytest.raises(UsageError, match="of its 2 parts 1 is not there"):
        mxspark.read(output, as_=as_)
    assert list(mxspark.read(output, unfinished=True)["key"]) == ["a.png"]


def test_parts_that_the_plan_does_not_have_are_not_read(tmp_path: Path) -> None:
    output, name = written(tmp_path, "parquet"), PARTS["parquet"].name
    shutil.copy(tmp_path / name(1), tmp_path / name(2))

    assert list(mxspark.read(output)["key"]) == ["a.png", "b.png"]


def test_vectors_of_several_lengths_are_no_table(tmp_path: Path) -> None:
    output = written(tmp_path, "jsonl")
    part = tmp_path / PARTS["jsonl"].name(1)
    part.write_text((tmp_path / PARTS["jsonl"].name(0)).read_text().replace("[1.0", "[7.0,1.0"))

    with pytest.raises(MxsparkError, match="different lengths"):
        mxspark.read(output)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run has a plan here"):
        mxspark.read(tmp_path)
    with pytest.raises(UsageError, match="as_ is 'polars'"):
        mxspark.read(tmp_path, as_="polars")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="no active SparkSession"):
        mxspark.read(written(tmp_path, "parquet"), as_="spark")


def test_the_dag_calls_what_there_is() -> None:
    """Airflow itself has read it by hand: it is too large for each run of the tests."""
    tree = ast.parse((DIGITS.parent / "airflow" / "mxspark_dag.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (call,) = [node for node in calls if ast.unparse(node.func) == "mxspark.run"]
    values = {
        keyword.arg: ast.unparse(keyword.value).strip("f'") if keyword.arg != "spark" else {"master": "local[4]"}
        for keyword in call.keywords
        if keyword.arg
    }
    assert api_settings.effective("mxspark.run", values).settings.spark.master == "local[4]"
    (pod,) = [node for node in calls if ast.unparse(node.func) == "KubernetesPodOperator"]
    arguments = ast.unparse(next(keyword.value for keyword in pod.keywords if keyword.arg == "arguments"))
    flags = re.findall(r"'(--[a-z-]+)'", arguments)
    settings = ("input.path", "output.path", "model.path", "spark.master")
    assert flags == [flag for setting in settings for flag in flags_of(setting)]
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in attributes if ast.unparse(node.value) == "summary"}
    assert used
    assert used <= set(mxspark.Summary.__dataclass_fields__)
