"""The comparison with other systems: what a run's processor time is, and how figures follow from runs."""

import os
import sys
from pathlib import Path

import psutil
import pytest
from bench.peers import document, group
from bench.peers.results import Limits, Pair, Results, Row, Run
from bench.peers.systems import SYSTEMS

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
