"""The main path on Spark 3.5."""

from pathlib import Path

import pytest
from tests.command import Command, summary
from tests.spark.conftest import Run, digits_arguments
from tests.spark.spark35.conftest import SPARK_35

LIMIT = 700


@pytest.fixture(scope="module")
def run(mxspark: Command, digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Some of the digits, with Spark 3.5 before Spark 4 on Python's path."""
    output = tmp_path_factory.mktemp("spark35") / "table"
    flags = [
        *digits_arguments(digits_images, digits_bundle),
        "--output",
        output,
        "--limit",
        str(LIMIT),
        "--master",
        "local[1]",
    ]
    return Run(mxspark("run", *flags, environment={"PYTHONPATH": str(SPARK_35)}).succeeded(), output)


def test_it_ran_on_spark_35(run: Run) -> None:
    assert "Spark 3.5.9" in run.finished.errors


def test_every_digit_taken_has_one_row_and_most_are_right(run: Run) -> None:
    table = run.table
    assert len(table) == table["key"].nunique() == LIMIT
    assert set(table["status"]) == {"ok"}
    assert summary(run.output)["accuracy"] >= 0.98
    assert (run.output / "_SUCCESS").exists()
