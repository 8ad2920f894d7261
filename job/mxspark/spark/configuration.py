"""The Spark properties of a job, the same however it is started."""

import re
from collections.abc import Callable

from mxspark import host
from mxspark.errors import SECRET_NAME
from mxspark.settings.job import SparkSettings
from mxspark.settings.kubernetes import KubernetesSettings
from mxspark.spark import pods, run_key
from mxspark.spark.pods import DriverPod

# How often a shard is tried before the run gives up. What will not get better ends the run at once (worker/shard.py):
# these are for workers and nodes that are lost. Failures that are a bad machine's come on top, for Spark counts them
# too: failed_tasks.py tells them apart.
TASK_FAILURES = 8
UNIX_SOCKETS = "spark.python.unix.domain.socket.enabled"
MAX_FAILURES = "spark.task.maxFailures"
BAD_EXECUTORS = 500  # of which a shard may be failed, all others being excluded before it is given up
LOST_EXECUTORS = 100  # that a shard may lose on one bad node before Spark gives up; ShardTries says which of them count
TRIES_ON_EXECUTOR = 2  # of a shard at least: the second one decodes with care
# So many different shards may fail on an executor for each of its workers, in the whole run: images that kill workers
# are no fault of its.
FAILED_SHARDS = 100
# What Spark's pages and event log leave out, whether it is in a property's name or its value (the command line is one):
# besides Spark's own words, presigned addresses and those with a password. Without a backslash, which files of
# properties take for themselves.
REDACTED = rf"(?i){SECRET_NAME.pattern}|signature=|credential=|://[^/ ]*@"
# The JVM only hands out shard numbers: the simplest compiler and collector start fastest and take the least memory.
JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xlog:disable -Xlog:all=error:stderr"


# In a cluster of IPv6 alone Java would look for, and listen at, addresses that there are none of; for Python the same
# by a variable.
PREFER_IPV6 = "-Djava.net.preferIPv6Addresses=true"
PREFER_IPV6_VARIABLE = "SPARK_PREFER_IPV6"


def configuration(
    settings: SparkSettings,
    kubernetes: KubernetesSettings | None = None,
    pod: DriverPod | None = None,
    version: str = "",
) -> dict[str, str]:
    """The Spark properties of a job, the same however it is started; `spark.conf` wins over all of them.

    `pod` is that of the driver, where this process runs in one; `version` is that of Spark.
    """
    properties = {
        "spark.master": settings.master,
        "spark.app.name": settings.app_name,
        "spark.driver.memory": settings.driver_memory,
        "spark.task.cpus": str(settings.task_cpus),
        MAX_FAILURES: str(_spark_failures(settings)),
        "spark.executorEnv.OMP_NUM_THREADS": str(settings.task_cpus),
        "spark.python.worker.reuse": "true",
        # Over TCP each task would wait 40 ms for a delayed acknowledgement (Spark 4.1 and later; others ignore it). But
        # executors of Spark's own cluster would have their sockets in their machine's /tmp, where others are.
        UNIX_SOCKETS: "false" if settings.master.startswith("spark://") else "true",
        "spark.redaction.regex": REDACTED,
        "spark.ui.showConsoleProgress": "false",
        "spark.dynamicAllocation.enabled": "false",
        "spark.ui.killEnabled": "false",  # no one can end a job in Spark's web UI
        **run_key.properties(settings.master, version),
    }
    if settings.is_local:
        properties |= {
            "spark.master": _local_master(settings.master),
            # The wild-card address would let other machines in, and a host name may not resolve on a laptop.
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.driver.extraJavaOptions": JVM_OPTIONS,
        }
    else:
        java_options = f"{JVM_OPTIONS} {PREFER_IPV6}" if pod and pod.is_ipv6 else JVM_OPTIONS
        properties |= {
            "spark.driver.memoryOverhead": settings.driver_memory_overhead,
            "spark.driver.cores": str(settings.driver_cores),
            "spark.driver.extraJavaOptions": java_options,
            "spark.executor.extraJavaOptions": java_options,
            "spark.executor.cores": str(settings.executor_cores),
            "spark.executor.memory": settings.executor_memory,
            "spark.executor.memoryOverhead": settings.executor_overhead,
            # An executor whose node is taken away takes no new tasks, and those that it loses count as no failures.
            "spark.decommission.enabled": "true",
            # When a worker hangs, another node does the shard too; whichever writes last writes the same.
            "spark.speculation": "true",
            "spark.speculation.minTaskRuntime": "60s",
            **_exclusion(settings),
            **_executors(settings),
        }
    if pod and pod.is_ipv6:
        properties[f"spark.executorEnv.{PREFER_IPV6_VARIABLE}"] = "true"
    if settings.is_kubernetes:
        properties |= pods.properties(settings, kubernetes or KubernetesSettings(), pod)
    if settings.master.startswith("local-cluster"):
        executors, cores, memory = re.findall(r"\d+", settings.master)
        properties |= {
            "spark.executor.instances": executors,
            "spark.executor.cores": cores,
            "spark.executor.memory": f"{memory}m",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
        }
    return properties | settings.conf


