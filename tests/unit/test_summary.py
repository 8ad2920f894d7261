"""The summary: counted from the parts that are really there, which must hold what was planned."""

import json
from collections import Counter
from pathlib import Path

import pytest

from mxspark.dataset import plan
from mxspark.dataset.part_errors import EmptyPartError
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.dataset.predictions import PARTS, Counts, Prediction, Row, encode, finished_shards
from mxspark.errors import MxsparkError
from mxspark.run.summary import Performance, Summary, count_parts
from mxspark.settings.sources import effective, file_layer
from mxspark.storage import FolderStore
from mxspark.text.words import counted
from mxspark.worker.pipeline import Timings

FORMATS = ("parquet", "jsonl", "text")
TRUE_LABEL = "^([a-z]+)/"


def planned(store: FolderStore, keys: list[str], shard_size: int) -> Plan:
    spool = KeySpool()
    spool.fill(keys)
    return plan.write(store, spool, shard_size, {"secret of the identity": "not told"}, {}, {".heic": 12, "(none)": 3})


def write_part(store: FolderStore, shard: int, rows: list[Row], output_format: str) -> None:
    store.write(PARTS[output_format].name(shard), encode(rows, TRUE_LABEL, output_format))


def row(key: str) -> Row:
    return (
        Row(key, "missing", "gone")
        if "gone" in key
        else Row(key, "ok", None, (Prediction(0, "cat", 0.9), Prediction(1, "dog", 0.1)))
    )


def finished(folder: Path, output_format: str) -> tuple[FolderStore, Plan]:
    store = FolderStore(folder)
    written = planned(store, ["cat/1", "cat/gone", "cow/1", "dog/1", "dog/2"], 2)
    for shard in range(written.shards):
        write_part(store, shard, [row(key) for key in plan.shard_keys(store, shard)], output_format)
    return store, written


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_parts_that_are_there_are_counted(tmp_path: Path, output_format: str) -> None:
    store, written = finished(tmp_path, output_format)

    assert finished_shards(store, output_format) == {0, 1, 2}
    counts = dict(count_parts(store, written, range(3), output_format, TRUE_LABEL))

    assert {shard: part.rows for shard, part in counts.items()} == {0: 2, 1: 2, 2: 1}
    assert sum(counts.values(), Counts()) == Counts(Counter(ok=4, missing=1), labelled=4, correct=1, correct_top_k=3)


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_shard_is_finished_only_where_its_part_has_its_whole_name(tmp_path: Path, output_format: str) -> None:
    store, _ = finished(tmp_path, output_format)
    name = PARTS[output_format].name(1)
    store.delete(name)
    for other in (
        f"{name}.tmp",
        name.replace("part-", ".part-"),
        name.replace("000001", "1"),
        name.replace("part-", "party-"),
    ):
        store.write(other, b"")

    assert finished_shards(store, output_format) == {0, 2}


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("keys", [["cow/1"], ["cow/1", "dog/1", "dog/2"]])
def test_a_part_with_other_rows_than_planned_is_named_with_its_mend(
    tmp_path: Path, output_format: str, keys: list[str]
) -> None:
    store, written = finished(tmp_path, output_format)
    write_part(store, 1, [row(key) for key in keys], output_format)

    with pytest.raises(MxsparkError) as wrong:
        list(count_parts(store, written, range(3), output_format, TRUE_LABEL))

    assert PARTS[output_format].name(1) in wrong.value.problem
    assert f"{counted(len(keys), 'row')}, but the plan has 2 keys" in wrong.value.problem
    assert wrong.value.hint


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    store, written = finished(tmp_path, "parquet")
    store.write("part-000002.parquet", b"PAR1")

    with pytest.raises(MxsparkError, match="part-000002"):
        list(count_parts(store, written, range(3), "parquet", TRUE_LABEL))


@pytest.mark.parametrize("output_format", FORMATS)
def test_an_empty_part_is_told_from_a_damaged_one(tmp_path: Path, output_format: str) -> None:
    store, written = finished(tmp_path, output_format)
    name = PARTS[output_format].name(1)
    store.write(name, b"")

    with pytest.raises(EmptyPartError) as empty:
        list(count_parts(store, written, range(3), output_format, TRUE_LABEL))

    assert empty.value.part == name


