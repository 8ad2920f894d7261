"""A worker: one shard becomes one part, whatever is tried again; and what no other attempt can hint stops the run in
words.
"""

import errno
import os
import pickle
import socket
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from mxspark.dataset import plan, predictions
from mxspark.dataset.plan import KeySpool
from mxspark.dataset.predictions import PARTS, Row
from mxspark.errors import MxsparkError
from mxspark.inference import bundle
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings
from mxspark.settings.model_spec import ModelSpec
from mxspark.storage import Access, FolderStore, HeldError, StorageError, TooLargeError
from mxspark.storage.store import CAUSES, TransientError, held
from mxspark.worker.shard import Job, ShardReport, TaskError, TaskFailure, run_shard
from tests.unit.pictures import noise, opencv_encoded
from tests.unit.runs import Format

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mxnet.*")

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "bundle"
ACCESS = Access()
SHARD_SIZE = 9
# Keys in the order of the plan, two shards of them; what is none is missing.
IMAGES: dict[str, bytes | None] = {
    f"{number:02}.png": opencv_encoded(noise(8, 8, number), ".png") for number in range(15)
}
IMAGES |= {"03.png": b"SEGFAULT", "06.png": None, "08.png": b"", "11.png": None}
STATUSES = Counter(ok=6, not_an_image=1, missing=1, empty=1)  # of the first shard


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A run over these images, planned as the driver does it."""
    photos = FolderStore(tmp_path / "photos")
    for key, data in IMAGES.items():
        if data is not None:
            photos.write(key, data)
    settings = Settings(
        input=InputSettings(path=str(tmp_path / "photos")),
        output=OutputSettings(path=str(tmp_path / "table")),
        model=ModelSettings(path=str(DIGITS)),
        batch_size=4,
        top_k=3,
    )
    with closing(KeySpool()) as spool:
        spool.fill(IMAGES)
        frozen = plan.write(FolderStore(tmp_path / "table"), spool, SHARD_SIZE, {}, {})
    source = bundle.find(settings.model, ACCESS)
    return Job(uuid4().hex, settings, source, ACCESS, 4, str(tmp_path / "cache"), frozen.id, frozen.samples)


def changed(job: Job, section: str = "output", **values: Any) -> Job:
    """The next run over the same plan, with other settings in one section."""
    settings = job.settings.model_copy(update={section: getattr(job.settings, section).model_copy(update=values)})
    return replace(job, run_id=uuid4().hex, settings=settings)


def table(job: Job) -> FolderStore:
    return FolderStore(Path(job.settings.output.path))


def part(job: Job, shard: int) -> bytes:
    return table(job).read(PARTS[job.settings.output.format].name(shard))


def parts(job: Job) -> list[str]:
    return sorted(path.name for path in Path(job.settings.output.path).rglob("part-*"))


def rows(job: Job, shard: int) -> list[Row]:
    return list(predictions.read_rows(table(job), shard, job.settings.output.format))


def failed(report: ShardReport) -> MxsparkError:
    """Why the run can't go on: an error that comes through Spark as it is."""
    assert report.stopped_by is not None
    assert report.counts.rows == 0
    received: ShardReport = pickle.loads(pickle.dumps(report))
    assert type(received.stopped_by) is type(report.stopped_by)
    assert str(received.stopped_by) == str(report.stopped_by)
    return report.stopped_by


# ---- one shard, one part ----


@pytest.mark.parametrize("output_format", ["parquet", "jsonl", "text"])
def test_a_shard_becomes_one_part_with_a_row_for_each_of_its_keys_in_order(job: Job, output_format: Format) -> None:
    job = changed(job, format=output_format)

    report = run_shard(job, 0, 0)

    assert parts(job) == [Path(PARTS[output_format].name(0)).name]
    found = rows(job, 0)
    assert [row.key for row in found] == list(IMAGES)[:SHARD_SIZE]
    assert Counter(row.status for row in found) == STATUSES == report.counts.by_status
    for row in found:
        assert len(row.predictions or ()) == (3 if row.status == "ok" else 0)
        assert bool(row.error) == (row.status != "ok")
    assert (report.shard, report.stopped_by) == (0, None)


