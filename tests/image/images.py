"""The four images, built once a run by the commands that a person types. A plugin (tests/conftest.py): other tiers
run them too.
"""

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.command import REPOSITORY
from tests.image.container import Image, remove_those_looked_into
from tests.shared import once

NAME = "mxspark-tests"  # not mxspark: that is the person's own
BASE = f"{NAME}-base"
EMR_BASE = f"{NAME}-emr-base"


def pytest_sessionfinish() -> None:
    remove_those_looked_into()


@cache
def docker() -> str:
    """The program that `make image` uses."""
    return subprocess.run(
        [REPOSITORY / "tools" / "docker.sh"], capture_output=True, text=True, check=True
    ).stdout.strip()


def exists(name: str) -> bool:
    return subprocess.run([docker(), "image", "inspect", name], capture_output=True, check=False).returncode == 0


def make(*command: str | Path, **environment: str) -> str:
    """Runs a command of the repository; fails the test with its last words where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=REPOSITORY,
        env={**os.environ, "DOCKER": docker(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def built(tag: str, *command: str, **bases: str) -> Image:
    """What a command of the repository builds."""
    make(*command, IMAGE=NAME, **bases)
    return Image(docker(), f"{NAME}:{tag}")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the images are built on: BASE, the Dockerfile's own where it can be pulled, else Debian from its
    packages.
    """
    return once(
        tmp_path_factory, "base", lambda: make(REPOSITORY / "tools" / "base.sh", MADE_BASE=BASE).splitlines()[-1]
    )


@pytest.fixture(scope="session")
def emr_base(base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """AWS's image, or rather its stand-in."""
    command = (
        "build",
        "--file",
        "tests/image/emr-base/Dockerfile",
        "--build-arg",
        f"BASE={base}",
        "--tag",
        EMR_BASE,
        ".",
    )
    once(tmp_path_factory, "emr-base", lambda: make(docker(), *command, DOCKER_BUILDKIT="1"))
    return EMR_BASE


@pytest.fixture(scope="session")
def cpu_image(base: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """`make image`."""
    return once(tmp_path_factory, "cpu-image", lambda: built("latest", "make", "image", BASE=base))


@pytest.fixture(scope="session")
def emr_image(base: str, emr_base: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """`make image TARGET=emr`."""
    return once(
        tmp_path_factory, "emr-image", lambda: built("emr", "make", "image", "TARGET=emr", BASE=base, EMR_BASE=emr_base)
    )


@pytest.fixture(scope="session")
def gpu_image(base: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """`make image-gpu`."""
    return once(tmp_path_factory, "gpu-image", lambda: built("gpu", "make", "image-gpu", BASE=base))


@pytest.fixture(scope="session")
def gpu_emr_image(base: str, emr_base: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """`make image-gpu TARGET=emr`."""
    return once(
        tmp_path_factory,
        "gpu-emr-image",
        lambda: built("gpu-emr", "make", "image-gpu", "TARGET=emr", BASE=base, EMR_BASE=emr_base),
    )
