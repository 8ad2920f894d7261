"""Spark's properties: the same for every way of starting, computed from the settings alone."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyspark
import pytest

from mxspark.settings.job import SparkSettings
from mxspark.settings.kubernetes import KubernetesSettings
from mxspark.spark import pods
from mxspark.spark.application import not_py4js, versions
from mxspark.spark.configuration import configuration, local_workers


def properties(**settings: Any) -> dict[str, str]:
    return configuration(SparkSettings(**settings))


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        ("local", "local[1, 8]"),
        ("local[2]", "local[2, 8]"),
        ("local[*]", "local[*, 8]"),
        ("local[2,1]", "local[2,1]"),
        ("yarn", "yarn"),
        ("k8s://https://host:6443", "k8s://https://host:6443"),
    ],
)
def test_a_failed_shard_is_tried_again_on_this_machine_as_on_a_cluster(master: str, expected: str) -> None:
    found = properties(master=master)

    assert found["spark.master"] == expected
    assert found["spark.task.maxFailures"] == ("8" if master.startswith("local") else "116"), (
        "and as often as two executors, and a node, may be bad"
    )


def test_on_this_machine_nothing_listens_to_other_machines() -> None:
    found = properties(master="local[2]")

    assert found["spark.driver.bindAddress"] == "127.0.0.1"
    assert found["spark.ui.enabled"] == "false"
    assert not any(key.startswith("spark.executor.") for key in found)


def test_on_a_cluster_the_executors_are_as_asked_for() -> None:
    found = properties(
        master="yarn",
        executors=7,
        executor_cores=4,
        executor_memory="3g",
        executor_memory_overhead="9g",
        driver_memory="2g",
    )

    assert found["spark.executor.instances"] == "7"
    assert found["spark.executor.cores"] == "4"
    assert found["spark.executor.memory"] == "3g"
    assert found["spark.executor.memoryOverhead"] == "9g"
    assert found["spark.driver.memory"] == "2g"
    assert "spark.driver.host" not in found


@pytest.mark.parametrize(
    ("cores", "cpus", "overhead"), [(1, 1, "1g"), (8, 1, "8g"), (8, 2, "4g"), (9, 2, "4g"), (4, 4, "1g")]
)
def test_every_worker_of_an_executor_has_a_gigabyte_where_nothing_else_is_said(
    cores: int, cpus: int, overhead: str
) -> None:
    assert properties(master="yarn", executor_cores=cores, task_cpus=cpus)["spark.executor.memoryOverhead"] == overhead


def test_a_networks_threads_are_the_cores_of_its_task() -> None:
    found = properties(master="yarn", executor_cores=8, task_cpus=2)

    assert found["spark.task.cpus"] == "2"
    assert found["spark.executorEnv.OMP_NUM_THREADS"] == "2"


def test_workers_are_kept_from_task_to_task_and_their_number_is_fixed() -> None:
    found = properties()

    assert found["spark.python.worker.reuse"] == "true"
    assert found["spark.dynamicAllocation.enabled"] == "false"


def test_a_users_own_properties_win() -> None:
    found = properties(conf={"spark.ui.enabled": "true", "spark.task.maxFailures": "9", "spark.mine": "x"})

    assert (found["spark.ui.enabled"], found["spark.task.maxFailures"], found["spark.mine"]) == ("true", "9", "x")


@pytest.mark.parametrize("executors", [2, 3, 8, 40, 250])
def test_bad_executors_use_up_none_of_the_tries_that_are_for_a_shards_own_faults(executors: int) -> None:
    found = properties(master="yarn", executors=executors)

    of_bad_ones = (executors - 1) * int(found["spark.excludeOnFailure.task.maxTaskAttemptsPerExecutor"])
    assert int(found["spark.task.maxFailures"]) >= of_bad_ones + 100 + 8
    assert int(found["spark.excludeOnFailure.task.maxTaskAttemptsPerNode"]) > of_bad_ones, "they may have one address"


def test_a_thousand_executors_are_no_reason_to_try_for_ever() -> None:
    assert properties(master="yarn", executors=10_000)["spark.task.maxFailures"] == "1108"


LIMITS = ("task.maxTaskAttemptsPerExecutor", "task.maxTaskAttemptsPerNode", "stage.maxFailedTasksPerExecutor")


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({"executors": 1}, None),
        ({"master": "local-cluster[1,1,512]"}, None),
        ({"executors": 9, "conf": {"spark.task.maxFailures": "2"}}, None),
        ({"executors": 2, "executor_cores": 1}, ("4", "115", "100")),
        ({"executors": 3, "executor_cores": 4, "task_cpus": 2}, ("3", "116", "200")),
        ({"executors": 9, "executor_cores": 1, "conf": {"spark.task.maxFailures": "4"}}, ("2", "3", "100")),
        ({"executors": 9, "executor_cores": 1, "conf": {"spark.task.maxFailures": "four"}}, ("2", "7", "100")),
        (
            {"executors": 1, "executor_cores": 1, "dynamic_allocation": {"enabled": True, "max_executors": 5}},
            ("2", "117", "100"),
        ),
    ],
)
def test_an_executor_is_excluded_where_others_can_do_its_shards(
    settings: dict[str, Any], limits: tuple[str, ...] | None
) -> None:
    found = properties(**{"master": "yarn"} | settings)

    assert found.get("spark.excludeOnFailure.enabled") == (limits and "true")
    assert tuple(found[f"spark.excludeOnFailure.{limit}"] for limit in LIMITS if limits) == (limits or ())


def test_every_property_is_a_text_as_spark_wants_it() -> None:
    for master in ("local[2]", "yarn"):
        for key, value in properties(master=master).items():
            assert key.startswith("spark.")
            assert isinstance(value, str)


def test_no_credentials_are_among_the_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")

    for master in ("local[2]", "yarn"):
        shown = str(properties(master=master))
        assert "hush-hush" not in shown
        assert "AKIAEXAMPLE" not in shown


# ---- versions ----


@pytest.mark.parametrize(
    ("jar", "version"),
    [
        ("spark-core_2.13-4.1.0.jar", "4.1.0"),
        ("spark-core_2.12-3.5.6-amzn-1.jar", "3.5.6"),
        ("other-1.0.0.jar", ""),
        (None, ""),
    ],
)
def test_the_version_of_sparks_java_part_is_told_by_its_jars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jar: str | None, version: str
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    monkeypatch.setattr(pyspark, "__version__", "3.5.6+amzn.1")
    (tmp_path / "jars").mkdir()
    if jar is not None:
        (tmp_path / "jars" / jar).touch()

    assert versions() == ("3.5.6", version)


def test_without_spark_home_both_parts_are_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_HOME", raising=False)

    assert versions() == (pyspark.__version__, pyspark.__version__)


def test_py4js_stack_traces_are_kept_from_the_root_logger() -> None:
    def record(path: str) -> logging.LogRecord:
        return logging.LogRecord("root", logging.ERROR, path, 1, "Exception while sending command.", None, None)

    assert not not_py4js(record("/venv/lib/python3.11/site-packages/py4j/java_gateway.py"))
    assert not not_py4js(record("/opt/spark/python/lib/py4j-0.10.9.9-src.zip/py4j/java_gateway.py"))
    assert not_py4js(record("/venv/lib/python3.11/site-packages/mxspark/spark/application.py"))


# ---- losses on Kubernetes ----


@pytest.mark.parametrize(
    ("chosen", "seconds"), [({}, 120), ({"termination_grace_seconds": 600}, 600), ({"termination_grace_seconds": 0}, 0)]
)
def test_spark_gives_executors_the_grace_that_their_template_has(chosen: dict[str, int], seconds: int) -> None:
    """Spark 4.1 and later write their own over the template's."""
    spark = SparkSettings(master="k8s://https://host:6443")
    kubernetes = KubernetesSettings.model_validate({"executor": chosen})

    found = configuration(spark, kubernetes)

    assert found["spark.kubernetes.executor.terminationGracePeriodSeconds"] == f"{seconds}s"
    assert found["spark.executor.decommission.killInterval"] == f"{seconds}s"
    assert pods.executor_template(spark, kubernetes)["spec"]["terminationGracePeriodSeconds"] == seconds


