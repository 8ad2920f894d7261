"""The objects that a submission creates."""

import re
from typing import Any

import pytest

from mxspark.errors import UsageError
from mxspark.settings import document
from mxspark.settings.job import Settings
from mxspark.spark import pods
from mxspark.submit.kubernetes import manifests
from mxspark.submit.kubernetes.network_policies import PORT_PROPERTIES
from tests.unit.words import right_or_refused

JOB: dict[str, Any] = {
    "input": {"path": "s3://photos/2024/"},
    "output": {"path": "s3://tables/2024"},
    "model": {"path": "s3://models/resnet"},
    "kubernetes": {"image": "registry/mxspark:1"},
}


def settings(**changes: Any) -> Settings:
    merged = {
        key: {**JOB.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in {**JOB, **changes}.items()
    }
    return document.parse(Settings, merged, "settings")


def made(**changes: Any) -> dict[str, Any]:
    """By kind."""
    completed = manifests.in_namespace(manifests.completed(settings(**changes), "digits"), "vision")
    return {manifest["kind"]: manifest for manifest in manifests.objects(completed, "digits", "1.2.3")}


def driver(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = made(**changes)["Job"]["spec"]["template"]["spec"]
    return found


def test_the_job_is_the_first_for_it_owns_the_others() -> None:
    assert list(made()) == ["Job", "ConfigMap", "Service", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"]


def test_all_are_of_one_namespace_and_known_by_the_same_labels() -> None:
    for manifest in made().values():
        assert manifest["metadata"]["namespace"] == "vision"
        assert manifest["metadata"]["labels"] == {
            "app.kubernetes.io/name": "mxspark",
            "app.kubernetes.io/instance": "digits",
            "app.kubernetes.io/version": "1.2.3",
            "app.kubernetes.io/managed-by": "mxspark",
        }


def test_a_service_account_that_is_named_is_used_and_none_is_made() -> None:
    found = made(kubernetes={"service_account": "spark"})
    assert list(found) == ["Job", "ConfigMap", "Service", "NetworkPolicy"]
    assert found["Job"]["spec"]["template"]["spec"]["serviceAccountName"] == "spark"


def test_a_service_account_of_the_job_s_own_name_is_refused_for_it_would_be_taken_for_its_own() -> None:
    with pytest.raises(UsageError, match="service_account is 'digits', the job's own name"):
        made(kubernetes={"service_account": "digits"})


def test_rights_for_volume_claims_are_given_only_where_there_are_any() -> None:
    def rights(**kubernetes: Any) -> dict[str, list[str]]:
        return {
            kind: rule["verbs"] for rule in made(kubernetes=kubernetes)["Role"]["rules"] for kind in rule["resources"]
        }

    pods = ["create", "get", "list", "watch", "patch", "delete", "deletecollection"]
    assert rights() == {"pods": pods, "secrets": ["create"]}
    claims = rights(local_directory={"storage_class": "fast"})
    assert claims == {"pods": pods, "secrets": ["create"], "persistentvolumeclaims": ["create", "deletecollection"]}


def test_what_the_driver_reads_are_the_settings_as_they_were_submitted() -> None:
    text = made(top_k=3, spark={"executors": 7})["ConfigMap"]["data"]["settings.yaml"]
    read = document.parse(Settings, document.read_yaml(text, "settings.yaml"), "settings")
    assert (read.top_k, read.spark.executors, read.input.path) == (3, 7, "s3://photos/2024/")
    assert (read.spark.master, read.spark.app_name) == ("k8s://https://kubernetes.default.svc", "digits")
    assert (read.kubernetes.namespace, read.kubernetes.driver_service) == ("vision", "digits-driver")


def test_the_driver_is_told_which_pod_it_is_and_what_submission() -> None:
    fields = {entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in driver()["containers"][0]["env"]}
    assert fields == {
        "POD_NAME": "metadata.name",
        "POD_IP": "status.podIP",
        "POD_NAMESPACE": "metadata.namespace",
        "MXSPARK_OUTPUT__SUBMISSION": "metadata.labels['batch.kubernetes.io/controller-uid']",
    }


def test_credentials_come_from_the_secret_by_name() -> None:
    env = driver(kubernetes={"credentials_from": "keys"})["containers"][0]["env"]
    found = {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in env if "secretKeyRef" in entry["valueFrom"]}
    assert found == {
        "AWS_ACCESS_KEY_ID": {"name": "keys", "key": "AWS_ACCESS_KEY_ID"},
        "AWS_SECRET_ACCESS_KEY": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"},
        "AWS_SESSION_TOKEN": {"name": "keys", "key": "AWS_SESSION_TOKEN", "optional": True},
    }


def test_the_driver_has_heap_and_overhead_as_its_memory() -> None:
    resources = driver(spark={"driver_memory": "2g", "driver_memory_overhead": "512m", "driver_cores": 2})[
        "containers"
    ][0]["resources"]
    size = {"cpu": "2", "memory": "2560Mi"}
    assert resources == {"requests": {**size, "ephemeral-storage": "512Mi"}, "limits": size}


def test_what_trying_again_does_not_change_ends_the_job_and_what_is_no_fault_of_the_driver_s_does_not_count() -> None:
    spec = made(kubernetes={"restarts": 5, "deadline_seconds": 60, "keep_seconds": 90})["Job"]["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (5, 60, 90)
    fail, ignore = spec["podFailurePolicy"]["rules"]
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", [2, 3])
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"input": {"path": "photos"}}, ("input.path", "'photos'")),
        ({"output": {"path": "/tmp/table"}}, ("output.path", "'/tmp/table'")),
        ({"model": {"path": "models/resnet"}}, ("model.path", "'models/resnet'")),
        ({"kubernetes": {"image": None}}, ("kubernetes.image",)),
        ({"spark": {"conf": {"spark.hadoop.fs.s3a.secret.key": "hush"}}}, ("spark.hadoop.fs.s3a.secret.key",)),
        ({"spark": {"conf": {"spark.x": "https://me:hush@host"}}}, ("spark.x",)),
    ],
)
def test_what_pods_can_t_reach_or_all_could_read_is_refused_by_name(
    changes: dict[str, Any], named: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as refused:
        made(**changes)
    assert all(name in refused.value.problem for name in named)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "path", ["s3://photos/inventory/manifest.json", "s3://photos/2026.zip", "s3://photos/keys.parquet.gz"]
)
def test_an_input_that_is_no_image_and_no_list_is_refused_before_there_is_a_job(path: str) -> None:
    with pytest.raises(UsageError, match="by its name neither an image nor a list"):
        made(input={"path": path})

    assert made(input={"path": "s3://photos/keys.csv.gz"})
    assert made(input={"path": "s3://photos/2026.zip/"})
    assert made(input={"path": "s3://my.bucket/zip"})


