"""What a person is told whose job can't be submitted, or whose pods can't start: the thing, the cause, the hint."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.command import Finished
from tests.kubernetes import manifests
from tests.kubernetes.cluster import Namespace
from tests.kubernetes.jobs import KINDS, Jobs, Ran, Settings, side_by_side, unique
from tests.kubernetes.kubectl import Kubectl, Manifest
from tests.kubernetes.users import as_user, kubeconfig

BEGUN = ("waiting",)
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
def elsewhere(at_once: Jobs, namespace: Namespace) -> Jobs:
    """Jobs in a namespace of the test's own."""
    namespace.kubectl.apply(manifests.bucket_keys(at_once.s3.server))
    return replace(at_once, kubectl=namespace.kubectl)


def nothing_is_made(jobs: Jobs) -> bool:
    return not jobs.kubectl.items(KINDS, "-l", OURS)


# ---- what the cluster knows ----


def test_a_namespace_that_there_is_not_is_named(at_once: Jobs) -> None:
    finished = at_once.submit(at_once.settings("refused"), "--namespace", "nobodys")
    refused(finished, 2, "has no namespace nobodys", "--namespace", "kubectl create namespace")


def test_a_user_whom_the_cluster_does_not_know_is_told(at_once: Jobs, tmp_path: Path) -> None:
    file = kubeconfig(at_once.kubectl, tmp_path, user={"token": "no-token"})
    refused(
        at_once.submit(at_once.settings("refused"), "--kubeconfig", file),
        2,
        "rejects the credentials of the kubeconfig",
        "Log in again",
    )


# ---- rights ----


# What docs/kubernetes.md says that whoever submits needs, where the service account is there.
SUBMITTING = (
    ("batch", "jobs", "create get list patch delete"),
    ("", "configmaps", "create get"),
    ("", "services", "create"),
    ("", "pods", "get list"),
    ("", "pods/log", "get"),
    ("", "events resourcequotas", "list"),
    ("networking.k8s.io", "networkpolicies", "create"),
)


def test_a_user_without_rights_is_told_which_one_is_missing(elsewhere: Jobs, tmp_path: Path) -> None:
    file = as_user(elsewhere.kubectl, tmp_path)
    finished = elsewhere.submit(elsewhere.settings("refused"), "--kubeconfig", file)
    status = elsewhere.mxspark("status", "digits", "--namespace", elsewhere.namespace, "--kubeconfig", file)
    what = 'cannot create resource "jobs"'
    refused(finished, 1, f"in namespace {elsewhere.namespace} is not allowed", what, "docs/kubernetes.md")
    refused(status, 1, 'cannot get resource "jobs"', "docs/kubernetes.md")
    assert nothing_is_made(elsewhere)


def test_a_user_who_may_make_no_roles_is_told_to_name_a_service_account_and_leaves_nothing(
    elsewhere: Jobs, tmp_path: Path
) -> None:
    name = unique("modest")
    file = as_user(elsewhere.kubectl, tmp_path, *SUBMITTING)
    finished = elsewhere.submit(elsewhere.settings(name), "--kubeconfig", file)
    refused(finished, 2, "creating the ServiceAccount", "is not allowed", "kubernetes.service_account=NAME")
    elsewhere.kubectl.wait_until(lambda: nothing_is_made(elsewhere), "nothing is left")

    # With an account that an administrator has made, those rights are enough.
    at_an_end = {"template": {"spec": {"containers": [{"command": ["true"]}]}}}
    settings = elsewhere.settings(name, kubernetes={"service_account": manifests.SERVICE_ACCOUNT, "driver": at_an_end})
    elsewhere.submit(settings, "--kubeconfig", file, "--name", name).succeeded()
    for command in (("status", name), ("logs", name), ("cancel", name, "--yes")):
        elsewhere.mxspark(*command, "--namespace", elsewhere.namespace, "--kubeconfig", file).succeeded()
    elsewhere.wait_until_gone(name)
    assert elsewhere.kubectl.items("serviceaccounts", f"--field-selector=metadata.name={manifests.SERVICE_ACCOUNT}")


