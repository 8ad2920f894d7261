"""What a job's pods are like, where the master is k8s://. Kubernetes' own words for Kubernetes' own things."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from mxspark.settings import pod_schema
from mxspark.settings.document import Document, Field, model_validator
from mxspark.settings.pod_schema import AFFINITY, INGRESS_RULE, POD_TEMPLATE, TOLERATION

# Names of objects: RFC 1123 labels, as Kubernetes checks them.
LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
SERVICE_NAME = r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"  # RFC 1035
SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
# Image names, as registries check them: host:port/path/name, and the tag behind them.
_HOST = r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(:[0-9]+)?"
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = rf"({_HOST}/)?{_PART}(/{_PART})*"
TAG = r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}"
DIGEST = r"sha256:[0-9a-f]{64}"
IMAGE = rf"^{REPOSITORY}(:{TAG})?(@{DIGEST})?$"
OWN_LABELS = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}  # pods.labels
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"  # by it Kueue takes charge of a Job
MAX_NAME = 45  # characters of a submission's name: its pods and Spark's executors get theirs by adding to it

NVIDIA, NVIDIA_DISCOVERY = "nvidia.com", "/opt/gpu-discovery.sh"

ServiceName = Annotated[str, Field(pattern=SERVICE_NAME)]
Label = Annotated[str, Field(pattern=LABEL)]
ObjectName = Annotated[str, Field(pattern=SUBDOMAIN, max_length=253)]
Quantity = Annotated[str, Field(pattern=QUANTITY)]
Image = Annotated[str, Field(pattern=IMAGE)]
Vendor = Annotated[str, Field(pattern=SUBDOMAIN)]
PathInImage = Annotated[str, Field(pattern="^/")]
Seconds = Annotated[int, Field(ge=0, strict=True)]


POD_PART = "x-kubernetes"  # in a field's schema: which kind of object of Kubernetes' it is, or a list of


def pod_part(owner: type[Document], key: str) -> str | None:
    """The kind of object of Kubernetes' that is behind `key`, None where it is none."""
    field = owner.model_fields.get(key)
    extra = field.json_schema_extra if field is not None else None
    return str(extra[POD_PART]) if isinstance(extra, dict) and POD_PART in extra else None


