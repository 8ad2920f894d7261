"""The sample of admission policies on a real API server: they let a driver make and change pods as drivers do, and not
otherwise.

With the pods of releases of the chart: test_chart.py.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.command import Finished
from tests.kubernetes import admission, manifests
from tests.kubernetes.admission import Pod
from tests.kubernetes.cluster import Cluster, namespaces
from tests.kubernetes.jobs import Jobs, Ran, Watched
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.manifests import BUCKET_KEYS, SERVICE_ACCOUNT

from mxspark.spark.pods import PROGRESS_ANNOTATION
from mxspark.submit.kubernetes.manifests import _executors_account

pytestmark = pytest.mark.xdist_group("two_runs")  # whose executors these are


def first(pod: Pod) -> dict[str, Any]:
    found: dict[str, Any] = pod["spec"]["containers"][0]
    return found


def environment(**source: Any) -> Callable[[Pod], None]:
    return lambda pod: first(pod)["env"].append({"name": "STOLEN", "valueFrom": source})


def volume(**source: Any) -> Callable[[Pod], None]:
    return lambda pod: pod["spec"]["volumes"].append({"name": "stolen", **source})


def spec(**changes: Any) -> Callable[[Pod], None]:
    return lambda pod: pod["spec"].update(changes)


def container(**changes: Any) -> Callable[[Pod], None]:
    return lambda pod: first(pod).update(changes)


def security(**changes: Any) -> Callable[[Pod], None]:
    return lambda pod: first(pod)["securityContext"].update(changes)


def beside(kind: str) -> Callable[[Pod], None]:
    other = {"name": "beside", "image": "foreign"}
    # Without what init containers may not have.
    return lambda pod: (
        pod["spec"].setdefault(kind, []).append({k: v for k, v in first(pod).items() if k != "lifecycle"} | other)
    )


STRANGE: dict[str, list[Callable[[Pod], None]]] = {
    "a driver makes pods of its own image alone": [
        container(image="foreign"),
        beside("containers"),
        beside("initContainers"),
    ],
    "a driver makes pods with the executors' account alone": [
        spec(serviceAccountName="default", serviceAccount="default")
    ],
    "a driver's pods have no token for Kubernetes": [spec(automountServiceAccountToken=True)],
    "a driver's pods get the bucket's secret and that of the run's key alone": [
        environment(secretKeyRef={"name": "others", "key": "password"}),
        container(envFrom=[{"secretRef": {"name": BUCKET_KEYS}}]),
    ],
    "a driver's pods have none of the node's namespaces, privileges or capabilities": [
        spec(hostNetwork=True),
        spec(hostPID=True),
        spec(hostIPC=True),
        security(privileged=True, allowPrivilegeEscalation=True),
        security(capabilities={"add": ["SYS_ADMIN"]}),
        container(securityContext={}),
    ],
    "a driver's pods mount no secrets and nothing of the node's": [
        volume(secret={"secretName": BUCKET_KEYS}),
        volume(hostPath={"path": "/"}),
        volume(projected={"sources": [{"secret": {"name": BUCKET_KEYS}}]}),
        volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}),
    ],
}

PATCHED = "patched"
OWNER = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": "0"}
STRANGE_PATCHES: dict[str, list[dict[str, Any]]] = {
    "a driver changes nothing of what a pod runs": [
        {"spec": {"containers": manifests.pod(PATCHED, "foreign")["spec"]["containers"]}},
        {"spec": {"activeDeadlineSeconds": 1}},
    ],
    "a driver changes no labels, owners or finalizers of pods": [
        {"metadata": {"labels": {"app": "other"}}},
        {"metadata": {"labels": None}},
        {"metadata": {"ownerReferences": [OWNER]}},
        {"metadata": {"finalizers": ["tests/kept"]}},
    ],
    "a driver changes no annotation of pods but mxspark/progress": [
        {"metadata": {"annotations": {"other": "new"}}},
        {"metadata": {"annotations": {"there": "changed"}}},
        {"metadata": {"annotations": {"there": None}}},
    ],
}


@pytest.fixture(scope="module")
def executor(two_runs: tuple[Ran, Ran], watched: Watched) -> Pod:
    """One of a submission's executors, as it was."""
    pods = watched.pods(two_runs[0].name, "executor").values()
    return next(iter(pods))[-1]


@pytest.fixture(scope="module")
def unguarded(cluster: Cluster) -> Iterator[Kubectl]:
    """A namespace with a driver's account where nothing else refuses pods: the others' standard for pods would come
    first.
    """
    with namespaces(cluster) as make:
        kubectl = make().kubectl
        kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce-")
        kubectl("create", "serviceaccount", _executors_account(SERVICE_ACCOUNT))
        yield kubectl


def test_a_submission_s_executors_pass(jobs: Jobs, followed: Ran, executor: Pod) -> None:
    with admission.policy(jobs.kubectl, followed.name, jobs.image, executor):
        answer = admission.asked(jobs.kubectl, followed.name, executor).succeeded()
        assert "created (server dry run)" in answer.output


def test_strange_pods_are_refused_with_the_cause(jobs: Jobs, unguarded: Kubectl, executor: Pod) -> None:
    """One after the other, as each is one call of the API server."""
    usual = copy.deepcopy(executor)
    spec(serviceAccountName=_executors_account(SERVICE_ACCOUNT), serviceAccount=_executors_account(SERVICE_ACCOUNT))(
        usual
    )
    with admission.policy(unguarded, SERVICE_ACCOUNT, jobs.image, usual):
        admission.asked(unguarded, SERVICE_ACCOUNT, usual).succeeded()
        for message, changes in STRANGE.items():
            for number, change in enumerate(changes):
                pod = copy.deepcopy(usual)
                change(pod)
                answer = admission.asked(unguarded, SERVICE_ACCOUNT, pod)
                assert answer.code != 0, f"{message}: {number}"
                assert f"denied request: {message}" in answer.errors, f"{message}: {number}"


def test_strange_patches_are_refused_with_the_cause(jobs: Jobs, unguarded: Kubectl, executor: Pod) -> None:
    pod = manifests.pod(PATCHED, jobs.image, nodeSelector={"tests": "nowhere"})
    pod["metadata"]["annotations"] = {"there": "before"}
    unguarded.apply(pod)

    def patch(**changes: Any) -> Finished:
        return admission.patched(unguarded, SERVICE_ACCOUNT, PATCHED, **changes)

    with admission.policy(unguarded, SERVICE_ACCOUNT, jobs.image, executor):
        strangest = STRANGE_PATCHES["a driver changes nothing of what a pod runs"][0]
        unguarded.wait_until(lambda: patch(**strangest).code != 0, "the policy of patches is in force")
        for progress in ("{}", None):
            patch(metadata={"annotations": {PROGRESS_ANNOTATION: progress}}).succeeded()
        for message, patches in STRANGE_PATCHES.items():
            for changes in patches:
                answer = patch(**changes)
                assert answer.code != 0, changes
                assert f"denied request: {message}" in answer.errors, changes
