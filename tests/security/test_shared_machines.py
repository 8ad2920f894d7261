"""Neighbours on the machine: what is executed or believed can't be theirs."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from PIL import Image
from pyspark import SparkConf
from tests.unit.pictures import pillow_encoded
from tests.unit.web import serving

from mxspark import private_folder as private_folders
from mxspark.decode.preprocess import ImageLimits
from mxspark.errors import UsageError
from mxspark.inference import bundle
from mxspark.inference.bundle import BundleSource
from mxspark.private_folder import private_folder
from mxspark.settings.job import SparkSettings, StorageSettings
from mxspark.settings.model_spec import ModelInput, ModelSpec, Preprocessing
from mxspark.spark import java
from mxspark.spark.application import _import_nothing_from_here
from mxspark.spark.class_archive import ClassArchive
from mxspark.spark.configuration import UNIX_SOCKETS, configuration
from mxspark.spark.run_folders import RunFolders, fits_socket
from mxspark.storage import Access
from mxspark.worker.sandbox import DecodeTask, Sandbox

ACCESS = Access(StorageSettings(retries=0))


@pytest.fixture(autouse=True)
def _shared_machine(shared_machine: None) -> None:
    """For every test here."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- whose folder it is ----


def test_what_is_kept_lies_in_a_folder_that_nobody_else_may_enter(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        own = private_folder(tmp_path / "cache")
    finally:
        os.umask(before)

    assert own.parent == tmp_path / "cache"
    assert mode(own) == 0o700
    assert private_folder(tmp_path / "cache") == own


def test_a_folder_of_another_user_is_refused_by_name(tmp_path: Path, somebody_else: Callable[[], int]) -> None:
    (tmp_path / f"user-{os.geteuid() + 1}").mkdir(mode=0o700)  # made before the one whom it is named after comes
    theirs = os.geteuid()
    somebody_else()

    with pytest.raises(UsageError, match=f"belongs to user {theirs}") as refused:
        private_folder(tmp_path)
    assert "MXSPARK_CACHE_DIR" in refused.value.hint


def test_of_a_volume_that_gives_all_files_to_one_user_the_hint_says_so(
    tmp_path: Path, somebody_else: Callable[[], int]
) -> None:
    """As access points of EFS do: no folder there would be this user's."""
    somebody_else()  # so that whatever is made belongs to who this user isn't

    with pytest.raises(UsageError, match="belongs to user") as refused:
        private_folder(tmp_path)
    assert "runAsUser" in refused.value.hint


@pytest.mark.parametrize("leads_to", ["a folder of ours", "nowhere"])
def test_a_link_in_its_place_is_refused(tmp_path: Path, home: Path, leads_to: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"user-{os.geteuid()}").symlink_to(
        home if leads_to == "a folder of ours" else tmp_path / "nowhere"
    )

    with pytest.raises(UsageError, match="is a link"):
        private_folder(tmp_path / "cache")
    assert mode(home) != 0o700


@pytest.mark.parametrize("written_by", [0o770, 0o707, 0o777])
def test_one_that_others_could_write_to_is_not_believed_any_more(tmp_path: Path, written_by: int) -> None:
    private_folder(tmp_path).chmod(written_by)

    with pytest.raises(UsageError, match="others could write to it"):
        private_folder(tmp_path)


def test_one_that_others_could_only_read_is_closed(tmp_path: Path) -> None:
    private_folder(tmp_path).chmod(0o755)

    assert mode(private_folder(tmp_path)) == 0o700


def test_a_place_where_anybody_can_swap_folders_is_refused_and_one_like_tmp_is_fine(tmp_path: Path) -> None:
    (tmp_path / "scratch" / "below").mkdir(parents=True)
    (tmp_path / "scratch").chmod(0o777)
    with pytest.raises(UsageError, match="everybody could replace"):
        private_folder(tmp_path / "scratch" / "below")

    (tmp_path / "scratch").chmod(0o1777)
    assert private_folder(tmp_path / "scratch" / "below").exists()


@pytest.mark.parametrize(("users", "taken"), [("0 0 4294967295", False), ("0 1000 1", True), (None, False)])
def test_nobodys_folder_is_roots_only_where_users_have_other_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str | None, taken: bool
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    monkeypatch.setattr(private_folders, "USERS", tmp_path / "uid_map")
    os.chown(tmp_path, 65534, -1)
    if users is not None:
        (tmp_path / "uid_map").write_text(f"         {users}\n")

    with nullcontext() if taken else pytest.raises(UsageError, match="belongs to user"):
        private_folders._check_above(tmp_path)


def test_a_place_below_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 4711, -1)

    with pytest.raises(UsageError, match="belongs to user 4711"):
        private_folder(tmp_path / "theirs" / "cache")


