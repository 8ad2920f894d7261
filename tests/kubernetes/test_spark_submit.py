"""Plain spark-submit, word for word as docs/kubernetes.md has it: in cluster mode from this machine, in client mode
from a pod.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.command import REPOSITORY, Command, Finished, environment_without_aws
from tests.kubernetes import manifests
from tests.kubernetes.cluster import Cluster, ClusterS3, namespaces
from tests.kubernetes.jobs import RUN_SECONDS, SOME_DIGITS, Jobs, Watched, accuracy, side_by_side, watching
from tests.kubernetes.manifests import BUCKET_KEYS
from tests.kubernetes.users import as_user
from tests.spark.conftest import ALL_DIGITS, TRUE_LABEL

from mxspark.spark.configuration import JVM_OPTIONS
from mxspark.spark.java import java_home

BEGUN = ("submitted",)

DOCS = REPOSITORY / "docs" / "kubernetes.md"
ACCOUNT = "mxspark"


def block(beginning: str) -> str:
    """The file or the commands of the documentation that begin so."""
    found = re.search(rf"^```\w+\n({re.escape(beginning)}.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{DOCS} has no {beginning}"
    return found[1]


@dataclass(frozen=True)
class Documented:
    """What the documentation says to type, with the names of this cluster instead of the example's."""

    jobs: Jobs
    watched: Watched
    server: str
    folder: Path
    environment: dict[str, str]

    def text(self, beginning: str, name: str) -> str:
        jobs, text = self.jobs, block(beginning)
        names = {
            "https://API-SERVER:6443": self.server,
            "namespace vision": f"namespace {jobs.namespace}",
            "namespace=vision": f"namespace={jobs.namespace}",
            "registry.example.com/mxspark:0.1.0": jobs.image,
            "mxspark:latest": jobs.image,
            "s3://images/digits/": jobs.place("digits/"),
            "s3://models/digits": jobs.place("model"),
            "s3://results/client": jobs.place(name),
            "secretRef: {name: s3}": f"secretRef: {{name: {BUCKET_KEYS}}}",
            "credentials_from=s3": f"credentials_from={BUCKET_KEYS}",
            "s3://images/photos": jobs.place("digits/"),
            "s3://models/efficientnet-lite0": jobs.place("model"),
            "s3://images/predictions": jobs.place(name),
            "secretRef: {name: bucket}": f"secretRef: {{name: {BUCKET_KEYS}}}",
            "credentials_from=bucket": f"credentials_from={BUCKET_KEYS}",
            "pod photos": f"pod {name}",
            "logs photos": f"logs {name}",
            "pod.name=photos": f"pod.name={name}",
            "metadata: {name: photos}": f"metadata: {{name: {name}}}",
        }
        # All at once: one's own name may look like another's example.
        return re.sub("|".join(map(re.escape, names)), lambda found: names[found[0]], text)

    @property
    def flags(self) -> tuple[str, ...]:
        """What the job needs besides, because its S3 server is not AWS's and its machine is small."""
        server = f"--endpoint-url={self.jobs.s3.endpoint_url}", "--set=storage.region=us-east-1"
        return *server, f"--set={TRUE_LABEL}", "--set=plan.shard_size=64", "--set=kubernetes.executor.cpu_request=100m"

    def in_cluster_mode(self, name: str, *flags: str, **environment: str) -> Finished:
        """spark-submit, to its end."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "driver.yaml").write_text(self.text("# driver.yaml", name))
        command = self.text("spark-submit", name).strip()
        if any(flag.startswith("--input=") for flag in flags):  # instead of the documented one, not besides
            command = re.sub(r"--input \S+", "", command)
        small = "--deploy-mode cluster --conf spark.kubernetes.driver.request.cores=100m"
        words = " ".join(f"'{flag}'" for flag in (*self.flags, *flags))
        return self.shell(f"{command.replace('--deploy-mode cluster', small)} {words}", folder, **environment)

    def in_client_mode(self, name: str, *flags: str) -> Finished:
        """The pod's end. It is for this very kind of cluster, and needs nothing besides."""
        pod: dict[str, Any] = yaml.safe_load(self.text("# client.yaml", name))
        pod["spec"]["containers"][0]["args"] += flags
        self.jobs.kubectl.apply(pod)
        return self.jobs.kubectl.result(name, RUN_SECONDS)

    def shell(self, text: str, folder: Path | None = None, **environment: str) -> Finished:
        started = time.monotonic()
        done = subprocess.run(
            ["bash", "-e", "-c", text],
            env={**self.environment, **environment},
            cwd=folder or self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - started, "")

    def afterwards(self, name: str) -> tuple[str, str]:
        """What the documented questions answer: the job's exit code, and its log."""
        code, log, _delete = self.text("kubectl --namespace vision get pod photos", name).splitlines()
        return self.shell(code).succeeded().output, self.shell(log).succeeded().output

    def delete(self, name: str) -> None:
        self.shell(self.text("kubectl --namespace vision get pod photos", name).splitlines()[-1]).succeeded()

    def executors(self, driver: str) -> list[dict[str, Any]]:
        """The executors whose owner a driver's pod was, as they were last seen."""
        pods = {pod["metadata"]["name"]: pod for pod in self.watched.all()}
        return [
            pod
            for pod in pods.values()
            if driver in [owner["name"] for owner in pod["metadata"].get("ownerReferences", [])]
        ]