def test_a_driver_without_rights_says_which_one_is_missing(at_once: Jobs) -> None:
    name = unique("no-rights")
    settings = at_once.settings(name, input={"limit": 16}, kubernetes={"service_account": "default"})
    told = at_once.submit(settings, "--name", name).ended_with(1).text
    assert f'User "system:serviceaccount:{at_once.namespace}:default" cannot get resource "pods"' in told
    assert "docs/kubernetes.md has the Role" in told
    at_once("cancel", name, "--yes").succeeded()


# ---- quotas ----


def quota(name: str, hard: dict[str, str], **spec: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard, **spec}}


def set_quota(kubectl: Kubectl, name: str, hard: dict[str, str], **spec: Any) -> None:
    kubectl.apply(quota(name, hard, **spec))
    kubectl.wait_until(
        lambda: len(kubectl.json("get", f"resourcequota/{name}").get("status", {}).get("used", {})) == len(hard),
        "the quota is counted",
    )


@pytest.mark.parametrize(
    ("hard", "told"),
    [
        ({"requests.memory": "4500Mi"}, "leaves room for 2 of 5 executors: requests.memory: 0 of 4500Mi are used"),
        ({"pods": "4"}, "leaves room for 3 of 5 executors: pods: 0 of 4 are used"),
        ({"limits.cpu": "1"}, "leaves room for not even the driver: limits.cpu: 0 of 1 are used"),
    ],
)
def test_a_quota_too_small_for_all_executors_is_told_before_anything_is_made(
    elsewhere: Jobs, hard: dict[str, str], told: str
) -> None:
    set_quota(elsewhere.kubectl, "small", hard)
    finished = elsewhere.submit(elsewhere.settings("refused", spark={"executors": 5}))
    refused(finished, 2, f"quota small of namespace {elsewhere.namespace} {told}", "spark.executors", "quota raised")
    assert nothing_is_made(elsewhere)


def test_a_quota_that_lets_no_executor_start_is_told_before_anything_is_made(elsewhere: Jobs) -> None:
    set_quota(elsewhere.kubectl, "none", {"pods": "0"}, scopes=["NotTerminating"])
    driver = {"template": {"spec": {"activeDeadlineSeconds": 3600}}}  # of which the quota is not
    finished = elsewhere.submit(elsewhere.settings("refused", kubernetes={"driver": driver}), "--name", "refused")
    refused(finished, 2, "checking the Pod refused-exec-1", "exceeded quota: none", "quota raised")
    assert nothing_is_made(elsewhere)


def test_a_quota_that_lets_no_driver_start_is_told_in_kubernetes_own_words(elsewhere: Jobs) -> None:
    # With a scope: whether it is about the driver, only Kubernetes knows.
    set_quota(elsewhere.kubectl, "none", {"pods": "0"}, scopes=["Terminating"])
    settings = elsewhere.settings(
        "refused", kubernetes={"driver": {"template": {"spec": {"activeDeadlineSeconds": 3600}}}}
    )
    finished = elsewhere.submit(settings, "--name", "refused")
    refused(finished, 2, "checking the Pod refused-driver", "exceeded quota: none", "quota raised")
    assert nothing_is_made(elsewhere)


LIMITS: Manifest = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]},
}


def test_what_the_namespace_forbids_and_what_kubernetes_does_not_know_is_told_before_anything_is_made(
    elsewhere: Jobs,
) -> None:
    def finished(*flags: str, **kubernetes: Any) -> Finished:
        return elsewhere.submit(elsewhere.settings("refused", kubernetes=kubernetes), "--name", "refused", *flags)

    assign = "--set=kubernetes.driver.template.spec.{}".format
    refused(
        finished(assign("hostNetwork=true")),
        2,
        "checking the Pod refused-driver",
        "violates PodSecurity",
        "kubernetes.*.template",
    )
    refused(
        finished(assign("nodeSelektor.disk=fast")), 2, "template.spec has 'nodeSelektor'", "Did you mean nodeSelector?"
    )
    refused(finished(assign("restartPolicy=Sometimes")), 2, "checking the Pod refused-driver", "restartPolicy")
    refused(finished(service_account="nobody"), 2, 'serviceaccount "nobody" not found', "kubernetes.service_account")
    elsewhere.kubectl.apply(LIMITS)
    refused(
        finished(),
        2,
        "checking the Pod refused-driver",
        "maximum memory usage per Container is 64Mi",
        "a limit or policy",
    )
    assert nothing_is_made(elsewhere)


