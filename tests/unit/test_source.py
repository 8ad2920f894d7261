"""Where the images are: folders and manifests, which keys they have, and the bytes behind a key."""

import csv
import errno
import gzip
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mxspark.dataset.skipped import SHOWN_KINDS, in_words
from mxspark.dataset.source import Source
from mxspark.errors import MxsparkError, UsageError
from mxspark.run.identity import with_absolute_places
from mxspark.settings.job import InputSettings, Settings, StorageSettings
from mxspark.storage import Access, DeniedError, MissingError, StorageError, TooLargeError
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


def packed(data: bytes) -> bytes:
    """By gzip, the same at any time."""
    return gzip.compress(data, mtime=0)


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
    folder_with(tmp_path, "a.PNG", "b.Jpeg", "c.tga")

    assert sorted(keys(tmp_path)) == ["a.PNG", "b.Jpeg"]
    assert keys(tmp_path, suffixes=[".TGA"]) == ["c.tga"]


@pytest.mark.parametrize(
    "suffix", [".jpg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".avif", ".jp2", ".j2k", ".heic", ".heif"]
)
def test_images_are_taken_by_the_suffixes_that_people_have(tmp_path: Path, suffix: str) -> None:
    folder_with(tmp_path, f"a{suffix}")

    assert keys(tmp_path) == [f"a{suffix}"]


def test_what_the_suffixes_leave_out_is_counted(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.png", "b.psd", "sub/c.PSD", "noext", ".hidden", "v1.2/x", f"long.{'x' * 99}")
    images = source(tmp_path)

    assert list(images.keys()) == ["a.png"]
    assert images.skipped.counts() == {"(none)": 4, ".psd": 2}


def test_kinds_that_are_left_out_are_counted_in_bounded_memory(tmp_path: Path) -> None:
    folder_with(
        tmp_path, "a.png", *(f"b.{number}" for number in range(1100)), *(f"c{number}.psd" for number in range(3))
    )
    images = source(tmp_path)
    list(images.keys())

    counts = images.skipped.counts()

    assert len(counts) == SHOWN_KINDS + 1
    assert sum(counts.values()) == 1103
    assert list(counts)[-1] == "(other)"
    assert in_words(counts, SHOWN_KINDS).endswith(" and 1 more kind")


def test_excluded_keys_are_left_out_and_counted(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        "a.png",
        "a_small.png",
        "thumbs/b.png",
        "sub/thumbs/c.png",
        "2026-01/raw/d.png",
        "2026-01/e.png",
        "thumbs.png",
    )
    images = source(tmp_path, exclude=["thumbs", "*_small.*", "2026-*/raw/"])

    assert sorted(images.keys()) == ["2026-01/e.png", "a.png", "thumbs.png"]
    assert images.skipped.counts() == {"(excluded)": 4}


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
    assert "list.json: there is no such file or folder" in refusal(tmp_path / "list.json")
    assert "/dev/null: is neither a file nor a folder" in refusal("/dev/null")


def test_an_empty_folder_is_nothing_to_do(tmp_path: Path) -> None:
    assert "there is nothing there" in refusal(tmp_path)


def test_a_folder_without_images_says_how_many_files_it_has_and_what_was_looked_for(tmp_path: Path) -> None:
    refused = refusal(folder_with(tmp_path, "a.txt", "b.bin"))

    assert "no images, only" in refused
    assert "1 .bin" in refused
    assert "input.suffixes" in refused


def test_one_file_is_an_input_whatever_it_is_called(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.png", "a.png.bak", "noext")

    for name in ("a.png", "noext"):
        images = source(tmp_path / name)
        assert list(images.keys()) == [name]
        assert images.read(name) == name.encode()


@given(
    st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & set(b"\0/") and name not in (b".", b".."))
)
@settings(deadline=None, max_examples=100)
@example(b"caf\xe9")
@example(rb"\xff")
@example(rb"\x5cxff" + b"\xff")
@example("é\\n".encode())
def test_any_file_name_is_a_key_of_utf8_by_which_the_file_is_read(name: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(name)
        images = source(folder, suffixes=[])

        (key,) = images.keys()

        assert key.encode() == name or "\\x" in key
        assert images.read(key) == name


def test_names_that_differ_only_in_how_they_are_escaped_have_keys_of_their_own(tmp_path: Path) -> None:
    for name in (b"\xff", rb"\xff", rb"\x5cxff"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
            pass

    assert sorted(keys(tmp_path, suffixes=[])) == [r"\x5cx5cxff", r"\x5cxff", r"\xff"]


def test_a_folder_that_cannot_be_entered_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with(tmp_path, "a.png", "lost+found/b.png", "sub/gone/c.png", "sub/d.png")
    closed = {str(tmp_path / "lost+found"): errno.EACCES, str(tmp_path / "sub" / "gone"): errno.ENOENT}
    scandir = os.scandir

    def refuse(folder: Path) -> Any:
        if number := closed.get(str(folder)):
            raise OSError(number, os.strerror(number), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    images = source(tmp_path)

    assert sorted(images.keys()) == ["a.png", "sub/d.png"]
    assert images.skipped.counts() == {"(unreadable folder)": 2}
    assert f"{tmp_path}/lost+found: permission denied" in images.skipped.unreadable

    closed[str(tmp_path)] = errno.EACCES
    assert f"{tmp_path}: permission denied" in refusal(tmp_path)
    closed[str(tmp_path)] = errno.ESTALE
    assert str(tmp_path) in refusal(tmp_path)


def test_folders_deeper_than_python_s_functions_are_listed_as_far_as_a_path_may_be_long(tmp_path: Path) -> None:
    """Adds that neither the stack nor the files that a process may open (1,024, mostly) limits the depth of a tree."""
    deepest = os.open(tmp_path, os.O_RDONLY)
    try:
        for level in range(2100):
            if level == 1100:
                os.close(os.open("deep.png", os.O_CREAT | os.O_WRONLY, dir_fd=deepest))
            os.mkdir("d", dir_fd=deepest)
            above, deepest = deepest, os.open("d", os.O_RDONLY, dir_fd=deepest)
            os.close(above)
        for pattern in ("", "/**/*.png"):
            images = source(f"{tmp_path}{pattern}")
            assert list(images.keys()) == ["d/" * 1100 + "deep.png"]
            assert images.skipped.counts() == {"(unreadable folder)": 1}
            (told,) = images.skipped.unreadable
            assert told.startswith(str(tmp_path)[:100])
            assert told.endswith("File name too long")
            assert len(told) < 400
    finally:
        os.close(deepest)
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)  # which Python can't remove


def test_a_link_to_a_folder_that_it_lies_in_is_left_out_and_named(tmp_path: Path) -> None:
    folder_with(tmp_path, "sub/a.png")
    (tmp_path / "sub" / "above").symlink_to(tmp_path)
    images = source(tmp_path)

    assert list(images.keys()) == ["sub/a.png"]
    assert images.skipped.counts() == {"(unreadable folder)": 1}
    assert "sub/above: a link to a folder that it lies in" in str(images.skipped.unreadable)


def test_odd_entries_are_keys_like_others(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    images = source(tmp_path)

    assert sorted(images.keys()) == ["circle.png", "link.png", "pipe.png"]
    for key in images.keys():
        with pytest.raises(StorageError):
            images.read(key)


# ---- patterns ----


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("2026-*/*.jpg", ["2026-01/a.jpg", "2026-02/b.jpg"]),
        ("2026-0?/a.*", ["2026-01/a.jpg", "2026-01/a.png"]),
        ("2026-*", ["2026-01/a.jpg", "2026-01/a.png", "2026-01/sub/c.jpg", "2026-02/b.jpg"]),
        ("**/*.jpg", ["2026-01/a.jpg", "2026-01/sub/c.jpg", "2026-02/b.jpg", "d.jpg"]),
        ("**/sub/", ["2026-01/sub/c.jpg"]),
        ("*.psd", ["e.psd"]),
        ("[!d].psd", ["e.psd"]),
        ("[x]", ["f.jpg"]),  # a folder of that name
    ],
)
def test_a_pattern_takes_the_files_that_match_it_and_those_below_such_folders(
    tmp_path: Path, pattern: str, taken: list[str]
) -> None:
    names = [
        "2026-01/a.jpg",
        "2026-01/a.png",
        "2026-01/sub/c.jpg",
        "2026-02/b.jpg",
        "2026-02/n.txt",
        "d.jpg",
        "e.psd",
        "[x]/f.jpg",
    ]
    folder_with(tmp_path, *names)
    images = source(tmp_path / pattern if pattern[-1] != "/" else f"{tmp_path}/{pattern}")

    found = sorted(images.keys())

    assert found == taken if pattern == "[x]" else [key for key in found if key != "[x]/f.jpg"] == taken
    assert all(images.read(key).decode().endswith(key) for key in found)


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "[z-a]" in refusal(tmp_path / "[z-a].png")


# ---- several inputs ----


def test_the_keys_of_several_inputs_are_whole_places(tmp_path: Path) -> None:
    folder_with(tmp_path, "x/a.png", "y/a.png", "y/b.txt", "z/c.png")
    listed = manifest(
        tmp_path / "y", ".txt", ["a.png", "../z/c.png", "https://example.org/d.png", str(tmp_path / "x" / "a.png")]
    )
    several = [str(tmp_path / "x"), str(tmp_path / "y"), str(listed)]
    images = Source(InputSettings(path=several, allow_outside=True), Access(StorageSettings(retries=0)))

    found = list(images.keys())

    assert found == [
        f"{tmp_path}/x/a.png",
        f"{tmp_path}/y/a.png",
        f"{tmp_path}/y/a.png",
        f"{tmp_path}/y/../z/c.png",
        "https://example.org/d.png",
        f"{tmp_path}/x/a.png",
    ]
    assert images.read(found[1]) == b"y/a.png"
    assert images.read(found[3]) == b"z/c.png"
    assert images.skipped.counts() == {".txt": 2}


def test_an_input_of_several_that_is_not_there_is_named_and_an_empty_one_told(tmp_path: Path) -> None:
    folder_with(tmp_path, "x/a.png", "y/b.txt")
    access = Access(StorageSettings(retries=0))

    with pytest.raises(StorageError, match="nowhere"):
        Source(InputSettings(path=[str(tmp_path / "x"), str(tmp_path / "nowhere")]), access).reach()
    images = Source(InputSettings(path=[str(tmp_path / "x"), str(tmp_path / "y")]), access)
    assert list(images.keys()) == [f"{tmp_path}/x/a.png"]
    assert images.empty == [str(tmp_path / "y")]


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

    assert list(images.keys()) == ["sub/b c.jpg", "a.png", "notes.md"]
    assert images.read("sub/b c.jpg") == b"sub/b c.jpg"


one_line_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def ends_in_no_blank(name: str) -> bool:
    return not name.endswith((" ", "\t"))


@given(st.lists(one_line_texts.filter(ends_in_no_blank).filter(lambda name: name[0] != '"'), min_size=1, max_size=10))
@settings(deadline=None, max_examples=60)
@example([" a.png", "sub/", '"a.png', '"a" b', "#a.png", "a,b.png", "a\tb", "\x0b", "\x85", "\u2028", "ftp://x/y"])
def test_a_text_manifest_gives_back_every_line_as_it_is(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert keys(manifest(Path(folder), ".txt", names), allow_outside=True) == names


@given(st.lists(one_line_texts, min_size=1, max_size=10))
@settings(deadline=None, max_examples=60)
@example([" a ", '"a"', "\t", '"'])
def test_quotes_keep_every_name_to_the_letter(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        assert keys(manifest(Path(folder), ".txt", quoted), allow_outside=True) == names


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(names=st.lists(texts.filter(ends_in_no_blank), min_size=1, max_size=10))
@settings(deadline=None, max_examples=40)
@example(names=["a\nb", "a\r\nb", 'say "a"', "a,b", " a", "sub/"])
def test_a_table_as_manifest_gives_back_every_key_as_it_is(suffix: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert keys(manifest(Path(folder), suffix, names), allow_outside=True) == names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("keys.csv", b"label,key\ncat,a.png\ndog\nbird,\n\n,\n"),
        ("keys.lst", b"0\t0\ta.png\n1\t0\t\n\n2\t1\n \t\n"),
        ("keys.lst", b"0\t0\ta.png\t\n1\t0\t2\t \t\n2\t\n"),
    ],
)
def test_rows_without_a_key_are_counted(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    images = source(tmp_path / name)

    assert list(images.keys()) == ["a.png"]
    assert images.skipped.counts() == {"(no key)": 2}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("keys.txt", b"a.png\r\nb.png\r\n"),
        ("keys.txt", b"\xef\xbb\xbfa.png\n\n\nb.png"),
        ("KEYS.TXT", b"a.png\nb.png\n"),
        ("keys.csv", b"\xef\xbb\xbfkey\r\na.png\r\nb.png\r\n"),
        ("keys.csv", b'label,"key"\ncat,a.png\n,\ndog,b.png\n'),
        ("keys.csv", b"key\na.png\n\nb.png"),
        ("keys.csv", b"key \na.png \t\r\nb.png "),
        ("keys.csv", b"label;key\ncat;a.png\ndog;b.png\n"),
        ("keys.tsv", b"key\tlabel\na.png\tcat\nb.png\tdog\n"),
        ("keys.csv", b'label, key\ncat, a.png\n"dog", "b.png"\n'),
        ("keys.csv", b'"label" ; "key"\ncat;a.png\n"dog";"b.png"\n'),
        ("keys.lst", b"0\t0\ta.png\r\n1\t0.5\t1e3\tb.png\n"),
        ("keys.lst", b"a.png\nb.png\n"),
        ("keys.txt", b'"a.png"\t\r\nb.png \t \r\n  \n'),
        ("keys.txt.gz", packed(b"a.png\nb.png\n")),
        ("keys.CSV.gz", packed(b"\xef\xbb\xbfkey\n") + packed(b"a.png\nb.png\n")),
        ("keys.lst", packed(b"0\t0\ta.png\n1\t0\tb.png\n")),  # whatever it is called
        ("keys.tsv.gz", b"key\na.png\nb.png\n"),
    ],
)
def test_manifests_as_windows_and_spreadsheets_write_them_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    assert keys(tmp_path / name) == ["a.png", "b.png"]


@pytest.mark.parametrize("before", [b"", b"caf\xe9.png\n", b"a.png\n" * 20_000])
def test_a_line_with_a_nul_is_a_row_wherever_it_stands(tmp_path: Path, before: bytes) -> None:
    """Adds that one damaged line doesn't cost the others; so little is known to be no UTF-16."""
    (tmp_path / "keys.txt").write_bytes(before + b"b\0c.png\nd.png\n")
    images = source(tmp_path / "keys.txt")

    assert list(images.keys())[-2:] == ["b\0c.png", "d.png"]
    with pytest.raises(MissingError, match="can't be a file's name"):
        images.read("b\0c.png")


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("keys.txt", b"\xff\xfea\x00.\x00p\x00n\x00g\x00\n\x00", "UTF-8"),
        ("keys.txt", b"", "nothing there"),
        ("keys.txt", b"\n\n", "nothing there"),
        ("keys.lst", b"a.png\tcat\n", "line 1"),
        ("keys.csv", b'key\n"a.png\nb.png\n', "line"),
        ("keys.csv", b"path,label\na.png,cat\n", "path, label"),
        ("keys.csv", b"", "an empty line"),
        ("keys.csv", b"key,key\na.png,b.png\n", "several columns `key`"),
        ("keys.csv", b"key\n" + b"x" * 200_000, "keys.csv"),
        ("keys.csv", b"\xff\xfek\x00e\x00", "UTF-8"),
        ("keys.txt", "a.png\n日本.png\n".encode("utf-16-be"), "UTF-8"),
        ("keys.txt", "a.png\n".encode("utf-32"), "UTF-8"),
        ("keys.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\x80\0\0\1\xe0\x08\2more than some header", "UTF-8"),
        ("keys.txt", b"a.png\n" + b"x" * 70_000, "line 2 has more than 65,536"),
        ("keys.parquet", b"key\na.png\n", "not a Parquet file"),
        ("keys.parquet", b"", "not a Parquet file"),
        ("keys.txt.gz", packed(b"a.png\n" * 1000)[:-9], "broken gzip"),
        ("keys.txt.gz", packed(b"a.png\n")[:-6] + b"\0" * 6, "broken gzip"),
        ("keys.txt.gz", packed(bytes(2**20)), "UTF-8"),
        ("keys.parquet.gz", packed(b"PAR1"), "neither an image nor a list"),
        ("manifest.json", b"{}", "neither an image nor a list"),
        ("photos.ZIP", b"PK", "neither an image nor a list"),
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
    images = source(manifest(tmp_path / "lists", ".txt", [whole]), base=str(tmp_path))

    assert list(images.keys()) == [whole]
    assert images.read(whole) == b"a.png"


def test_suffixes_that_are_set_hold_for_a_manifest_too(tmp_path: Path) -> None:
    images = source(manifest(tmp_path, ".txt", ["a.png", "b.jpg", "c"]), suffixes=[".png"])

    assert list(images.keys()) == ["a.png"]
    assert images.skipped.counts() == {".jpg": 1, "(none)": 1}


def test_a_line_that_is_not_utf8_names_the_file_of_these_bytes(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as file:
        file.write(b"an image")
    (tmp_path / "keys.txt").write_bytes(b"caf\xe9.png\n")
    images = source(tmp_path / "keys.txt")

    (key,) = images.keys()

    assert key == r"caf\xe9.png"
    assert images.read(key) == b"an image"


def test_lines_that_are_addresses_are_fetched_from_the_web(tmp_path: Path) -> None:
    with serving({"/a.png": b"an image"}) as web:
        images = source(manifest(tmp_path, ".txt", []), max_bytes=8)

        assert images.read(f"{web.url}/a.png") == b"an image"
        assert source(manifest(tmp_path, ".txt", []), base=web.url).read("a.png") == b"an image"
        with pytest.raises(MissingError) as missing:
            images.read(f"{web.url}/b.png?X-Amz-Signature=0123")
        assert "0123" not in str(missing.value)
        with pytest.raises(TooLargeError):
            source(manifest(tmp_path, ".txt", []), max_bytes=7).read(f"{web.url}/a.png")


@pytest.mark.parametrize(
    "line",
    ["https://", "https://[::1", "http://127.0.0.1:99999/a", "ftp://x/a.png", "gs://b/a.png", "s3://", "s3://a b/c"],
)
def test_a_line_that_names_no_place_is_a_failed_row(tmp_path: Path, line: str) -> None:
    images = source(manifest(tmp_path, ".txt", [line]))

    assert list(images.keys()) == [line]
    with pytest.raises(StorageError):
        images.read(line)


@pytest.mark.parametrize("line", ["s3://b", "s3://b/"])
def test_a_line_that_names_a_bucket_only_says_so(tmp_path: Path, line: str) -> None:
    with pytest.raises(StorageError, match="no object in it"):
        source(manifest(tmp_path, ".txt", [line])).read(line)


@pytest.mark.parametrize(
    "user", ["me:hush", "hush", "me:h%40u", "me:hu/sh", "me:h'u sh", ":hush", "HTTPS://me:hush@a@"]
)
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_the_user_and_password_of_an_address_are_in_no_key_and_the_row_says_so(
    tmp_path: Path, user: str, suffix: str
) -> None:
    line = f"{user}host/x.jpg" if "://" in user else f"https://{user}@host/x.jpg"
    images = source(manifest(tmp_path, suffix, [line]))

    (key,) = images.keys()

    assert key.lower() == "https://…@host/x.jpg"
    with pytest.raises(DeniedError, match="has a user or a password"):
        images.read(key)


def test_an_address_with_an_at_sign_in_its_path_is_one_as_others_are(tmp_path: Path) -> None:
    lines = [
        "https://host/a@b.png",
        "https://host:8080/a:b@c.png",
        "https://[::1]:80/a@b.png",
        "a:b@c.png",
        "s3://bucket/me@b.png",
    ]

    assert list(source(manifest(tmp_path, ".txt", lines)).keys()) == lines


def test_one_image_on_the_web_is_no_input_and_the_mend_says_what_is() -> None:
    for place in ("https://host/one.jpg", "HTTP://host/"):
        assert "--input list.txt" in refusal(place)


def test_a_manifest_from_the_web_is_refused_at_once_where_nothing_says_where_its_images_are(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.png")
    with serving({"/keys.txt": b"a.png\n"}) as web:
        images = source(f"{web.url}/keys.txt", base=str(tmp_path))
        assert [images.read(key) for key in images.keys()] == [b"a.png"]

        assert web.url in refusal(f"{web.url}/keys.txt")


def test_a_limit_reads_only_so_much_of_a_manifest(tmp_path: Path) -> None:
    assert keys(manifest(tmp_path, ".csv", [f"{number}.png" for number in range(100)]), limit=3) == [
        "0.png",
        "1.png",
        "2.png",
    ]


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
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    | st.sampled_from(["a\0b.png", "x" * 5000, "a/" * 3000, "..", "/", "."])
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
        keys("s3://")


def test_places_that_cannot_be_listed_are_refused() -> None:
    for place in ("http://example.invalid/photos", "gs://bucket/photos"):
        assert place in refusal(place)


def test_a_single_file_may_have_a_name_that_looks_escaped(tmp_path: Path) -> None:
    path = tmp_path / r"lit\xff.png"
    path.write_bytes(b"a")
    images = Source(InputSettings(path=str(path)), Access(StorageSettings()))

    (key,) = images.keys()
    assert images.read(key) == b"a"


def test_a_row_of_csv_with_more_fields_than_the_first_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("key\na,b.png\na,c.png\n")

    with pytest.raises(UsageError, match="line 2 has 2 fields"):
        list(Source(InputSettings(path=str(tmp_path / "m.csv")), Access(StorageSettings())).keys())


def test_a_parquet_manifest_may_hold_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    texts = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\6\0\0\0"), pa.py_buffer(b"a\xff.png")])
    pq.write_table(pa.table({"key": texts}), tmp_path / "m.parquet")

    assert list(Source(InputSettings(path=str(tmp_path / "m.parquet")), Access(StorageSettings())).keys()) == [
        r"a\xff.png"
    ]


def test_a_key_from_the_root_on_is_read_in_whatever_folder_a_worker_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path, "images/a.png")
    (tmp_path / "images" / "list.txt").write_text(f"{tmp_path}/images/a.png\n")
    monkeypatch.chdir(tmp_path)
    relative = Settings.model_validate(
        {"input": {"path": "images/list.txt"}, "model": {"path": "m"}, "output": {"path": "o"}}
    )
    for_workers = with_absolute_places(relative).input

    monkeypatch.chdir("/")
    assert Source(for_workers, Access(StorageSettings(retries=0))).read(f"{tmp_path}/images/a.png") == b"images/a.png"
