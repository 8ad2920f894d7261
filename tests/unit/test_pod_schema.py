"""The fields that Kubernetes knows of pods, in settings."""

from typing import Any

import pytest

from mxspark.errors import UsageError
from mxspark.settings import document
from mxspark.settings.job import WRITTEN_BY_SPARK, Settings
from tests.unit.test_settings import given_settings

JOB = {"input": {"path": "s3://in"}, "output": {"path": "s3://out"}, "model": {"path": "s3://models/a"}}


def parsed(**pods: Any) -> Settings:
    return document.parse(Settings, {**JOB, "kubernetes": pods}, "settings")


def spec(**fields: Any) -> dict[str, Any]:
    return {"template": {"spec": fields}}


@pytest.mark.parametrize(
    ("pod", "told"),
    [
        (
            spec(nodeSelektor={"a": "b"}),
            "template.spec has 'nodeSelektor', which Kubernetes doesn't know there. Did you mean nodeSelector?",
        ),
        (spec(nodeselector={"a": "b"}), "Did you mean nodeSelector?"),
        ({"template": {"sepc": {}}}, "template has 'sepc', which Kubernetes doesn't know there. Did you mean spec?"),
        (
            {"tolerations": [{"key": "a"}, {"operatorr": "Exists"}]},
            "tolerations.1 has 'operatorr', which Kubernetes doesn't know there",
        ),
        (
            {"affinity": {"nodeAfinity": {}}},
            "affinity has 'nodeAfinity', which Kubernetes doesn't know there. Did you mean nodeAffinity?",
        ),
        (spec(volumes=[{"name": "a", "emptydir": {}}]), "template.spec.volumes.0 has 'emptydir'"),
        (spec(containers=[{"env": [{"name": "A", "valeu": "b"}]}]), "template.spec.containers.0.env.0 has 'valeu'"),
        (
            spec(containers=[{"env": [{"name": "A", "value": 1}]}]),
            "env.0.value is a whole number, and Kubernetes wants text: quote it",
        ),
        (
            spec(containers=[{}, {"name": "a", "image": "No Image"}]),
            "template.spec.containers.1.image has not the form of an image's name",
        ),
        (spec(hostNetwork="yes"), "template.spec.hostNetwork is text, and Kubernetes wants true or false"),
        (
            spec(tolerations={}),
            "template.spec.tolerations is keys and values, and Kubernetes wants a list: give it as a whole",
        ),
        (spec(containers=[None]), "template.spec.containers.0 has nothing in it"),
        ({"template": {"spec": None}}, "template.spec must be keys and values"),
    ],
)
@pytest.mark.parametrize("role", ["driver", "executor"])
def test_what_kubernetes_would_drop_or_refuse_is_named(role: str, pod: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(**{role: pod})
    assert f"kubernetes.{role}." in refused.value.problem
    assert told in refused.value.problem


def test_a_misspelt_field_of_an_ingress_rule_is_named() -> None:
    with pytest.raises(UsageError, match=r"kubernetes.ingress_rules.0 has 'form', which .* Did you mean from"):
        parsed(ingress_rules=[{"form": []}])


def test_all_wrong_fields_are_named_at_once_and_no_value_is_shown() -> None:
    with pytest.raises(UsageError) as refused:
        parsed(
            driver=spec(nodeSelektor="hush"), executor={"tolerations": [{"operatorr": "hush"}], **spec(priority="hush")}
        )
    assert all(name in refused.value.problem for name in ("nodeSelektor", "operatorr", "spec.priority is text"))
    assert "hush" not in refused.value.problem


def test_what_kubernetes_takes_is_taken() -> None:
    template = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"any.key/of-mine": "x"}, "annotations": None},
        "spec": {
            "securityContext": {"runAsUser": None, "sysctls": []},
            "schedulerName": "volcano",
            "containers": [
                {
                    "resources": {"limits": {"ephemeral-storage": 2, "example.com/fpga": 0.5}},
                    "readinessProbe": {"httpGet": {"port": 80}, "tcpSocket": {"port": "ui"}},
                }
            ],
            "volumes": [
                {"name": "a", "csi": {"driver": "d", "volumeAttributes": {"any": "thing"}}},
                {"name": "b", "emptyDir": {}},
            ],
        },
    }
    assert parsed(executor={"template": template, "tolerations": [{"operator": "Exists", "tolerationSeconds": 30.0}]})


