"""MXNet asked in a process of its own: the driver never imports it, and a params file that crashes it is an error
like another.
"""

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mxspark import host
from mxspark.errors import MxsparkError, UsageError, how_it_ended
from mxspark.inference import cuda
from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet import Build, Context, build
from mxspark.inference.network import Inspection, inspect

CHECK_SECONDS = 300  # limit on the check of a model: loading its graph and parameters, and some forward passes


class CrashError(Exception):
    """MXNet crashed in the process of its own that it was asked in; how that ended is its words."""


def ask_build(seconds: float) -> Build:
    """`build`, from a process of its own. Raises MxsparkError, TimeoutError, CrashError."""
    return Build(**ask(__name__, None, seconds))


@dataclass(frozen=True)
class ModelCheck:
    """What a process of its own found a model to be."""

    inspection: Inspection
    context: str  # that its forward passes ran on; empty where there were none
    why: str  # where context auto took the CPU


def ask_model(bundle: Bundle, context: Context | None, seconds: float) -> ModelCheck:
    """`network.inspect` in a process of its own: the files fit each other, and a forward pass works, where there is a
    context for it.

    Raises UsageError, MxsparkError, TimeoutError, CrashError, gpu.NoDriverError where MXNet is the GPU build and can't
    be loaded for want of a driver.
    """
    answer: ModelCheck = pickle.loads(base64.b64decode(ask(__name__, (bundle, context), seconds)["check"]))  # noqa: S301  # of a process started here
    return answer


def check_model(bundle: Bundle, context: Context | None, seconds: float = CHECK_SECONDS) -> ModelCheck:
    """`ask_model`; that it takes too long or crashes is a UsageError too."""
    try:
        return ask_model(bundle, context, seconds)
    except TimeoutError:
        problem = f"the model could not be loaded and tried on some images within {seconds:g} s"
        raise UsageError(problem, "Check its files, and whether this machine has the memory for it.") from None
    except CrashError as error:
        raise UsageError(
            f"the model's files crash MXNet ({error})", "They are damaged or not of MXNet 1.x; fetch them again."
        ) from None


def ask(module: str, request: object, seconds: float) -> dict[str, Any]:
    """What the `main` of a module answers to a request, in a process of its own.

    Raises UsageError where it raised an error of ours, MxsparkError, TimeoutError, CrashError.
    """
    # The package may have come by --py-files: the child must find it where this process did.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # -P: nothing is imported from the working folder.
    command = [sys.executable, "-P", "-c", f"from {module} import main; main()"]
    try:
        process = subprocess.run(
            command, input=pickle.dumps(request), capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if process.returncode == -signal.SIGKILL:
        raise MxsparkError("the process that loads MXNet was killed (signal 9)", "Out of memory, perhaps: give more.")
    if process.returncode != 0:
        said = process.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CrashError(f"{how_it_ended(process.returncode)}: {said[-1][:300]}")
    answer: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if "problem" in answer:
        raise (cuda.NoDriverError if answer["no_driver"] else UsageError)(answer["problem"], answer["hint"])
    return answer


def answer(reply: Callable[[Any], dict[str, Any]]) -> None:
    """Answers `ask`: the pickled request on standard input, JSON on standard output."""
    host.end_first()  # the driver is there to tell of it
    request = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that started this one
    try:
        print(json.dumps(reply(request)))
    except MxsparkError as error:
        print(
            json.dumps(
                {"problem": error.problem, "hint": error.hint, "no_driver": isinstance(error, cuda.NoDriverError)}
            )
        )


def main() -> None:
    """Answers `ask_build` and `ask_model`."""
    answer(lambda request: _answer(*request) if request else asdict(build()))


def _answer(bundle: Bundle, context: Context | None) -> dict[str, Any]:
    inspection, chosen = inspect(bundle, context)
    check = ModelCheck(inspection, str(chosen.context) if chosen else "", chosen.why if chosen else "")
    return {"check": base64.b64encode(pickle.dumps(check)).decode()}
