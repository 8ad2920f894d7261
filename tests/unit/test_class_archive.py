"""Java's classes are kept for the Spark that they are of, and stay good."""

from pathlib import Path

import pytest

from mxspark.spark.class_archive import ClassArchive

WRITES, READS = "-XX:ArchiveClassesAtExit=", "-XX:SharedArchiveFile="


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    return tmp_path / "spark" / "jars"


def linked(jars: Path, folder: Path) -> Path:
    """A Spark whose jars are a link to another's."""
    folder.mkdir()
    (folder / "jars").symlink_to(jars)
    return folder / "jars"


def write(archive: ClassArchive, is_whole: bool = True) -> None:
    """As Java does when it ends."""
    Path(archive.options.removeprefix(WRITES)).touch()
    archive.keep(is_whole)


def test_the_first_java_writes_it_and_all_others_read_it(tmp_path: Path, jars: Path) -> None:
    first = ClassArchive(tmp_path, "Java", jars)
    assert first.is_new
    assert first.options_to_read == ""
    write(first)

    second = ClassArchive(tmp_path, "Java", jars)
    assert not second.is_new
    assert second.options == second.options_to_read
    assert second.options.startswith(READS)


def test_what_java_could_not_write_whole_is_thrown_away(tmp_path: Path, jars: Path) -> None:
    archive = ClassArchive(tmp_path, "Java", jars)
    write(archive, is_whole=False)
    assert archive.is_new
    assert list(tmp_path.rglob("*.new")) == []


def test_another_java_and_another_spark_have_others(tmp_path: Path, jars: Path) -> None:
    write(ClassArchive(tmp_path, "Java", jars))
    assert ClassArchive(tmp_path, "another Java", jars).is_new
    assert ClassArchive(tmp_path, "Java", tmp_path / "another" / "jars").is_new


def test_links_to_a_spark_read_its_archive_but_write_none_which_would_end_with_them(tmp_path: Path, jars: Path) -> None:
    links = linked(jars, tmp_path / "links")
    assert not ClassArchive(tmp_path, "Java", links).is_new
    assert ClassArchive(tmp_path, "Java", links).options == ""

    write(ClassArchive(tmp_path, "Java", jars))
    assert ClassArchive(tmp_path, "Java", links).options == ClassArchive(tmp_path, "Java", jars).options_to_read
