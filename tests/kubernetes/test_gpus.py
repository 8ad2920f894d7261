"""GPUs as Kubernetes and Spark hand them out: a resource nvidia.com/gpu that the tests advertise on a node, with
NVIDIA's usual taint.

No card is behind it, and the image is the CPU one: 4 GB for each node would prove no more without a card. So this
proves what pods ask for and where they go, who waits and what is said of it, that the address which Spark's discovery
finds is the one that MXNet is asked for (its refusal names it), and how a refusal ends the job. It proves nothing of a
forward pass on a GPU, nor of the GPU build in a pod: tests/gpu and tests/image have what can be had of that.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from tests.command import Command, Finished
from tests.kubernetes import long_job
from tests.kubernetes.cluster import Cluster, ClusterS3, namespaces
from tests.kubernetes.jobs import side_by_side
from tests.kubernetes.long_job import LongJob, Place, node_of

BEGUN = ("blind",)

RESOURCE = "nvidia.com/gpu"
ADDRESS = 5  # of the card, as the discovery script finds it: no default anywhere
OTHER_VENDOR = "example.com"
IMAGES = 800  # 200 s, of which the test takes as many as it needs
RUN_SECONDS = 600
# Without nvidia-smi the image's own script ends with an error, as it must.
SCRIPT = f"""#!/bin/sh
echo '{{"name": "gpu", "addresses": ["{ADDRESS}"]}}'
"""
MOUNTED = "/etc/gpu/discovery.sh"
OWN = "/opt/./gpu-discovery.sh"  # the image's; under its plain path settings refuse it for another vendor than NVIDIA


@pytest.fixture(scope="module")
def gpu_node(cluster: Cluster) -> Iterator[str]:
    """A node with one GPU, kept for those who ask for it. The other node has one of another vendor."""
    other, node = cluster.nodes
    advertise(cluster, node, RESOURCE, "1")
    advertise(cluster, other, f"{OTHER_VENDOR}/gpu", "1")
    cluster.kubectl("taint", "node", node, f"{RESOURCE}=present:NoSchedule", "--overwrite")
    try:
        yield node
    finally:
        cluster.kubectl("taint", "node", node, f"{RESOURCE}-")
        advertise(cluster, node, RESOURCE, None)
        advertise(cluster, other, f"{OTHER_VENDOR}/gpu", None)


def advertise(cluster: Cluster, node: str, resource: str, number: str | None) -> None:
    """As a device plugin does through the kubelet; None takes the resource away."""
    patch = {"status": {kind: {resource: number} for kind in ("capacity", "allocatable")}}
    cluster.kubectl("patch", f"node/{node}", "--subresource=status", "--type=merge", f"--patch={json.dumps(patch)}")


@pytest.fixture(scope="module")
def place(cluster: Cluster, cluster_image: str, s3: ClusterS3, mxspark: Command, bucket: str) -> Iterator[Place]:
    """A namespace with the stand-in for the discovery script."""
    script = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "discovery"},
        "data": {"discovery.sh": SCRIPT},
    }
    with namespaces(cluster) as make:
        namespace = make()
        namespace.kubectl.apply(script)
        yield long_job.prepared(namespace, cluster, cluster_image, s3, mxspark, bucket, IMAGES)


@pytest.fixture(scope="module")
def blind(place: Place, gpu_node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Finished]]:
    """A job whose executors have the GPU, but no nvidia-smi to find it with: Spark starts several before it gives
    up.
    """
    settings = with_gpu("gpu", gpu_discovery=OWN, gpu_vendor=OTHER_VENDOR, restarts=0)

    def run() -> Finished:
        with place.submitted("blind", **settings, output={"path": place.place("blind")}) as job:
            return job.running.wait(RUN_SECONDS)

    with side_by_side(tmp_path_factory, {"blind": run}) as found:
        yield found["blind"]


def with_gpu(context: str, **kubernetes: Any) -> dict[str, Any]:
    """Settings of a job with one executor, which has one GPU and cores for two tasks."""
    mounts = [{"name": "discovery", "mountPath": "/etc/gpu"}]
    volumes = [{"name": "discovery", "configMap": {"name": "discovery", "defaultMode": 0o555}}]
    template = {"spec": {"containers": [{"volumeMounts": mounts}], "volumes": volumes}}
    executor = {"cpu_request": "100m", "template": template}
    spark = {"executors": 1, "executor_cores": 2, "executor_gpus": 1, "executor_memory_overhead": "1g"}
    return {
        "context": context,
        "spark": spark,
        "kubernetes": {"gpu_discovery": MOUNTED, "executor": executor, **kubernetes},
    }


def the_executor(job: LongJob, phase: str) -> dict[str, Any]:
    """Its only executor's pod, when it is in a phase."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        job.running_still()
        found[:] = [pod for pod in job.pods("executor") if pod["status"]["phase"] == phase]
        return len(found) == 1

    job.kubectl.wait_until(is_there, f"the executor is {phase}")
    return found[0]


