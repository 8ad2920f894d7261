"""The values: each reaches the manifests, and wrong ones are refused by name before anything is made."""

import json
import re
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
from tests.chart.helm import (
    CHART,
    JOB,
    Helm,
    as_settings,
    driver,
    nested,
    of_kind,
    pods,
    settings,
    settings_text,
    together,
)
from tools.chart.values import NOT_IN_JOB, ChartValues, settings_of_values

from mxspark.errors import UsageError
from mxspark.settings.document import Document, json_schema, read_yaml
from mxspark.settings.job import Settings
from mxspark.settings.sources import effective, file_layer
from mxspark.spark.pods import executor_template, merged
from mxspark.submit import reach
from mxspark.submit.kubernetes.manifests import OWN_PROPERTIES, with_native_sidecars

BASE: dict[str, Any] = {"job": JOB}
TOLERATION = {"key": "batch", "operator": "Exists"}
CONTAINER = {"spec": {"containers": [{"env": [{"name": "A", "value": "b"}]}]}}
PEER = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
# For every value another one than its default.
SAMPLES: dict[str, Any] = {
    "job": JOB | {"top_k": 3},
    "context": "auto",
    "image.repository": "registry.example.com/mxspark",
    "image.tag": "1.2.3",
    "image.digest": "sha256:" + 64 * "0",
    "image.pullPolicy": "Always",
    "imagePullSecrets": ["registry"],
    "executor.count": 7,
    "executor.cores": 2,
    "executor.memory": "2g",
    "executor.memoryOverhead": "3g",
    "executor.taskCpus": 2,
    "executor.cpuRequest": "100m",
    "executor.cpuLimit": 2,
    "executor.nodeSelector": {"disk": "fast"},
    "executor.tolerations": [TOLERATION],
    "executor.affinity": {"nodeAffinity": {}},
    "executor.priorityClassName": "low",
    "executor.labels": {"team": "vision"},
    "executor.annotations": {"team": "vision"},
    "executor.podTemplate": CONTAINER,
    "executor.terminationGracePeriodSeconds": 0,
    "executor.serviceAccountName": "reader",
    "driver.cores": 2,
    "driver.memory": "2g",
    "driver.memoryOverhead": "3g",
    "driver.cpuRequest": "100m",
    "driver.cpuLimit": 2,
    "driver.nodeSelector": {"disk": "fast"},
    "driver.tolerations": [TOLERATION],
    "driver.affinity": {"nodeAffinity": {}},
    "driver.priorityClassName": "high",
    "driver.labels": {"team": "vision"},
    "driver.annotations": {"team": "vision"},
    "driver.podTemplate": CONTAINER,
    "driver.terminationGracePeriodSeconds": 0,
    "gpu.perExecutor": 1,
    "gpu.vendor": "amd.com",
    "gpu.discoveryScript": "/opt/other.sh",
    "s3.endpoint": "http://s3.storage:8333",
    "s3.region": "eu-central-1",
    "s3.secretName": "bucket-keys",
    "serviceAccount.create": False,
    "serviceAccount.name": "spark",
    "serviceAccount.annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/mxspark"},
    "rbac.create": False,
    "sparkConf": {"spark.task.maxFailures": 4},
    "dynamicAllocation.enabled": True,
    "dynamicAllocation.minExecutors": 1,
    "dynamicAllocation.maxExecutors": 9,
    "dynamicAllocation.idleSeconds": 30,
    "spot.enabled": True,
    "spot.tolerations": [TOLERATION],
    "localDirectory.size": "9Gi",
    "localDirectory.request": "9Gi",
    "localDirectory.storageClass": "fast",
    "localDirectory.hostPath": "/mnt/disks/ssd0",
    "gitops": True,
    "podSecurityContext": {"fsGroupChangePolicy": "OnRootMismatch"},
    "containerSecurityContext": {"readOnlyRootFilesystem": False},
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    "openshift": True,
    "restarts": 0,
    "deadlineSeconds": 3600,
    "ttlSeconds": 0,
    "schedule": "0 3 * * *",
    "cronJob.timeZone": "Europe/Berlin",
    "cronJob.concurrencyPolicy": "Replace",
    "cronJob.startingDeadlineSeconds": 60,
    "cronJob.successfulJobsHistoryLimit": 0,
    "cronJob.failedJobsHistoryLimit": 0,
    "cronJob.suspend": True,
    "networkPolicy.ingress": False,
    "networkPolicy.ingressRules": [{"from": PEER}],
    "networkPolicy.enabled": True,
    "networkPolicy.dns.to": PEER,
    "networkPolicy.dns.ports": [5353],
    "networkPolicy.apiServer.to": PEER,
    "networkPolicy.apiServer.ports": [16443],
    "networkPolicy.s3.to": PEER,
    "networkPolicy.s3.ports": [9000],
    "networkPolicy.credentials.to": PEER,
    "networkPolicy.credentials.ports": [8080],
    "networkPolicy.egress": [{"to": PEER}],
    "networkPolicy.uiFrom": PEER,
    "monitoring.metricsPort": 9095,
    "monitoring.uiService": True,
    "monitoring.ingress.enabled": True,
    "monitoring.ingress.className": "nginx",
    "monitoring.ingress.host": "photos.example.com",
    "monitoring.ingress.annotations": {"example.com/auth": "required"},
    "monitoring.ingress.tls": [{"hosts": ["photos.example.com"], "secretName": "photos-tls"}],
    "monitoring.httpRoute.enabled": True,
    "monitoring.httpRoute.parentRefs": [{"name": "public", "namespace": "gateways"}],
    "monitoring.httpRoute.hostnames": ["photos.example.com"],
    "monitoring.httpRoute.annotations": {"example.com/auth": "required"},
    "monitoring.eventLog": "s3a://logs/spark",
    "monitoring.prometheus.annotations": True,
    "monitoring.prometheus.podMonitor.enabled": True,
    "monitoring.prometheus.podMonitor.interval": "5s",
    "monitoring.prometheus.podMonitor.labels": {"release": "prometheus"},
    "monitoring.prometheus.rules.enabled": True,
    "monitoring.prometheus.rules.labels": {"release": "prometheus"},
    "monitoring.prometheus.dashboard.enabled": True,
    "monitoring.prometheus.dashboard.labels": {"dashboards": "grafana"},
    "jobLabels": {"kueue.x-k8s.io/queue-name": "vision"},
    "suspend": True,
    "tests.enabled": False,
    "tests.timeoutSeconds": 99,
    "commonLabels": {"team": "vision"},
    "nameOverride": "nightly",
    "fullnameOverride": "other",
}
# What must be set for a value to mean something.
NEEDS: dict[str, dict[str, Any]] = {
    "executor.taskCpus": {"executor": {"cores": 4}},
    "gpu": {"context": "gpu", "gpu": {"perExecutor": 1}},
    "gpu.perExecutor": {"context": "auto"},
    "gpu.vendor": {"context": "gpu", "gpu": {"perExecutor": 1, "discoveryScript": "/opt/amd.sh"}},
    "extraVolumeMounts": {"extraVolumes": [{"name": "scratch", "emptyDir": {}}]},
    "serviceAccount.create": {"serviceAccount": {"name": "spark"}},
    "dynamicAllocation": {"dynamicAllocation": {"enabled": True}},
    "spot.tolerations": {"spot": {"enabled": True}},
    "cronJob": {"schedule": "0 3 * * *"},
    "monitoring.ingress": {"monitoring": {"ingress": {"enabled": True, "host": "digits.example.com"}}},
    "monitoring.ingress.enabled": {"monitoring": {"ingress": {"host": "digits.example.com"}}},
    "monitoring.httpRoute": {"monitoring": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "inner"}]}}},
    "monitoring.httpRoute.enabled": {"monitoring": {"httpRoute": {"parentRefs": [{"name": "inner"}]}}},
    "networkPolicy": {"networkPolicy": {"enabled": True}},
    **{
        f"monitoring.prometheus.{part}": {"monitoring": {"prometheus": {part: {"enabled": True}}}}
        for part in ("podMonitor", "rules", "dashboard")
    },
}


