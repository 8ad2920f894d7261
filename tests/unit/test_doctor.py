"""What the doctor says of machines that have what a run needs, and of those that lack something."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mxspark import doctor, host
from mxspark.doctor import Finding
from mxspark.errors import UsageError
from mxspark.inference import cuda, model_check, mxnet
from mxspark.inference.mxnet_process import CrashError
from mxspark.spark import application, java

CPU_BUILD = mxnet.Build("1.9.1", cuda=False, is_wheel=False, gpus=0)
A10 = cuda.Gpu(0, "NVIDIA A10", (8, 6), 22 * 2**30)
H100 = cuda.Gpu(1, "NVIDIA H100", (9, 0), 80 * 2**30)


@dataclass
class Machine:
    """A machine, and how the test would have it."""

    cache: Path
    programs: Path
    build: mxnet.Build | Exception = CPU_BUILD
    java: tuple[Path, int] | UsageError = (Path("/usr/lib/jvm"), 17)
    spark: tuple[str, str] = ("4.3.0", "4.3.0")
    cores: int = 4
    memory: int = 16 * 2**30
    driver: cuda.Driver | UsageError = field(default_factory=lambda: cuda.NoDriverError("no NVIDIA driver", cuda.GIVE))

    def has(self, *cards: cuda.Gpu, is_wheel: bool = True) -> None:
        """It has these cards, with all that belongs to them."""
        self.driver = cuda.Driver((12, 4), "550.54.15", cards)
        self.build = mxnet.Build("1.9.1", cuda=True, is_wheel=is_wheel, gpus=len(cards))
        self.nvidia_smi("".join(f"{card.index}\\n" for card in cards))

    def nvidia_smi(self, says: str, code: int = 0) -> None:
        program = self.programs / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '{says}'\nexit {code}\n")
        program.chmod(0o755)

    def examine(self, gpus: bool = False) -> dict[str, Finding]:
        return {finding.subject: finding for finding in doctor.examine(self.cache, gpus)}


def told(value: object) -> object:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine for runs on CPUs, which lacks nothing for these."""
    it = Machine(tmp_path / "cache", tmp_path / "programs")
    it.programs.mkdir()
    monkeypatch.setenv("PATH", str(it.programs))
    monkeypatch.setattr(model_check, "ask_build", lambda seconds: told(it.build))
    monkeypatch.setattr(java, "find", lambda: told(it.java))
    monkeypatch.setattr(application, "versions", lambda: it.spark)
    monkeypatch.setattr(host, "cores", lambda: it.cores)
    monkeypatch.setattr(host, "memory", lambda: it.memory)
    monkeypatch.setattr(cuda, "look", lambda: told(it.driver))
    return it


def test_a_machine_that_lacks_nothing_is_well(here: Machine) -> None:
    found = here.examine()

    assert list(found) == ["Python", "MXNet", "Java", "Spark", "machine", "cache folder"]
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert doctor.is_well(list(found.values()))
    assert not here.cache.exists(), "looking changed something"


def old_python(_: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))


def mxnet_without_a_library(here: Machine, _: pytest.MonkeyPatch) -> None:
    here.build = UsageError("MXNet can't be loaded: libgomp.so.1", "Install libgomp1.")


def mxnet_that_crashes(here: Machine, _: pytest.MonkeyPatch) -> None:
    here.build = CrashError("killed by signal 4: no message")


def no_java(here: Machine, _: pytest.MonkeyPatch) -> None:
    here.java = UsageError("Java 17 or newer was not found", "Install one.")


def old_spark(here: Machine, _: pytest.MonkeyPatch) -> None:
    here.spark = ("3.4.4", "3.4.4")


def another_spark_in_spark_home(here: Machine, _: pytest.MonkeyPatch) -> None:
    here.spark = ("4.3.0", "3.5.9")


def hardly_any_memory(here: Machine, _: pytest.MonkeyPatch) -> None:
    here.memory = 2**30


def cache_below_a_file(here: Machine, _: pytest.MonkeyPatch) -> None:
    here.cache.parent.joinpath("file").touch()
    here.cache = here.cache.parent / "file" / "cache"


@pytest.mark.parametrize(
    ("lack", "subject", "words"),
    [
        (old_python, "Python", "3.11 or 3.12"),
        (mxnet_without_a_library, "MXNet", "libgomp1"),
        (mxnet_that_crashes, "MXNet", "killed by signal 4"),
        (no_java, "Java", "Install one"),
        (old_spark, "Spark", "3.5"),
        (another_spark_in_spark_home, "Spark", "Unset SPARK_HOME"),
        (hardly_any_memory, "machine", "2.0 GiB"),
        (cache_below_a_file, "cache folder", "MXSPARK_CACHE_DIR"),
    ],
)
def test_what_lacks_is_a_problem_with_its_mend(
    here: Machine,
    monkeypatch: pytest.MonkeyPatch,
    lack: Callable[[Machine, pytest.MonkeyPatch], None],
    subject: str,
    words: str,
) -> None:
    lack(here, monkeypatch)

    found = here.examine()

    assert [name for name, finding in found.items() if finding.verdict != "ok"] == [subject]
    assert found[subject].verdict == "problem"
    assert words in f"{found[subject].text} {found[subject].hint}"
    assert found[subject].hint


