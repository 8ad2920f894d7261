"""Whether this machine has what a run needs: a finding for each thing looked at, with the hint where it lacks
something.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mxspark import host
from mxspark.errors import MxsparkError, UsageError, one_line
from mxspark.inference import cuda, model_check
from mxspark.inference.cuda import Gpu
from mxspark.inference.mxnet import Build
from mxspark.inference.mxnet_process import CrashError
from mxspark.spark import java
from mxspark.text.words import counted

Verdict = Literal["ok", "problem", "can't tell"]

PYTHONS = ((3, 11), (3, 12))  # MXNet 1.9.1 works with no newer one
SPARKS = ((3, 5), (5, 0))  # from the first on, and before the second
USUAL_MEMORY = 2**30  # bytes: an executor's default for a worker, and what Spark's driver takes
CHILD_SECONDS = 120  # limit on loading MXNet, which may come from a slow disk
SMI_SECONDS = 30
SMI = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")  # as image/gpu-discovery.sh asks


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it is, and what to do about it."""

    subject: str
    verdict: Verdict
    text: str
    hint: str = ""


class UnknownError(MxsparkError):
    """It can't be told whether something is well."""


def examine(cache_dir: Path, gpus: bool) -> list[Finding]:
    """Looks at this machine, with `gpus` at its NVIDIA driver and cards too. Takes some seconds; changes nothing.

    Initialises CUDA in this process with `gpus`: it must not start Spark afterwards (cuda.py says why).
    """
    mxnet, build = _mxnet()
    found = [_python(), mxnet, _java(), _spark(), _machine(), _cache(cache_dir)]
    return [*found, *_gpus(build)] if gpus else found


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing is a problem."""
    return all(finding.verdict != "problem" for finding in findings)


def to_json(findings: Sequence[Finding]) -> str:
    return json.dumps({"ok": is_well(findings), "findings": [asdict(finding) for finding in findings]}, indent=1)


def _problem(subject: str, error: MxsparkError) -> Finding:
    return Finding(subject, "problem", error.problem, error.hint)


def _python() -> Finding:
    text = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] in PYTHONS:
        return Finding("Python", "ok", text)
    return Finding(
        "Python", "problem", text, "MXNet 1.9.1 needs Python 3.11 or 3.12 here: make .venv with one of them."
    )


def _mxnet() -> tuple[Finding, Build | None]:
    try:
        build = model_check.ask_build(CHILD_SECONDS)
    except MxsparkError as error:
        return _problem("MXNet", error), None
    except TimeoutError:
        return Finding(
            "MXNet", "can't tell", f"it took more than {CHILD_SECONDS} s to load", "Try again; is the disk slow?"
        ), None
    except CrashError as error:
        return Finding(
            "MXNet", "problem", f"it crashes while it is loaded ({error})", "Reinstall it, or use the image."
        ), None
    return Finding("MXNet", "ok", f"{build.version}, the {'GPU' if build.cuda else 'CPU'} build"), build


def _java() -> Finding:
    try:
        home, version = java.find()
    except UsageError as error:
        return _problem("Java", error)
    return Finding("Java", "ok", f"{version}, {home}")


def _spark() -> Finding:
    try:
        from mxspark.spark import application
    except ModuleNotFoundError as error:
        return Finding(
            "Spark",
            "problem",
            f"the package {error.name} is not installed",
            "In mxspark's repository: pip install '.[cpu,spark]'",
        )
    python, home = application.versions()
    oldest, first_after = SPARKS
    if not oldest <= tuple(map(int, python.split(".")[:2])) < first_after:
        return Finding("Spark", "problem", python, "Install pyspark 3.5 or 4.")
    if not home:
        return Finding(
            "Spark",
            "can't tell",
            f"pyspark is {python}, but SPARK_HOME has no jars/spark-core_….jar",
            "Unset SPARK_HOME.",
        )
    if home != python:
        return Finding(
            "Spark",
            "problem",
            f"pyspark is {python}, but SPARK_HOME has {home}",
            f"Unset SPARK_HOME, or install pyspark {home}.",
        )
    return Finding("Spark", "ok", python)


def _machine() -> Finding:
    cores, memory = host.cores(), host.memory()
    workers = min(cores, memory // USUAL_MEMORY - 1)
    text = f"{counted(cores, 'core')}, {_gib(memory)} of memory"
    if workers < 1:
        return Finding(
            "machine",
            "problem",
            text,
            f"A worker and Spark take {_gib(USUAL_MEMORY)} each: give the machine {_gib(2 * USUAL_MEMORY)}.",
        )
    if workers < cores:
        return Finding(
            "machine",
            "ok",
            f"{text}, enough for {counted(workers, 'worker')} of {_gib(USUAL_MEMORY)}: --master 'local[{workers}]'",
        )
    return Finding("machine", "ok", text)


def _cache(folder: Path) -> Finding:
    subject = "cache folder"
    hint = "Name another one: cache_dir in the settings, MXSPARK_CACHE_DIR."
    existing = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding(subject, "problem", f"{folder} can't be written: {one_line(error)}", hint)
    return Finding(subject, "ok", f"{folder}, {_gib(free)} free")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _gpus(build: Build | None) -> Iterator[Finding]:
    driver = None
    try:
        driver = cuda.look()
        driver.check()
        yield Finding("GPU driver", "ok", f"NVIDIA {driver}")
    except UsageError as error:
        yield _problem("GPU driver", error)
    for card in driver.gpus if driver else ():
        yield _card(card, build)
    gpus = len(driver.gpus) if driver else 0
    yield _nvidia_smi(gpus)
    yield _mxnets_gpus(build, gpus)


def _card(card: Gpu, build: Build | None) -> Finding:
    subject = f"GPU {card.index}"
    if build is not None and build.cuda and not build.is_wheel:
        return Finding(
            subject,
            "can't tell",
            f"{card}; this MXNet is not {cuda.WHEEL}, and which cards it was built for isn't known",
        )
    try:
        card.check()
    except UsageError as error:
        return _problem(subject, error)
    return Finding(subject, "ok", f"{card}: {cuda.WHEEL} runs on it")


def _nvidia_smi(gpus: int) -> Finding:
    """Spark finds the GPUs by nvidia-smi; that it tells nothing is no news where the driver has no GPU either."""
    lacking: Verdict = "problem" if gpus else "can't tell"
    hint = (
        "Spark finds GPUs by it: let the container have it (NVIDIA_DRIVER_CAPABILITIES=compute,utility)."
        if gpus
        else ""
    )
    try:
        answer = subprocess.run(SMI, capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    except OSError:
        return Finding("nvidia-smi", lacking, "it isn't there", hint)
    except subprocess.TimeoutExpired:
        return Finding(
            "nvidia-smi",
            "problem",
            f"it took more than {SMI_SECONDS} s",
            "A card or its driver hangs: restart the node.",
        )
    lines = [line.strip() for line in (answer.stdout + answer.stderr).splitlines() if line.strip()]
    if answer.returncode != 0 or not all(line.isdigit() for line in lines):
        return Finding(
            "nvidia-smi",
            lacking,
            " ".join(lines)[:300] or f"exit code {answer.returncode}",
            "See what it says on the node.",
        )
    if len(lines) != gpus:
        text = f"it lists {counted(len(lines), 'GPU')}, but the driver shows {gpus} to this process"
        return Finding(
            "nvidia-smi", "problem", text, "Spark would hand out GPUs that can't be used: is CUDA_VISIBLE_DEVICES set?"
        )
    return Finding(
        "nvidia-smi",
        "ok",
        f"lists GPU {', '.join(lines)}, as Spark's discovery script will" if lines else "lists no GPU",
    )


def _mxnets_gpus(build: Build | None, gpus: int) -> Finding:
    subject = "MXNet's GPUs"
    if build is None:
        return Finding(subject, "can't tell", "MXNet can't be loaded")
    if not build.cuda:
        return Finding(
            subject,
            "problem",
            "this is MXNet's CPU build",
            f"Install {cuda.WHEEL} instead of mxnet, or use the GPU image.",
        )
    if build.trouble or build.gpus != gpus:
        text = build.trouble or f"MXNet finds {build.gpus}, the driver shows {gpus}"
        return Finding(subject, "problem", text, "Check that the driver is whole, and new enough for CUDA 11.8.")
    return Finding(subject, "ok" if gpus else "problem", f"MXNet finds {build.gpus}, as many as the driver shows")