def is_user_set(key: str, contains: Callable[[str], bool]) -> bool:
    """Whether those who submitted a job have set a property, by all that it `contains`: then it is left as it is.

    Java's options may be defaults, as on EMR. Spark would add others to them, and Java doesn't start with two
    collectors.
    """
    return contains(key) or contains(key.replace(".extraJavaOptions", ".defaultJavaOptions"))


def shard_failures(settings: SparkSettings) -> int:
    """How often a shard may fail that no bad machine is to blame for."""
    chosen = settings.conf.get(MAX_FAILURES, "")
    return int(chosen) if chosen.isdecimal() else TASK_FAILURES  # Spark refuses what is no number


def _spark_failures(settings: SparkSettings) -> int:
    """How often a shard may fail by Spark's count: so often that bad machines use up none of the tries that are for the
    shard's own faults. As chosen by hand where it is."""
    failures, executors = shard_failures(settings), most_executors(settings)
    if settings.is_local or executors == 1 or settings.conf.get(MAX_FAILURES):
        return failures
    return failures + _tries_on_executor(settings) * min(executors, BAD_EXECUTORS) + LOST_EXECUTORS


def _tries_on_executor(settings: SparkSettings) -> int:
    """Of a shard: a worker that an image kills fails a task too, and its executor is fine. So a shard is given up after
    as many failures as without exclusion, be the executors few, and an executor late."""
    return max(TRIES_ON_EXECUTOR, -(-shard_failures(settings) // most_executors(settings)))


def _exclusion(settings: SparkSettings) -> dict[str, str]:
    """Executors that can't work get no more tasks (failing_executors.py says of what)."""
    if most_executors(settings) == 1 or shard_failures(settings) <= TRIES_ON_EXECUTOR:
        return {}  # nobody else could do it; or Spark would refuse: a shard would be given up before its executor is
    return {
        "spark.excludeOnFailure.enabled": "true",
        "spark.excludeOnFailure.task.maxTaskAttemptsPerExecutor": str(_tries_on_executor(settings)),
        # Several executors may be on one machine, of which one can't work: its address isn't excluded. On Kubernetes
        # each has its own.
        "spark.excludeOnFailure.task.maxTaskAttemptsPerNode": str(_spark_failures(settings) - 1),
        "spark.excludeOnFailure.stage.maxFailedTasksPerExecutor": str(FAILED_SHARDS * settings.workers_of_executor),
    }


def most_executors(settings: SparkSettings) -> int:
    """How many there are at most."""
    if local := re.match(r"local-cluster\[\s*(\d+)", settings.master):
        return int(local[1])
    chosen = settings.dynamic_allocation
    return (chosen.max_executors or settings.executors) if chosen.enabled else settings.executors


def _executors(settings: SparkSettings) -> dict[str, str]:
    """How many there are."""
    chosen = settings.dynamic_allocation
    if not chosen.enabled:
        return {"spark.executor.instances": str(settings.executors)}
    # Not spark.executor.instances too: so many would be there at the start.
    # Without an external shuffle service Spark asks for shuffle tracking; this job shuffles nothing.
    return {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.minExecutors": str(chosen.min_executors),
        "spark.dynamicAllocation.initialExecutors": str(chosen.min_executors),
        "spark.dynamicAllocation.maxExecutors": str(most_executors(settings)),
        "spark.dynamicAllocation.executorIdleTimeout": f"{chosen.idle_seconds}s",
    }


def local_workers(settings: SparkSettings) -> int:
    """How many workers a master local, local[N] or local[*] has: each takes `task_cpus` of its cores."""
    threads = re.match(r"local\[(\*|\d+)", settings.master)
    cores = 1 if threads is None else host.cores() if threads[1] == "*" else int(threads[1])
    return max(1, cores // settings.task_cpus)


def _local_master(master: str) -> str:
    """Spark's local[N] does not try a failed task again; local[N, F] does."""
    match = re.fullmatch(r"local\[(\*|\d+)\]", master)
    return f"local[{match[1] if match else 1}, {TASK_FAILURES}]" if match or master == "local" else master
