"""Jobs on the cluster (cluster.py)."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from tests.command import REPOSITORY, Command
from tests.conftest import BUCKET, put
from tests.image import conftest as image
from tests.kubernetes import manifests
from tests.kubernetes.cluster import Cluster, ClusterS3, Namespace, namespaces
from tests.kubernetes.jobs import Jobs, Ran, Watched, unique, watching
from tests.tiers import Missing

MEMORY_BYTES = 7e9  # the two nodes 1.5 GB, and Spark's driver and executors on them
FREE_BYTES = 12e9  # the programs, the nodes' image, and the job's image on each node


def missing() -> Missing | None:
    lacks = image.missing()
    if lacks is not None:
        return lacks
    if not all(map(shutil.which, ("kind", "kubectl"))) and shutil.which("go") is None:
        return Missing(
            "neither kind and kubectl are on PATH, nor Go, which builds them", "install those, or Go (Debian: apt-get install golang-go)"
        )
    if psutil.virtual_memory().total < MEMORY_BYTES:
        return Missing("too little memory for a cluster", f"it takes {MEMORY_BYTES / 1e9:.0f} GB")
    if shutil.disk_usage(REPOSITORY).free < FREE_BYTES:
        return Missing("too little disk for a cluster", f"free {FREE_BYTES / 1e9:.0f} GB")
    return None


@pytest.fixture(scope="session")
def bucket(s3: ClusterS3, digits_images: Path, digits_bundle: Path) -> Iterator[str]:
    """A prefix of the bucket that holds the digits, their network, and images that are none."""
    prefix = f"jobs-{uuid4().hex[:8]}"
    objects = {f"digits/{path.name}": path.read_bytes() for path in digits_images.iterdir()}
    objects |= {f"model/{path.name}": path.read_bytes() for path in digits_bundle.iterdir()}
    objects |= {f"broken/{number}.png": b"no image" for number in range(20)}
    put(s3.server, {f"{prefix}/{key}": data for key, data in objects.items()})
    yield prefix
    client = s3.server.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
        client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": entry["Key"]} for entry in page["Contents"]], "Quiet": True})


@pytest.fixture(scope="session")
def jobs_namespace(cluster: Cluster) -> Iterator[Namespace]:
    """The namespace of the session's jobs."""
    with namespaces(cluster) as make:
        yield make()


@pytest.fixture(scope="session")
def jobs(jobs_namespace: Namespace, mxspark: Command, cluster_image: str, s3: ClusterS3, bucket: str) -> Jobs:
    """Jobs can be submitted: their images are in the bucket, its keys in a secret of their namespace."""
    jobs_namespace.kubectl.apply(manifests.bucket_keys(s3.server))
    return Jobs(jobs_namespace.kubectl, mxspark, cluster_image, s3, bucket)


@pytest.fixture(scope="session")
def watched(jobs_namespace: Namespace) -> Iterator[Watched]:
    """What becomes of the jobs' pods, from the first on."""
    with watching(jobs_namespace.kubectl) as found:
        yield found


@pytest.fixture(scope="session")
def two_runs(jobs: Jobs, watched: Watched) -> tuple[Ran, Ran]:
    """All digits twice, side by side in one namespace: on two executors, and on three with the driver's whole log."""
    two, three = unique("two"), unique("three")
    of_two = jobs.settings(two, spark={"executors": 2, "executor_memory_overhead": "640m"})
    of_three = jobs.settings(
        three,
        spark={"executors": 3, "executor_memory": "600m", "executor_memory_overhead": "700m"},
        kubernetes={"executor": {"cpu_request": "150m", "cpu_limit": "1500m"}},
    )
    with ThreadPoolExecutor() as threads:
        running = threads.submit(jobs.submit, of_two, "--name", two), threads.submit(jobs.submit, of_three, "--name", three, "--logs")
    return Ran(two, running[0].result()), Ran(three, running[1].result())


@pytest.fixture(scope="session")
def followed(two_runs: tuple[Ran, Ran]) -> Ran:
    return two_runs[0]


@pytest.fixture(scope="session")
def with_logs(two_runs: tuple[Ran, Ran]) -> Ran:
    return two_runs[1]
