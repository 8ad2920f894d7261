"""README.md and docs/report.md as they stand: photographs of a person's own in a folder, and what is said of the
table. All other commands are in tests/unit/test_docs.py.
"""

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.command import PROGRAMS, REPOSITORY, Command, Finished
from tests.conftest import IMAGENET, Here
from tests.documentation import blocks, in_a_line

PHOTOGRAPHS = ("chelsea.png", "coffee.png")
BROKEN = "broken.png"


@dataclass(frozen=True)
class Readme:
    """A folder in which the README's commands were typed, and what they said."""

    folder: Path
    finished: Finished


@pytest.fixture(scope="module")
def readme(mxspark: Command, tmp_path_factory: pytest.TempPathFactory) -> Readme:
    """The run over a folder, by bash; the one over a bucket is in tests/spark/test_s3.py."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / ".venv").symlink_to(PROGRAMS.parent)
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    (folder / "pictures").mkdir()
    for name in PHOTOGRAPHS:
        shutil.copy(IMAGENET / "images" / name, folder / "pictures")
    (folder / "pictures" / BROKEN).write_bytes((IMAGENET / "images" / "coffee.png").read_bytes()[:1000])
    (text,) = [block.text for block in blocks("README.md") if "~/pictures" in block.text]
    lines = "\n".join(line for line in text.splitlines() if "s3://" not in line)
    # Of three images one is broken.
    environment = {"HOME": str(folder), "MXSPARK_MAX_FAILED_FRACTION": "0.5", "MXSPARK_SPARK__MASTER": "local[1]"}
    finished = mxspark.run("/bin/bash", "-ec", f"cd {shlex.quote(str(folder))}\n{lines}", environment=environment)
    return Readme(folder, finished.succeeded())


def test_a_folder_of_photographs_becomes_a_table(readme: Readme) -> None:
    told = readme.finished.output
    assert "0.78 n07920052 espresso" in told
    assert "3 images: 2 ok, 1 failed" in told
    assert "Predictions: predictions\n" in told


def test_the_table_is_read_from_python(readme: Readme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(readme.folder)
    (code,) = [block.text for block in blocks("README.md") if block.language == "python"]
    *before, comment, call = code.strip().splitlines()
    assert before[:1] == ["import mxspark"]
    table = eval(call, {"mxspark": __import__("mxspark")})
    assert dict(zip(table["key"], table["status"], strict=True))[BROKEN] == "truncated"
    assert list(table.columns) == comment.rpartition("columns: ")[2].split(", ")


def test_the_readme_s_questions_are_answered(
    here: Here, no_aws: None, readme: Readme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(readme.folder)
    told = {
        command.words[1]: here(*command.arguments).succeeded().output
        for command in in_a_line("mxspark", "README.md")
        if "predictions" in command.words
    }
    assert told.keys() == {"report", "show", "status"}
    assert (readme.folder / "report.html").is_file()
    assert BROKEN in told["show"]
    assert "coffee.png" not in told["show"]
    assert "3 of 3 images" in told["status"]


def test_reports_and_comparisons_of_their_page(
    here: Here, no_aws: None, mxspark: Command, readme: Readme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OUTPUT", "OUTPUT_A", "OUTPUT_B", "A", "B"):
        shutil.copytree(readme.folder / "predictions", name)
    first, last = (block for block in blocks("docs/report.md") if not block.language)
    told = [here(*command.arguments).succeeded().output for command in first.commands()]
    assert Path("report.html").is_file()
    assert BROKEN in told[1]
    assert "100" in told[2]
    mxspark.run("/bin/bash", "-o", "pipefail", "-ec", f"cd {shlex.quote(str(tmp_path))}\n{last.text}").succeeded()
