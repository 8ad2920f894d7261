"""Java starts with EMR's own properties and those of a request on top, on Spark 3.5."""

import re
from pathlib import Path

from tests.command import Command, Finished
from tests.emr import emrs_own
from tests.emr.jobs import classification, submission
from tests.spark.spark35.conftest import SPARK_35

from mxspark.spark.java import java_home

# An executor of its own, whose Java has options as on a cluster. It prints the command lines of both Javas.
JOB = """
import os
from pyspark import SparkContext
def flags(_):
    parent = os.getppid()
    while b"java" not in open(f"/proc/{parent}/cmdline", "rb").read().split(b"\\0")[0]:
        parent = int(open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[1])
    return [open(f"/proc/{parent}/cmdline").read().replace("\\0", "|")]
context = SparkContext()
print("DRIVER", *flags(None))
print("EXECUTOR", *context.parallelize([0], 1).mapPartitions(flags).collect())
"""


def submitted(mxspark: Command, tmp_path: Path, *assignments: str) -> Finished:
    """JOB through spark-submit, with the Java options that EMR would make of a request."""
    found = emrs_own.DEFAULTS | classification(submission(*assignments), "spark-defaults")
    options = {key: value for key, value in found.items() if "JavaOptions" in key}
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "defaults.conf").write_text(emrs_own.properties_file(options))
    environment = {
        "SPARK_HOME": str(SPARK_35 / "pyspark"),
        "PYTHONPATH": str(SPARK_35),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_HOME": str(java_home(tmp_path)),
    }
    master = (
        "--master",
        "local-cluster[1,1,512]",
        "--conf",
        "spark.executor.memory=512m",
        "--properties-file",
        tmp_path / "defaults.conf",
    )
    return mxspark.run(
        str(SPARK_35 / "pyspark" / "bin" / "spark-submit"), *master, tmp_path / "job.py", environment=environment
    )


def test_java_starts_with_one_collector_and_ends_without_memory(mxspark: Command, tmp_path: Path) -> None:
    """The driver's is ours, the executors' a user's own."""
    done = submitted(mxspark, tmp_path, "spark.conf.spark.executor.extraJavaOptions=-XX:+UseG1GC -Dx=y").succeeded()

    started = [line for line in done.output.splitlines() if line.startswith(("DRIVER ", "EXECUTOR "))]
    # This kind of executor has its options several times.
    assert [set(re.findall(r"-XX:\+Use(\w+GC)\|", line)) for line in started] == [{"SerialGC"}, {"G1GC"}]
    assert all("|-XX:OnOutOfMemoryError=kill -9 %p|" in line for line in started)