COUNTS = Counts(Counter(ok=3, missing=1))


def summary(folder: Path, counts: Counts = COUNTS, performance: Performance | None = None) -> Summary:
    return Summary(planned(FolderStore(folder), ["a", "b", "c", "d"], 2), counts, performance, {"top_k": 5})


def test_the_summary_says_how_many_how_fast_and_where_the_time_went(tmp_path: Path) -> None:
    retries = Counter(timeout=2, throttled=1)
    run = Performance(
        4,
        seconds=3.0,
        startup_seconds=1.5,
        workers_startup_seconds=1.0,
        workers=2,
        timings=Timings(forward=3.0),
        retries=retries,
        context="cpu(0)",
    )

    written = json.loads(summary(tmp_path, performance=run).to_json())

    assert (written["rows"], written["ok"], written["failed"]) == (4, 3, 1)
    assert written["by_status"] == {"missing": 1, "ok": 3}
    assert written["this_run"]["images_per_second"] == 2.0, "once the workers had started"
    assert [written["this_run"][f"{name}seconds"] for name in ("", "startup_", "workers_startup_")] == [3.0, 1.5, 1.0]
    assert written["this_run"]["worker_seconds"]["forward"] == 3.0
    assert written["this_run"]["retries"] == {"throttled": 1, "timeout": 2}
    assert (written["plan"]["keys"], written["plan"]["shards"]) == (4, 2)
    assert written["skipped"] == {".heic": 12, "(none)": 3}
    assert written["settings"] == {"top_k": 5}
    assert "not told" not in json.dumps(written)


def test_accuracy_is_told_where_labels_are_known_and_not_made_up_where_they_are_not(tmp_path: Path) -> None:
    known = json.loads(summary(tmp_path, Counts(Counter(ok=4), labelled=4, correct=2, correct_top_k=3)).to_json())
    unknown = json.loads(summary(tmp_path).to_json())

    assert (known["accuracy"], known["accuracy_top_k"]) == (0.5, 0.75)
    assert (unknown["accuracy"], unknown["accuracy_top_k"]) == (None, None)


def test_a_run_with_nothing_left_to_do_has_no_performance(tmp_path: Path) -> None:
    assert json.loads(summary(tmp_path).to_json())["this_run"] is None


def test_a_run_too_short_to_be_measured_has_no_rate() -> None:
    assert Performance(0, 0.0, 0.0, 0.0, 1, Timings(), Counter(), "cpu(0)").rate == 0.0


def test_the_failed_fraction_is_of_all_rows(tmp_path: Path) -> None:
    assert summary(tmp_path).failed_fraction == 0.25
    assert summary(tmp_path, Counts()).failed_fraction == 0.0


def test_what_is_secret_in_an_address_is_not_told(tmp_path: Path) -> None:
    given = effective(
        [
            file_layer({"input": {"path": "photos"}, "output": {"path": "table"}}, "job.yaml"),
            file_layer(
                {
                    "model": {
                        "symbol": "https://me:hush@host/net-symbol.json",
                        "params": "https://host/p?X-Amz-Signature=hush",
                    }
                },
                "job.yaml",
            ),
        ]
    ).settings
    made = Summary(planned(FolderStore(tmp_path), ["a"], 1), Counts(), None, given.model_dump(mode="json"))

    assert "hush" not in made.to_json()
    assert "https://host/p" in made.to_json()


@pytest.mark.parametrize(("place", "other"), [(1, 0), (0, 1)])
def test_a_part_in_the_place_of_another_is_named(tmp_path: Path, place: int, other: int) -> None:
    store, written = finished(tmp_path, "parquet")
    store.write(f"part-00000{place}.parquet", store.read(f"part-00000{other}.parquet"))

    with pytest.raises(MxsparkError, match=rf"part-00000{place}\.parquet has keys of another shard"):
        list(count_parts(store, written, range(3), "parquet", TRUE_LABEL))
