"""Where the time of a run goes: `--times` prints, as tables of Markdown, what tiers, fixtures and tests took
(docs/testing.md).
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mxspark.text import duration
from tests.tiers import TIER

FIXTURES, PROCESSOR = "fixtures", "processor"  # properties of a test
SHOWN = 25
LONG = 2.0  # seconds of a fixture that is shown


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", action="store_true", help="print tables of what tiers, fixtures and tests took")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("times"):
        config.pluginmanager.register(Times(), "times")


@dataclass
class _Tier:
    tests: int = 0
    setups: float = 0.0
    calls: float = 0.0
    processor: float = 0.0


@dataclass(eq=False)  # pytest keeps its plugins by their hashes
class Times:
    """A pytest plugin; the process that runs a test measures it, the one that tells adds up."""

    _fixtures: list[tuple[str, float]] = field(default_factory=list)  # made for the test that is being set up
    _processor: float = field(default_factory=lambda: _processor_seconds())
    _tiers: dict[str, _Tier] = field(default_factory=lambda: defaultdict(_Tier))
    _longest_fixtures: list[tuple[float, str]] = field(default_factory=list)
    _longest_tests: list[tuple[float, str]] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        started = time.monotonic()
        try:
            return (yield)
        finally:
            self._fixtures.append((f"{fixturedef.baseid}::{fixturedef.argname}", time.monotonic() - started))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        now = _processor_seconds()
        item.user_properties = [each for each in item.user_properties if each[0] not in (FIXTURES, PROCESSOR)]
        item.user_properties += [
            (FIXTURES, [each for each in self._fixtures if each[1] >= LONG]),
            (PROCESSOR, now - self._processor),
        ]
        self._fixtures, self._processor = [], now

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties: dict[str, Any] = dict(report.user_properties)
        if PROCESSOR not in properties:
            return
        tier = self._tiers[properties.get(TIER, "")]
        tier.processor += properties[PROCESSOR]
        if report.when == "call":
            tier.tests += 1
            tier.calls += report.duration
            self._longest_tests.append((report.duration, report.nodeid))
        else:
            tier.setups += report.duration
            self._longest_fixtures += [(seconds, name) for name, seconds in properties[FIXTURES]]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        write("| tier | tests | they took | set-ups took | processor |\n| --- | --- | --- | --- | --- |")
        for name, tier in sorted(self._tiers.items(), key=lambda each: -each[1].setups - each[1].calls):
            took = " | ".join(map(duration.in_words, (tier.calls, tier.setups, tier.processor)))
            write(f"| {name} | {tier.tests} | {took} |")
        for what, longest in (("fixture", self._longest_fixtures), ("test", self._longest_tests)):
            write(f"\n| {what} | s |\n| --- | --- |")
            for seconds, name in sorted(longest, reverse=True)[:SHOWN]:
                write(f"| {name} | {seconds:.0f} |")


def _processor_seconds() -> float:
    """Of this process, and of those that it has waited for."""
    return sum(os.times()[:4])