def test_executors_that_were_lost_long_ago_do_not_end_a_run() -> None:
    assert (
        configuration(SparkSettings(master="k8s://https://host:6443"))["spark.executor.failuresValidityInterval"]
        == "10m"
    )


@pytest.mark.parametrize("master", ["local[2]", "local-cluster[1,1,512]", "k8s://https://host:6443"])
def test_spark_s_processes_ask_each_other_for_the_run_s_key_and_encrypt_what_they_say(master: str) -> None:
    found = configuration(SparkSettings(master=master), version="4.3.0")

    for key in (
        "spark.authenticate",
        "spark.network.crypto.enabled",
        "spark.io.encryption.enabled",
        "spark.acls.enable",
    ):
        assert found[key] == "true"
    assert found["spark.network.crypto.cipher"] == "AES/GCM/NoPadding"
    assert found["spark.network.crypto.saslFallback"] == found["spark.ui.killEnabled"] == "false"
    assert not [key for key in found if key.startswith("spark.authenticate.secret")]


def test_the_cipher_is_one_that_spark_knows() -> None:
    assert "spark.network.crypto.cipher" not in configuration(SparkSettings(master="local"), version="3.5.1")
    assert (
        configuration(SparkSettings(master="local"), version="3.5.6")["spark.network.crypto.cipher"]
        == "AES/GCM/NoPadding"
    )


def test_the_key_of_a_cluster_of_spark_s_own_is_its_administrator_s() -> None:
    assert not [key for key in properties(master="spark://host:7077") if "authenticate" in key or "crypto" in key]


@pytest.mark.parametrize(
    ("master", "task_cpus", "workers"), [("local", 1, 1), ("local[4]", 1, 4), ("local[4]", 2, 2), ("local[3]", 2, 1)]
)
def test_a_local_worker_takes_as_many_cores_as_its_network(master: str, task_cpus: int, workers: int) -> None:
    """By it the first batch is made: Spark tells only later how many workers it has."""
    assert local_workers(SparkSettings(master=master, task_cpus=task_cpus)) == workers


_SHOWN = """
import sys
from types import SimpleNamespace
import pyspark.sql.types
from py4j import protocol
from mxspark.spark.application import leave_numpy_out
client = SimpleNamespace(converters=protocol.INPUT_CONVERTER)
leave_numpy_out(client)
assert not any(one.can_convert("a text") for one in client.converters)
assert len(client.converters) < len(protocol.INPUT_CONVERTER), "pyspark's other sessions keep theirs"
assert "pyspark.testing" not in sys.modules, "pyspark's tools for tests were imported"
"""


def test_a_call_of_java_imports_no_pandas() -> None:
    """pyspark's converters do, through its tools for tests: a second before Spark starts."""
    subprocess.run([sys.executable, "-c", _SHOWN], check=True, env={**os.environ, "PYTHONPATH": "job"})
