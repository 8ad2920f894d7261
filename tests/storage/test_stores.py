"""Folders and buckets behave the same: what every user of a Store relies on."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from examples.s3 import Server
from tests.conftest import BUCKET, put
from tests.storage.conftest import access_to
from tests.storage.scripted import an_object, scripted

from mxspark.storage import (
    Access,
    FolderStore,
    MissingError,
    S3Store,
    StorageError,
    Store,
    TooLargeError,
    download,
    open_store,
    read_object,
)

MEGABYTE = 2**20
ODD_KEYS = {
    "spaces": "two words/ leading and trailing ",
    "plus": "a+b",
    "percent": "100%",
    "percent-encoded space": "a%20b",
    "percent-encoded slash": "a%2Fb",
    "composed umlaut": "f\u00fcr",
    "decomposed umlaut": "fu\u0308r",
    "four-byte character": "\U0001f600.png",
    "line separator": "a\u2028b",
    "quotes": 'it\'s "so"',
    "glob characters": "*[a]{b}?",
    "hash": "photo#1.png",
    "query characters": "a&b=c;d:e@f,g$h!",
    "markup": "<b>&amp;",
    "control characters": "tab\tand\nline",
    "dots": ".hidden/a..b/...",
    "1,000 bytes in five segments": "/".join(letter * 199 for letter in "abcde") + "!",
}


@pytest.fixture(scope="module", params=["folder", "s3"])
def shared_store(request: pytest.FixtureRequest, access: Access, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of either kind that tests leave as empty as they found it."""
    if request.param == "folder":
        return FolderStore(tmp_path_factory.mktemp("shared"))
    return S3Store(BUCKET, "shared/", access)


@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS.keys())
def test_an_odd_key_is_listed_and_read_as_it_was_written(shared_store: Store, key: str) -> None:
    store = shared_store
    store.write(key, b"its own bytes")
    assert list(store.keys()) == [key]
    assert list(store.keys(key[:-1])) == [key]
    assert store.read(key) == b"its own bytes"
    assert store.read_tail(key, 5) == b"bytes"
    target = io.BytesIO()
    store.download(key, target)
    assert target.getvalue() == b"its own bytes"
    store.delete(key)
    assert list(store.keys()) == []


def test_composed_and_decomposed_characters_are_two_keys(store: Store) -> None:
    store.write("f\u00fcr", b"composed")
    store.write("fu\u0308r", b"decomposed")
    assert sorted(store.keys()) == ["fu\u0308r", "f\u00fcr"]
    assert (store.read("f\u00fcr"), store.read("fu\u0308r")) == (b"composed", b"decomposed")


def test_a_prefix_is_raw_text_not_a_folder(store: Store) -> None:
    for key in (
        "photos/test_1.png",
        "photos/test/2.png",
        "photos/te",
        "photos/other.png",
        "photo",
        "Photos/test.png",
        "x/photos/te",
    ):
        store.write(key, b".")
    assert sorted(store.keys("photos/te")) == ["photos/te", "photos/test/2.png", "photos/test_1.png"]
    assert sorted(store.keys("photos/test/")) == ["photos/test/2.png"]
    assert sorted(store.keys("photo")) == [
        "photo",
        "photos/other.png",
        "photos/te",
        "photos/test/2.png",
        "photos/test_1.png",
    ]
    assert len(list(store.keys())) == 7
    assert list(store.keys("photos/tex")) == []


def test_a_store_sees_only_what_is_below_its_root(access: Access, s3_store: S3Store, tmp_path: Path) -> None:
    for root in (str(tmp_path), f"s3://{BUCKET}/{s3_store.root.rstrip('/')}"):
        open_store(f"{root}/images", access).write("in", b".")
        open_store(f"{root}/images2", access).write("out", b".")
        assert list(open_store(f"{root}/images", access).keys()) == ["in"]
        assert list(open_store(f"{root}/images/", access).keys()) == ["in"]
        assert sorted(open_store(root, access).keys("images")) == ["images/in", "images2/out"]


