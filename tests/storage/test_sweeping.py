"""Sweeping: what killed writers left, and nothing else, goes."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples.s3 import Server
from tests.conftest import BUCKET
from tests.storage.conftest import access_to
from tests.storage.scripted import error, scripted

from mxspark.dataset import output
from mxspark.settings.job import OutputSettings
from mxspark.storage import Access, FolderStore, MissingError, S3Store, Store

# What a run writes is swept; what others write stays, finished or not.
OURS = [
    "part-000000.parquet",
    "part-1234567.jsonl",
    "_plan/plan.json",
    "_plan/000000.jsonl.gz",
    "_parts/part-000000.jsonl",
    "_SUCCESS",
]
OTHERS = ["notes.md", "part-000000.csv", "sub/part-000000.parquet", "_other/plan.json", "my-part-000000.parquet"]

Uploads = Callable[[], list[str]]


def unfinished(key: str) -> str:
    """Where a folder's writer that was killed left the beginning of this key."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}.{name}.abcdefgh"


def paths(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def s3_client(s3_server: Server) -> Any:
    return s3_server.client()


def uploads(client: Any, root: str) -> list[str]:
    """The keys below `root` that have an upload which isn't finished."""
    found = client.list_multipart_uploads(Bucket=BUCKET, Prefix=root).get("Uploads", [])
    return sorted(upload["Key"].removeprefix(root) for upload in found)


def begin(client: Any, key: str) -> None:
    """An upload whose writer is killed when it has sent a part."""
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=b"beginning")


# ---- folders ----


def test_in_a_folder_the_unfinished_files_of_a_run_go_and_all_else_stays(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    finished = [
        *OURS,
        *OTHERS,
        ".DS_Store",
        ".part-000000.parquet",
        ".part-000000.parquet.bak",
        ".part-000000.parquet.ABCDEFGH",
    ]
    for key in [*finished, *map(unfinished, OURS), *map(unfinished, OTHERS)]:
        store.write(key, b"")

    assert store.sweep(output.is_ours) == len(OURS)

    assert paths(tmp_path) == {*finished, *map(unfinished, OTHERS)}
    assert store.sweep(output.is_ours) == 0


def test_a_temporary_file_has_the_name_that_is_looked_for(tmp_path: Path) -> None:
    """Whatever name tempfile thinks of."""
    for _ in range(100):
        tempfile.mkstemp(prefix=".part-000000.parquet.", dir=tmp_path)

    assert FolderStore(tmp_path).sweep(output.is_ours) == 100


def test_a_folder_that_is_not_there_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert FolderStore(tmp_path / "new").sweep(output.is_ours) == 0
    assert list(tmp_path.iterdir()) == []


# ---- buckets ----


def test_in_a_bucket_the_unfinished_uploads_of_a_run_go_and_all_else_stays(s3_store: S3Store, s3_client: Any) -> None:
    root = s3_store.root
    for key in [*OURS, *OTHERS]:
        s3_store.write(key, b"whole")
        begin(s3_client, root + key)
    begin(s3_client, root + "_writable")
    assert uploads(s3_client, root) == sorted([*OURS, *OTHERS, "_writable"])

    assert s3_store.sweep(output.is_ours) == len(OURS) + 1

    assert uploads(s3_client, root) == sorted(OTHERS)
    assert sorted(s3_store.keys()) == sorted([*OURS, *OTHERS])
    assert s3_store.sweep(output.is_ours) == 0


def test_the_uploads_of_another_output_stay(s3_store: S3Store, s3_client: Any) -> None:
    neighbour = s3_store.root.replace("/", "2/")
    begin(s3_client, neighbour + "part-000000.parquet")

    assert s3_store.sweep(output.is_ours) == 0

    assert uploads(s3_client, neighbour) == ["part-000000.parquet"]


def test_many_uploads_of_one_key_all_go(s3_store: S3Store, s3_client: Any) -> None:
    for _ in range(3):
        begin(s3_client, s3_store.root + "predictions.txt")

    assert s3_store.sweep(output.is_ours) == 3


# ---- the output of a run ----


def test_a_run_sweeps_its_output(store: Store, s3_client: Any, access: Access) -> None:
    if isinstance(store, S3Store):
        begin(s3_client, store.root + "part-000000.parquet")
    else:
        store.write(unfinished("part-000000.parquet"), b"beginning")

    output.sweep(store, OutputSettings(path=store.name), access)

    assert list(store.keys()) == []
    assert store.sweep(lambda _: True) == 0


def test_a_run_sweeps_what_is_left_of_its_text_object_elsewhere(tmp_path: Path) -> None:
    elsewhere = FolderStore(tmp_path / "elsewhere")
    for key in [
        unfinished("all.txt"),
        unfinished("others.txt"),
        unfinished("sub/all.txt"),
        unfinished("part-000000.parquet"),
    ]:
        elsewhere.write(key, b"")
    settings = OutputSettings(
        path=str(tmp_path / "table"), format="text", text_object=str(tmp_path / "elsewhere" / "all.txt")
    )

    output.sweep(FolderStore(tmp_path / "table"), settings, Access())

    assert paths(tmp_path / "elsewhere") == {
        unfinished("others.txt"),
        unfinished("sub/all.txt"),
        unfinished("part-000000.parquet"),
    }


def test_sweeping_looks_into_no_folder_that_a_run_does_not_write_to(tmp_path: Path) -> None:
    """Beside a text object may lie a whole disk; names in it that can't be keys are none of our business."""
    (tmp_path / "disk" / "photos").mkdir(parents=True)
    (tmp_path / "disk" / "photos" / "\udcff.png").write_text("")
    (tmp_path / "disk" / "all\udcff.txt").write_text("")
    FolderStore(tmp_path / "disk").write(unfinished("all.txt"), b"")
    settings = OutputSettings(
        path=str(tmp_path / "table"), format="text", text_object=str(tmp_path / "disk" / "all.txt")
    )

    output.sweep(FolderStore(tmp_path / "table"), settings, Access())

    assert paths(tmp_path / "disk") == {"photos/\udcff.png", "all\udcff.txt"}


def test_a_text_object_in_a_bucket_is_swept_too(s3_store: S3Store, s3_client: Any, access: Access) -> None:
    for name in ("all.txt", "others.txt"):
        begin(s3_client, s3_store.root + name)
    settings = OutputSettings(path=f"{s3_store.name}/table", format="text", text_object=f"{s3_store.name}/all.txt")

    output.sweep(S3Store(BUCKET, f"{s3_store.root}table/", access), settings, access)

    assert uploads(s3_client, s3_store.root) == ["others.txt"]


@pytest.mark.parametrize("code", ["AccessDenied", "NotImplemented", "NoSuchBucket", "SlowDown"])
def test_where_sweeping_is_refused_the_run_goes_on(code: str) -> None:
    with scripted(error(403, code)) as server:
        store = S3Store("bucket", "table/", access_to(server.url, retries=0))
        output.sweep(store, OutputSettings(path=store.name), store.access)

    assert server.requests


def test_a_bucket_that_is_not_there_is_told_where_it_is_asked_for(access: Access) -> None:
    with pytest.raises(MissingError, match=re.escape("s3://no-such-bucket")):
        S3Store("no-such-bucket", "", access).sweep(output.is_ours)
