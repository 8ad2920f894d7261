"""A job's pods as Spark and Kubernetes get them: Spark's properties for k8s://, and the template of the executors'
pods.

Every pod passes the Pod Security Standard `restricted`, and its root file system is read-only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mxspark.settings.job import SparkSettings
from mxspark.settings.kubernetes import KubernetesSettings, LocalDirectorySettings, PodSettings
from mxspark.spark.pod_size import executor_size

Manifest = dict[str, Any]

MASTER = "k8s://https://kubernetes.default.svc"  # as every pod knows it
USER = 185  # of Spark's own images, and of ours
WORK_DIR = "/opt/spark/work-dir"  # also the user's home, where the model cache is
SPARK_DIR = "/var/data/spark"  # Spark's local directory
RPC_PORT, BLOCK_PORT, UI_PORT = 7078, 7079, 4040
PORTS = {"driver-rpc": RPC_PORT, "blockmanager": BLOCK_PORT, "ui": UI_PORT}
# The name that Spark's documentation uses; by it `kubectl logs -c` finds the container.
EXECUTOR_CONTAINER = "spark-kubernetes-executor"
LOCAL_VOLUME = "local"
PROGRESS_ANNOTATION = "mxspark/progress"  # of the driver's pod: JSON of run/progress.py
COMPONENT = "app.kubernetes.io/component"  # the label that tells a job's kinds of pods apart
DRIVER_GRACE = 30  # seconds; Kubernetes' own default
# Who the driver's pod is, by Kubernetes: what DriverPod is read from.
POD_VARIABLES = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP", "POD_NAMESPACE": "metadata.namespace"}
# The keys of a secret that holds a bucket's, and variables of boto3's default chain: whether they may be missing.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": False, "AWS_SECRET_ACCESS_KEY": False, "AWS_SESSION_TOKEN": True}
# host.py names the machine by it.
NODE_NAME = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
NODE_ATTRIBUTE = "NODE"  # of an executor, as Spark knows it: by it failed_tasks.py tells nodes apart
EXECUTOR_GRACE = 120  # seconds in which it ends its shards; what AWS's spot instances give


@dataclass(frozen=True)
class DriverPod:
    """The pod that this process is the driver of."""

    name: str
    address: str
    namespace: str

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "DriverPod | None":
        """As the Job's manifest tells it, None elsewhere."""
        try:
            return cls(environ["POD_NAME"], environ["POD_IP"], environ["POD_NAMESPACE"])
        except KeyError:
            return None


def properties(spark: SparkSettings, kubernetes: KubernetesSettings, pod: DriverPod | None) -> dict[str, str]:
    """Spark's properties for k8s://; `pod` where this process runs in one as the driver."""
    size, local = executor_size(spark, kubernetes), kubernetes.local_directory
    found = {
        "spark.kubernetes.namespace": kubernetes.namespace or (pod.namespace if pod else None),
        "spark.kubernetes.container.image": kubernetes.image,
        "spark.kubernetes.container.image.pullPolicy": kubernetes.image_pull_policy,
        "spark.kubernetes.container.image.pullSecrets": ",".join(kubernetes.image_pull_secrets) or None,
        "spark.kubernetes.authenticate.driver.serviceAccountName": kubernetes.service_account,
        "spark.kubernetes.authenticate.executor.serviceAccountName": kubernetes.executor_service_account
        or kubernetes.service_account,
        "spark.kubernetes.executor.request.cores": size.cpu_request,
        "spark.kubernetes.executor.limit.cores": size.cpu_limit,
        # They hold Spark's properties, which executors get from the driver anyway; without them the driver needs no
        # right to make any.
        "spark.kubernetes.executor.disableConfigMap": "true",
        # An executor is lost when its own container ends, whatever runs beside it.
        "spark.kubernetes.executor.checkAllContainers": "false",
        # In client mode nobody has made one for the driver; looking for it takes rights.
        "spark.kubernetes.driver.service.deleteOnTermination": "false",
        # At its end Spark deletes claims, which takes a right that the driver has where there are some.
        "spark.kubernetes.driver.ownPersistentVolumeClaim": str(local.storage_class is not None).lower(),
        "spark.kubernetes.driver.reusePersistentVolumeClaim": "false",
        **_losses(kubernetes),
        **_local_directory(local),
        **(_gpus(spark, kubernetes) if spark.executor_gpus else {}),
        **(_driver(kubernetes, pod) if pod else {}),
    }
    return {key: value for key, value in found.items() if value is not None}


