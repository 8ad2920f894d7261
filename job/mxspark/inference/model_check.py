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
    return Build(**_read(_ask(None, seconds)))


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
    return found(_ask((bundle, context), seconds))


def found(answer: bytes) -> ModelCheck:
    """What a model was found to be, by `answer_to` in a process that this one started. Raises what is wrong with it."""
    check: ModelCheck = pickle.loads(base64.b64decode(_read(answer)["check"]))  # noqa: S301
    return check


Ask = Callable[[Bundle, Context | None, float], ModelCheck]


def check_model(
    bundle: Bundle, context: Context | None, seconds: float = CHECK_SECONDS, ask: Ask | None = None
) -> ModelCheck:
    """`ask_model`, or another process that is asked likewise; that it takes too long or crashes is a UsageError too."""
    try:
        return (ask or ask_model)(bundle, context, seconds)
    except TimeoutError:
        problem = f"the model could not be loaded and tried on some images within {seconds:g} s"
        raise UsageError(problem, "Check its files, and whether this machine has the memory for it.") from None
    except CrashError as error:
        raise UsageError(
            f"the model's files crash MXNet ({error})", "They are damaged or not of MXNet 1.x; fetch them again."
        ) from None


def _ask(request: tuple[Bundle, Context | None] | None, seconds: float) -> bytes:
    # The package may have come by --py-files: the child must find it where this process did.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # -P: nothing is imported from the working folder.
    command = [sys.executable, "-P", "-c", "from mxspark.inference.model_check import main; main()"]
    try:
        process = subprocess.run(
            command, input=pickle.dumps(request), capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if process.returncode != 0:
        raise crash(process.returncode, process.stderr)
    return process.stdout.splitlines()[-1]


def _read(answer: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(answer)
    if "problem" in content:
        raise (cuda.NoDriverError if content["no_driver"] else UsageError)(content["problem"], content["hint"])
    return content


def crash(returncode: int, stderr: bytes) -> Exception:
    """The error of a process that ended without an answer."""
    if returncode == -signal.SIGKILL:
        return MxsparkError("the process that loads MXNet was killed (signal 9)", "Out of memory, perhaps: give more.")
    said = stderr.decode(errors="replace").strip().splitlines() or ["no message"]
    return CrashError(f"{how_it_ended(returncode)}: {said[-1][:300]}")


def main() -> None:
    """Answers `_ask`: the pickled request on standard input, JSON on standard output."""
    host.end_first()  # the driver is there to tell of it
    request = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that started this one
    print(answer_to(request))


def answer_to(request: tuple[Bundle, Context | None] | None) -> str:
    """JSON: what a model was found to be, or without one, MXNet; or what is wrong with it."""
    try:
        return json.dumps(_answer(*request) if request else asdict(build()))
    except MxsparkError as error:
        no_driver = isinstance(error, cuda.NoDriverError)
        return json.dumps({"problem": error.problem, "hint": error.hint, "no_driver": no_driver})


def _answer(bundle: Bundle, context: Context | None) -> dict[str, Any]:
    inspection, chosen = inspect(bundle, context)
    check = ModelCheck(inspection, str(chosen.context) if chosen else "", chosen.why if chosen else "")
    return {"check": base64.b64encode(pickle.dumps(check)).decode()}
