"""MXNet asked in a process of its own: the driver never imports it, and a params file that crashes it is an error like another."""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from mxspark import gpu
from mxspark.bundle import Bundle
from mxspark.context import Build, Context, build, choose
from mxspark.errors import MxsparkError, UsageError, how_it_ended
from mxspark.network import inspect


class CrashError(Exception):
    """MXNet crashed in the process of its own that it was asked in; how that ended is its words."""


def ask_build(seconds: float) -> Build:
    """`build`, told by a process of its own. Raises MxsparkError, TimeoutError, CrashError."""
    return Build(**_ask(None, seconds))


def ask_context(bundle: Bundle, context: Context, seconds: float) -> tuple[str, str]:
    """Has a process of its own check that the bundle's files fit each other.

    Returns the name of the context that the network would run on here, and where auto takes the CPU, why. Raises MxsparkError,
    TimeoutError, CrashError, gpu.NoDriverError where MXNet is the GPU build and can't be loaded for want of a driver.
    """
    answer = _ask((bundle, context), seconds)
    return answer["context"], answer["why"]


def _ask(request: tuple[Bundle, Context] | None, seconds: float) -> dict[str, Any]:
    # The package may have come by --py-files: the child must find it where this process did.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "mxspark.child"]
    try:
        process = subprocess.run(command, input=pickle.dumps(request), capture_output=True, timeout=seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if process.returncode == -signal.SIGKILL:
        raise MxsparkError("the process that loads MXNet was killed (signal 9)", "Out of memory, perhaps: give more.")
    if process.returncode != 0:
        said = process.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CrashError(f"{how_it_ended(process.returncode)}: {said[-1][:300]}")
    answer: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if "problem" in answer:
        raise (gpu.NoDriverError if answer["no_driver"] else UsageError)(answer["problem"], answer["mend"])
    return answer


def _main() -> None:
    """Answers `_ask`: the pickled request on standard input, JSON on standard output."""
    request = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that started this one
    try:
        print(json.dumps(_answer(*request) if request else asdict(build())))
    except MxsparkError as error:
        print(json.dumps({"problem": error.problem, "mend": error.mend, "no_driver": isinstance(error, gpu.NoDriverError)}))


def _answer(bundle: Bundle, context: Context) -> dict[str, Any]:
    inspect(bundle)
    chosen = choose(context)
    return {"context": str(chosen.context), "why": chosen.why}


if __name__ == "__main__":
    _main()
