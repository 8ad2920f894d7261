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
    assert f"mxspark follow {RELEASE} --namespace {NAMESPACE}\n" in told


def test_no_log_is_asked_for_by_labels(helm: Helm) -> None:
    """kubectl shows ten lines then, and refuses more than five pods."""
    for values in ({"job": JOB}, {"job": JOB, "schedule": "@daily"}):
        assert not [line for line in notes(helm, values).splitlines() if " logs " in line and "--selector" in line]
