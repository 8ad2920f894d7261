"""The check of a model before a run, in a process of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from mxspark.errors import UsageError
from mxspark.inference import mxnet_process
from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet import Build, Context, build
from mxspark.inference.mxnet_process import CrashError
from mxspark.inference.network import Inspection, inspect

P = ParamSpec("P")
R = TypeVar("R")

CHECK_SECONDS = 300  # limit on the check of a model: loading its graph and parameters, and some forward passes


def ask_build(seconds: float) -> Build:
    """`build`, from a process of its own. Raises MxsparkError, TimeoutError, CrashError."""
    return mxnet_process.call(seconds, build)


@dataclass(frozen=True)
class ModelCheck:
    """What a process of its own found a model to be."""

    inspection: Inspection
    context: str  # that its forward passes ran on; empty where there were none
    why: str  # where context auto took the CPU


def ask_model(bundle: Bundle, context: Context | None, seconds: float) -> ModelCheck:
    """`network.inspect` in a process of its own: the files fit each other, and a forward pass works, where there is a
    context for it.

    Raises UsageError, MxsparkError, TimeoutError, CrashError, cuda.NoDriverError where MXNet is the GPU build and can't
    be loaded for want of a driver.
    """
    return mxnet_process.call(seconds, check, bundle, context)


Ask = Callable[[Bundle, Context | None, float], ModelCheck]


def check_model(
    bundle: Bundle, context: Context | None, seconds: float = CHECK_SECONDS, ask: Ask | None = None
) -> ModelCheck:
    """`ask_model`, or another process that is asked likewise; that it takes too long or crashes is a UsageError too."""
    with _model_errors(seconds):
        return (ask or ask_model)(bundle, context, seconds)


def checked(function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """What a function that tries the model returns, called in a process of its own; raises what `check_model` does."""
    with _model_errors(CHECK_SECONDS):
        return mxnet_process.call(CHECK_SECONDS, function, *arguments, **named)


@contextmanager
def _model_errors(seconds: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        problem = f"the model could not be loaded and tried on some images within {seconds:g} s"
        raise UsageError(problem, "Check its files, and whether this machine has the memory for it.") from None
    except CrashError as error:
        raise UsageError(
            f"the model's files crash MXNet ({error})", "They are damaged or not of MXNet 1.x; fetch them again."
        ) from None


def check(bundle: Bundle, context: Context | None) -> ModelCheck:
    """In a process that may load MXNet: what `ask_model` returns."""
    inspection, chosen = inspect(bundle, context)
    return ModelCheck(inspection, str(chosen.context) if chosen else "", chosen.why if chosen else "")
