"""The GPU image for Kubernetes: on machines without a driver, with a stand-in for it, and with a real GPU where
there is one.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import summary
from tests.image.conftest import EXAMPLE, digits
from tests.image.container import Image

INSPECT = ("model", "inspect", f"{EXAMPLE}/bundle")


def test_auto_takes_the_cpu_and_says_why(
    gpu_image: Image, data: tuple[str, ...], stub: tuple[str, ...], output: Path
) -> None:
    """With --context cpu: test_emr.py, by the same MXNet."""
    ran = gpu_image.run(
        "run", *digits("--context", "auto", "--limit", "300", "--master", "local[1]"), options=data + stub
    ).succeeded()
    assert (
        "Running on cpu(0) (context auto chose it: NVIDIA H100 80GB HBM3 (GPU 0) has compute capability 9.0"
        in ran.errors
    )
    assert summary(output / "table")["accuracy"] >= 0.98


def test_a_card_that_it_has_no_code_for_is_refused(
    gpu_image: Image, data: tuple[str, ...], stub: tuple[str, ...], output: Path
) -> None:
    ran = gpu_image.run("run", *digits("--context", "gpu"), options=data + stub).ended_with(2)

    assert (
        "NVIDIA H100 80GB HBM3 (GPU 0) has compute capability 9.0, and mxnet-cu112 runs on 5.x, 6.x, 7.x and 8.x only"
        in ran.errors
    )
    assert "no kernel image" not in ran.text
    assert not (output / "table").exists()


@pytest.mark.parametrize("context", ["cpu", "gpu", "auto"])
def test_without_a_driver_it_says_so_and_ends(gpu_image: Image, context: str) -> None:
    ran = gpu_image.run(*INSPECT, "--context", context).ended_with(2)
    assert "needs the NVIDIA driver's libcuda.so.1" in ran.errors
    assert "docker run --gpus all" in ran.errors
    assert "Traceback" not in ran.errors


def test_the_doctor_tells_what_was_found(gpu_image: Image, stub: tuple[str, ...]) -> None:
    told = json.loads(gpu_image.run("doctor", "--gpu", "--json", options=stub).ended_with(1).output)
    findings = {finding["subject"]: finding for finding in told["findings"]}
    assert findings["MXNet"]["text"] == "1.9.1, the GPU build"
    assert findings["GPU 0"]["verdict"] == "problem"
    assert "compute capability 9.0" in findings["GPU 0"]["text"]


def test_every_library_that_mxnet_is_linked_to_is_there_but_the_drivers(gpu_image: Image) -> None:
    places = "/opt/mxspark/venv/lib/python3.11/site-packages/mxnet/libmxnet.so /opt/cuda/lib/*.so*"
    # ldd, which is a script around this
    listed = gpu_image.shell(
        f"for library in {places}; do LD_TRACE_LOADED_OBJECTS=1 /lib64/ld-linux-x86-64.so.2 $library; done"
    )
    missing = {line.split()[0] for line in listed.splitlines() if "not found" in line}
    assert missing == {"libcuda.so.1"}


def test_all_digits_on_a_real_gpu(gpu_image: Image, data: tuple[str, ...], output: Path) -> None:
    if (
        shutil.which("nvidia-smi") is None
        or subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("no NVIDIA GPU here: nvidia-smi is not there or lists none")
    gpus = ("--gpus", "all")
    if gpu_image.run("doctor", "--gpu", options=gpus).code != 0:
        pytest.skip(
            "no GPU here that MXNet can use, or Docker can't give it to containers: docker run --gpus all IMAGE doctor "
            "--gpu"
        )

    ran = gpu_image.run("run", *digits("--context", "gpu", "--master", "local[1]"), options=data + gpus).succeeded()

    assert "Running on gpu(0)" in ran.errors
    assert summary(output / "table")["accuracy"] >= 0.98
