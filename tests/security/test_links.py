"""Links and paths: what lies in an output folder, in a manifest or in a model.yaml leads nowhere else."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.security.conftest import content
from tests.unit.runs import run_in
from tests.unit.web import serving

from mxspark.dataset import output, plan
from mxspark.dataset.source import Source
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import bundle
from mxspark.run import status
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, StorageSettings
from mxspark.storage import Access, DeniedError, StorageError, open_output
from mxspark.storage.folder import FolderStore

ACCESS = Access(StorageSettings(retries=0))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """An output folder that others may write to."""
    folder = tmp_path / "table"
    folder.mkdir()
    return folder


def store(folder: Path) -> FolderStore:
    found = open_output(str(folder), ACCESS)
    assert isinstance(found, FolderStore)
    return found


def settings(folder: Path, **more: Any) -> OutputSettings:
    return OutputSettings(path=str(folder), **more)


# ---- an output folder ----


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["_plan", "_parts", "_runs"])
def test_a_link_where_a_run_has_a_folder_is_refused_before_anything_is_written(
    table: Path, home: Path, name: str, overwrite: bool
) -> None:
    (table / name).symlink_to(home)

    with pytest.raises(UsageError, match=f"{name}.*is a link"):
        output.check(store(table), settings(table, overwrite=overwrite))


def test_clearing_deletes_nothing_behind_a_link(table: Path, home: Path) -> None:
    before = content(home)
    (table / "_plan").symlink_to(home)
    (table / "_parts").symlink_to(home / "thesis")
    (table / "part-000000.parquet").symlink_to(home / "secret")

    with pytest.raises(StorageError, match="is a link"):
        output.clear(store(table))
    (table / "_plan").unlink()
    output.clear(store(table))

    assert content(home) == before
    assert not (table / "part-000000.parquet").is_symlink()


def test_sweeping_removes_nothing_behind_a_link(table: Path, home: Path) -> None:
    (home / ".000000.jsonl.gz.abcdefgh").write_text("somebody's own")
    (table / "_plan").symlink_to(home)

    assert store(table).sweep(output.is_ours) == 0
    assert (home / ".000000.jsonl.gz.abcdefgh").exists()


def test_the_lock_empties_no_file_behind_a_link(table: Path, home: Path) -> None:
    (table / output.LOCK).symlink_to(home / "secret")

    with pytest.raises(StorageError, match="is a link"), output.hold(store(table), settings(table)):
        pass
    assert (home / "secret").read_text() == "hunter2"
    assert store(table).holder(output.LOCK) == {}


def test_a_lock_that_is_a_pipe_is_refused_rather_than_waited_for(table: Path) -> None:
    os.mkfifo(table / output.LOCK)

    with pytest.raises(StorageError, match="not a regular file"), output.hold(store(table), settings(table)):
        pass
    assert store(table).holder(output.LOCK) == {}


@pytest.mark.parametrize("key", ["_parts/part-000000.jsonl", "_plan/plan.json", "a/b/c"])
def test_nothing_is_written_read_or_deleted_below_a_link(table: Path, home: Path, key: str) -> None:
    first, _, name = key.rpartition("/")
    (home / "b").mkdir()
    (home / name).write_text("of somebody's own")
    before = content(home)
    (table / first.split("/")[0]).symlink_to(home)
    folder = store(table)

    for attempt in (
        lambda: folder.write(key, b"ours"),
        lambda: folder.read(key),
        lambda: folder.delete(key),
        lambda: folder.has(key),
    ):
        with pytest.raises(StorageError, match="is a link"):
            attempt()
    assert content(home) == before
    assert list(folder.keys(f"{first}/")) == []


def test_a_file_that_is_a_link_is_replaced_and_not_written_through(table: Path, home: Path) -> None:
    (table / "_summary.json").symlink_to(home / "secret")
    folder = store(table)

    assert not folder.has("_summary.json")
    with pytest.raises(StorageError, match="is a link"):
        folder.read("_summary.json")
    folder.write("_summary.json", b"ours")

    assert (home / "secret").read_text() == "hunter2"
    assert folder.read("_summary.json") == b"ours"


def test_a_folder_that_is_swapped_for_a_link_meanwhile_gets_nothing(
    table: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moment that it was found to be a folder and the one in which the file gets its name."""
    before = content(home)
    replace = os.replace

    def swap(*arguments: Any, **more: Any) -> None:
        (table / "_parts").rename(table / "away")
        (table / "_parts").symlink_to(home)
        replace(*arguments, **more)

    monkeypatch.setattr(os, "replace", swap)
    store(table).write("_parts/part-000000.jsonl", b"ours")

    assert content(home) == before
    assert (table / "away" / "part-000000.jsonl").read_bytes() == b"ours"


