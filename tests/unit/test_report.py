"""A run's report, rows of its table, and the difference of two: of real parts with hostile keys and labels."""

import io
import json
import re
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mxspark import report as reports
from mxspark.dataset import parquet, plan, predictions, tops
from mxspark.dataset.columns import Columns, VectorColumn
from mxspark.dataset.predictions import Prediction, Row
from mxspark.dataset.tops import Texts, TrueLabels
from mxspark.errors import MxsparkError, UsageError
from mxspark.report import charts, difference, hints, page, rows
from mxspark.report.finished_run import FinishedRun
from mxspark.report.rows import Choice
from mxspark.row_status import RowStatus
from mxspark.run import shard_log, statistics, summary
from mxspark.run.progress import Silent
from mxspark.run.result import Result, sum_up
from mxspark.run.shard_log import ShardLog
from mxspark.run.summary import Performance
from mxspark.run.table import Table
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings
from mxspark.storage import Access, FolderStore, StorageError
from mxspark.worker.pipeline import Timings
from tests.conftest import Here
from tests.outputs import HOSTILE, cat, dog, finished, logged, of, table
from tests.unit.runs import Format


class _Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def report(folder: Path, pictures: bool = False) -> _Page:
    run = FinishedRun.open(str(folder), Access())
    text = page.html(page.gather(run, Access(), pictures)).decode()
    found = _Page(text)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a"]
    assert all(link and link.startswith("#") and link[1:] in ids for link in links)
    assert all(
        attributes.get("aria-label") or "aria-hidden" in attributes for tag, attributes in found.tags if tag == "svg"
    )
    return found


@pytest.mark.parametrize("output_format", ["parquet", "jsonl", "text"])
def test_keys_labels_and_errors_of_others_are_shown_and_not_obeyed(tmp_path: Path, output_format: str) -> None:
    evil = (Prediction(0, "</style><script>alert(2)</script>", 0.4),)
    made = [Row(key, "ok", None, evil) for key in HOSTILE[:3]] + [Row(key, "missing", key) for key in HOSTILE[3:]]
    shown = report(
        table(tmp_path, of(*made, Row("a.png", "<b>", "x", None)), output_format, model="<script>alert(3)</script>")
    )

    assert not {tag for tag, _ in shown.tags} & {"script", "b", "iframe", "object"}
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)
    assert "<script>alert(1)</script>.png" in shown.text
    assert "</style><script>alert(2)</script>" in shown.text
    assert "{{ 7*7 }}.png" in shown.text
    assert r"control\x1b[31m\r\n.png" in shown.text
    assert "\u202e" not in shown.text
    assert r"\u202egnp.exe.png" in shown.text


