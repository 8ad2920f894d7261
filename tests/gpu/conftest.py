"""A stand-in for the NVIDIA driver, compiled from cuda_stub.c: any machine has the cards, or the broken driver, that
a test wants.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.command import Command, Finished
from tests.tiers import Missing

COMPILERS = ("gcc", "cc")
SOURCE = Path(__file__).with_name("cuda_stub.c")
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1")

A10 = "NVIDIA A10=8.6=23609475072"
T4 = "Tesla T4=7.5=15843721216"
H100 = "NVIDIA H100 80GB HBM3=9.0=85028765696"

WithDriver = Callable[..., Finished]


def missing() -> Missing | None:
    if not any(map(shutil.which, COMPILERS)):
        return Missing("no C compiler, which makes the stand-in for the NVIDIA driver", "apt-get install gcc libc6-dev")
    if importlib.util.find_spec("mxnet") is None:
        return Missing("the package mxnet is not installed", "tools/setup.sh dev, on Linux or macOS on Intel")
    return None


@pytest.fixture(scope="session")
def driver_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libcuda.so.1, for LD_LIBRARY_PATH."""
    folder = tmp_path_factory.mktemp("driver")
    compiler = next(filter(None, map(shutil.which, COMPILERS)))
    subprocess.run([compiler, *FLAGS, "-o", str(folder / "libcuda.so.1"), str(SOURCE)], check=True)
    return folder


@pytest.fixture
def with_driver(mxspark: Command, driver_folder: Path) -> WithDriver:
    """Runs a program of the virtual environment where the driver shows these cards, `name=major.minor=bytes` each."""

    def run(program: str, *arguments: str | Path, cards: tuple[str, ...] = (), **driver: str) -> Finished:
        libraries = os.pathsep.join(filter(None, (str(driver_folder), os.environ.get("LD_LIBRARY_PATH"))))
        environment = {"LD_LIBRARY_PATH": libraries, "CUDA_VISIBLE_DEVICES": None, "CUDA_STUB_GPUS": ";".join(cards)}
        stub = {f"CUDA_STUB_{name.upper()}": value for name, value in driver.items()}
        return mxspark.run(program, *arguments, environment=environment | stub)

    return run
