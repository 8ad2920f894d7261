"""The comparison with other systems: what a run's processor time is, and how figures follow from runs."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from bench.peers import comparison, document, group, systems
from bench.peers.results import Limits, Pair, Results, Row, Run
from bench.peers.systems import SYSTEMS, Place

BUSY = 0.3  # CPU-s
DAEMON = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    while time.process_time() < {BUSY}:
        pass
"""


@pytest.mark.parametrize("with_group", [True, False])
def test_processor_time_of_a_daemon_counts(with_group: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers leave processes behind; a sum over waited-for children would miss them."""
    if not with_group:
        monkeypatch.setattr(group, "_place", lambda: None)
    used = group.run([sys.executable, "-c", DAEMON], os.environ, tmp_path / "log")
    assert used.cpu > BUSY / 2  # without a group it is that of the last look
    assert used.memory > 0


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures so far are shown: what cleans up must not fail."""
    started: list[group.Group] = []

    def interrupted(process: object, running: group.Group, begun: float) -> float:
        started.append(running)
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        group.run(["sleep", "600"], os.environ, tmp_path / "log")
    with_mark = [
        each for each in psutil.process_iter(["environ"]) if started[0].mark in (each.info["environ"] or {}).values()
    ]
    assert not with_mark


def test_a_command_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(group.FailedError, match="no bucket"):
        group.run([sys.executable, "-c", "raise SystemExit('no bucket')"], os.environ, tmp_path / "log")


@pytest.mark.parametrize("written", [None, b"no Parquet"])
def test_a_system_without_a_table_that_can_be_read_is_left_out_alone(
    written: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what it wrote nor what it left behind may end the comparison, or count as the next system's table."""
    seen: list[bool] = []
    place = Place("http://127.0.0.1:1", "bench", "", tmp_path, 1)

    def run(*_: object) -> group.Usage:
        table = place.output / "table"
        seen.append(table.exists())
        table.mkdir(parents=True)
        if written is not None:
            (table / "part.parquet").write_bytes(written)
        return group.Usage(0.0, 1.0, 1.0, 1)

    monkeypatch.setattr(group, "run", run)
    monkeypatch.setattr(systems, "command", lambda *_: ["true"])
    monkeypatch.setattr(systems, "variables", lambda *_: {})
    monkeypatch.setattr(comparison, "environment", lambda _: tmp_path)
    one, other = SYSTEMS[:2]
    server: Any = SimpleNamespace(environment={})
    request: Any = SimpleNamespace(network=None)
    compared = comparison.Comparison(request)
    assert [compared._attempt(each, server, place, "png", (1,)) for each in (one, other)] == [None, None]
    assert all("no table that can be read" in why for why in compared._found.failed.values())
    assert compared._found.failed.keys() == {one.name, other.name}
    assert seen == [False, False]


def test_what_images_cost_is_the_difference_of_two_runs() -> None:
    def run(images: int, wall: float, cpu: float) -> Run:
        return Run(images, wall, cpu, 2**30, 4.0, 0.99, 0.1)

    row = Row(SYSTEMS[0], "png", (Pair(run(100, 10, 12), run(1100, 20, 32)),))
    assert (row.cpu, row.rate, row.start) == pytest.approx((20, 100, 10))
    limits = Limits({"mxnet-fp32": 17.0}, {"png": 0.6}, {"png": 0.4})
    results = Results("", "", "", True, "", 25, (100, 1100), 1, 0, {}, limits, (row,), {})
    assert "| mxspark | fp32 | 20.0 | 0.90 | 100 | 2.00 | 10.0 | 4.0 | 20.0 | 1,024 | 99.0% |" in document.markdown(
        results
    )
