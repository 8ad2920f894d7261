"""`mxspark bench`: what is measured, in real worker processes, and the settings that follow from it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import DIGITS, Here
from tests.documentation import filled, shown

from mxspark import host
from mxspark.benchmark.configuration import Configuration, Request, configurations, threads_to_try
from mxspark.benchmark.results import Row, Speed, choose, chosen_yaml
from mxspark.benchmark.rounds import MOST_ROUNDS, Rounds
from mxspark.benchmark.worker import Measured, Stage
from mxspark.cli import run as run_command
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference.mxnet_process import CrashError
from mxspark.inference.optimize import Candidate
from mxspark.run.precision import Optimizer
from mxspark.run.progress import Silent
from mxspark.settings.job import Settings

FP32, INT8 = Configuration("fp32", 8, 2, 1), Configuration("int8", 8, 2, 1)
FEW = ("--images", "12", "--threads", "1", "--batch-size", "4", "--seconds", "0")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted((DIGITS / "images").glob("*.png"))[::75]:
        shutil.copy(path, folder)
    return folder


def row(one: Configuration, rate: float, memory: int = 100) -> Row:
    return Row(one, Speed(rate, 1.0), Speed(2 * rate, 0.5), memory)


def test_precisions_are_measured_in_worker_processes_and_run_takes_the_settings_that_are_chosen(
    tmp_path: Path, images: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the commands of docs/performance.md."""
    monkeypatch.setattr(host, "cores", lambda: 1)
    save = tmp_path / "best.yaml"
    (bench,) = shown("docs/performance.md", "mxspark", "bench", "--input", "photos")
    places = filled(bench[1:], {"photos": images, "bundle": DIGITS / "bundle", "best.yaml": save})
    precisions = ("--precision", "fp32", "--precision", "int8", "--min-agreement", "0.1")
    told = here(*places, "--set", "pipeline.fetch_threads=2", *precisions, *FEW, "--json").succeeded()
    found = json.loads(told.output)
    assert "Round 1: int8, batches of 4, 1 x 1 threads (2 of 2)" in told.errors
    assert [(one["precision"], one["workers"]) for one in found["configurations"]] == [("fp32", 1), ("int8", 1)]
    for part in (*found["configurations"], found["reading"], found["decoding"]):
        assert all(value > 0 for value in part.values() if not isinstance(value, str))
    assert found["agreement"]["int8"]["images"] == 8
    assert found["limit"]["images_per_second"] > 0

    taken: list[Settings] = []
    monkeypatch.setattr(run_command, "run_job", lambda settings, *_: taken.append(settings))
    (run,) = shown("docs/performance.md", "mxspark", "run", "--settings")
    here(*filled(run[1:], {"best.yaml": save, "predictions": tmp_path / "out"})).succeeded()
    (settings,) = taken
    assert (settings.precision, settings.batch_size) == (found["chosen"]["precision"], 4)
    assert (settings.spark.master, settings.spark.task_cpus) == ("local[1]", 1)
    assert (settings.input.path, settings.pipeline.fetch_threads) == (str(images), 2)
    here(*places).ended_with(2)


def test_what_is_no_image_and_a_precision_that_cannot_be_had_are_told(
    tmp_path: Path, images: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Optimizer, "candidates", lambda *_: (Candidate("bf16", tmp_path, trouble="this machine can't"),)
    )
    places = ("--input", images, "--model", DIGITS / "bundle")
    told = here("bench", *places, "--precision", "bf16", *FEW).ended_with(2)
    assert "no precision of those asked for can be measured: bf16: this machine can't" in told.errors
    monkeypatch.setattr(host, "cores", lambda: 1)
    for path in images.iterdir():
        path.write_text("no image")
    told = here("bench", *places, "--precision", "fp32", *FEW).ended_with(2)
    assert "none of the 12 images of the sample can be decoded: " in told.errors
    told = here("bench", *places, "--threads", "4096").ended_with(2)
    assert "--threads 4096: this machine lets mxspark use 1 core" in told.errors
    told = here("bench", *places, "--set", "context=gpu").ended_with(2)
    assert "context is gpu, and CPUs are what is measured here" in told.errors


