#!/usr/bin/env python3
"""runc for a machine without CAP_SYS_RESOURCE, which `docker run --privileged` asks for: takes what it can't grant
out of the request.
"""

import json
import os
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

LACKING = "CAP_SYS_RESOURCE"


def request(arguments: list[str]) -> Path | None:
    """The file that says what to start, where the command starts something."""

    def value(*options: str) -> str | None:
        return next((after for option, after in pairwise(arguments) if option in options), None)

    if "exec" in arguments:
        process = value("--process", "-p")
        return Path(process) if process else None
    if {"create", "run"} & set(arguments):
        return Path(value("--bundle", "-b") or ".", "config.json")
    return None


def without_lacking(asked: dict[str, Any]) -> dict[str, Any]:
    """The same request, as this machine can grant it."""
    process = asked.get("process", asked)  # the file of `exec` is the process alone
    capabilities = process.get("capabilities") or {}
    process["capabilities"] = {
        kind: [name for name in names if name != LACKING] for kind, names in capabilities.items()
    }
    process["oomScoreAdj"] = max(process.get("oomScoreAdj") or 0, 0)  # a lower one needs the capability too
    return asked


def main() -> None:
    file = request(sys.argv[1:])
    if file is not None:
        file.write_text(json.dumps(without_lacking(json.loads(file.read_text()))))
    runc = shutil.which("runc") or shutil.which("runc", path="/usr/sbin:/sbin")
    if runc is None:
        sys.exit("runc-without-sys-resource: there is no program runc")
    os.execv(runc, ["runc", *sys.argv[1:]])  # noqa: S606  # the arguments are Docker's own


if __name__ == "__main__":
    main()
