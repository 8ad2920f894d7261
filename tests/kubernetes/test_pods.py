"""The pods of a job as they were on the cluster: how many, how large, as whom, with which rights, and with no secret
in sight.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.kubernetes.jobs import Jobs, Ran, Watched
from tests.kubernetes.manifests import BUCKET_KEYS

pytestmark = pytest.mark.xdist_group("two_runs")  # in another process one would wait for them

Pod = dict[str, Any]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
GIB, MIB = 2**30, 2**20


def executors(watched: Watched, ran: Ran) -> list[Pod]:
    """A run's executors, each as it was last seen."""
    return [versions[-1] for versions in watched.pods(ran.name, "executor").values()]


def driver(watched: Watched, ran: Ran) -> Pod:
    (versions,) = watched.pods(ran.name, "driver").values()
    return versions[-1]


def all_pods(watched: Watched, runs: tuple[Ran, ...]) -> list[Pod]:
    return [pod for ran in runs for pod in (driver(watched, ran), *executors(watched, ran))]


def most_at_a_time(watched: Watched, ran: Ran) -> int:
    """The most executors that ran at the same time."""
    running: dict[str, bool] = {}
    most = 0
    for pod in watched.all():
        labels = pod["metadata"].get("labels", {})
        if (labels.get("app.kubernetes.io/instance"), labels.get("app.kubernetes.io/component")) == (
            ran.name,
            "executor",
        ):
            states = [status.get("state", {}) for status in pod["status"].get("containerStatuses", [])]
            running[pod["metadata"]["name"]] = any("running" in state for state in states)
            most = max(most, sum(running.values()))
    return most


def container(pod: Pod) -> Pod:
    (only,) = pod["spec"]["containers"]
    return dict(only)


# ---- as many and as large as the settings say ----


def test_as_many_executors_run_as_are_asked_for(two_runs: tuple[Ran, Ran], watched: Watched) -> None:
    assert [most_at_a_time(watched, ran) for ran in two_runs] == [2, 1]
    assert [len(executors(watched, ran)) for ran in two_runs] == [2, 1], "none was started in vain"


def test_executors_have_the_memory_and_cpus_that_the_settings_say(two_runs: tuple[Ran, Ran], watched: Watched) -> None:
    memory = [f"{512 + 640}Mi", f"{600 + 700}Mi"]
    cpus = [("100m", "1"), ("150m", "1500m")]
    for ran, expected, (request, limit) in zip(two_runs, memory, cpus, strict=True):
        for pod in executors(watched, ran):
            resources = container(pod)["resources"]
            assert (resources["requests"]["memory"], resources["limits"]["memory"]) == (expected, expected)
            assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == (request, limit)
            options = [entry["value"] for entry in container(pod)["env"] if entry["name"] == "SPARK_EXECUTOR_MEMORY"]
            assert resources["requests"]["ephemeral-storage"] == "512Mi"
            (spread,) = pod["spec"]["topologySpreadConstraints"]
            assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"] == ran.name
            assert options == [(ran is two_runs[0] and "512m") or "600m"], "Java's heap"


def test_the_driver_has_the_memory_and_cpus_that_the_settings_say(followed: Ran, watched: Watched) -> None:
    resources = container(driver(watched, followed))["resources"]
    assert resources["requests"] == {"cpu": "100m", "memory": f"{512 + 768}Mi", "ephemeral-storage": "512Mi"}
    assert resources["limits"] == {"cpu": "2", "memory": f"{512 + 768}Mi"}


# ---- volumes ----


def test_executors_claim_volumes_of_a_storage_class_and_give_them_back(
    with_logs: Ran, watched: Watched, jobs: Jobs
) -> None:
    found = jobs.kubectl.json("get", f"persistentvolume/{with_logs.name}")
    (executor,) = executors(watched, with_logs)
    claimed = [
        each["persistentVolumeClaim"]["claimName"]
        for each in executor["spec"]["volumes"]
        if "persistentVolumeClaim" in each
    ]
    assert claimed == [found["spec"]["claimRef"]["name"]]
    jobs.kubectl.wait(f"persistentvolume/{with_logs.name}", "jsonpath={.status.phase}=Released")
    assert not jobs.kubectl.items("persistentvolumeclaims")


# ---- as whom they run ----