@pytest.mark.parametrize(
    ("assignment", "template"),
    [
        ("spec.schedulerName=volcano", {"spec": {"schedulerName": "volcano", "priority": 1}}),
        ("spec.hostNetwork=true", {"spec": {"hostNetwork": True, "priority": 1}}),
        ("spec.schedulerName=007", {"spec": {"schedulerName": "007", "priority": 1}}),
        ("spec.securityContext.runAsUser=7", {"spec": {"securityContext": {"runAsUser": 7}, "priority": 1}}),
        (
            "spec.nodeSelector.kubernetes.io/os=linux",
            {"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}, "priority": 1}},
        ),
        (
            "metadata.annotations.example.com/a=1",
            {"spec": {"priority": 1}, "metadata": {"annotations": {"example.com/a": "1"}}},
        ),
        ("spec={priority: 2}", {"spec": {"priority": 2}}),
        (
            "spec.volumes=[{name: a, emptyDir: {}}]",
            {"spec": {"priority": 1, "volumes": [{"name": "a", "emptyDir": {}}]}},
        ),
    ],
)
def test_an_assignment_reaches_below_a_template(assignment: str, template: dict[str, Any]) -> None:
    file = {"kubernetes": {"driver": {"template": {"spec": {"priority": 1}}}}}
    found = given_settings(file, assignments=(f"kubernetes.driver.template.{assignment}",)).settings
    assert found.kubernetes.driver.template == template
    assert file == {"kubernetes": {"driver": {"template": {"spec": {"priority": 1}}}}}


def test_so_does_an_affinity_and_a_variable_of_the_environment() -> None:
    found = given_settings({}, assignments=("kubernetes.executor.affinity.podAntiAffinity={}",)).settings
    assert found.kubernetes.executor.affinity == {"podAntiAffinity": {}}
    found = given_settings({}, {"MXSPARK_KUBERNETES__EXECUTOR__TEMPLATE__spec__schedulerName": "volcano"}).settings
    assert found.kubernetes.executor.template == {"spec": {"schedulerName": "volcano"}}


def test_a_misspelt_field_of_an_assignment_is_named() -> None:
    with pytest.raises(UsageError, match=r"template\.spec has 'schedulername'.*Did you mean schedulerName"):
        given_settings({}, assignments=("kubernetes.driver.template.spec.schedulername=volcano",))


@pytest.mark.parametrize("key", ["args", "image", "imagePullPolicy", "lifecycle"])
def test_what_spark_writes_over_a_template_of_executors_is_refused_and_not_lost(key: str) -> None:
    value: Any = {"args": ["a"], "lifecycle": {"preStop": {"exec": {"command": ["true"]}}}, "image": "tool:1"}.get(
        key, "Always"
    )
    first, beside = spec(containers=[{key: value}]), spec(containers=[{}, {"name": "beside", "image": "b", key: value}])

    with pytest.raises(
        UsageError, match=rf"kubernetes\.executor\.template\.spec\.containers\.0\.{key} would have no effect"
    ):
        parsed(executor=first)

    assert parsed(executor=beside, driver=first)
    kept = {"kubernetes": {"executor": first}, "spark": {"conf": {"spark.decommission.enabled": "false"}}}
    if key == "lifecycle":
        assert document.parse(Settings, {**JOB, **kept}, "settings")


@pytest.mark.parametrize("key", [key for key in WRITTEN_BY_SPARK if "resources" in key or "containers" not in key])
def test_sizes_and_names_in_a_template_of_executors_are_refused_for_spark_writes_its_own(key: str) -> None:
    value: Any = 5 if key.endswith("Seconds") else "1"
    for part in reversed(key.replace(".0.", ".").split(".")):
        value = {part: [value] if part == "containers" else value}

    with pytest.raises(UsageError, match=f"kubernetes.executor.template.{key} would have no effect"):
        parsed(executor={"template": value})

    assert parsed(driver={"template": value})
