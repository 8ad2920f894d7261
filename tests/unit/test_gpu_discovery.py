"""The script by which Spark finds the GPUs of a node."""

import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "image" / "gpu-discovery.sh"


def discover(programs: Path, nvidia_smi: str | None) -> "subprocess.CompletedProcess[str]":
    """The script, where nvidia-smi is this shell script, or isn't there."""
    if nvidia_smi is not None:
        (programs / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi}\n")
        (programs / "nvidia-smi").chmod(0o755)
    return subprocess.run(["/bin/sh", SCRIPT], env={"PATH": str(programs)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("indexes", [["0"], ["0", "1", "2", "3"], [str(index) for index in range(16)]])
def test_spark_is_told_the_cards_by_their_numbers(tmp_path: Path, indexes: list[str]) -> None:
    lines = "\\n".join(indexes)

    found = discover(tmp_path, f"""[ "$*" = "--query-gpu=index --format=csv,noheader" ] && printf '{lines}\\n'""")

    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout) == {"name": "gpu", "addresses": indexes}


@pytest.mark.parametrize(
    ("nvidia_smi", "words"),
    [
        (None, "nvidia-smi is not there"),
        ("echo No devices were found", "No devices were found"),
        ("echo Failed to initialize NVML: Driver/library version mismatch; exit 18", "Driver/library version mismatch"),
        ("exit 0", "lists no GPU"),
    ],
)
def test_where_there_is_none_it_fails_with_why(tmp_path: Path, nvidia_smi: str | None, words: str) -> None:
    found = discover(tmp_path, nvidia_smi)

    assert (found.returncode, found.stdout) == (1, "")
    assert words in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_it_can_be_run() -> None:
    assert SCRIPT.stat().st_mode & 0o555 == 0o555