def leaves(kind: type[Document] = ChartValues, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """The dotted names of all values, and whether they may be null."""
    for name, field in kind.model_fields.items():
        section = kind.section(name)
        if section:
            yield from leaves(section, f"{prefix}{field.alias}.")
        else:
            yield f"{prefix}{field.alias}", NoneType in get_args(field.annotation)


def sections(kind: type[Document], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield prefix
    for name, field in kind.model_fields.items():
        section = kind.section(name)
        if section:
            yield from sections(section, (*prefix, field.alias or name))


def needed_for(value: str) -> dict[str, Any]:
    """The values beside which this one can be tried."""
    prefixes = [".".join(value.split(".")[:depth]) for depth in range(1, value.count(".") + 2)]
    exact = NEEDS.get(value)
    found: dict[str, Any] = exact or {}
    if exact is None:
        for prefix in prefixes:
            found = together(found, NEEDS.get(prefix, {}))
    if value in (
        "dynamicAllocation.enabled",
        "networkPolicy.enabled",
        "networkPolicy.ingress",
        "monitoring.prometheus.podMonitor.enabled",
        "monitoring.prometheus.rules.enabled",
        "monitoring.prometheus.dashboard.enabled",
    ):
        found = {}
    return together(BASE, found)


def test_there_is_a_sample_of_every_value() -> None:
    assert set(SAMPLES) == {name for name, _ in leaves()}


@pytest.mark.parametrize("value", SAMPLES)
def test_a_value_reaches_the_manifests(helm: Helm, value: str) -> None:
    without = needed_for(value)
    changed = together(without, nested(tuple(value.split(".")), SAMPLES[value]))
    assert helm.render(changed) != helm.render(without)


# The other values that are settings are in manifests that the chart makes.
NOT_THE_DRIVER_S = ("suspend", "restarts", "deadline_seconds", "keep_seconds", "network_policies", "ingress_rules")
IN_SETTINGS = [
    (value, setting)
    for value, setting in settings_of_values()
    if setting[:2] != ("kubernetes", "driver") and setting[-1] not in NOT_THE_DRIVER_S
]


@pytest.mark.parametrize(("value", "setting"), IN_SETTINGS, ids=lambda path: ".".join(path))
def test_a_value_that_is_a_setting_gets_to_it(helm: Helm, value: tuple[str, ...], setting: tuple[str, ...]) -> None:
    name = ".".join(value)
    rendered = helm.render(together(needed_for(name), nested(value, SAMPLES[name])))
    found: Any = settings(rendered).model_dump(mode="json")
    for key in setting:
        found = found[key]
    if name == "sparkConf":
        assert found == {"spark.task.maxFailures": "4"}
    else:
        assert found == (str(SAMPLES[name]) if isinstance(found, str) else SAMPLES[name])


def test_large_numbers_stay_numbers(each_helm: Helm) -> None:
    job = JOB | {"input": {"path": ["s3://images/a", "s3://images/b"], "max_bytes": 100_000_000, "limit": 12_345_678}}
    rendered = each_helm.render(
        {"job": job, "sparkConf": {"spark.a": 100_000_000, "spark.b": 0.25}, "deadlineSeconds": 10_000_000}
    )
    found = settings(rendered)
    assert (found.input.paths, found.input.max_bytes, found.input.limit) == (
        ("s3://images/a", "s3://images/b"),
        100_000_000,
        12_345_678,
    )
    assert found.spark.conf == {"spark.a": "100000000", "spark.b": "0.25"}
    assert of_kind(rendered, "Job")["spec"]["activeDeadlineSeconds"] == 10_000_000


def test_large_numbers_of_the_job_and_its_pods_stay_numbers(each_helm: Helm) -> None:
    million = 1_000_000
    limits = {"successfulJobsHistoryLimit": million, "failedJobsHistoryLimit": million}
    values = BASE | {"driver": {"terminationGracePeriodSeconds": million}, "tests": {"timeoutSeconds": million}}
    rendered = each_helm.render(values | {"schedule": "@daily", "cronJob": limits})
    assert limits.items() <= of_kind(rendered, "CronJob")["spec"].items()
    assert all(type(value) is int for value in of_kind(rendered, "CronJob")["spec"].values() if value == million)
    assert type(driver(rendered)["spec"]["terminationGracePeriodSeconds"]) is int
    assert all(type(each["spec"]["activeDeadlineSeconds"]) is int for each in rendered if each["kind"] == "Pod")


@pytest.mark.parametrize("schedule", [{}, {"schedule": "@daily"}], ids=str)
@pytest.mark.parametrize("release", ["true", "null"])
def test_names_that_look_like_something_else_stay_names(
    each_helm: Helm, kubeconform: list[str], release: str, schedule: dict[str, Any]
) -> None:
    """As YAML reads 2024, true, null, 007 and 1e3."""
    values = BASE | {
        "s3": {"secretName": "123456"},
        "imagePullSecrets": ["123", "0x1f"],
        "image": {"repository": "123", "tag": "45"},  # YAML 1.1 takes 123:45 for a number, to the base of 60
        "serviceAccount": {"name": "007"},
        "driver": {"priorityClassName": "true", "labels": {"a": "1", "b": "null"}, "annotations": {"a": "1e3"}},
        "executor": {"priorityClassName": "1e3", "serviceAccountName": "2.5", "nodeSelector": {"spot": "yes"}},
        "localDirectory": {"size": "1000000", "storageClass": "1"},
        "networkPolicy": {"enabled": True},
        "monitoring": {"uiService": True, "prometheus": {"podMonitor": {"enabled": True}}},
        "commonLabels": {"year": "2024", "is-test": "false"},
        **schedule,
    }
    rendered = each_helm.render(values, "--namespace=2024", release=release)
    for each in rendered:
        assert each["metadata"]["namespace"] == "2024"
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == release
    found = settings(rendered)
    assert found.spark.app_name == release
    assert found.kubernetes.namespace == "2024"
    assert found.kubernetes.image == driver(rendered)["spec"]["containers"][0]["image"] == "123:45"
    assert found.kubernetes.service_account == driver(rendered)["spec"]["serviceAccountName"] == "007"
    assert found.kubernetes.executor.priority_class == "1e3"
    # It minds whether a field is text or a number.
    checked = subprocess.run(
        kubeconform, input="\n---\n".join(map(json.dumps, rendered)), capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_settings_say_nothing_of_what_nobody_asked_for(helm: Helm) -> None:
    assert "null" not in settings_text(helm.render(BASE))
    assert "[]" not in settings_text(helm.render(BASE))


# ---- wrong values ----


def test_an_unknown_key_is_named_in_whichever_section(helm: Helm) -> None:
    known = [*sections(ChartValues)]
    refusal = refusal_of(helm, {(*section, "tpyo"): 1 for section in known})
    assert len(known) > 10
    for section in known:
        assert f"at '{pointer(section)}': additional properties 'tpyo' not allowed" in refusal


def test_an_unknown_setting_of_the_job_is_named_and_so_is_one_that_is_a_value_of_its_own(helm: Helm) -> None:
    known = [section for section in sections(Settings) if not any(section[: len(part)] == part for part in NOT_IN_JOB)]
    refusal = refusal_of(
        helm, {("job", *section, "tpyo"): 1 for section in known} | {("job", *part): "x" for part in NOT_IN_JOB}
    )
    assert len(known) > 5
    for section in known:
        refused = unknown_properties(refusal, ("job", *section))
        assert refused == {"tpyo", *(part[-1] for part in NOT_IN_JOB if part[:-1] == section)}, section
    assert {part[:-1] for part in NOT_IN_JOB} <= {*known}


def refusal_of(helm: Helm, wrong: dict[tuple[str, ...], Any]) -> str:
    """The words in which all these values together are refused: the schema names each that is wrong."""
    values = BASE
    for path, value in wrong.items():
        values = together(values, nested(path, value))
    return helm.refusal(values)


def pointer(path: tuple[str, ...]) -> str:
    return "".join(f"/{key}" for key in path)


@pytest.mark.parametrize(
    ("monitoring", "words"),
    [
        ({"metricsPort": 4040}, "monitoring.metricsPort is 4040, which Spark uses itself"),
        ({"ingress": {"enabled": True}}, "monitoring.ingress.host is missing"),
        ({"httpRoute": {"enabled": True}}, "monitoring.httpRoute.parentRefs is missing"),
    ],
)
def test_pages_that_could_not_be_served_are_refused(helm: Helm, monitoring: dict[str, Any], words: str) -> None:
    assert words in helm.refusal(BASE | {"monitoring": monitoring})


@pytest.mark.parametrize(
    ("value", "entries", "words"),
    [
        ("extraEnv", [{"value": "x"}], "extraEnv.0 has no name"),
        ("extraEnv", [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}], "two entries with the name A"),
        ("extraEnv", [{"name": "MXSPARK_OUTPUT__PATH", "value": "s3://b/o"}], "makes a setting"),
        ("extraVolumes", [{"name": "settings", "emptyDir": {}}], "settings is the chart's own"),
        ("extraVolumes", [{"emptyDir": {}}], "extraVolumes.0 has no name"),
        ("extraVolumeMounts", [{"name": "data", "mountPath": "/tmp/"}], "/tmp is the chart's own"),
        ("extraVolumeMounts", [{"name": "data"}], "extraVolumeMounts.0 has no mountPath"),
    ],
)
def test_extras_that_the_cluster_would_refuse_or_that_hide_the_chart_s_own_are_refused(
    helm: Helm, value: str, entries: list[dict[str, Any]], words: str
) -> None:
    assert words in helm.refusal({"job": JOB, value: entries})


def unknown_properties(refusal: str, section: tuple[str, ...]) -> set[str]:
    """Which properties of a section are refused."""
    found = re.search(rf"at '{pointer(section)}': additional properties (.*) not allowed", refusal)
    assert found is not None, refusal
    return set(re.findall(r"'([^']*)'", found[1]))


def test_both_versions_of_helm_name_what_is_wrong(each_helm: Helm) -> None:
    wrong = BASE | {"executor": {"memory": "2GB", "count": "two", "cuont": 3}, "context": "tpu"}
    refusal = each_helm.refusal(wrong)
    for words in ("/executor/memory", "'^[1-9][0-9]*[kmgt]b?$'", "/executor/count", "'cuont'", "/context", "'gpu'"):
        assert words in refusal


SCHEMA = json.loads((CHART / "values.schema.json").read_text())
WRONG = "a: b"  # what no pattern takes


def described(value: str) -> dict[str, Any]:
    """What the schema says of a value."""
    found: dict[str, Any] = SCHEMA
    for key in value.split("."):
        found = found["properties"][key]
        found = SCHEMA["$defs"][found["$ref"].rsplit("/", 1)[-1]] if "$ref" in found else found
    return found


def patterns(part: Any) -> set[str]:
    """All patterns of texts in a part of a schema."""
    if isinstance(part, list):
        return set().union(*map(patterns, part))
    if not isinstance(part, dict):
        return set()
    return {part["pattern"]} if "pattern" in part else set().union(*map(patterns, part.values()))


def without_form(about: dict[str, Any]) -> Any:
    """A value that has none of the forms that the schema asks for; None where it asks for none."""
    if "patternProperties" in about:
        return {WRONG: "x"}
    if patterns(about):
        return [WRONG] if about.get("type") == "array" else WRONG
    return None


def test_a_text_that_is_not_of_its_form_is_refused_by_name(each_helm: Helm) -> None:
    wrong = {name: without_form(described(name)) for name, _ in leaves() if name != "job"}
    wrong = {name: value for name, value in wrong.items() if value is not None}
    assert len(wrong) > 30
    refusal = refusal_of(each_helm, {tuple(name.split(".")): value for name, value in wrong.items()})
    for name in wrong:
        assert f"at '/{name.replace('.', '/')}" in refusal, name


@pytest.mark.parametrize(("value", "setting"), [*settings_of_values()], ids=lambda path: ".".join(path))
def test_a_value_has_the_form_of_its_setting(value: tuple[str, ...], setting: tuple[str, ...]) -> None:
    owner = Settings.section_at(*setting[:-1])
    assert owner is not None
    wanted = patterns(json_schema(owner)["properties"][setting[-1]])
    is_cpus = value[-1] in ("cpuRequest", "cpuLimit")  # a quantity, but neither memory nor a disk's size
    assert wanted <= patterns(described(".".join(value))) or is_cpus


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("image.repository", "x y"),
        ("image.repository", "user:canary@registry/x"),
        ("image.repository", "mxspark:0.1.0"),
        ("image.tag", "a: b"),
        ("image.tag", "-1"),
        ("image.digest", "sha256:12"),
        ("gpu.vendor", "NVIDIA"),
        ("gpu.vendor", ""),
        ("gpu.discoveryScript", "x.sh"),
        *(
            (f"{labels}.team", value)
            for labels in ("commonLabels", "driver.labels", "executor.nodeSelector")
            for value in ("a b", 64 * "a")
        ),
        ("commonLabels.bad key", "x"),
        ("commonLabels.Example/team", "x"),
        ("driver.annotations.bad key", "x"),
    ],
)
def test_a_name_that_no_registry_or_cluster_takes_is_refused(helm: Helm, name: str, wrong: str) -> None:
    refusal = helm.refusal(together(BASE, nested(tuple(name.split(".")), wrong)))
    assert f"at '/{name.split('.')[0]}" in refusal


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("image.repository", "localhost:5000/team/mx-spark__cpu"),
        ("image.repository", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mxspark"),
        ("image.repository", "[fd00::1]:5000/mxspark"),
        ("image.tag", "0.1.0-cpu_1"),
        ("commonLabels", {"example.com/team": "", "Team": "a-b.C_1", "long": 63 * "a"}),
        (
            "driver.annotations",
            {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x y", "Example.com/X": "any text: at all"},
        ),
    ],
)
def test_a_name_that_they_take_is_taken(helm: Helm, name: str, right: Any) -> None:
    helm.render(together(BASE, nested(tuple(name.split(".")), right)))