def test_in_a_pod_the_volume_may_be_anybodys_and_opened_for_a_group_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # what the fixture says of this machine
    tmp_path.chmod(0o2777)  # an emptyDir belongs to root, with fsGroup and for all
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}

    own = private_folder(tmp_path / "mxspark", pod)
    own.chmod(0o2770)  # as Kubernetes does where such a volume is mounted anew
    assert mode(private_folder(tmp_path / "mxspark", pod)) & 0o777 == 0o700


# ---- what is executed ----


def without_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Java that needs the wrapper."""
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    (home / "bin" / "java").chmod(0o755)
    (home / "release").write_text('MODULES="java.base"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))


def test_a_planted_wrapper_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, somebody_else: Callable[[], int]
) -> None:
    without_module(tmp_path, monkeypatch)
    wrapper = java.java_home(tmp_path / "cache") / "bin" / "java"
    wrapper.write_text("#!/bin/sh\necho of the neighbour\n")

    assert "neighbour" not in (java.java_home(tmp_path / "cache") / "bin" / "java").read_text()

    theirs = wrapper.parents[3]
    theirs.rename(theirs.with_name(f"user-{somebody_else()}"))
    with pytest.raises(UsageError, match="belongs to user"):
        java.java_home(tmp_path / "cache")


def test_a_path_with_quotes_is_no_command_of_the_wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_module(tmp_path / "a'; touch planted; '", monkeypatch)
    monkeypatch.chdir(tmp_path)

    subprocess.run([java.java_home(tmp_path / "cache") / "bin" / "java", "-version"], check=True, capture_output=True)
    assert not (tmp_path / "planted").exists()


def test_java_reads_no_class_archive_of_anothers(tmp_path: Path, somebody_else: Callable[[], int]) -> None:
    new = Path(ClassArchive(tmp_path, "this Java", tmp_path).options.removeprefix("-XX:ArchiveClassesAtExit="))
    (tmp_path / "java").mkdir()
    (tmp_path / "java" / f"{new.name.partition('.')[0]}.jsa").write_bytes(b"planted")  # where it was kept before
    assert "SharedArchiveFile" not in ClassArchive(tmp_path, "this Java", tmp_path).options

    ours = tmp_path / f"user-{os.geteuid()}"
    ours.rename(tmp_path / f"user-{somebody_else()}")
    with pytest.raises(UsageError, match="belongs to user"):
        ClassArchive(tmp_path, "this Java", tmp_path)


def test_names_of_what_is_being_written_can_not_be_guessed(tmp_path: Path) -> None:
    assert (
        ClassArchive(tmp_path, "this Java", tmp_path).options != ClassArchive(tmp_path, "this Java", tmp_path).options
    )


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which others have put modules that Python's libraries import."""
    folder = tmp_path / "working"
    folder.mkdir()
    for name in ("json", "numpy", "gzip", "calendar", "locale"):
        (folder / f"{name}.py").write_text("open('planted', 'w').close()\nraise SystemExit('planted')\n")
    monkeypatch.chdir(folder)
    return folder


