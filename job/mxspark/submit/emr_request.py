"""What EMR on EKS is asked for: the request that starts a job run, the job template, and the objects in S3 that they name.

Only builds them, from settings alone. The limits are those of AWS's model of the API and of its guide's page on pod templates.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mxspark import document, layers, pods
from mxspark.emr_settings import LONGEST_VALUE, MOST_PROPERTIES, NAME
from mxspark.errors import UsageError
from mxspark.kubernetes_settings import KubernetesSettings, PodSettings
from mxspark.pods import Manifest
from mxspark.settings import Settings
from mxspark.spark import configuration
from mxspark.storage import is_s3, join
from mxspark.submit.manifests import MASTER, refuse_what_pods_cannot_reach

Request = dict[str, Any]

ENTRY_POINT = "local:///opt/mxspark/infer_main.py"
LONGEST_ARGUMENT, LONGEST_PARAMETERS = 10_280, 102_400  # characters
STAGING = "_submissions"  # in the output: readers of tables pass over it, and so does --overwrite
DECOMMISSIONING = "/usr/bin/decom.sh"  # where AWS's image has the script of Spark's own images
DRIVER_TEMPLATE, EXECUTOR_TEMPLATE = "spark.kubernetes.driver.podTemplateFile", "spark.kubernetes.executor.podTemplateFile"
# EMR looks for Spark's containers by these names, and lets nobody change them.
CONTAINERS = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executors"}
# What EMR sets itself: a job run has the namespace of its virtual cluster, and service accounts made for its role.
EMRS_OWN = {
    "spark.master",
    "spark.submit.deployMode",
    "spark.kubernetes.namespace",
    "spark.kubernetes.authenticate.driver.serviceAccountName",
    "spark.kubernetes.authenticate.executor.serviceAccountName",
    "spark.kubernetes.driver.podTemplateContainerName",
    "spark.kubernetes.executor.podTemplateContainerName",
    DRIVER_TEMPLATE,
    EXECUTOR_TEMPLATE,
}
# What a person looks for first, and what Spark's guide writes on command lines; the other properties are defaults.
SHOWN_FIRST = (
    "spark.kubernetes.container.image",
    "spark.driver.cores",
    "spark.driver.memory",
    "spark.driver.memoryOverhead",
    "spark.executor.instances",
    "spark.executor.cores",
    "spark.executor.memory",
    "spark.executor.memoryOverhead",
)
# A word that is the same whether a shell splits it or a program does. `$` would be a parameter in job templates.
PLAIN_WORD = re.compile(r"[\w.:/@%+=,*\[\]-]+", re.ASCII)
# Other ways of starting have them; EMR has the virtual cluster's namespace, accounts that it makes for the role, and its own retries.
NOT_USED = (
    "spark.master",
    "kubernetes.namespace",
    "kubernetes.service_account",
    "kubernetes.executor_service_account",
    "kubernetes.driver_service",
    "kubernetes.restarts",
    "kubernetes.keep_seconds",
)
# The fields of pod templates that EMR lets through, and the names that it has taken (EMR on EKS Development Guide, "Using pod templates").
POD_FIELDS = frozenset(
    [
        "activeDeadlineSeconds",
        "affinity",
        "containers",
        "enableServiceLinks",
        "ephemeralContainers",
        "hostAliases",
        "hostname",
        "imagePullSecrets",
        "initContainers",
        "nodeName",
        "nodeSelector",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "readinessGates",
        "runtimeClassName",
        "schedulerName",
        "subdomain",
        "terminationGracePeriodSeconds",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
    ]
)
LISTS = frozenset(["containers", "imagePullSecrets", "initContainers", "tolerations", "topologySpreadConstraints", "volumes"])
CONTAINER_FIELDS = frozenset(
    [
        "env",
        "envFrom",
        "name",
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "resources",
        "startupProbe",
        "stdin",
        "stdinOnce",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "tty",
        "volumeDevices",
        "volumeMounts",
        "workingDir",
    ]
)
TAKEN_VOLUMES = frozenset(
    [
        "emr-container-communicate",
        "config-volume",
        "emr-container-application-log-dir",
        "emr-container-event-log-dir",
        "temp-data-dir",
        "mnt-dir",
        "home-dir",
        "emr-container-s3",
    ]
)
TAKEN_PLACES = ("/var/log/fluentd", "/var/log/spark/user", "/var/log/spark/apps", "/mnt", "/tmp", "/home/hadoop")  # noqa: S108  # EMR's
TAKEN_VARIABLES = frozenset(["SPARK_CONTAINER_ID", "K8S_SPARK_LOG_URL_STDERR", "K8S_SPARK_LOG_URL_STDOUT", "SIDECAR_SIGNAL_FILE"])
# A job template's parameters: what differs from one run to the next.
PARAMETERS = {"Input": "input.path", "Output": "output.path", "Model": "model.path"}
SUBMISSION_PARAMETER = "Submission"
TEMPLATE_WORDS = frozenset(f"${{{name}}}" for name in (*PARAMETERS, SUBMISSION_PARAMETER))  # where their values go


@dataclass(frozen=True)
class Submission:
    """What is asked of AWS for one job run: `request` starts it, `objects` (by place) are to be in S3 before, `template` too."""

    request: Request
    objects: Mapping[str, bytes]
    template: Request | None = None


def check_name(name: str, flag: str = "--name") -> str:
    """Raises UsageError where a job run or a job template can't be called so."""
    if not re.fullmatch(NAME, name):
        raise UsageError(f"{flag} is {name!r}", "Take 1 to 64 letters, digits and any of . - _ / #: AWS's rule for job runs.")
    return name