def test_one_job_has_the_gpu_and_the_next_one_waits_for_it(place: Place, gpu_node: str) -> None:
    with place.submitted("first", **with_gpu("auto")) as first:
        executor = the_executor(first, "Running")
        (container,) = executor["spec"]["containers"]
        assert container["resources"]["requests"][RESOURCE] == container["resources"]["limits"][RESOURCE] == "1"
        assert {"key": RESOURCE, "operator": "Exists", "effect": "NoSchedule"} in executor["spec"]["tolerations"]
        assert node_of(executor) == gpu_node
        assert RESOURCE not in json.dumps(first.pods("driver")), "the driver has no use for one"

        with place.submitted("second", **with_gpu("gpu"), output={"path": place.place("second")}) as second:
            waiting = the_executor(second, "Pending")
            assert node_of(waiting) == ""
            first.hurry()

            # Its executor runs on the CPU, two cores for the one task that has the GPU.
            ended = first.running.wait().succeeded()
            assert (
                "Running on auto (each executor takes a GPU if it has one that MXNet can use) with 1 worker"
                in ended.errors
            )
            assert (
                f"Running on cpu(0): the package mxnet that is installed is the CPU one, which can't use GPU {ADDRESS}"
                in ended.errors
            )
            assert f"{IMAGES} images: {IMAGES} ok, 0 failed" in ended.output

            refused = second.running.wait().ended_with(2)
            assert "1 waiting: Unschedulable: 0/2 nodes are available: " in refused.errors
            assert f"Insufficient {RESOURCE}" in refused.errors
            cause = f"context gpu: the package mxnet that is installed is the CPU one, which can't use GPU {ADDRESS}"
            assert f"the driver ended with exit code 2: {cause}" in refused.errors
            status = second.kubectl.json("get", "job/second")["status"]
            assert status["failed"] == 1, "trying again would not help"


def test_a_gpu_that_no_node_has_is_warned_of(place: Place) -> None:
    settings = with_gpu("gpu", gpu_vendor="amd.com", gpu_discovery="/opt/amd.sh")
    with place.submitted("none", **settings, output={"path": place.place("none")}) as job:
        the_executor(job, "Pending")
        job.kubectl.wait_until(
            lambda: "Insufficient amd.com/gpu" in job.kubectl("get", "events"), "the scheduler says why"
        )
        place.mxspark(
            "cancel", job.name, "--yes", "--namespace", job.kubectl.namespace, environment=place.environment
        ).succeeded()
        finished = job.running.wait().ended_with(1)

    assert (
        "Warning: no node of the cluster has 1 amd.com/gpu: executors stay pending until one does." in finished.errors
    )
    assert re.search(
        r"Executors: 0 of 1 running\n +1 waiting: Unschedulable: .* Insufficient amd.com/gpu", finished.errors
    )


def test_executors_that_have_no_driver_are_told_in_their_words(blind: Future[Finished]) -> None:
    """With the image's own script, in containers without nvidia-smi."""
    finished = blind.result().ended_with(1)
    assert (
        "the driver ended with exit code 1: Spark ended the application: too many executor failures" in finished.errors
    )
    assert re.search(
        r"Executor blind-\S+ was lost: exit code 1: gpu-discovery: nvidia-smi is not there: give the container its GPU",
        finished.errors,
    )
