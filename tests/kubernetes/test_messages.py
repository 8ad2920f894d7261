"""What a person is told whose job can't be submitted, or whose pods can't start: the thing, the cause, the mend."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.command import Finished
from tests.kubernetes import manifests
from tests.kubernetes.cluster import Namespace
from tests.kubernetes.jobs import KINDS, Jobs, Ran, Settings, unique
from tests.kubernetes.kubectl import Kubectl, Manifest
from tests.kubernetes.users import as_user, kubeconfig
from tests.spark.conftest import wait_until

OURS = "app.kubernetes.io/managed-by=mxspark"


def refused(finished: Finished, code: int, *told: str) -> None:
    """It ended with this code and one message that has these parts."""
    finished.ended_with(code)
    assert "Traceback" not in finished.text
    _before, *messages = re.split("^Error: ", finished.errors, flags=re.MULTILINE)
    assert len(messages) == 1, finished.errors
    for text in told:
        assert text in messages[0], finished.errors


@pytest.fixture
def elsewhere(jobs: Jobs, namespace: Namespace) -> Jobs:
    """Jobs in a namespace of the test's own."""
    namespace.kubectl.apply(manifests.bucket_keys(jobs.s3.server))
    return Jobs(namespace.kubectl, jobs.mxspark, jobs.image, jobs.s3, jobs.prefix)


def nothing_is_made(jobs: Jobs) -> bool:
    return not jobs.kubectl.items(KINDS, "-l", OURS)


# ---- before a cluster is asked ----


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"spark": {"executor_memory_overhead": "200m"}}, ("spark.executor_memory_overhead is 200m", "384m at least")),
        ({"spark": {"executor_memory": "300m"}}, ("spark.executor_memory is 300m", "465m at least")),
        ({"spark": {"driver_memory": "300m"}}, ("spark.driver_memory is 300m", "465m at least")),
        ({"spark": {"excutors": 3}}, ("spark.excutors", "spark.executors")),
        ({"input": {"path": "photos"}}, ("input.path is 'photos'", "pods don't have", "s3://bucket/prefix")),
        ({"output": {"path": "/tmp/table"}}, ("output.path is '/tmp/table'", "gone with it", "s3://bucket/prefix")),
        (
            {"spark": {"conf": {"spark.hadoop.fs.s3a.secret.key": "hush-hush"}}},
            ("would lie open", "spark.hadoop.fs.s3a.secret.key", "kubernetes.credentials_from"),
        ),
        ({"kubernetes": {"image": None}}, ("kubernetes.image", "--image")),
        ({"context": "gpu"}, ("spark.executor_gpus is 0", "Set spark.executor_gpus to 1")),
    ],
)
def test_settings_that_can_t_work_are_refused(jobs: Jobs, changes: Settings, told: tuple[str, ...]) -> None:
    refused(jobs.submit(jobs.settings("refused", **changes)), 2, *told)


def test_a_secret_that_is_refused_is_not_shown(jobs: Jobs) -> None:
    settings = jobs.settings("refused", spark={"conf": {"spark.hadoop.fs.s3a.secret.key": "hush-hush"}})
    for flags in ((), ("--dry-run",), ("--debug",)):
        assert "hush-hush" not in jobs.submit(settings, *flags).ended_with(2).text


@pytest.mark.parametrize("name", ["Digits", "digits_1", "-digits", "d" * 46])
def test_a_name_that_pods_can_t_have_is_refused(jobs: Jobs, name: str) -> None:
    refused(jobs.submit(jobs.settings("refused"), f"--name={name}"), 2, f"--name is '{name}'", "small letters, digits and -", "45")


# ---- the way to the cluster ----


def test_a_context_that_there_is_not_is_named_with_those_that_there_are(jobs: Jobs) -> None:
    context = jobs.kubectl("config", "current-context").strip()
    finished = jobs.submit(jobs.settings("refused"), "--kube-context", "production")
    refused(finished, 2, "no context 'production'", context, "--kube-context")


def test_a_namespace_that_there_is_not_is_named(jobs: Jobs) -> None:
    finished = jobs.submit(jobs.settings("refused"), "--namespace", "nobodys")
    refused(finished, 2, "has no namespace nobodys", "--namespace", "kubectl create namespace")