def _local_directory(local: LocalDirectorySettings) -> dict[str, str]:
    """Spark knows its own directory among the volumes by the name spark-local-dir-N."""
    kind = "hostPath" if local.host_path else "persistentVolumeClaim" if local.storage_class else "emptyDir"
    volume = f"spark.kubernetes.executor.volumes.{kind}.spark-local-dir-1"
    found = {f"{volume}.mount.path": SPARK_DIR, f"{volume}.mount.readOnly": "false"}
    if local.host_path:
        return found | {f"{volume}.options.path": local.host_path}
    found[f"{volume}.options.sizeLimit"] = local.size
    if local.storage_class:
        found |= {f"{volume}.options.claimName": "OnDemand", f"{volume}.options.storageClass": local.storage_class}
        # Spark 4 would ask for ReadWriteOncePod, which not every class has.
        found["spark.kubernetes.legacy.useReadWriteOnceAccessMode"] = "true"
    return found


def _losses(kubernetes: KubernetesSettings) -> dict[str, str]:
    """What Spark makes of executors that go. Measured: docs/kubernetes.md."""
    grace = f"{grace_seconds(kubernetes.executor, EXECUTOR_GRACE)}s"
    return {
        # Spark 4.1 and later write it over the template's; its default is 30 s.
        "spark.kubernetes.executor.terminationGracePeriodSeconds": grace,
        # A shard that won't be done by then is started elsewhere in the meantime.
        "spark.executor.decommission.killInterval": grace,
        # A pod that is deleted while it runs is missed only when all pods are listed next; the default is 30 s.
        "spark.kubernetes.executor.apiPollingInterval": "10s",
        # Executors tell of themselves every 10 s. By default one that falls silent, with its node, is given up after
        # 120 s, and that is looked at once a minute.
        "spark.storage.blockManagerHeartbeatTimeoutMs": "60s",
        "spark.network.timeoutInterval": "10s",
        # Of executors that fail, Spark gives up at twice their number, counted from the start: on spot nodes a long run
        # comes to so many. Those that can't work at all come to it within minutes.
        "spark.executor.failuresValidityInterval": "10m",
    }


def grace_seconds(chosen: PodSettings, default: int) -> int:
    """In how many seconds a pod that is taken away must be gone."""
    return default if chosen.termination_grace_seconds is None else chosen.termination_grace_seconds


def _gpus(spark: SparkSettings, kubernetes: KubernetesSettings) -> dict[str, str]:
    return {
        "spark.executor.resource.gpu.amount": str(spark.executor_gpus),
        "spark.executor.resource.gpu.vendor": kubernetes.gpu_vendor,
        "spark.executor.resource.gpu.discoveryScript": kubernetes.gpu_discovery,
        "spark.task.resource.gpu.amount": "1",
    }


def _driver(kubernetes: KubernetesSettings, pod: DriverPod) -> dict[str, str]:
    """Where executors find the driver, whose pod owns theirs: when it goes, Kubernetes removes them."""
    address = f"[{pod.address}]" if pod.is_ipv6 else pod.address  # as Spark wants those of IPv6
    return {
        "spark.driver.host": f"{kubernetes.driver_service}.{pod.namespace}.svc"
        if kubernetes.driver_service
        else address,
        "spark.driver.bindAddress": address,  # by which Spark 4.1 and later tell executors of it, too
        "spark.driver.port": str(RPC_PORT),
        "spark.driver.blockManager.port": str(BLOCK_PORT),
        "spark.blockManager.port": str(BLOCK_PORT),
        "spark.ui.port": str(UI_PORT),
        "spark.kubernetes.driver.pod.name": pod.name,
    }


def executor_template(spark: SparkSettings, kubernetes: KubernetesSettings) -> Manifest:
    """The template that Spark adds its own things to."""
    chosen = kubernetes.executor
    container = {
        "name": EXECUTOR_CONTAINER,
        "env": [
            NODE_NAME,
            NODE_NAME | {"name": f"SPARK_EXECUTOR_ATTRIBUTE_{NODE_ATTRIBUTE}"},
            *credentials(kubernetes),
        ],
        "resources": {"requests": disk_request(kubernetes)},
        "securityContext": container_security(),
        "volumeMounts": local_mounts(),
    }
    spec = {
        "automountServiceAccountToken": False,  # an executor asks nothing of Kubernetes
        **placement(chosen, EXECUTOR_GRACE, gpu_tolerations(spark, kubernetes)),
        **spread(chosen, spark.app_name),
        "containers": [container],
        "volumes": [local_volume(kubernetes)],
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(chosen, spark.app_name, "executor", kubernetes.labels),
        "spec": spec,
    }
    return merged(manifest, chosen.template)