def test_a_default_can_not_be_taken_away(helm: Helm) -> None:
    taken = [name for name, may_be_null in leaves() if not may_be_null]
    assert len(taken) > 50
    refusal = helm.try_to_render(BASE, *(f"--set={name}=null" for name in taken)).ended_with(1).errors
    missing = {
        f"{place.replace('/', '.')}.{name}".strip(".")
        for place, names in re.findall(r"at '(.*)': missing propert(?:y|ies) (.*)", refusal)
        for name in re.findall(r"'([^']*)'", names)
    }
    assert missing == set(taken)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"context": "gpu"},
            "context is gpu, but gpu.perExecutor is 0: executors would get no GPU. Set gpu.perExecutor to 1",
        ),
        ({"gpu": {"perExecutor": 1}}, "gpu.perExecutor is 1, but context is cpu"),
        (
            {"localDirectory": {"hostPath": "/mnt", "storageClass": "fast"}},
            "localDirectory has hostPath and storageClass: executors have one such folder",
        ),
        (
            {"context": "gpu", "gpu": {"perExecutor": 2}},
            "gpu.perExecutor is 2, one worker for each, but executor.cores 1",
        ),
        (
            {"networkPolicy": {"ingress": False, "ingressRules": [{"ports": [{"port": 15008}]}]}},
            "networkPolicy.ingressRules say who else may connect, but",
        ),
        (
            {"executor": {"podTemplate": {"metadata": {"labels": {"app.kubernetes.io/component": "other"}}}}},
            "executor.podTemplate.metadata.labels has app.kubernetes.io/component, by which",
        ),
        (
            {"gpu": {"vendor": "amd.com"}},
            "gpu.vendor is amd.com, but the script gpu.discoveryScript finds NVIDIA's GPUs only: name one",
        ),
        ({"executor": {"taskCpus": 2}}, "executor.taskCpus is 2, but executor.cores only 1"),
        ({"executor": {"memory": "464m"}}, "executor.memory is 464m, but Spark's Java asks for 465m at least"),
        ({"executor": {"memory": "476159k"}}, "executor.memory is 476159k"),
        ({"driver": {"memory": "464m"}}, "driver.memory is 464m, but Spark's Java asks for 465m at least"),
        (
            {"executor": {"memoryOverhead": "383m"}},
            "executor.memoryOverhead is 383m for 1 workers, of which each needs 384m",
        ),
        ({"executor": {"memoryOverhead": "1g", "cores": 3}}, "executor.memoryOverhead is 1g for 3 workers"),
        (
            {"dynamicAllocation": {"enabled": True, "min_executors": 3, "minExecutors": 3}},
            "dynamicAllocation.minExecutors is 3, but the maximum is 2",
        ),
        (
            {"job": JOB | {"output": {"path": "s3://images/digits"}}},
            "job.output.path is the same place as job.input.path",
        ),
        (
            {
                "job": JOB
                | {"input": {"path": ["s3://images/a", "s3://tables/b/"]}, "output": {"path": "s3://tables/b"}}
            },
            "is the same place",
        ),
        ({"job": JOB | {"model": JOB["model"] | {"params": "s3://models/0.params"}}}, "job.model.path is a bundle"),
        (
            {"job": JOB | {"output": {"path": "s3://tables/digits", "overwrite": True, "retry_failed": True}}},
            "job.output.overwrite restarts, job.output.retry_failed resumes: give one of them",
        ),
        (
            {"job": JOB | {"output": {"path": "s3://tables/digits", "text_object": "s3://tables/digits.txt"}}},
            "job.output.text_object goes with job.output.format text, but that is parquet",
        ),
    ],
    ids=lambda given: "" if isinstance(given, str) else ",".join(given),
)
def test_values_that_can_not_work_together_are_refused_as_mxspark_refuses_them(
    helm: Helm, wrong: dict[str, Any], words: str
) -> None:
    wrong.get("dynamicAllocation", {}).pop("min_executors", None)
    assert words in helm.refusal(BASE | wrong)
    with pytest.raises(UsageError):
        effective([file_layer(as_settings(BASE | wrong), "values")])


