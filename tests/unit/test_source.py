"""Where the images are: folders and manifests, which keys they have, and the bytes behind a key."""

import csv
import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mxspark.errors import MxsparkError, UsageError
from mxspark.settings import InputSettings, StorageSettings
from mxspark.source import Source
from mxspark.storage import Access, MissingError, StorageError, TooLargeError
from tests.unit.web import serving
from tests.unit.words import right_or_refused

ODD_NAMES = [
    "a b.png",
    "100%.png",
    "a+b.png",
    "%2B.png",
    "日本.png",
    "it's.png",
    '"q".png',
    "a\nb.png",
    "a\\b.png",
    "-.png",
    "\u2028.png",
    "é.PNG",
]


def source(path: Path | str, **more: Any) -> Source:
    return Source(InputSettings(path=str(path), **more), Access(StorageSettings(retries=0)))


def keys(path: Path | str, **more: Any) -> list[str]:
    return list(source(path, **more).keys())


def refusal(path: Path | str, **more: Any) -> str:
    with pytest.raises((UsageError, StorageError)) as refused:
        keys(path, **more)
    return str(refused.value)


def folder_with(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


# ---- folders ----


def test_a_folder_has_the_images_in_it_and_below_it(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.png", "sub/b.jpg", "sub/sub/c.webp", "notes.txt", "sub/.DS_Store", "model.params")

    assert sorted(keys(tmp_path)) == ["a.png", "sub/b.jpg", "sub/sub/c.webp"]


def test_a_slash_at_the_end_of_a_folder_changes_nothing(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.png")

    assert keys(f"{tmp_path}/") == ["a.png"]


def test_suffixes_are_found_in_upper_case_too(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.PNG", "b.Jpeg", "c.jp2")

    assert sorted(keys(tmp_path)) == ["a.PNG", "b.Jpeg"]
    assert keys(tmp_path, suffixes=[".JP2"]) == ["c.jp2"]


def test_without_suffixes_every_file_is_taken(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.png", "noend", "c.bin")

    assert sorted(keys(tmp_path, suffixes=[])) == ["a.png", "c.bin", "noend"]


def test_a_limit_takes_so_many_that_match(tmp_path: Path) -> None:
    folder_with(tmp_path, *(f"{number}.txt" for number in range(20)), *(f"{number}.png" for number in range(20)))

    assert len(keys(tmp_path, limit=7)) == 7
    assert len(keys(tmp_path, limit=99)) == 20


def test_names_of_all_kinds_are_listed_and_read(tmp_path: Path) -> None:
    folder_with(tmp_path, *ODD_NAMES, "日本/%20/a b.png")
    images = source(tmp_path)

    assert sorted(images.keys()) == sorted([*ODD_NAMES, "日本/%20/a b.png"])
    assert all(images.read(key) == key.encode() for key in images.keys())


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    folder_with(tmp_path / "photos", "a.png")
    folder_with(tmp_path / "elsewhere", "b.png")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "self").symlink_to(tmp_path / "photos")

    assert sorted(keys(tmp_path / "photos")) == ["a.png", "more/b.png"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in refusal(tmp_path / "nowhere")


def test_an_empty_folder_is_nothing_to_do(tmp_path: Path) -> None:
    assert "there is nothing there" in refusal(tmp_path)


def test_a_folder_without_images_says_how_many_files_it_has_and_what_was_looked_for(tmp_path: Path) -> None:
    refused = refusal(folder_with(tmp_path, "a.txt", "b.bin"))

    assert "2 objects" in refused
    assert ".png" in refused
    assert "input.suffixes" in refused


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "a.png") in refusal(folder_with(tmp_path, "a.png") / "a.png")


def test_a_file_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb"):
        pass

    assert r"\xff.png" in refusal(tmp_path)


# ---- manifests ----


def manifest(folder: Path, suffix: str, names: list[str]) -> Path:
    """A manifest of one of the three kinds, as other programs write them."""
    path = folder / f"keys{suffix}"
    if suffix == ".txt":
        path.write_bytes("".join(f"{name}\n" for name in names).encode())
    elif suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([["id", "key"], *([number, name] for number, name in enumerate(names))])
    else:
        pq.write_table(pa.table({"id": list(range(len(names))), "key": pa.array(names, pa.string())}), path)
    return path


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_a_manifest_names_images_beside_it(tmp_path: Path, suffix: str) -> None:
    folder_with(tmp_path, "a.png", "sub/b c.jpg", "not-named.png")
    images = source(manifest(tmp_path, suffix, ["sub/b c.jpg", "a.png", "notes.md"]))

    assert list(images.keys()) == ["sub/b c.jpg", "a.png"]
    assert images.read("sub/b c.jpg") == b"sub/b c.jpg"


one_line_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def is_a_key(name: str) -> bool:
    return not name.endswith("/")


@given(st.lists(one_line_texts.filter(is_a_key), min_size=1, max_size=10))
@settings(deadline=None, max_examples=60)
@example([" a.png", "a.png ", '"a.png"', "#a.png", "a,b.png", "a\tb", "\x0b", "\x85", "\u2028"])
def test_a_text_manifest_gives_back_every_line_as_it_is(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert keys(manifest(Path(folder), ".txt", names), suffixes=[]) == names


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(names=st.lists(texts.filter(is_a_key), min_size=1, max_size=10))
@settings(deadline=None, max_examples=40)
@example(names=["a\nb", "a\r\nb", 'say "a"', "a,b", " a "])
def test_a_table_as_manifest_gives_back_every_key_as_it_is(suffix: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert keys(manifest(Path(folder), suffix, names), suffixes=[]) == names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("keys.txt", b"a.png\r\nb.png\r\n"),
        ("keys.txt", b"\xef\xbb\xbfa.png\n\n\nb.png"),
        ("KEYS.TXT", b"a.png\nb.png\n"),
        ("keys.csv", b"\xef\xbb\xbfkey\r\na.png\r\nb.png\r\n"),
        ("keys.csv", b'label,"key"\ncat,a.png\n,\ndog,b.png\n'),
        ("keys.csv", b"key\na.png\n\nb.png"),
    ],
)
def test_manifests_as_windows_and_spreadsheets_write_them_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    assert keys(tmp_path / name) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("keys.txt", b"\xff\xfea\x00.\x00p\x00n\x00g\x00\n\x00", "UTF-8"),
        ("keys.txt", b"", "nothing there"),
        ("keys.txt", b"\n\n", "nothing there"),
        ("keys.txt", b"notes.md\n", "none of its 1 objects"),
        ("keys.csv", b"path,label\na.png,cat\n", "path, label"),
        ("keys.csv", b"", "nothing"),
        ("keys.csv", b"key\n" + b"x" * 200_000, "keys.csv"),
        ("keys.csv", b"key\n\xff\n", "UTF-8"),
        ("keys.parquet", b"key\na.png\n", "not a Parquet file"),
        ("keys.parquet", b"", "not a Parquet file"),
    ],
)
def test_a_manifest_that_is_none_is_refused_by_name(tmp_path: Path, name: str, content: bytes, named: str) -> None:
    (tmp_path / name).write_bytes(content)

    refused = refusal(tmp_path / name)

    assert name in refused
    assert named in refused


@given(st.binary(max_size=100), st.sampled_from([".txt", ".csv", ".parquet"]))
@settings(deadline=None, max_examples=100)
def test_any_bytes_are_a_manifest_or_refused_by_name(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"keys{suffix}"
        path.write_bytes(content)

        with right_or_refused(f"keys{suffix}"):
            assert all(isinstance(key, str) for key in keys(path, suffixes=[]))


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "keys.txt") in refusal(tmp_path / "keys.txt")


def test_the_images_of_a_manifest_can_be_elsewhere(tmp_path: Path) -> None:
    folder_with(tmp_path / "photos", "a.png")
    (tmp_path / "lists").mkdir()
    listed = manifest(tmp_path / "lists", ".txt", ["a.png"])

    assert source(listed, base=str(tmp_path / "photos")).read("a.png") == b"a.png"
    with pytest.raises(MissingError):
        source(listed).read("a.png")


def test_a_manifest_may_name_whole_paths(tmp_path: Path) -> None:
    folder_with(tmp_path / "photos", "a.png")
    (tmp_path / "lists").mkdir()
    whole = str(tmp_path / "photos" / "a.png")
    images = source(manifest(tmp_path / "lists", ".txt", [whole]))

    assert list(images.keys()) == [whole]
    assert images.read(whole) == b"a.png"


def test_the_markers_that_some_tools_make_of_folders_are_no_images(tmp_path: Path) -> None:
    assert keys(manifest(tmp_path, ".txt", ["sub/", "sub/a", "b/"]), suffixes=[]) == ["sub/a"]


def test_a_manifest_from_the_web_is_refused_at_once_where_nothing_says_where_its_images_are(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.png")
    with serving({"/keys.txt": b"a.png\n"}) as web:
        images = source(f"{web.url}/keys.txt", base=str(tmp_path))
        assert [images.read(key) for key in images.keys()] == [b"a.png"]

        assert web.url in refusal(f"{web.url}/keys.txt")


def test_a_limit_reads_only_so_much_of_a_manifest(tmp_path: Path) -> None:
    assert keys(manifest(tmp_path, ".csv", [f"{number}.png" for number in range(100)]), limit=3) == ["0.png", "1.png", "2.png"]


# ---- bytes ----


def test_an_object_that_is_gone_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        source(folder_with(tmp_path, "a.png")).read("b.png")


def test_an_object_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x" * 100)

    assert source(tmp_path, max_bytes=100).read("a.png") == b"x" * 100
    with pytest.raises(TooLargeError, match="100 bytes, more than the 99"):
        source(tmp_path, max_bytes=99).read("a.png")


def test_a_folder_a_pipe_or_a_lost_link_in_a_keys_place_is_a_failed_row_not_a_wait(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")

    for name in ("folder.png", "pipe.png", "link.png"):
        with pytest.raises(StorageError):
            source(tmp_path).read(name)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(["a\0b.png", "x" * 5000, "a/" * 3000, "..", "/", "."])
)
@settings(deadline=None, max_examples=60)
@example("a\0b.png")
def test_any_key_that_a_manifest_can_hold_is_read_or_a_storage_error(key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.txt"
        path.write_bytes(b"x.png\n")
        try:
            source(path).read(key)
        except StorageError as error:
            status = error.status
        else:
            return
    assert status in ("missing", "fetch_error", "denied", "too_large")


def test_a_bucket_that_is_none_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(MxsparkError, match="names no bucket"):
        source("s3://")


def test_places_that_cannot_be_listed_are_refused() -> None:
    for place in ("http://example.invalid/photos", "gs://bucket/photos", "s3a://bucket/photos"):
        assert place in refusal(place)