def test_without_a_kubeconfig_it_says_how_to_name_one(jobs: Jobs, tmp_path: Path) -> None:
    nothing = {"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
    refused(jobs.submit(jobs.settings("refused"), **nothing), 2, "no cluster is known", "--kubeconfig", "KUBECONFIG")
    named = jobs.submit(jobs.settings("refused"), "--kubeconfig", str(tmp_path / "none"))
    refused(named, 2, "the kubeconfig can't be read", "--kubeconfig")


def test_a_kubeconfig_that_is_none_is_told(jobs: Jobs, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    for text in ("", "- a list\n", "{", "clusters: 3\n"):
        file.write_text(text)
        refused(jobs.submit(jobs.settings("refused"), "--kubeconfig", str(file)), 2, "kubeconfig", "--kubeconfig")


def test_a_cluster_that_does_not_answer_is_told(jobs: Jobs, tmp_path: Path) -> None:
    file = kubeconfig(jobs.kubectl, tmp_path, server="https://127.0.0.1:9")
    finished = jobs.submit(jobs.settings("refused"), "--kubeconfig", file)
    refused(finished, 2, "can't be reached", "refused", "--kube-context")
    assert finished.seconds < 30


def test_a_user_whom_the_cluster_does_not_know_is_told(jobs: Jobs, tmp_path: Path) -> None:
    file = kubeconfig(jobs.kubectl, tmp_path, user={"token": "no-token"})
    refused(jobs.submit(jobs.settings("refused"), "--kubeconfig", file), 2, "does not know the user", "Log in again")


def test_an_old_cluster_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    with old_cluster() as server:
        finished = jobs.submit(jobs.settings("refused"), "--kubeconfig", kubeconfig(jobs.kubectl, tmp_path, server=server))
    refused(finished, 2, "runs Kubernetes 1.26", "1.27 or newer", "spark-submit")


@contextmanager
def old_cluster() -> Iterator[str]:
    """What an API server of Kubernetes 1.26 says of itself: there is none to be had here."""
    keys = ("gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
    version = {"major": "1", "minor": "26+", **dict.fromkeys(keys, "v1.26.15-eks")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            body = json.dumps(version).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# ---- rights ----


# What docs/kubernetes.md says that whoever submits needs, where the service account is there.
SUBMITTING = (
    ("batch", "jobs", "create get list patch delete"),
    ("", "configmaps", "create get"),
    ("", "services", "create"),
    ("", "pods", "get list"),
    ("", "pods/log", "get"),
    ("", "events resourcequotas", "list"),
)


def test_a_user_without_rights_is_told_which_one_is_missing(elsewhere: Jobs, tmp_path: Path) -> None:
    file = as_user(elsewhere.kubectl, tmp_path)
    finished = elsewhere.submit(elsewhere.settings("refused"), "--kubeconfig", file)
    status = elsewhere.mxspark("status", "digits", "--namespace", elsewhere.namespace, "--kubeconfig", file)
    what = 'cannot create resource "jobs"'
    refused(finished, 1, f"in namespace {elsewhere.namespace} is not allowed", what, "docs/kubernetes.md")
    refused(status, 1, 'cannot get resource "jobs"', "docs/kubernetes.md")
    assert nothing_is_made(elsewhere)


def test_a_user_who_may_make_no_roles_is_told_to_name_a_service_account_and_leaves_nothing(elsewhere: Jobs, tmp_path: Path) -> None:
    name = unique("modest")
    file = as_user(elsewhere.kubectl, tmp_path, *SUBMITTING)
    finished = elsewhere.submit(elsewhere.settings(name), "--kubeconfig", file)
    refused(finished, 2, "making the ServiceAccount", "is not allowed", "kubernetes.service_account=NAME")
    elsewhere.kubectl.wait_until(lambda: nothing_is_made(elsewhere), "nothing is left")

    # With an account that an administrator has made, those rights are enough.
    settings = elsewhere.settings(name, input={"limit": 16}, kubernetes={"service_account": manifests.SERVICE_ACCOUNT})
    elsewhere.submit(settings, "--kubeconfig", file, "--name", name).succeeded()
    for command in (("status", name), ("logs", name), ("cancel", name, "--yes")):
        elsewhere.mxspark(*command, "--namespace", elsewhere.namespace, "--kubeconfig", file).succeeded()
    elsewhere.wait_until_gone(name)
    assert elsewhere.kubectl.items("serviceaccounts", f"--field-selector=metadata.name={manifests.SERVICE_ACCOUNT}")


def test_a_driver_without_rights_says_which_one_is_missing(jobs: Jobs) -> None:
    name = unique("no-rights")
    settings = jobs.settings(name, input={"limit": 16}, kubernetes={"service_account": "default"})
    told = jobs.submit(settings, "--name", name).ended_with(1).text
    assert f'User "system:serviceaccount:{jobs.namespace}:default" cannot get resource "pods"' in told
    assert "docs/kubernetes.md has the Role" in told
    jobs("cancel", name, "--yes").succeeded()


# ---- quotas ----


def quota(name: str, hard: dict[str, str], **spec: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard, **spec}}


def set_quota(kubectl: Kubectl, name: str, hard: dict[str, str], **spec: Any) -> None:
    kubectl.apply(quota(name, hard, **spec))
    kubectl.wait_until(
        lambda: len(kubectl.json("get", f"resourcequota/{name}").get("status", {}).get("used", {})) == len(hard), "the quota is counted"
    )


@pytest.mark.parametrize(
    ("hard", "told"),
    [
        ({"requests.memory": "4500Mi"}, "leaves room for 2 of 5 executors: requests.memory: 0 of 4500Mi are used"),
        ({"pods": "4"}, "leaves room for 3 of 5 executors: pods: 0 of 4 are used"),
        ({"limits.cpu": "1"}, "leaves room for not even the driver: limits.cpu: 0 of 1 are used"),
    ],
)
def test_a_quota_too_small_for_all_executors_is_told_before_anything_is_made(elsewhere: Jobs, hard: dict[str, str], told: str) -> None:
    set_quota(elsewhere.kubectl, "small", hard)
    finished = elsewhere.submit(elsewhere.settings("refused", spark={"executors": 5}))
    refused(finished, 2, f"quota small of namespace {elsewhere.namespace} {told}", "spark.executors", "quota raised")
    assert nothing_is_made(elsewhere)


def test_a_quota_that_lets_no_executor_start_is_told_before_anything_is_made(elsewhere: Jobs) -> None:
    set_quota(elsewhere.kubectl, "none", {"pods": "0"}, scopes=["NotTerminating"])
    finished = elsewhere.submit(elsewhere.settings("refused"), "--name", "refused")
    refused(finished, 2, "checking the Pod refused-exec-1", "exceeded quota: none", "quota raised")
    assert nothing_is_made(elsewhere)


def test_a_quota_that_lets_no_driver_start_is_told_in_kubernetes_own_words(elsewhere: Jobs) -> None:
    name = unique("quota")
    # With a scope: whether it is about the driver, only Kubernetes knows.
    set_quota(elsewhere.kubectl, "none", {"pods": "0"}, scopes=["Terminating"])
    settings = elsewhere.settings(name, kubernetes={"driver": {"template": {"spec": {"activeDeadlineSeconds": 3600}}}})
    finished = elsewhere.submit(settings, "--name", name, "--start-timeout", "5")
    assert re.search(
        r"The driver's pod can't be made: .*exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0", finished.errors
    )
    refused(finished, 1, "the driver did not start within 5 s", "exceeded quota: none", "quota raised")
    elsewhere.wait_until_gone(name)


# ---- pods that don't start ----


WAITING: dict[str, tuple[Settings, str, str]] = {
    "no-registry": (
        {"image": "127.0.0.1:9/nobodys:1"},
        r"(ErrImagePull|ImagePullBackOff): .*127\.0\.0\.1:9/nobodys:1",
        "Check the image's name",
    ),
    "no-image": (
        {"image": "nobodys:1", "image_pull_policy": "Never"},
        "ErrImageNeverPull: .*nobodys:1",
        "load it there, or take IfNotPresent",
    ),
    "no-name": ({"image": "No Image"}, "InvalidImageName: .*No Image", "--image"),
    "no-secret": ({"credentials_from": "no-keys"}, 'CreateContainerConfigError: secret "no-keys" not found', "kubernetes.credentials_from"),
    "no-node": ({"driver": {"node_selector": {"disk": "none"}}}, "Unschedulable: 0/2 nodes are available", "node_selector"),
    "no-account": ({"service_account": "nobody"}, 'serviceaccount "nobody" not found', "kubernetes.service_account"),
}
GIVE_UP_SECONDS = 15


@pytest.fixture(scope="module")
def waiting(jobs: Jobs) -> dict[str, Ran]:
    """Jobs whose drivers can't start, each for a cause of its own, submitted all at once."""
    names = {cause: unique(cause) for cause in WAITING}

    def submit(cause: str) -> Finished:
        settings = jobs.settings(names[cause], kubernetes=WAITING[cause][0])
        return jobs.submit(settings, "--name", names[cause], f"--start-timeout={GIVE_UP_SECONDS}")

    with ThreadPoolExecutor() as threads:
        return {cause: Ran(names[cause], finished) for cause, finished in zip(WAITING, threads.map(submit, WAITING), strict=True)}


@pytest.mark.parametrize("cause", WAITING)
def test_a_driver_that_does_not_start_says_why_and_is_given_up(jobs: Jobs, waiting: dict[str, Ran], cause: str) -> None:
    _, told, mend = WAITING[cause]
    ran = waiting[cause]
    refused(ran.finished, 1, f"the driver did not start within {GIVE_UP_SECONDS} s, and job {ran.name} was deleted", mend)
    assert len(re.findall(told, ran.finished.errors)) >= 2, f"it is told while it waits, and at the end:\n{ran.finished.errors}"
    jobs.wait_until_gone(ran.name)


def test_where_no_node_has_a_gpu_it_warns_and_says_what_executors_wait_for(jobs: Jobs) -> None:
    name = unique("gpus")
    settings = jobs.settings(name, input={"limit": 16}, context="gpu", spark={"executor_gpus": 1})
    with jobs.started(settings, "--name", name) as running:
        wait_until(lambda: bool(jobs.pods(name, "executor")), "its executor is asked for", 120)
        limits = jobs.pods(name, "executor")[0]["spec"]["containers"][0]["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == "1"
        jobs.kubectl.wait_until(lambda: "Insufficient nvidia.com/gpu" in jobs.kubectl("get", "events"), "the scheduler says why")
        jobs("cancel", name, "--yes").succeeded()
        finished = running.wait().ended_with(1)
    assert "Warning: no node of the cluster has 1 nvidia.com/gpu: executors will wait" in finished.errors
    assert re.search(r"Executors: 0 of 1 run\n +1 wait: Unschedulable: .* 2 Insufficient nvidia.com/gpu", finished.errors)


# ---- names ----


def test_a_name_that_is_taken_is_told_and_its_job_stays(jobs: Jobs) -> None:
    name = unique("taken")
    waiting = jobs.settings(name, kubernetes={"driver": {"node_selector": {"disk": "none"}}})
    jobs.submit(waiting, "--name", name, "--detach").succeeded()
    made = jobs.objects(name)
    refused(jobs.submit(waiting, "--name", name), 1, f"the Job {name}: there is one already", "another name")
    assert jobs.objects(name) == made
    jobs("cancel", name, "--yes").succeeded()


@pytest.mark.parametrize("command", ["status", "logs", "cancel"])
def test_a_job_that_there_is_not_is_named(jobs: Jobs, command: str) -> None:
    flags = ("--yes",) if command == "cancel" else ()
    refused(jobs(command, "nobodys-job", *flags), 1, f"namespace {jobs.namespace} has no job nobodys-job", "--namespace")


# ---- dry run ----


def test_a_dry_run_prints_manifests_that_the_api_server_accepts_and_makes_nothing(elsewhere: Jobs) -> None:
    settings = elsewhere.settings("dry", kubernetes={"image_pull_secrets": ["registry"], "deadline_seconds": 3600})
    printed = elsewhere.submit(settings, "--name", "dry", "--dry-run").succeeded().output
    accepted = elsewhere.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", given=printed).splitlines()
    kinds = ["job.batch", "configmap", "service", "serviceaccount", "role.rbac", "rolebinding.rbac"]
    assert [line.partition("/")[0].removesuffix(".authorization.k8s.io") for line in accepted] == kinds
    assert all(line.endswith("created (server dry run)") for line in accepted), "with a warning for a pod that isn't restricted, if any"
    assert nothing_is_made(elsewhere)


def test_a_dry_run_needs_no_cluster_where_the_namespace_is_named(jobs: Jobs, tmp_path: Path) -> None:
    finished = jobs.submit(jobs.settings("dry"), "--dry-run", KUBECONFIG=str(tmp_path / "none"), HOME=str(tmp_path))
    assert "kind: Job" in finished.succeeded().output
