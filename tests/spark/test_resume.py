"""The same command again does what is missing; another job is refused; --overwrite starts afresh."""

import re
import shutil
from pathlib import Path

import pytest
from tests.command import Command, Finished, names, summary
from tests.conftest import Here
from tests.spark.conftest import Run, digits_arguments, read_table

LOST = "part-000003.parquet"
Again = tuple[str | Path, ...]


@pytest.fixture(scope="module")
def again(copied: Path, digits_images: Path, digits_bundle: Path) -> Again:
    """The command that made the copied folder."""
    return "run", *digits_arguments(digits_images, digits_bundle), "--output", copied


def times(folder: Path) -> dict[str, int]:
    """When each part was written [ns]."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def test_a_table_that_is_whole_is_left_alone_and_spark_is_not_started(
    here: Here, no_aws: None, copied: Path, again: Again
) -> None:
    before = times(copied)
    finished = here(*again).succeeded()
    assert "1,797 of 1,797 images done, 0 are left in 0 of 21 shards" in finished.errors
    assert "Starting Spark" not in finished.errors
    assert "1,797 images: 1,797 ok" in finished.output
    assert times(copied) == before


def test_an_empty_part_is_removed_so_that_the_same_command_does_it_again(
    here: Here, no_aws: None, copied: Path, again: Again, tmp_path: Path
) -> None:
    """As a store may make one of an upload that broke off."""
    table = Path(shutil.copytree(copied, tmp_path / "table"))
    (table / LOST).write_bytes(b"")
    finished = here(*again[:-1], table).ended_with(1)
    assert f"{table}/{LOST} is empty" in finished.errors
    assert not (table / LOST).exists()
    assert not (table / "_SUCCESS").exists()


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (("--top-k", "3"), "top_k: 5 -> 3"),
        (("--limit", "10"), "input.limit: None -> 10"),
        (("--format", "jsonl"), "format: parquet -> jsonl"),
        (("--set", "input.suffixes=[.png]"), "input.suffixes:"),
    ],
    ids=["top-k", "limit", "format", "suffixes"],
)
def test_another_job_is_refused_by_the_name_of_what_differs(
    here: Here, no_aws: None, copied: Path, again: Again, flags: tuple[str, ...], difference: str
) -> None:
    before = times(copied)
    finished = here(*again, *flags).ended_with(2)
    assert difference in finished.errors
    assert "--overwrite" in finished.errors
    assert times(copied) == before


def test_another_model_is_refused(
    here: Here, no_aws: None, copied: Path, again: Again, digits_bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "bundle"
    other.mkdir()
    for path in digits_bundle.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    spec = other / "model.yaml"
    spec.write_text(spec.read_text().replace("filter: bilinear", "filter: lanczos"))
    assert "lanczos" in spec.read_text()
    finished = here(*again, "--model", other).ended_with(2)
    assert "model: " in finished.errors


def test_what_changes_no_prediction_is_not_refused(here: Here, no_aws: None, copied: Path, again: Again) -> None:
    here(*again, "--batch-size", "8", "--max-failed-fraction", "0.5", "--set", "pipeline.fetch_threads=3").succeeded()
    assert (copied / "_SUCCESS").exists()


@pytest.fixture(scope="module")
def resumed(mxspark: Command, copied: Path, again: Again) -> tuple[dict[str, int], Finished]:
    """One part and the mark of success were lost, and the same command was run; when the other parts had been
    written.
    """
    (copied / LOST).unlink()
    (copied / "_SUCCESS").unlink()
    before = times(copied)
    return before, mxspark(*again).succeeded()


def test_only_the_lost_part_is_written(resumed: tuple[dict[str, int], Finished], copied: Path, digits_run: Run) -> None:
    before, finished = resumed
    after = times(copied)
    assert after.pop(LOST)
    assert after == before
    rows = len(read_table(str(digits_run.output / LOST)))
    assert re.search(
        rf"Predicting 1,797 images in \d+ shards, of which an earlier run did {1797 - rows:,}", finished.errors
    )
    assert summary(copied)["this_run"]["images"] == rows


def test_the_resumed_table_is_that_of_a_run_without_interruption(
    resumed: tuple[dict[str, int], Finished], copied: Path, digits_run: Run
) -> None:
    assert names(copied) == names(digits_run.output)
    assert (copied / LOST).read_bytes() == (digits_run.output / LOST).read_bytes()
    assert read_table(str(copied)).to_json() == digits_run.table.to_json()
    assert summary(copied)["accuracy"] == summary(digits_run.output)["accuracy"]


def test_not_even_overwriting_touches_what_is_not_mxsparks(
    here: Here, no_aws: None, copied: Path, again: Again
) -> None:
    (copied / "notes.txt").write_text("mine")
    before = names(copied)
    finished = here(*again, "--overwrite").ended_with(2)
    assert "notes.txt" in finished.errors
    assert names(copied) == before