def test_the_status_of_a_run_reads_nothing_behind_a_link(tmp_path: Path) -> None:
    run_in(tmp_path / "theirs", 3)
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "_plan").symlink_to(tmp_path / "theirs" / "_plan")

    with pytest.raises(MxsparkError, match="is a link"):
        status.read(str(tmp_path / "table"), ACCESS)


def test_an_output_that_is_a_link_itself_is_where_it_leads(tmp_path: Path, table: Path) -> None:
    (tmp_path / "results").symlink_to(table)

    store(tmp_path / "results").write("_parts/part-000000.jsonl", b"ours")
    assert (table / "_parts" / "part-000000.jsonl").read_bytes() == b"ours"


# ---- manifests and plans ----


def source(path: Path, **more: Any) -> Source:
    return Source(InputSettings(path=str(path), **more), ACCESS)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "lists"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_text("a picture")
    return folder


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".lst"])
@pytest.mark.parametrize(
    "key", ["{home}/secret", "../home/secret", "sub/../../home/secret", "/etc/passwd", "..", "{lists}/../home/secret"]
)
def test_a_manifest_names_no_file_outside_its_folder(lists: Path, home: Path, key: str, suffix: str) -> None:
    line = key.format(home=home, lists=lists)
    (lists / f"keys{suffix}").write_text(f"{'key' if suffix == '.csv' else 'a.png'}\n{line}\n")

    with pytest.raises(UsageError, match="leads out of") as refused:
        list(source(lists / f"keys{suffix}").keys())
    assert "input.allow_outside" in refused.value.hint
    assert "input.base" in refused.value.hint


def test_with_a_base_that_holds_them_or_with_the_setting_it_may(lists: Path, home: Path) -> None:
    whole = str(home / "secret")
    (lists / "keys.txt").write_text(f"{whole}\n")
    for images in (source(lists / "keys.txt", base=str(home)), source(lists / "keys.txt", base="/")):
        assert list(images.keys()) == [whole]
        assert images.read(whole) == b"hunter2"

    (lists / "keys.txt").write_text(f"../home/secret\n{whole}\n")
    images = source(lists / "keys.txt", allow_outside=True)
    assert [images.read(key) for key in images.keys()] == [b"hunter2", b"hunter2"]


@pytest.mark.parametrize("key", ["../home/secret", "{home}/secret", "sub/../../home/secret"])
@pytest.mark.parametrize("place", ["a folder", "a manifest", "several"])
def test_a_plan_that_somebody_changed_names_no_file_outside_the_input(
    lists: Path, home: Path, key: str, place: str
) -> None:
    (lists / "keys.txt").write_text("a.png\n")
    path: Any = {
        "a folder": str(lists),
        "a manifest": str(lists / "keys.txt"),
        "several": [str(lists), str(lists / "sub")],
    }[place]

    with pytest.raises(DeniedError):
        Source(InputSettings(path=path), ACCESS).read(key.format(home=home))


def test_a_file_that_is_one_of_several_inputs_opens_no_other_of_its_folder(lists: Path, home: Path) -> None:
    paths = (str(home / "thesis" / "chapter.tex"), str(lists / "a.png"))
    (home / "thesis" / "other.tex").write_text("somebody's own")
    images = Source(InputSettings(path=paths, suffixes=()), ACCESS)

    assert [images.read(key) for key in images.keys()] == [b"years of work", b"a picture"]
    with pytest.raises(DeniedError):
        images.read(str(home / "thesis" / "other.tex"))


@pytest.mark.parametrize(
    ("path", "planted"),
    [
        ("{home}/thesis/chapter.tex", "other.tex"),
        ("{home}/thesis/chapter*", "other.tex"),
        ("s3://bucket/photos/", "secrets/key.pem"),
        ("s3://bucket/photos/*.png", "secrets/key.pem"),
        (["s3://bucket/photos/", "s3://bucket/more/"], "s3://elsewhere/key.pem"),
        (["s3://bucket/photos/", "s3://bucket/more/"], "s3://bucket/secrets/key.pem"),
        (["s3://bucket/photos/", "{home}/thesis"], "https://169.254.169.254/latest/meta-data"),
        (["s3://bucket/photos/", "{home}/thesis/chapter.tex"], "{home}/thesis/other.tex"),
    ],
)
def test_a_plan_that_somebody_changed_has_nothing_read_that_no_listing_has(
    home: Path, path: str | list[str], planted: str
) -> None:
    """With this job's credentials, whatever lies in whichever bucket could be asked for."""
    paths: Any = path.format(home=home) if isinstance(path, str) else [each.format(home=home) for each in path]
    (home / "thesis" / "other.tex").write_text("somebody's own")
    images = Source(InputSettings(path=paths, suffixes=()), ACCESS)

    with pytest.raises(DeniedError, match="a key of this input"):
        images.read(planted.format(home=home))


