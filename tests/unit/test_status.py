"""How far a run is, told from what lies in its output."""

import json
import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from mxspark.dataset import output, plan
from mxspark.errors import UsageError
from mxspark.report.finished_run import FinishedRun
from mxspark.run import status
from mxspark.settings.job import OutputSettings
from mxspark.storage import Access, FolderStore
from tests.unit.runs import Format, run_in

FORMATS: list[Format] = ["parquet", "jsonl", "text"]


def read(store: FolderStore) -> status.Status:
    return status.read(store.name, Access())


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("parts", [0, 3])
def test_a_run_that_was_interrupted_is_not_finished(tmp_path: Path, parts: int, output_format: Format) -> None:
    found = read(run_in(tmp_path, parts, output_format))

    assert found.state == "not finished"
    assert (found.parts, found.counts.rows, found.left) == (parts, 2 * parts, 10 - 2 * parts)


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_run_that_has_all_parts_but_no_mark_of_success_ended_without(tmp_path: Path, output_format: Format) -> None:
    found = read(run_in(tmp_path, 5, output_format))

    assert found.state == "ended without success"
    assert (found.parts, found.left) == (5, 0)
    assert found.counts.by_status == Counter(ok=9, missing=1)


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_run_with_the_mark_of_success_is_complete(tmp_path: Path, output_format: Format) -> None:
    store = run_in(tmp_path, 5, output_format)
    store.write(output.SUCCESS, b"")

    assert read(store).state == "complete"


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_run_of_which_a_part_was_lost_is_not_complete(tmp_path: Path, output_format: Format) -> None:
    store = run_in(tmp_path, 4, output_format)
    store.write(output.SUCCESS, b"")

    assert read(store).state == FinishedRun.open(store.name, Access()).state == "not finished"


@pytest.mark.parametrize("parts", [0, 3, 5])
def test_a_run_whose_output_is_held_is_running(tmp_path: Path, parts: int) -> None:
    store = run_in(tmp_path, parts)
    with output.hold(store, OutputSettings(path=store.name)):
        found = read(store)
        assert found.state == "running"
        assert found.holder is not None
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found.holder["since"])

    assert read(store).state != "running"


def test_a_run_that_has_no_plan_yet_is_starting(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with output.hold(store, OutputSettings(path=store.name)):
        found = read(store)
        told = json.loads(found.to_json())

    assert (found.state, found.left) == ("starting", 0)
    assert (told["state"], "images" in told) == ("starting", False)
    assert told["running"]["process"] > 0


@pytest.mark.parametrize(
    ("overwrite", "submission", "state"),
    [(True, None, "starting"), (True, "another", "starting"), (True, "mine", "running"), (False, None, "running")],
)
def test_a_run_that_is_about_to_delete_another_is_starting(
    tmp_path: Path, overwrite: bool, submission: str | None, state: str
) -> None:
    """Not one whose driver was started again: that goes on with what it began."""
    store = run_in(tmp_path, 3)
    earlier = json.loads(store.read(plan.PLAN))
    earlier["settings"]["output"]["submission"] = "mine"
    store.write(plan.PLAN, json.dumps(earlier | {"created": "2024-01-01T00:00:00+00:00"}).encode())

    with output.hold(store, OutputSettings(path=store.name, overwrite=overwrite, submission=submission)):
        assert read(store).state == state
        clear_and_plan(store)
        assert read(store).state == "running"


def clear_and_plan(store: FolderStore) -> None:
    output.clear(store)
    with closing(plan.KeySpool()) as spool:
        spool.fill(["1.png"])
        settings = {"output": {"format": "parquet"}, "input": {"true_label": None}}
        plan.write(store, spool, 2, {}, settings)


def test_a_run_that_was_killed_is_not_running_though_its_lock_lies_there(tmp_path: Path) -> None:
    store = run_in(tmp_path, 3)
    store.write(output.LOCK, b'{"host": "pod-7"}')

    assert read(store).state == "not finished"


def test_looking_changes_nothing(tmp_path: Path) -> None:
    store = run_in(tmp_path, 3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    read(store)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_parts_of_an_earlier_and_larger_run_do_not_count(tmp_path: Path) -> None:
    store = run_in(tmp_path, 2)
    store.write("part-000017.parquet", store.read("part-000000.parquet"))

    assert (read(store).parts, read(store).counts.rows) == (2, 4)


def test_as_json_it_says_all_of_it(tmp_path: Path) -> None:
    store = run_in(tmp_path, 5)
    store.delete("part-000000.parquet")

    told = json.loads(read(store).to_json())

    assert (told["output"], told["state"], told["running"]) == (str(tmp_path), "not finished", None)
    assert told["images"] == {"planned": 10, "ok": 7, "failed": 1, "left": 2}
    assert told["by_status"] == {"missing": 1, "ok": 7}
    assert told["shards"] == {"planned": 5, "done": 4, "left": 1}
    assert (told["plan"]["listed"], told["plan"]["shard_size"]) == (11, 2)
    assert told["settings"]["input"]["path"] == "s3://bucket/photos"
    with output.hold(store, OutputSettings(path=store.name)):
        assert json.loads(read(store).to_json())["running"]["process"] > 0


@pytest.mark.parametrize("place", ["", "nowhere"])
def test_where_no_run_has_been_there_is_nothing_to_tell(tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageError, match="no run has a plan here"):
        status.read(str(tmp_path / place), Access())


def test_a_part_that_is_not_whole_is_named(tmp_path: Path) -> None:
    store = run_in(tmp_path, 3)
    store.write("part-000001.parquet", b"half of it")

    found = read(store)

    assert (found.state, found.parts) == ("damaged", 3)
    assert "part-000001.parquet" in "".join(found.broken)
    assert found.counts.rows > 0
