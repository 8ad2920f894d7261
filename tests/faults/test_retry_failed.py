"""--retry-failed predicts again what failed, and that alone; killed in the middle of it, it loses nothing.

One story in three steps: a run of which too much fails; the images mended, a limit raised and the failed rows tried
again, until the run is killed; the same command once more.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.command import Command, Finished, names, summary
from tests.faults.runs import Job, Rows, rows_of, some_digits
from tests.held_image import held_image

DIGITS, SHARD = 400, 8
EVERY = 2 * SHARD  # one image in every second shard is broken
FAILED = DIGITS // EVERY
SMALL = 4096  # bytes that every digit has fewer than


@dataclass(frozen=True)
class Table:
    """The parts at some time."""

    contents: dict[str, bytes]
    times: dict[str, int]  # when each was written [ns]

    @property
    def failed(self) -> set[str]:
        """The parts with rows that failed."""
        return {
            name
            for name, data in self.contents.items()
            if any(row["status"] != "ok" for row in rows_of([data]).values())
        }


def table(job: Job) -> Table:
    return Table(job.contents, {name: (job.output / name).stat().st_mtime_ns for name in job.parts})


@pytest.fixture(scope="module")
def broken(digits_images: Path) -> dict[str, str]:
    """The images that are broken at first, and the digit before each, which is in the same shard and whole."""
    keys = names(digits_images)[:DIGITS]
    return {keys[place]: keys[place - 1] for place in range(1, DIGITS, EVERY)}


@pytest.fixture(scope="module")
def job(
    digits_images: Path, digits_bundle: Path, broken: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Job:
    folder = tmp_path_factory.mktemp("retried")
    images = some_digits(digits_images, folder / "images", DIGITS)
    for name in broken:
        (images / name).write_text("Dear Sir or Madam,\n")
    large, whole = next(iter(broken.items()))
    (images / large).write_bytes((images / whole).read_bytes() + bytes(SMALL))
    return Job(images, digits_bundle, folder / "table", SHARD)


@pytest.fixture(scope="module")
def failed(mxspark: Command, job: Job) -> Table:
    """After a run on the broken images, of which one is whole, but larger than the limit of this run alone."""
    mxspark(*job.command, "--set", f"input.max_bytes={SMALL}").ended_with(3)
    return table(job)


@pytest.fixture(scope="module")
def killed(
    mxspark: Command, job: Job, failed: Table, broken: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Table:
    """The images are mended into copies of the digits before them, the large one is allowed; the run that tries them
    again is killed when some parts are new."""
    images = Path(job.images)
    for name, whole in list(broken.items())[1:]:
        images.joinpath(name).write_bytes(images.joinpath(whole).read_bytes())
    before = {job.output / name: failed.times[name] for name in failed.failed}

    def rewritten() -> int:
        return sum(path.stat().st_mtime_ns != time for path, time in before.items())

    held = held_image(list(broken)[FAILED // 2], tmp_path_factory.mktemp("held"))
    with mxspark.start("mxspark", *job.command, "--retry-failed", environment=held.environment) as running:
        running.wait_until(lambda: held.is_held() and rewritten() >= 3)
        running.process.kill()
        running.wait()
        assert running.left() == [], "Java ends"
    return table(job)


@pytest.fixture(scope="module")
def retried(mxspark: Command, job: Job, killed: Table) -> Finished:
    return mxspark(*job.command, "--retry-failed").succeeded()


@pytest.fixture(scope="module")
def mended(retried: Finished, job: Job) -> Table:
    return table(job)


@pytest.fixture(scope="module")
def rows(mended: Table) -> Rows:
    return rows_of(mended.contents.values())


def test_the_failed_rows_are_where_the_broken_images_are(failed: Table, broken: dict[str, str]) -> None:
    rows = rows_of(failed.contents.values())
    assert {key: row["status"] for key, row in rows.items() if row["status"] != "ok"} == dict.fromkeys(
        broken, "not_an_image"
    ) | {next(iter(broken)): "too_large"}
    assert len(failed.failed) == FAILED


def test_killed_in_the_middle_of_it_nothing_is_lost(failed: Table, killed: Table, mended: Table) -> None:
    assert killed.contents.keys() == failed.contents.keys()
    assert 3 <= len(failed.failed - killed.failed) < FAILED
    for name, data in killed.contents.items():
        assert data in (failed.contents[name], mended.contents[name])


def test_only_rows_that_still_fail_are_predicted_again(killed: Table, retried: Finished, job: Job) -> None:
    assert summary(job.output)["this_run"]["images"] == len(killed.failed)
    assert (
        f"{DIGITS - len(killed.failed)} of {DIGITS} images done, {len(killed.failed)} are left or failed"
        in retried.errors
    )


def test_parts_without_failures_are_not_written_again(failed: Table, killed: Table, mended: Table) -> None:
    untouched = failed.contents.keys() - failed.failed
    assert len(untouched) == DIGITS / SHARD - FAILED
    assert {name: mended.times[name] for name in untouched} == {name: failed.times[name] for name in untouched}
    assert {name: mended.contents[name] for name in untouched} == {name: failed.contents[name] for name in untouched}
    done = killed.contents.keys() - killed.failed
    assert {name: mended.times[name] for name in done} == {name: killed.times[name] for name in done}


def test_rows_that_were_well_are_kept_to_the_letter(failed: Table, mended: Table, broken: dict[str, str]) -> None:
    def lines(found: Table) -> list[bytes]:
        every = [line for name in sorted(found.contents) for line in found.contents[name].splitlines()]
        return [line for line in every if json.loads(line)["key"] not in broken]

    assert lines(mended) == lines(failed)


def test_the_mended_images_are_predicted_as_what_they_show(rows: Rows, broken: dict[str, str]) -> None:
    for name, whole in broken.items():
        assert rows[name] == {**rows[whole], "key": name}


def test_the_table_is_whole_then(retried: Finished, rows: Rows, job: Job) -> None:
    assert len(rows) == DIGITS
    assert job.succeeded
    assert summary(job.output)["ok"] == DIGITS


def test_nothing_of_killed_writers_is_left(retried: Finished, job: Job) -> None:
    assert [path.name for path in job.output.rglob(".*")] == []