def test_what_can_not_be_told_is_no_problem(here: Machine) -> None:
    here.build = TimeoutError()

    found = list(here.examine().values())

    assert [finding.subject for finding in found if finding.verdict == "can't tell"] == ["MXNet"]
    assert doctor.is_well(found)


def test_fewer_workers_are_advised_where_memory_is_short(here: Machine) -> None:
    here.cores, here.memory = 16, 8 * 2**30

    assert "local[7]" in here.examine()["machine"].text


def test_as_json_it_says_all_of_it(here: Machine) -> None:
    here.java = UsageError("no Java", "Install one.")

    answer = json.loads(doctor.to_json(list(here.examine().values())))

    assert answer["ok"] is False
    assert {"subject": "Java", "verdict": "problem", "text": "no Java", "hint": "Install one."} in answer["findings"]


# ---- GPUs ----


def test_a_machine_with_a_gpu_that_mxnet_runs_on_is_well(here: Machine) -> None:
    here.has(A10)

    found = here.examine(gpus=True)

    assert list(found)[6:] == ["GPU driver", "GPU 0", "nvidia-smi", "MXNet's GPUs"]
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert found["GPU driver"].text == "NVIDIA driver 550.54.15 for CUDA 12.4"


def test_a_card_that_the_wheel_can_not_run_on_is_a_problem_beside_one_that_it_can(here: Machine) -> None:
    here.has(A10, H100)

    found = here.examine(gpus=True)

    assert [name for name, finding in found.items() if finding.verdict != "ok"] == ["GPU 1"]
    assert "9.0" in found["GPU 1"].text


def test_which_cards_an_mxnet_of_ones_own_runs_on_can_not_be_told(here: Machine) -> None:
    here.has(A10, H100, is_wheel=False)

    found = here.examine(gpus=True)

    assert {name for name, finding in found.items() if finding.verdict != "ok"} == {"GPU 0", "GPU 1"}
    assert doctor.is_well(list(found.values()))


def test_without_a_driver_there_is_one_problem_and_what_follows_from_it(here: Machine) -> None:
    found = here.examine(gpus=True)

    assert found["GPU driver"].verdict == "problem"
    assert "docker run --gpus all" in found["GPU driver"].hint
    assert found["nvidia-smi"].verdict == "can't tell"
    assert "mxnet-cu112" in found["MXNet's GPUs"].hint


def test_a_driver_that_fails_is_a_problem_and_all_else_is_looked_at_too(here: Machine) -> None:
    here.has(A10)
    here.driver = cuda.DriverError.of("cuInit says CUDA_ERROR_UNKNOWN (999)")

    found = here.examine(gpus=True)

    assert found["GPU driver"].verdict == "problem"
    assert "CUDA_ERROR_UNKNOWN" in found["GPU driver"].text
    assert list(found)[6:] == ["GPU driver", "nvidia-smi", "MXNet's GPUs"]


def test_a_driver_without_cards_is_a_problem(here: Machine) -> None:
    here.has()

    found = here.examine(gpus=True)

    assert (found["GPU driver"].verdict, found["GPU driver"].text) == ("problem", "the NVIDIA driver shows no GPU")


def nvidia_smi_missing(here: Machine) -> None:
    (here.programs / "nvidia-smi").unlink()


def nvidia_smi_failing(here: Machine) -> None:
    here.nvidia_smi("NVIDIA-SMI has failed", 9)


def nvidia_smi_listing_more(here: Machine) -> None:
    here.nvidia_smi("0\\n1\\n")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (nvidia_smi_missing, "NVIDIA_DRIVER_CAPABILITIES"),
        (nvidia_smi_failing, "NVIDIA-SMI has failed"),
        (nvidia_smi_listing_more, "lists 2 GPUs, but the driver shows 1"),
    ],
)
def test_that_spark_would_not_find_the_gpu_is_a_problem(
    here: Machine, wrong: Callable[[Machine], None], words: str
) -> None:
    here.has(A10)
    wrong(here)

    found = here.examine(gpus=True)

    assert [name for name, finding in found.items() if finding.verdict == "problem"] == ["nvidia-smi"]
    assert words in f"{found['nvidia-smi'].text} {found['nvidia-smi'].hint}"


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (mxnet.Build("1.9.1", cuda=True, is_wheel=True, gpus=0), "MXNet finds 0, the driver shows 1"),
        (
            mxnet.Build("1.9.1", cuda=True, is_wheel=True, gpus=0, trouble="MXNet can't count the GPUs: 36"),
            "can't count",
        ),
        (CPU_BUILD, "CPU build"),
    ],
)
def test_that_mxnet_does_not_see_the_gpu_is_a_problem(here: Machine, build: mxnet.Build, words: str) -> None:
    here.has(A10)
    here.build = build

    found = here.examine(gpus=True)

    assert [name for name, finding in found.items() if finding.verdict == "problem"] == ["MXNet's GPUs"]
    assert words in found["MXNet's GPUs"].text