@pytest.mark.parametrize(
    "right",
    [
        {"executor": {"memory": "465m", "memoryOverhead": "384m"}, "driver": {"memory": "465m"}},
        {"executor": {"memory": "476160k", "memoryOverhead": "393216k"}},
        {"context": "auto", "gpu": {"perExecutor": 1}},
        {"context": "gpu", "sparkConf": {"spark.executor.resource.gpu.amount": "1"}},
        {"executor": {"cores": 8, "taskCpus": 4}},
        {"dynamicAllocation": {"enabled": True, "minExecutors": 2}},
    ],
    ids=str,
)
def test_values_that_just_work_are_taken_as_mxspark_takes_them(helm: Helm, right: dict[str, Any]) -> None:
    assert settings(helm.render(BASE | right)) != settings(helm.render(BASE))
    effective([file_layer(as_settings(BASE | right), "values")])


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({}, "job.input.path is missing"),
        ({"input": JOB["input"]}, "job.output.path is missing"),
        ({"input": JOB["input"], "output": JOB["output"]}, "job.model.path is missing"),
        (JOB | {"model": {"symbol": "s3://models/symbol.json"}}, "job.model.path is missing"),
    ],
)
def test_what_a_job_can_not_do_without_is_asked_for(helm: Helm, job: dict[str, Any], words: str) -> None:
    assert words in helm.refusal({"job": job})


POD_FOLDERS = [
    ("output.path", "/tmp/out", "each pod would write to a folder of its own, which is deleted with it"),
    ("output.text_object", "/tmp/out.txt", "each pod would write to a folder of its own"),
    ("input.path", "photos", "a folder that pods don't have"),
    ("input.path", ["s3://images/a", "photos"], "a folder that pods don't have"),
    ("model.path", "bundle", "a folder that pods don't have"),
]


