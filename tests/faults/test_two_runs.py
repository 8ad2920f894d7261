"""Two runs on one output: the second is refused and told who holds it; when the first is killed, the output is free at
once.

One story, in a bucket, where the lock is the harder one (tests/storage/test_holding.py has that of a folder too): the
first run is made to stand still in the middle, a second one tries, the first is killed, and the same command does the
rest.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from examples.s3 import Server
from tests.command import Command, Finished, Running, command_line, names
from tests.conftest import BUCKET
from tests.faults.runs import Job, keys_of_parts, parts_in_bucket, rows_of, setting, some_digits
from tests.held_image import held_image

DIGITS, SHARD = 600, 15
TABLE = "two/table"
OUTPUT = f"s3://{BUCKET}/{TABLE}"


@dataclass(frozen=True)
class Story:
    """What was seen: `statuses` are what `mxspark status` said while the first ran, after it was killed, and at the
    end.
    """

    first: int  # its process
    second: Finished
    left: list[psutil.Process]  # of the first, some time after it was killed
    kept: dict[str, bytes]  # the parts that it had made
    third: Finished
    parts: dict[str, bytes]
    statuses: tuple[str, str, str]


@pytest.fixture(scope="module")
def images(digits_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_digits(digits_images, tmp_path_factory.mktemp("two") / "images", DIGITS)


@pytest.fixture(scope="module")
def story(
    mxspark: Command, s3_server: Server, images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    job = Job(images, digits_bundle, Path("nowhere"), SHARD, ("--output", OUTPUT, *setting(output__lock_seconds=3)))
    held = held_image(names(images)[DIGITS // 2], tmp_path_factory.mktemp("held"))

    def parts() -> dict[str, bytes]:
        return parts_in_bucket(s3_server, TABLE)

    def status() -> str:
        said = mxspark("status", OUTPUT, environment=s3_server.environment).succeeded().output
        return next(line for line in said.splitlines() if line.strip().startswith("state")).split(maxsplit=1)[1].strip()

    client = s3_server.client()
    with mxspark.start("mxspark", *job.command, environment={**s3_server.environment, **held.environment}) as running:
        running.wait_until(lambda: held.is_held() and len(keys_of_parts(client, TABLE)) >= 3)
        with standing_still(running):
            second = mxspark(*job.command, environment=s3_server.environment)
            first_status = status()
            running.process.kill()
        running.process.wait()
        kept, second_status = parts(), status()
        # The lock of the dead is not waited for, however long that may be.
        third = mxspark(*job.command, *setting(output__lock_seconds=3600), environment=s3_server.environment)
        left = running.processes()
    return Story(running.process.pid, second, left, kept, third, parts(), (first_status, second_status, status()))


@contextmanager
def standing_still(running: Running) -> Iterator[None]:
    """The run's workers stopped: its driver lives, and nothing is done."""
    workers = [process for process in running.processes() if "mxspark.spark.worker_daemon" in command_line(process)]
    for worker in workers:
        worker.suspend()
    try:
        yield
    finally:
        for worker in workers:
            worker.resume()


def test_the_second_run_is_refused_and_told_who_has_it_since_when(story: Story) -> None:
    story.second.ended_with(1)
    who = rf"process {story.first} on {re.escape(socket.gethostname())}, since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    assert re.search(f"another run is writing here: {who}", story.second.errors)
    assert "mxspark status" in story.second.errors
    assert "Starting Spark" not in story.second.errors
    assert "Traceback" not in story.second.text


def test_the_same_command_goes_on_at_once_after_the_first_was_killed(story: Story) -> None:
    third = story.third.succeeded()
    assert f"{DIGITS} images: {DIGITS} ok, 0 failed" in third.output
    assert 3 <= len(story.kept) < len(story.parts)
    assert {name: story.parts[name] for name in story.kept} == story.kept
    assert len(rows_of(story.parts.values())) == DIGITS


def test_nothing_of_the_killed_run_is_left(story: Story) -> None:
    assert story.left == []


def test_status_says_running_then_not_finished_then_complete(story: Story) -> None:
    running, unfinished, complete = story.statuses
    assert running.startswith(f"running (process {story.first} on {socket.gethostname()} since 20")
    assert (unfinished, complete) == ("not finished", "complete")


def test_no_lock_is_left(story: Story, s3_server: Server) -> None:
    left = [
        entry["Key"].removeprefix(f"{TABLE}/")
        for entry in s3_server.client().list_objects_v2(Bucket=BUCKET, Prefix=f"{TABLE}/_")["Contents"]
    ]
    assert "_lock.json" not in left
    assert "_SUCCESS" in left
