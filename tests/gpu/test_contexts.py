"""Contexts gpu and auto with MXNet's GPU build, for which the driver is the stand-in: what is refused, and in which
words.
"""

import ctypes
import importlib.metadata
import re
from contextlib import suppress
from pathlib import Path

import pytest
from tests.command import Command
from tests.gpu.conftest import A10, H100, WithDriver

from mxspark.inference.cuda import LIBRARY, WHEEL

INSPECT = ("mxspark", "model", "inspect")


@pytest.fixture(autouse=True)
def _needs_the_gpu_build() -> None:
    try:
        importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the MXNet that is installed here is not {WHEEL}; these run where it is, in the GPU image say")


@pytest.mark.parametrize(
    ("cards", "driver", "words"),
    [
        ((H100,), {}, "NVIDIA H100 80GB HBM3 (GPU 0) has compute capability 9.0"),
        ((), {}, "the NVIDIA driver shows no GPU"),
        ((A10,), {"init": "999"}, "the NVIDIA driver doesn't work: cuInit says CUDA_ERROR_UNKNOWN (999)"),
        ((A10,), {"cuda": "10020"}, "for CUDA 10.2 is too old"),
        ((A10,), {}, "MXNet can't count the GPUs"),  # the stand-in is no driver for the CUDA runtime
    ],
)
def test_gpu_is_refused_and_auto_takes_the_cpu_with_why(
    with_driver: WithDriver, digits_bundle: Path, cards: tuple[str, ...], driver: dict[str, str], words: str
) -> None:
    refused = with_driver(*INSPECT, digits_bundle, "--context", "gpu", cards=cards, **driver).ended_with(2)
    assert "context gpu: " in refused.errors
    assert words in refused.errors
    assert "--context cpu" in refused.errors

    taken = with_driver(*INSPECT, digits_bundle, "--context", "auto", cards=cards, **driver).succeeded()
    assert re.search(rf"cpu\(0\): .*{re.escape(words)}", " ".join(taken.output.split()))


def test_gpu_stops_before_anything_is_written(
    with_driver: WithDriver, digits_images: Path, digits_bundle: Path, tmp_path: Path
) -> None:
    """On the CPU build too: tests/spark/test_bad_input.py."""
    arguments = ["--input", digits_images, "--model", digits_bundle, "--output", tmp_path / "table", "--context", "gpu"]

    refused = with_driver("mxspark", "run", *arguments, cards=(H100,)).ended_with(2)

    assert "context gpu: " in refused.errors
    assert "no kernel image" not in refused.text
    assert "Traceback" not in refused.text
    assert not (tmp_path / "table").exists()


def test_on_the_cpu_the_gpu_build_works_whatever_the_card(with_driver: WithDriver, digits_bundle: Path) -> None:
    assert "cpu(0)" in with_driver(*INSPECT, digits_bundle, "--context", "cpu", cards=(H100,)).succeeded().output


def test_without_the_drivers_library_it_is_told_that_the_gpu_build_needs_it(
    mxspark: Command, digits_bundle: Path
) -> None:
    with suppress(OSError):
        ctypes.CDLL(LIBRARY)
        pytest.skip("this machine has an NVIDIA driver")

    refused = mxspark("model", "inspect", digits_bundle, "--context", "cpu").ended_with(2)

    assert "its GPU build (mxnet-cu112) needs the NVIDIA driver's libcuda.so.1" in refused.errors
    assert "docker run --gpus all" in refused.errors
    assert "CPU image" in refused.errors