@pytest.mark.parametrize(("key", "place", "words"), POD_FOLDERS)
def test_folders_that_no_two_pods_share_are_refused_as_mxspark_refuses_them(
    helm: Helm, key: str, place: str | list[str], words: str
) -> None:
    job = together(JOB | {"output": {"path": "s3://tables/", "format": "text"}}, nested(tuple(key.split(".")), place))
    assert f"job.{key} is {place if isinstance(place, str) else place[-1]}" in (refusal := helm.refusal({"job": job}))
    assert words in refusal
    with pytest.raises(UsageError):
        reach.check(effective([file_layer(as_settings({"job": job}), "values")]).settings)


def mounting(path: str, kind: dict[str, Any], **mount: Any) -> dict[str, Any]:
    volumes = [{"name": "data", **kind}]
    return {
        "podTemplate": {
            "spec": {
                "volumes": volumes,
                "containers": [{"volumeMounts": [{"name": "data", "mountPath": path, **mount}]}],
            }
        }
    }


CLAIM: dict[str, Any] = {"persistentVolumeClaim": {"claimName": "data"}}
SIDECAR: dict[str, Any] = {"podTemplate": {"spec": {"containers": [{}, {"name": "proxy", "image": "proxy:1"}]}}}
UNREACHED: list[tuple[dict[str, Any], str]] = [
    (
        {
            "job": {"output": {"path": "/database"}},
            "driver": mounting("/data", CLAIM),
            "executor": mounting("/data", CLAIM),
        },
        "deleted with it",
    ),
    (
        {
            "job": {"output": {"path": "/data"}},
            "driver": mounting("/data", {"emptyDir": {}}),
            "executor": mounting("/data", CLAIM),
        },
        "deleted with it",
    ),
    (
        {
            "job": {"output": {"path": "/data/a"}},
            "driver": mounting("/data", CLAIM),
            "executor": mounting("/data/", CLAIM, readOnly=True),
        },
        "readOnly: true",
    ),
    ({"job": {"model": {"path": "/data/a"}}, "driver": mounting("/data", CLAIM)}, "not in the executor"),
    ({"job": {"input": {"path": "/data/a"}}, "executor": mounting("/data", CLAIM)}, "not in the driver"),
    (
        {
            "job": {"input": {"path": "photos"}},
            "driver": mounting("/data", CLAIM),
            "executor": mounting("/data", CLAIM),
        },
        "photos",
    ),
    ({"s3": {"endpoint": "http://localhost:8333"}}, "is http://localhost:8333"),
    ({"s3": {"endpoint": "http://[::1]:8333"}}, "the pod itself"),
    ({"s3": {"endpoint": "https://127.0.0.1"}, "driver": SIDECAR}, "the pod itself"),
    ({"job": {"model": {"path": "http://127.0.0.1:80/m"}}}, "the pod itself"),
]


@pytest.mark.parametrize(("values", "words"), UNREACHED)
def test_what_pods_do_not_reach_is_refused_as_mxspark_refuses_it(
    helm: Helm, values: dict[str, Any], words: str
) -> None:
    values = together(BASE, values)
    assert words in helm.refusal(values)
    with pytest.raises(UsageError) as refused:
        reach.check(effective([file_layer(as_settings(values), "values")]).settings)
    assert words in refused.value.problem


@pytest.mark.parametrize(
    "values",
    [
        {
            "job": {"output": {"path": "/data/a"}},
            "driver": mounting("/data", CLAIM),
            "executor": mounting("/data", CLAIM),
        },
        {"job": {"input": {"path": "/lists/a.csv"}}, "driver": mounting("/lists", {"configMap": {"name": "lists"}})},
        {"job": {"model": {"path": "/in-the-image"}}},
        {
            "job": {"output": {"path": "/data"}},
            "driver": mounting("/data", CLAIM),
            "sparkConf": {"spark.kubernetes.executor.volumes.persistentVolumeClaim.data.mount.path": "/data"},
        },
        {
            "s3": {"endpoint": "http://localhost:1"},
            "driver": SIDECAR,
            "executor": {"podTemplate": {"spec": {"hostNetwork": True}}},
        },
        {"s3": {"endpoint": "http://localhost.example.com"}},
    ],
)
def test_what_pods_may_reach_is_taken_as_mxspark_takes_it(helm: Helm, values: dict[str, Any]) -> None:
    values = together(BASE, values)
    helm.render(values)
    reach.check(effective([file_layer(as_settings(values), "values")]).settings)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("output.path", "gs://tables/digits"),
        ("output.path", "https://tables/digits"),
        ("output.path", "hdfs://name/tables"),
        ("output.text_object", "file:///tables/digits.txt"),
        ("input.path", "gs://images"),
        ("model.path", "abfs://models"),
    ],
)
def test_places_that_mxspark_does_not_know_are_refused_as_mxspark_refuses_them(
    helm: Helm, key: str, place: str
) -> None:
    job = together(JOB | {"output": {"path": "s3://tables/", "format": "text"}}, nested(tuple(key.split(".")), place))
    words = f"is {place}, and mxspark does not support {place.partition('://')[0]}://"
    assert f"job.{key} {words}: give s3://bucket/prefix" in helm.refusal({"job": job})
    with pytest.raises(UsageError) as refused:
        reach.check(effective([file_layer(as_settings({"job": job}), "values")]).settings)
    assert words.replace(place, repr(place), 1) in refused.value.problem


@pytest.mark.parametrize("tag", ["1.0", "2024", "0", "1e3"])
def test_a_tag_that_is_a_number_is_refused_with_the_hint_to_quote_it(each_helm: Helm, tmp_path: Path, tag: str) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(f"job: {json.dumps(JOB)}\nimage: {{tag: {tag}}}\n")
    assert 'quote it, tag: "1.0"' in each_helm.try_to_render(values).ended_with(1).errors
    values.write_text(f"job: {json.dumps(JOB)}\nimage: {{tag: '{tag}'}}\n")
    assert driver(each_helm.render(values))["spec"]["containers"][0]["image"] == f"mxspark:{tag}"


SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "mxspark", "app.kubernetes.io/instance": "digits"}},
}


def spreads(rendered: list[dict[str, Any]]) -> list[Any]:
    """What the driver's and an executor's pod say of it."""
    found = settings(rendered)
    specs = (driver(rendered)["spec"], executor_template(found.spark, found.kubernetes)["spec"])
    return [spec.get("topologySpreadConstraints") for spec in specs]


def test_pods_are_spread_over_nodes(each_helm: Helm) -> None:
    assert spreads(each_helm.render(BASE)) == [[SPREAD], [SPREAD]]
    both = {"affinity": {"nodeAffinity": {}}, "podTemplate": {"spec": {"affinity": {"nodeAffinity": {}}}}}
    assert spreads(each_helm.render(BASE | {"driver": both, "executor": both})) == [[SPREAD], [SPREAD]]


@pytest.mark.parametrize(
    ("own", "found"),
    [
        (
            {"podTemplate": {"spec": {"topologySpreadConstraints": [SPREAD | {"maxSkew": 2}]}}},
            [SPREAD | {"maxSkew": 2}],
        ),
        ({"podTemplate": {"spec": {"topologySpreadConstraints": []}}}, []),
        ({"podTemplate": {"spec": {"affinity": {"podAffinity": {}}}}}, None),
        ({"affinity": {"podAntiAffinity": {}}}, None),
    ],
)
def test_who_says_how_pods_are_spread_is_obeyed(helm: Helm, own: dict[str, Any], found: Any) -> None:
    assert spreads(helm.render(BASE | {"driver": own, "executor": own})) == [found, found]