IDLE_PROPERTIES = (
    "spark.kubernetes.driver.volumes.hostPath.data.mount.path",
    "spark.kubernetes.driver.label.team",
    "spark.kubernetes.driverEnv.A",
    "spark.kubernetes.driver.podTemplateFile",
    "spark.kubernetes.node.selector.disk",
    "spark.driver.memory",
)


@pytest.mark.parametrize("key", IDLE_PROPERTIES)
def test_properties_of_a_driver_s_pod_are_refused_for_a_job_makes_it(key: str) -> None:
    """A volume named so counted as mounted, which no driver had."""
    with pytest.raises(UsageError, match=re.escape(f"spark.conf has {key}, which would have no effect")):
        made(spark={"conf": {key: "/data"}}, input={"path": "/data"})


def test_properties_of_drivers_and_executors_that_spark_reads_here_are_taken() -> None:
    kept = {
        "spark.driver.maxResultSize": "1g",
        "spark.driver.extraJavaOptions": "-Da=b",
        "spark.kubernetes.driver.connectionTimeout": "9",
    }
    assert made(spark={"conf": kept | {"spark.kubernetes.executor.label.team": "a"}})


def test_folders_of_the_image_and_of_volumes_are_places_for_pods() -> None:
    assert made(model={"path": "/opt/mxspark/examples/imagenet/bundle"})
    mounts = [{"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}]
    template = {
        "spec": {
            "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}],
            "containers": mounts,
        }
    }
    both = {"driver": {"template": template}, "executor": {"template": template}}
    assert made(output={"path": "/shared/table"}, kubernetes=both)


@pytest.mark.parametrize("key", ["driver", "executor"])
def test_a_template_is_a_pod_s(key: str) -> None:
    templates: tuple[Any, ...] = (
        {"spec": []},
        {"specs": {}},
        {"spec": {"containers": {}}},
        {"spec": {"containers": ["a"]}},
        {"metadata": 3},
    )
    for template in templates:
        with pytest.raises(UsageError, match=f"kubernetes.{key}.template"):
            settings(kubernetes={key: {"template": template}})


def test_odd_templates_work_or_are_refused() -> None:
    specs: tuple[Any, ...] = (
        {"containers": []},
        {"containers": None},
        {"containers": [{}]},
        {"volumes": None},
        {"securityContext": None},
        {},
    )
    for spec in specs:
        with right_or_refused("template"):
            made(kubernetes={"driver": {"template": {"spec": spec}}, "executor": {"template": {"spec": spec}}})


def test_policies_can_be_left_to_others() -> None:
    assert "NetworkPolicy" not in made(kubernetes={"network_policies": False})


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_a_template_that_would_take_a_pod_from_its_policies_is_refused(role: str) -> None:
    labels = {"app.kubernetes.io/component": "other", "team": "vision"}
    with pytest.raises(
        UsageError, match=f"{role}.template.metadata.labels has app.kubernetes.io/component, by which network policies"
    ):
        made(kubernetes={role: {"template": {"metadata": {"labels": labels}}}})


def test_rules_for_policies_that_there_are_not_are_refused() -> None:
    with pytest.raises(UsageError, match="anybody may"):
        made(kubernetes={"network_policies": False, "ingress_rules": [{"ports": [{"port": 15008}]}]})


@pytest.mark.parametrize(
    ("changes", "account"),
    [
        ({}, None),  # EKS Pod Identity and GKE's federation give the driver's account an identity that nothing shows
        ({"kubernetes": {"credentials_from": "keys"}}, "digits-executor"),
        ({"storage": {"anonymous": True}}, "digits-executor"),
        ({"kubernetes": {"credentials_from": "keys", "service_account": "spark"}}, None),
        ({"kubernetes": {"credentials_from": "keys", "executor_service_account": "reader"}}, "reader"),
    ],
)
def test_executors_have_an_account_of_their_own_where_the_buckets_ask_for_no_identity(
    changes: dict[str, Any], account: str | None
) -> None:
    completed = manifests.in_namespace(manifests.completed(settings(**changes), "digits"), "vision")
    assert completed.kubernetes.executor_service_account == account
    accounts = [
        each["metadata"]["name"]
        for each in manifests.objects(completed, "digits", "1")
        if each["kind"] == "ServiceAccount"
    ]
    assert ("digits-executor" in accounts) is (account == "digits-executor")


@pytest.mark.parametrize("key", sorted(PORT_PROPERTIES))
def test_ports_that_the_policies_leave_closed_are_refused_while_there_are_policies(key: str) -> None:
    conf = {"conf": {key: "7000"}}
    with pytest.raises(UsageError, match=key) as refused:
        made(spark=conf)
    assert "kubernetes.network_policies=false" in refused.value.hint
    assert made(spark=conf, kubernetes={"network_policies": False})


def test_more_may_be_let_in_to_all_pods() -> None:
    rule = {"ports": [{"port": 15008, "protocol": "TCP"}]}
    completed = manifests.in_namespace(
        manifests.completed(settings(kubernetes={"ingress_rules": [rule]}), "digits"), "vision"
    )
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in manifests.objects(completed, "digits", "1")
        if "Network" in each["kind"]
    }
    assert policies["digits"]["ingress"] == [rule]
    assert not any(rule in policies[name]["ingress"] for name in ("digits-driver", "digits-executor"))


def test_metrics_have_a_port_that_prometheus_finds_and_may_connect_to() -> None:
    completed = manifests.completed(settings(metrics={"port": 9095}), "digits")
    objects = manifests.objects(completed, "digits", "1.2.3")
    template = objects[0]["spec"]["template"]
    assert {"name": "metrics", "containerPort": 9095} in template["spec"]["containers"][0]["ports"]
    scraping = {"prometheus.io/scrape": "true", "prometheus.io/port": "9095", "prometheus.io/path": "/metrics"}
    assert scraping.items() <= template["metadata"]["annotations"].items()
    (policy,) = (
        each for each in objects if each["metadata"]["name"] == "digits-driver" and "podSelector" in each["spec"]
    )
    assert {"ports": [{"port": 9095, "protocol": "TCP"}]} in policy["spec"]["ingress"]
    own = {"driver": {"annotations": {"prometheus.io/scrape": "false"}}}
    annotated = made(metrics={"port": 9095}, kubernetes=own)["Job"]["spec"]["template"]["metadata"]["annotations"]
    assert annotated["prometheus.io/scrape"] == "false"
    assert not any("prometheus" in key for key in made()["Job"]["spec"]["template"]["metadata"]["annotations"])


def test_metrics_at_a_port_of_spark_s_are_refused() -> None:
    with pytest.raises(UsageError, match=r"metrics\.port is 4040, which Spark uses itself"):
        made(metrics={"port": 4040})


def test_a_queue_s_label_is_on_the_job_the_driver_and_the_executors_and_on_nothing_else() -> None:
    label = {"kueue.x-k8s.io/queue-name": "vision"}
    completed = manifests.completed(settings(kubernetes={"labels": label}), "digits")
    job, *others = manifests.objects(completed, "digits", "1.2.3")
    executor = pods.executor_template(completed.spark, completed.kubernetes)
    for owner in (job, job["spec"]["template"], executor):
        assert label.items() <= owner["metadata"]["labels"].items()
    assert not any(label.items() <= other["metadata"]["labels"].items() for other in others)
    assert job["spec"]["suspend"] is True
    assert "suspend" not in made()["Job"]["spec"]


def test_labels_of_a_queue_can_t_hide_the_job_from_mxspark() -> None:
    found = made(kubernetes={"labels": {"app.kubernetes.io/instance": "other"}})["Job"]
    assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "digits"
    assert found["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/instance"] == "digits"


def test_executors_may_have_a_folder_of_the_node() -> None:
    kubernetes = settings(kubernetes={"local_directory": {"host_path": "/mnt/disks/ssd0"}}).kubernetes
    found = pods.properties(settings().spark, kubernetes, None)
    volume = "spark.kubernetes.executor.volumes.hostPath.spark-local-dir-1"
    assert {key: value for key, value in found.items() if ".volumes." in key} == {
        f"{volume}.mount.path": pods.SPARK_DIR,
        f"{volume}.mount.readOnly": "false",
        f"{volume}.options.path": "/mnt/disks/ssd0",
    }
    with pytest.raises(UsageError, match="host_path and storage_class: executors have one such folder"):
        settings(kubernetes={"local_directory": {"host_path": "/mnt", "storage_class": "fast"}})