def test_the_page_asks_for_nothing_and_allows_no_script(tmp_path: Path) -> None:
    shown = report(table(tmp_path, of(Row("a.png", "ok", None, cat()))))

    policy = next(a["content"] for tag, a in shown.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "script-src" not in policy
    addresses = [a[name] or "" for _, a in shown.tags for name in ("src", "href", "action", "data") if name in a]
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_totals_failures_and_accuracy_are_those_of_the_table(tmp_path: Path) -> None:
    made = of(
        Row("cat/1.png", "ok", None, cat()),
        Row("cat/2.png", "ok", None, dog(0.55)),
        Row("dog/1.png", "ok", None, dog()),
        Row("dog/2.png", "truncated", "rows are missing"),
        Row("bird/1.png", "ok", None, cat(0.6)),
    )
    run = FinishedRun.open(str(table(tmp_path, made, true_label="^([a-z]+)/")), Access())
    found = statistics.gather(run.store, run.shards, run.format, run.true_label)

    assert (found.counts.rows, found.counts.ok, found.counts.failed, found.parts) == (5, 4, 1, 2)
    assert found.classes == {0: 2, 1: 2}
    assert (found.counts.labelled, found.counts.correct) == (4, 2)
    assert found.pairs == {("cat", 0): 1, ("cat", 1): 1, ("dog", 1): 1, ("bird", 0): 1}
    assert found.examples == {"truncated": [("dog/2.png", "rows are missing")]}
    assert [row.key for row in found.least_certain][:2] == ["cat/2.png", "bird/1.png"]
    shown = report(tmp_path)
    assert "2 of 4 images with a known label are right: 50.00%" in shown.text
    assert hints.hint("truncated") in shown.text


@pytest.mark.parametrize("made", [of(), of(Row("a.png", "missing", "gone"), Row("b.png", "denied", "403"))])
def test_a_run_without_predictions_has_a_report(tmp_path: Path, made: Mapping[str, Row]) -> None:
    shown = report(table(tmp_path, made))

    assert ("There are no rows to show: the input had no images." in shown.text) == (not made)
    assert "Histogram" not in str(shown.tags)
    assert ("gone" in shown.text) == bool(made)


def test_a_run_that_is_not_finished_says_what_is_left(tmp_path: Path) -> None:
    made = of(*(Row(f"{number}.png", "ok", None, cat()) for number in range(8)))
    shown = report(table(tmp_path, made, parts=2))

    assert "2 images have no row yet" in shown.text
    assert "not finished" in shown.text
    assert "When its shards ran was not recorded" in shown.text


def test_a_table_of_vectors_has_no_histograms_and_says_so(tmp_path: Path) -> None:
    columns = Columns((VectorColumn("vector", 3),), has_predictions=False)
    vectors = of(*(Row(f"{n}.png", "ok", vectors={"vector": np.ones(3, np.float32)}) for n in range(4)))
    shown = report(table(tmp_path, vectors, columns=columns))

    assert "vectors and no classes" in shown.text
    assert "OK4" in re.sub(r"\s", "", shown.text)


def test_a_damaged_part_is_named_and_the_others_count(tmp_path: Path) -> None:
    made = of(*(Row(f"{number}.png", "ok", None, cat()) for number in range(6)))
    (table(tmp_path, made) / "part-000000.parquet").write_bytes(b"PAR1 and no more")
    shown = report(tmp_path)

    assert "part-000000.parquet: not a part of this run" in shown.text
    assert "3 images have no row yet" in shown.text


def test_thumbnails_are_of_the_images_that_can_be_read(tmp_path: Path) -> None:
    made = of(Row("a.png", "ok", None, cat(0.6)), Row("gone.png", "ok", None, cat(0.7)))
    (table(tmp_path, made) / "images").mkdir()
    Image.new("RGB", (300, 200), (250, 10, 10)).save(tmp_path / "images" / "a.png")
    shown = report(tmp_path, pictures=True)

    pictures = [attributes for tag, attributes in shown.tags if tag == "img"]
    assert [picture["alt"] for picture in pictures] == ["a.png"]
    assert str(pictures[0]["src"]).startswith("data:image/jpeg;base64,")
    assert "1 of the images could not be read any more" in shown.text


def test_of_a_truncated_image_the_part_that_is_there_is_shown(tmp_path: Path) -> None:
    """And of one that has no pixels the status, in its place."""
    made = of(Row("cut.jpg", "truncated", "the file ends"), Row("none.jpg", "not_an_image", "text"))
    (table(tmp_path, made) / "images").mkdir()
    red = io.BytesIO()
    Image.effect_noise((300, 200), 90).convert("RGB").save(red, "JPEG", quality=95)
    (tmp_path / "images" / "cut.jpg").write_bytes(red.getvalue()[: len(red.getvalue()) // 2])
    (tmp_path / "images" / "none.jpg").write_bytes(b"no image")
    shown = report(tmp_path, pictures=True)

    (picture,) = [attributes for tag, attributes in shown.tags if tag == "img"]
    assert picture["alt"] == "cut.jpg"
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(str(picture["src"]).partition(",")[2]))).convert("L"))
    assert pixels[:20].std() > 10 > pixels[-20:].std()  # noise above, one grey below
    assert "not_an_imagenot_an_imagenone.jpg" in re.sub(r"\s", "", shown.text)


