"""Runs a command and measures it with all its descendants: wall clock, processor time, peak memory."""

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# Between looks at the processes. A look costs about a millisecond: the kernel keeps the peaks itself (VmHWM), so that
# it may be seldom.
SAMPLE_SECONDS = 0.25


@dataclass(frozen=True)
class Measured:
    """One run. Memory is resident memory, pages that processes share counted in each [bytes]."""

    wall: float  # seconds
    cpu: float  # seconds of all processes together, to the last look at each
    driver_peak: int
    worker_peak: int  # of the largest Python worker
    largest_peak: int  # of the largest process of all
    output: str
    first_part: float | None = None  # seconds until there was a part of the table


def measure(command: Sequence[str], environment: Mapping[str, str], table: Path | None = None) -> Measured:
    """Runs the command, which may write a table, to its end; raises RuntimeError with its output where it fails."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        driver = psutil.Process(process.pid)
        cpu: dict[int, float] = {}
        driver_peak = worker_peak = largest_peak = 0
        first_part: float | None = None
        while process.poll() is None:
            for one in _tree(driver):
                try:
                    times = one.cpu_times()
                    cpu[one.pid] = times.user + times.system
                    peak = _peak(one.pid)
                    largest_peak = max(largest_peak, peak)
                    if one.pid == driver.pid:
                        driver_peak = max(driver_peak, peak)
                    elif "mxspark.spark.worker_daemon" in one.cmdline():
                        worker_peak = max(worker_peak, peak)
                except (psutil.Error, OSError):
                    continue
            if table and first_part is None and any(table.glob("part-*")):
                first_part = time.perf_counter() - start
            time.sleep(SAMPLE_SECONDS if table is None or first_part else SAMPLE_SECONDS / 10)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Measured(
        time.perf_counter() - start, sum(cpu.values()), driver_peak, worker_peak, largest_peak, output, first_part
    )


def _peak(pid: int) -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
