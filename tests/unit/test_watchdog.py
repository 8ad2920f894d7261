"""The watchdog, in processes of their own: one that makes no progress ends itself, saying where it stood; any other
is left alone.
"""

import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

# What the processes share; the watchdog takes a second more than it is told, for it isn't armed anew all the time.
PRELUDE = """
import ctypes, re, sys, threading, time
from mxspark.worker.watchdog import Watchdog

def busy(seconds, watchdog):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
        watchdog.alive()

class Nobody:
    alive = int

def where_it_stands(action):
    with Watchdog(0.2):
        action()
"""
HANGS = {
    "sleeping": "where_it_stands(lambda: time.sleep(60))",
    "waiting for a lock that nobody lets go": "lock = threading.Lock(); lock.acquire(); where_it_stands(lock.acquire)",
    "in C code that holds the interpreter": "where_it_stands(lambda: ctypes.PyDLL(None).sleep(60))",
    "while another thread is busy": """
threading.Thread(target=busy, args=(60, Nobody), daemon=True).start()
where_it_stands(lambda: time.sleep(60))
""",
    "in a regular expression that goes on for ever": "where_it_stands(lambda: re.match('(a|a)*b', 40 * 'a'))",
}
# Some seconds, for a machine that is busy with other things.
LIVES = {
    "it says that it is alive": "with Watchdog(5) as watchdog: busy(9, watchdog)",
    "another thread says so": """
with Watchdog(5) as watchdog:
    thread = threading.Thread(target=busy, args=(9, watchdog)); thread.start(); thread.join()
""",
    "it was done in time": "with Watchdog(5): pass\ntime.sleep(9)",
    "it failed in time": """
try:
    with Watchdog(5): raise KeyError
except KeyError:
    time.sleep(9)
""",
}


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it printed."""

    code: int
    output: str
    errors: str
    seconds: float


def process(program: str) -> Ended:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}\n{program}\nprint('went on')"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


@pytest.fixture(scope="module")
def ended() -> Mapping[str, Ended]:
    """How each of the processes ended; they run side by side, for most of them only wait."""
    programs = HANGS | LIVES
    with ThreadPoolExecutor(len(programs)) as threads:
        return dict(zip(programs, threads.map(process, programs.values()), strict=True))


@pytest.mark.parametrize("why", HANGS)
def test_a_process_that_makes_no_progress_ends_and_says_where_it_stood(ended: Mapping[str, Ended], why: str) -> None:
    hung = ended[why]

    assert hung.code != 0
    assert "went on" not in hung.output
    assert "Timeout" in hung.errors
    assert "where_it_stands" in hung.errors
    assert hung.seconds < 50


@pytest.mark.parametrize("why", LIVES)
def test_a_process_is_left_alone_where(ended: Mapping[str, Ended], why: str) -> None:
    alive = ended[why]

    assert (alive.code, alive.output.strip(), alive.errors) == (0, "went on", "")


def test_all_threads_are_told_not_only_the_one_that_hangs(ended: Mapping[str, Ended]) -> None:
    errors = ended["while another thread is busy"].errors

    assert "in busy" in errors
    assert "where_it_stands" in errors
