"""The peers' virtual environments: each has its own, with locked versions, made by uv when it is first needed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.fixtures import CACHE, REPOSITORY

UV = REPOSITORY / ".venv" / "bin" / "uv"
REQUIREMENTS = REPOSITORY / "requirements"
OWN = "mxspark"  # the project's own environment, which this process runs in
_VERSIONS = """
import importlib.metadata, json
print(json.dumps({each.name.lower(): each.version for each in importlib.metadata.distributions()}))
"""


class PackageError(Exception):
    """A peer's packages could not be installed; the message is for a person."""


@dataclass(frozen=True)
class Environment:
    """An environment's interpreter, and the versions of what is in it."""

    name: str
    python: Path

    def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        """Of these packages; those that are missing are left out."""
        answer = subprocess.run([self.python, "-c", _VERSIONS], check=True, stdout=subprocess.PIPE).stdout
        found: dict[str, str] = json.loads(answer)
        return {name: found[name] for name in packages if name in found}


def environment(name: str) -> Environment:
    """The environment `name`, with what requirements/bench-`name`.txt locks. Raises PackageError."""
    if name == OWN:
        return Environment(name, Path(sys.executable))
    folder = CACHE / "environments" / name
    lock = REQUIREMENTS / f"bench-{name}.txt"
    stamp = folder / "installed"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        print(f"Installing {lock.relative_to(REPOSITORY)}, once; this takes some minutes", flush=True)
        _uv("venv", "--clear", "--python", sys.executable, str(folder), lock=lock)
        for requirements in (REQUIREMENTS / "build.txt", lock):
            options = ("--require-hashes", "--no-build-isolation", "--compile-bytecode")
            _uv("pip", "install", "--python", str(python), *options, "--requirement", str(requirements), lock=lock)
        stamp.write_text(lock.read_text())
    return Environment(name, python)


def _uv(*arguments: str, lock: Path) -> None:
    settings = {**os.environ, "DIST_EXTRA_CONFIG": str(REQUIREMENTS / "build.cfg")}
    try:
        done = subprocess.run([UV, "--quiet", *arguments], env=settings, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise PackageError(f"{UV.relative_to(REPOSITORY)} is missing: run tools/setup.sh dev") from None
    if done.returncode != 0:
        raise PackageError(
            f"{lock.relative_to(REPOSITORY)} can't be installed:\n{done.stderr.strip()}\n"
            "Check the network and the package index, or leave this system out with --systems."
        )
