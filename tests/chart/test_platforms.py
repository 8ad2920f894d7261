"""The page about queues, schedulers and meshes: what it says to write is rendered, and Kubernetes knows every field of
it."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from tests.chart.helm import JOB, NAMESPACE, RELEASE, Helm, driver, of_kind, pods, settings, together
from tests.command import REPOSITORY

from mxspark.settings import document
from mxspark.settings.job import Settings
from mxspark.spark.pods import executor_template
from mxspark.submit.kubernetes import manifests

PAGE = (REPOSITORY / "docs" / "platforms.md").read_text()
VALUES, SETTINGS = (
    [
        yaml.safe_load(block)
        for block in re.findall(rf"^ *```yaml\n *# {kind}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    ]
    for kind in ("values of the chart", "settings of submit")
)
QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}


def checked(kubeconform: list[str], objects: list[dict[str, Any]]) -> None:
    text = "\n---\n".join(map(json.dumps, objects))
    done = subprocess.run(kubeconform, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_has_both() -> None:
    assert len(VALUES) >= 8
    assert len(SETTINGS) >= 3


@pytest.mark.parametrize("values", VALUES, ids=lambda values: "-".join(values))
def test_values_of_the_page_are_the_chart_s(helm: Helm, kubeconform: list[str], values: dict[str, Any]) -> None:
    rendered = helm.render(together({"job": JOB}, values))
    found = settings(rendered)
    executor = executor_template(found.spark, found.kubernetes)
    checked(kubeconform, [*rendered, {**executor, "metadata": {**executor["metadata"], "name": "executor"}}])
    for role, pod in (("driver", driver(rendered)), ("executor", executor)):
        given = values.get(role, {})
        assert given.get("annotations", {}).items() <= pod["metadata"]["annotations"].items()
        assert values.get("jobLabels", {}).items() <= pod["metadata"]["labels"].items()
        scheduler = given.get("podTemplate", {}).get("spec", {}).get("schedulerName")
        assert pod["spec"].get("schedulerName") == scheduler


@pytest.mark.parametrize("given", SETTINGS, ids=str)
def test_settings_of_the_page_are_those_of_a_submission(kubeconform: list[str], given: dict[str, Any]) -> None:
    found = document.parse(Settings, together({**JOB, "kubernetes": {"image": "mxspark:1"}}, given), "settings")
    completed = manifests.in_namespace(manifests.completed(found, RELEASE), NAMESPACE)
    checked(kubeconform, manifests.objects(completed, RELEASE, "0.1.0"))


def test_a_queue_holds_the_job_and_not_the_pods_of_helm_test(helm: Helm) -> None:
    rendered = helm.render({"job": JOB, "jobLabels": QUEUE})
    assert QUEUE.items() <= of_kind(rendered, "Job")["metadata"]["labels"].items()
    _, *tests = pods(rendered)
    assert tests
    assert all(not QUEUE.keys() & pod["metadata"]["labels"].keys() for pod in tests)
    scheduled = of_kind(helm.render({"job": JOB, "jobLabels": QUEUE, "schedule": "@daily"}), "CronJob")
    assert QUEUE.items() <= scheduled["spec"]["jobTemplate"]["metadata"]["labels"].items()


def test_a_job_that_is_resumed_is_the_same_job(helm: Helm) -> None:
    held, resumed = (of_kind(helm.render({"job": JOB, "suspend": suspend}), "Job") for suspend in (True, False))
    assert held["spec"].pop("suspend") is True
    assert held == resumed
