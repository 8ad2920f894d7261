"""Real Spark on this machine: the digits example run once for all tests that only look at its results."""

import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from tests.command import Command, Finished
from tests.conftest import DIGITS, IMAGENET
from tests.shared import once
from tests.tiers import Missing

from mxspark.errors import UsageError
from mxspark.spark.configuration import JVM_OPTIONS
from mxspark.spark.java import java_home

TRUE_LABEL = r"input.true_label=_(\d)\.png$"
ALL_DIGITS = 1797
# For spark-submit, whose Java has its own defaults otherwise: they take twice as much of the processors.
QUICK_JAVA = {"SPARK_SUBMIT_OPTS": JVM_OPTIONS}


def missing() -> Missing | None:
    lacks = missing_java()
    if lacks is not None:
        return lacks
    if importlib.util.find_spec("mxnet") is None:
        return Missing("the package mxnet is not installed", "tools/setup.sh dev, on Linux or macOS on Intel")
    if len(list(DIGITS.glob("images/*.png"))) < ALL_DIGITS:
        return Missing("the digits example is not built", ".venv/bin/python examples/digits/build.py")
    if not (IMAGENET / "bundle" / "model.yaml").exists():
        return Missing("the ImageNet example is not built", ".venv/bin/python examples/imagenet/build.py")
    return None


def missing_java() -> Missing | None:
    """What lacks where Spark can't start."""
    try:
        with tempfile.TemporaryDirectory() as cache:
            java_home(Path(cache))
    except UsageError as error:
        return Missing(error.problem, error.hint)
    return None


@dataclass(frozen=True)
class Run:
    """A run that ended, and the folder that it wrote to."""

    finished: Finished
    output: Path

    @property
    def table(self) -> pd.DataFrame:
        """All rows, sorted by key, as a user of pandas gets them."""
        return read_table(str(self.output))


def read_table(place: str, **options: object) -> pd.DataFrame:
    """The table at a place, sorted by key."""
    return pd.read_parquet(place, **options).sort_values("key", ignore_index=True)


@pytest.fixture(scope="session")
def digits_run(
    mxspark: Command, digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """All digits, predicted with the defaults. Not to be changed: copy its folder with `copied`."""

    def run() -> Run:
        output = tmp_path_factory.mktemp("digits") / "table"
        finished = mxspark("run", *digits_arguments(digits_images, digits_bundle), "--output", output)
        return Run(finished.succeeded(), output)

    return once(tmp_path_factory, "digits-run", run)


def digits_arguments(images: Path, bundle: Path) -> tuple[str | Path, ...]:
    """The flags of `digits_run`, less the output."""
    return "--input", images, "--model", bundle, "--set", TRUE_LABEL


@pytest.fixture(scope="module")
def copied(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what `digits_run` wrote, with the times of its files."""
    return Path(shutil.copytree(digits_run.output, tmp_path_factory.mktemp("copied") / "table"))


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    """Returns when the condition holds; fails the test when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.02)