def default_name(unique: str) -> str:
    """The name of a job run that nobody gave one. By output.submission where there is one: the same command is the same request then."""
    return re.sub(r"[^.\-_/#A-Za-z0-9]", "-", f"mxspark-{unique}")[:64]


def completed(settings: Settings, name: str, submission: str) -> Settings:
    """The settings with what depends on the submission, checked as for a cluster. Raises UsageError."""
    refuse_what_pods_cannot_reach(settings)
    kubernetes, emr = settings.kubernetes, settings.emr
    if kubernetes.image is None:
        raise UsageError("no image is given: kubernetes.image is not set", "Name the image, made by `make image TARGET=emr`: --image NAME.")
    if emr.execution_role is None:
        raise UsageError("no role is given: emr.execution_role is not set", "Name the role that the job runs as: --execution-role ARN.")
    if emr.staging is None and not is_s3(settings.output.path):
        raise UsageError(
            f"output.path is {settings.output.path!r}, and EMR reads pod templates from S3 only", "Give s3://bucket/prefix, or emr.staging."
        )
    if emr.staging is None and not (_is_argument(settings.output.path) and len(settings.output.path) < LONGEST_VALUE // 2):
        raise UsageError(
            "output.path is longer than a Spark property may be at AWS, or has what can't be printed", "Give emr.staging another place."
        )
    if taken := sorted(EMRS_OWN & settings.spark.conf.keys()):
        raise UsageError(f"spark.conf has {', '.join(taken)}, which EMR sets itself", "Take it out.")
    changes = {"spark": {"master": MASTER, "app_name": name}, "output": {"submission": settings.output.submission or submission}}
    found = settings.model_dump()
    for section, values in changes.items():
        found[section] |= values
    return document.parse(Settings, found, "settings")  # built anew, so that what holds for a cluster only is checked


def build(settings: Settings, name: str, virtual_cluster: str, job_template: str | None = None) -> Submission:
    """What starts a job run called `name` with `completed` settings. With `job_template`, its id is left to be filled in.

    The same settings give the same request, with the same token: AWS starts no second job run for it.
    """
    templates = {f"{role}.yaml": document.to_yaml(pod_template(settings, role)).encode() for role in CONTAINERS}
    objects = {_staged(settings, file, content): content for file, content in templates.items()}
    driver_template, executor_template = objects
    files = {DRIVER_TEMPLATE: driver_template, EXECUTOR_TEMPLATE: executor_template}
    arguments, settings_object = _arguments(settings, is_template=job_template is not None)
    parameters, defaults = _split(spark_properties(settings) | files)
    overrides: Request = {"applicationConfiguration": _classifications(settings, defaults)}
    if monitoring := _monitoring(settings):
        overrides["monitoringConfiguration"] = monitoring
    driver = {"sparkSubmitJobDriver": {"entryPoint": ENTRY_POINT, "entryPointArguments": arguments, "sparkSubmitParameters": parameters}}
    what = {
        "executionRoleArn": settings.emr.execution_role,
        "releaseLabel": settings.emr.release,
        "jobDriver": driver,
        "configurationOverrides": overrides,
    }
    request: Request = {"name": name, "virtualClusterId": virtual_cluster}
    template = None
    if job_template is None:
        request |= what
    else:
        template = _template(settings, job_template, what)
        request |= {"jobTemplateParameters": _template_values(settings)}
    request |= {"retryPolicyConfiguration": {"maxAttempts": settings.emr.retries + 1}}
    if settings.emr.tags:
        request |= {"tags": dict(settings.emr.tags)}
    request["clientToken"] = token(request | ({"template": template} if template else {}))
    return Submission(request, objects | settings_object, template)


def token(request: Mapping[str, Any]) -> str:
    """A request's name for AWS, which starts one job run for each: 64 characters, the most that there may be."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def spark_properties(settings: Settings) -> dict[str, str]:
    """Those of every way of starting, but for what EMR sets itself, and with what Spark makes the driver's pod from."""
    chosen = settings.kubernetes.driver
    cores = str(settings.spark.driver_cores)
    found = configuration(settings.spark, settings.kubernetes) | {
        "spark.kubernetes.driver.request.cores": chosen.cpu_request or cores,
        "spark.kubernetes.driver.limit.cores": chosen.cpu_limit or cores,
        "spark.kubernetes.decommission.script": DECOMMISSIONING,
        # As Spark has them by default, which suits its cluster mode; else the driver, which computes them too, would set its client mode's.
        "spark.kubernetes.executor.disableConfigMap": "false",
        "spark.kubernetes.driver.service.deleteOnTermination": "true",
    }
    found |= settings.spark.conf
    return {key: value for key, value in found.items() if key not in EMRS_OWN}


def _split(properties: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The properties as sparkSubmitParameters and as spark-defaults, of which AWS takes a hundred."""
    for key, value in properties.items():
        if not value.strip() or not value.isprintable():
            raise UsageError(f"spark.conf: {key} is {value!r}", "EMR takes neither empty values nor such of several lines: take it out.")
    plain = [key for key, value in properties.items() if PLAIN_WORD.fullmatch(f"{key}={value}")]
    first = [key for key in SHOWN_FIRST if key in plain]
    rest = [key for key in properties if key not in first]
    long = [key for key in rest if max(len(key), len(properties[key])) > LONGEST_VALUE]
    movable = [key for key in reversed(rest) if key in plain and key not in long]
    first += [key for key in long if key in plain] + movable[: max(0, len(rest) - len(long) - MOST_PROPERTIES)]
    defaults = {key: properties[key] for key in rest if key not in first}
    parameters = " ".join(f"--conf {key}={properties[key]}" for key in first)
    if too_long := [key for key in defaults if max(len(key), len(defaults[key])) > LONGEST_VALUE]:
        raise UsageError(
            f"spark.conf: {too_long[0]} has {len(defaults[too_long[0]]):,} characters",
            f"EMR takes {LONGEST_VALUE:,} at most where there are spaces or quotes among them: shorten it.",
        )
    if len(defaults) > MOST_PROPERTIES or len(parameters) > LONGEST_PARAMETERS:
        raise UsageError(
            f"spark.conf has too much: {len(properties)} properties, of which {len(parameters):,} characters are parameters",
            f"EMR takes {LONGEST_PARAMETERS:,} characters of parameters and {MOST_PROPERTIES} other properties: take some out.",
        )
    return parameters, defaults


def _classifications(settings: Settings, defaults: dict[str, str]) -> list[Request]:
    found = [{"classification": "spark-defaults", "properties": defaults}]
    if submitter := _submitter(settings):
        found.append({"classification": "emr-job-submitter", "properties": submitter})
    if settings.emr.start_seconds is not None:
        found.append({"classification": "emr-containers-defaults", "properties": {"job-start-timeout": str(settings.emr.start_seconds)}})
    return found


def _submitter(settings: Settings) -> dict[str, str]:
    """The pod that submits goes where the driver's does: on a spot node it would be lost with it."""
    spec = pod_template(settings, "driver")["spec"]
    found = {f"jobsubmitter.node.selector.{key}": value for key, value in _selectors(spec).items() if value.strip()}
    for key, toleration in _submitters_tolerations(spec).items():
        place = f"jobsubmitter.node.toleration.{key}"
        found |= {place: str(toleration["value"]), f"{place}.effect": str(toleration["effect"])}
        if "tolerationSeconds" in toleration:
            found[f"{place}.tolerationSeconds"] = str(toleration["tolerationSeconds"])
    found |= settings.emr.submitter
    for key, value in found.items():
        if not value.strip() or max(len(key), len(value)) > LONGEST_VALUE:
            raise UsageError(f"{key} is {value!r}", f"AWS takes 1 to {LONGEST_VALUE:,} characters: mend kubernetes.driver.")
    return found


def _selectors(spec: Manifest) -> dict[str, str]:
    return {str(key): str(value) for key, value in (spec.get("nodeSelector") or {}).items()}


def _submitters_tolerations(spec: Manifest) -> dict[str, Manifest]:
    """By key, for which EMR has one property each. Its word for the operator Exists is an empty value, which the API takes from nobody."""
    found: dict[str, Manifest] = {}
    for toleration in spec.get("tolerations") or ():
        if all(str(toleration.get(key) or "").strip() for key in ("key", "value", "effect")):
            found.setdefault(str(toleration["key"]), toleration)
    return found


def _monitoring(settings: Settings) -> Request:
    emr = settings.emr
    found: Request = {"persistentAppUI": "ENABLED" if emr.persistent_ui else "DISABLED"}
    if emr.log_group is not None:
        prefix = {"logStreamNamePrefix": emr.log_prefix} if emr.log_prefix else {}
        found["cloudWatchMonitoringConfiguration"] = {"logGroupName": emr.log_group, **prefix}
    if emr.s3_logs is not None:
        found["s3MonitoringConfiguration"] = {"logUri": emr.s3_logs}
    return found


def notes(settings: Settings) -> Iterator[str]:
    """What a person should know of settings, as they were given, that EMR takes otherwise or not at all."""
    if settings.emr.s3_logs is None and settings.emr.log_group is None:
        yield "The pods' logs go with the pods: --s3-logs or --log-group keeps them."
    given = {".".join(path) for path in layers.file_layer(layers.changed(settings), "").values}
    if unused := [key for key in NOT_USED if key in given]:
        yield f"Not used: {', '.join(unused)}. EMR has the virtual cluster's namespace, accounts made for the role, and emr.retries."
    if settings.kubernetes.deadline_seconds is not None:
        yield "kubernetes.deadline_seconds limits each start of the driver, not all of them together: EMR has no limit on a job run."
    spec = pod_template(settings, "driver")["spec"]
    said = _submitters_tolerations(spec).values()
    unsaid = [toleration for toleration in spec.get("tolerations") or () if not any(toleration is one for one in said)]
    lacking = [f"toleration of {toleration.get('key', 'all taints')}" for toleration in unsaid]
    lacking += [f"selector {key} without a value" for key, value in _selectors(spec).items() if not value.strip()]
    lacking += [key for key in ("affinity", "nodeName") if spec.get(key)]
    if lacking:
        yield (
            f"The pod that submits the job can't be given the driver's {', '.join(lacking)}: EMR gives it node selectors, and for each key "
            "one toleration with value and effect. Where it finds no other node it waits for ever."
        )


# --- Pod templates


def pod_template(settings: Settings, role: str) -> Manifest:
    """The pod template of the driver or the executors: what EMR lets through. Security and mounts are EMR's own."""
    spark, kubernetes = settings.spark, settings.kubernetes
    chosen: PodSettings = getattr(kubernetes, role)
    is_driver = role == "driver"
    placement = pods.placement(
        chosen, pods.DRIVER_GRACE if is_driver else pods.EXECUTOR_GRACE, () if is_driver else pods.gpu_tolerations(spark, kubernetes)
    )
    container: Manifest = {"name": CONTAINERS[role]}
    if variables := pods.credentials(kubernetes):
        container["env"] = variables
    spec = {**{key: value for key, value in placement.items() if key in POD_FIELDS}, "containers": [container]}
    if is_driver and kubernetes.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = kubernetes.deadline_seconds
    ours = {"apiVersion": "v1", "kind": "Pod", "metadata": pods.metadata(chosen, spark.app_name, role), "spec": spec}
    found = pods.merged(ours, chosen.template)
    if wrong := next(_refused(found), None):
        raise UsageError(f"kubernetes.{role}.template: {wrong}", "Take it out: EMR on EKS would refuse the job.")
    return found


def _refused(pod: Manifest) -> Iterator[str]:
    """What EMR's check of pod templates would say."""
    spec = pod["spec"]
    main = spec["containers"][0]
    if (pod["apiVersion"], pod["kind"]) != ("v1", "Pod"):
        yield f"it is a {pod['kind']} of {pod['apiVersion']}, and must be a Pod of v1"
    yield from (f"metadata.{key} is Spark's own" for key in pod["metadata"] if key not in ("labels", "annotations"))
    for key in LISTS & spec.keys():
        if not isinstance(spec[key], (list, tuple)) or not all(isinstance(item, Mapping) for item in spec[key]):
            yield f"spec.{key} must be a list of keys and values"
    yield from (f"EMR lets nobody set spec.{key}" for key in spec if key not in POD_FIELDS)
    yield from (f"EMR lets nobody set {key} of Spark's container" for key in main if key not in CONTAINER_FIELDS)
    yield from (
        f"the volume {volume.get('name')} is EMR's own" for volume in _dicts(spec, "volumes") if volume.get("name") in TAKEN_VOLUMES
    )
    for mount in _dicts(main, "volumeMounts"):
        path = f"{posixpath.normpath('///' + str(mount.get('mountPath'))).rstrip('/')}/"  # two slashes would be kept, three are one
        if any(path.startswith(f"{taken}/") or f"{taken}/".startswith(path) for taken in TAKEN_PLACES):
            yield f"{mount.get('mountPath')} overlaps with what EMR mounts"
    for container in (item for key in ("containers", "initContainers") for item in _dicts(spec, key)):
        for variable in _dicts(container, "env"):
            name = str(variable.get("name"))
            if name in TAKEN_VARIABLES and container is main:
                yield f"the variable {name} is EMR's own"


def _dicts(owner: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = owner.get(key)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, (list, tuple)) else []


# --- Arguments


def _arguments(settings: Settings, is_template: bool) -> tuple[list[str], dict[str, bytes]]:
    """infer_main.py's arguments; and the settings as an object in S3, where they are too long or too strange for arguments."""
    content = job_settings(settings)
    flags = list(_flags(content))
    objects: dict[str, bytes] = {}
    if not _can_be_arguments(settings, flags, is_template):
        text = document.to_yaml(content).encode()
        place = _staged(settings, "settings.yaml", text)
        objects[place] = text
        flags = [("--settings", place), *[(flag, value) for flag, value in flags if flag != "--set" and is_template]]
        if settings.storage.endpoint_url is not None:  # by which the object itself is read
            flags.append(("--endpoint-url", settings.storage.endpoint_url))
    if is_template:
        by_flag = {_FLAGS[key]: f"${{{name}}}" for name, key in PARAMETERS.items()}
        flags = [(flag, by_flag.get(flag, value)) for flag, value in flags]
    submission = f"${{{SUBMISSION_PARAMETER}}}" if is_template else _submission(settings)
    flags.append(("--set", submission))
    return [word for pair in flags for word in pair] + ["--yes"], objects


_FLAGS = {"input.path": "--input", "output.path": "--output", "model.path": "--model"}


def _submission(settings: Settings) -> str:
    """The same for every attempt of a job run: so only the first of them overwrites what an earlier run left."""
    return f"output.submission={settings.output.submission}"


def job_settings(settings: Settings) -> dict[str, Any]:
    """The settings that the driver needs besides Spark's properties, which it finds in its Spark, as a settings file has them."""
    local = settings.kubernetes.local_directory  # which Spark's properties are named by
    kept = settings.model_copy(
        update={
            "spark": type(settings.spark)(),
            "kubernetes": KubernetesSettings(local_directory=local),
            "emr": type(settings.emr)(),
            "output": settings.output.model_copy(update={"submission": None}),
        }
    )
    return layers.changed(kept)


def _flags(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    values = dict(layers.file_layer(content, "").values)
    for path in sorted(values, key=lambda path: list(_FLAGS).index(".".join(path)) if ".".join(path) in _FLAGS else len(_FLAGS)):
        key, value = ".".join(path), values[path]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield (_FLAGS[key], text) if key in _FLAGS else ("--set", f"{key}={text}")


def _can_be_arguments(settings: Settings, flags: list[tuple[str, str]], is_template: bool) -> bool:
    words = [word for pair in flags for word in pair]
    if sum(map(len, words)) + len(_submission(settings)) > LONGEST_ARGUMENT - 100 or not all(map(_is_argument, words)):
        return False
    if is_template and any("${" in word for word in words):
        return False
    named = {key: value for flag, value in flags for key, known in _FLAGS.items() if flag == known}
    try:  # whether the job will read what was meant
        read = layers.effective([layers.flag_layer(named, [value for flag, value in flags if flag == "--set"])])
    except UsageError:
        return False
    return layers.changed(read.settings) == job_settings(settings)


def _is_argument(word: str) -> bool:
    """AWS wants something to be seen on each line, so that one line is the most."""
    return bool(word.strip()) and word.isprintable()


def _staged(settings: Settings, file: str, content: bytes) -> str:
    """Where a submission's object goes: a place of its own for each content, so that nothing is ever replaced under a running job."""
    place = settings.emr.staging or join(settings.output.path, STAGING)
    return join(join(place, hashlib.sha256(content).hexdigest()[:16]), file)


# --- Job templates


def _template(settings: Settings, name: str, what: Request) -> Request:
    """The request that makes the job template `name`."""
    told = json.dumps({**what, "jobDriver": {}})
    arguments = what["jobDriver"]["sparkSubmitJobDriver"]["entryPointArguments"]
    parameters = what["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"]
    if "${" in told + parameters or any("${" in word for word in arguments if word not in TEMPLATE_WORDS):
        raise UsageError("a setting has ${ in it, which a job template takes for a parameter", "Leave --job-template out.")
    if settings.emr.staging is None:
        raise UsageError(
            "a job template is for many outputs, but its pod templates would lie in this one's",
            "Give a place for them: --set emr.staging=s3://…",
        )
    # Without defaults, which would make it another template for each run.
    data: Request = {**what, "parameterConfiguration": {name: {"type": "STRING"} for name in _template_values(settings)}}
    if settings.emr.tags:
        data["jobTags"] = dict(settings.emr.tags)
    request: Request = {"name": name, "jobTemplateData": data}
    return request | {"clientToken": token(request)}


def _template_values(settings: Settings) -> dict[str, str]:
    values = {"Input": settings.input.path, "Output": settings.output.path, "Model": settings.model.path}
    for parameter, value in values.items():
        if value is not None and (len(value) > LONGEST_VALUE or not _is_argument(value)):
            raise UsageError(
                f"{PARAMETERS[parameter]} has {len(value):,} characters, or such as can't be printed",
                f"A job template takes {LONGEST_VALUE:,} at most: leave --job-template out.",
            )
    return {parameter: value for parameter, value in values.items() if value is not None} | {SUBMISSION_PARAMETER: _submission(settings)}
