"""The values of the chart helm/mxspark, with defaults, limits and descriptions.

What is a setting of mxspark too says so by `setting`: its description is that of the setting, and so are its limits,
which come with the type. values.schema.json, values.yaml and the chart's README are generated from this (documents.py).
"""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from mxspark.settings.document import Document, Field
from mxspark.settings.job import Count, Memory, MetricsPort, Settings
from mxspark.settings.kubernetes import (
    DIGEST,
    MAX_NAME,
    POD_PART,
    REPOSITORY,
    SUBDOMAIN,
    TAG,
    Label,
    ObjectName,
    PathInImage,
    Quantity,
    Seconds,
    Vendor,
    pod_part,
)
from mxspark.settings.pod_schema import TOLERATION
from mxspark.spark.pods import DRIVER_GRACE, EXECUTOR_GRACE, USER, container_security, pod_security

# The parts of the settings that are values of their own, or that the chart sets. The rest is the value `job`.
NOT_IN_JOB: tuple[tuple[str, ...], ...] = (
    ("spark",),
    ("kubernetes",),
    ("emr",),
    ("context",),
    ("metrics",),
    ("output", "submission"),
    ("storage", "endpoint_url"),
    ("storage", "region"),
)
# Settings that the chart computes: from the release, from several values, or because a pod of the chart takes the place
# of the setting.
COMPUTED: tuple[tuple[str, ...], ...] = (
    ("spark", "master"),
    ("spark", "app_name"),
    ("spark", "class_archive"),  # of local runs
    ("output", "submission"),
    ("metrics", "host"),  # every address of the pod
    ("kubernetes", "namespace"),
    ("kubernetes", "image"),
    ("kubernetes", "service_account"),
    ("kubernetes", "driver_service"),
)

# As Kubernetes writes CPUs, or as people write them.
Cpus = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?m?$")] | Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
# Keys and values of labels and annotations, as Kubernetes checks them.
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[str, Field(pattern=rf"^({SUBDOMAIN[1:-1]}/)?{_NAME}$")]
AnnotationKey = Annotated[str, Field(pattern=rf"^([-A-Za-z0-9.]+/)?{_NAME}$")]
Labels = dict[LabelKey, Annotated[str, Field(pattern=rf"^({_NAME})?$")]]
Annotations = dict[AnnotationKey, str]
Repository = Annotated[str, Field(pattern=rf"^{REPOSITORY}$")]
Tag = Annotated[str, Field(pattern=rf"^{TAG}$")]
Hostname = Annotated[str, Field(pattern=rf"^(\*\.)?{SUBDOMAIN[1:]}", max_length=253)]
Mapping = dict[str, Any]
Mappings = tuple[dict[str, Any], ...]
PEERS: Mapping = {POD_PART: "V1NetworkPolicyPeer"}
EGRESS: Mapping = {POD_PART: "V1NetworkPolicyEgressRule"}

# Where pods of EKS ask for credentials: Pod Identity's agent, and the node's own metadata service. IPv4 and IPv6.
CREDENTIALS = ("169.254.170.23/32", "169.254.169.254/32", "fd00:ec2::23/128", "fd00:ec2::254/128")
# Five fields (minute, hour, day, month, weekday), or one of the words that stand for them.
SCHEDULE = (
    r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every [0-9hms.]+)"
    r"|([0-9*/,?-]+ +){3}[0-9A-Za-z*/,?-]+ +[0-9A-Za-z*/,?-]+)$"
)


def camel(name: str) -> str:
    """`memory_overhead` as charts write it: `memoryOverhead`."""
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def inline(part: Mapping) -> str:
    """A part of a manifest in a sentence."""
    return json.dumps(part).replace('"', "")


def setting(*path: str, default: Any = ..., about: str = "", more: str = "") -> Any:
    """A value that is the setting at `path`: with its default and its description where no others are given; `more`
    is added to it.
    """
    owner = Settings.section_at(*path[:-1])
    assert owner is not None  # noqa: S101  # a path of this file
    field = owner.model_fields[path[-1]]
    chosen = field.get_default() if default is ... else default
    described = " ".join(filter(None, (about or field.description, more)))
    part = pod_part(owner, path[-1])
    extra: Mapping = {"x-setting": ".".join(path), **({POD_PART: part} if part else {})}
    return Field(chosen, description=described, json_schema_extra=extra)


