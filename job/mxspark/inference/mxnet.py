"""MXNet itself: loading it, and what it runs on, mx.cpu() or mx.gpu(i).

Loaded only inside functions: MXNet that is imported before a fork silently loses its OpenMP threads and CUDA in the
child, and Spark forks its Python workers.
"""

import ctypes
import importlib.metadata
import os
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mxspark import host
from mxspark.errors import UsageError, one_line
from mxspark.inference import cuda
from mxspark.inference.operators import import_mxnet

Context = Literal["cpu", "gpu", "auto"]

# How the names of CUDA's libraries begin that the GPU build is linked to; they come from packages of their own.
_CUDA_LIBRARIES = re.compile(r"lib(cublas|cudart|cudnn|cufft|curand|cusolver|cusparse|nccl|nvToolsExt|nvrtc)")
# arch_prctl of x86-64, and what it is asked for: the data of AMX's tiles (Linux: asm/prctl.h, asm/fpu/types.h).
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18


@dataclass(frozen=True)
class Build:
    """Which MXNet is installed."""

    version: str
    cuda: bool  # whether it is a GPU build
    is_wheel: bool  # whether it is the one whose machine code cuda.py knows
    gpus: int  # that it finds
    trouble: str = ""  # why it can't find any


@dataclass(frozen=True)
class Choice:
    """What a network runs on, and where context auto takes the CPU, why."""

    context: Any  # mx.cpu() or mx.gpu(i)
    why: str = ""

    def __str__(self) -> str:
        return f"{self.context}{f': {self.why}' if self.why else ''}"


def load_mxnet() -> Any:
    """The module mxnet. Raises UsageError where it can't be imported, cuda.NoDriverError for want of a driver."""
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # else every bind prints a line
    _allow_amx()
    cuda.count_as_nvidia_smi()
    if np.__version__.partition(".")[0] != "1":
        raise UsageError(
            f"numpy {np.__version__} is installed, and MXNet 1.9.1 works with numpy 1 only",
            "pip install 'numpy<2' 'pandas<3'.",
        )
    # MXNet 1.9.1 uses np.bool, which numpy 1.24 dropped.
    if "bool" not in vars(np):
        np.bool = bool  # type: ignore[attr-defined]
    try:
        return import_mxnet()
    except (ImportError, OSError) as error:
        raise _not_loaded(error) from None


def _allow_amx() -> None:
    """Has MXNet's oneDNN use the matrix units of newer Intel processors (AMX) for bf16 and int8; fp32 has no use for
    them.

    It doesn't by itself, and Linux gives a process their registers on request only (Documentation/arch/x86/xstate.rst).
    Children that are forked have them too.
    """
    if "amx_tile" in host.processor_flags() and "DNNL_MAX_CPU_ISA" not in os.environ:
        libc = ctypes.CDLL(None)
        if libc.syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0:
            os.environ["DNNL_MAX_CPU_ISA"] = "AVX512_CORE_AMX"


def _not_loaded(error: ImportError | OSError) -> UsageError:
    if isinstance(error, ModuleNotFoundError):
        hint = "Install mxspark with its `cpu` extra, or run it in the image."
    elif isinstance(error, OSError) and cuda.is_missing(error, cuda.LIBRARY):
        return cuda.NoDriverError(
            f"MXNet can't be loaded: its GPU build ({cuda.WHEEL}) needs the NVIDIA driver's {cuda.LIBRARY}, on CPUs "
            "too, and there is no NVIDIA driver on this machine or in this container",
            f"{cuda.GIVE} Where there is no GPU, use the CPU image, or install mxnet instead of {cuda.WHEEL}.",
        )
    elif _CUDA_LIBRARIES.match(str(error)):
        hint = (
            "It is one of CUDA's libraries, which the packages nvidia-…-cu11 bring: name their folders (nvidia/*/lib "
            "in site-packages) in LD_LIBRARY_PATH, as the GPU image does. Where there is no GPU, install mxnet instead."
        )
    else:
        hint = "Install the system libraries it needs (Debian: apt-get install libgomp1 libquadmath0)."
    return UsageError(f"MXNet can't be loaded: {one_line(error)}", hint)


