"""An image that crashes its decoder, never lets it end, or takes all the memory costs one row, and nothing else."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image
from tests.command import Command, Finished
from tests.faults.containers import jpeg_of_many_scans
from tests.faults.runs import Job, Rows, setting, some_digits
from tests.spark.conftest import Run
from tests.unit.pictures import pillow_encoded

GOOD = 120
# Pillow's decoders don't crash on files that can be had: what they would do is done to files that end so. Python runs
# this at the start of every process of the run that finds it.
BROKEN_DECODERS = """
import ctypes, os, resource, signal
from PIL import Image

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
whole = Image.open

def broken(file, *arguments, **options):
    data = file.getvalue()
    if data.endswith(b"segfault"):
        ctypes.string_at(0)
    if data.endswith(b"memory"):
        taken = bytearray(8 * 2**30)  # an error where there is a limit; without one the kernel would
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(file, *arguments, **options)

Image.open = broken
"""
# Between the digits of different shards, and two in one.
CRASHES = ("0010 crashes.png", "0110 crashes.png")
GREEDY = ("0050 takes memory.png", "0111 takes memory.png")
ENDLESS = "0090 takes minutes.jpg"


@pytest.fixture(scope="module")
def images(digits_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = some_digits(digits_images, tmp_path_factory.mktemp("decoders") / "images", GOOD)
    digit = (digits_images / "0007_7.png").read_bytes()
    for name in CRASHES:
        (folder / name).write_bytes(digit + b"segfault")
    for name in GREEDY:
        (folder / name).write_bytes(digit + b"memory")
    flat = pillow_encoded(Image.new("L", (1000, 1000), 100), "JPEG", progressive=True)
    (folder / ENDLESS).write_bytes(jpeg_of_many_scans(flat, 200_000))
    return folder


@pytest.fixture(scope="module")
def job(images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    # As short as they may be: a decoder that never ends takes a processor for as long as both limits let it.
    waits = setting(
        storage__retry_seconds=1, storage__read_timeout=1, input__max_decode_seconds=3, pipeline__stall_seconds=9
    )
    limits = setting(input__max_decode_memory="1g")
    return Job(images, digits_bundle, tmp_path_factory.mktemp("decoders") / "table", more=(*waits, *limits))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment in which decoders are broken."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "sitecustomize.py").write_text(BROKEN_DECODERS)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def finished(mxspark: Command, job: Job, broken: Mapping[str, str]) -> Finished:
    return mxspark(*job.command, environment=broken).succeeded()


@pytest.fixture(scope="module")
def rows(finished: Finished, job: Job) -> Rows:
    return job.rows


def test_the_run_ends_well(finished: Finished, job: Job) -> None:
    assert job.succeeded
    assert f"{GOOD + 5} images: {GOOD} ok, 5 failed (5 decoder_crashed)" in finished.output
    assert "Traceback" not in finished.text


@pytest.mark.parametrize("name", CRASHES)
def test_an_image_that_crashes_its_decoder_is_a_row(rows: Rows, name: str) -> None:
    assert (rows[name]["status"], rows[name]["error"]) == (
        "decoder_crashed",
        "the decoder crashed (killed by signal 11)",
    )
    assert rows[name]["predictions"] is None


@pytest.mark.parametrize("name", GREEDY)
def test_an_image_that_takes_too_much_memory_is_a_row(rows: Rows, name: str) -> None:
    assert (rows[name]["status"], rows[name]["error"]) == (
        "decoder_crashed",
        "decoding took more than 1,024 MiB of memory",
    )


def test_an_image_whose_decoding_takes_minutes_is_a_row(rows: Rows) -> None:
    """That it is waited for once: tests/processes/test_sandbox.py."""
    assert (rows[ENDLESS]["status"], rows[ENDLESS]["error"]) == ("decoder_crashed", "decoding took more than 3 s")


def test_all_other_images_are_predicted_as_in_an_undisturbed_run(rows: Rows, digits_run: Run) -> None:
    culprits = {*CRASHES, *GREEDY, ENDLESS}
    undisturbed = digits_run.table.head(GOOD).set_index("key")
    assert culprits <= rows.keys()
    assert {*undisturbed.index} == rows.keys() - culprits
    for key, predictions in undisturbed["predictions"].items():
        found = rows[key]["predictions"]
        assert [each["label"] for each in found] == [each["label"] for each in predictions]
        assert [each["probability"] for each in found] == pytest.approx(
            [each["probability"] for each in predictions], abs=1e-5
        )
