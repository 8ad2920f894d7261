"""What Spark and Kubernetes are told of a job's pods."""

import pytest

from mxspark.settings.job import SparkSettings
from mxspark.settings.kubernetes import KubernetesSettings, LocalDirectorySettings, PodSettings
from mxspark.spark import pods
from mxspark.spark.configuration import configuration
from mxspark.spark.pods import DriverPod

POD = DriverPod("digits-x7k", "10.0.0.7", "photos")
SPARK = SparkSettings(master="k8s://https://host")


def test_a_driver_in_a_pod_is_known_by_three_variables_or_not_at_all() -> None:
    variables = {"POD_NAME": POD.name, "POD_IP": POD.address, "POD_NAMESPACE": POD.namespace}
    assert DriverPod.from_environment(variables) == POD
    for name in variables:
        assert DriverPod.from_environment({key: value for key, value in variables.items() if key != name}) is None


def test_executors_find_the_driver_by_its_service_or_by_its_pods_address() -> None:
    by_service = pods.properties(SPARK, KubernetesSettings(driver_service="digits-driver"), POD)
    assert by_service["spark.driver.host"] == "digits-driver.photos.svc"
    assert pods.properties(SPARK, KubernetesSettings(), POD)["spark.driver.host"] == "10.0.0.7"
    assert "spark.driver.host" not in pods.properties(SPARK, KubernetesSettings(), None)


def test_addresses_of_ipv6_are_written_as_spark_wants_them() -> None:
    pod = DriverPod("digits-x7k", "fd00:10::5", "photos")
    found = pods.properties(SPARK, KubernetesSettings(), pod)
    assert (found["spark.driver.host"], found["spark.driver.bindAddress"]) == ("[fd00:10::5]", "[fd00:10::5]")
    whole = configuration(SparkSettings(master="k8s://https://api"), KubernetesSettings(image="mxspark"), pod)
    assert all("preferIPv6Addresses=true" in whole[f"spark.{each}.extraJavaOptions"] for each in ("driver", "executor"))
    assert whole["spark.executorEnv.SPARK_PREFER_IPV6"] == "true"
    by_service = pods.properties(SPARK, KubernetesSettings(driver_service="digits-driver"), pod)
    assert by_service["spark.driver.host"] == "digits-driver.photos.svc"


def test_the_driver_s_pod_owns_the_executors() -> None:
    assert pods.properties(SPARK, KubernetesSettings(), POD)["spark.kubernetes.driver.pod.name"] == "digits-x7k"


@pytest.mark.parametrize(("storage_class", "owns"), [(None, "false"), ("fast", "true")])
def test_spark_owns_volume_claims_only_where_there_are_any(storage_class: str | None, owns: str) -> None:
    found = pods.properties(
        SPARK, KubernetesSettings(local_directory=LocalDirectorySettings(size="5Gi", storage_class=storage_class)), POD
    )
    assert found["spark.kubernetes.driver.ownPersistentVolumeClaim"] == owns
    kind = "persistentVolumeClaim" if storage_class else "emptyDir"
    assert found[f"spark.kubernetes.executor.volumes.{kind}.spark-local-dir-1.options.sizeLimit"] == "5Gi"


def test_cpus_are_those_of_the_cores_where_nothing_else_is_said() -> None:
    spark = SparkSettings(master="k8s://https://host", executor_cores=4, executor_memory_overhead="4g")
    found = pods.properties(spark, KubernetesSettings(executor=PodSettings(cpu_request="2500m")), None)
    assert found["spark.kubernetes.executor.request.cores"] == "2500m"
    assert found["spark.kubernetes.executor.limit.cores"] == "4"


def test_one_worker_has_one_gpu_and_goes_where_gpus_are_kept() -> None:
    spark = SparkSettings(master="k8s://https://host", executor_gpus=2, executor_cores=2)
    kubernetes = KubernetesSettings(gpu_vendor="amd.com", gpu_discovery="/opt/amd.sh")
    found = pods.properties(spark, kubernetes, None)
    assert found["spark.executor.resource.gpu.amount"] == "2"
    assert found["spark.task.resource.gpu.amount"] == "1"
    tolerations = pods.executor_template(spark, kubernetes)["spec"]["tolerations"]
    assert tolerations == [{"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert "tolerations" not in pods.executor_template(SPARK, kubernetes)["spec"]


def test_a_job_s_label_is_one_whatever_its_name() -> None:
    for name in ("digits", "my job (2)", "-a-", "x" * 100, "é" * 5 + "a"):
        value = pods.labels(name)["app.kubernetes.io/instance"]
        assert 0 < len(value) <= 63
        assert value[0].isalnum()
        assert value[-1].isalnum()
        assert value.isascii()


def test_a_user_s_labels_can_t_hide_the_pods_from_mxspark() -> None:
    labels = {"app.kubernetes.io/instance": "other", "team": "vision"}
    found = pods.metadata(PodSettings(labels=labels), "digits", "executor")["labels"]
    assert found["app.kubernetes.io/instance"] == "digits"
    assert found["team"] == "vision"


# ---- a user's template ----


def test_a_template_adds_to_lists_and_wins_over_keys() -> None:
    ours = {
        "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "local"}],
            "securityContext": {"runAsUser": 185, "fsGroup": 185},
        }
    }
    theirs = {"spec": {"volumes": [{"name": "photos"}], "securityContext": {"runAsUser": 1000}, "hostNetwork": False}}
    assert pods.merged(ours, theirs) == {
        "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "local"}, {"name": "photos"}],
            "securityContext": {"runAsUser": 1000, "fsGroup": 185},
            "hostNetwork": False,
        }
    }


def test_a_template_s_first_container_is_spark_s_whatever_it_is_called_and_others_come_beside_it() -> None:
    ours = {"containers": [{"name": "driver", "env": [{"name": "A"}]}]}
    theirs = {"containers": [{"name": "main", "env": [{"name": "B"}], "tty": True}, {"name": "proxy"}]}
    assert pods.merged(ours, theirs) == {
        "containers": [{"name": "driver", "env": [{"name": "A"}, {"name": "B"}], "tty": True}, {"name": "proxy"}],
    }


def test_merging_changes_neither_of_the_two() -> None:
    ours, theirs = {"a": {"b": [1]}}, {"a": {"b": [2], "c": 3}}
    pods.merged(ours, theirs)
    assert (ours, theirs) == ({"a": {"b": [1]}}, {"a": {"b": [2], "c": 3}})
