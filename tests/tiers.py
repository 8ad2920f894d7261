"""Tiers: the folders of tests/, each named after the real thing that its tests need, and one line for each at the end
of a run.

A tier's conftest.py says by a function `missing() -> Missing | None` what it lacks on this machine; its tests are
skipped then. A folder below a tier whose conftest.py has such a function too is a tier of its own. With CI=true a
skipped tier fails the run.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from mxspark.text import duration

ROOT = Path(__file__).resolve().parent
TIER, LACKS = "tier", "tier lacks"  # properties of a test


@dataclass(frozen=True)
class Missing:
    """What a tier lacks here, and what would make it run."""

    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.hint})"


class Tiers:
    """A pytest plugin that skips the tiers that can't be had and tells of all of them.

    What it knows of a test goes with its reports, as properties: with pytest-xdist other processes run the tests than
    the one that tells.
    """

    def __init__(self, plugins: pytest.PytestPluginManager, root: Path = ROOT, *, strict: bool | None = None) -> None:
        self._plugins = plugins
        self._root = root
        self._strict = os.environ.get("CI") == "true" if strict is None else strict
        self._skipped: dict[str, str] = {}
        self._outcomes: dict[str, dict[str, str]] = defaultdict(dict)  # tier to test to outcome
        # By tier; what tiers share, such as the cluster, counts for the first that needs it.
        self._seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(trylast=True)  # when -k and -m have chosen
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        missing = cache(lambda check: check())
        tier_of = cache(self._tier)  # of thousands of tests in a hundred files
        for item in items:
            name, check = tier_of(item.path)
            if name is None:
                continue
            item.user_properties.append((TIER, name))
            lacks = missing(check) if check else None
            if lacks is not None:
                item.user_properties.append((LACKS, str(lacks)))
                item.add_marker(pytest.mark.skip(reason=str(lacks)))

    def _tier(self, path: Path) -> tuple[str | None, "Callable[[], Missing | None] | None"]:
        """The tier of a test file: the nearest folder that says what it needs, else the one just below tests/."""
        if self._root not in path.parents or path.parent == self._root:
            return None, None
        folders = [folder for folder in path.parents if self._root in folder.parents]
        for folder in folders:
            check = getattr(self._plugins.getplugin(str(folder / "conftest.py")), "missing", None)
            if check is not None:
                return folder.relative_to(self._root).as_posix(), check
        return folders[-1].relative_to(self._root).as_posix(), None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and (terminal := self._plugins.getplugin("terminalreporter")) is not None:
            terminal.ensure_newline()  # a long run need not end before one sees what is wrong
            terminal.write_line(f"FAILED {report.nodeid}", red=True)
        properties = dict(report.user_properties)
        tier = properties.get(TIER)
        if not isinstance(tier, str):
            return
        if LACKS in properties:
            self._skipped[tier] = str(properties[LACKS])
            return
        self._seconds[tier] += report.duration
        if report.when == "call" or report.outcome != "passed":
            self._outcomes[tier][report.nodeid] = report.outcome

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (
            self._strict
            and self._skipped
            and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.ensure_newline()
        for tier in sorted({*self._outcomes, *self._skipped}):
            if tier in self._skipped:
                terminalreporter.write_line(
                    f"tier {tier}: skipped: {self._skipped[tier]}", yellow=not self._strict, red=self._strict
                )
            else:
                counts = Counter(self._outcomes[tier].values())
                told = ", ".join(
                    f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if counts[outcome]
                )
                terminalreporter.write_line(
                    f"tier {tier}: run, {told} in {duration.in_words(self._seconds[tier])}",
                    green=not counts["failed"],
                    red=bool(counts["failed"]),
                )
        if self._strict and self._skipped:
            terminalreporter.write_line("CI=true: a skipped tier fails the run", red=True)