def test_every_pod_asks_for_some_of_its_node_s_disk(helm: Helm) -> None:
    rendered = helm.render(BASE | {"localDirectory": {"request": "3Gi"}})
    requests = [spec["containers"][0]["resources"]["requests"]["ephemeral-storage"] for spec in all_specs(rendered)]
    assert requests == ["3Gi"] * 5


def test_what_the_image_brings_is_in_every_pod(helm: Helm) -> None:
    helm.render({"job": JOB | {"model": {"path": "/opt/mxspark/examples/digits/bundle"}}})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sepc": {"x": 1}}, "additional properties 'sepc' not allowed"),
        ({"spec": {"containers": "x"}}, "podTemplate/spec/containers': got string, want null or array"),
        ({"spec": {"containers": ["x"]}}, "podTemplate/spec/containers/0': got string, want null or object"),
        ({"spec": {"volumes": {"name": "x"}}}, "podTemplate/spec/volumes': got object, want null or array"),
        ({"spec": []}, "podTemplate/spec': got array, want null or object"),
        ({"metadata": "x"}, "podTemplate/metadata': got string, want null or object"),
        (
            {"spec": {"nodeSelektor": {"disk": "fast"}}},
            "podTemplate/spec': additional properties 'nodeSelektor' not allowed",
        ),
        (
            {"spec": {"volumes": [{"name": "x", "emptydir": {}}]}},
            "podTemplate/spec/volumes/0': additional properties 'emptydir' not allowed",
        ),
        (
            {"spec": {"initContainers": [{"image": "No Image"}]}},
            "podTemplate/spec/initContainers/0/image': 'No Image' does not match pattern",
        ),
        (
            {"spec": {"containers": [{"env": [{"name": "A", "value": 1}]}]}},
            "env/0/value': got number, want null or string",
        ),
    ],
)
def test_a_pod_template_that_is_none_is_refused(helm: Helm, wrong: dict[str, Any], words: str) -> None:
    pods = ("driver", "executor")
    refusal = helm.refusal(BASE | {pod: {"podTemplate": wrong} for pod in pods})
    told = [line for line in refusal.splitlines() if words in line]
    assert all(any(f"at '/{pod}/podTemplate" in line for line in told) for pod in pods), refusal


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "executor.tolerations",
            [{"key": "batch", "operatorr": "Exists"}],
            "'/executor/tolerations/0': additional properties 'operatorr'",
        ),
        ("driver.affinity", {"nodeAfinity": {}}, "'/driver/affinity': additional properties 'nodeAfinity'"),
        ("spot.tolerations", [{"key": 1}], "'/spot/tolerations/0/key': got number, want null or string"),
        ("networkPolicy.uiFrom", [{"podSelectr": {}}], "'/networkPolicy/uiFrom/0': additional properties 'podSelectr'"),
        ("networkPolicy.egress", [{"too": []}], "'/networkPolicy/egress/0': additional properties 'too'"),
    ],
)
def test_a_field_that_kubernetes_does_not_know_is_refused(each_helm: Helm, name: str, value: Any, words: str) -> None:
    assert words in each_helm.refusal(together(BASE, nested(tuple(name.split(".")), value)))


