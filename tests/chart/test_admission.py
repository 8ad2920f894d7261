"""The sample of an admission policy: Kubernetes knows its fields, and it is about the accounts that the chart and a
submission make.

What its expressions take and refuse is tried on a cluster: tests/kubernetes/test_admission.py.
"""

import subprocess

import yaml
from tests.command import REPOSITORY

from mxspark.spark.pods import PROGRESS_ANNOTATION
from mxspark.submit.kubernetes import manifests

SAMPLE = REPOSITORY / "examples" / "kubernetes" / "admission.yaml"


def test_kubernetes_knows_every_field_of_the_sample(kubeconform: list[str]) -> None:
    checked = subprocess.run(kubeconform, input=SAMPLE.read_text(), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert "4 resources found" in checked.stdout


def test_the_sample_lets_a_driver_say_how_far_it_is() -> None:
    policies = [each for each in yaml.safe_load_all(SAMPLE.read_text()) if each["kind"] == "ValidatingAdmissionPolicy"]
    annotations = policies[1]["spec"]["validations"][-1]
    assert f'"{PROGRESS_ANNOTATION}"' in annotations["expression"]
    assert PROGRESS_ANNOTATION in annotations["message"]


def test_the_sample_names_the_executors_account_as_a_submission_does() -> None:
    policy = next(iter(yaml.safe_load_all(SAMPLE.read_text())))
    accounts = [
        check["expression"] for check in policy["spec"]["validations"] if "serviceAccountName in" in check["expression"]
    ]
    assert len(accounts) == 1
    assert f'["{manifests._executors_account("mxspark")}"]' in accounts[0]
