"""What is planned is what is predicted: once, whatever comes later, until somebody says that all is to start afresh,
and means it.

One story: a run on a list that names images twice, with --overwrite though its folder isn't there yet; one image comes
later and another is replaced; the same command again; then --overwrite where nobody can be asked, where somebody says
no, and where somebody says yes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.command import Command, Finished, names, summary
from tests.faults.runs import Job, rows_of, some_digits
from tests.terminal import Terminal

DIGITS, SHARD = 60, 20
LATE = "late.png"
REPLACED, BY = "0003_3.png", "0007_7.png"


@dataclass(frozen=True)
class Table:
    """The parts, when each was written [ns], and whether the table is marked as whole."""

    parts: dict[str, bytes]
    times: dict[str, int]
    succeeded: bool


@dataclass(frozen=True)
class Step:
    """A command that ended, the table after it, and what its summary says of the plan."""

    finished: Finished
    table: Table
    plan: dict[str, Any]


def step(finished: Finished, job: Job) -> Step:
    times = {name: (job.output / name).stat().st_mtime_ns for name in job.parts}
    return Step(finished, Table(job.contents, times, job.succeeded), summary(job.output)["plan"])


@pytest.fixture(scope="module")
def images(digits_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, and a list that was put together out of two that overlap."""
    folder = some_digits(digits_images, tmp_path_factory.mktemp("overwriting") / "images", DIGITS)
    keys = names(folder)
    (folder / "keys.txt").write_text("\n".join([*keys[: DIGITS * 2 // 3], *keys[DIGITS // 3 :]]) + "\n")
    return folder


@pytest.fixture(scope="module")
def job(images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return Job(images / "keys.txt", digits_bundle, tmp_path_factory.mktemp("overwriting") / "table", SHARD)


@pytest.fixture(scope="module")
def first(mxspark: Command, job: Job) -> Step:
    return step(mxspark(*job.command, "--overwrite").succeeded(), job)  # nobody is asked: there is nothing yet


@pytest.fixture(scope="module")
def again(mxspark: Command, job: Job, images: Path, first: Step) -> Step:
    """One image more is in the list, and one shows another digit, when the same command is run."""
    (images / LATE).write_bytes((images / BY).read_bytes())
    with (images / "keys.txt").open("a") as file:
        file.write(f"{LATE}\n")
    (images / REPLACED).write_bytes((images / BY).read_bytes())
    return step(mxspark(*job.command), job)


@pytest.fixture(scope="module")
def unasked(mxspark: Command, job: Job, again: Step) -> Step:
    return step(mxspark(*job.command, "--overwrite"), job)


@pytest.fixture(scope="module")
def declined(mxspark: Command, job: Job, unasked: Step) -> Step:
    return step(in_a_terminal(mxspark, "n", job), job)


@pytest.fixture(scope="module")
def agreed(mxspark: Command, job: Job, declined: Step) -> Step:
    return step(in_a_terminal(mxspark, "y", job).succeeded(), job)


def in_a_terminal(mxspark: Command, answer: str, job: Job) -> Finished:
    """--overwrite where the question can be answered."""
    with Terminal("mxspark", *map(str, job.command), "--overwrite", environment=mxspark.environment) as terminal:
        terminal.wait_for("[y/n]")
        terminal.type(f"{answer}\n")
        return Finished(terminal.end(), terminal.said, "", 0, "")


def test_an_image_that_is_listed_twice_has_one_row(first: Step) -> None:
    assert len(rows_of(first.table.parts.values())) == DIGITS
    assert (first.plan["listed"], first.plan["keys"]) == (DIGITS + DIGITS // 3, DIGITS)
    assert first.table.succeeded


def test_the_same_command_leaves_later_images_alone_and_says_so(again: Step, first: Step) -> None:
    again.finished.succeeded()
    assert "New images are not included; --overwrite restarts" in again.finished.errors
    assert again.table == first.table


def test_overwriting_where_nobody_can_be_asked_takes_a_flag(unasked: Step, first: Step) -> None:
    unasked.finished.ended_with(2)
    assert "There is no terminal to answer on" in unasked.finished.errors
    assert "--yes" in unasked.finished.errors
    assert f"3 of 3 parts of {DIGITS} images" in unasked.finished.errors
    assert unasked.table == first.table


def test_who_says_no_keeps_all(declined: Step, first: Step) -> None:
    declined.finished.ended_with(2)
    assert f"3 of 3 parts of {DIGITS} images. Continue?" in " ".join(declined.finished.output.split())
    assert "nothing was deleted" in declined.finished.output
    assert declined.table == first.table


def test_who_says_yes_gets_a_table_of_what_is_there_now(agreed: Step, first: Step) -> None:
    before, after = rows_of(first.table.parts.values()), rows_of(agreed.table.parts.values())
    assert after.keys() == before.keys() | {LATE}
    for name in (LATE, REPLACED):
        assert after[name]["predictions"] == before[BY]["predictions"]
    assert before[REPLACED]["predictions"][0]["label"] == "3"
    same = before.keys() - {REPLACED}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert agreed.table.succeeded