class Values(Document, alias_generator=camel, validate_by_name=True, validate_by_alias=True):
    """A section of the chart's values."""


class Image(Values):
    """The image of the driver and the executors."""

    repository: Repository = Field(
        "mxspark", description="Its name, with the registry's, e.g. registry.example.com/team/mxspark."
    )
    # A number is let through so that the templates can say what is wrong with it.
    tag: Tag | float | None = Field(
        None, description='Its tag, quoted where it looks like a number: "1.0". Default: the chart\'s appVersion.'
    )
    digest: Annotated[str, Field(pattern=rf"^{DIGEST}$")] | None = Field(
        None, description="Its digest, sha256:..., which overrides the tag: the image can't change between two runs."
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = setting("kubernetes", "image_pull_policy")


class Executor(Values):
    """The executors: how many, how large, and where their pods may run."""

    count: Count = setting("spark", "executors", about="How many executors.")
    cores: Count = setting("spark", "executor_cores")
    memory: Memory = setting("spark", "executor_memory")
    memory_overhead: Memory | None = setting("spark", "executor_memory_overhead")
    task_cpus: Count = setting("spark", "task_cpus")
    cpu_request: Cpus | None = setting("kubernetes", "executor", "cpu_request")
    cpu_limit: Cpus | None = setting("kubernetes", "executor", "cpu_limit")
    node_selector: Labels = setting("kubernetes", "executor", "node_selector")
    tolerations: Mappings = setting("kubernetes", "executor", "tolerations")
    affinity: Mapping = setting("kubernetes", "executor", "affinity")
    priority_class_name: ObjectName | None = setting("kubernetes", "executor", "priority_class")
    labels: Labels = setting("kubernetes", "executor", "labels")
    annotations: Annotations = setting("kubernetes", "executor", "annotations")
    pod_template: Mapping = setting("kubernetes", "executor", "template")
    termination_grace_period_seconds: Seconds = setting(
        "kubernetes",
        "executor",
        "termination_grace_seconds",
        default=EXECUTOR_GRACE,
        about="How long an executor that is evicted may keep working on its shards; spot nodes give 120 [seconds].",
    )
    service_account_name: ObjectName | None = setting("kubernetes", "executor_service_account")


class Driver(Values):
    """The driver: the pod of the Job."""

    cores: Count = setting("spark", "driver_cores")
    memory: Memory = setting("spark", "driver_memory")
    memory_overhead: Memory = setting("spark", "driver_memory_overhead")
    cpu_request: Cpus | None = setting("kubernetes", "driver", "cpu_request")
    cpu_limit: Cpus | None = setting("kubernetes", "driver", "cpu_limit")
    node_selector: Labels = setting("kubernetes", "driver", "node_selector")
    tolerations: Mappings = setting("kubernetes", "driver", "tolerations")
    affinity: Mapping = setting("kubernetes", "driver", "affinity")
    priority_class_name: ObjectName | None = setting("kubernetes", "driver", "priority_class")
    labels: Labels = setting("kubernetes", "driver", "labels")
    annotations: Annotations = setting(
        "kubernetes",
        "driver",
        "annotations",
        more="A changed one restarts the job, as any other change of its pod does.",
    )
    pod_template: Mapping = setting("kubernetes", "driver", "template")
    termination_grace_period_seconds: Seconds = setting(
        "kubernetes",
        "driver",
        "termination_grace_seconds",
        default=DRIVER_GRACE,
        about="How long a driver that is evicted may take to end [seconds].",
    )


class Gpu(Values):
    """GPUs of the executors; goes with `context: gpu` or `auto`."""

    per_executor: Annotated[int, Field(ge=0, le=64, strict=True)] = setting("spark", "executor_gpus")
    vendor: Vendor = setting("kubernetes", "gpu_vendor")
    discovery_script: PathInImage = setting("kubernetes", "gpu_discovery")


class S3(Values):
    """Where the buckets are, and who may use them. Keys are never values: a secret holds them, or the service
    account is enough.
    """

    endpoint: Annotated[str, Field(pattern="^https?://")] | None = setting(
        "storage", "endpoint_url", about="An S3-compatible server, e.g. http://s3.storage:8333. Default: AWS."
    )
    region: str | None = setting(
        "storage",
        "region",
        about="Region of the buckets. Default: what EKS sets for IRSA (AWS_REGION); else looked up in AWS if possible.",
    )
    secret_name: ObjectName | None = setting("kubernetes", "credentials_from")


class ServiceAccount(Values):
    """The service account of the driver. Executors have it too, without its token, unless executor.serviceAccountName
    names another: it may carry the identity that the buckets require. If they require none
    (s3.secretName, job.storage.anonymous), and this one is created without annotations, executors have an account of
    their own, without rights."""

    create: bool = Field(True, description="Create it.")
    name: ObjectName | None = Field(
        None,
        description="Its name. Default: the release's. One that isn't created must be named; without rbac.create it is "
        "otherwise `default`.",
    )
    annotations: Annotations = Field(
        {},
        description="Its annotations, for a cloud's identity: eks.amazonaws.com/role-arn (IRSA), "
        "iam.gke.io/gcp-service-account (workload identity).",
    )


class Rbac(Values):
    """What the driver may do in the namespace."""

    create: bool = Field(
        True, description="Create a Role with the permissions to start executors, and bind it to the service account."
    )


class DynamicAllocation(Values):
    """Executors that scale with the work (Spark's dynamic allocation)."""

    enabled: bool = setting("spark", "dynamic_allocation", "enabled")
    min_executors: Annotated[int, Field(ge=0, strict=True)] = setting("spark", "dynamic_allocation", "min_executors")
    max_executors: Count | None = setting("spark", "dynamic_allocation", "max_executors")
    idle_seconds: Annotated[int, Field(ge=1, le=86_400, strict=True)] = setting(
        "spark", "dynamic_allocation", "idle_seconds"
    )


class Spot(Values):
    """Spot (preemptible) nodes for the executors: one that is evicted ends in order, and others take over its work."""

    enabled: bool = Field(
        False, description="Let executors run on spot nodes, by the tolerations below. The driver stays where it is."
    )
    tolerations: Mappings = Field(
        (
            {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
            {
                "key": "kubernetes.azure.com/scalesetpriority",
                "operator": "Equal",
                "value": "spot",
                "effect": "NoSchedule",
            },
        ),
        description="Tolerations of spot nodes' taints, as in a pod's spec; GKE's and AKS's. EKS has none of its own.",
        json_schema_extra={POD_PART: TOLERATION},
    )


class LocalDirectory(Values):
    """The pods' folder for temporary files."""

    size: Quantity = setting("kubernetes", "local_directory", "size")
    request: Quantity = setting("kubernetes", "local_directory", "request")
    storage_class: ObjectName | None = setting("kubernetes", "local_directory", "storage_class")
    host_path: PathInImage | None = setting("kubernetes", "local_directory", "host_path")


# All addresses but those of a node's own services, its metadata among them: the rule `credentials` opens these where an
# identity needs it.
ANYBODY: tuple[dict[str, Any], ...] = (
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
    {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::/32", "fe80::/10"]}},
)


class ObjectStore(Values):
    """The object store."""

    to: Mappings = Field(
        ANYBODY,
        description="Peers, as in a NetworkPolicy; AWS STS among them where it provides credentials (IRSA). [] for "
        "none.",
        json_schema_extra=PEERS,
    )
    ports: tuple[Port, ...] = Field(
        (),
        description="TCP ports; of a server in the cluster those of its pods, which may be others than its Service's. "
        "Default: the port of s3.endpoint, else 443; without s3.secretName 443 too, for AWS STS.",
    )


class Credentials(Values):
    """The services on a node that provide credentials: for all pods, without s3.secretName and without a role in
    serviceAccount.annotations.
    """

    to: Mappings = Field(
        tuple({"ipBlock": {"cidr": address}} for address in CREDENTIALS),
        description="Peers, as in a NetworkPolicy: EKS Pod Identity and the nodes' metadata service. [] for none.",
        json_schema_extra=PEERS,
    )
    ports: tuple[Port, ...] = Field((80,), min_length=1, description="TCP ports.")


class ApiServer(Values):
    """The API server, which no selector can name: only the driver may connect to it."""

    to: Mappings = Field(
        ANYBODY,
        description="Peers, as in a NetworkPolicy; the addresses of `kubectl get endpoints kubernetes` are the "
        "narrowest. [] for none.",
        json_schema_extra=PEERS,
    )
    ports: tuple[Port, ...] = Field(
        (443, 6443), min_length=1, description="TCP ports: the service's, and that behind it."
    )


class Dns(Values):
    """The cluster's name server."""

    to: Mappings = Field(
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},),
        description="Peers, as in a NetworkPolicy; a node-local name server needs its address as an ipBlock. [] for "
        "none.",
        json_schema_extra=PEERS,
    )
    ports: tuple[Port, ...] = Field((53,), min_length=1, description="Ports, UDP and TCP.")


class NetworkPolicy(Values):
    """What may connect to the pods, and what they may connect to: only what is needed. A rule whose `to` is [] is left
    out.

    A network plugin without policy support ignores them.
    """

    ingress: bool = setting("kubernetes", "network_policies")
    ingress_rules: Mappings = setting("kubernetes", "ingress_rules")
    enabled: bool = Field(False, description="Restrict what the pods may connect to, too (implies `ingress`).")
    dns: Dns = Field(Dns(), description="The cluster's name server.")
    api_server: ApiServer = Field(ApiServer(), description="The API server.")
    s3: ObjectStore = Field(ObjectStore(), description="The object store.")
    credentials: Credentials = Field(Credentials(), description="The services on a node that provide credentials.")
    egress: Mappings = Field(
        (), description="More egress rules of all pods, as in a NetworkPolicy.", json_schema_extra=EGRESS
    )
    ui_from: Mappings = Field(
        (),
        description="Who may connect to Spark's web UI and metrics: peers, as in a NetworkPolicy. Default: all where "
        "`monitoring` has a Service or metrics, else none; `kubectl port-forward` works in any case.",
        json_schema_extra=PEERS,
    )


class Rules(Values):
    """Alerts (files/alerts.yaml) as a PrometheusRule, where the Prometheus operator is. They are about all runs that
    its Prometheus knows: one release with them is enough.
    """

    enabled: bool = Field(False, description="Create it.")
    labels: Labels = Field({}, description="Its labels, by which a Prometheus selects it.")


class Dashboard(Values):
    """Grafana's dashboard (files/dashboard.json) in a ConfigMap, where a sidecar of Grafana looks for such. It shows
    any run: one release with it is enough.
    """

    enabled: bool = Field(False, description="Create it.")
    labels: Labels = Field({"grafana_dashboard": "1"}, description="Its labels, by which the sidecar finds it.")


class Ingress(Values):
    """An Ingress for Spark's web UI; creates its Service too. The UI asks nobody who they are: let its controller do
    so.
    """

    enabled: bool = Field(False, description="Create it.")
    class_name: ObjectName | None = Field(None, description="Its class. Default: the cluster's.")
    host: Hostname | None = Field(None, description="The host of its address. Needed.")
    annotations: Annotations = Field({}, description="Its annotations, for its controller: who may see the page, say.")
    tls: Mappings = Field((), description="Certificates, as in an Ingress's spec.")


class HttpRoute(Values):
    """A route of the Gateway API for Spark's web UI; creates its Service too."""

    enabled: bool = Field(False, description="Create it.")
    parent_refs: tuple[dict[str, str | int], ...] = Field(
        (), description="Gateways, as in an HTTPRoute's spec: {name: ..., namespace: ...}. Needed."
    )
    hostnames: tuple[Hostname, ...] = Field((), description="The hosts of its address. Default: the Gateway's.")
    annotations: Annotations = Field({}, description="Its annotations.")


class PodMonitor(Values):
    """A PodMonitor, where the Prometheus operator is."""

    enabled: bool = Field(False, description="Create it.")
    interval: str = Field("30s", pattern="^([0-9]+(ms|s|m|h))+$", description="How often the metrics are read.")
    labels: Labels = Field({}, description="Its labels, by which a Prometheus selects it.")


class Prometheus(Values):
    """How Prometheus finds the driver: the run's metrics, at monitoring.metricsPort, and Spark's own of its executors,
    at :4040/metrics/executors/prometheus.
    """

    annotations: bool = Field(
        False,
        description="Write the annotations prometheus.io/scrape, /port and /path on the driver's pod: for the run's "
        "metrics, or Spark's where monitoring.metricsPort is null.",
    )
    pod_monitor: PodMonitor = Field(PodMonitor(), description="A PodMonitor, where the Prometheus operator is.")
    rules: Rules = Field(Rules(), description="Alerts as a PrometheusRule.")
    dashboard: Dashboard = Field(Dashboard(), description="Grafana's dashboard.")


class Monitoring(Values):
    """The run's metrics; Spark's web UI, history and metrics (docs/monitoring.md)."""

    metrics_port: MetricsPort | None = setting("metrics", "port")
    ui_service: bool = Field(
        False,
        description="Create a Service for Spark's web UI, port 4040 of the driver; with a schedule, of any run's.",
    )
    ingress: Ingress = Field(Ingress(), description="An Ingress for Spark's web UI.")
    http_route: HttpRoute = Field(HttpRoute(), description="A route of the Gateway API for Spark's web UI.")
    event_log: Annotated[str, Field(pattern="^s3a://[^/]+")] | None = Field(
        None,
        description="Where Spark writes its event log for a history server, s3a://bucket/prefix; it must exist "
        "already, for example as an empty object prefix/.keep.",
    )
    prometheus: Prometheus = Field(Prometheus(), description="How Prometheus finds the driver.")


class CronJob(Values):
    """How a job with a `schedule` is started."""

    time_zone: str | None = Field(
        None, description="Time zone of the schedule, e.g. Europe/Berlin. Default: that of the controller."
    )
    # Allow is left out: two runs at a time would be after the same output, and the second would only find it locked.
    concurrency_policy: Literal["Forbid", "Replace"] = Field(
        "Forbid",
        description="When a run is due while the last one is running. Forbid: skip it; Replace: end the last one.",
    )
    starting_deadline_seconds: Annotated[int, Field(ge=10, strict=True)] | None = Field(
        3600, description="How late a missed run may start [seconds]; null: without limit."
    )
    successful_jobs_history_limit: Annotated[int, Field(ge=0, strict=True)] = Field(
        3, description="Successful runs that are kept."
    )
    failed_jobs_history_limit: Annotated[int, Field(ge=0, strict=True)] = Field(
        3, description="Failed runs that are kept."
    )
    suspend: bool = Field(False, description="Start no more runs.")


class Tests(Values):
    """The pods of `helm test`."""

    enabled: bool = Field(True, description="Create them: rights, bucket, and one image.")
    timeout_seconds: Annotated[int, Field(ge=1, strict=True)] = Field(
        300, description="Limit on each of them [seconds]."
    )


class ChartValues(Values):
    """All values of the chart."""

    job: Mapping = Field(
        {},
        description="The settings file of the job, as `mxspark run --settings` takes it, but for what are values of "
        "their own: its sections spark and kubernetes, context, storage.endpoint_url and storage.region.",
    )
    context: Literal["cpu", "gpu", "auto"] = setting("context")
    image: Image = Field(Image(), description="The image of the driver and the executors.")
    image_pull_secrets: tuple[ObjectName, ...] = setting("kubernetes", "image_pull_secrets")
    executor: Executor = Field(Executor(), description="The executors.")
    driver: Driver = Field(Driver(), description="The driver.")
    gpu: Gpu = Field(Gpu(), description="GPUs of the executors.")
    s3: S3 = Field(S3(), description="Where the buckets are, and who may use them.")
    service_account: ServiceAccount = Field(ServiceAccount(), description="The service account.")
    rbac: Rbac = Field(Rbac(), description="What the driver may do.")
    spark_conf: dict[str, str | int | float | bool] = setting(
        "spark",
        "conf",
        more="They override what mxspark computes. Never keys or passwords: all who may read the release could read "
        "them.",
    )
    dynamic_allocation: DynamicAllocation = Field(DynamicAllocation(), description="Executors that come and go.")
    spot: Spot = Field(Spot(), description="Spot nodes.")
    local_directory: LocalDirectory = Field(LocalDirectory(), description="The pods' folder for temporary files.")
    pod_security_context: Mapping = Field(
        {},
        description=f"Security context of all pods, over {inline(pod_security())}. null removes a key.",
        json_schema_extra={POD_PART: "V1PodSecurityContext"},
    )
    container_security_context: Mapping = Field(
        {},
        description=f"Security context of their containers, over {inline(container_security())}. Lists are appended "
        "to.",
        json_schema_extra={POD_PART: "V1SecurityContext"},
    )
    extra_env: Mappings = Field(
        (),
        description="More variables of all pods, as in a container. Of one kind of pod: driver.podTemplate, "
        "executor.podTemplate.",
        json_schema_extra={POD_PART: "V1EnvVar"},
    )
    extra_volumes: Mappings = Field(
        (), description="More volumes of all pods, as in a pod's spec.", json_schema_extra={POD_PART: "V1Volume"}
    )
    extra_volume_mounts: Mappings = Field(
        (), description="Where they are mounted, as in a container.", json_schema_extra={POD_PART: "V1VolumeMount"}
    )
    openshift: bool = Field(
        False,
        description="Leave the pods' user and groups to OpenShift, whose restricted-v2 gives each namespace its own. "
        f"Else both are {USER}.",
    )
    gitops: bool = Field(
        False,
        description="For Argo CD and Flux (docs/gitops.md): a Job that is created again resumes the run of the one "
        "before, with output.overwrite too, or finds it complete, as long as the settings are the same; no pods of "
        "`helm test`; executors find the driver by its address, so that an old Job and a new one don't mix. "
        "ttlSeconds must be null unless there is a schedule.",
    )
    restarts: Annotated[int, Field(ge=0, le=100, strict=True)] = setting("kubernetes", "restarts")
    deadline_seconds: Annotated[int, Field(ge=1, strict=True)] | None = setting("kubernetes", "deadline_seconds")
    ttl_seconds: Seconds | None = setting(
        "kubernetes",
        "keep_seconds",
        default=None,
        more="Default: until the release is uninstalled or changed. A Job that is gone is created again by the next "
        "`helm upgrade`.",
    )
    schedule: Annotated[str, Field(pattern=SCHEDULE)] | None = Field(
        None,
        description='When to run the job repeatedly, as a CronJob, e.g. "0 3 * * *" or "@daily". Default: once, now.',
    )
    cron_job: CronJob = Field(CronJob(), description="How a job with a schedule is started.")
    network_policy: NetworkPolicy = Field(NetworkPolicy(), description="What may connect to what.")
    monitoring: Monitoring = Field(Monitoring(), description="Spark's web UI, history and metrics.")
    job_labels: Labels = setting(
        "kubernetes", "labels", more="The pods of `helm test` don't have them, which a queue would hold up."
    )
    suspend: bool = setting("kubernetes", "suspend", more="With a schedule, each run's; cronJob.suspend starts none.")
    tests: Tests = Field(Tests(), description="The pods of `helm test`.")
    common_labels: Labels = Field({}, description="Labels of all objects and pods.")
    name_override: Label | None = Field(None, description="Added to the release's name in the names of all objects.")
    fullname_override: Annotated[str, Field(pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=MAX_NAME)] | None = (
        Field(None, description=f"Name of all objects instead of the release's, at most {MAX_NAME} characters.")
    )


def settings_of_values(kind: type[Document] = ChartValues) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Which values are which settings: (executor, memoryOverhead) is (spark, executor_memory_overhead)."""
    for name, field in kind.model_fields.items():
        key = field.alias or name
        section = kind.section(name)
        if section is not None:
            yield from (((key, *value), setting) for value, setting in settings_of_values(section))
        elif isinstance(field.json_schema_extra, dict) and "x-setting" in field.json_schema_extra:
            yield (key,), tuple(str(field.json_schema_extra["x-setting"]).split("."))
