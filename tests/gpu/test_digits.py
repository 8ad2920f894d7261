"""The digits job with contexts gpu and auto: on a real GPU where there is one, and on machines that have none."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.command import Command, summary
from tests.conftest import DIGITS
from tests.gpu.conftest import H100, WithDriver
from tests.spark.conftest import ALL_DIGITS, digits_arguments, missing_java, read_table


@pytest.fixture(autouse=True)
def _needs_digits_and_java() -> None:
    if len(list(DIGITS.glob("images/*.png"))) < ALL_DIGITS:
        pytest.skip("the digits example is not built: .venv/bin/python examples/digits/build.py")
    if (lacks := missing_java()) is not None:
        pytest.skip(str(lacks))


@pytest.fixture
def real_gpu(mxspark: Command) -> str:
    """What the first card is called; skips the test where there is none that MXNet can use."""
    if (
        shutil.which("nvidia-smi") is None
        or subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("no NVIDIA GPU here: nvidia-smi is not there or lists none")
    found = json.loads(mxspark("doctor", "--gpu", "--json").output)["findings"]
    problems = [
        finding["text"] for finding in found if finding["verdict"] != "ok" and finding["subject"] != "nvidia-smi"
    ]
    if problems:
        pytest.skip(f"no GPU here that MXNet can use: {'; '.join(problems)}")
    return next(str(finding["text"]) for finding in found if finding["subject"] == "GPU 0")


def test_all_digits_on_a_real_gpu(
    real_gpu: str, mxspark: Command, digits_images: Path, digits_bundle: Path, tmp_path: Path
) -> None:
    output = tmp_path / "table"
    flags = ["--context", "gpu", "--master", "local[1]", "--batch-size", "64"]

    finished = mxspark("run", *digits_arguments(digits_images, digits_bundle), "--output", output, *flags).succeeded()

    assert "Running on gpu(0)" in finished.errors
    assert len(read_table(str(output))) == ALL_DIGITS
    assert summary(output)["accuracy"] >= 0.98, f"on {real_gpu}"


def test_auto_runs_on_the_cpu_and_says_why(
    with_driver: WithDriver, digits_images: Path, digits_bundle: Path, tmp_path: Path
) -> None:
    """Whichever MXNet is installed: the CPU build has no use for a GPU, the GPU build none for this one."""
    arguments = [
        *digits_arguments(digits_images, digits_bundle),
        "--output",
        tmp_path / "table",
        "--limit",
        "50",
        "--master",
        "local[1]",
    ]

    finished = with_driver("mxspark", "run", *arguments, "--context", "auto", cards=(H100,)).succeeded()

    line = next(line for line in finished.errors.splitlines() if line.startswith("Running on"))
    assert line.startswith("Running on cpu(0) (context auto chose it: ")
    assert "is the CPU one" in line or "compute capability 9.0" in line
