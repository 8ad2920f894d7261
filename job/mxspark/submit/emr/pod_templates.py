"""The pod templates of EMR's driver and executors, within what EMR allows."""

import posixpath
from collections.abc import Iterator

from mxspark.errors import UsageError
from mxspark.settings.job import Settings
from mxspark.settings.kubernetes import PodSettings
from mxspark.spark import pods
from mxspark.spark.pods import Manifest

# EMR finds Spark's containers by these names, its spark.kubernetes.*.podTemplateContainerName, which can't be changed.
CONTAINERS = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}
# The fields of pod templates that EMR allows, and the names that it reserves (EMR on EKS Development Guide, "Using pod
# templates").
POD_FIELDS = {
    "activeDeadlineSeconds", "affinity", "containers", "enableServiceLinks", "ephemeralContainers", "hostAliases",
    "hostname", "imagePullSecrets", "initContainers", "nodeName", "nodeSelector", "overhead", "preemptionPolicy",
    "priority", "priorityClassName", "readinessGates", "runtimeClassName", "schedulerName", "subdomain",
    "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints", "volumes",
}  # fmt: skip
CONTAINER_FIELDS = {
    "env", "envFrom", "name", "lifecycle", "livenessProbe", "readinessProbe", "resources", "startupProbe", "stdin",
    "stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts",
    "workingDir",
}  # fmt: skip
TAKEN_VOLUMES = {
    "emr-container-communicate", "config-volume", "emr-container-application-log-dir", "emr-container-event-log-dir",
    "temp-data-dir", "mnt-dir", "home-dir", "emr-container-s3",
}  # fmt: skip
TAKEN_PLACES = ("/var/log/fluentd", "/var/log/spark/user", "/var/log/spark/apps", "/mnt", "/tmp", "/home/hadoop")  # noqa: S108  # EMR's
TAKEN_VARIABLES = {
    "SPARK_CONTAINER_ID", "K8S_SPARK_LOG_URL_STDERR", "K8S_SPARK_LOG_URL_STDOUT", "SIDECAR_SIGNAL_FILE"
}  # fmt: skip


def pod_template(settings: Settings, role: str) -> Manifest:
    """The pod template of the driver or the executors: what EMR allows. Security and mounts are EMR's own."""
    spark, kubernetes = settings.spark, settings.kubernetes
    chosen: PodSettings = getattr(kubernetes, role)
    is_driver = role == "driver"
    placement = pods.placement(
        chosen,
        pods.DRIVER_GRACE if is_driver else pods.EXECUTOR_GRACE,
        () if is_driver else pods.gpu_tolerations(spark, kubernetes),
    )
    container: Manifest = {"name": CONTAINERS[role]}
    if variables := pods.credentials(kubernetes):
        container["env"] = variables
    spec = {**{key: value for key, value in placement.items() if key in POD_FIELDS}, "containers": [container]}
    if is_driver and kubernetes.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = kubernetes.deadline_seconds
    metadata = pods.metadata(chosen, spark.app_name, role, kubernetes.labels)
    ours = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    found = pods.merged(ours, chosen.template)
    if wrong := next(_refused(found), None):
        raise UsageError(f"kubernetes.{role}.template: {wrong}", "Take it out: EMR on EKS would reject the job.")
    return found


def _refused(pod: Manifest) -> Iterator[str]:
    """What EMR's check of pod templates would reject; that they are pods at all is checked with the settings."""
    spec = pod["spec"]
    main = spec["containers"][0]
    if (pod["apiVersion"], pod["kind"]) != ("v1", "Pod"):
        yield f"it is a {pod['kind']} of {pod['apiVersion']}, and must be a Pod of v1"
    yield from (f"metadata.{key} is Spark's own" for key in pod["metadata"] if key not in ("labels", "annotations"))
    yield from (f"EMR does not allow spec.{key}" for key in spec if key not in POD_FIELDS)
    yield from (f"EMR does not allow {key} of Spark's container" for key in main if key not in CONTAINER_FIELDS)
    for volume in spec.get("volumes") or ():
        if volume.get("name") in TAKEN_VOLUMES:
            yield f"the volume {volume['name']} is EMR's own"
    for mount in main.get("volumeMounts") or ():
        # A path keeps two leading slashes; three become one.
        path = f"{posixpath.normpath('///' + str(mount.get('mountPath'))).rstrip('/')}/"
        if any(path.startswith(f"{taken}/") or f"{taken}/".startswith(path) for taken in TAKEN_PLACES):
            yield f"{mount.get('mountPath')} overlaps with what EMR mounts"
    for variable in main.get("env") or ():
        if variable.get("name") in TAKEN_VARIABLES:
            yield f"the variable {variable['name']} is EMR's own"