def test_fields_of_kubernetes_are_taken_in_its_own_types(each_helm: Helm) -> None:
    spec = {
        "schedulerName": "volcano",
        "containers": [
            {
                "resources": {"limits": {"example.com/disk": 2, "ephemeral-storage": "9Gi"}},
                "livenessProbe": {"httpGet": {"port": "ui"}},
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
    }
    for pod in ("driver", "executor"):
        each_helm.render(BASE | {pod: {"podTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}})


@pytest.mark.parametrize(
    "schedule", ["every day", "0 3 * *", "0 3 * * * *", "at three in the morning", "@tomorrow", ""]
)
def test_a_schedule_that_is_none_is_refused(helm: Helm, schedule: str) -> None:
    assert "at '/schedule'" in helm.refusal(BASE | {"schedule": schedule})


@pytest.mark.parametrize("schedule", ["*/5 0-6 1,15 jan-MAR sun", "@daily", "@every 1h30m"])
def test_a_schedule_has_five_fields_or_a_word(helm: Helm, schedule: str) -> None:
    assert of_kind(helm.render(BASE | {"schedule": schedule}), "CronJob")["spec"]["schedule"] == schedule


@pytest.mark.parametrize(
    ("cpus", "words"),
    [
        ({"cpuRequest": 2}, "cpuRequest is 2, more than {pod}.cores, 1"),
        ({"cpuRequest": "1001m"}, "cpuRequest is 1001m, more than {pod}.cores, 1"),
        ({"cpuRequest": 1.5, "cpuLimit": "1.2"}, "cpuRequest is 1.5, more than {pod}.cpuLimit, 1.2"),
        ({"cpuLimit": "500m"}, "cores is 1, more than {pod}.cpuLimit, 500m"),
        ({"cpuRequest": 1_000_000}, "cpuRequest is 1000000, more than {pod}.cores, 1"),
        ({"cpuRequest": "1Gi"}, "cpuRequest'"),
    ],
)
@pytest.mark.parametrize("pod", ["driver", "executor"])
def test_more_cpus_asked_for_than_may_be_used_are_refused(
    helm: Helm, pod: str, cpus: dict[str, Any], words: str
) -> None:
    assert words.format(pod=pod) in helm.refusal(BASE | {pod: cpus})


@pytest.mark.parametrize(
    "cpus", [{"cpuRequest": "1"}, {"cpuRequest": "2000m", "cpuLimit": 2}, {"cpuRequest": 0.5, "cpuLimit": "500m"}]
)
def test_as_many_cpus_as_may_be_used_can_be_asked_for(each_helm: Helm, cpus: dict[str, Any]) -> None:
    each_helm.render(BASE | {"driver": cpus, "executor": cpus})


def test_not_every_pod_of_the_namespace_gets_the_driver_s_rights(helm: Helm) -> None:
    refusal = helm.refusal(BASE | {"serviceAccount": {"create": False}})
    assert "serviceAccount.name is missing, and serviceAccount.create is false" in refusal
    helm.render(BASE | {"serviceAccount": {"create": False}, "rbac": {"create": False}})


@pytest.mark.parametrize("key", sorted(OWN_PROPERTIES))
def test_properties_that_the_chart_sets_itself_are_refused(helm: Helm, key: str) -> None:
    assert f"sparkConf.{key} is set by the chart itself: take it out" in helm.refusal(
        BASE | {"sparkConf": {key: "local[2]"}}
    )


def test_ports_that_the_policies_leave_closed_are_refused_while_there_are_policies(helm: Helm) -> None:
    values = BASE | {"sparkConf": {"spark.driver.port": 7000}}
    words = "sparkConf.spark.driver.port is given, but the network policies open only Spark's default ports"
    assert words in helm.refusal(values)
    assert words in helm.refusal(values | {"networkPolicy": {"ingress": False, "enabled": True}})
    helm.render(values | {"networkPolicy": {"ingress": False}})


def test_a_name_that_is_too_long_is_refused_not_cut(helm: Helm) -> None:
    longest, longer = 45 * "a", 46 * "a"
    helm.render(BASE, release=longest)
    assert "has 46 characters, and 45 are the most" in helm.try_to_render(BASE, release=longer).ended_with(1).errors
    assert "has a dot" in helm.try_to_render(BASE, release="v1.2").ended_with(1).errors


def test_a_name_that_no_service_can_have_is_refused(helm: Helm) -> None:
    refusal = helm.try_to_render(BASE, release="2024-photos").ended_with(1).errors
    assert "the name 2024-photos begins with a digit, which services' names can't" in refusal
    helm.render(BASE | {"fullnameOverride": "photos-2024"}, release="2024-photos")


def test_a_cluster_that_is_too_old_is_named(each_helm: Helm) -> None:
    refused = each_helm.try_to_render(BASE, "--kube-version=1.26.9").ended_with(1)
    assert "requires kubeVersion: >=1.27.0-0" in refused.errors
    each_helm.render(BASE, "--kube-version=1.27.0")


# ---- the Job's name ----


def job_name(helm: Helm, values: dict[str, Any], *arguments: str) -> str:
    name: str = of_kind(helm.render(values, *arguments), "Job")["metadata"]["name"]
    return name


@pytest.mark.parametrize(
    "change",
    [{"executor": {"count": 3}}, {"driver": {"memory": "2g"}}, {"job": JOB | {"top_k": 1}}, {"image": {"tag": "2"}}],
    ids=str,
)
def test_what_changes_the_pod_or_the_settings_is_another_job(helm: Helm, change: dict[str, Any]) -> None:
    assert job_name(helm, BASE | change) != job_name(helm, BASE)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"restarts": 1},
        {"deadlineSeconds": 60},
        {"ttlSeconds": 60},
        {"networkPolicy": {"enabled": True}},
        {"tests": {"enabled": False}},
    ],
    ids=str,
)
def test_what_changes_neither_is_the_same_job(each_helm: Helm, change: dict[str, Any]) -> None:
    assert job_name(each_helm, BASE | change, "--is-upgrade") == job_name(each_helm, BASE)


def users(spec: dict[str, Any]) -> dict[str, Any]:
    """Whom a pod runs as, as far as it says so."""
    keys = ("runAsUser", "runAsGroup", "fsGroup")
    return {key: value for key in keys if (value := spec["securityContext"].get(key)) is not None}


def all_specs(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the driver, the pods of `helm test`, and an executor as mxspark makes it."""
    found = settings(rendered)
    return [*(pod["spec"] for pod in pods(rendered)), executor_template(found.spark, found.kubernetes)["spec"]]


def test_openshift_gives_all_pods_their_user(each_helm: Helm) -> None:
    ordinary, openshift = all_specs(each_helm.render(BASE)), all_specs(each_helm.render(BASE | {"openshift": True}))
    assert len(openshift) == 5
    assert all(users(spec) == {"runAsUser": 185, "runAsGroup": 185, "fsGroup": 185} for spec in ordinary)
    assert all(users(spec) == {} for spec in openshift)
    assert all(spec["securityContext"]["runAsNonRoot"] is True for spec in openshift)


def test_a_group_of_the_user_s_own_holds_on_openshift_too(helm: Helm) -> None:
    template = {"podTemplate": {"spec": {"securityContext": {"fsGroup": 7}}}}
    specs = all_specs(helm.render(BASE | {"openshift": True, "driver": template, "executor": template}))
    assert all(users(spec) == {"fsGroup": 7} for spec in specs)


def test_the_user_can_be_taken_away_by_a_template(helm: Helm) -> None:
    """As docs/kubernetes.md says of ways without the chart."""
    template = {"podTemplate": {"spec": {"securityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}}}
    specs = all_specs(helm.render(BASE | {"driver": template, "executor": template}))
    assert all(users(spec) == {} for spec in specs)


def test_a_run_of_a_schedule_keeps_the_settings_with_which_it_began(each_helm: Helm) -> None:
    """An upgrade changes the ConfigMap, not the pods of a Job that runs."""
    rendered = each_helm.render(
        BASE | {"schedule": "@daily", "job": JOB | {"input": JOB["input"] | {"true_label": r'_("\d)\.png$'}}}
    )
    pod = driver(rendered)
    assert read_yaml(pod["metadata"]["annotations"]["mxspark/settings"], "settings") == read_yaml(
        settings_text(rendered), "settings"
    )
    volume = next(each for each in pod["spec"]["volumes"] if each["name"] == "settings")
    assert volume == {
        "name": "settings",
        "downwardAPI": {
            "items": [{"path": "settings.yaml", "fieldRef": {"fieldPath": "metadata.annotations['mxspark/settings']"}}]
        },
    }
    # Elsewhere another Job takes the place of the one that runs, and the ConfigMap is enough.
    once = driver(each_helm.render(BASE))
    assert "mxspark/settings" not in once["metadata"]["annotations"]
    assert {"name": "settings", "configMap": {"name": "digits-settings"}} in once["spec"]["volumes"]


def test_with_gitops_a_job_that_is_made_again_goes_on_and_none_meets_another(helm: Helm) -> None:
    values = BASE | {"gitops": True}
    rendered = helm.render(values)
    (submission,) = [
        each
        for each in driver(rendered)["spec"]["containers"][0]["env"]
        if each["name"] == "MXSPARK_OUTPUT__SUBMISSION"
    ]

    assert driver(helm.render(values)) == driver(rendered), "the same Job, whenever it is made"
    assert submission["value"].startswith("jobs/digits/")
    assert settings(rendered).kubernetes.driver_service is None
    # A Job that nobody has pruned keeps its own settings, too, when its driver is started again.
    assert read_yaml(driver(rendered)["metadata"]["annotations"]["mxspark/settings"], "settings") == read_yaml(
        settings_text(rendered), "settings"
    )
    assert not [volume for volume in driver(rendered)["spec"]["volumes"] if "configMap" in volume]
    assert not [
        each
        for each in rendered
        if each["kind"] == "Service" or "helm.sh/hook" in each["metadata"].get("annotations", {})
    ]
    assert "ttlSecondsAfterFinished" not in of_kind(rendered, "Job")["spec"]
    assert "ttlSeconds is 60, but gitops is true" in helm.refusal(values | {"ttlSeconds": 60})
    # Each run of a schedule is one of its own.
    scheduled = driver(helm.render(values | {"schedule": "@daily", "ttlSeconds": 60}))
    assert "valueFrom" in next(
        each for each in scheduled["spec"]["containers"][0]["env"] if each["name"] == "MXSPARK_OUTPUT__SUBMISSION"
    )


def test_a_container_beside_the_driver_takes_a_kubernetes_that_ends_it(helm: Helm) -> None:
    beside = {"podTemplate": {"spec": {"containers": [{"name": "driver"}, {"name": "proxy", "image": "proxy"}]}}}

    refused = helm.try_to_render(BASE | {"driver": beside}, "--kube-version=1.28.3").ended_with(1)

    assert "a container beside the driver, which Kubernetes v1.28.3 does not end with it" in refused.errors


def test_what_spark_writes_over_a_template_of_executors_is_refused(helm: Helm) -> None:
    template = {"spec": {"containers": [{"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}]}}

    refused = helm.try_to_render(BASE | {"executor": {"podTemplate": template}}).ended_with(1)

    assert "executor.podTemplate.spec.containers.0.lifecycle would have no effect" in refused.errors
    helm.render(BASE | {"executor": {"podTemplate": template}, "sparkConf": {"spark.decommission.enabled": False}})
    sizes = {"spec": {"containers": [{"resources": {"limits": {"memory": "9Gi", "example.com/fpga": 1}}}]}}
    assert "containers.0.resources.limits.memory would have no effect" in helm.refusal(
        BASE | {"executor": {"podTemplate": sizes}}
    )
    helm.render(
        BASE
        | {"executor": {"podTemplate": {"spec": {"containers": [{"resources": {"limits": {"example.com/fpga": 1}}}]}}}}
    )


def test_properties_of_a_driver_s_pod_are_refused_for_the_chart_makes_it(helm: Helm) -> None:
    key = "spark.kubernetes.driver.volumes.hostPath.data.mount.path"
    assert f"sparkConf.{key} would have no effect" in helm.refusal(BASE | {"sparkConf": {key: "/data"}})
    helm.render(BASE | {"sparkConf": {"spark.driver.maxResultSize": "1g"}})


def test_the_template_of_a_user_wins_and_adds(helm: Helm) -> None:
    """As mxspark itself does it (pods.merged)."""
    template = {
        "metadata": {"annotations": {"checksum/settings": "mine"}},
        "spec": {
            "terminationGracePeriodSeconds": 7,
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": [
                {"name": "any", "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"memory": "9Gi"}}},
                {"name": "sidecar", "image": "sidecar"},
            ],
        },
    }
    ours = driver(helm.render(BASE))
    found = driver(helm.render(BASE | {"driver": {"podTemplate": template}}))
    expected = merged(ours, template)
    assert found == expected | {"spec": with_native_sidecars(expected["spec"])}
    assert [container["name"] for container in found["spec"]["containers"]] == ["driver"]
    assert found["spec"]["initContainers"] == [{"name": "sidecar", "image": "sidecar", "restartPolicy": "Always"}], (
        "ends with the driver"
    )


EXTRA: dict[str, Any] = {
    "podSecurityContext": {"fsGroup": 1000, "runAsUser": None},
    "containerSecurityContext": {
        "readOnlyRootFilesystem": False,
        "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]},
    },
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraVolumes": [{"name": "data", **CLAIM}],
    "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
}


def test_what_all_pods_are_given_is_a_part_of_both_templates(each_helm: Helm) -> None:
    """By the names that other charts have; settings have these parts in kubernetes.driver.template and
    kubernetes.executor.template.
    """
    container = {
        "env": EXTRA["extraEnv"],
        "volumeMounts": EXTRA["extraVolumeMounts"],
        "securityContext": {"readOnlyRootFilesystem": False, "capabilities": {"add": ["SYS_PTRACE"]}},
    }
    spec = {"securityContext": EXTRA["podSecurityContext"], "volumes": EXTRA["extraVolumes"], "containers": [container]}
    both = {"podTemplate": {"spec": spec}}
    assert each_helm.render(BASE | EXTRA) == each_helm.render(BASE | {"driver": both, "executor": both})


def test_what_all_pods_are_given_goes_over_the_strict_defaults_and_under_a_template(helm: Helm) -> None:
    template = {
        "podTemplate": {
            "spec": {"securityContext": {"fsGroup": 7}, "containers": [{"env": [{"name": "A", "value": "b"}]}]}
        }
    }
    specs = all_specs(helm.render(BASE | EXTRA | {"driver": template, "executor": template}))
    assert len(specs) == 5
    for spec in specs:
        (container,) = spec["containers"]
        assert users(spec) == {"runAsGroup": 185, "fsGroup": 7}
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": False,
            "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]},
        }
        assert [each["name"] for each in container["env"]][-2:] == ["HTTPS_PROXY", "A"]
        assert container["volumeMounts"][-1] == {"name": "data", "mountPath": "/data"}
        assert spec["volumes"][-1] == {"name": "data", **CLAIM}


def test_a_volume_of_all_pods_can_hold_the_predictions(helm: Helm) -> None:
    helm.render(BASE | EXTRA | {"job": JOB | {"output": {"path": "/data/out"}}})


def test_the_settings_file_is_what_a_person_would_write(helm: Helm) -> None:
    """No key twice, and all of it known."""
    text = settings_text(helm.render(BASE))
    assert set(read_yaml(text, "settings.yaml")) == {"context", "input", "kubernetes", "model", "output", "spark"}


@pytest.mark.parametrize(
    ("values", "readers"),
    [
        ({}, []),
        ({"monitoring": {"prometheus": {"annotations": True}}}, [None]),
        ({"monitoring": {"uiService": True}, "networkPolicy": {"uiFrom": PEER}}, [PEER]),
        ({"monitoring": {"uiService": True}, "networkPolicy": {"enabled": True}}, [None]),
    ],
)
def test_spark_s_pages_are_open_to_those_for_whom_monitoring_serves_them(
    helm: Helm, values: dict[str, Any], readers: list[Any]
) -> None:
    policies = [each["spec"] for each in helm.render(together(BASE, values)) if each["kind"] == "NetworkPolicy"]
    rules = [
        rule for policy in policies for rule in policy["ingress"] if 4040 in [port["port"] for port in rule["ports"]]
    ]
    assert [rule.get("from") for rule in rules] == readers


@pytest.mark.parametrize(
    ("values", "is_open"),
    [
        ({}, True),
        ({"s3": {"secretName": "keys"}}, False),
        (
            {
                "serviceAccount": {
                    "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/mxspark"}
                }
            },
            False,
        ),
    ],
)
def test_a_node_s_metadata_is_closed_unless_an_identity_needs_it(
    helm: Helm, values: dict[str, Any], is_open: bool
) -> None:
    rendered = helm.render(together(together(BASE, values), {"networkPolicy": {"enabled": True}}))
    peers = [
        peer["ipBlock"]
        for each in rendered
        if each["kind"] == "NetworkPolicy"
        for rule in each["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    metadata = IPv4Address("169.254.169.254")
    reached = [
        peer
        for peer in peers
        if metadata in ip_network(peer["cidr"])
        and not any(metadata in ip_network(part) for part in peer.get("except", []))
    ]
    assert bool(reached) == is_open


def test_without_policies_none_is_made(helm: Helm) -> None:
    assert not [
        each
        for each in helm.render(together(BASE, {"networkPolicy": {"ingress": False}}))
        if each["kind"] == "NetworkPolicy"
    ]
