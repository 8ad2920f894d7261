"""The last step of both examples: a model's files become a bundle, by the same command that people use."""

import subprocess
import sys
from pathlib import Path

from examples.archives import REPOSITORY


class PackError(Exception):
    """`mxspark model pack` failed; it has said why."""


def pack(prefix: Path, labels: Path, spec: Path, bundle: Path) -> None:
    """Write `bundle` from MXNet's `prefix-symbol.json` and `prefix-0000.params`. Raises PackError."""
    command = [sys.executable, "-m", "mxspark", "model", "pack"]
    command += ["--symbol", f"{prefix}-symbol.json", "--params", f"{prefix}-0000.params"]
    command += ["--labels", str(labels), "--spec", str(spec), "--output", str(bundle), "--yes"]
    if subprocess.run(command, cwd=REPOSITORY, check=False).returncode:
        raise PackError(f"mxspark model pack could not write {bundle.relative_to(REPOSITORY)}")