@pytest.fixture(scope="module")
def documented(
    cluster: Cluster,
    mxspark: Command,
    cluster_image: str,
    s3: ClusterS3,
    bucket: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Documented]:
    """A namespace that admits restricted pods only, with the documented account and a secret."""
    folder = tmp_path_factory.mktemp("submit")
    with namespaces(cluster, account=False) as make:
        kubectl = make().kubectl
        kubectl.apply(manifests.bucket_keys(s3.server))
        server = kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
        java = {
            "JAVA_HOME": str(java_home(folder)),
            "KUBECONFIG": str(kubectl.kubeconfig),
            "SPARK_SUBMIT_OPTS": JVM_OPTIONS,
        }
        with watching(kubectl) as watched:
            jobs = Jobs(kubectl, mxspark, cluster_image, s3, bucket)
            found = Documented(jobs, watched, server, folder, environment_without_aws(folder) | java)
            kubectl("apply", "--filename=-", given=block("# account.yaml"))
            yield found


# What the documentation says that whoever submits needs.
SUBMITTING = (
    ("", "pods", "create get watch delete"),
    ("", "services configmaps", "create patch"),
    ("networking.k8s.io", "networkpolicies", "create patch"),
)


@pytest.fixture(scope="module")
def submitted(
    documented: Documented, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Finished]]]:
    """Four jobs side by side: two that end well, and two that fail."""
    in_cluster_mode, in_client_mode, place = (
        documented.in_cluster_mode,
        documented.in_client_mode,
        documented.jobs.place,
    )
    kubeconfig = as_user(documented.jobs.kubectl, documented.folder, *SUBMITTING)
    some = (f"--limit={SOME_DIGITS}", f"--set={TRUE_LABEL}", "--set=plan.shard_size=64")
    calls = {
        "digits-cluster": partial(in_cluster_mode, "digits-cluster"),
        "digits-client": partial(in_client_mode, "digits-client", *some),
        "failing": partial(in_cluster_mode, "failing", f"--input={place('broken/')}", KUBECONFIG=kubeconfig),
        "no-model": partial(in_client_mode, "no-model", f"--model={place('broken')}"),
    }
    with side_by_side(tmp_path_factory, calls) as found:
        yield found


@pytest.mark.parametrize(
    ("right", "granted"),
    [(f"{verb} pods", "yes") for verb in ("create", "get", "list", "watch", "patch", "delete", "deletecollection")]
    + [
        ("create secrets", "yes"),
        ("get secrets", "no"),
        ("create services", "no"),
        ("get configmaps", "no"),
        ("update pods", "no"),
    ],
)
def test_the_documented_account_may_do_what_spark_needs_and_nothing_else(
    documented: Documented, right: str, granted: str
) -> None:
    account = f"--as=system:serviceaccount:{documented.jobs.namespace}:{ACCOUNT}"
    assert documented.jobs.kubectl.run("auth", "can-i", *right.split(), account).output.strip() == granted


@pytest.mark.parametrize(("name", "images"), [("digits-cluster", ALL_DIGITS), ("digits-client", SOME_DIGITS)])
def test_it_ends_well_with_two_executors_that_are_restricted_and_have_no_token(
    documented: Documented, submitted: dict[str, Future[Finished]], name: str, images: int
) -> None:
    submitted[name].result().succeeded()
    code, log = documented.afterwards(name)
    assert code == "0"
    assert f"{images:,} images: {images:,} ok, 0 failed" in log
    # Not any exception: on a busy machine Spark also says of its own pod that it was not ready within a second.
    assert "is forbidden" not in log, "Spark has all rights that it needs"
    table = documented.jobs.table(name)
    assert len(table) == images
    assert table["key"].is_unique
    assert accuracy(table) > 0.99

    executors = documented.executors(name)
    assert len(executors) == 2
    for pod in executors:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"] == "2Gi"
        assert "serviceaccount" not in str(container["volumeMounts"])
    assert {pod["metadata"]["name"] for pod in documented.jobs.kubectl.items("pods")} & {
        pod["metadata"]["name"] for pod in executors
    } == set()


def test_of_a_job_that_fails_spark_submit_says_nothing_but_the_pod_does(
    documented: Documented, submitted: dict[str, Future[Finished]]
) -> None:
    finished = submitted["failing"].result()
    code, log = documented.afterwards("failing")
    assert code == "3"
    assert "20 of 20 images failed" in log
    assert finished.code == 0, "spark-submit's own: if that changes, so must the documentation"


def test_in_client_mode_the_pod_s_exit_code_is_the_job_s(
    documented: Documented, submitted: dict[str, Future[Finished]]
) -> None:
    finished = submitted["no-model"].result().ended_with(2)
    assert "model.yaml" in finished.output
    assert not documented.executors("no-model")


def test_with_the_driver_s_pod_all_else_goes(documented: Documented, submitted: dict[str, Future[Finished]]) -> None:
    kinds = "pods,services,configmaps,networkpolicies"
    wait(submitted.values())
    assert documented.jobs.kubectl.items("networkpolicies")
    for pod in documented.jobs.kubectl.items("pods"):
        documented.delete(pod["metadata"]["name"])

    def left() -> list[str]:
        return [item["metadata"]["name"] for item in documented.jobs.kubectl.items(kinds)]

    documented.jobs.kubectl.wait_until(lambda: left() == ["kube-root-ca.crt"], "nothing of the jobs is left")