def test_workers_and_threads_fit_the_cores() -> None:
    assert threads_to_try((), 1) == (1,)
    assert threads_to_try((), 3) == (1, 2)
    assert threads_to_try((), 64) == (1, 2, 4)
    assert threads_to_try((3, 3), 4) == (3,)
    with pytest.raises(UsageError, match="--threads 5"):
        threads_to_try((5,), 4)
    request = Request(("fp32", "int8"), (8, 16), (1, 2), 12, 1.0)
    found = configurations(request, ("int8",), 5)
    assert [(one.workers, one.threads, one.batch_size) for one in found] == [
        (5, 1, 8),
        (5, 1, 16),
        (2, 2, 8),
        (2, 2, 16),
    ]


@pytest.mark.parametrize(
    ("rows", "refused", "chosen"),
    [
        ([row(FP32, 10), row(INT8, 20)], {}, INT8),
        ([row(FP32, 10), row(INT8, 20)], {"int8": "too far"}, FP32),
        ([row(FP32, 19.5), row(INT8, 20)], {}, FP32),  # as fast, and nothing changes
        ([row(FP32, 20), row(replace(FP32, batch_size=4), 19.8, memory=50)], {}, replace(FP32, batch_size=4)),
        ([row(INT8, 20)], {"int8": "too far"}, None),
    ],
)
def test_the_fastest_that_may_be_chosen_is(
    rows: list[Row], refused: dict[Any, str], chosen: Configuration | None
) -> None:
    found = choose(rows, refused)
    assert (found and found.configuration) == chosen


def test_the_settings_of_a_cluster_stay_and_have_a_core_for_each_thread_and_no_secret() -> None:
    settings = Settings.model_validate(
        {
            "input": {"path": "s3://images"},
            "output": {"path": "s3://out"},
            "model": {"path": "s3://model"},
            "spark": {"master": "k8s://https://a:1", "conf": {"spark.a.secret": "hidden", "spark.b": "c"}},
        }
    )
    text = chosen_yaml(settings, Configuration("int8", 32, 1, 2))
    assert text == (
        "input:\n  path: s3://images\nmodel:\n  path: s3://model\nspark:\n  master: k8s://https://a:1\n"
        "  conf:\n    spark.b: c\n  task_cpus: 2\n  executor_cores: 2\nprecision: int8\nbatch_size: 32\n"
    )


class FakeCrew:
    """Measures what it is given; `starts` counts what would start processes."""

    def __init__(self, memory: int = 1, error: Exception | None = None) -> None:
        self._measured = Measured(10, 1.0, 2.0, memory)
        self._error = error
        self.starts, self._runs = 0, False

    def measure(self, _stage: Stage) -> tuple[Measured, ...]:
        if self._error:
            raise self._error
        self.starts += not self._runs
        self._runs = True
        return (self._measured, self._measured)

    def end(self) -> None:
        self._runs = False


@pytest.fixture
def rounds() -> Callable[..., Rounds]:
    def of(seconds: float, **crews: FakeCrew) -> Rounds:
        found = Rounds(Silent(), seconds)
        for number, crew in enumerate(crews.values(), 1):
            found.add(replace(FP32, batch_size=number), crew)  # type: ignore[arg-type]
        return found

    return of


def test_workers_wait_for_their_next_round_only_where_memory_allows_it(
    rounds: Callable[..., Rounds], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "memory", lambda: 100)
    first, second = FakeCrew(memory=20), FakeCrew(memory=20)
    found = rounds(1000, first=first, second=second)
    found.run()
    assert (found.number, first.starts, second.starts) == (MOST_ROUNDS, 1, MOST_ROUNDS)
    (row_of_first, _) = found.rows()
    assert (row_of_first.whole, row_of_first.memory) == (Speed(20.0, 200.0), 20)


def test_a_configuration_that_crashes_is_told_and_the_others_are_measured(rounds: Callable[..., Rounds]) -> None:
    found = rounds(0, first=FakeCrew(error=CrashError("killed by signal 11")), second=FakeCrew())
    found.run()
    assert found.number == 1
    assert list(found.unusable.values()) == ["MXNet crashes (killed by signal 11)"]
    assert [one.configuration.batch_size for one in found.rows()] == [2]
    with pytest.raises(MxsparkError, match="no configuration can be measured: MXNet crashes"):
        rounds(0, first=FakeCrew(error=CrashError("killed by signal 11"))).run()
