"""A run that can't come to anything ends soon and says why.

That what it did stays, test_retry_failed.py shows; that more may fail afterwards, test_broken_images.py.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from examples import s3
from tests.command import Command, Finished, names
from tests.conftest import BUCKET, put
from tests.faults import s3_faults
from tests.faults.runs import Flags, Job, parts_in_bucket, rows_of, setting, some_digits
from tests.storage.scripted import Scripted, answering, error, listing

ANYBODY = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "nothing"}


# ---- too many broken images ----

BROKEN, WHOLE, ENOUGH = 150, 800, 300


@pytest.fixture(scope="module")
def broken(digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Some files that are no images, then many that are."""
    folder = tmp_path_factory.mktemp("hopeless")
    images = some_digits(digits_images, folder / "images", WHOLE)
    for number in range(BROKEN):
        (images / f"00 letter {number:03d}.png").write_text("Dear Sir or Madam,\n" if number % 3 else "")
    return Job(images, digits_bundle, folder / "table", 10, setting(max_failed_after=ENOUGH))


@pytest.fixture(scope="module")
def stopped(mxspark: Command, broken: Job) -> Finished:
    return mxspark(*broken.command).ended_with(3)


def test_a_run_of_which_too_much_fails_is_stopped_before_its_end(stopped: Finished, broken: Job) -> None:
    assert ENOUGH / 10 <= len(broken.parts) < (WHOLE + BROKEN) / 10
    assert not broken.succeeded
    assert "_summary.json" not in names(broken.output)


def test_it_says_after_how_many_images_and_what_was_wrong_with_them(stopped: Finished) -> None:
    assert "stopped after " in stopped.errors
    assert f"of {WHOLE + BROKEN:,} images" in stopped.errors
    assert f"{BROKEN} of {ENOUGH} images failed" in stopped.errors
    assert "100 not_an_image, 50 empty" in stopped.errors
    assert stopped.errors.count("00 letter ") == 3
    assert "--max-failed-fraction" in stopped.errors
    assert "Traceback" not in stopped.text


# ---- what may be listed but not read ----


@pytest.fixture(scope="module")
def refused(
    mxspark: Command, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Finished, Path, Scripted]:
    """A run on a thousand images none of which may be read. A closed folder among others is rows:
    tests/storage/test_denied_images.py.
    """
    output = tmp_path_factory.mktemp("refused") / "table"
    keys = listing(*(f"closed/{number:04d}.png" for number in range(1000)))
    with answering(lambda request: keys if "list-type=2" in request.path else error(403, "AccessDenied")) as server:
        job = Job("s3://bucket/", digits_bundle, output, more=("--endpoint-url", server.url))
        return mxspark(*job.command, environment=ANYBODY), output, server


def test_a_bucket_that_gives_nothing_ends_the_run_with_the_cause(refused: tuple[Finished, Path, Scripted]) -> None:
    finished, _, _ = refused
    finished.ended_with(1)
    assert "s3://bucket/: no image can be fetched" in finished.errors
    assert "access denied" in finished.errors
    assert "The same command resumes" in finished.errors
    assert "Traceback" not in finished.text


def test_it_ends_before_it_has_tried_them_all_and_without_a_failed_row(
    refused: tuple[Finished, Path, Scripted],
) -> None:
    _, output, server = refused
    assert names(output, "part-*") == []
    assert len([request for request in server.requests if "closed/" in request.path]) < 300


# ---- a server that goes away ----

DIGITS, SHARD = 500, 10


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the S3 server keeps its data while it is away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "STOP_SECONDS", 1)
        yield tmp_path_factory.mktemp("bucket")


@pytest.fixture(scope="module")
def command(digits_bundle: Path) -> Flags:
    waits = setting(storage__retry_seconds=3, storage__read_timeout=2, storage__connect_timeout=1)
    job = Job(f"s3://{BUCKET}/digits/", digits_bundle, Path("table"), SHARD, waits)
    return (*job.command, "--output", f"s3://{BUCKET}/table")


@pytest.fixture(scope="module")
def left_alone(mxspark: Command, bucket: Path, command: Flags, digits_images: Path) -> tuple[Finished, float]:
    """A run whose server ended in the middle of it, and how long it went on after that [seconds]."""
    with ExitStack() as serving:
        server = serving.enter_context(s3.serve(bucket, [BUCKET]))
        put(server, {f"digits/{name}": (digits_images / name).read_bytes() for name in names(digits_images)[:DIGITS]})
        front = serving.enter_context(s3_faults.before(server.endpoint_url))
        front.go_at(names(digits_images)[DIGITS // 2])
        with mxspark.start("mxspark", *command, "--endpoint-url", front.url, environment=server.environment) as running:
            running.wait_until(front.has_gone)
            serving.close()
            since = time.monotonic()
            return running.wait(), time.monotonic() - since


def test_a_server_that_goes_away_ends_the_run_with_the_cause(left_alone: tuple[Finished, float]) -> None:
    finished, seconds = left_alone
    finished.ended_with(1)
    assert f"s3://{BUCKET}" in finished.errors
    assert "onnect" in finished.errors.splitlines()[-2], finished.errors
    assert "The same command resumes where this run stopped" in finished.errors
    assert "Traceback" not in finished.text
    assert seconds < 110, "the retries are limited to 3 s, by default to 120"


def test_the_parts_that_it_wrote_are_whole_when_the_server_is_back(
    left_alone: tuple[Finished, float], bucket: Path
) -> None:
    """That the same command completes the table of a driver which could not release its lock: test_two_runs.py."""
    with s3.serve(bucket, [BUCKET]) as server:
        parts = parts_in_bucket(server)
    assert 3 <= len(parts) < DIGITS / SHARD
    for part in parts.values():
        rows = rows_of([part])
        assert (len(rows), {row["status"] for row in rows.values()}) == (SHARD, {"ok"})
