"""`mxspark estimate`: a sample in real worker processes, and the arithmetic; Spark is started in tests/spark."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import DIGITS, Here
from tests.documentation import filled, shown

from mxspark import host
from mxspark.benchmark import estimate
from mxspark.benchmark.crew import Crew
from mxspark.benchmark.estimate import Estimate, Request, ShardTimes
from mxspark.benchmark.results import Machine
from mxspark.errors import MxsparkError
from mxspark.inference.mxnet_process import CrashError
from mxspark.run.progress import Silent
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings, SparkSettings
from mxspark.spark import application

FEW = ("--images", "8", "--seconds", "0")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 digits, for a machine of one core, on which Spark starts in 7 s."""
    monkeypatch.setattr(host, "cores", lambda: 1)
    monkeypatch.setattr(estimate, "_spark_seconds", lambda *_: 7.0)
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted((DIGITS / "images").glob("*.png"))[:24]:
        shutil.copy(path, folder)
    return folder


def test_a_sample_tells_what_all_images_take_here_and_on_executors(images: Path, here: Here, tmp_path: Path) -> None:
    (images / "notes.txt").write_text("no image")
    before = sorted(tmp_path.rglob("*"))
    (command,) = shown("docs/performance.md", "mxspark", "estimate")
    words = filled(command[1:], {"photos": images, "bundle": DIGITS / "bundle"})
    asked = ("--executors", "4", "--cores", "2", "--price-per-core-hour", "36", "--batch-size", "4")
    told = here(*words, *FEW, *asked, "--json").succeeded()
    found = json.loads(told.output)

    assert (found["images"], found["sample"], found["workers"], found["skipped"]) == (24, 8, 1, {".txt": 1})
    times, start, (machine, executors) = found["times"], found["start"], found["forecasts"]
    assert found["measured"]["rate"] == pytest.approx(1 / times["image"])
    before_shards = start["command"] + start["model"] + start["listing"] + max(7.0, start["workers"])
    shards = 24 * times["image"] + 6 * times["shard"]
    assert machine["seconds"] == pytest.approx(before_shards + times["first"] + shards)
    assert machine["core_hours"] == pytest.approx(machine["seconds"] / 3600)
    assert executors["where"] == "4 executors of 2 cores"
    assert (executors["workers"], executors["cores"]) == (8, 9)  # the driver's too
    assert executors["rate"] == pytest.approx(8 / (times["image"] + 8 / 24 * times["shard"]))
    assert executors["cost"] == pytest.approx(9 * 36 * executors["seconds"] / 3600)
    assert "24 images of" not in found["assumptions"][0]
    assert "All images are like the 8 images of the sample" in found["assumptions"][0]
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cannot_be_estimated_is_an_error_with_its_cause(
    images: Path, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    places = ("--input", images, "--model", DIGITS / "bundle")
    model = ("--model", DIGITS / "bundle")

    def refused(*arguments: str | Path) -> str:
        return here("estimate", *arguments, *FEW).ended_with(2).errors

    (tmp_path / "empty").mkdir()
    assert "no images" in refused("--input", tmp_path / "empty", *model)
    assert "model" in refused("--input", images)
    assert "nowhere" in refused("--input", images, "--model", tmp_path / "nowhere")
    refused("--input", "s3://images/photos", *model, "--endpoint-url", f"http://127.0.0.1:{unused_port}")
    assert "context is gpu" in refused(*places, "--context", "gpu")
    assert "--cores are those of an executor" in refused(*places, "--cores", "2")
    for price in ("nan", "inf"):
        assert "--price-per-core-hour" in refused(*places, "--price-per-core-hour", price)
    assert "has no room for a worker" in refused(*places, "--executors", "2", "--set", "spark.task_cpus=2")

    def crash(_crew: Crew) -> None:
        raise CrashError(-11, "")

    with monkeypatch.context() as patch:
        patch.setattr(Crew, "start", crash)
        assert "MXNet crashes on the sample" in here("estimate", *places, *FEW).ended_with(1).errors
    for path in images.iterdir():
        path.write_text("no image")
    assert "none of the 8 images of the sample can be decoded" in refused(*places)


NOTHING_LEFT = Estimate(
    Machine("chip", 1, 2**30, {}, "2026-11-30"), None, "digits", "fp32", 0, 9, {}, 0, None, None, 1, None, (), ()
)


def test_what_images_shards_and_the_first_of_a_worker_take_is_told_apart() -> None:
    """0.1 s an image, in batches of 4: 10 images take 3 passes; 0.2 s for a shard, 1 s for a first one."""
    assert vars(ShardTimes.of(2.4, 1.4, 0.6, 3, 4)) == pytest.approx({"image": 0.1, "shard": 0.2, "first": 1.0})
    assert vars(ShardTimes.of(1.6, 0.6, 0.6, 1, 4)) == pytest.approx({"image": 0.15, "shard": 0, "first": 1.0})
    busy = ShardTimes.of(0.5, 0.6, 0.7, 3, 4)  # the machine did something else
    assert vars(busy) == pytest.approx({"image": 0.05, "shard": 0, "first": 0})


def settings(**spark: Any) -> Settings:
    return Settings(
        input=InputSettings(path="images"),
        output=OutputSettings(path="table"),
        model=ModelSettings(path="net"),
        spark=SparkSettings(master="k8s://https://cluster", **spark),
    )


def test_executors_are_as_many_as_a_run_has_at_most() -> None:
    chosen = settings(executors=2, dynamic_allocation={"enabled": True, "max_executors": 9})
    assert estimate._executors(chosen, Request()) == (9, 1)
    assert estimate._executors(settings(executors=2), Request()) == (2, 1)


def test_spark_starts_without_the_users_properties_and_where_it_cannot_its_time_is_assumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which may have it write an event log."""

    def refuse(chosen: Settings, *_: object) -> None:
        assert (chosen.spark.conf, chosen.spark.master) == ({}, "local[*]")
        assert not any(Path(os.environ["SPARK_CONF_DIR"]).iterdir())  # no spark-defaults.conf
        raise MxsparkError("no Java")

    monkeypatch.setattr(application, "Application", refuse)
    monkeypatch.setenv("SPARK_CONF_DIR", "theirs")
    assert estimate._spark_seconds(settings(conf={"spark.eventLog.enabled": "true"}), Silent()) == 10
    assert os.environ["SPARK_CONF_DIR"] == "theirs"


@pytest.mark.parametrize("command", [("estimate",), ("run", "--dry-run", "--output", "table")])
def test_an_estimate_is_json_where_that_is_asked_for_and_is_no_run(
    command: tuple[str, ...], here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (*command, "--input", "images", "--model", "net")
    monkeypatch.setattr(estimate, "run", lambda *_: NOTHING_LEFT)
    told = here(*given, "--log-format", "json").succeeded()
    assert (told.errors, json.loads(told.output)["event"], json.loads(told.output)["done"]) == ("", "estimate", 9)
    assert here(*given).succeeded().output == "Nothing is left to do; 9 are done.\n"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(estimate, "run", interrupt)
    assert here(*given).ended_with(130).errors.splitlines()[-1] == "Warning: interrupted"