def test_a_manifest_on_s3_names_no_file_here(home: Path) -> None:
    images = Source(InputSettings(path="s3://bucket/keys.txt", base=str(home / "thesis")), ACCESS)
    with pytest.raises(DeniedError):
        images.read(str(home / "secret"))


def test_a_lock_that_is_somebodys_file_by_another_name_is_not_written_to(tmp_path: Path, home: Path) -> None:
    """A hard link is no link that could be followed: the lock's holder was written over what lies at home."""
    os.link(home / "secret", tmp_path / "_lock.json")

    with pytest.raises(StorageError, match="hard link"), store(tmp_path).hold("_lock.json", {"host": "here"}, 1):
        pass
    assert (home / "secret").read_text() == "hunter2"
    store(tmp_path).write("part-000000.parquet", b"rows")  # nor where a part has its place
    (tmp_path / "part-000001.parquet").hardlink_to(home / "secret")
    store(tmp_path).write("part-000001.parquet", b"rows")
    assert (home / "secret").read_text() == "hunter2"


# ---- models ----

MODEL = "symbol: {{file: {symbol}}}\nparams: {{file: net.params}}\n"


@pytest.mark.parametrize(
    "file",
    ["../home/secret", "{home}/secret", "sub/../../home/secret", "s3://elsewhere/net.json", "file:///etc/passwd"],
)
def test_a_model_yaml_names_no_file_outside_its_folder(tmp_path: Path, home: Path, file: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "net.params").write_text("")
    (tmp_path / "model" / "model.yaml").write_text(MODEL.format(symbol=json.dumps(file.format(home=home))))

    with pytest.raises(UsageError, match=r"model\.yaml: symbol\.file is .* outside") as refused:
        bundle.find(ModelSettings(path=str(tmp_path / "model")), ACCESS)
    assert "model.allow_outside" in refused.value.hint


@pytest.mark.parametrize("file", ["%2e%2e/net.json", "sub/.%2E/%2e%2e/net.json", "%2e%2e%2fnet.json"])
def test_nor_does_one_of_a_web_server_in_that_ones_spelling(file: str) -> None:
    with (
        serving({"/models/net/model.yaml": MODEL.format(symbol=json.dumps(file)).encode()}) as web,
        pytest.raises(UsageError, match="outside"),
    ):
        bundle.find(ModelSettings(path=f"{web.url}/models/net"), ACCESS)


@pytest.mark.parametrize("role", ["symbol", "params", "labels"])
@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_a_model_s_file_that_has_no_end_is_none(tmp_path: Path, role: str, kind: str) -> None:
    """An archive can bring pipes, and links to devices: a run waited for ever, or hashed zeros for ever."""
    for name in ("symbol", "params", "labels"):
        (tmp_path / name).write_text("{}")
    (tmp_path / role).unlink()
    os.mkfifo(tmp_path / role) if kind == "a pipe" else (tmp_path / role).symlink_to("/dev/zero")
    model = ModelSettings(
        symbol=str(tmp_path / "symbol"), params=str(tmp_path / "params"), labels=str(tmp_path / "labels")
    )

    with pytest.raises(UsageError, match="not a regular file"):
        bundle.fetch(bundle.find(model, ACCESS), tmp_path / "cache", ACCESS)


@pytest.mark.parametrize("file", ["../home/secret", "{home}/secret"])
def test_with_the_setting_it_may(tmp_path: Path, home: Path, file: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "net.params").write_text("numbers")
    (tmp_path / "model" / "model.yaml").write_text(MODEL.format(symbol=file.format(home=home)))

    found = bundle.find(ModelSettings(path=str(tmp_path / "model"), allow_outside=True), ACCESS)
    assert bundle.fetch(found, tmp_path / "cache", ACCESS).paths["symbol"].read_text() == "hunter2"


def test_a_segment_of_the_plan_that_holds_no_keys_is_damaged(tmp_path: Path) -> None:
    folder = run_in(tmp_path, 0)
    (tmp_path / "_plan" / "000000.jsonl.gz").write_bytes(gzip.compress(b'["a.png", {"../": 1}]\n'))

    with pytest.raises(MxsparkError, match="damaged"):
        plan.shard_keys(folder, 0)
