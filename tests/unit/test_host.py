"""The cores and the memory that a container is allowed, and what is told where they are too few."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mxspark import host
from mxspark.errors import MxsparkError, UsageError

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, CORES),
        ({"cpu.max": "max 100000\n"}, CORES),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000000 100000\n"}, CORES),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, CORES),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
)
def test_cores_are_those_of_the_machine_or_fewer(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    assert host.cores(written(tmp_path, files)) == cores


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"memory.max": "max\n"}, None),
        ({"memory.max": "1048576\n"}, 1048576),
        ({"memory/memory.limit_in_bytes": "1048576\n"}, 1048576),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
    ],
)
def test_memory_is_that_of_the_machine_or_less(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    whole = host.memory(tmp_path / "nothing")

    assert host.memory(written(tmp_path, files)) == (limit or whole)
    assert whole > 2**28


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_run_that_could_not_start_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    host.check()

    with monkeypatch.context() as patch:
        patch.setattr(host, "memory", lambda: 200 * 2**20)
        with pytest.raises(MxsparkError, match="only 200 MiB of memory"):
            host.check()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
        with pytest.raises(MxsparkError, match=r"has only 1\.0 MiB left"):
            host.check()
    with monkeypatch.context() as patch:
        patch.setattr(
            tempfile, "gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError("No usable temporary directory"))
        )
        with pytest.raises(UsageError, match="no folder for temporary files"):
            host.check()


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="only Linux has it")
def test_a_process_can_offer_to_be_ended_first_where_memory_runs_out() -> None:
    """Without any right: so a driver outlives its check of a model, and says what happened."""
    script = "from mxspark import host; host.end_first(); print(open('/proc/self/oom_score_adj').read())"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        == "1000"
    )


def test_a_process_whose_parent_has_ended_before_ends_at_once() -> None:
    script = "import os, sys; from mxspark import host; host.end_with_parent(int(sys.argv[1])); print('goes on')"
    for parent, ended in ((os.getpid(), (0, b"goes on\n")), (os.getpid() + 1, (1, b""))):
        told = subprocess.run([sys.executable, "-c", script, str(parent)], stdout=subprocess.PIPE, check=False)
        assert (told.returncode, told.stdout) == ended


def test_what_all_processes_of_the_machine_take(tmp_path: Path) -> None:
    information = tmp_path / "stat"
    assert host.busy_seconds(information) is None
    information.write_text("cpu  100 100 100 5000 70 0 0 100 0 0\ncpu0 1 2 3\n")
    assert host.busy_seconds(information) == 400 / os.sysconf("SC_CLK_TCK")


def test_what_the_processor_is_and_can_do(tmp_path: Path) -> None:
    information = tmp_path / "cpuinfo"
    assert host.processor(information)
    assert not host.has_vnni(information)
    information.write_text("model name\t: Xeon\nflags\t\t: fpu avx512f avx512_vnni\nflags\t\t: fpu\n")
    assert host.processor(information) == "Xeon"
    assert host.has_vnni(information)
    assert not host.has_avx512(information)
