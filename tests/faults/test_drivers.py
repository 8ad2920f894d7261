"""A driver or its Java killed on the way leaves no process; the same command completes the table, and cleans up after
who was writing.

One story in three steps, each going on where the one before ended: the driver is killed while its workers write, then
Java is, then the run ends well.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.command import Command, Finished, names
from tests.faults.runs import Job, rows_of, some_digits

DIGITS, SHARD = 300, 10
# Python runs this at the start of every process that finds it: who writes a part when there are `enough` waits in the
# middle of it.
HOLD_WRITERS = """
import os, pathlib, time

def hold(file, sync=os.fsync):
    part = pathlib.Path(os.readlink(f"/proc/self/fd/{{file if isinstance(file, int) else file.fileno()}}"))
    if part.name.startswith(".part-") and len(list(part.parent.glob("part-*"))) >= {enough}:
        pathlib.Path(__file__).with_name(f"held-{{os.getpid()}}").touch()
        time.sleep(3600)
    sync(file)

os.fsync = hold
"""


@dataclass(frozen=True)
class Killed:
    """A run after one of its processes was killed: what it printed, which processes were left, and its output then."""

    finished: Finished
    left: list[psutil.Process]
    parts: dict[str, bytes]
    unfinished: list[str]


@pytest.fixture(scope="module")
def job(digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("drivers")
    return Job(some_digits(digits_images, folder / "images", DIGITS), digits_bundle, folder / "table", SHARD)


def killed(mxspark: Command, job: Job, name: str, more: int, folder: Path) -> Killed:
    """The job, of which the process `name` is killed when there are `more` parts than before and another is being
    written.
    """
    (folder / "sitecustomize.py").write_text(HOLD_WRITERS.format(enough=len(job.parts) + more))
    environment = {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    with mxspark.start("mxspark", *job.command, environment=environment) as running:
        running.wait_until(lambda: names(folder, "held-*") != [])
        next(process for process in running.processes() if process.name() == name).kill()
        finished = running.wait()
        return Killed(finished, running.left(), job.contents, names(job.output, ".part-*"))


@pytest.fixture(scope="module")
def without_driver(mxspark: Command, job: Job, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    return killed(mxspark, job, "mxspark", 2, tmp_path_factory.mktemp("held"))


@pytest.fixture(scope="module")
def without_java(
    mxspark: Command, job: Job, without_driver: Killed, tmp_path_factory: pytest.TempPathFactory
) -> Killed:
    return killed(mxspark, job, "java", 2, tmp_path_factory.mktemp("held"))


@pytest.fixture(scope="module")
def completed(mxspark: Command, job: Job, without_java: Killed) -> Finished:
    return mxspark(*job.command).succeeded()


def test_nothing_is_left_of_a_run_whose_driver_was_killed(without_driver: Killed) -> None:
    assert without_driver.finished.code == -9
    assert without_driver.left == []


def test_nothing_is_left_of_a_run_whose_java_was_killed(without_java: Killed) -> None:
    assert without_java.left == []


def test_a_run_whose_java_was_killed_says_so(without_java: Killed) -> None:
    without_java.finished.ended_with(1)
    assert "Spark's Java process ended (killed by signal 9)" in without_java.finished.errors
    assert "Run the same command again" in without_java.finished.errors
    assert "Traceback" not in without_java.finished.text


def test_the_same_command_completes_the_table_and_keeps_what_was_there(
    completed: Finished, without_driver: Killed, without_java: Killed, job: Job
) -> None:
    parts = job.contents
    for before in (without_driver.parts, without_java.parts):
        assert {name: parts[name] for name in before} == before
    assert 2 <= len(without_driver.parts) < len(without_java.parts) < len(parts)
    assert f"of which an earlier run did {len(without_java.parts) * SHARD}" in completed.errors
    assert len(rows_of(parts.values())) == DIGITS
    assert job.succeeded


def test_what_killed_writers_left_is_gone_at_the_end(completed: Finished, without_driver: Killed, job: Job) -> None:
    assert without_driver.unfinished, "nobody was writing when the driver was killed"
    left = sorted(
        str(path.relative_to(job.output)) for path in job.output.rglob("*") if path.name.startswith((".", "_"))
    )
    assert left == ["_SUCCESS", "_plan", "_report.html", "_runs", "_summary.json"]