# ---- names ----


def test_a_name_that_is_taken_is_told_and_its_job_stays(at_once: Jobs) -> None:
    name = unique("taken")
    waiting = at_once.settings(name, kubernetes={"driver": {"node_selector": {"disk": "none"}}})
    at_once.submit(waiting, "--name", name, "--detach").succeeded()
    made = at_once.objects(name)
    refused(at_once.submit(waiting, "--name", name), 1, f"the Job {name}: it exists already", "another name")
    assert at_once.objects(name) == made
    at_once("cancel", name, "--yes").succeeded()


@pytest.mark.parametrize("command", ["status", "logs", "cancel"])
def test_a_job_that_there_is_not_is_named(at_once: Jobs, command: str) -> None:
    flags = ("--yes",) if command == "cancel" else ()
    refused(
        at_once(command, "nobodys-job", *flags),
        1,
        f"namespace {at_once.namespace} has no job nobodys-job",
        "--namespace",
    )


# ---- dry run ----


def test_a_dry_run_prints_manifests_that_the_api_server_accepts_and_makes_nothing(elsewhere: Jobs) -> None:
    settings = elsewhere.settings("dry", kubernetes={"image_pull_secrets": ["registry"], "deadline_seconds": 3600})
    printed = elsewhere.submit(settings, "--name", "dry", "--dry-run").succeeded().output
    accepted = elsewhere.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "--filename=-", given=printed
    ).splitlines()
    # The second service account is the executors'.
    account = ["serviceaccount", "role.rbac.authorization", "rolebinding.rbac.authorization", "serviceaccount"]
    kinds = ["job.batch", "configmap", "service", *account, *3 * ["networkpolicy.networking"]]
    assert [line.partition("/")[0].removesuffix(".k8s.io") for line in accepted] == kinds
    assert all(line.endswith("created (server dry run)") for line in accepted), (
        "with a warning for a pod that isn't restricted, if any"
    )
    assert nothing_is_made(elsewhere)


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
        "load it there, or use IfNotPresent",
    ),
    "no-secret": (
        {"credentials_from": "no-keys"},
        'CreateContainerConfigError: secret "no-keys" not found',
        "kubernetes.credentials_from",
    ),
    "no-node": (
        {"driver": {"node_selector": {"disk": "none"}}},
        "Unschedulable: 0/2 nodes are available",
        "node_selector",
    ),
}
GIVE_UP_SECONDS = 60  # beside the other tests of this module, which take as long


@pytest.fixture(scope="module")
def waiting(jobs: Jobs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ran]]]:
    """Jobs whose drivers can't start, each for a cause of its own."""

    def submit(cause: str) -> Ran:
        name = unique(cause)
        settings = jobs.settings(name, kubernetes=WAITING[cause][0])
        return Ran(name, jobs.submit(settings, "--name", name, f"--start-timeout={GIVE_UP_SECONDS}"))

    with side_by_side(tmp_path_factory, {cause: partial(submit, cause) for cause in WAITING}) as found:
        yield found


@pytest.mark.parametrize("cause", WAITING)
def test_a_driver_that_does_not_start_says_why_and_is_given_up(
    jobs: Jobs, waiting: dict[str, Future[Ran]], cause: str
) -> None:
    _, told, hint = WAITING[cause]
    ran = waiting[cause].result()
    refused(
        ran.finished, 1, f"the driver did not start within {GIVE_UP_SECONDS} s, and job {ran.name} was deleted", hint
    )
    assert len(re.findall(told, ran.finished.errors)) >= 2, (
        f"it is told while it waits, and at the end:\n{ran.finished.errors}"
    )
    jobs.wait_until_gone(ran.name)


def test_a_driver_that_can_never_start_is_given_up_at_once(at_once: Jobs) -> None:
    name, image = unique("no-name"), 64 * "a"  # which only the kubelet knows for no name, but an image's id
    finished = at_once.submit(at_once.settings(name, kubernetes={"image": image}), "--name", name)
    refused(finished, 2, f"job {name}: its driver can't start, and the job was deleted: InvalidImageName: ", image)
    at_once.wait_until_gone(name)