def choose(context: Context, device: int = 0) -> Choice:
    """mx.cpu() or mx.gpu(device): `auto` takes a GPU that can be used, `gpu` raises UsageError without one."""
    mx = load_mxnet()
    if context == "cpu":
        return Choice(mx.cpu())
    try:
        gpus = _usable_gpus(mx, device)
    except UsageError as error:
        if context == "gpu":
            raise UsageError(f"context gpu: {error.problem}", f"{error.hint} Or use --context cpu.") from None
        return Choice(mx.cpu(), error.problem)
    if device >= gpus:
        raise UsageError(
            f"context {context}: there is no GPU {device}, only {gpus}",
            "Give the executors as many GPUs as they have tasks.",
        )
    return Choice(mx.gpu(device))


def _usable_gpus(mx: Any, device: int) -> int:
    """How many GPUs there are. Raises UsageError where there is none, or MXNet can't run on that one."""
    if not _is_cuda(mx):
        raise UsageError(
            f"the package mxnet that is installed is the CPU one, which can't use GPU {device}",
            f"Install {cuda.WHEEL} instead of mxnet (the GPU image has it).",
        )
    driver = cuda.look()
    driver.check()
    if _is_wheel():  # what others are built for isn't known
        for card in driver.gpus[device : device + 1]:
            card.check()
    count = _count_gpus(mx)
    if count == 0:
        raise UsageError(
            f"MXNet finds no GPU, though the NVIDIA {driver} shows {len(driver.gpus)}",
            "`mxspark doctor --gpu` shows the details.",
        )
    return count


def check_bfloat16() -> None:
    """Raises UsageError where MXNet can't compute in bfloat16 on this machine's processor."""
    if not host.has_avx512():
        raise UsageError(
            "MXNet computes in bf16 on processors with AVX-512 only, which this machine's has not",
            "Use precision fp32 or int8.",
        )


def check_vnni() -> None:
    """Raises UsageError where this machine's processor is known and has no VNNI, for models that were made with it."""
    if host.processor_flags() and not host.has_vnni():
        raise UsageError(
            "the model was made for 8 bits on a processor with VNNI, which this machine's has not: its sums may "
            "overflow here",
            "Make it on a machine like this one, as a run's driver does or `mxspark model optimize`; or use precision "
            "fp32.",
        )


def build() -> Build:
    """Which MXNet is installed. Raises UsageError where it can't be loaded."""
    mx = load_mxnet()
    gpus, trouble = 0, ""
    try:
        gpus = _count_gpus(mx)
    except UsageError as error:
        trouble = error.problem
    return Build(mx.__version__, _is_cuda(mx), _is_wheel(), gpus, trouble)


def _is_cuda(mx: Any) -> bool:
    return bool(mx.runtime.Features().is_enabled("CUDA"))


def _is_wheel() -> bool:
    try:
        return importlib.metadata.version(cuda.WHEEL).startswith("1.9.1")
    except importlib.metadata.PackageNotFoundError:
        return False


def _count_gpus(mx: Any) -> int:
    try:
        return int(mx.context.num_gpus())
    except mx.MXNetError as error:
        raise UsageError(
            f"MXNet can't count the GPUs: {said(error)}", "See what nvidia-smi says on the node."
        ) from None


def words(error: BaseException) -> str:
    """All that MXNet says, without the blanks by which it parts C++'s `::` (std: :bad_alloc)."""
    return str(error).replace(": :", "::")


def said(error: BaseException) -> str:
    """MXNet's own words without its stack trace, the place in its code and the condition that it checked: the line that
    is marked as its error, or the last one."""
    noise = ("[bt]", "Stack trace", "Traceback", 'File "')
    lines = [line.strip() for line in words(error).splitlines() if line.strip() and not line.lstrip().startswith(noise)]
    text = next(
        (line for line in lines if line.startswith("MXNetError: ")), lines[-1] if lines else type(error).__name__
    )
    text = text.removeprefix("MXNetError: ")
    operator = re.match(r"Error in operator ([^\s:]+): ", text)
    text = text.rpartition("Check failed: ")[2]
    text = re.sub(r"^(Error in operator [^\s:]+: )?\[[\d:]+\] \S+:\d+: ", "", text)
    text = text.replace("currentlyonly", "currently only")  # as it has it
    return f"{f'operator {operator[1]}: ' if operator and operator[1] not in text else ''}{text}"[-300:]