@pytest.mark.parametrize(
    ("pattern", "key", "label"),
    [
        (r"_(\d)\.png$", "a_7.png", "7"),
        (r"^(?:train|test)/([^/]+)/", "test/cat/1.png", "cat"),
        (r"(cat|dog)s?(\d+)", "dogs12", "dog"),
        (r"[(]([a-z]+)\)", "x(cat).png", "cat"),
        (r"(?P<name>cat)", "a cat", "cat"),
        (r"(cat)", "a dog", None),
    ],
)
def test_true_labels_are_found_as_a_run_finds_them(pattern: str, key: str, label: str | None) -> None:
    match = re.compile(pattern).search(key)
    assert (match and match[1]) == label
    assert list(TrueLabels(pattern).of(Texts.of(pa.array([key]).dictionary_encode())).to_numpy()) == [label]


def test_what_re2_has_not_is_no_true_label() -> None:
    assert not TrueLabels(r"(?<=/)(\w+)").works
    assert list(TrueLabels(r"(?<=/)(\w+)").of(Texts.of(pa.array(["a/b", "c/d"]).dictionary_encode())).to_numpy()) == [
        None,
        None,
    ]


def test_true_labels_may_be_indices_and_more_than_are_kept_still_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In `pairs` are the first ones alone."""
    monkeypatch.setattr(statistics, "MOST_LABELS", 2)
    made = of(
        Row("0/a.png", "ok", None, cat()),
        Row("1/a.png", "ok", None, cat()),
        Row("cat/a.png", "ok", None, cat()),
        Row("dog/a.png", "ok", None, cat()),
    )
    run = FinishedRun.open(str(table(tmp_path, made, true_label="^([a-z0-9]+)/")), Access())
    found = statistics.gather(run.store, run.shards, run.format, run.true_label)

    assert (found.counts.labelled, found.counts.correct) == (4, 2)
    assert found.pairs == {("0", 0): 1, ("1", 0): 1}


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
def test_tops_are_the_first_predictions(tmp_path: Path, output_format: str) -> None:
    made = of(
        Row("a", "ok", None, cat()), Row("b", "missing", "gone"), Row("c", "ok", None, ()), Row("d", "ok", None, dog())
    )
    store = FolderStore(table(tmp_path, made, output_format))
    first, second = [next(tops.read(store, shard, output_format)) for shard in (0, 1)]

    assert (list(first.keys), list(first.statuses), list(first.errors)) == (
        ["a", "b", "c"],
        ["ok", "missing", "ok"],
        [None, "gone", None],
    )
    assert first.indices.tolist() == [0, -1, -1]
    assert first.probabilities.tolist()[0] == pytest.approx(0.9)
    assert np.isnan(first.probabilities[1:]).all()
    assert (first.labels, second.labels) == ({0: "cat"}, {1: "dog"})
    assert list(tops.read(store, 7, output_format)) == []


def test_the_timeline_and_the_rate_are_of_what_workers_reported(tmp_path: Path) -> None:
    made = of(*(Row(f"{number:02}.png", "ok", None, cat()) for number in range(30)))
    steady = [finished(shard, 1000.0 + shard, 1.0) for shard in range(9)]
    run = logged(table(tmp_path, made), *steady, finished(9, 1000.0, 20.0, process=2))

    lanes, rates = charts.timeline(run), charts.rates(run)
    assert lanes.lanes == ("host <b>x</b>, process 1", "host <b>x</b>, process 2")
    assert [shard.shard for shard in lanes.slowest] == [9]
    assert sum(rates.values) * rates.seconds == pytest.approx(100)
    first, second = charts.workers(run)
    assert (first.images, first.seconds("forward")) == (90, 4.5)
    assert second.rest == pytest.approx(20 - 10 - 5 - 0.1)
    shown = report(tmp_path)
    assert "straggler" in shown.text
    assert "host <b>x</b>, process 2" in shown.text


def test_a_run_goes_on_where_its_record_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def refuse(_store: FolderStore, key: str, _data: bytes) -> None:
        tries.append(key)
        raise StorageError("disk full")

    monkeypatch.setattr(FolderStore, "write", refuse)
    log = ShardLog.begin(FolderStore(tmp_path), "0123456789", "plan", 1, "cpu(0)", {})
    log.add(finished(0, 0.0, 1.0))
    log.write()
    log.write()
    assert len(tries) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"plan": 1}', '{"plan": "P", "columns": "C", "shards": [[1, 2, "x"]]}', "[" * 10_000]
)
def test_records_that_others_wrote_are_passed_by(tmp_path: Path, text: str) -> None:
    made = of(Row("a.png", "ok", None, cat()))
    frozen = plan.load(FolderStore(table(tmp_path, made)))
    assert frozen is not None
    columns = json.dumps(list(shard_log.ShardRun.__dataclass_fields__))
    (tmp_path / "_runs").mkdir()
    (tmp_path / "_runs" / "x.json").write_text(text.replace('"P"', f'"{frozen.id}"').replace('"C"', columns))
    assert "When its shards ran was not recorded" in report(tmp_path).text


def test_no_more_of_a_record_is_read_than_a_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = table(tmp_path, of(Row("a.png", "ok", None, cat())))
    logged(folder, finished(0, 1000.0, 1.0))
    for name in ("MOST_SHARDS", "MAX_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(shard_log, name, 0)
            assert FinishedRun.open(str(folder), Access()).runs == ()


@pytest.mark.parametrize(
    "this_run", [None, 7, "x", [1], {"retries": 7, "failing_executors": [7], "worker_seconds": {"a": []}}]
)
def test_a_summary_that_others_wrote_is_shown_as_far_as_it_goes(tmp_path: Path, this_run: object) -> None:
    folder = table(tmp_path, of(Row("cat/a.png", "ok", None, cat())), true_label=r"^([a-z]+)/")
    frozen = plan.load(FolderStore(folder))
    assert frozen is not None
    hostile = {
        "plan": {"id": frozen.id},
        "this_run": this_run,
        "accuracy_top_k": 10**400,
        "finished": [],
        "mxspark": {},
    }
    (folder / "_summary.json").write_text(json.dumps(hostile))
    assert "What ran" in report(folder).text


def test_every_status_has_a_hint_but_ok() -> None:
    assert set(hints.HINTS) == set(RowStatus)
    assert [status for status, text in hints.HINTS.items() if not text] == [RowStatus.OK]


def keys_shown(folder: Path, number: int = 10, **choice: Any) -> list[str]:
    run = FinishedRun.open(str(folder), Access())
    return [row.key for row in rows.choose(run, Choice(**choice), number).rows]


def test_of_long_classes_and_statuses_the_beginning_is_kept(tmp_path: Path) -> None:
    """51 kB of parts stood for gigabytes of them."""
    for name in ("a", "b"):
        long = f"{name}{'x' * 10_000}"
        made = of(Row("1.png", "ok", None, (Prediction(0, long, 0.8),)), Row("2.png", long, "gone"))
        table(tmp_path / name, made)
    run = FinishedRun.open(str(tmp_path / "a"), Access())
    found = statistics.gather(run.store, run.shards, run.format, None)
    moved = difference.compare(str(tmp_path / "a"), str(tmp_path / "b"), Access())
    for texts in (found.labels.values(), found.counts.by_status, *moved.moves, *moved.changed):
        assert all(len(text) <= 1024 for text in texts)
    assert (found.counts.rows, moved.compared, moved.same) == (2, 1, 0)


def test_a_pattern_takes_no_long_time_for_a_long_key(tmp_path: Path) -> None:
    """Python's took the square of its length, and more for more stars: hours for a part of such keys."""
    table(tmp_path, of(*(Row(f"{number}{'cat' * 20_000}", "ok", None, cat(0.8)) for number in range(4))))
    start = time.process_time()
    assert keys_shown(tmp_path, key="*cat*c[a]t*.jpg") == []
    assert time.process_time() - start < 10


