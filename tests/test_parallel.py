"""Tests in several processes make once what they share (shared.py), and what a module's own fixtures are (parallel.py).

What needs the cluster for itself is all in one process: in two, one would wait for the other.
"""

import os

import pytest

from tests.tiers import ROOT

pytest_plugins = ["pytester"]

CONFTEST = """
import os
import time
from contextlib import contextmanager

import pytest
from tests.shared import once, shared

def write(word):
    with open(os.environ["LOG"], "a") as log:
        log.write(f"{word}\\n")

@contextmanager
def running():
    write("started")
    yield "the server"
    write("stopped")

@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with shared(tmp_path_factory, "server", running) as found:
        yield found

@pytest.fixture(scope="session")
def image(tmp_path_factory):
    return once(tmp_path_factory, "image", lambda: write("built") or "the image")

@pytest.fixture(scope="session")
def broken(tmp_path_factory):
    def make():
        write("tried")
        raise ValueError("no such image")
    return once(tmp_path_factory, "broken", make)

@pytest.fixture(scope="module")
def table():
    write("run")

@pytest.fixture
def used():
    time.sleep(0.5)
    write("used in " + os.environ["PYTEST_XDIST_WORKER"])

@pytest.fixture
def whole_cluster():
    write("alone in " + os.environ["PYTEST_XDIST_WORKER"])
"""
SHARED = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_uses(server, image, number, used):
    assert (server, image) == ("the server", "the image")
"""
OF_A_MODULE = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_looks(table, number):
    pass
"""
ALONE = """
import pytest

@pytest.mark.alone
def test_takes_nodes_away(whole_cluster):
    pass
"""
BROKEN = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_needs(broken, number):
    pass
"""


def test_what_tests_share_is_made_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    log = pytester.path / "log"
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT.parent), str(ROOT.parent / "job")]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        test_a_shared=SHARED, test_b_module=OF_A_MODULE, test_c_broken=BROKEN, test_d=ALONE, test_e=ALONE
    )
    flags = ("--numprocesses=2", "--dist=loadgroup", "--no-loadscope-reorder", "-p", "xdist", "-p", "tests.parallel")

    result = pytester.runpytest_subprocess(*flags, timeout=300)

    result.assert_outcomes(passed=10, errors=4)
    done = log.read_text().splitlines()
    assert {"used in gw0", "used in gw1"} <= set(done)
    assert len({word for word in done if word.startswith("alone in ")}) == 1
    assert [done.count(word) for word in ("started", "stopped", "built", "run", "tried")] == [1, 1, 1, 1, 1]
    assert done.index("stopped") > max(place for place, word in enumerate(done) if word.startswith("used"))
    result.stdout.fnmatch_lines(["*ValueError: no such image*"])
