"""A real Kubernetes: image → cluster → namespace, each made once by the commands that a person types, and the S3 server
in the cluster.

A plugin (tests/conftest.py): all tiers that need a cluster have the same. MXSPARK_TESTS_KUBECONFIG names the kubeconfig
file of a kind cluster to use instead (its current context); it is left running then.
"""

import base64
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from examples.kind.forward import forwarded
from examples.s3 import Server
from tests.command import REPOSITORY
from tests.conftest import BUCKET
from tests.image import images
from tests.image.container import Image
from tests.kubernetes import manifests
from tests.kubernetes.kubectl import Kubectl
from tests.shared import once, run_folder, shared

GIVEN = "MXSPARK_TESTS_KUBECONFIG"
CLUSTER = "mxspark-tests"
KIND = REPOSITORY / "tools" / "kind.sh"
GO_TOOLS = REPOSITORY / "tools" / "go-tools.sh"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "alone: takes nodes or their CPUs away, so that no other test may use the cluster meanwhile"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    if "cluster" not in getattr(item, "fixturenames", ()):
        return (yield)
    factory: pytest.TempPathFactory = getattr(item.config, "_tmp_path_factory")  # noqa: B009  # the fixture's own
    if not _needs_it_alone(item):
        with using_the_cluster(factory):
            return (yield)
    # Until the last of them: what others have on the nodes in between would be lost with a node.
    if not _ALONE:
        _ALONE.append(ExitStack())
        _ALONE[0].enter_context(using_the_cluster(factory, alone=True))
    try:
        return (yield)
    finally:
        if nextitem is None or not _needs_it_alone(nextitem):
            _ALONE.pop().close()


_ALONE: list[ExitStack] = []  # while this process has the cluster for itself