def test_rows_are_chosen_by_status_class_key_and_certainty(tmp_path: Path) -> None:
    made = of(
        Row("a/1.png", "ok", None, cat(0.8)),
        Row("a/2.png", "missing", "gone"),
        Row("b/1.png", "ok", None, dog(0.5)),
        Row("b/2.png", "ok", None, dog(0.7)),
        Row("b/3.png", "empty", "no bytes"),
    )
    table(tmp_path, made)
    assert keys_shown(tmp_path, 2) == ["a/1.png", "a/2.png"]
    assert keys_shown(tmp_path, status="failed") == ["a/2.png", "b/3.png"]
    assert keys_shown(tmp_path, status="empty") == ["b/3.png"]
    assert keys_shown(tmp_path, label="dog") == keys_shown(tmp_path, label="1") == ["b/1.png", "b/2.png"]
    assert keys_shown(tmp_path, key="b/*.png", status="ok") == ["b/1.png", "b/2.png"]
    assert keys_shown(tmp_path, key="[!a]/[2-9].png") == ["b/2.png", "b/3.png"]
    assert keys_shown(tmp_path, key="[ -a]/?.png") == ["a/1.png", "a/2.png"]  # which RE2 does not know
    assert keys_shown(tmp_path, 2, least_certain=True) == ["b/1.png", "b/2.png"]
    assert keys_shown(tmp_path, least_certain=True, label="cat") == ["a/1.png"]
    with pytest.raises(UsageError, match="--status is 'lost'"):
        keys_shown(tmp_path, status="lost")
    with pytest.raises(UsageError, match="--key"):
        keys_shown(tmp_path, key="[z-a]")


