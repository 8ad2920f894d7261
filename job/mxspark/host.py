"""What this process may use: cores and memory of the machine, or what a container is allowed of them, and a temporary
folder; and the machine's name."""

import ctypes
import importlib.metadata
import math
import os
import platform
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mxspark.errors import MxsparkError, UsageError

CGROUPS = Path("/sys/fs/cgroup")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Below these nothing runs, and what fails first could not say why: 300 MiB is the least with which Java and MXNet were
# seen to start.
LEAST_MEMORY = 256 * 2**20
LEAST_ROOM = 32 * 2**20  # of the temporary folder: pyspark waits forever for a file that Java can't write there


def check() -> None:
    """Raises MxsparkError where a run could not even start here."""
    if memory() < LEAST_MEMORY:
        raise MxsparkError(
            f"there are only {memory() / 2**20:.0f} MiB of memory here",
            "Give more: 1 GiB, and 0.6 GiB for each worker (docker run --memory).",
        )
    folder = temporary_folder()
    free = shutil.disk_usage(folder).free
    if free < LEAST_ROOM:
        raise MxsparkError(
            f"the temporary folder {folder} has only {free / 2**20:.1f} MiB left, and Spark needs {LEAST_ROOM >> 20}",
            "Make room there, or name another folder: TMPDIR. In a container give more: --tmpfs /tmp:size=1g.",
        )


def is_pod(environ: Mapping[str, str]) -> bool:
    """Whether this process runs in Kubernetes, by what every pod is given, or by what our drivers are."""
    return "KUBERNETES_SERVICE_HOST" in environ or "POD_NAME" in environ


def temporary_folder() -> Path:
    """Raises UsageError where there is none that can be written."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise UsageError(
            "no folder for temporary files can be written", "Name one: TMPDIR; in a container: --tmpfs /tmp."
        ) from None


def end_first() -> None:
    """Where memory runs out, the kernel ends this process before any other here."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def end_with_parent(parent: int | None = None) -> None:
    """The kernel kills this process when the thread that started it ends, as where its process is killed (Linux).

    `parent` is that process: where it has ended before, this one ends at once.
    """
    with suppress(AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def name() -> str:
    """The host, or in a pod of ours the node and the pod."""
    node, host = os.environ.get("NODE_NAME"), socket.gethostname()
    return f"node {node} (pod {host})" if node else f"host {host}"


def cores(cgroups: Path = CGROUPS) -> int:
    """As many as Java counts, and so Spark's local[*]: a share of a core counts as one."""
    # macOS has no affinity
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Of version 2 of control groups, or of version 1; `max` or -1 is no limit.
    old = cgroups / "cpu"
    share = _words(cgroups / "cpu.max") or _words(old / "cpu.cfs_quota_us") + _words(old / "cpu.cfs_period_us")
    if len(share) == 2 and share[0].isdigit():
        return min(here, math.ceil(int(share[0]) / int(share[1])))
    return here


def memory(cgroups: Path = CGROUPS) -> int:
    """In bytes."""
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = _words(cgroups / "memory.max") or _words(cgroups / "memory" / "memory.limit_in_bytes")
    return min([here, *(int(limit) for limit in limits if limit.isdigit())])


def has_avx512(information: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processor has what MXNet's oneDNN calls avx512_core."""
    return {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= processor_flags(information)


def has_vnni(information: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processor adds products of 8 bits in 32 (VNNI), by which int8 can't overflow."""
    return bool({"avx512_vnni", "avx_vnni"} & processor_flags(information))


def processor_flags(information: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What this machine's processor can do, by Linux's names; nothing where that isn't known."""
    return set(_processor("flags", information).split())


def processor(information: Path = Path("/proc/cpuinfo")) -> str:
    """The name of this machine's processor."""
    return _processor("model name", information) or platform.machine()


def busy_seconds(information: Path = Path("/proc/stat")) -> float | None:
    """Processor time that all processes have taken since the machine started; None where that isn't known."""
    try:
        _, user, nice, system, _, _, interrupts, soft, stolen, *_ = information.read_text().partition("\n")[0].split()
    except (OSError, ValueError):
        return None
    return sum(map(int, (user, nice, system, interrupts, soft, stolen))) / os.sysconf("SC_CLK_TCK")


def _processor(line: str, information: Path) -> str:
    """What Linux says of the first core; empty where that isn't known."""
    try:
        lines = information.read_text().splitlines()
    except OSError:
        return ""
    return next((text for text in lines if text.startswith(line)), "").partition(":")[2].strip()


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def versions(*packages: str) -> dict[str, str]:
    """Of these packages, as far as they are installed; without importing them."""
    found = {}
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
