"""Why pods don't run, as Kubernetes tells it. The answers are shortened ones of a real cluster (Kubernetes 1.34)."""

from typing import Any

import pytest

from mxspark.submit.kubernetes import diagnosis


def pod(phase: str = "Pending", *, state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    containers = [{"name": "driver", "state": state}] if state else []
    return {"metadata": {"name": "digits-1"}, "status": {"phase": phase, "containerStatuses": containers, **status}}


@pytest.mark.parametrize(
    ("state", "cause", "hint"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x:1"'}},
            "ImagePullBackOff: Back-off",
            "image's name",
        ),
        ({"waiting": {"reason": "ErrImageNeverPull"}}, "ErrImageNeverPull", "IfNotPresent"),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "k" not found'}},
            'secret "k" not found',
            "credentials_from",
        ),
        ({"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "OOMKilled", "memory_overhead"),
    ],
)
def test_a_container_s_trouble_comes_with_its_mend(state: dict[str, Any], cause: str, hint: str) -> None:
    found = diagnosis.of_pod(pod(state=state))
    assert found is not None
    assert cause in found.cause
    assert hint in found.hint
    assert str(found) == f"{found.cause}\n  {found.hint}"


@pytest.mark.parametrize(
    "state",
    [
        {"waiting": {"reason": "ContainerCreating"}},
        {"waiting": {"reason": "PodInitializing"}},
        {"running": {}},
        {"terminated": {"exitCode": 1}},
    ],
)
def test_what_passes_by_itself_is_no_trouble(state: dict[str, Any]) -> None:
    assert diagnosis.of_pod(pod(state=state)) is None


def test_a_pod_that_no_node_takes_is_told_in_the_scheduler_s_words() -> None:
    words = "0/2 nodes are available: 2 Insufficient memory."
    found = diagnosis.of_pod(
        pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}])
    )
    assert found is not None
    assert found.cause == f"Unschedulable: {words}"


def test_an_evicted_pod_says_why() -> None:
    found = diagnosis.of_pod(
        pod("Failed", reason="Evicted", message='Usage of EmptyDir volume "local" exceeds the limit "2Gi".')
    )
    assert found is not None
    assert "exceeds the limit" in found.cause
    assert "local_directory.size" in found.hint


def test_a_volume_that_can_t_be_mounted_is_told_until_the_pod_runs() -> None:
    events: list[dict[str, Any]] = [
        {"reason": "Scheduled"},
        {"reason": "FailedMount", "message": 'configmap "x" not found', "count": 2},
    ]
    found = diagnosis.of_pod(pod(), events)
    assert found is not None
    assert found.cause == 'FailedMount: configmap "x" not found'
    assert diagnosis.of_pod(pod("Running"), events) is None


def test_a_mount_that_failed_once_only_needs_time() -> None:
    events = [
        {
            "reason": "FailedMount",
            "message": "failed to sync configmap cache: timed out waiting for the condition",
            "count": 1,
        }
    ]
    assert diagnosis.of_pod(pod(), events) is None


def test_what_an_init_container_waits_for_is_told() -> None:
    waiting = [{"name": "init", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]
    coming_up = [{"name": "driver", "state": {"waiting": {"reason": "PodInitializing"}}}]
    found = diagnosis.of_pod(pod(initContainerStatuses=waiting, containerStatuses=coming_up))
    assert found is not None
    assert found.cause == "ImagePullBackOff: no such image"


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ('pods "x" is forbidden: exceeded quota: small, requested: pods=1', "quota raised"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": hostNetwork', "kubernetes.driver.template"),
        (
            'pods "x" is forbidden: error looking up service account a/b: serviceaccount "b" not found',
            "kubernetes.service_account",
        ),
        ("admission webhook refused it", "kubectl describe job"),
    ],
)
def test_a_pod_that_can_t_be_made_is_told_by_the_job_s_last_event(message: str, hint: str) -> None:
    found = diagnosis.of_job([{"reason": "Suspended"}, {"reason": "FailedCreate", "message": message}])
    assert found is not None
    assert found.cause == message
    assert hint in found.hint


def test_a_pod_that_was_made_in_the_end_is_no_trouble() -> None:
    assert (
        diagnosis.of_job([{"reason": "FailedCreate", "message": "exceeded quota"}, {"reason": "SuccessfulCreate"}])
        is None
    )
    assert diagnosis.of_job([]) is None


def test_a_job_has_ended_when_one_of_its_conditions_says_so() -> None:
    def job(*conditions: dict[str, str]) -> dict[str, Any]:
        return {"status": {"conditions": list(conditions)}}

    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Job was active longer"}
    assert diagnosis.job_end({"status": {}}) is None
    assert diagnosis.job_end(job({"type": "FailureTarget", "status": "True"})) is None
    assert diagnosis.job_end(job({"type": "Failed", "status": "False"})) is None
    assert diagnosis.job_end(job({"type": "Complete", "status": "True"})) == (True, "")
    assert diagnosis.job_end(job({"type": "FailureTarget", "status": "True"}, failed)) == (
        False,
        "DeadlineExceeded: Job was active longer",
    )


def test_the_exit_code_is_that_of_the_named_container() -> None:
    ended = {
        "containerStatuses": [
            {"name": "proxy", "state": {"terminated": {"exitCode": 7}}},
            {"name": "driver", "state": {"running": {}}},
        ]
    }
    assert diagnosis.exit_code({"status": ended}, "driver") is None
    assert diagnosis.exit_code({"status": ended}, "proxy") == 7


@pytest.mark.parametrize(
    ("status", "begun"),
    [
        ({}, False),
        ({"phase": "Pending"}, False),
        ({"phase": "Succeeded"}, True),
        ({"phase": "Running", "containerStatuses": [{"name": "driver", "state": {"running": {}}}]}, True),
        ({"phase": "Failed", "containerStatuses": [{"name": "driver", "state": {"terminated": {}}}]}, True),
        # A sidecar runs, the driver's image can't be pulled.
        (
            {
                "phase": "Running",
                "containerStatuses": [{"name": "driver", "state": {"waiting": {"reason": "ErrImagePull"}}}],
            },
            False,
        ),
    ],
)
def test_a_container_that_has_begun_has_a_log(status: dict[str, Any], begun: bool) -> None:
    assert diagnosis.has_begun({"status": status}, "driver") is begun
