"""The sandbox: what it decodes is what preprocess.py decodes, and an image that kills, hangs or bloats its decoder
costs itself alone.

No image that crashes today's Pillow is known, so the child's Pillow is given its bad days by a sitecustomize.py on the
path.
"""

import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from struct import pack

import numpy as np
import psutil
import pytest
from tests.command import command_line
from tests.unit.pictures import exif, jpeg_with, noise, opencv_encoded, png_chunk, png_that_claims, smooth, turned

from mxspark.decode.preprocess import BadImageError, ImageLimits, Pixels, load_array
from mxspark.row_status import RowStatus
from mxspark.settings.job import FORMATS
from mxspark.settings.model_spec import ModelInput, Preprocessing
from mxspark.worker.sandbox import DecodeTask, Sandbox

GIGABYTE = 2**30
LIMITS = ImageLimits(max_pixels=10**9, max_frames=100, formats=FORMATS)
TASK = DecodeTask(LIMITS, ModelInput(height=8, width=6), Preprocessing(), seconds=60, memory=GIGABYTE)
GOOD = opencv_encoded(noise(7, 13), ".png")
SEGFAULT, ABORT, OUT_OF_MEMORY_KILLER, HANG, POISON = b"SEGFAULT", b"ABORT", b"OOM", b"HANG", b"POISON"

# What Pillow does with images of these names; each time it says so in a file.
BAD_DAYS = """
import ctypes, os, signal, time
from PIL import Image

opened, poisoned = Image.open, False
journal = open({journal!r}, "ab", buffering=0)  # a decoder can't open files any more

def open_on_a_bad_day(file, *arguments, **options):
    global poisoned
    data = file.getvalue()
    journal.write(data[:8] + b"\\n")
    if poisoned or data == b"SEGFAULT":
        ctypes.string_at(0)
    elif data == b"ABORT":
        os.abort()
    elif data == b"OOM":
        os.kill(os.getpid(), signal.SIGKILL)
    elif data == b"HANG":
        time.sleep(600)
    poisoned = data == b"POISON"
    return opened(file, *arguments, **options)

Image.open = open_on_a_bad_day
"""


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the children's Pillow bad days; the file says what they opened."""
    journal = tmp_path / "journal"
    (tmp_path / "sitecustomize.py").write_text(BAD_DAYS.format(journal=str(journal)))
    monkeypatch.syspath_prepend(tmp_path)
    return journal


def plain(data: bytes, task: DecodeTask = TASK) -> Pixels:
    return load_array(data, task.limits, task.model_input, task.steps)


def refusal(decode: Callable[[bytes], Pixels], data: bytes) -> tuple[str, str]:
    with pytest.raises(BadImageError) as refused:
        decode(data)
    assert "\n" not in refused.value.problem
    return refused.value.status, refused.value.problem


def outcome(decode: Callable[[bytes], Pixels], data: bytes) -> bytes | str:
    """The array's bytes, or the status of an image that is refused."""
    try:
        return decode(data).tobytes()
    except BadImageError as error:
        return error.status


def children() -> list[psutil.Process]:
    """The decoders that this process has."""
    return [child for child in psutil.Process().children() if "mxspark.worker.sandbox" in command_line(child)]


def bitmap_that_grows(side: int) -> bytes:
    """A real PNG of `side` x `side` black pixels, a bit each in the file and a byte each in memory."""
    header = pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(side * (1 + side // 8)), 1)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


# ---- the same as without it ----


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        replace(TASK, model_input=ModelInput(height=9, width=5, layout="NHWC")),
        replace(
            TASK,
            steps=Preprocessing(
                resize="shorter_and_crop", shorter_side=11, channels="BGR", mean=(1, 2, 3), std=(4, 5, 6)
            ),
        ),
    ],
    ids=["as the article's", "channels last", "cropped and normalized"],
)
def test_arrays_are_those_of_decoding_in_this_process_to_the_bit(task: DecodeTask) -> None:
    images = [GOOD, opencv_encoded(smooth(30, 20), ".jpg"), jpeg_with(exif(turned(6)), smooth(16, 24))]
    with Sandbox(task) as sandbox:
        for data in images:
            found, expected = sandbox.decode(data), plain(data, task)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert found.tobytes() == expected.tobytes()


def test_bad_images_are_told_in_the_same_words_and_by_one_and_the_same_child() -> None:
    task = replace(TASK, limits=replace(LIMITS, max_pixels=10_000))
    images = [
        b"",
        b"no image",
        GOOD[:-40],
        GOOD[:100],
        png_that_claims(1000, 1000),
        GOOD[:40] + b"\xff" * 40 + GOOD[80:],
    ]
    with Sandbox(task) as sandbox:
        sandbox.decode(GOOD)
        first = children()
        for data in images:
            assert refusal(sandbox.decode, data) == refusal(lambda given: plain(given, task), data)
        assert children() == first