def two_tables(folder: Path) -> tuple[Path, Path]:
    first = [
        Row("a.png", "ok", None, cat(0.9)),
        Row("b.png", "ok", None, cat(0.9)),
        Row("c.png", "ok", None, dog(0.6)),
        Row("d.png", "missing", "gone"),
        Row("only-a.png", "ok", None, cat()),
    ]
    # Another order of the classes, and other shards.
    second = [
        Row("a.png", "ok", None, (Prediction(5, "cat", 0.7),)),
        Row("b.png", "ok", None, (Prediction(3, "dog", 0.8),)),
        Row("c.png", "truncated", "cut"),
        Row("d.png", "missing", "gone"),
        Row("0-only-b.png", "ok", None, cat()),
    ]
    return table(folder / "a", of(*first)), table(folder / "b", of(*second), "jsonl")


def test_two_tables_are_compared_key_by_key(tmp_path: Path) -> None:
    a, b = two_tables(tmp_path)
    found = difference.compare(str(a), str(b), Access())

    assert (found.both, found.only, found.only_examples) == (4, (1, 1), (["only-a.png"], ["0-only-b.png"]))
    assert (found.compared, found.same, found.agreement) == (2, 1, 0.5)
    assert found.mean_change == pytest.approx(0.2)
    assert found.moves == {("cat", "dog"): 1}
    assert found.changed == {("ok", "truncated"): 1}
    assert [(one.key, other.name) for one, other in found.examples] == [("b.png", "dog")]
    same = difference.compare(str(a), str(a), Access())
    assert (same.agreement, same.only, same.changed) == (1.0, (0, 0), {})


def test_tables_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    a = table(tmp_path / "a", of(Row("a", "ok", None, cat())))
    b = table(tmp_path / "b", of(Row("b", "ok", None, cat())))
    empty = table(tmp_path / "empty", of(Row("a", "ok", None, cat())), parts=0)
    with pytest.raises(UsageError, match="no key in common: a and b"):
        difference.compare(str(a), str(b), Access())
    with pytest.raises(UsageError, match="neither has a row yet"):
        difference.compare(str(empty), str(empty), Access())
    for one, other in ((a, empty), (empty, a)):
        with pytest.raises(UsageError, match=f"^{re.escape(str(empty))}: has no row yet"):
            difference.compare(str(one), str(other), Access())
    with pytest.raises(UsageError, match="no run has a plan here"):
        difference.compare(str(a), str(tmp_path / "nowhere"), Access())
    several = table(tmp_path / "c", of(*(Row(f"{number}", "ok", None, cat()) for number in range(6))))
    shutil.copy(several / "part-000001.parquet", several / "part-000000.parquet")
    with pytest.raises(MxsparkError, match="out of order"):
        difference.compare(str(several), str(several), Access())


