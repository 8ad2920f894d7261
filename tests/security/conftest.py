"""What somebody would try who may write to what mxspark reads: neighbours on the machine, keys, manifests, models,
settings, logs.

In this process wherever that can show it. Another user is played by this one, who says that he is another
(`somebody_else`).
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mxspark import private_folder

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066x\u2028y\x85z[red]w[/red]\r\x7f"


@pytest.fixture
def shared_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of many, be this one a container or not."""
    monkeypatch.setattr(private_folder, "_is_container", lambda _environ: False)


@pytest.fixture
def somebody_else(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """From its call on this process is another user's, for all that looks; returns the number of that one."""

    def become() -> int:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
        return other

    return become


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What nobody else is to touch."""
    folder = tmp_path / "home"
    (folder / "thesis").mkdir(parents=True)
    (folder / "thesis" / "chapter.tex").write_text("years of work")
    (folder / "secret").write_text("hunter2")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