def test_every_pod_is_restricted_and_can_t_write_to_its_root(
    two_runs: tuple[Ran, Ran], watched: Watched, jobs: Jobs
) -> None:
    labels = jobs.kubectl.json("get", "namespace", jobs.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in all_pods(watched, two_runs):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] == 185
        security = container(pod)["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_only_the_driver_has_a_service_account_s_token(two_runs: tuple[Ran, Ran], watched: Watched) -> None:
    def mounts(pod: Pod) -> list[str]:
        return [mount["mountPath"] for mount in container(pod)["volumeMounts"]]

    for ran in two_runs:
        assert driver(watched, ran)["spec"]["serviceAccountName"] == ran.name
        assert TOKEN in mounts(driver(watched, ran))
        for pod in executors(watched, ran):
            assert pod["spec"]["automountServiceAccountToken"] is False
            assert TOKEN not in mounts(pod)


def test_executors_belong_to_the_driver_s_pod_and_all_else_to_the_job(
    two_runs: tuple[Ran, Ran], watched: Watched, jobs: Jobs
) -> None:
    for ran in two_runs:
        owners = [pod["metadata"]["ownerReferences"] for pod in executors(watched, ran)]
        (uid,) = {owner["uid"] for found in owners for owner in found}
        assert uid == driver(watched, ran)["metadata"]["uid"]
        job = jobs.kubectl.json("get", f"job/{ran.name}")["metadata"]["uid"]
        for kind in ("configmap", "service", "serviceaccount", "role", "rolebinding", "pod"):
            for found in jobs.kubectl.items(kind, "-l", f"app.kubernetes.io/instance={ran.name}"):
                assert [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [job], (
                    f"{kind} {found['metadata']['name']}"
                )


# ---- rights ----

PODS = ("create", "get", "list", "watch", "patch", "delete", "deletecollection")
DENIED = (
    "update pods",
    "create pods --subresource=exec",
    "get pods --subresource=log",
    "get secrets",
    "list secrets",
    "create services",
    "get configmaps",
    "create configmaps",
    "create persistentvolumeclaims",
    "create jobs.batch",
    "delete jobs.batch",
    "create roles.rbac.authorization.k8s.io",
    "impersonate serviceaccounts",
)


def rights(jobs: Jobs, account: str, asked: tuple[str, ...]) -> dict[str, str]:
    user = f"--as=system:serviceaccount:{jobs.namespace}:{account}"
    return {right: jobs.kubectl.run("auth", "can-i", *right.split(), user).output.strip() for right in asked}


def test_the_driver_may_do_with_pods_what_it_needs_and_nothing_else(followed: Ran, jobs: Jobs) -> None:
    needed = tuple(f"{verb} pods" for verb in PODS)
    assert rights(jobs, followed.name, needed) == dict.fromkeys(needed, "yes")
    assert rights(jobs, followed.name, DENIED) == dict.fromkeys(DENIED, "no")


def test_it_may_do_nothing_in_other_namespaces(followed: Ran, jobs: Jobs) -> None:
    user = f"--as=system:serviceaccount:{jobs.namespace}:{followed.name}"
    for verb in PODS:
        assert jobs.kubectl.within("default").run("auth", "can-i", verb, "pods", user).output.strip() == "no"


# ---- secrets ----


@pytest.fixture
def canaries(jobs: Jobs) -> tuple[str, ...]:
    """The keys of the S3 server, which no other cluster has: as they are, and as base64."""
    server = jobs.s3.server
    plain = server.access_key, server.secret_key
    found = *plain, *(base64.b64encode(text.encode()).decode().rstrip("=") for text in plain)
    secret = str(jobs.kubectl.json("get", f"secret/{BUCKET_KEYS}"))
    assert any(canary in secret for canary in found), "where they are, they are found"
    return found


def test_the_bucket_s_keys_are_nowhere_but_in_their_secret(
    two_runs: tuple[Ran, Ran], watched: Watched, jobs: Jobs, canaries: tuple[str, ...]
) -> None:
    looked: Mapping[str, str] = dict(everything(two_runs, watched, jobs))
    assert {"pods", "events", "configmaps", "jobs"} <= looked.keys()
    for place, text in looked.items():
        assert len(text) > 100, f"{place} is not empty"
        assert not [canary for canary in canaries if canary in text], place


def everything(two_runs: tuple[Ran, Ran], watched: Watched, jobs: Jobs) -> Iterator[tuple[str, str]]:
    """All that can be read of jobs without the right to read secrets."""
    yield "pods", str(watched.all())
    for kind in ("events", "configmaps", "jobs", "services", "roles"):
        yield kind, str(jobs.kubectl.items(kind))
    for ran in two_runs:
        yield f"output of {ran.name}", ran.finished.text
        yield f"log of {ran.name}", jobs.kubectl.logs(f"job/{ran.name}")
        yield f"status of {ran.name}", jobs("status", ran.name, "--json").text
        yield f"summary of {ran.name}", str(jobs.summary(ran.name))
