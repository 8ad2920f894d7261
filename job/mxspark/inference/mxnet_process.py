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
from typing import Any, ParamSpec, TypeVar

from mxspark import host
from mxspark.errors import MxsparkError, how_it_ended

P = ParamSpec("P")
R = TypeVar("R")

# glibc gives back at once what is freed of arrays; as it comes, it keeps more the larger they were (mallopt(3)).
_FREES_ARRAYS = {"MALLOC_MMAP_THRESHOLD_": "131072"}


class CrashError(Exception):
    """MXNet crashed in the process of its own that it was asked in; how that ended is its words."""


class KilledError(MxsparkError):
    """The process was killed, as the kernel does where memory runs out."""


def call(seconds: float, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """What a function of a module returns, called in a process of its own within `seconds`; what it is given and
    returns is pickled.

    Raises what it raises of MxsparkError, TimeoutError, CrashError.
    """
    return call_with({}, seconds, function, *arguments, **named)


def call_with(
    environment: Mapping[str, str], seconds: float, function: Callable[P, R], *arguments: P.args, **named: P.kwargs
) -> R:
    """`call` in a process with these environment variables too."""
    # The package may have come by --py-files: the child must find it where this process did.
    environment = {**_FREES_ARRAYS, **os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # -P: nothing is imported from the working folder.
    command = [sys.executable, "-P", "-c", "from mxspark.inference.mxnet_process import main; main()", str(os.getpid())]
    request = pickle.dumps((function, arguments, named))
    try:
        process = subprocess.run(
            command, input=request, capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    if process.returncode != 0:
        raise crash(process.returncode, process.stderr)
    found: R = read_answer(process.stdout.splitlines()[-1])  # MXNet may print before it
    return found


def main() -> None:
    """Answers `call`: the pickled request on standard input, the answer as the last line of standard output."""
    host.end_first()  # the driver is there to tell of it
    host.end_with_parent(int(sys.argv[1]))
    function, arguments, named = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that started this one
    print(answer(function, *arguments, **named).decode())


def answer(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> bytes:
    """A line for `read_answer` in the parent process: what the function returns, or the MxsparkError it raises."""
    result: R | MxsparkError
    try:
        result = function(*arguments, **named)
    except MxsparkError as error:
        result = error
    return base64.b64encode(pickle.dumps(result))


def read_answer(line: bytes) -> Any:
    """What a function returned in a process that this one started. Raises the MxsparkError that it raised."""
    result = pickle.loads(base64.b64decode(line))  # noqa: S301  # of a process started here
    if isinstance(result, MxsparkError):
        raise result
    return result


def crash(returncode: int, stderr: bytes) -> KilledError | CrashError:
    """The error of a process that ended without an answer."""
    if returncode == -signal.SIGKILL:
        return KilledError("the process that loads MXNet was killed (signal 9)", "Out of memory, perhaps: give more.")
    said = stderr.decode(errors="replace").strip().splitlines() or ["no message"]
    return CrashError(f"{how_it_ended(returncode)}: {said[-1][:300]}")
