"""A thousand broken, odd and hostile files: each is an array or a row that says what is wrong, within limits on memory
and time.

test_broken_images.py has them all in a real run.
"""

import faulthandler
import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest
from tests.command import REPOSITORY
from tests.faults.corpus import corpus, is_told_well, listed, specimens
from tests.faults.decoding import Outcome, alone
from tests.faults.specimens import FORMATS

SLOW = 5.0  # seconds of a processor, of which no file takes half a one
MOST_MEMORY = 128 * 2**20  # Pillow lets a PNG's texts have 64 MiB
BOMB_MEMORY = 16 * 2**20  # what nothing needs that isn't unpacked


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """What became of every file, by its name."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "job"), str(REPOSITORY)])}
    command = [sys.executable, "-m", "tests.faults.decoding"]
    decoding = subprocess.run(command, capture_output=True, cwd=REPOSITORY, env=environment, timeout=300)
    assert decoding.returncode == 0, decoding.stderr.decode(errors="replace")[-2000:]
    return {outcome.name: outcome for outcome in (Outcome(**json.loads(line)) for line in decoding.stdout.splitlines())}


# ---- the corpus itself ----


def test_the_corpus_is_many_small_files_of_every_format() -> None:
    assert len(corpus()) == len(specimens()) >= 500
    assert sum(len(specimen.data) for specimen in corpus()) < 40_000_000
    assert {name.rsplit(".", 1)[1] for name in specimens()} == {*FORMATS.values(), "tif"}


def test_the_corpus_is_the_same_in_every_process(outcomes: dict[str, Outcome]) -> None:
    again = {specimen.name: alone(specimen, lambda data: ("ok", "")).sha256 for specimen in corpus()[::20]}
    assert again == {name: outcomes[name].sha256 for name in again}


def _crashes(data: bytes) -> tuple[str, str]:
    faulthandler.disable()  # pytest's, which would print all that it knows
    os.abort()


def _computes_for_ever(data: bytes) -> tuple[str, str]:
    while True:
        pass


def _waits_for_ever(data: bytes) -> tuple[str, str]:
    time.sleep(600)
    raise AssertionError


def _takes_memory(data: bytes) -> tuple[str, str]:
    return "ok", str(len(b"a" * 200 * 2**20))


def _takes_too_much_memory(data: bytes) -> tuple[str, str]:
    return "ok", str(len(b"a" * 4 * 2**30))


@pytest.mark.parametrize(
    ("decoder", "how"),
    [
        (_crashes, "SIGABRT"),
        (_computes_for_ever, "SIGXCPU"),
        (_waits_for_ever, "SIGALRM"),
        (_takes_too_much_memory, "ended with 1"),
    ],
)
def test_a_decoder_that_crashes_or_never_ends_would_be_noticed(decoder: Any, how: str) -> None:
    outcome = alone(corpus()[0], decoder, seconds=1)
    assert (outcome.status, how in outcome.problem) == ("crashed", True), outcome


def test_memory_that_a_decoder_takes_would_be_noticed() -> None:
    assert 190 * 2**20 < alone(corpus()[0], _takes_memory).memory < 300 * 2**20


# ---- each file alone ----


def test_every_file_becomes_what_it_may_become(outcomes: dict[str, Outcome]) -> None:
    assert list(outcomes) == list(specimens())
    wrong = (
        f"{name}: {outcomes[name].status} ({outcomes[name].problem}), expected {' or '.join(sorted(specimen.statuses))}"
        for name, specimen in specimens().items()
        if outcomes[name].status not in specimen.statuses
    )
    assert listed(wrong) == ""


def test_what_is_wrong_is_said_in_one_line_without_a_path(outcomes: dict[str, Outcome]) -> None:
    wrong = (
        f"{name}: {found.problem!r}"
        for name, found in outcomes.items()
        if not is_told_well(found.status, found.problem)
    )
    assert listed(wrong) == ""


def test_no_file_takes_long(outcomes: dict[str, Outcome]) -> None:
    assert listed(f"{name}: {found.seconds:.1f} s" for name, found in outcomes.items() if found.seconds > SLOW) == ""


def test_no_file_takes_much_memory_and_one_that_is_refused_takes_hardly_any(outcomes: dict[str, Outcome]) -> None:
    limits = {name: BOMB_MEMORY if specimen.bomb else MOST_MEMORY for name, specimen in specimens().items()}
    wrong = (
        f"{name}: {found.memory / 2**20:.0f} MiB" for name, found in outcomes.items() if found.memory > limits[name]
    )
    assert sum(specimen.bomb for specimen in specimens().values()) >= 40
    assert listed(wrong) == ""