def test_the_commands_write_show_and_compare(tmp_path: Path, here: Here) -> None:
    a, b = two_tables(tmp_path)
    file = tmp_path / "page.html"
    made = here("report", a, "--compare", b, "--to", file)
    assert (made.code, made.output) == (0, f"Report: {file}\n")
    assert "Difference from" in file.read_text()
    assert here("report", tmp_path / "nowhere", "--to", file).code == 2
    assert here("report", a, "--to", tmp_path).code == 2

    shown = here("show", a, "--status", "failed")
    assert (shown.code, "missing: gone" in shown.output, "a.png" in shown.output) == (0, True, False)
    lines = here("show", a, "-n", "2", "--json").output.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a.png", "b.png"]
    assert here("show", a, "--label", "horse").output == "No row is like that.\n"

    compared = here("diff", a, b)
    assert (compared.code, "50.00% (1 of 2 images)" in compared.output, "ok -> truncated: 1" in compared.output) == (
        0,
        True,
        True,
    )
    assert json.loads(here("diff", a, b, "--json").output)["top_1"]["agreement"] == 0.5
    assert here("diff", a, tmp_path / "nowhere").code == 2


def test_a_report_does_not_import_pandas(tmp_path: Path) -> None:
    """Which takes as long as the statistics of a hundred parts: Arrow does by itself, for arrays of Python's values."""
    folder = table(tmp_path, of(Row("cat/1.png", "ok", None, cat())), true_label=r"^([a-z]+)/")
    look = "import sys; from mxspark import report, storage; report.write(*sys.argv[1:], storage.Access(), False)"
    command = [sys.executable, "-c", f"{look}; print('pandas' in sys.modules)", str(folder), str(folder / "page.html")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    assert "1 of 1 images" in (folder / "page.html").read_text()


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, what: str) -> None:
        self.notes.append(what)


def summed_up(folder: Path, again: bool = False, output_format: Format = "parquet", **more: Any) -> Result:
    """A run that ended with the table in `folder`."""
    store = FolderStore(folder)
    frozen = plan.load(store)
    assert frozen is not None
    chosen = Settings(
        input=InputSettings(path=str(folder / "images"), true_label=r"^([a-z]+)/"),
        output=OutputSettings(path=str(folder), format=output_format),
        model=ModelSettings(path="net"),
        **more,
    )
    done = Performance(1, 1.0, 1.0, 0.5, 1, Timings(), Counter(), "cpu(0)")
    return sum_up(Table(store, frozen, chosen), None if again else done, Access())


def test_a_run_is_counted_for_its_report_and_its_summary_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of(
        Row("cat/1.png", "ok", None, cat()),
        Row("cat/2.png", "ok", None, dog()),
        Row("dog/1.png", "missing", "gone"),
        *(Row(f"zebra/{number}.png", "ok", None, dog()) for number in range(10)),
    )
    folder = table(tmp_path, made, true_label=r"^([a-z]+)/")
    reads: Counter[str] = Counter()
    plain = FolderStore.read

    def counted(store: FolderStore, key: str, limit: int) -> bytes:
        reads[key] += key.startswith("part-")
        return plain(store, key, limit)

    monkeypatch.setattr(FolderStore, "read", counted)
    heard = Heard()
    result = summed_up(folder, max_failed_fraction=0.5)
    reports.write_at_end(result, Access(), heard)

    assert [note.partition(":")[0] for note in heard.notes] == ["Report"]
    assert result.beside is not None
    assert replace(result.results.counts, correct_top_k=0) == result.beside.statistics().counts
    shown = _Page((folder / "_report.html").read_text())
    assert "1 of 12 images with a known label are right: 8.33%" in shown.text
    assert "16.67% have it among the classes" in shown.text
    assert reads["part-000004.parquet"] == 1  # the first ones again, to be shown
    assert summed_up(folder, again=True, max_failed_fraction=0.5).beside is None


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
@pytest.mark.parametrize(("limited", "limit"), [(predictions, "SMALL_PART_BYTES"), (summary, "MOST_BYTES")])
def test_large_tables_are_counted_without_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limited: Any, limit: str, output_format: Format
) -> None:
    made = of(*(Row(f"zebra/{number:02}.png", "ok", None, dog()) for number in range(30)))
    folder = table(tmp_path, made, output_format, true_label=r"^([a-z]+)/")
    monkeypatch.setattr(limited, limit, 10)
    heard = Heard()
    result = summed_up(folder, output_format=output_format)
    reports.write_at_end(result, Access(), heard)
    assert (result.beside, result.results.counts.rows, result.results.counts.labelled) == (None, 30, 30)
    assert heard.notes == [f"For a report: mxspark report {folder}"]


