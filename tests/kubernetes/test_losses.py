"""What a job makes of losses in mid-run: executors, its driver, nodes. The S3 server is on the node that stays."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.command import Command
from tests.faults.runs import Job, Rows, some_digits
from tests.image import images
from tests.kubernetes import long_job
from tests.kubernetes.cluster import Cluster, ClusterS3, Namespace
from tests.kubernetes.long_job import EXECUTORS, SHARD_SIZE, LongJob, Place, name_of, node_of

from mxspark.pods import EXECUTOR_GRACE

IMAGES = 160  # 20 s of work
RUN_AGAIN_SECONDS = 180  # a node that falls silent is given up after 60 to 70 s, and its pods removed 20 s later
MORE_IMAGES = 320  # where the job must last until others run in place of those that were lost


@pytest.fixture(scope="module")
def digits(digits_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of all jobs here."""
    return some_digits(digits_images, tmp_path_factory.mktemp("digits") / "images", MORE_IMAGES)


@pytest.fixture(scope="module")
def all_expected(mxspark: Command, digits: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of a run on this machine that nothing happened to."""
    job = Job(digits, digits_bundle, tmp_path_factory.mktemp("undisturbed") / "table", SHARD_SIZE)
    mxspark(*job.command, "--set", r"input.true_label=_(\d)\.png$").succeeded()
    return job.rows


@pytest.fixture
def expected(all_expected: Rows) -> Rows:
    """The first of them, for jobs with this limit."""
    return {key: all_expected[key] for key in sorted(all_expected)[:IMAGES]}


@pytest.fixture
def place(
    namespace: Namespace, cluster: Cluster, cluster_image: str, s3: ClusterS3, mxspark: Command, digits: Path, digits_bundle: Path
) -> Place:
    return long_job.prepared(namespace, cluster, cluster_image, s3, mxspark, digits.iterdir(), digits_bundle, IMAGES)


@pytest.fixture
def worker(cluster: Cluster) -> str:
    """The node that may go: the control plane's stays, with all that the cluster needs."""
    return cluster.nodes[1]


@pytest.fixture
def drained(cluster: Cluster, worker: str) -> Iterator[Callable[[], None]]:
    """Drains the worker, and takes it into service again at the end."""

    def drain() -> None:
        cluster.kubectl("drain", worker, "--ignore-daemonsets", "--delete-emptydir-data", "--force", seconds=180)

    yield drain
    cluster.kubectl("uncordon", worker)


@pytest.fixture
def stopped(cluster: Cluster, worker: str) -> Iterator[Callable[[], None]]:
    """Stops the worker as a machine that is switched off, and starts it again at the end."""
    docker = images.docker()
    if subprocess.run([docker, "container", "inspect", worker], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"NOT TESTED: the loss of a node, which takes the Docker that node {worker} of the given cluster runs in")

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


def on(node: str) -> dict[str, Any]:
    """Settings of pods that must be on a node."""
    return {"node_selector": {"kubernetes.io/hostname": node}}


def rather_on(node: str) -> dict[str, Any]:
    """Settings of pods that are on a node as long as it takes any."""
    wish = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": wish}]}}}


def wait_for_executors(job: LongJob, lost: list[str], node: str = "") -> None:
    """Until none of those that were lost is left, and as many others run as are asked for."""

    def are_there() -> bool:
        job.running_still()
        names = {name_of(pod): node_of(pod) for pod in job.pods("executor") if pod["status"]["phase"] == "Running"}
        return len(names) == EXECUTORS and not names.keys() & set(lost) and node in ("", *names.values())

    job.kubectl.wait_until(are_there, f"others run in place of {lost}", RUN_AGAIN_SECONDS)


def test_executors_that_are_deleted_are_replaced(place: Place, all_expected: Rows) -> None:
    with place.submitted("executors", input={"limit": MORE_IMAGES}) as job:
        job.wait_for_parts(2)
        graceful, forced = map(name_of, job.pods("executor"))
        job.kubectl("delete", f"pod/{graceful}", "--wait=false")
        job.kubectl.wait(f"pod/{graceful}", "delete")
        wait_for_executors(job, [graceful])
        assert job.fetched_twice() == 0, "it has ended its shard"
        assert job.failed_tasks() == 0

        job.kubectl("delete", f"pod/{forced}", "--force", "--grace-period=0")
        wait_for_executors(job, [graceful, forced])
        job.ended_well(all_expected, twice=SHARD_SIZE)


def test_a_driver_that_is_deleted_or_killed_is_started_again_and_goes_on(place: Place, expected: Rows) -> None:
    lock = {"lock_seconds": 5}  # by default the one after a driver that was killed waits 30 s
    with place.submitted("driver", output=lock) as job:
        job.wait_for_parts(2)
        for flags in ((), ("--force", "--grace-period=0")):
            driver, executors = job.pod("driver"), job.pods("executor")
            job.kubectl("delete", f"pod/{driver}", "--wait=false", *flags)
            job.kubectl.wait(f"pod/{driver}", "delete")
            for pod in executors:
                job.kubectl.wait(f"pod/{name_of(pod)}", "delete")
            job.wait_for_parts(2)
        finished = job.ended_well(expected, twice=2 * EXECUTORS * SHARD_SIZE)

    assert len(re.findall(r"^Going on with the run of .* images are kept", finished.output, re.MULTILINE)) == 2


def test_executors_of_a_node_that_is_drained_end_their_shards_and_others_are_started_elsewhere(
    place: Place, expected: Rows, cluster: Cluster, worker: str, drained: Callable[[], None]
) -> None:
    stays = cluster.nodes[0]
    with place.submitted("drained", kubernetes={"driver": on(stays), "executor": rather_on(worker)}) as job:
        job.wait_for_parts(2)
        executors = job.pods("executor")
        assert {node_of(pod) for pod in executors} == {worker}
        drained()
        wait_for_executors(job, list(map(name_of, executors)), stays)
        assert job.failed_tasks() == 0
        job.ended_well(expected, twice=0)


def test_a_driver_of_a_node_that_is_drained_is_started_elsewhere_and_that_is_no_failure(
    place: Place, expected: Rows, worker: str, drained: Callable[[], None]
) -> None:
    with place.submitted("driver", kubernetes={"restarts": 0, "driver": rather_on(worker)}) as job:
        job.wait_for_parts(2)
        assert node_of(job.pods("driver")[0]) == worker
        drained()
        finished = job.ended_well(expected, twice=EXECUTORS * SHARD_SIZE)
        assert job.kubectl.json("get", "job/driver")["status"].get("failed", 0) == 0

    assert "Going on with the run of " in finished.output


def test_a_node_that_is_lost_costs_the_shards_that_it_had_begun(
    place: Place, expected: Rows, cluster: Cluster, worker: str, stopped: Callable[[], None]
) -> None:
    stays = cluster.nodes[0]
    with place.submitted("lost", kubernetes={"driver": on(stays), "executor": rather_on(worker)}) as job:
        job.wait_for_parts(2)
        executors = job.pods("executor")
        assert {node_of(pod) for pod in executors} == {worker}
        stopped()
        wait_for_executors(job, list(map(name_of, executors)), stays)
        job.ended_well(expected, twice=EXECUTORS * SHARD_SIZE)


def test_a_job_that_is_cancelled_is_gone_before_its_executors_grace_is_over(place: Place) -> None:
    with place.submitted("cancelled") as job:
        job.wait_for_parts(2)
        parts = job.parts()
        place.mxspark("cancel", job.name, "--yes", "--namespace", job.kubectl.namespace, environment=place.environment).succeeded()
        job.kubectl.wait_until(lambda: not job.objects(), "nothing is left of it", EXECUTOR_GRACE)
        finished = job.running.wait().ended_with(1)
        assert "job cancelled is gone: somebody deleted it" in finished.errors
        assert job.parts().keys() >= parts.keys()
