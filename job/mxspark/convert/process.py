"""The conversion in a process of its own: the command line imports neither MXNet nor ONNX, and a file that crashes one
of them is an error like another.
"""

from importlib.util import find_spec

from mxspark import host
from mxspark.convert.request import Request, Result
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import mxnet_process
from mxspark.inference.mxnet_process import CrashError

SECONDS = 1800  # limit on a conversion; a network of 100 MB takes half a minute
PACKAGES = ("onnx", "onnxruntime")


def convert(request: Request) -> Result:
    """Converts and compares. Raises UsageError where that isn't possible, MxsparkError where memory ran out."""
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise UsageError(
            f"the package {missing[0]} is not installed, which converts ONNX files",
            "In mxspark's repository: pip install '.[cpu,onnx]'.",
        )
    try:
        return mxnet_process.call(SECONDS, _convert, request)
    except TimeoutError:
        raise UsageError(f"{request.path}: could not be converted within {SECONDS} s", "Is the machine busy?") from None
    except CrashError as error:
        raise UsageError(
            f"{request.path}: its conversion crashed ({error})",
            "The file may be damaged: check it with onnx.checker, or export it again.",
        ) from None


def _convert(request: Request) -> Result:
    from mxspark.convert import converter  # which imports ONNX and MXNet

    try:
        return converter.run(request)
    except MemoryError:
        raise MxsparkError(
            f"{request.path}: its conversion needs more memory than there is ({host.memory() / 2**30:.1f} GiB)",
            "Convert it on a machine with more.",
        ) from None
