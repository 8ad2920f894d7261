"""A disk that is full half way: an error that names the cause, never a short part; then all goes on.

One story on a small file system: a run goes on until the disk is full; the same command tries again although there is
still no room; at last there is.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from tests.command import REPOSITORY, Command, Finished, names
from tests.faults.runs import Job, rows_of, setting, some_digits

DIGITS, SHARD = 480, 20
TIGHT, ROOMY = "200k", "16m"  # less and more than the table takes


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of a few pages."""
    folder = tmp_path_factory.mktemp("disk")
    try:
        mount("-t", "tmpfs", "-o", f"size={TIGHT}", "tmpfs", folder)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("this process may not mount a file system")
    yield folder
    unmount(folder)


@dataclass(frozen=True)
class Step:
    """A run that ended, and the parts and all names in the output after it."""

    finished: Finished
    parts: dict[str, bytes]
    names: list[str]


def step(finished: Finished, job: Job) -> Step:
    return Step(finished, job.contents, names(job.output))


@pytest.fixture(scope="module")
def job(disk: Path, digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    images = some_digits(digits_images, tmp_path_factory.mktemp("writing") / "images", DIGITS)
    waits = setting(storage__retry_seconds=1, storage__read_timeout=1)
    return Job(images, digits_bundle, disk / "table", SHARD, waits)


@pytest.fixture(scope="module")
def full(mxspark: Command, job: Job) -> Step:
    return step(mxspark(*job.command), job)


@pytest.fixture(scope="module")
def still_full(mxspark: Command, job: Job, disk: Path, full: Step) -> Step:
    """The same command when not a byte is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    finished = mxspark(*job.command)
    filler.unlink()
    return step(finished, job)


@pytest.fixture(scope="module")
def roomy(mxspark: Command, job: Job, disk: Path, still_full: Step) -> Step:
    mount("-o", f"remount,size={ROOMY}", disk)
    return step(mxspark(*job.command), job)


@pytest.fixture(params=["full", "still_full"])
def failed(request: pytest.FixtureRequest) -> Step:
    """Each of the runs that could not write all."""
    found: Step = request.getfixturevalue(request.param)
    return found


def test_a_run_that_fills_the_disk_says_so(full: Step, job: Job) -> None:
    full.finished.ended_with(1)
    assert "No space left on device" in full.finished.errors
    assert "Make room" in full.finished.errors
    assert str(job.output / "part-") in full.finished.errors
    assert "The same command resumes where this run stopped" in full.finished.errors


def test_where_there_is_still_no_room_it_is_said_again(still_full: Step) -> None:
    still_full.finished.ended_with(1)
    assert "No space left on device" in still_full.finished.errors
    assert "Make room" in still_full.finished.errors


def test_a_person_is_told_without_a_stack_trace(failed: Step) -> None:
    assert "Traceback" not in failed.finished.text
    assert "bug in mxspark" not in failed.finished.text


def test_no_part_is_short_and_it_is_no_success(failed: Step) -> None:
    assert 3 <= len(failed.parts) < DIGITS / SHARD
    assert {len(rows_of([data])) for data in failed.parts.values()} == {SHARD}
    assert "_SUCCESS" not in failed.names


def test_no_unfinished_file_is_left(full: Step, still_full: Step, roomy: Step) -> None:
    for found in (full, still_full, roomy):
        assert [name for name in found.names if name.startswith(".")] == []


def test_every_run_keeps_what_the_ones_before_did(full: Step, still_full: Step, roomy: Step) -> None:
    for before, after in pairwise((full, still_full, roomy)):
        assert {name: after.parts[name] for name in before.parts} == before.parts


def test_the_same_command_completes_the_table_when_there_is_room(roomy: Step) -> None:
    roomy.finished.succeeded()
    assert len(rows_of(roomy.parts.values())) == DIGITS
    assert "_SUCCESS" in roomy.names
    assert "_lock.json" not in roomy.names


LISTING = """
from mxspark.errors import MxsparkError
from mxspark.dataset.plan import KeySpool

try:
    KeySpool().fill(f"photos/{number:09d}.png" for number in range(100_000))
except MxsparkError as error:
    print(error)
"""


def test_a_listing_for_which_there_is_no_room_says_so(disk: Path, roomy: Step) -> None:
    filler = disk / "filler"
    filler.write_bytes(bytes(15 * 2**20))
    environment = {**os.environ, "SQLITE_TMPDIR": str(disk), "PYTHONPATH": str(REPOSITORY / "job")}
    listing = subprocess.run([sys.executable, "-c", LISTING], env=environment, capture_output=True, text=True)
    filler.unlink()
    assert "folder for temporary files: database or disk is full" in listing.stdout, listing.stderr
    assert "TMPDIR" in listing.stdout
