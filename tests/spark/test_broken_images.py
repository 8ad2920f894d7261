"""A broken image is a row that says what was wrong with it, not a crash; how many may be broken is the user's choice."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.command import Command, names, summary
from tests.spark.conftest import Run

GOOD = "0007_7.png"


@pytest.fixture(scope="module")
def folder(digits_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good image among broken ones."""
    folder = tmp_path_factory.mktemp("broken")
    good = (digits_images / GOOD).read_bytes()
    (folder / GOOD).write_bytes(good)
    (folder / "cut short.png").write_bytes(good[: len(good) * 2 // 3])
    (folder / "empty.png").write_bytes(b"")
    (folder / "letter.png").write_text("Dear Sir or Madam,\n")
    (folder / "too many bytes.png").write_bytes(good + bytes(3000))
    Image.new("L", (200, 100)).save(folder / "too many pixels.png")
    (folder / "linked to nothing.png").symlink_to(folder / "nothing.png")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(good)
    (folder / "notes.txt").write_text("no image")
    return folder


def command(folder: Path, bundle: Path, output: Path, *flags: str) -> tuple[str | Path, ...]:
    limits = ("--set", "input.max_bytes=2000", "--set", "input.max_pixels=10000")
    return "run", "--input", folder, "--model", bundle, "--output", output, "--format", "jsonl", *limits, *flags


@pytest.fixture(scope="module")
def run(mxspark: Command, folder: Path, digits_bundle: Path, copied: Path) -> Run:
    """The broken images in place of an earlier table, as lines of JSON. By default few may be broken: the run ends with 3."""
    return Run(mxspark(*command(folder, digits_bundle, copied, "--overwrite", "--yes")).ended_with(3), copied)


@pytest.fixture(scope="module")
def rows(run: Run) -> dict[str, Any]:
    """What the lines say, by key."""
    lines = [json.loads(line) for part in run.output.glob("part-*.jsonl") for line in part.read_text().splitlines()]
    rows = {line["key"]: line for line in lines}
    assert len(rows) == len(lines), "a key has two rows"
    return rows


def test_every_image_has_a_row(rows: dict[str, Any], folder: Path) -> None:
    images = [os.fsencode(name).decode(errors="backslashreplace") for name in names(folder) if name != "notes.txt"]
    assert sorted(rows) == sorted(images)
    assert {tuple(row) for row in rows.values()} == {("key", "status", "error", "predictions")}


def test_nothing_of_the_earlier_table_is_left(run: Run, rows: dict[str, Any]) -> None:
    assert names(run.output) == ["_plan", "_summary.json", *names(run.output, "part-*.jsonl")]


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("cut short.png", "truncated", "truncated"),
        ("empty.png", "empty", "no bytes"),
        ("letter.png", "not_an_image", "PNG"),
        ("too many bytes.png", "too_large", "more than the 2,000 allowed"),
        ("too many pixels.png", "too_many_pixels", "200 x 100 pixels, more than the 10,000 allowed"),
        ("linked to nothing.png", "missing", "no such file"),
    ],
)
def test_the_row_of_a_broken_image_says_what_was_wrong(rows: dict[str, Any], name: str, status: str, words: str) -> None:
    row = rows[name]
    assert row["status"] == status
    assert words in row["error"]
    assert row["predictions"] is None
    assert "Traceback" not in row["error"]


@pytest.mark.parametrize("key", [GOOD, r"caf\xe9.png"])
def test_the_good_images_among_them_are_predicted(rows: dict[str, Any], key: str) -> None:
    good = rows[key]
    assert (good["status"], good["error"]) == ("ok", None)
    assert (good["predictions"][0]["index"], good["predictions"][0]["label"]) == (7, "7")
    assert good["predictions"][0]["probability"] > 0.9


def test_the_run_says_how_many_failed_and_is_no_success(run: Run) -> None:
    assert "8 images: 2 ok, 6 failed" in run.finished.output
    assert "6 of 8 images failed, more than max_failed_fraction 0.05 allows" in run.finished.errors
    assert "--max-failed-fraction" in run.finished.errors
    assert "Traceback" not in run.finished.text
    assert not (run.output / "_SUCCESS").exists()
    assert summary(run.output)["failed"] == 6


def test_what_has_no_row_is_counted_and_told(run: Run) -> None:
    assert "Skipped: 1 .txt" in run.finished.errors.partition("Predicting")[0]
    assert "Skipped: 1 .txt" in run.finished.output
    assert "input.suffixes=[]" in run.finished.output
    assert summary(run.output)["skipped"] == {".txt": 1}


def test_how_many_may_fail_can_be_said_afterwards(run: Run, mxspark: Command, folder: Path, digits_bundle: Path) -> None:
    finished = mxspark(*command(folder, digits_bundle, run.output, "--max-failed-fraction", "0.9")).succeeded()
    assert "8 images: 2 ok, 6 failed" in finished.output
    assert (run.output / "_SUCCESS").exists()
    assert "Skipped: 1 .txt" in finished.errors
    assert summary(run.output)["skipped"] == {".txt": 1}
