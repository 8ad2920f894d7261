"""A machine that only submits jobs: neither Spark nor MXNet is installed there."""

import subprocess
import sys
from pathlib import Path

import pytest

JOB = ["--input", "s3://images/photos", "--output", "s3://tables/photos", "--model", "s3://models/net"]
WITHOUT = """
import sys
for package in ("pyspark", "mxnet"):
    sys.modules[package] = None  # as if it were not installed
from mxspark import cli
cli.main(sys.argv[1:])
"""


def mxspark(*arguments: str, home: Path) -> "subprocess.CompletedProcess[str]":
    environment = {"XDG_CACHE_HOME": str(home), "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["submit", "kubernetes", "--dry-run", "--namespace", "vision", "--image", "mxspark", *JOB],
        [
            *(
                "submit",
                "emr",
                "--dry-run",
                "--virtual-cluster",
                "0b0qvauoy3ch1nqodkk4hkw2t",
                "--image",
                "mxspark:emr",
                *JOB,
            ),
            *("--execution-role", "arn:aws:iam::123456789012:role/mxspark", "--region", "us-east-1"),
        ],
        ["settings", *JOB],
    ],
)
def test_jobs_are_submitted_without_spark_and_mxnet(command: list[str], tmp_path: Path) -> None:
    done = mxspark(*command, home=tmp_path)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert done.stdout


def test_a_run_there_says_what_is_lacking(tmp_path: Path) -> None:
    done = mxspark("run", *JOB, home=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: the package pyspark is not installed, which a run on this machine needs\n")
    assert "mxspark submit" in done.stderr


def test_the_doctor_says_so_too(tmp_path: Path) -> None:
    done = mxspark("doctor", home=tmp_path)
    assert done.returncode == 1
    assert "the package pyspark is not installed" in done.stdout