def test_workers_of_spark_import_nothing_from_the_working_folder(planted: Path) -> None:
    environment = dict(os.environ)
    _import_nothing_from_here(environment)

    subprocess.run([sys.executable, "-m", "calendar", "2026", "1"], env=environment, check=True, capture_output=True)
    assert not (planted / "planted").exists()


def test_the_decoders_process_imports_nothing_from_the_working_folder(planted: Path) -> None:
    task = DecodeTask(ImageLimits(10**6, 10, ("PNG",)), ModelInput(height=8, width=8), Preprocessing(), 60, 2**30)
    with Sandbox(task) as sandbox:
        assert sandbox.decode(pillow_encoded(Image.new("RGB", (9, 9)), "PNG")).shape == (3, 8, 8)
    assert not (planted / "planted").exists()


# ---- what is believed ----


def test_a_model_file_of_the_cache_is_hashed_when_it_is_used(tmp_path: Path) -> None:
    with serving({"/s": b"{}", "/p": b"numbers"}) as web:
        source = BundleSource(ModelSpec(), {"symbol": f"{web.url}/s", "params": f"{web.url}/p"}, {})
        seen = bundle.fetch(source, tmp_path, ACCESS)
        seen.paths["params"].write_bytes(b"planted")
        again = bundle.fetch(seen.source, tmp_path, ACCESS)

    assert again.paths["params"].read_bytes() == b"numbers"
    assert web.requests["/p"] == 2


def test_a_link_in_the_cache_is_not_taken_for_the_file(tmp_path: Path) -> None:
    with serving({"/s": b"{}", "/p": b"numbers"}) as web:
        source = BundleSource(ModelSpec(), {"symbol": f"{web.url}/s", "params": f"{web.url}/p"}, {})
        seen = bundle.fetch(source, tmp_path, ACCESS)
        (tmp_path / "elsewhere").write_bytes(b"numbers")
        seen.paths["params"].unlink()
        seen.paths["params"].symlink_to(tmp_path / "elsewhere")
        again = bundle.fetch(seen.source, tmp_path, ACCESS)

    assert not again.paths["params"].is_symlink()


# ---- Spark's files ----


@pytest.mark.parametrize("way", ["spark.local.dir", "SPARK_LOCAL_DIRS", "neither"])
def test_sparks_blocks_lie_where_nobody_else_may_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Without Java: what Spark is told before it starts. `tests/spark/test_interruptions.py` looks for sockets while
    it runs.
    """
    places = [tmp_path / "disk1", tmp_path / "disk2"]
    conf = SparkConf(loadDefaults=False)
    monkeypatch.delenv("SPARK_LOCAL_DIRS", raising=False)
    if way == "SPARK_LOCAL_DIRS":
        monkeypatch.setenv(way, ", ".join(map(str, places)))
    elif way == "spark.local.dir":
        conf.set(way, ",".join(map(str, places)))
    with closing(RunFolders()) as made:
        made.keep_blocks(conf, os.environ, is_submitted=False)

        folders = [Path(folder) for folder in (conf.get("spark.local.dir") or "").split(",")]
        assert all(mode(folder) == 0o700 for folder in folders)
        assert [folder.parent for folder in folders] == (places if way != "neither" else [Path(tempfile.gettempdir())])
    assert not any(folder.exists() for folder in folders)


def test_executors_on_machines_of_many_have_no_sockets_in_tmp() -> None:
    assert configuration(SparkSettings(master="spark://host:7077"))[UNIX_SOCKETS] == "false"
    assert configuration(SparkSettings(master="local[2]"))[UNIX_SOCKETS] == "true"


@pytest.mark.parametrize(("length", "fits"), [(60, True), (61, False)])  # Spark 4.3: "should be lower than 61"
def test_where_the_scratch_folders_name_is_too_long_for_a_socket_there_is_none(length: int, fits: bool) -> None:
    assert fits_socket(Path("/tmp/".ljust(length, "x"))) is fits
