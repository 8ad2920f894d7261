"""What `helm install` tells the person who typed it."""

import json
from typing import Any

from tests.chart.helm import CHART, JOB, NAMESPACE, RELEASE, Helm, of_kind


def notes(helm: Helm, values: dict[str, Any]) -> str:
    arguments = (RELEASE, CHART, f"--namespace={NAMESPACE}", "--values=-")
    told = helm.run("install", *arguments, "--dry-run=client", given=json.dumps(values)).succeeded()
    return told.output.partition("NOTES:")[2]


def test_a_job_is_followed_by_its_name(helm: Helm) -> None:
    told = notes(helm, {"job": JOB})
    name = of_kind(helm.render({"job": JOB}), "Job")["metadata"]["name"]
    assert f"mxspark follow {RELEASE} --namespace {NAMESPACE}\n" in told
    assert f"logs --follow --pod-running-timeout 5m job/{name}\n" in told


def test_a_scheduled_job_can_be_run_now_again_and_again(helm: Helm) -> None:
    told = notes(helm, {"job": JOB, "schedule": "@daily"})
    assert f"create job --from=cronjob/{RELEASE} {RELEASE}-$(date +%s)\n" in told
    assert (
        "Once a run has started, follow the newest, or only the log of one that `get jobs` names:\n  mxspark follow "
        f"{RELEASE} " in told
    )


def test_what_helm_leaves_of_failed_tests_can_be_removed(helm: Helm) -> None:
    told = notes(helm, {"job": JOB, "fullnameOverride": "other"})
    selector = next(line for line in told.splitlines() if "delete pods" in line).split()[-1]
    labels = of_kind(helm.render({"job": JOB, "fullnameOverride": "other"}), "Pod", "other-test-bucket")["metadata"][
        "labels"
    ]
    assert dict(label.split("=") for label in selector.split(",")).items() <= labels.items()
    assert "delete pods" not in notes(helm, {"job": JOB, "tests": {"enabled": False}})


def test_a_prometheus_that_the_policies_keep_out_is_told_of(helm: Helm) -> None:
    values: dict[str, Any] = {"job": JOB, "driver": {"annotations": {"prometheus.io/scrape": "true"}}}
    words = "the network policies allow no Prometheus: name it in networkPolicy.uiFrom."
    assert words in notes(helm, values)
    peers: list[dict[str, Any]] = [{"namespaceSelector": {}}]
    for opened in ({"ingress": False}, {"uiFrom": peers}, {"ingressRules": [{"from": peers}]}):
        assert words not in notes(helm, values | {"networkPolicy": opened})
    assert words not in notes(helm, {"job": JOB})


def test_security_contexts_that_loosen_the_defaults_are_told_of(helm: Helm) -> None:
    values: dict[str, Any] = {
        "podSecurityContext": {
            "runAsNonRoot": False,
            "runAsUser": 0,
            "fsGroup": 1000,
            "supplementalGroups": [0],
            "seLinuxOptions": {"level": "s0:c123,c456"},
            "seccompProfile": {"type": "Unconfined"},
        },
        "containerSecurityContext": {
            "privileged": True,
            "allowPrivilegeEscalation": False,
            "capabilities": None,
            "procMount": "Unmasked",
        },
        "driver": {"podTemplate": {"spec": {"containers": [{"securityContext": {"readOnlyRootFilesystem": False}}]}}},
        "executor": {
            "podTemplate": {"spec": {"securityContext": {"runAsUser": 1000, "seccompProfile": {"type": "Localhost"}}}}
        },
    }
    (told,) = [
        line
        for line in notes(helm, {"job": JOB} | values).splitlines()
        if line.startswith("Less secure than the default: ")
    ]
    assert told.removeprefix("Less secure than the default: ").removesuffix(".").split(", ") == [
        "containerSecurityContext.capabilities is null",
        "containerSecurityContext.privileged is true",
        'containerSecurityContext.procMount is "Unmasked"',
        "driver.podTemplate.spec.containers.0.securityContext.readOnlyRootFilesystem is false",
        "podSecurityContext.runAsNonRoot is false",
        "podSecurityContext.runAsUser is 0",
        'podSecurityContext.seccompProfile is {"type":"Unconfined"}',
        "podSecurityContext.supplementalGroups is [0]",
    ]
    stricter = {"containerSecurityContext": {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}}
    assert "Less secure" not in notes(helm, {"job": JOB} | stricter)


def test_no_log_is_asked_for_by_labels(helm: Helm) -> None:
    """kubectl shows ten lines then, and refuses more than five pods."""
    for values in ({"job": JOB}, {"job": JOB, "schedule": "@daily"}):
        assert not [line for line in notes(helm, values).splitlines() if " logs " in line and "--selector" in line]