def test_more_keys_than_a_page_has_are_all_listed_once(store: Store, s3_server: Server) -> None:
    planned = [f"shelf {number % 7}/{number:04}+.png" for number in range(2500)]
    if isinstance(store, S3Store):
        put(s3_server, {store.root + key: b"." for key in planned})
    else:
        for key in planned:
            store.write(key, b".")
    assert sorted(store.keys()) == sorted(planned)
    assert sorted(store.keys("shelf 3/1")) == sorted(key for key in planned if key.startswith("shelf 3/1"))


def test_an_object_as_large_as_allowed_is_read_and_a_larger_one_refused(store: Store) -> None:
    store.write("photo.png", b"1234")
    assert store.read("photo.png", limit=4) == b"1234"
    with pytest.raises(TooLargeError, match="4 bytes, more than the 3 allowed"):
        store.read("photo.png", limit=3)


@pytest.mark.parametrize("key", ["photo.png", "photos//1.png"], ids=["through obstore", "through boto3"])
def test_of_an_object_in_a_bucket_that_is_too_large_no_byte_is_waited_for(key: str) -> None:
    with (
        scripted(an_object(b"", claimed=10 * 2**40)) as server,
        pytest.raises(TooLargeError, match="10,995,116,277,760 bytes"),
    ):
        S3Store("bucket", "", access_to(server.url)).read(key, limit=MEGABYTE)
    assert len(server.requests) == 1


def test_a_file_that_is_too_large_is_not_read(folder_store: FolderStore) -> None:
    folder_store.write("photo.png", b"")
    # more than there is memory: reading it would fail in another way
    os.truncate(folder_store.root / "photo.png", 2**40)
    with pytest.raises(TooLargeError, match="1,099,511,627,776 bytes"):
        folder_store.read("photo.png", limit=MEGABYTE)


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.read("photos/none.png"),
        lambda store: store.read("photos/none.png", limit=10),
        lambda store: store.read("photos//none.png"),
        lambda store: store.read_tail("photos/none.png", 10),
        lambda store: store.download("photos/none.png", io.BytesIO()),
    ],
    ids=["read", "read with a limit", "read with an empty segment", "read_tail", "download"],
)
def test_what_is_not_there_is_a_missing_error_that_names_it(store: Store, ask: Callable[[Store], object]) -> None:
    store.write("photos/other.png", b".")
    with pytest.raises(MissingError, match=r"photos//?none\.png: .*no such") as caught:
        ask(store)
    assert caught.value.status == "missing"


def test_nothing_is_listed_in_an_empty_part_of_a_bucket(s3_store: S3Store) -> None:
    assert list(s3_store.keys()) == []


def test_a_folder_that_is_not_there_can_not_be_listed(folder_store: FolderStore) -> None:
    with pytest.raises(MissingError, match="there is no such file or folder"):
        list(folder_store.keys())


def test_writing_again_replaces(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"uploaded")
    store.write("table/part", b"first")
    store.write("table/part", b"second, longer")
    assert store.read("table/part") == b"second, longer"
    store.upload("table/part", source)
    assert store.read("table/part") == b"uploaded"
    assert list(store.keys()) == ["table/part"]


def test_an_object_of_many_megabytes_goes_up_and_comes_down_whole(store: Store, tmp_path: Path) -> None:
    data = os.urandom(MEGABYTE) * 20  # more than one part of a multipart upload
    (tmp_path / "source").write_bytes(data)
    store.upload("big", tmp_path / "source")
    with (tmp_path / "copy").open("w+b") as copy:
        store.download("big", copy)
    assert (tmp_path / "copy").read_bytes() == data
    assert store.read("big") == data
    assert store.read_tail("big", 100) == data[-100:]


def test_the_tail_of_a_short_object_is_all_of_it(store: Store) -> None:
    store.write("short", b"1234")
    store.write("empty", b"")
    assert store.read_tail("short", 4) == store.read_tail("short", 99) == b"1234"
    assert store.read_tail("short", 3) == b"234"
    assert store.read_tail("empty", 99) == b""
    assert store.read("empty") == b""


def test_deleting_is_done_once_and_may_be_asked_again(store: Store) -> None:
    store.write("table/part", b".")
    store.delete("table/part")
    store.delete("table/part")
    store.delete("never/there")
    assert list(store.keys()) == []
    with pytest.raises(MissingError):
        store.read("table/part")


