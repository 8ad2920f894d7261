"""Jobs on the cluster (cluster.py)."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from examples.s3 import Server
from tests.command import LIMIT_SECONDS, REPOSITORY, Command, Finished
from tests.conftest import BUCKET, Here, put
from tests.image import conftest as image
from tests.image import images
from tests.kubernetes import manifests
from tests.kubernetes.cluster import GIVEN, Cluster, ClusterS3, Namespace, namespaces
from tests.kubernetes.jobs import SOME_DIGITS, Jobs, Ran, Watched, unique, watching
from tests.shared import shared
from tests.tiers import Missing

digits_table = image.digits_table

MEMORY_BYTES = 7e9  # the two nodes 1.5 GB, and Spark's driver and executors on them
FREE_BYTES = 12e9  # the programs, the nodes' image, and the job's image on each node


def missing() -> Missing | None:
    lacks = image.missing()
    if lacks is not None:
        return lacks
    if not all(map(shutil.which, ("kind", "kubectl"))) and shutil.which("go") is None:
        return Missing(
            "neither kind and kubectl are on PATH, nor Go, which builds them",
            "install those, or Go (Debian: apt-get install golang-go)",
        )
    if psutil.virtual_memory().total < MEMORY_BYTES:
        return Missing("too little memory for a cluster", f"it takes {MEMORY_BYTES / 1e9:.0f} GB")
    if shutil.disk_usage(REPOSITORY).free < FREE_BYTES:
        return Missing("too little disk for a cluster", f"free {FREE_BYTES / 1e9:.0f} GB")
    return None


@pytest.fixture(autouse=True)
def _begun(request: pytest.FixtureRequest) -> None:
    """The fixtures that a module names as BEGUN are made with its first test, if any of its tests uses them.

    So its last tests can look at jobs that have run beside the others: most of what these take is waiting.
    """
    used = {
        name
        for item in request.session.items
        if item.path == request.path
        for name in getattr(item, "fixturenames", ())
    }
    for name in getattr(request.module, "BEGUN", ()):
        if name in used:
            request.getfixturevalue(name)


@pytest.fixture(scope="session")
def bucket(
    s3: ClusterS3, digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A prefix of the bucket that holds the digits, their network, and images that are none."""
    with shared(tmp_path_factory, "bucket", lambda: filled(s3.server, digits_images, digits_bundle)) as prefix:
        yield prefix


@contextmanager
def filled(server: Server, images: Path, bundle: Path) -> Iterator[str]:
    prefix = f"jobs-{uuid4().hex[:8]}"
    objects = {f"digits/{path.name}": path.read_bytes() for path in images.iterdir()}
    objects |= {f"model/{path.name}": path.read_bytes() for path in bundle.iterdir()}
    objects |= {f"broken/{number}.png": b"no image" for number in range(20)}
    put(server, {f"{prefix}/{key}": data for key, data in objects.items()})
    yield prefix
    client = server.client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
        client.delete_objects(
            Bucket=BUCKET, Delete={"Objects": [{"Key": entry["Key"]} for entry in page["Contents"]], "Quiet": True}
        )


@pytest.fixture(scope="session")
def jobs_namespace(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """The namespace of the session's jobs."""
    with shared(tmp_path_factory, "jobs-namespace", lambda: one_namespace(cluster)) as found:
        yield found


@contextmanager
def one_namespace(cluster: Cluster) -> Iterator[Namespace]:
    with namespaces(cluster) as make:
        yield make()


@pytest.fixture(scope="session")
def jobs(jobs_namespace: Namespace, mxspark: Command, cluster_image: str, s3: ClusterS3, bucket: str) -> Jobs:
    """Jobs can be submitted: their images are in the bucket, its keys in a secret of their namespace."""
    jobs_namespace.kubectl.apply(manifests.bucket_keys(s3.server))
    return Jobs(jobs_namespace.kubectl, mxspark, cluster_image, s3, bucket)


class InThisProcess(Command):
    """The command without the seconds of a start, for what is over at once."""

    def __init__(self, here: Here) -> None:
        super().__init__({})
        self._here = here

    def __call__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str | None] | None = None,
        seconds: float = LIMIT_SECONDS,
    ) -> Finished:
        return self._here(*arguments, environment=environment or {})


@pytest.fixture
def at_once(jobs: Jobs, here: Here, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """The same jobs, whose commands run in this process."""
    monkeypatch.delenv(GIVEN, raising=False)  # which they would take for a setting
    return replace(jobs, mxspark=InThisProcess(here))


@pytest.fixture(scope="session")
def watched(jobs_namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """What becomes of the jobs' pods, from the first on."""
    with shared(tmp_path_factory, "watched", lambda: watching(jobs_namespace.kubectl)) as found:
        yield found


@pytest.fixture(scope="session")
def two_runs(
    jobs: Jobs, watched: Watched, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ran, Ran]]:
    """Two jobs side by side in one namespace: all digits on two executors; some on one of another size, with a claimed
    volume and the driver's whole log."""
    with shared(tmp_path_factory, "two-runs", lambda: running_twice(jobs, cluster)) as ran:
        yield ran


@contextmanager
def running_twice(jobs: Jobs, cluster: Cluster) -> Iterator[tuple[Ran, Ran]]:
    two, one = unique("two"), unique("one")
    of_two = jobs.settings(two, spark={"executors": 2, "executor_memory_overhead": "640m"})
    of_one = jobs.settings(
        one,
        input={"limit": SOME_DIGITS},
        spark={"executor_memory": "600m", "executor_memory_overhead": "700m"},
        kubernetes={
            "local_directory": {"storage_class": one, "size": "1Gi"},
            "executor": {"cpu_request": "150m", "cpu_limit": "1500m"},
        },
    )
    with volume(cluster, one), ThreadPoolExecutor() as threads:
        running = (
            threads.submit(jobs.submit, of_two, "--name", two),
            threads.submit(jobs.submit, of_one, "--name", one, "--logs"),
        )
        yield Ran(two, running[0].result()), Ran(one, running[1].result())


@contextmanager
def volume(cluster: Cluster, name: str) -> Iterator[None]:
    """A volume of a storage class of the same name: a folder that each node has."""
    path = f"/var/tmp/{name}"  # of a node
    for node in cluster.nodes:
        subprocess.run([images.docker(), "exec", node, "mkdir", "--mode=777", path], check=True)
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": name,
        "hostPath": {"path": path},
    }
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})
    try:
        yield
    finally:
        cluster.kubectl.delete(f"persistentvolume/{name}")


@pytest.fixture(scope="session")
def followed(two_runs: tuple[Ran, Ran]) -> Ran:
    return two_runs[0]


@pytest.fixture(scope="session")
def with_logs(two_runs: tuple[Ran, Ran]) -> Ran:
    return two_runs[1]
