"""The objects that a submission creates: a Job whose pod is the driver, its settings, its service, and the rights that
it needs.

The chart's templates create the same (tests/chart compares them).
"""

import re
from collections.abc import Mapping
from typing import Any

from mxspark.errors import TooManyFailedError, UsageError
from mxspark.settings import document, sources
from mxspark.settings.job import Settings
from mxspark.settings.kubernetes import QUEUE_LABEL, KubernetesSettings
from mxspark.spark import pods
from mxspark.spark.pod_size import driver_size, executor_size
from mxspark.spark.pods import Manifest
from mxspark.submit import reach
from mxspark.submit.kubernetes import network_policies

SETTINGS_DIR, SETTINGS_FILE = "/etc/mxspark", "settings.yaml"
DRIVER_ARGS = ["run", "--settings", f"{SETTINGS_DIR}/{SETTINGS_FILE}", "--yes"]
DRIVER_CONTAINER = "driver"
ISTIO_NATIVE = "sidecar.istio.io/nativeSidecar"  # Istio's proxy ends with the driver then
NO_CURE = [UsageError.exit_code, TooManyFailedError.exit_code]  # exit codes of failures that a retry would repeat
OWN_PROPERTIES = {"spark.master", "spark.app.name", "spark.kubernetes.namespace"}
# Of the driver's pod in cluster mode; here the Job creates that pod, and they would have no effect.
DRIVER_PROPERTIES = re.compile(
    r"spark[.](driver[.](cores|memory|memoryOverhead|memoryOverheadFactor)|kubernetes[.](node[.]selector[.].+|driverEnv[.].+|driver[.]("
    r"(volumes|label|annotation|secrets|secretKeyRef|node[.]selector|service[.]label|service[.]annotation)[.].+|request[.]cores|"
    r"limit[.]cores|podTemplateFile|podTemplateContainerName|container[.]image|scheduler[.]name)))"
)
SUBMISSION_VARIABLE = "MXSPARK_OUTPUT__SUBMISSION"  # the setting output.submission
CONTROLLER_LABEL = "batch.kubernetes.io/controller-uid"  # since Kubernetes 1.27, the oldest that is supported
# What Spark needs in client mode, found by removing one verb at a time (docs/kubernetes.md).
RIGHTS = {
    "pods": ["create", "get", "list", "watch", "patch", "delete", "deletecollection"],
    "persistentvolumeclaims": ["create", "deletecollection"],
    "secrets": ["create"],  # that of the run's key (run_key.py)
}


def objects(settings: Settings, name: str, version: str) -> list[Manifest]:
    """All that is created for a job called `name`, the Job first: it owns the others."""
    kubernetes = settings.kubernetes
    made = [job(settings, name, version), config_map(settings, name)]
    if kubernetes.driver_service == _service_name(name):  # nobody named another
        made.append(service(name))
    if kubernetes.service_account == name:  # nobody named another: it is this job's own
        made += [service_account(name), role(kubernetes, name), role_binding(name)]
    if kubernetes.executor_service_account == _executors_account(name):  # likewise; with no rights and no identity
        made.append(service_account(_executors_account(name)))
    if kubernetes.network_policies:
        made += network_policies.policies(name, kubernetes.ingress_rules, settings.metrics.port)
    for manifest in made:
        manifest["metadata"] |= {"namespace": kubernetes.namespace}
        manifest["metadata"]["labels"] = pods.labels(name) | {
            "app.kubernetes.io/version": version,
            "app.kubernetes.io/managed-by": "mxspark",
        }
    made[0]["metadata"]["labels"] = {**kubernetes.labels, **made[0]["metadata"]["labels"]}
    return made


