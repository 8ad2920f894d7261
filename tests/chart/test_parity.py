"""The chart and `mxspark submit kubernetes` make the same objects of the same settings."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chart.helm import NAMESPACE, RELEASE, Helm, Manifest, driver, of_kind, settings
from tools.chart.values import settings_of_values

from mxspark.settings.document import read_yaml
from mxspark.settings.job import Settings
from mxspark.settings.sources import effective, file_layer
from mxspark.submit.kubernetes import manifests

VALUES = Path(__file__).with_name("values")
SAME = ["minimal", "gpu", "everything", "kind"]
# test_values.py
OF_ALL_PODS = ("podSecurityContext", "containerSecurityContext", "extraEnv", "extraVolumes", "extraVolumeMounts")
VERSION_LABEL, CHECKSUM = "app.kubernetes.io/version", "checksum/settings"


def values_of(example: str) -> dict[str, Any]:
    """A values file, less what `mxspark submit kubernetes` has nothing for; names are those of the release."""
    path = VALUES.parents[2] / "examples" / "kind" / "values.yaml" if example == "kind" else VALUES / f"{example}.yaml"
    values = read_yaml(path.read_text(), str(path))
    for chart_only in (
        "commonLabels",
        "nameOverride",
        "serviceAccount",
        "networkPolicy",
        "monitoring",
        "tests",
        *OF_ALL_PODS,
    ):
        values.pop(chart_only, None)
    return values | {"ttlSeconds": values.get("ttlSeconds", 86_400)}


def submitted(helm: Helm, values: dict[str, Any]) -> tuple[Settings, list[Manifest]]:
    """What `mxspark submit kubernetes` makes of the chart's settings and of those that are in the chart's Job."""
    data = settings(helm.render(values)).model_dump(mode="json", exclude_defaults=True)
    data["kubernetes"].pop("service_account")  # so that it makes one
    if not values.get("executor", {}).get("serviceAccountName"):
        data["kubernetes"].pop("executor_service_account", None)
    for path, setting in settings_of_values():
        value: Any = values
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and setting[0] == "kubernetes" and (setting[1] == "driver" or len(setting) == 2):
            place = data
            for key in setting[:-1]:
                place = place.setdefault(key, {})
            place[setting[-1]] = value
    given = effective([file_layer(data, "settings")]).settings
    complete = manifests.in_namespace(manifests.completed(given, RELEASE), NAMESPACE)
    return complete, manifests.objects(complete, RELEASE, "0.1.0")


def plain(manifest: Any) -> Any:
    """As JSON has it, without what Kubernetes fills in and what only one of the two writes."""
    text = json.loads(json.dumps(manifest))

    def tidy(part: Any) -> Any:
        if isinstance(part, list):
            return [tidy(item) for item in part]
        if not isinstance(part, dict):
            return part
        kept = {key: tidy(value) for key, value in part.items() if key not in (VERSION_LABEL, CHECKSUM)}
        for key, default in (("protocol", "TCP"), ("annotations", {}), ("type", "ClusterIP")):
            if kept.get(key) == default:
                del kept[key]
        return kept

    return tidy(text)


@pytest.mark.parametrize("example", SAME)
def test_the_driver_s_pod_is_the_same(helm: Helm, example: str) -> None:
    values = values_of(example)
    _, objects = submitted(helm, values)
    assert plain(driver(helm.render(values))) == plain(of_kind(objects, "Job")["spec"]["template"])


@pytest.mark.parametrize("example", SAME)
def test_the_job_is_the_same_but_for_its_name(helm: Helm, example: str) -> None:
    values = values_of(example)
    _, objects = submitted(helm, values)
    ours, theirs = (dict(of_kind(each, "Job")["spec"]) for each in (helm.render(values), objects))
    for spec in (ours, theirs):
        del spec["template"]
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("example", SAME)
def test_the_settings_are_the_same(helm: Helm, example: str) -> None:
    values = values_of(example)
    given, _ = submitted(helm, values)
    in_the_job = {
        "suspend",
        "driver",
        "restarts",
        "deadline_seconds",
        "keep_seconds",
        "network_policies",
        "ingress_rules",
    }
    found, expected = (each.model_dump() for each in (settings(helm.render(values)), given))
    for each in (found, expected):
        each["kubernetes"] = {key: value for key, value in each["kubernetes"].items() if key not in in_the_job}
    assert found == expected


@pytest.mark.parametrize("example", SAME)
def test_the_other_objects_have_the_same_names_and_rights(helm: Helm, example: str) -> None:
    values = values_of(example)
    rendered = helm.render(values)
    _, objects = submitted(helm, values)
    for kind in ("Service", "ServiceAccount", "Role", "RoleBinding"):
        names, others = (
            [one["metadata"]["name"] for one in each if one["kind"] == kind] for each in (rendered, objects)
        )
        assert names == others
    ours, theirs = (
        {rule["resources"][0]: set(rule["verbs"]) for rule in of_kind(each, "Role")["rules"]}
        for each in (rendered, objects)
    )
    assert ours.keys() == theirs.keys()
    assert ours["pods"] == theirs["pods"]
    assert all(verbs <= theirs[kind] for kind, verbs in ours.items())
    service, other = of_kind(rendered, "Service")["spec"], of_kind(objects, "Service")["spec"]
    assert other["selector"].items() <= service["selector"].items()
    assert [(port["name"], port["port"]) for port in service["ports"]] == [
        (port["name"], port["port"]) for port in other["ports"]
    ]


@pytest.mark.parametrize("example", SAME)
def test_what_may_connect_to_the_pods_is_the_same(helm: Helm, example: str) -> None:
    values = values_of(example)
    ours, theirs = (
        {each["metadata"]["name"]: plain(each["spec"]) for each in made if each["kind"] == "NetworkPolicy"}
        for made in (helm.render(values), submitted(helm, values)[1])
    )
    assert ours == theirs
    assert len(ours) == 3


def test_a_public_bucket_asks_for_no_identity_and_what_is_let_in_is_the_same(helm: Helm) -> None:
    values = values_of("minimal")
    values["job"]["storage"] = {"anonymous": True}
    values["networkPolicy"] = {"ingressRules": [{"ports": [{"port": 15008, "protocol": "TCP"}]}]}
    rendered = helm.render(values)
    given, objects = submitted(helm, values)
    assert (
        settings(rendered).kubernetes.executor_service_account
        == given.kubernetes.executor_service_account
        == f"{RELEASE}-executor"
    )
    for kind, name in (("ServiceAccount", f"{RELEASE}-executor"), ("NetworkPolicy", RELEASE)):
        ours, theirs = (plain(of_kind(each, kind, name).get("spec")) for each in (rendered, objects))
        assert ours == theirs


def test_memory_that_is_no_whole_mib_is_rounded_up_by_both(helm: Helm) -> None:
    values = values_of("minimal") | {"driver": {"memory": "1048577k", "memoryOverhead": "1048577k"}}
    _, objects = submitted(helm, values)
    ours, theirs = (
        each["spec"]["containers"][0]
        for each in (driver(helm.render(values)), of_kind(objects, "Job")["spec"]["template"])
    )
    assert ours["resources"] == theirs["resources"]
    assert ours["resources"]["limits"]["memory"] == "2050Mi"
