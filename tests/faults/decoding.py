"""The corpus through load_array, each file in a process of its own under limits on memory and time.

    python -m tests.faults.decoding      prints what became of each, a JSON object a line

A process that is killed or hangs is an outcome like another.
"""

import hashlib
import json
import os
import resource
import signal
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from tests.faults.corpus import corpus
from tests.faults.specimens import MAX_PIXELS, Specimen

from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.settings.job import FORMATS
from mxspark.settings.model_spec import ModelInput, Preprocessing

MEMORY = 3 * 2**29  # bytes of addresses, over those that the program has already
SECONDS = 10  # processor's, and by the clock twice that

LIMITS = ImageLimits(max_pixels=MAX_PIXELS, max_frames=10_000, formats=FORMATS)
INPUT = ModelInput(height=32, width=32)
WAYS = (
    Preprocessing(exif_orientation=True, filter="bilinear"),
    Preprocessing(resize="shorter_and_crop", shorter_side=40, filter="lanczos"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a file: `status` ok, a bad image's, or `crashed`, with the problem in words."""

    name: str
    sha256: str  # of its bytes
    status: str
    problem: str
    memory: int  # how far the process grew [bytes]
    seconds: float  # of the processor


def decoded(data: bytes) -> tuple[str, str]:
    """The status and the problem of an image, which both ways of preprocessing must agree on."""
    found = {_decoded(data, way) for way in WAYS}
    return found.pop() if len(found) == 1 else ("crashed", f"depends on the preprocessing: {sorted(found)}")


def _decoded(data: bytes, way: Preprocessing) -> tuple[str, str]:
    try:
        array = load_array(data, LIMITS, INPUT, way)
    except BadImageError as error:
        return error.status, error.problem
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what the test is looking for
        return "crashed", f"{type(error).__name__}: {error}"
    right = array.shape == (3, 32, 32) and array.dtype == np.float32 and bool(np.isfinite(array).all())
    return (
        ("ok", "")
        if right
        else ("crashed", f"an array of shape {array.shape} and type {array.dtype}, or with infinite numbers")
    )


def alone(
    specimen: Specimen, function: Callable[[bytes], tuple[str, str]] = decoded, seconds: int = SECONDS
) -> Outcome:
    """The outcome of `function` of a file's bytes, in a process of its own."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            _limit(seconds)
            before = _pages(of=1)
            status, problem = function(specimen.data)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
            os.write(writer, json.dumps([status, problem, max(0, grown)]).encode())
        finally:
            os._exit(1)  # whatever happened, this copy of the program ends here
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    _, ended, used = os.wait4(process, 0)
    status, problem, grown = json.loads(answer) if answer else ("crashed", _how(ended), used.ru_maxrss * 1024)
    return Outcome(
        specimen.name, hashlib.sha256(specimen.data).hexdigest(), status, problem, grown, used.ru_utime + used.ru_stime
    )


def _limit(seconds: int) -> None:
    limit = _pages(of=0) + MEMORY  # a process of tests has threads, and thereby addresses, of its own
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # at the hard limit it would be SIGKILL, which says nothing
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(10 * seconds)  # for a process that waits rather than computes, on a machine that is busy with others


def _pages(of: int) -> int:
    """Bytes that this process has now: of addresses (0), or of memory (1)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[of]) * resource.getpagesize()


def _how(ended: int) -> str:
    code = os.waitstatus_to_exitcode(ended)
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def main() -> None:
    warnings.simplefilter("ignore")
    for specimen in corpus():
        print(json.dumps(asdict(alone(specimen))), flush=True)


if __name__ == "__main__":
    main()