def gpu_tolerations(spark: SparkSettings, kubernetes: KubernetesSettings) -> list[Manifest]:
    """Nodes with GPUs are kept for those who ask for one, by a taint of the resource's name."""
    return (
        [{"key": f"{kubernetes.gpu_vendor}/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        if spark.executor_gpus
        else []
    )


def placement(chosen: PodSettings, grace: int, tolerations: Sequence[Manifest] = ()) -> Manifest:
    """Where a pod may run, how it ends (by default within `grace` seconds), and as whom it runs."""
    found = {
        "nodeSelector": dict(chosen.node_selector),
        "tolerations": [*tolerations, *chosen.tolerations],
        "affinity": dict(chosen.affinity),
        "priorityClassName": chosen.priority_class,
    }
    return {key: value for key, value in found.items() if value} | {
        "terminationGracePeriodSeconds": grace_seconds(chosen, grace),
        "securityContext": pod_security(),
    }


def spread(chosen: PodSettings, instance: str) -> Manifest:
    """Over the nodes where that can be, so that one that is lost takes little with it; not where the user says who
    goes where.
    """
    spec = chosen.template.get("spec", {})
    affinities = {*chosen.affinity, *(spec.get("affinity") or {})}
    if "topologySpreadConstraints" in spec or not affinities.isdisjoint(("podAffinity", "podAntiAffinity")):
        return {}
    constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    return {"topologySpreadConstraints": [{**constraint, "labelSelector": {"matchLabels": labels(instance)}}]}


def disk_request(kubernetes: KubernetesSettings) -> dict[str, str]:
    """What a pod asks for of its node's disk."""
    return {"ephemeral-storage": kubernetes.local_directory.request}


def metadata(
    chosen: PodSettings, instance: str, component: str, of_both: Mapping[str, str] = MappingProxyType({})
) -> Manifest:
    """`of_both` are labels of the driver's and the executors' pods."""
    return {
        "labels": {**of_both, **chosen.labels, **labels(instance, component)},
        "annotations": dict(chosen.annotations),
    }


def labels(instance: str, component: str | None = None) -> dict[str, str]:
    """Kubernetes' recommended labels: what belongs together, and which part of it something is."""
    value = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", re.sub(r"[^-\w.]", "-", instance, flags=re.ASCII)[:63])
    found = {"app.kubernetes.io/name": "mxspark", "app.kubernetes.io/instance": value}
    return found | ({COMPONENT: component} if component else {})


def pod_security() -> Manifest:
    """What the standard `restricted` asks of a pod, and its user."""
    users = {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    return {"runAsNonRoot": True, **users, "seccompProfile": {"type": "RuntimeDefault"}}


def container_security() -> Manifest:
    """What the standard `restricted` asks of a container, and a root file system that can't be written."""
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def local_volume(kubernetes: KubernetesSettings) -> Manifest:
    return {"name": LOCAL_VOLUME, "emptyDir": {"sizeLimit": kubernetes.local_directory.size}}


def local_mounts() -> list[Manifest]:
    """Where a pod writes besides Spark's directory: temporary files, and the home with the model cache."""
    return [
        {"name": LOCAL_VOLUME, "mountPath": "/tmp", "subPath": "tmp"},  # noqa: S108  # a volume of the pod's own
        {"name": LOCAL_VOLUME, "mountPath": WORK_DIR, "subPath": "work"},
    ]


def credentials(kubernetes: KubernetesSettings) -> list[Manifest]:
    """The variables of boto3's default chain, from a secret: their values are in no manifest."""
    secret = kubernetes.credentials_from
    if secret is None:
        return []
    return [
        {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": secret, "key": name} | ({"optional": True} if optional else {})},
        }
        for name, optional in CREDENTIALS.items()
    ]


def merged(ours: Manifest, template: Mapping[str, Any]) -> Manifest:
    """`ours` with a user's template: keys of the template win, lists are added to, first containers are the same
    one.
    """
    result = dict(ours)
    for key, value in template.items():
        mine = result.get(key)
        if isinstance(mine, dict) and isinstance(value, Mapping):
            result[key] = merged(mine, value)
        elif key == "containers" and mine:
            first, *others = value or [{}]
            result[key] = [merged(mine[0], {name: inner for name, inner in first.items() if name != "name"}), *others]
        elif isinstance(mine, list) and isinstance(value, (list, tuple)):
            result[key] = [*mine, *value]
        else:
            result[key] = value
    return result
