"""The output folder: what is refused, what `--overwrite` deletes and what it never touches, and the article's one
text object.
"""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mxspark.dataset import output, plan
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.dataset.predictions import PARTS, Prediction, Row, encode
from mxspark.errors import MxsparkError, UsageError
from mxspark.settings.job import OutputSettings
from mxspark.storage import Access, FolderStore

OURS = [
    "_plan/plan.json",
    "_plan/000000.jsonl.gz",
    "_parts/part-000000.jsonl",
    "part-000000.parquet",
    "part-1000000.jsonl",
    "predictions.txt",
    "_runs/20261130T120000-0123abcd.json",
    "_summary.json",
    "_report.html",
    "_SUCCESS",
]
OTHERS = [
    "notes.md",
    "part-000000.csv",
    "part-0.parquet",
    "sub/part-000000.parquet",
    "part-000000.parquet.bak",
    "a.png",
    "_other/x",
]


def folder_with(folder: Path, *names: str) -> FolderStore:
    store = FolderStore(folder)
    for name in names:
        store.write(name, b"")
    return store


def frozen(store: FolderStore, keys: list[str], shard_size: int) -> Plan:
    spool = KeySpool()
    spool.fill(keys)
    return plan.write(store, spool, shard_size, {}, {})


def refusal(store: FolderStore, overwrite: bool = False) -> UsageError:
    with pytest.raises(UsageError) as refused:
        output.check(store, OutputSettings(path=store.name, overwrite=overwrite))
    return refused.value


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["new", "new/deep/er"])
def test_a_new_place_is_fine_and_nothing_is_made_there_yet(tmp_path: Path, place: str) -> None:
    assert output.check(FolderStore(tmp_path / place), OutputSettings(path=str(tmp_path / place))) is None
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_is_to_be_written_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a dry run: in a bucket the try is an object."""
    monkeypatch.delattr(FolderStore, "check_writable")
    assert output.check(FolderStore(tmp_path), OutputSettings(path=str(tmp_path)), probes=False) is None


def test_hidden_files_are_no_hindrance(tmp_path: Path) -> None:
    store = folder_with(tmp_path, ".DS_Store", "_other/x")

    assert output.check(store, OutputSettings(path=str(tmp_path))) is None


def test_a_folder_that_cannot_be_entered_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lost+found").mkdir()
    scandir = os.scandir

    def refuse(folder: str | Path) -> Any:
        if Path(folder).name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)

    assert output.check(FolderStore(tmp_path), OutputSettings(path=str(tmp_path))) is None


def test_an_earlier_plan_is_found_so_that_the_run_goes_on(tmp_path: Path) -> None:
    store = folder_with(tmp_path, "part-000000.parquet")
    written = frozen(store, ["a.png"], 1)

    assert output.check(store, OutputSettings(path=str(tmp_path))) == written
    assert output.check(store, OutputSettings(path=str(tmp_path), overwrite=True)) is None


def test_what_the_same_submission_began_is_not_overwritten(tmp_path: Path) -> None:
    """Kubernetes starts a lost driver again with the same settings, --overwrite among them."""
    store, spool = folder_with(tmp_path), KeySpool()
    spool.fill(["a.png"])
    begun = plan.write(store, spool, 1, {}, {"output": {"submission": "job-1"}})

    def found(submission: str | None) -> Plan | None:
        return output.check(store, OutputSettings(path=str(tmp_path), overwrite=True, submission=submission))

    assert found("job-1") == begun
    assert found("job-2") is None
    assert found(None) is None


def test_a_damaged_plan_is_told_but_no_hindrance_to_overwriting(tmp_path: Path) -> None:
    store = folder_with(tmp_path)
    store.write(plan.PLAN, b"{")

    with pytest.raises(MxsparkError, match=r"plan\.json"):
        output.check(store, OutputSettings(path=str(tmp_path)))
    assert output.check(store, OutputSettings(path=str(tmp_path), overwrite=True)) is None


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", [name for name in OTHERS if not name.startswith("_")])
def test_files_of_somebody_else_are_never_mixed_with_results(tmp_path: Path, name: str, overwrite: bool) -> None:
    refused = refusal(folder_with(tmp_path, name), overwrite)

    assert name in refused.problem
    assert str(tmp_path) in refused.problem


@pytest.mark.parametrize("name", ["part-000000.parquet", "part-000000.jsonl", "predictions.txt"])
def test_results_without_a_plan_are_refused_with_overwrite_as_the_mend(tmp_path: Path, name: str) -> None:
    store = folder_with(tmp_path, name)

    assert "--overwrite" in refusal(store).hint
    assert output.check(store, OutputSettings(path=str(tmp_path), overwrite=True)) is None


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_place_that_is_a_file_or_lies_below_one_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")

    assert str(tmp_path / "file") in refusal(FolderStore(tmp_path / "file" / below)).problem


def test_a_place_that_may_not_be_written_is_refused() -> None:
    refused = refusal(FolderStore(Path("/proc/table")))  # where even root may not

    assert "output.path" in refused.problem
    assert "/proc/table" in refused.problem


def test_clearing_deletes_what_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    output.clear(folder_with(tmp_path, *OURS, *OTHERS))

    assert names_in(tmp_path) == set(OTHERS)


def test_clearing_a_place_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    output.clear(FolderStore(tmp_path / "new"))


def test_the_mark_of_success_goes_first_so_that_half_a_clearing_is_never_taken_for_a_result(tmp_path: Path) -> None:
    deleted = []

    class Watched(FolderStore):
        def delete(self, key: str) -> None:
            deleted.append(key)
            super().delete(key)

    folder_with(tmp_path, *OURS)
    output.clear(Watched(tmp_path))

    assert deleted[0] == "_SUCCESS"
    assert deleted.index("_plan/plan.json") < deleted.index("part-000000.parquet")


def with_text_parts(folder: Path) -> tuple[FolderStore, Plan]:
    store = FolderStore(folder)
    written = frozen(store, ["c.png", "a.png", "日本.png", "b.png"], 3)
    for shard in range(written.shards):
        rows = [Row(key, "ok", None, (Prediction(0, "cat", 0.5),)) for key in plan.shard_keys(store, shard)]
        store.write(PARTS["text"].name(shard), encode(rows, None, "text"))
    return store, written


TEXT = "".join(
    f"Key {key}: Prediction: ['probability=0.500000, class=cat']\n" for key in ("a.png", "b.png", "c.png", "日本.png")
)


def test_the_text_is_one_object_in_key_order(tmp_path: Path) -> None:
    store, written = with_text_parts(tmp_path)
    settings = OutputSettings(path=str(tmp_path), format="text")

    where = output.write_text(store, written, settings, Access())

    assert where == output.table(settings) == f"{tmp_path}/predictions.txt"
    assert Path(where).read_text(encoding="utf-8") == TEXT


def test_the_text_may_go_elsewhere(tmp_path: Path) -> None:
    store, written = with_text_parts(tmp_path / "run")
    settings = OutputSettings(path=str(tmp_path / "run"), format="text", text_object=str(tmp_path / "out" / "all.txt"))

    output.write_text(store, written, settings, Access())

    assert output.table(settings) == str(tmp_path / "out" / "all.txt")
    assert (tmp_path / "out" / "all.txt").read_text(encoding="utf-8") == TEXT


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
def test_a_table_is_its_folder(output_format: Any) -> None:
    assert output.table(OutputSettings(path="s3://bucket/table", format=output_format)) == "s3://bucket/table"
