"""Pods beside a job that want to be part of it. (Not every network plugin of kind enforces the policies against
others.)
"""

from typing import Any

from tests.kubernetes.manifests import pod

from mxspark.spark import pods

JAVA = ("/opt/java/bin/java", "-cp", "/opt/spark/jars/*", "-Xmx256m", "-XX:TieredStopAtLevel=1")
# As Spark opens them for itself, in conf of spark-class.
OPENED = ("lang", "lang.invoke", "net", "nio", "util", "util.concurrent")


def executor(name: str, image: str, address: str, instance: str) -> dict[str, Any]:
    """Spark's own executor, as the image has it, with the labels of the job's: no policy keeps it away."""
    opened = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in OPENED]
    backend = "org.apache.spark.executor.CoarseGrainedExecutorBackend"
    driver = f"spark://CoarseGrainedScheduler@{address}:{pods.RPC_PORT}"
    told = ("--driver-url", driver, "--executor-id", "99", "--hostname", "localhost", "--cores", "1", "--app-id", "x")
    manifest = pod(name, image, *JAVA, *opened, "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", backend, *told)
    manifest["metadata"]["labels"] |= pods.labels(instance, "executor")
    return manifest