def _needs_it_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@contextmanager
def using_the_cluster(factory: pytest.TempPathFactory, *, alone: bool = False) -> Iterator[None]:
    """No test takes nodes or their CPUs away meanwhile; or, `alone`, no other uses the cluster."""
    with open(run_folder(factory) / "cluster.alone", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@dataclass(frozen=True)
class Cluster:
    """A kind cluster, and how to reach it."""

    name: str
    kubectl: Kubectl

    def kind(self, *arguments: str, **environment: str) -> str:
        """`tools/kind.sh`, for this cluster."""
        return images.make(
            KIND, *arguments, KIND_CLUSTER=self.name, KUBECONFIG=str(self.kubectl.kubeconfig), **environment
        )

    @property
    def nodes(self) -> list[str]:
        """Their names, the control plane's first; Docker's containers have the same."""
        return sorted(node["metadata"]["name"] for node in self.kubectl.items("nodes"))

    def has(self, image_name: str, nodes: Sequence[str]) -> bool:
        """Whether these nodes have an image of this name, as far as they have told yet."""
        told = [
            [name for entry in node["status"].get("images", []) for name in entry["names"]]
            for node in self.kubectl.items("nodes")
            if node["metadata"]["name"] in nodes
        ]
        return all(f"docker.io/library/{image_name}" in names for names in told)

    def load(self, loaded: Image, nodes: Sequence[str] | None = None) -> str:
        """The name under which pods find an image, on all nodes or these: it takes 20 s of a processor for each GB and
        node.

        The name has a part of the image's ID in it: another build never takes its place unseen.
        """
        nodes = self.nodes if nodes is None else nodes
        name = f"{images.NAME}:{loaded.description['Id'].removeprefix('sha256:')[:12]}"
        if not self.has(name, nodes):
            subprocess.run([loaded.docker, "tag", loaded.name, name], check=True)
            self.kind("load", name, KIND_NODES=",".join(nodes))
            subprocess.run([loaded.docker, "rmi", "--no-prune", name], check=True, capture_output=True)
        return name


@dataclass(frozen=True)
class ClusterS3:
    """The S3 server in the cluster: `server` as this machine reaches it, `endpoint_url` as pods do."""

    server: Server
    endpoint_url: str = "http://s3.s3:8333"

    @property
    def environment(self) -> dict[str, str]:
        """What a client in a pod needs in its environment."""
        return {**self.server.environment, "AWS_ENDPOINT_URL": self.endpoint_url}


@dataclass(frozen=True)
class Namespace:
    """A namespace that admits restricted pods only, with the ServiceAccount that Spark's driver runs as."""

    name: str
    kubectl: Kubectl
    service_account: str = manifests.SERVICE_ACCOUNT


@pytest.fixture(scope="session")
def cluster(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes; the job's image is not on them yet."""
    with shared(
        tmp_path_factory, "cluster", lambda: running_cluster(base, tmp_path_factory.mktemp("cluster"))
    ) as found:
        yield found


@contextmanager
def running_cluster(base: str, folder: Path) -> Iterator[Cluster]:
    program = images.make(GO_TOOLS, "kubectl").splitlines()[-1]
    if os.environ.get(GIVEN):
        yield given_cluster(Kubectl(program, Path(os.environ[GIVEN]).resolve()))
        return
    made = Cluster(CLUSTER, Kubectl(program, folder / "kubeconfig"))
    made.kind("down")  # one that a run before has left
    try:
        made.kind("up", BASE=base)
        yield made
    finally:
        made.kind("down")


def given_cluster(kubectl: Kubectl) -> Cluster:
    """The cluster that a kubeconfig file's current context is for."""
    context = kubectl("config", "current-context").strip()
    if not context.startswith("kind-"):
        pytest.fail(f"{GIVEN}: the context {context} is for no kind cluster, which images could be loaded into")
    return Cluster(context.removeprefix("kind-"), kubectl)


@pytest.fixture(scope="session")
def cluster_image(cluster: Cluster, cpu_image: Image, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the CPU image on the nodes."""
    return once(tmp_path_factory, "cluster-image", lambda: cluster.load(cpu_image))


@pytest.fixture(scope="session")
def s3(cluster: Cluster, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterS3]:
    """The S3 server of `make kind-up`, with the bucket `tests` too."""
    kubectl = cluster.kubectl.within("s3")
    with shared(tmp_path_factory, "cluster-s3", lambda: running_s3(cluster, kubectl, base)) as server:
        yield ClusterS3(server)


@contextmanager
def running_s3(cluster: Cluster, kubectl: Kubectl, base: str) -> Iterator[Server]:
    # One that is there stays as it is, also where another version would be made now: its data would go with its pod.
    if kubectl.run("rollout", "status", "deployment/s3", "--timeout=1s").code != 0:
        cluster.kind("s3", BASE=base)
    encoded = kubectl.json("get", "secret/credentials")["data"]
    keys = {name: base64.b64decode(value).decode() for name, value in encoded.items()}
    with forwarded(kubectl.command, "service/s3", 8333) as port:
        server = Server(
            f"http://127.0.0.1:{port}", keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], "localhost"
        )
        buckets = [bucket["Name"] for bucket in server.client().list_buckets()["Buckets"]]
        if BUCKET not in buckets:
            server.client().create_bucket(Bucket=BUCKET)
        yield server


@contextmanager
def namespaces(cluster: Cluster, *, account: bool = True) -> Iterator[Callable[[], Namespace]]:
    """Makes namespaces, with or without an `account` for Spark; they go at the end, with all that is in them."""
    made: list[Namespace] = []

    def make() -> Namespace:
        name = f"tests-{uuid4().hex[:8]}"
        kubectl = cluster.kubectl.within(name)
        made.append(Namespace(name, kubectl))
        kubectl.apply(manifests.namespace(name), *(manifests.spark_account(name) if account else ()))
        # Pods that name no account are refused until it is there.
        kubectl.wait_until(
            lambda: kubectl.run("get", "serviceaccount/default").code == 0, "the ServiceAccount default is made"
        )
        return made[-1]

    try:
        yield make
    finally:
        for namespace in made:
            namespace.kubectl.delete("jobs", "--all", "--wait=false")  # else they would make new pods
            # Otherwise it waits for what they were granted.
            namespace.kubectl.delete("pods", "--all", "--grace-period=1", "--wait=false")
            namespace.kubectl.delete("namespace", namespace.name, "--wait=false")


@pytest.fixture
def new_namespace(cluster: Cluster) -> Iterator[Callable[[], Namespace]]:
    """Makes namespaces for one test."""
    with namespaces(cluster) as make:
        yield make


@pytest.fixture
def namespace(new_namespace: Callable[[], Namespace]) -> Namespace:
    """An empty namespace."""
    return new_namespace()
