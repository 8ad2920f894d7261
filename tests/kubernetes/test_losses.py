"""What a job makes of losses in mid-run: executors, its driver, nodes. The S3 server is on the node that stays."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from tests.command import Command
from tests.faults.runs import Rows
from tests.image import images
from tests.kubernetes import long_job
from tests.kubernetes.cluster import Cluster, ClusterS3, Namespace
from tests.kubernetes.jobs import PROGRESS
from tests.kubernetes.long_job import EXECUTORS, SHARD_SIZE, LongJob, Place, name_of, node_of

Drained = Callable[[], AbstractContextManager[None]]

# Held back, until nothing more is to happen to a job: 80 s with one executor, 160 s with two where it must last until
# others run in the place of those that were lost.
IMAGES, MORE_IMAGES = 320, 1280
RUN_AGAIN_SECONDS = 300  # a node that falls silent is given up after 60 to 70 s, and its pods removed 20 s later


@pytest.fixture(scope="module")
def undisturbed(digits_table: Path) -> list[dict[str, Any]]:
    """The rows, by key, of a run of the same image that nothing happened to."""
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(digits_table).sort_by("key").to_pylist()
    return rows


def first(rows: list[dict[str, Any]], number: int) -> Rows:
    """Those of a job with this limit."""
    return {row["key"]: row for row in rows[:number]}


@pytest.fixture
def place(
    namespace: Namespace, cluster: Cluster, cluster_image: str, s3: ClusterS3, mxspark: Command, bucket: str
) -> Place:
    return long_job.prepared(namespace, cluster, cluster_image, s3, mxspark, bucket, IMAGES)


@pytest.fixture
def worker(cluster: Cluster) -> str:
    """The node that may go: the control plane's stays, with all that the cluster needs."""
    return cluster.nodes[1]


@pytest.fixture
def drained(cluster: Cluster, worker: str) -> Drained:
    """The worker is drained while the context lasts."""

    @contextmanager
    def drain() -> Iterator[None]:
        try:
            cluster.kubectl("drain", worker, "--ignore-daemonsets", "--delete-emptydir-data", "--force", seconds=180)
            yield
        finally:
            cluster.kubectl("uncordon", worker)

    return drain


@pytest.fixture
def stopped(cluster: Cluster, worker: str) -> Iterator[Callable[[], None]]:
    """Stops the worker as a machine that is switched off, and starts it again at the end."""
    docker = images.docker()
    if subprocess.run([docker, "container", "inspect", worker], capture_output=True, check=False).returncode != 0:
        pytest.skip(
            f"NOT TESTED: the loss of a node, which takes the Docker that node {worker} of the given cluster runs in"
        )

    def stop() -> None:
        subprocess.run([docker, "stop", worker], check=True, capture_output=True)

    yield stop
    # Not before it is known to be gone: until then what Kubernetes says of it is old.
    cluster.kubectl.wait_until(lambda: not is_ready(cluster, worker), f"{worker} is known to be gone")
    subprocess.run([docker, "start", worker], check=True, capture_output=True)
    cluster.kubectl.wait_until(lambda: is_ready(cluster, worker), f"{worker} is back")


def is_ready(cluster: Cluster, node: str) -> bool:
    conditions = cluster.kubectl.json("get", f"node/{node}")["status"]["conditions"]
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def rather_on(node: str) -> dict[str, Any]:
    """Settings of pods that are on a node as long as it takes any."""
    wish = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {
        "affinity": {
            "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": wish}]}
        }
    }


def wait_for_executors(job: LongJob, lost: list[str], node: str = "") -> None:
    """Until none of those that were lost is left, and as many others work for the driver as are asked for."""

    def are_there() -> bool:
        job.running_still()
        running = [
            pod for pod in job.pods("executor") if pod["status"]["phase"] == "Running" and name_of(pod) not in lost
        ]
        addresses = {pod["status"]["podIP"] for pod in running if node in ("", node_of(pod))}
        return len(addresses) == EXECUTORS and addresses <= job.registered()

    job.kubectl.wait_until(are_there, f"others run in place of {lost}", RUN_AGAIN_SECONDS)


@pytest.mark.alone
def test_executors_and_nodes_that_are_lost_cost_no_more_than_what_they_had_begun(
    place: Place,
    undisturbed: list[dict[str, Any]],
    cluster: Cluster,
    worker: str,
    drained: Drained,
    stopped: Callable[[], None],
) -> None:
    stays = cluster.nodes[0]
    settings = {"driver": rather_on(worker), "executor": rather_on(worker), "restarts": 0}
    with place.submitted("losses", input={"limit": MORE_IMAGES}, kubernetes=settings) as job:
        # The node is drained: the driver is started on the other one, which is no failure.
        job.wait_for_parts(2)
        assert [node_of(pod) for pod in (*job.pods("driver"), *job.pods("executor"))] == 3 * [worker]
        with drained():
            wait_for_executors(job, [], stays)
            job.wait_for_parts(1)
        assert job.kubectl.json("get", "job/losses")["status"].get("failed", 0) == 0
        assert [node_of(pod) for pod in job.pods("driver")] == [stays]
        begun = job.fetched_twice()
        assert begun <= EXECUTORS * SHARD_SIZE

        # An executor is deleted: it ends its shard first, and another takes its place.
        graceful, forced = map(name_of, job.pods("executor"))
        job.kubectl("delete", f"pod/{graceful}", "--wait=false")
        job.kubectl.wait(f"pod/{graceful}", "delete")
        wait_for_executors(job, [graceful])
        assert job.fetched_twice() == begun, "it has ended its shard"
        assert job.failed_tasks() == 0

        # The other one is gone at once.
        job.kubectl("delete", f"pod/{forced}", "--force", "--grace-period=0")
        wait_for_executors(job, [graceful, forced])

        # Both run on the node that may go, which is switched off.
        executors = job.pods("executor")
        assert {node_of(pod) for pod in executors} == {worker}
        stopped()
        wait_for_executors(job, list(map(name_of, executors)), stays)
        job.hurry()
        finished = job.ended_well(first(undisturbed, MORE_IMAGES), twice=(2 * EXECUTORS + 1) * SHARD_SIZE)

    assert len(re.findall(r"^[\d:]+ Resuming the run of .* images done", finished.errors, re.MULTILINE)) == 1
    assert PROGRESS.search(finished.errors), "how far it is, with images, shards and images a second"


def test_a_driver_that_is_deleted_or_killed_is_started_again_and_goes_on_although_it_overwrites(
    place: Place, undisturbed: list[dict[str, Any]]
) -> None:
    # By default the one after a driver that was killed waits 30 s.
    with place.submitted(
        "driver", "--yes", output={"lock_seconds": 5, "overwrite": True}, spark={"executors": 1}
    ) as job:
        for flags in ((), ("--force", "--grace-period=0")):
            job.wait_for_parts(2)
            kept = job.parts()
            driver, executor = job.pod("driver"), job.pod("executor")
            job.kubectl("delete", f"pod/{driver}", "--wait=false", *flags)
            for name in (driver, executor):
                job.kubectl.wait(f"pod/{name}", "delete")
            assert kept.items() <= job.parts().items(), "what was done before is kept"
        job.hurry()
        finished = job.ended_well(first(undisturbed, IMAGES), twice=2 * SHARD_SIZE)

    assert len(re.findall(r"^[\d:]+ Resuming the run of .* images done", finished.errors, re.MULTILINE)) == 2