def completed(settings: Settings, name: str) -> Settings:
    """The settings with which the driver's pod runs: all but the namespace that depends on the submission is filled in.

    Raises UsageError.
    """
    if idle := sorted(filter(DRIVER_PROPERTIES.fullmatch, settings.spark.conf)):
        raise UsageError(
            f"spark.conf has {', '.join(idle)}, which would have no effect: a Job creates the driver's pod, not Spark",
            "Set spark.driver_memory, spark.driver_cores or kubernetes.driver (node_selector, labels, annotations, "
            "template), and the same of kubernetes.executor.",
        )
    reach.check(settings)
    kubernetes = settings.kubernetes
    if other := sorted(OWN_PROPERTIES & settings.spark.conf.keys()):
        raise UsageError(f"spark.conf has {', '.join(other)}, which a submission sets itself", "Take them out.")
    if kubernetes.network_policies and (other := sorted(network_policies.PORT_PROPERTIES & settings.spark.conf.keys())):
        raise UsageError(
            f"spark.conf has {', '.join(other)}, but the job's network policies open only Spark's default ports",
            "Take them out, or leave the policies out: --set kubernetes.network_policies=false.",
        )
    if settings.metrics.port in pods.PORTS.values():
        raise UsageError(f"metrics.port is {settings.metrics.port}, which Spark uses itself", "Choose another.")
    if kubernetes.image is None:
        raise UsageError(
            "no image is given: kubernetes.image is not set", "Name the image that the pods run: --image NAME."
        )
    if kubernetes.service_account == name:  # `objects` would create it
        raise UsageError(f"kubernetes.service_account is {name!r}, the job's own name", "Give the job another --name.")
    # Otherwise the driver's account may carry the identity that the buckets require: by an annotation, or by something
    # that Kubernetes doesn't show.
    is_without_identity = kubernetes.credentials_from is not None or settings.storage.anonymous
    own = _executors_account(name) if is_without_identity and not kubernetes.service_account else None
    account = {
        "service_account": kubernetes.service_account or name,
        "executor_service_account": kubernetes.executor_service_account or own,
    }
    chosen = account | {"driver_service": kubernetes.driver_service or _service_name(name)}
    # Parsed again rather than copied, so that the checks for a cluster run.
    return document.parse(
        Settings,
        settings.model_dump()
        | {
            "spark": settings.spark.model_dump() | {"master": pods.MASTER, "app_name": name},
            "kubernetes": kubernetes.model_dump() | chosen,
        },
        "settings",
    )


def in_namespace(settings: Settings, namespace: str) -> Settings:
    """The settings for this namespace."""
    return settings.model_copy(update={"kubernetes": settings.kubernetes.model_copy(update={"namespace": namespace})})


def job(settings: Settings, name: str, version: str) -> Manifest:
    """One pod, the driver; Kubernetes restarts it when it is lost, and it resumes the run."""
    kubernetes = settings.kubernetes
    rules = [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": DRIVER_CONTAINER, "operator": "In", "values": NO_CURE},
        },
        # A node that was drained or removed is not the driver's failure.
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    spec: Manifest = {"backoffLimit": kubernetes.restarts, "ttlSecondsAfterFinished": kubernetes.keep_seconds}
    if kubernetes.suspend or QUEUE_LABEL in kubernetes.labels:
        spec["suspend"] = True  # until its queue has room for it
    if kubernetes.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = kubernetes.deadline_seconds
    template = pods.merged(driver_pod(settings, name, version), _without_kind(kubernetes.driver.template))
    template["spec"] = with_native_sidecars(template["spec"])
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {**spec, "podFailurePolicy": {"rules": rules}, "template": template},
    }


def with_native_sidecars(spec: Manifest) -> Manifest:
    """A pod's spec whose containers beside the first end with it (init containers with restartPolicy Always, native
    since Kubernetes 1.29): beside one that keeps running, the pod would never end, nor the Job, and no
    driver would be restarted."""
    first, *others = spec["containers"]
    if not others:
        return spec
    sidecars = [{**container, "restartPolicy": "Always"} for container in others]
    return {**spec, "containers": [first], "initContainers": [*spec.get("initContainers", []), *sidecars]}


def _without_kind(template: Mapping[str, Any]) -> Manifest:
    return {key: value for key, value in template.items() if key in ("metadata", "spec")}


