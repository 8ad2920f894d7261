"""The NVIDIA GPUs that this process can see, as the driver tells them, and which of them MXNet's GPU build can run on.
Knows no MXNet.

To be asked only in a worker process or in one that ends soon: once CUDA is initialised in a process, the children that
it forks can't use it, and Spark forks its workers.
"""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxspark.errors import UsageError

LIBRARY = "libcuda.so.1"  # the driver's, which comes with it and never with a package or an image
WHEEL = "mxnet-cu112"
# What the wheel of MXNet 1.9.1 has machine code for, read from the fat binaries in its libmxnet.so. It has no PTX, from
# which the driver could make code for other cards. Code for X.y runs on cards X.z with z >= y, and on no other X: CUDA
# C++ Programming Guide, "Binary Compatibility".
MACHINE_CODE = ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6))
# The CUDA of the oldest driver (450) that runs programs made with any CUDA 11: CUDA Compatibility, "Minor Version
# Compatibility".
OLDEST_CUDA = (11, 0)
RELEASE = Path("/sys/module/nvidia/version")
GIVE = (
    "Give the container the driver: docker run --gpus all; on Kubernetes request nvidia.com/gpu; both need the NVIDIA "
    "Container Toolkit on the node. On a machine without containers install the driver."
)

# cuda.h: results, and attributes of devices.
_NO_DEVICE = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


class NoDriverError(UsageError):
    """The driver's library isn't there."""


class DriverError(UsageError):
    """The driver's library is there, but doesn't work. `code` is the driver's own, 0 where it didn't get so far."""

    code = 0

    @staticmethod
    def of(cause: str, code: int = 0) -> "DriverError":
        error = DriverError(
            f"the NVIDIA driver doesn't work: {cause}",
            "See what nvidia-smi says on the node; usually the driver has to be reloaded.",
        )
        error.code = code
        return error


@dataclass(frozen=True)
class Gpu:
    """One card; `index` is mx.gpu's and nvidia-smi's."""

    index: int
    name: str
    capability: tuple[int, int]  # compute capability: major, minor
    memory: int  # bytes

    def check(self) -> None:
        """Raises UsageError where the wheel has no machine code for it."""
        major, minor = self.capability
        if not any(major == of and minor >= least for of, least in MACHINE_CODE):
            *most, last = dict.fromkeys(f"{of}.x" for of, _ in MACHINE_CODE)
            raise UsageError(
                f"{self.name} (GPU {self.index}) has compute capability {major}.{minor}, and {WHEEL} runs on "
                f"{', '.join(most)} and {last} only",
                "Take another card (V100, T4, A100, A10, L4 and others: docs/gpus.md).",
            )

    def __str__(self) -> str:
        return f"{self.name}, compute capability {'.'.join(map(str, self.capability))}, {self.memory / 2**30:.1f} GiB"


@dataclass(frozen=True)
class Driver:
    """A driver that works, and the cards that it shows to this process, of which there may be none."""

    cuda: tuple[int, int]  # the newest CUDA that it runs
    release: str  # its own version, empty where that isn't known
    gpus: tuple[Gpu, ...]

    def check(self) -> None:
        """Raises UsageError where it is too old for the wheel, or shows no card."""
        if self.cuda < OLDEST_CUDA:
            oldest = ".".join(map(str, OLDEST_CUDA))
            raise UsageError(
                f"the NVIDIA {self} is too old: {WHEEL} needs one for CUDA {oldest} or newer",
                "Install driver 450.80.02 or newer.",
            )
        if not self.gpus:
            chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
            raise UsageError(
                "the NVIDIA driver shows no GPU"
                + (f", and CUDA_VISIBLE_DEVICES is {chosen!r}" if chosen is not None else ""),
                "Give the container its GPU (docker run --gpus all; on Kubernetes request nvidia.com/gpu), or run "
                "where one is.",
            )

    def __str__(self) -> str:
        release = f" {self.release}" if self.release else ""
        return f"driver{release} for CUDA {'.'.join(map(str, self.cuda))}"


def count_as_nvidia_smi() -> None:
    """Has CUDA number the cards as nvidia-smi and Spark's discovery script do; to be called before CUDA starts."""
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


def look(library: str = LIBRARY) -> Driver:
    """The driver and its cards. Raises NoDriverError, DriverError."""
    count_as_nvidia_smi()
    cuda = _Cuda(library)
    version = ctypes.c_int()
    cuda("cuDriverGetVersion", ctypes.byref(version))
    release = RELEASE.read_text().strip() if RELEASE.exists() else ""
    # 11080 is 11.8.
    return Driver((version.value // 1000, version.value % 1000 // 10), release, _gpus(cuda))


def _gpus(cuda: "_Cuda") -> tuple[Gpu, ...]:
    count = ctypes.c_int()
    try:
        cuda("cuInit", ctypes.c_uint(0))
        cuda("cuDeviceGetCount", ctypes.byref(count))
    except DriverError as error:
        if error.code == _NO_DEVICE:
            return ()
        raise
    return tuple(_gpu(cuda, index) for index in range(count.value))


def _gpu(cuda: "_Cuda", index: int) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    cuda("cuDeviceGet", ctypes.byref(device), ctypes.c_int(index))
    cuda("cuDeviceGetName", name, ctypes.c_int(len(name)), device)
    cuda("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    cuda("cuDeviceGetAttribute", ctypes.byref(major), ctypes.c_int(_CAPABILITY_MAJOR), device)
    cuda("cuDeviceGetAttribute", ctypes.byref(minor), ctypes.c_int(_CAPABILITY_MINOR), device)
    return Gpu(index, name.value.decode(errors="replace"), (major.value, minor.value), memory.value)


class _Cuda:
    """The driver's functions by their names; a result other than success becomes a DriverError."""

    def __init__(self, library: str) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            if is_missing(error, library):
                raise NoDriverError(
                    f"no NVIDIA driver on this machine or in this container: there is no {LIBRARY}", GIVE
                ) from None
            raise DriverError.of(str(error)) from None

    def __call__(self, function: str, *arguments: Any) -> None:
        try:
            code = int(self._library[function](*arguments))
        except AttributeError:
            raise DriverError.of(f"its {LIBRARY} has no {function}") from None
        if code:
            raise DriverError.of(f"{function} says {self._in_words(code)}", code)

    def _in_words(self, code: int) -> str:
        """`CUDA_ERROR_UNKNOWN (999): unknown error`, or the number alone where the driver has no words for it."""
        name, words = self._said("cuGetErrorName", code), self._said("cuGetErrorString", code)
        return (f"{name} ({code})" if name else f"error {code}") + (f": {words}" if words else "")

    def _said(self, function: str, code: int) -> str:
        text = ctypes.c_char_p()
        known = (
            hasattr(self._library, function) and self._library[function](ctypes.c_int(code), ctypes.byref(text)) == 0
        )
        return text.value.decode(errors="replace") if known and text.value else ""


def is_missing(error: OSError, library: str) -> bool:
    """Whether a library couldn't be loaded because it isn't there itself, rather than one that it needs."""
    return str(error).startswith(f"{library}: cannot open shared object file")
