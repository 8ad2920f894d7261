"""Spark's Python daemon that is prepared ahead: it checks the model, becomes the daemon that Spark starts, and ends
with Spark or with the driver.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.unit.test_network import BATCH, made

from mxspark.errors import MxsparkError, UsageError
from mxspark.settings.job import Settings
from mxspark.spark.prepared_daemon import PreparedDaemon, can_prepare
from mxspark.spark.worker_daemon import PREPARED, hand_over
from mxspark.worker.shared_network import NetworkTask

SPARKS = [sys.executable, "-m", "mxspark.spark.worker_daemon", "pyspark.worker"]


def started_by_spark(variables: dict[str, str]) -> "subprocess.Popen[bytes]":
    """The daemon as Spark's Java starts it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(SPARKS, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def port(daemon: "subprocess.Popen[bytes]") -> int:
    """What a daemon says first: where it listens."""
    assert daemon.stdout is not None
    return int.from_bytes(daemon.stdout.read(4), "big")


def listens(process: psutil.Process, at: int) -> bool:
    return any(connection.laddr.port == at for connection in process.net_connections("tcp4"))


def test_it_checks_the_model_then_is_sparks_daemon_and_ends_with_spark(tmp_path: Path) -> None:
    model = made(tmp_path)
    with PreparedDaemon() as daemon:
        process = psutil.Process(daemon.pid)
        assert daemon.check(model, "cpu", 60).inspection.classes == 5
        daemon.load(NetworkTask.of(model, BATCH, "cpu"))

        sparks = started_by_spark({PREPARED: str(daemon.socket)})

        found = port(sparks)
        assert listens(process, found)
        assert not listens(psutil.Process(sparks.pid), found)
        sparks.communicate()  # which closes its pipes, as Java does at its end
        process.wait(10)
        assert sparks.returncode == 0
        assert not hand_over(str(daemon.socket))


def test_a_model_that_is_wrong_is_told_and_the_driver_ends_it(tmp_path: Path) -> None:
    with PreparedDaemon() as daemon, pytest.raises(UsageError, match="not an MXNet symbol"):
        daemon.check(made(tmp_path, symbol=b"no_such symbol"), "cpu", 60)
    assert not psutil.pid_exists(daemon.pid)


def test_a_crash_is_told_and_spark_then_has_a_daemon_all_the_same(tmp_path: Path) -> None:
    with PreparedDaemon() as daemon:
        psutil.Process(daemon.pid).kill()
        with pytest.raises(MxsparkError, match="signal 9"):
            daemon.check(made(tmp_path), "cpu", 60)

        sparks = started_by_spark({PREPARED: str(daemon.socket)})

        assert listens(psutil.Process(sparks.pid), port(sparks))
        sparks.communicate()


@pytest.mark.parametrize(
    ("spark", "expected"),
    [
        ({"master": "local[2]"}, True),
        ({"master": "local[2]", "task_cpus": 2}, False),
        ({"master": "local-cluster[1, 1, 1024]"}, False),
        ({"master": "local[2]", "conf": {"spark.python.daemon.module": "mine"}}, False),
        ({"master": "local[2]", "conf": {"spark.executorEnv.OMP_NUM_THREADS": "2"}}, False),
        ({"master": "local[2]", "conf": {"spark.pyspark.python": "/usr/bin/python3"}}, False),
    ],
)
def test_only_the_daemon_that_forks_workers_here_is_prepared(
    spark: dict[str, object], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    job = {"input": {"path": "in"}, "output": {"path": "out"}, "model": {"path": "net"}, "spark": spark}
    assert can_prepare(Settings.model_validate(job), is_submitted=False) is expected
    assert not can_prepare(Settings.model_validate(job), is_submitted=True)