class LocalDirectorySettings(Document):
    """The folder of a pod for Spark's own files and for temporary ones."""

    size: Quantity = Field(
        "2Gi",
        description="Its size. With an emptyDir, Kubernetes evicts a pod that exceeds it; a volume is requested at "
        "this size.",
    )
    request: Quantity = Field(
        "512Mi",
        description="How much of the node's disk each pod asks for (ephemeral-storage): a node with less to give gets "
        "none.",
    )
    storage_class: ObjectName | None = Field(
        None,
        description="Storage class of the volume that each executor claims for it and releases. Default: an emptyDir "
        "on the node.",
    )
    host_path: PathInImage | None = Field(
        None,
        description="Folder of every node, of a local SSD say, that executors have for Spark's files instead of an "
        "emptyDir. User 185 must be able to write there, and the namespace must admit hostPath volumes: restricted and "
        "baseline don't.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.host_path and self.storage_class:
            raise ValueError(
                "kubernetes.local_directory has host_path and storage_class: executors have one such folder. Give one "
                "of them"
            )
        return self


class PodSettings(Document):
    """Where pods may run, and what is written on them."""

    node_selector: dict[str, str] = Field({}, description="Labels that a node must have.")
    tolerations: tuple[dict[str, Any], ...] = Field(
        (), description="Tolerations of nodes' taints, as in a pod's spec.", json_schema_extra={POD_PART: TOLERATION}
    )
    affinity: dict[str, Any] = Field(
        {}, description="Affinities, as in a pod's spec.", json_schema_extra={POD_PART: AFFINITY}
    )
    priority_class: ObjectName | None = Field(None, description="Name of the pods' priority class.")
    labels: dict[str, str] = Field({}, description="More labels of the pods.")
    annotations: dict[str, str] = Field({}, description="More annotations of the pods.")
    cpu_request: Quantity | None = Field(None, description="CPU request. Default: the pod's cores.")
    cpu_limit: Quantity | None = Field(None, description="CPU limit. Default: the pod's cores.")
    template: dict[str, Any] = Field(
        {},
        description="Any other part of a pod template: {metadata: ..., spec: ...}. Its first container is that of "
        "Spark; lists are added to, keys win over what mxspark would write.",
        json_schema_extra={POD_PART: POD_TEMPLATE},
    )
    termination_grace_seconds: Seconds | None = Field(
        None,
        description="How long a pod that is evicted or deleted may finish its work [seconds]. Default: 30 for the "
        "driver; 120 for executors, as much as spot nodes give.",
    )


class KubernetesSettings(Document):
    """The pods and the Job, where the master is k8s://."""

    namespace: Label | None = Field(
        None, description="Namespace of the pods. Default: that of the kubeconfig's context, or the driver's."
    )
    image: Image | None = Field(
        None,
        description="Image of the driver and the executors, e.g. registry/mxspark:0.1.0 (all but host and tag in small "
        "letters).",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="When nodes pull the image."
    )
    image_pull_secrets: tuple[ObjectName, ...] = Field(
        (), description="Names of the secrets that let nodes pull the image."
    )
    service_account: ObjectName | None = Field(
        None,
        description="Service account of the driver, which starts the executors. Default: the submission makes one, "
        "with a Role of its own.",
    )
    executor_service_account: ObjectName | None = Field(
        None,
        description="Service account of the executors, for a cloud's identity: they get no token for Kubernetes. "
        "Default: one without rights and identity, where the driver's is made too and the buckets take none "
        "(kubernetes.credentials_from, storage.anonymous); else the driver's.",
    )
    credentials_from: ObjectName | None = Field(
        None,
        description="Name of a secret whose keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps "
        "AWS_SESSION_TOKEN every pod gets as environment. Default: none, the service account's identity is enough.",
    )
    driver_service: ServiceName | None = Field(
        None,
        description="Headless service by which executors find the driver. Default: the submission's own; else the "
        "pod's address.",
    )
    network_policies: bool = Field(
        True, description="Only driver and executors may connect to the pods: network policies, created with the Job."
    )
    ingress_rules: tuple[dict[str, Any], ...] = Field(
        (),
        description="Others that may connect to all of the pods: ingress rules, as in a NetworkPolicy. A service "
        "mesh's tunnel, Prometheus.",
        json_schema_extra={POD_PART: INGRESS_RULE},
    )
    gpu_vendor: Vendor = Field(NVIDIA, description="Whose GPUs: executors ask for the resource VENDOR/gpu.")
    gpu_discovery: PathInImage = Field(
        NVIDIA_DISCOVERY,
        description="The script in the image that tells Spark which GPUs a pod has. The default supports NVIDIA's "
        "only; GPUs of other vendors need their own.",
    )
    local_directory: LocalDirectorySettings = Field(
        LocalDirectorySettings(), description="The pods' folder for temporary files."
    )
    labels: dict[str, str] = Field(
        {},
        description="Labels of the Job and of the driver's and executors' pods, of a queue say: "
        f"{{{QUEUE_LABEL}: team-a}}.",
    )
    suspend: bool = Field(
        False, description="Create the Job suspended: it begins when somebody, or a queue, resumes it."
    )
    driver: PodSettings = Field(PodSettings(), description="The driver's pod.")
    executor: PodSettings = Field(PodSettings(), description="The executors' pods.")
    restarts: Annotated[int, Field(ge=0, le=100, strict=True)] = Field(
        3, description="How many times a driver whose pod was lost or failed is restarted; it resumes the run."
    )
    deadline_seconds: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        None, description="Limit on the whole job, after which Kubernetes ends it [seconds]. Default: none."
    )
    keep_seconds: Annotated[int, Field(ge=60, strict=True)] = Field(
        86_400, description="How long a job that ended is kept, with its log [seconds]."
    )

    @model_validator(mode="after")
    def _gpus_can_be_found(self) -> Self:
        if self.gpu_vendor != NVIDIA and self.gpu_discovery == NVIDIA_DISCOVERY:
            raise ValueError(
                f"kubernetes.gpu_vendor is {self.gpu_vendor!r}, but the script kubernetes.gpu_discovery finds NVIDIA's "
                "GPUs only: name one in the image that finds that vendor's"
            )
        return self

    @model_validator(mode="after")
    def _pods_are_as_kubernetes_knows_them(self) -> Self:
        found = [*_problems("driver", self.driver), *_problems("executor", self.executor)]
        for number, rule in enumerate(self.ingress_rules):
            found += pod_schema.problems(INGRESS_RULE, rule, f"kubernetes.ingress_rules.{number}")
        if found:
            raise ValueError("\n".join(found))
        return self

    @model_validator(mode="after")
    def _rules_have_a_policy(self) -> Self:
        if self.ingress_rules and not self.network_policies:
            raise ValueError(
                "kubernetes.ingress_rules say who else may connect, but with kubernetes.network_policies false anybody "
                "may: take the rules out, or leave the policies on"
            )
        return self


def _problems(role: str, pod: PodSettings) -> Iterator[str]:
    for key in PodSettings.model_fields:
        given, at = getattr(pod, key), f"kubernetes.{role}.{key}"
        kind = pod_part(PodSettings, key) if given else None
        if kind and isinstance(given, tuple):
            for number, each in enumerate(given):
                yield from pod_schema.problems(kind, each, f"{at}.{number}")
        elif kind:
            yield from pod_schema.problems(kind, given, at)
    for key in ("metadata", "spec"):
        if pod.template.get(key, {}) is None:
            yield f"kubernetes.{role}.template.{key} must be keys and values, as in a pod's manifest"
    metadata = pod.template.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    for key in sorted(OWN_LABELS & labels.keys() if isinstance(labels, dict) else ()):
        yield (
            f"kubernetes.{role}.template.metadata.labels has {key}, by which network policies and services find the "
            "pod: take it out"
        )