def test_deleting_below_an_object_is_no_error(store: Store) -> None:
    store.write("table", b".")
    store.delete("table/part")
    assert store.read("table") == b"."


def test_readers_of_an_object_that_is_replaced_see_the_old_or_the_new_one(store: Store) -> None:
    versions = [bytes([letter]) * MEGABYTE for letter in b"ab"]
    store.write("part", versions[0])
    ended = Event()

    def rewrite() -> None:
        try:
            for number in range(30):
                store.write("part", versions[number % 2])
        finally:
            ended.set()

    seen = set()
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(rewrite)
        while not ended.is_set():
            seen.add(store.read("part"))
        writing.result()
    assert seen <= set(versions)


def test_an_unfinished_file_is_hidden_and_the_finished_one_has_the_rights_of_any_other(
    folder_store: FolderStore, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    with ThreadPoolExecutor(1) as thread:
        uploading = thread.submit(folder_store.upload, "table/part-000000.parquet", tmp_path / "pipe")
        with (tmp_path / "pipe").open("wb") as pipe:  # opens when the upload has begun: it waits for the rest
            pipe.write(b"half")
            pipe.flush()
            assert all(path.name.startswith(".") for path in (folder_store.root / "table").iterdir())
            assert list(folder_store.keys("table/part")) == []
            pipe.write(b" and half")
        uploading.result()
    assert list(folder_store.keys()) == ["table/part-000000.parquet"]
    assert folder_store.read("table/part-000000.parquet") == b"half and half"
    assert (folder_store.root / "table" / "part-000000.parquet").stat().st_mode == ordinary.stat().st_mode


def test_an_upload_that_fails_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises((StorageError, OSError)):
        store.upload("part", tmp_path)  # a folder can't be read
    if isinstance(store, FolderStore):
        assert list(store.root.iterdir()) == []  # hidden files neither
    else:
        assert list(store.keys()) == []


def test_asking_whether_a_folder_can_be_written_does_not_make_it(folder_store: FolderStore) -> None:
    folder_store.check_writable()
    assert not folder_store.root.exists()


def test_asking_whether_a_bucket_can_be_written_leaves_nothing_in_it(s3_store: S3Store, s3_server: Server) -> None:
    s3_store.check_writable()
    assert list(s3_store.keys()) == []
    uploads = s3_server.client().list_multipart_uploads(Bucket=BUCKET, Prefix=s3_store.root)
    assert uploads.get("Uploads", []) == []


def test_below_a_file_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file is a file, not a folder"):
        FolderStore(tmp_path / "file" / "below" / "it").check_writable()


def test_links_are_followed_but_not_in_circles(folder_store: FolderStore, tmp_path: Path) -> None:
    folder_store.write("album/1.png", b"one")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.png").write_bytes(b"two")
    (folder_store.root / "linked").symlink_to(tmp_path / "elsewhere")
    (folder_store.root / "album" / "up").symlink_to(folder_store.root)
    assert sorted(folder_store.keys()) == ["album/1.png", "linked/2.png"]
    assert folder_store.read("linked/2.png") == b"two"


@pytest.mark.parametrize("target", ["nowhere", "broken.png"], ids=["to nothing", "to itself"])
def test_a_broken_link_is_a_key_that_can_not_be_read(folder_store: FolderStore, target: str) -> None:
    folder_store.write("1.png", b".")
    (folder_store.root / "broken.png").symlink_to(folder_store.root / target)
    assert sorted(folder_store.keys()) == ["1.png", "broken.png"]
    with pytest.raises(StorageError):
        folder_store.read("broken.png")


def test_a_pipe_is_refused_rather_than_waited_for(folder_store: FolderStore) -> None:
    folder_store.write("1.png", b".")
    os.mkfifo(folder_store.root / "pipe.png")
    with pytest.raises(StorageError, match="not a regular file"):
        folder_store.read("pipe.png")


def test_one_object_is_read_and_downloaded_by_its_location(store: Store, access: Access) -> None:
    store.write("models/net/labels.txt", b"cat\ndog\n")
    location = f"{store.name}/models/net/labels.txt"
    target = io.BytesIO()
    download(location, access, target)
    assert read_object(location, access) == target.getvalue() == b"cat\ndog\n"
    with pytest.raises(TooLargeError):
        read_object(location, access, limit=7)