def test_parts_of_json_are_read_whole_once_and_a_row_again_by_its_line(tmp_path: Path) -> None:
    made = of(*(Row(f"{number:02}.png", "ok", None, dog(0.5 + number / 100)) for number in range(30)))
    folder = table(tmp_path, made, "jsonl")
    result = summed_up(folder, output_format="jsonl")
    assert result.beside is not None
    found = result.beside.statistics()
    assert (found.counts.rows, found.broken) == (30, ())
    assert [(row.key, row.predictions) for row in found.least_certain] == [
        (key, made[key].predictions) for key in sorted(made)[:24]
    ]


def test_a_report_says_how_the_last_run_ended(tmp_path: Path) -> None:
    folder = table(tmp_path, of(Row("a.png", "missing", "gone")))
    states: list[bool | None] = []
    for fraction in (0.0, 1.0, 0.0):
        reports.write_at_end(summed_up(folder, again=bool(states), max_failed_fraction=fraction), Access(), Heard())
        shown = folder / "_report.html"
        states.append("ended without success" in shown.read_text() if shown.exists() else None)
    assert states == [True, False, None]  # written again by `mxspark report` alone: it wasn't gathered


@pytest.mark.parametrize(
    ("output_format", "wrong"),
    [
        ("parquet", Prediction(-2, "cat", 0.9)),
        ("parquet", Prediction(0, "cat", float("nan"))),
        ("jsonl", Prediction(0, "cat", float("nan"))),
        ("jsonl", Prediction(0, "cat", 1e300)),
        ("jsonl", Prediction(2**33, "cat", 0.9)),
    ],
)
def test_parts_with_classes_that_cannot_be_are_named(tmp_path: Path, output_format: Format, wrong: Prediction) -> None:
    folder = table(tmp_path, of(Row("a.png", "ok", None, (wrong,))), output_format)
    assert "not a part of this run" in report(folder).text
    assert summed_up(folder, output_format=output_format).results.counts.rows == 1


@pytest.mark.parametrize("column", ["key", "status", "error", "label"])
def test_parts_with_texts_that_are_none_are_named(tmp_path: Path, column: str) -> None:
    """Bytes that aren't UTF-8, in whatever column."""
    folder = table(tmp_path, of(Row("a.png", "ok", "none", cat())))
    texts = dict.fromkeys(("key", "status", "error", "label"), pa.array(["ok"]))
    texts[column] = pa.array([b"\xff\xfe"]).view(pa.string())
    best = [pa.array([0], pa.int32()), texts.pop("label"), pa.array([0.5], pa.float32())]
    lists = pa.ListArray.from_arrays([0, 1], pa.StructArray.from_arrays(best, fields=list(parquet.PREDICTION)))
    written = pa.Table.from_arrays(
        [*texts.values(), lists], schema=pa.schema([*parquet.FIELDS, parquet.PREDICTIONS_FIELD])
    )
    pq.write_table(written, folder / "part-000000.parquet")
    assert "part-000000.parquet: not a part of this run" in report(folder).text


def test_a_report_that_fails_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = table(tmp_path, of(Row("a.png", "ok", None, cat())))

    def broken(*_: object) -> None:
        raise TypeError("a bug")

    for culprit, name in ((statistics.Gatherer, "_add"), (tops, "_of_parquet"), (page, "html")):
        heard = Heard()
        with monkeypatch.context() as patch:
            patch.setattr(culprit, name, broken)
            result = summed_up(made)
            reports.write_at_end(result, Access(), heard)
        assert result.results.counts.rows == 1
        is_named = culprit is tops  # a part whose rows can't be had is named in the report, as other damaged ones
        assert [note.partition(":")[0] for note in heard.notes] == ["Report" if is_named else "No report was written"]
    (made / "_report.html").unlink()
