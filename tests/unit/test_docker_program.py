"""tools/docker.sh: which program builds images here, and what helps where none can."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import REPOSITORY

Choose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def choose(tmp_path: Path) -> Choose:
    """Runs it where `programs`, by name, are all that is on PATH besides what every machine has."""

    def run(programs: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "bin"
        folder.mkdir()
        for tool in ("bash", "sed", "tail", "awk", "readlink", "uname", "id"):
            (folder / tool).symlink_to(shutil.which(tool) or pytest.skip(f"there is no {tool}"))
        for name, body in programs.items():
            (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (folder / name).chmod(0o755)
        command = ["bash", str(REPOSITORY / "tools" / "docker.sh")]
        return subprocess.run(
            command, env={"PATH": str(folder), **environment}, capture_output=True, text=True, check=False
        )

    return run


def docker(version: str = "20.10.24 20.10.24", *, words: str = "", buildx: bool = True) -> str:
    """A Docker whose daemon is of this version, or that fails with these words."""
    answer = f"echo '{words}' >&2; exit 1" if words else f"echo '{version}'"
    return (
        f"case $1 in --version) echo 'Docker version x' ;; version) {answer} ;; buildx) exit {0 if buildx else 1} ;; "
        "*) exit 1 ;; esac"
    )


@pytest.mark.parametrize(
    "programs",
    [
        {"docker": docker()},
        {"docker": docker("28.2.2 28.2.2")},
        {
            "docker": docker(words="Is the docker daemon running?"),
            "podman": "[ $1 != --version ] || echo podman version 5",
        },
    ],
)
def test_the_first_that_works_is_taken(choose: Choose, programs: dict[str, str]) -> None:
    done = choose(programs)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == list(programs)[-1]


@pytest.mark.parametrize(
    ("programs", "environment", "told"),
    [
        ({}, {}, "neither Docker nor Podman is on PATH: install one"),
        ({}, {"DOCKER": "nothing"}, "there is no program nothing: DOCKER names it; unset that"),
        ({"other": "true"}, {"DOCKER": "other"}, "other is neither Docker nor Podman"),
        (
            {
                "docker": docker(
                    words="permission denied while trying to connect to the Docker daemon socket at unix:///x"
                )
            },
            {},
            "your user may not use Docker: sudo usermod -aG docker",
        ),
        (
            {"docker": docker(words="Cannot connect to the Docker daemon at x. Is the docker daemon running?")},
            {},
            "its daemon does not run:",
        ),
        (
            {"docker": docker(words="Cannot connect to the Docker daemon at x. Is the docker daemon running?")},
            {"DOCKER_HOST": "tcp://host:1"},
            "nothing answers at DOCKER_HOST=tcp://host:1: start Docker there, or unset DOCKER_HOST",
        ),
        (
            {"docker": docker(words="client version 1.52 is too new")},
            {},
            "version` fails: client version 1.52 is too new",
        ),
        (
            {"docker": docker("28.2.2 28.2.2", buildx=False)},
            {},
            "lacks its component buildx, which the Dockerfiles need: install it",
        ),
        ({"docker": "echo podman version 5"}, {}, "is Podman under Docker's name: set DOCKER=podman"),
        (
            {"podman": "case $1 in --version) echo podman version 5 ;; *) echo no storage >&2; exit 1 ;; esac"},
            {},
            "info` fails: no storage",
        ),
    ],
)
def test_where_none_works_it_says_what_helps(
    choose: Choose, programs: dict[str, str], environment: dict[str, str], told: str
) -> None:
    done = choose(programs, **environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
