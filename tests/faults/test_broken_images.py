"""A broken image is a row that says what was wrong with it, not a crash; how many may be broken is the user's choice.

One run of a thousand odd, broken and hostile files (corpus.py), and of some for which it takes a folder.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.command import Command, names, summary
from tests.conftest import Here
from tests.faults.corpus import is_told_well, listed, specimens
from tests.faults.specimens import MAX_PIXELS
from tests.spark.conftest import Run

GOOD = "0007_7.png"
MOST_BYTES = 3_000_000  # more than any file of the corpus has
# docs/local.md lists them; `too_many_frames` is for images of more pages than are allowed.
STATUSES = {
    "ok", "empty", "not_an_image", "too_many_pixels", "too_many_frames", "truncated", "decode_error",
    "unsupported_format", "unsupported_pixels", "too_large", "missing",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(digits_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus, and good images among broken ones."""
    folder = tmp_path_factory.mktemp("broken")
    for specimen in specimens().values():
        path = folder / specimen.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(specimen.data)
    good = (digits_images / GOOD).read_bytes()
    (folder / GOOD).write_bytes(good)
    (folder / "cut short.png").write_bytes(good[: len(good) * 2 // 3])
    (folder / "empty.png").write_bytes(b"")
    (folder / "letter.png").write_text("Dear Sir or Madam,\n")
    (folder / "too many bytes.png").write_bytes(good + bytes(MOST_BYTES))
    Image.new("L", (2000, 1000)).save(folder / "too many pixels.png")
    (folder / "linked to nothing.png").symlink_to(folder / "nothing.png")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(good)
    (folder / "notes.txt").write_text("no image")
    return folder


def command(folder: Path, bundle: Path, output: Path, *flags: str) -> tuple[str | Path, ...]:
    limits = (
        "--set",
        f"input.max_bytes={MOST_BYTES}",
        "--set",
        f"input.max_pixels={MAX_PIXELS}",
        "--set",
        "max_failed_after=10000",
    )
    return (
        "run",
        "--input",
        folder,
        "--model",
        bundle,
        "--output",
        output,
        "--format",
        "jsonl",
        "--master",
        "local[1]",
        *limits,
        *flags,
    )


@pytest.fixture(scope="module")
def run(mxspark: Command, folder: Path, digits_bundle: Path, copied: Path) -> Run:
    """The broken images in place of an earlier table, as lines of JSON. By default few may be broken: the run ends
    with 3.
    """
    return Run(mxspark(*command(folder, digits_bundle, copied, "--overwrite", "--yes")).ended_with(3), copied)


@pytest.fixture(scope="module")
def told(rows: dict[str, Any]) -> str:
    """How the rows are counted."""
    failed = sum(row["status"] != "ok" for row in rows.values())
    return f"{len(rows):,} images: {len(rows) - failed:,} ok, {failed:,} failed"


@pytest.fixture(scope="module")
def rows(run: Run) -> dict[str, Any]:
    """What the lines say, by key."""
    lines = [json.loads(line) for part in run.output.glob("part-*.jsonl") for line in part.read_text().splitlines()]
    rows = {line["key"]: line for line in lines}
    assert len(rows) == len(lines), "a key has two rows"
    return rows


def test_every_image_has_a_row(rows: dict[str, Any], folder: Path) -> None:
    images = [os.fsencode(name).decode(errors="backslashreplace") for name in names(folder, "*.png")]
    assert sorted(rows) == sorted([*images, *specimens()])
    assert {tuple(row) for row in rows.values()} == {("key", "status", "error", "predictions")}


def test_every_row_of_the_corpus_says_what_its_file_may_become(rows: dict[str, Any]) -> None:
    wrong = (
        f"{name}: {rows[name]['status']} ({rows[name]['error']})"
        for name, specimen in specimens().items()
        if rows[name]["status"] not in specimen.statuses
    )
    assert listed(wrong) == ""
    assert {row["status"] for row in rows.values()} <= STATUSES


def test_every_row_has_either_predictions_or_an_error_in_one_line(rows: dict[str, Any]) -> None:
    def is_right(row: dict[str, Any]) -> bool:
        return is_told_well(row["status"], row["error"]) and bool(row["predictions"]) == (row["status"] == "ok")

    assert listed(str(row) for row in rows.values() if not is_right(row)) == ""


def test_nothing_of_the_earlier_table_is_left(run: Run, rows: dict[str, Any]) -> None:
    assert names(run.output) == ["_plan", "_report.html", "_runs", "_summary.json", *names(run.output, "part-*.jsonl")]


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("cut short.png", "truncated", "truncated"),
        ("empty.png", "empty", "no bytes"),
        ("letter.png", "not_an_image", "PNG"),
        ("too many bytes.png", "too_large", "more than the 3,000,000 allowed"),
        ("too many pixels.png", "too_many_pixels", "2000 x 1000 pixels, more than the 1,000,000 allowed"),
        ("linked to nothing.png", "missing", "no such file"),
    ],
)
def test_the_row_of_a_broken_image_says_what_was_wrong(
    rows: dict[str, Any], name: str, status: str, words: str
) -> None:
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


def test_the_run_says_how_many_failed_and_is_no_success(run: Run, rows: dict[str, Any], told: str) -> None:
    failed = sum(row["status"] != "ok" for row in rows.values())
    assert told in run.finished.output
    assert (
        f"{failed:,} of {len(rows):,} images failed, more than max_failed_fraction 0.05 allows" in run.finished.errors
    )
    assert "--max-failed-fraction" in run.finished.errors
    assert "Traceback" not in run.finished.text
    assert not (run.output / "_SUCCESS").exists()
    assert summary(run.output)["failed"] == failed


def test_what_has_no_row_is_counted_and_told(run: Run) -> None:
    assert "Skipped: 1 .txt" in run.finished.errors.partition("Predicting")[0]
    assert "Skipped: 1 .txt" in run.finished.output
    assert "input.suffixes=[]" in run.finished.output
    assert summary(run.output)["skipped"] == {".txt": 1}


def test_how_many_may_fail_can_be_said_afterwards(
    run: Run, here: Here, no_aws: None, folder: Path, digits_bundle: Path, told: str
) -> None:
    finished = here(*command(folder, digits_bundle, run.output, "--max-failed-fraction", "0.99")).succeeded()
    assert told in finished.output
    assert "Starting Spark" not in finished.errors
    assert (run.output / "_SUCCESS").exists()
    assert "Skipped: 1 .txt" in finished.errors
    assert summary(run.output)["skipped"] == {".txt": 1}
