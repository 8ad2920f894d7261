"""A function called in a process of its own: the driver never imports MXNet, and files that crash it are an error like
another.
"""

import base64
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from mxspark import host
from mxspark.errors import MxsparkError, how_it_ended

P = ParamSpec("P")
R = TypeVar("R")


class CrashError(Exception):
    """MXNet crashed in the process of its own that it was asked in; how that ended is its words."""


def call(
    seconds: float,
    function: Callable[P, R],
    *arguments: P.args,
    **named: P.kwargs,
) -> R:
    """What a function of a module returns, called in a process of its own within `seconds`; what it is given and
    returns is pickled.

    Raises what it raises of MxsparkError, TimeoutError, CrashError.
    """
    return call_with({}, seconds, function, *arguments, **named)


def call_with(
    environment: Mapping[str, str],
    seconds: float,
    function: Callable[P, R],
    *arguments: P.args,
    **named: P.kwargs,
) -> R:
    """`call` in a process with these environment variables too."""
    # The package may have come by --py-files: the child must find it where this process did.
    environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # -P: nothing is imported from the working folder.
    command = [sys.executable, "-P", "-c", "from mxspark.inference.mxnet_process import main; main()"]
    request = pickle.dumps((function, arguments, named))
    try:
        process = subprocess.run(
            command, input=request, capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if process.returncode == -signal.SIGKILL:
        raise MxsparkError("the process that loads MXNet was killed (signal 9)", "Out of memory, perhaps: give more.")
    if process.returncode != 0:
        said = process.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CrashError(f"{how_it_ended(process.returncode)}: {said[-1][:300]}")
    # MXNet may print before it.
    answer = pickle.loads(base64.b64decode(process.stdout.splitlines()[-1]))  # noqa: S301  # of a process started here
    if isinstance(answer, MxsparkError):
        raise answer
    found: R = answer
    return found


def main() -> None:
    """Answers `call`: the pickled request on standard input, the pickled answer as the last line of standard output."""
    host.end_first()  # the driver is there to tell of it
    function, arguments, named = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that started this one
    try:
        answer = function(*arguments, **named)
    except MxsparkError as error:
        answer = error
    print(base64.b64encode(pickle.dumps(answer)).decode())
