"""The lines about tiers at the end of a run, and when a skipped tier fails it (tiers.py)."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
from pathlib import Path
from tests.tiers import Tiers

def pytest_configure(config):
    config.pluginmanager.register(Tiers(config.pluginmanager, Path(__file__).parent), "tiers")
"""
LACKS = """
from tests.tiers import Missing

def missing():
    return Missing("no moon", "wait for the night")
"""
HAS_ALL = """
def missing():
    return None
"""
ONE_TEST = """
def test_it():
    pass
"""
SKIPPED = "tier night: skipped: no moon (wait for the night)"


@pytest.fixture
def tiers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Three tiers: one that needs nothing, one that is had with one below it that isn't, and one that isn't had."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    write(pytester.path, "conftest.py", CONFTEST)
    write(pytester.path, "plain/test_plain.py", ONE_TEST + ONE_TEST.replace("test_it", "test_again"))
    write(pytester.path, "day/conftest.py", HAS_ALL)
    write(pytester.path, "day/test_day.py", ONE_TEST)
    write(pytester.path, "day/dusk/conftest.py", LACKS)
    write(pytester.path, "day/dusk/test_dusk.py", ONE_TEST)
    write(pytester.path, "night/conftest.py", LACKS)
    write(pytester.path, "night/test_night.py", ONE_TEST)
    return pytester


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(tiers: pytest.Pytester, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and the lines about tiers."""
    result = tiers.runpytest_inprocess("--import-mode=importlib", "-p", "no:cacheprovider", *arguments)
    return int(result.ret), [
        re.sub(r" in [\d.]+ s$", "", line) for line in result.outlines if line.startswith(("tier ", "CI="))
    ]


def test_each_tier_has_a_line_and_those_that_can_not_be_had_say_why(tiers: pytest.Pytester) -> None:
    dusk = SKIPPED.replace("night: ", "day/dusk: ", 1)
    assert run(tiers) == (0, ["tier day: run, 1 passed", dusk, SKIPPED, "tier plain: run, 2 passed"])


def test_a_tier_runs_alone(tiers: pytest.Pytester) -> None:
    assert run(tiers, "plain") == (0, ["tier plain: run, 2 passed"])
    assert run(tiers, "day/test_day.py::test_it") == (0, ["tier day: run, 1 passed"])
    assert run(tiers, "night") == (0, [SKIPPED])


def test_what_failed_is_counted(tiers: pytest.Pytester) -> None:
    write(tiers.path, "plain/test_wrong.py", "def test_wrong():\n    assert False\n")
    assert run(tiers, "plain") == (1, ["tier plain: run, 2 passed, 1 failed"])


def test_in_ci_a_skipped_tier_fails_the_run(tiers: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert run(tiers, "night", "plain") == (
        1,
        [SKIPPED, "tier plain: run, 2 passed", "CI=true: a skipped tier fails the run"],
    )
    assert run(tiers, "plain") == (0, ["tier plain: run, 2 passed"])