def driver_pod(settings: Settings, name: str, version: str) -> Manifest:
    """The template of the driver's pod."""
    kubernetes, size = settings.kubernetes, driver_size(settings.spark, settings.kubernetes)
    container = {
        "name": DRIVER_CONTAINER,
        "image": kubernetes.image,
        "imagePullPolicy": kubernetes.image_pull_policy,
        "args": DRIVER_ARGS,
        "env": [
            *(_from_field(variable, path) for variable, path in pods.POD_VARIABLES.items()),
            # So that a restarted driver does not overwrite its own work.
            _from_field(SUBMISSION_VARIABLE, f"metadata.labels['{CONTROLLER_LABEL}']"),
            *pods.credentials(kubernetes),
        ],
        "ports": [{"name": port, "containerPort": number} for port, number in _ports(settings).items()],
        "resources": {"requests": size.requests, "limits": size.limits},
        "securityContext": pods.container_security(),
        "volumeMounts": [{"name": "settings", "mountPath": SETTINGS_DIR, "readOnly": True}, *pods.local_mounts()],
    }
    spec = {
        "restartPolicy": "Never",
        "serviceAccountName": kubernetes.service_account,
        "automountServiceAccountToken": True,  # it creates the executors
        **pods.placement(kubernetes.driver, pods.DRIVER_GRACE),
        **pods.spread(kubernetes.driver, name),
        "containers": [container],
        "volumes": [{"name": "settings", "configMap": {"name": f"{name}-settings"}}, pods.local_volume(kubernetes)],
    }
    if kubernetes.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in kubernetes.image_pull_secrets]
    metadata = pods.metadata(kubernetes.driver, name, "driver", kubernetes.labels)
    metadata["annotations"] = {ISTIO_NATIVE: "true", **_scraping(settings), **metadata["annotations"]}
    metadata["labels"]["app.kubernetes.io/version"] = version
    return {"metadata": metadata, "spec": spec}


def _ports(settings: Settings) -> dict[str, int]:
    """The driver's, by name."""
    metrics = settings.metrics.port
    return pods.PORTS if metrics is None else {**pods.PORTS, "metrics": metrics}


def _scraping(settings: Settings) -> dict[str, str]:
    """The annotations by which many a Prometheus finds pods; the chart has a value for them."""
    port = settings.metrics.port
    if port is None:
        return {}
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics"}


def _from_field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def executor_pod(settings: Settings, name: str) -> Manifest:
    """A pod like those that Spark creates, as far as Kubernetes checks them; without the service account, which may
    not exist yet.
    """
    kubernetes, size = settings.kubernetes, executor_size(settings.spark, settings.kubernetes)
    gpus = {f"{kubernetes.gpu_vendor}/gpu": str(size.gpus)} if size.gpus else {}
    container = {"image": kubernetes.image, "resources": {"requests": size.requests, "limits": size.limits | gpus}}
    pod = pods.merged(pods.executor_template(settings.spark, kubernetes), {"spec": {"containers": [container]}})
    pod["metadata"]["name"] = f"{name}-exec-1"
    pod["spec"].pop("serviceAccountName", None)
    return pod


def driver_trial(job: Manifest) -> Manifest:
    """A pod like the one that the Job creates; without the service account if that is the job's own, which does not
    exist yet.
    """
    name, template = job["metadata"]["name"], job["spec"]["template"]
    spec = {key: value for key, value in template["spec"].items() if (key, value) != ("serviceAccountName", name)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": f"{name}-driver"},
        "spec": spec,
    }


def config_map(settings: Settings, name: str) -> Manifest:
    """The settings as a file, without the defaults."""
    text = document.to_yaml(sources.changed(settings))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-settings"},
        "data": {SETTINGS_FILE: text},
    }


def _executors_account(name: str) -> str:
    return f"{name}-executor"


def _service_name(name: str) -> str:
    return f"{name}-driver"


def service(name: str) -> Manifest:
    """The name by which executors find the driver."""
    ports = [{"name": port, "port": number} for port, number in pods.PORTS.items()]
    spec = {"clusterIP": "None", "selector": pods.labels(name, "driver"), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": _service_name(name)}, "spec": spec}


def service_account(name: str) -> Manifest:
    """Its token is mounted only in pods that request it: the driver's."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name},
        "automountServiceAccountToken": False,
    }


def role(kubernetes: KubernetesSettings, name: str) -> Manifest:
    """What a driver may do: start executors, watch them and end them, and give them the run's key."""
    kinds = ["pods", "secrets", *(["persistentvolumeclaims"] if kubernetes.local_directory.storage_class else [])]
    rules = [{"apiGroups": [""], "resources": [kind], "verbs": RIGHTS[kind]} for kind in kinds]
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}


def role_binding(name: str) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name}],
    }