def test_every_shard_has_its_own_part_and_the_last_one_may_be_shorter(job: Job) -> None:
    reports = [run_shard(job, shard, 0) for shard in (1, 0)]

    assert parts(job) == ["part-000000.parquet", "part-000001.parquet"]
    assert [row.key for shard in (0, 1) for row in rows(job, shard)] == list(IMAGES)
    assert [report.counts.rows for report in reports] == [6, 9]


def test_a_task_that_runs_twice_writes_the_same_bytes_over_its_own_part_only(job: Job) -> None:
    run_shard(job, 1, 0)
    other = part(job, 1)
    run_shard(job, 0, 0)
    first = part(job, 0)
    table(job).write("part-000000.parquet", b"half of what a killed")

    run_shard(replace(job, run_id=uuid4().hex), 0, 0)  # in another process, so to speak

    assert (part(job, 0), part(job, 1)) == (first, other)


def test_a_report_says_where_the_time_went_and_comes_through_spark_as_it_is(job: Job) -> None:
    report = run_shard(job, 0, 0)

    received: ShardReport = pickle.loads(pickle.dumps(report))
    assert received == report
    assert min(report.timings.fetch, report.timings.decode, report.timings.forward, report.timings.write) > 0
    assert report.retries == Counter()


def test_a_job_comes_through_spark_as_the_same_run(job: Job) -> None:
    received: Job = pickle.loads(pickle.dumps(job))

    assert (received, hash(received)) == (job, hash(job))
    assert received.settings == job.settings
    assert received != changed(job)


# ---- after a worker died ----


def test_a_later_attempt_writes_the_same_bytes(job: Job) -> None:
    run_shard(job, 0, 0)
    everyday = part(job, 0)

    report = run_shard(job, 0, 0, attempt=1)

    assert part(job, 0) == everyday
    assert report.counts.by_status == STATUSES


