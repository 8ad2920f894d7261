"""A run at int8: what it makes before it starts serves its workers, and those of a run that resumes it."""

from pathlib import Path

import pytest
from tests.command import Command, summary
from tests.conftest import Here
from tests.spark.conftest import TRUE_LABEL, read_table

FEW = (
    "--limit",
    "200",
    "--set",
    "spark.master=local[1]",
    "--set",
    "comparison_images=60",
    "--set",
    "plan.shard_size=100",
)
SEVEN_EIGHTHS = ("--set", "min_agreement=0.875")  # of 40 images; digits lose none of them on most processors


def test_a_run_at_int8_is_compared_with_fp32_first_and_resumed_with_the_same_model(
    mxspark: Command, here: Here, no_aws: None, digits_images: Path, digits_bundle: Path, tmp_path: Path
) -> None:
    output = tmp_path / "table"
    command = ("run", "--input", digits_images, "--model", digits_bundle, "--set", TRUE_LABEL, "--output", output)
    at_int8 = (*command, *FEW, *SEVEN_EIGHTHS, "--precision", "int8")
    finished = mxspark(*at_int8).succeeded()
    compared = summary(output)["precision"]
    assert (compared["precision"], compared["images"], compared["labelled"]) == ("int8", 40, 40)
    assert f"agrees with fp32 on {compared['agreement']:.2%} of 40 held-out images" in finished.output
    assert [path.name for path in (output / "_model").iterdir()] == [compared["model"]]
    table = read_table(str(output))
    assert len(table) == 200

    refused = here(*command, *FEW).ended_with(2)
    assert "precision: int8 -> fp32" in refused.errors

    (output / "part-000001.parquet").unlink()
    resumed = mxspark(*at_int8).succeeded()
    assert "Comparing" not in resumed.errors
    assert summary(output)["precision"] == compared
    assert read_table(str(output)).equals(table), "the same model, to the last bit"


@pytest.mark.parametrize("command", ["run", "settings"])
def test_another_context_than_the_cpu_goes_with_fp32_only(here: Here, no_aws: None, command: str) -> None:
    finished = here(
        command, "--input", "a", "--output", "b", "--model", "c", "--precision", "int8", "--context", "auto"
    ).ended_with(2)
    assert "precision int8 is for CPUs, but context is auto" in finished.errors