# ---- decoders that fail ----


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SEGFAULT, "the decoder crashed (killed by signal 11)"),
        (ABORT, "the decoder crashed (killed by signal 6)"),
        (OUT_OF_MEMORY_KILLER, "the decoder crashed (killed by signal 9)"),
    ],
)
def test_an_image_that_kills_its_decoder_is_told_and_the_next_one_is_decoded(
    journal: Path, data: bytes, reason: str
) -> None:
    with Sandbox(TASK) as sandbox:
        assert refusal(sandbox.decode, data) == (RowStatus.DECODER_CRASHED, reason)
        assert np.array_equal(sandbox.decode(GOOD), plain(GOOD))
        assert refusal(sandbox.decode, data) == (RowStatus.DECODER_CRASHED, reason)
        assert np.array_equal(sandbox.decode(GOOD), plain(GOOD))


def test_an_image_that_hangs_its_decoder_is_waited_for_once_and_no_longer_than_the_limit(journal: Path) -> None:
    seconds = 5  # enough for a good image on a busy machine
    with Sandbox(replace(TASK, seconds=seconds)) as sandbox:
        sandbox.decode(GOOD)
        start = time.monotonic()
        assert refusal(sandbox.decode, HANG) == (RowStatus.DECODER_CRASHED, "decoding took more than 5 s")
        assert seconds <= time.monotonic() - start < 60
        assert np.array_equal(sandbox.decode(GOOD), plain(GOOD))
    assert journal.read_bytes().split().count(HANG) == 1


def test_time_between_images_does_not_count() -> None:
    seconds = 5  # enough for a good image on a busy machine
    with Sandbox(replace(TASK, seconds=seconds)) as sandbox:
        sandbox.decode(GOOD)
        time.sleep(seconds + 0.5)
        sandbox.decode(GOOD)


def test_an_image_that_takes_too_much_memory_is_told_and_the_next_one_is_decoded() -> None:
    large = bitmap_that_grows(5_000)  # 25 MB, and 100 MB more in RGB
    with Sandbox(replace(TASK, memory=60 * 2**20)) as sandbox:
        for _ in range(2):
            assert refusal(sandbox.decode, large) == (
                RowStatus.DECODER_CRASHED,
                "decoding took more than 60 MiB of memory",
            )
            assert np.array_equal(sandbox.decode(GOOD), plain(GOOD))
    with Sandbox(TASK) as sandbox:
        assert np.array_equal(sandbox.decode(large), plain(large))


def test_a_file_that_is_too_large_for_the_memory_is_not_said_to_take_too_long() -> None:
    with Sandbox(replace(TASK, memory=20 * 2**20)) as sandbox:
        status, reason = refusal(sandbox.decode, bytes(40 * 2**20))
        assert (status, "more than 60 s" in reason) == (RowStatus.DECODER_CRASHED, False)
        assert np.array_equal(sandbox.decode(GOOD), plain(GOOD))


def test_an_innocent_image_is_not_blamed_for_what_the_one_before_it_did_to_the_decoder(journal: Path) -> None:
    with Sandbox(TASK) as sandbox:
        assert refusal(sandbox.decode, POISON) == refusal(plain, POISON)
        assert np.array_equal(sandbox.decode(GOOD), plain(GOOD))


def test_a_decoder_that_was_killed_while_it_waited_is_replaced() -> None:
    with Sandbox(TASK) as sandbox:
        sandbox.decode(GOOD)
        (child,) = children()
        child.kill()
        assert np.array_equal(sandbox.decode(GOOD), plain(GOOD))


# ---- processes and threads ----


def test_no_decoder_is_left_when_the_context_ends(journal: Path) -> None:
    with Sandbox(TASK) as sandbox:
        assert children() == []  # an everyday shard has none
        sandbox.decode(GOOD)
        assert len(children()) == 1
        refusal(sandbox.decode, SEGFAULT)
        sandbox.decode(GOOD)
        assert len(children()) == 1
    assert children() == []


def test_no_decoder_is_left_when_the_context_is_left_by_an_error() -> None:
    def interrupted() -> None:
        with Sandbox(TASK) as sandbox:
            sandbox.decode(GOOD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert children() == []


def test_threads_each_get_the_answer_to_their_own_image(journal: Path) -> None:
    images = [opencv_encoded(noise(9, 9, seed), ".png") for seed in range(40)]
    images[7], images[20], images[31] = SEGFAULT, b"no image", ABORT

    with Sandbox(TASK) as sandbox, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda data: outcome(sandbox.decode, data), images))

    expected: list[bytes | str] = [outcome(plain, data) for data in images]
    expected[7] = expected[31] = RowStatus.DECODER_CRASHED
    assert found == expected