def test_a_later_attempt_survives_an_image_that_kills_its_decoder(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_shard(job, 0, 0)
    everyday = rows(job, 0)
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes\nfrom PIL import Image\nopened = Image.open\nImage.open = lambda file, **options: "
        "file.getvalue() == b'SEGFAULT' and ctypes.string_at(0) or opened(file, **options)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    report = run_shard(job, 0, 0, attempt=3)

    crashed = Row("03.png", "decoder_crashed", "the decoder crashed (killed by signal 11)")
    assert rows(job, 0) == [crashed if row.key == "03.png" else row for row in everyday]
    assert report.counts.by_status["decoder_crashed"] == 1


# ---- failed rows again ----


def test_failed_rows_are_predicted_again_and_good_ones_kept(job: Job, tmp_path: Path) -> None:
    run_shard(job, 0, 0)
    before = {row.key: row for row in rows(job, 0)}
    photos = FolderStore(tmp_path / "photos")
    photos.write("06.png", opencv_encoded(noise(8, 8, 99), ".png"))
    photos.write("00.png", b"broken meanwhile")  # but predicted already

    report = run_shard(changed(job, retry_failed=True), 0, 0)

    after = {row.key: row for row in rows(job, 0)}
    assert list(after) == list(before)
    assert after["06.png"].status == "ok"
    assert {key: row for key, row in after.items() if key != "06.png"} == {
        key: row for key, row in before.items() if key != "06.png"
    }
    assert report.counts.by_status == Counter(ok=1, not_an_image=1, empty=1)


def test_where_nothing_was_mended_trying_again_changes_nothing(job: Job) -> None:
    run_shard(job, 0, 0)
    before = part(job, 0)

    run_shard(changed(job, retry_failed=True), 0, 0)

    assert part(job, 0) == before


def test_a_shard_without_a_part_is_predicted_in_whole_when_failed_rows_are_tried_again(job: Job) -> None:
    report = run_shard(changed(job, retry_failed=True), 1, 0)

    assert report.counts.rows == len(rows(job, 1)) == 6


def test_a_part_of_other_keys_is_not_kept(job: Job) -> None:
    strangers = [Row(f"{number}.jpg", "ok", None, ()) for number in range(SHARD_SIZE)]
    table(job).write("part-000000.parquet", predictions.encode(strangers, None, "parquet"))

    report = run_shard(changed(job, retry_failed=True), 0, 0)

    assert report.counts.by_status == STATUSES
    assert [row.key for row in rows(job, 0)] == list(IMAGES)[:SHARD_SIZE]


# ---- what stops a run ----


def test_a_worker_whose_plan_is_gone_writes_nothing(job: Job) -> None:
    table(job).delete(plan.PLAN)

    assert "the plan is gone" in on_node(job, 1).error.problem
    assert parts(job) == []


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_worker_left_over_from_a_run_that_was_started_afresh_writes_nothing(job: Job, attempt: int) -> None:
    store = table(job)
    with closing(KeySpool()) as spool:
        spool.fill(IMAGES)
        plan.write(store, spool, SHARD_SIZE, {}, {})

    error = failed(run_shard(job, 0, 0, attempt))

    assert isinstance(error, HeldError)
    assert f"{store.name}: another run has overwritten this output" in error.problem
    assert parts(job) == []


@pytest.mark.parametrize("attempt", [0, 3])
def test_a_damaged_copy_of_the_model_fails_the_task_and_the_driver_decides(job: Job, attempt: int) -> None:
    other = replace(job.source, sha256={**job.source.sha256, "params": 64 * "0"})

    failure = on_node(replace(job, source=other), attempt)

    assert (failure.cause, failure.is_lasting, failure.error.exit_code) == ("UsageError", True, 2)
    assert "digits-0000.params" in failure.error.problem
    assert socket.gethostname() in failure.node
    assert parts(job) == []


def test_what_a_folder_lacks_may_be_the_nodes_fault(job: Job) -> None:
    table(job).delete("_plan/000000.jsonl.gz")

    failure = on_node(job, 1)

    assert "--overwrite" in failure.error.hint
    assert "_plan/000000.jsonl.gz" in failure.error.problem
    assert (failure.cause, failure.is_lasting, failure.error.exit_code) == ("MxsparkError", False, 1)


def test_a_disk_that_is_full_is_told_as_the_machines(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mxspark.worker.shard.set_up", full)

    failure = on_node(job, 0)

    assert (failure.cause, failure.error.exit_code) == ("OSError", 1)
    assert "No space left on device" in failure.error.problem
    assert "disk" in failure.error.hint


def on_node(job: Job, attempt: int) -> TaskFailure:
    """What the task failed of, as it comes through Spark."""
    with pytest.raises(TaskError) as tried:
        run_shard(job, 0, 0, attempt)
    failure = TaskError.find(f"org.apache.spark.SparkException: Job aborted\n{tried.value!s}\n\tat java.lang.Thread")
    assert failure is not None
    return failure


def test_a_damaged_plan_is_told(job: Job) -> None:
    table(job).write("_plan/000000.jsonl.gz", b"no gzip")

    assert "_plan/000000.jsonl.gz: damaged" in on_node(job, 1).error.problem


@pytest.mark.parametrize("number", [2, 40])
def test_images_that_none_can_be_fetched_of_stop_the_run_and_are_no_rows(job: Job, tmp_path: Path, number: int) -> None:
    """The samples and the images are pipes, which are there but can't be read: a closed storage is not easily had by
    root.
    """
    keys = [f"{index:02}.png" for index in range(number)]
    (tmp_path / "pipes").mkdir()
    for key in keys:
        os.mkfifo(tmp_path / "pipes" / key)
    with closing(KeySpool()) as spool:
        spool.fill(keys)
        frozen = plan.write(table(job), spool, 100, {}, {})
    closed = changed(replace(job, plan_id=frozen.id, samples=frozen.samples), "input", path=str(tmp_path / "pipes"))

    failure = on_node(closed, 0)

    assert (failure.cause, failure.is_lasting) == ("StorageError", True)
    assert f"{tmp_path}/pipes: no image can be fetched" in failure.error.problem
    assert parts(job) == []


@pytest.mark.parametrize(
    "error",
    [
        TooLargeError("large", "hint"),
        held("s3://bucket", {"host": "pod-7", "process": 1, "since": "now"}),
        TransientError("passing", "hint", cause=CAUSES[0], final=TooLargeError),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_through_spark_whole(error: StorageError) -> None:
    received = pickle.loads(pickle.dumps(error))

    assert type(received) is type(error)
    assert vars(received) == vars(error)


def test_what_was_no_error_of_ours_is_not_taken_for_one() -> None:
    assert TaskError.find("java.lang.OutOfMemoryError") is None


# ---- vectors ----

POOL = "digits_pool0_fwd"


def with_output(job: Job, output: dict[str, Any], **settings: Any) -> Job:
    """The next run over the same plan, with vectors."""
    job = changed(job, **settings)
    source = bundle.with_output(job.source, output.get("kind"), output.get("name"), output.get("also"))
    return replace(job, source=source)


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
def test_a_shard_may_have_vectors_beside_its_classes(job: Job, output_format: Format) -> None:
    job = with_output(job, {"also": {"features": POOL}}, format=output_format)
    run_shard(job, 0, 0)
    found = rows(job, 0)
    assert Counter(row.status for row in found) == STATUSES

    alone = with_output(job, {"kind": "vector", "name": POOL}, l2_normalize=True, vector_type="float16")
    run_shard(alone, 1, 0)
    run_shard(alone, 0, 0)

    for row, other in zip(found, rows(alone, 0), strict=True):
        assert (row.key, row.status) == (other.key, other.status)
        assert len(row.predictions or ()) == (3 if row.status == "ok" else 0)
        assert other.predictions is None
        if row.status == "ok":
            features = row.vectors["features"]
            assert features.shape == (48,)
            np.testing.assert_allclose(other.vectors["vector"], features / np.linalg.norm(features), atol=1e-3)
        else:
            assert not row.vectors
            assert not other.vectors


def test_rows_that_were_ok_keep_their_vectors_when_the_others_are_tried_again(job: Job) -> None:
    job = with_output(job, {"kind": "vector", "name": POOL})
    run_shard(job, 0, 0)
    before = {row.key: row.vectors["vector"] for row in rows(job, 0) if row.status == "ok"}
    FolderStore(Path(job.settings.input.paths[0])).write("06.png", opencv_encoded(noise(8, 8, 6), ".png"))

    run_shard(replace(changed(job, retry_failed=True), source=job.source), 0, 0)

    after = {row.key: row.vectors["vector"] for row in rows(job, 0) if row.status == "ok"}
    assert set(after) == {*before, "06.png"}
    for key, vector in before.items():
        np.testing.assert_array_equal(after[key], vector)


def test_a_preset_gives_what_the_same_preprocessing_written_out_gives(job: Job) -> None:
    files = {
        role: str(DIGITS / name)
        for role, name in (("symbol", "digits-symbol.json"), ("params", "digits-0000.params"), ("labels", "labels.txt"))
    }
    source = bundle.find(ModelSettings(**files, preset="keras-tf"), ACCESS)
    run_shard(replace(job, source=source), 0, 0)
    by_preset = rows(job, 0)

    steps = {"filter": "bilinear", "scale": 1 / 127.5, "mean": 1}
    written = replace(source, spec=ModelSpec.model_validate({"preprocess": steps}))
    run_shard(replace(job, run_id=uuid4().hex, source=written), 0, 0)

    assert by_preset == rows(job, 0)
    run_shard(replace(job, run_id=uuid4().hex, source=replace(source, spec=ModelSpec())), 0, 0)
    assert by_preset != rows(job, 0)
