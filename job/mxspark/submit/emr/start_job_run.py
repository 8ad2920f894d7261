"""What a submission sends to AWS: the request that starts a job run, the job template, and the objects in S3 that they
name.

Only builds them, from the settings alone. The limits are those of AWS's model of the API and of its guide's page on pod
templates.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mxspark.errors import UsageError
from mxspark.settings import document, sources
from mxspark.settings.emr import LONGEST_VALUE, NAME
from mxspark.settings.job import Settings
from mxspark.settings.kubernetes import KubernetesSettings
from mxspark.spark.pods import MASTER
from mxspark.storage import is_s3, join
from mxspark.submit import reach
from mxspark.submit.emr import properties
from mxspark.submit.emr.pod_templates import CONTAINERS, pod_template
from mxspark.submit.emr.properties import (
    DRIVER_TEMPLATE,
    EXECUTOR_TEMPLATE,
    is_emrs_own,
    is_one_line,
    selectors,
    submitters_tolerations,
)

Request = dict[str, Any]  # in the names of AWS's API

ENTRY_POINT = "local:///opt/mxspark/infer_main.py"
STAGING = "_submissions"  # in the output: readers of tables and --overwrite ignore it
# Spark parses a pod template's place as an address (java.net.URI, then Hadoop's Path): it rejects these, cuts at ? and
# #, and reads % and doubled slashes as something else.
NO_ADDRESS = re.compile(r"""[\s"#%<>?\[\\\]^`{|}]|//|/\.{1,2}(?=/|$)""")
# A job template's parameters: what differs from one run to the next.
PARAMETERS = {"Input": "input", "Output": "output", "Model": "model"}
SUBMISSION = "Submission"
OF_IMAGES = {f"spark.kubernetes.{role}container.image" for role in ("", "driver.", "executor.")}
# Settings of other ways of starting; EMR has the virtual cluster's namespace, accounts that it creates for the role,
# and its own retries.
NOT_USED = (
    "spark.master",
    "kubernetes.namespace",
    "kubernetes.service_account",
    "kubernetes.executor_service_account",
    "kubernetes.driver_service",
    "kubernetes.network_policies",
    "kubernetes.ingress_rules",
    "kubernetes.restarts",
    "kubernetes.keep_seconds",
)


@dataclass(frozen=True)
class Submission:
    """What starts one job run: `request`, after `objects` (by place) were put into S3 and `template` was created."""

    request: Request
    objects: Mapping[str, bytes]
    template: Request | None = None


def check_name(name: str, flag: str = "--name") -> str:
    """Raises UsageError if a job run or a job template can't have this name."""
    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"{flag} is {name!r}", "Use 1 to 64 letters, digits and any of . - _ / #: AWS's rule for job runs."
        )
    return name


def default_name(unique: str) -> str:
    """The default name of a job run. By output.submission if that is set: then the same command is the same request."""
    return re.sub(r"[^.\-_/#A-Za-z0-9]", "-", f"mxspark-{unique}")[:64]


def completed(settings: Settings, name: str, submission: str) -> Settings:
    """The settings with what depends on the submission, checked as for a cluster. Raises UsageError."""
    reach.check(settings)
    kubernetes, emr = settings.kubernetes, settings.emr
    if kubernetes.image is None:
        raise UsageError(
            "no image is given: kubernetes.image is not set",
            "Name the image, made by `make image TARGET=emr`: --image NAME.",
        )
    if emr.execution_role is None:
        raise UsageError(
            "no role is given: emr.execution_role is not set",
            "Name the role that the job runs as: --execution-role ARN.",
        )
    _check_staging(settings)
    chosen = settings.output.submission
    if chosen and (not is_one_line(chosen) or chosen == "null"):  # which a flag would read as none
        raise UsageError(f"output.submission is {chosen!r}", "Use one line of printable characters.")
    if images := sorted(OF_IMAGES & settings.spark.conf.keys()):
        raise UsageError(
            f"spark.conf has {', '.join(images)}",
            "Set one image for all pods instead, kubernetes.image: --image NAME.",
        )
    if taken := sorted(key for key in settings.spark.conf if is_emrs_own(key)):
        raise UsageError(f"spark.conf has {', '.join(taken)}, which EMR sets itself", "Take it out.")
    changes = {"spark": {"master": MASTER, "app_name": name}, "output": {"submission": chosen or submission}}
    found = settings.model_dump()
    for section, values in changes.items():
        found[section] |= values
    return document.parse(Settings, found, "settings")  # parsed again, so that the checks for a cluster run


def _check_staging(settings: Settings) -> None:
    """Raises UsageError if EMR and Spark would not find what a submission puts into S3."""
    key, place = (
        ("emr.staging", settings.emr.staging) if settings.emr.staging else ("output.path", settings.output.path)
    )
    if not is_s3(place):
        raise UsageError(
            f"{key} is {place!r}, and EMR reads pod templates from S3 only", "Give s3://bucket/prefix, or emr.staging."
        )
    if not (is_one_line(place) and len(place) < LONGEST_VALUE // 2):
        raise UsageError(
            f"{key} is longer than AWS allows a Spark property to be, or has unprintable characters",
            "Give another place: emr.staging.",
        )
    if found := NO_ADDRESS.search(place.removeprefix("s3://").rstrip("/")):
        raise UsageError(
            f"{key} is {place!r}: Spark finds no pod templates in a place with {found[0]!r}",
            "Choose a name without it"
            + (
                "."
                if key == "emr.staging"
                else ", or give pod templates another place: --set emr.staging=s3://bucket/prefix."
            ),
        )


def build(settings: Settings, name: str, virtual_cluster: str, job_template: str | None = None) -> Submission:
    """What starts a job run called `name` with `completed` settings. With `job_template`, the template's id must be
    filled in.

    The same settings give the same request, with the same token: AWS starts no second job run for it.
    """
    templates = {f"{role}.yaml": document.to_yaml(pod_template(settings, role)).encode() for role in CONTAINERS}
    content = document.to_yaml(driver_settings(settings, is_template=job_template is not None)).encode()
    if len(content) > document.MAX_YAML:
        raise UsageError(
            f"the settings are {len(content):,} bytes long, and {document.MAX_YAML:,} are the most",
            "Give fewer places: a prefix or a pattern, or a manifest (--input s3://bucket/keys.txt).",
        )
    driver_template, executor_template, settings_object = places = [
        _staged(settings, file, content) for file, content in [*templates.items(), ("settings.yaml", content)]
    ]
    files = {DRIVER_TEMPLATE: driver_template, EXECUTOR_TEMPLATE: executor_template}
    parameters, defaults = properties.split(properties.spark_properties(settings) | files)
    overrides = {
        "applicationConfiguration": properties.classifications(settings, defaults),
        "monitoringConfiguration": _monitoring(settings),
    }
    values = _template_values(settings) if job_template is not None else {}
    words = _arguments(settings, settings_object, values)
    what = {
        "executionRoleArn": settings.emr.execution_role,
        "releaseLabel": settings.emr.release,
        "jobDriver": {
            "sparkSubmitJobDriver": {
                "entryPoint": ENTRY_POINT,
                "entryPointArguments": words,
                "sparkSubmitParameters": parameters,
            }
        },
        "configurationOverrides": overrides,
    }
    request: Request = {"name": name, "virtualClusterId": virtual_cluster}
    template = None
    if job_template is None:
        request |= what
    else:
        template = _job_template(settings, job_template, what, values)
        request |= {"jobTemplateParameters": values}
    request |= {"retryPolicyConfiguration": {"maxAttempts": settings.emr.retries + 1}}
    if settings.emr.tags:
        request |= {"tags": dict(settings.emr.tags)}
    request["clientToken"] = _token(request | ({"template": template} if template else {}))
    return Submission(request, dict(zip(places, [*templates.values(), content], strict=True)), template)


def _token(request: Mapping[str, Any]) -> str:
    """By which AWS recognises a request, and starts one job run for each: 64 characters, the most that are allowed."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _staged(settings: Settings, file: str, content: bytes) -> str:
    """The place of a submission's object, one for each content, so that nothing is ever replaced under a running
    job.
    """
    place = settings.emr.staging or join(settings.output.path, STAGING)
    return join(join(place, hashlib.sha256(content).hexdigest()[:16]), file)


def driver_settings(settings: Settings, is_template: bool = False) -> dict[str, Any]:
    """The settings, as a settings file has them, that the driver needs besides Spark's properties, which it reads from
    Spark.

    Without the submission, and for a job template without its parameters, which are arguments.
    """
    local = settings.kubernetes.local_directory  # whose values are in the names of Spark's properties
    kept = settings.model_copy(
        update={
            "spark": type(settings.spark)(),
            "kubernetes": KubernetesSettings(local_directory=local),
            "emr": type(settings.emr)(),
            "output": settings.output.model_copy(update={"submission": None}),
        }
    )
    found = sources.changed(kept)
    if is_template:
        for section in PARAMETERS.values():
            found.get(section, {}).pop("path", None)
    return found


def _arguments(settings: Settings, settings_object: str, template_values: Mapping[str, str]) -> list[str]:
    """Those of infer_main.py. The submission is the same for every attempt of a job run: only the first one
    overwrites an earlier run.
    """
    words = ["--settings", settings_object]
    if settings.storage.endpoint_url is not None:  # needed to read that object
        words += ["--endpoint-url", settings.storage.endpoint_url]
    for name, section in PARAMETERS.items():
        if name in template_values:
            words += [f"--{section}", f"${{{name}}}"]
    return [*words, "--set", f"${{{SUBMISSION}}}" if template_values else _submission_argument(settings), "--yes"]


def _submission_argument(settings: Settings) -> str:
    return f"output.submission={settings.output.submission}"


def _template_values(settings: Settings) -> dict[str, str]:
    """One run's values for a job template's parameters."""
    if not isinstance(settings.input.path, str):
        raise UsageError("a job template's input is one place, but input.path has several", "Leave --job-template out.")
    given = {"Input": settings.input.path, "Output": settings.output.path, "Model": settings.model.path}
    found = {parameter: value for parameter, value in given.items() if value is not None}
    for parameter, value in found.items():
        if len(value) > LONGEST_VALUE or not is_one_line(value):
            raise UsageError(
                f"{PARAMETERS[parameter]}.path has {len(value):,} characters, or has unprintable ones",
                f"A job template accepts {LONGEST_VALUE:,} at most: leave --job-template out.",
            )
    return found | {SUBMISSION: _submission_argument(settings)}


def _job_template(settings: Settings, name: str, what: Request, values: Mapping[str, str]) -> Request:
    """The request that creates the job template `name`."""
    driver = what["jobDriver"]["sparkSubmitJobDriver"]
    if "${" in json.dumps({**what, "jobDriver": driver["sparkSubmitParameters"]}) + (
        settings.storage.endpoint_url or ""
    ):
        raise UsageError(
            "a setting has ${ in it, which a job template reads as a parameter", "Leave --job-template out."
        )
    if settings.emr.staging is None:
        raise UsageError(
            "a job template is for many outputs, but its pod templates would be stored in this one",
            "Give a place for them: --set emr.staging=s3://…",
        )
    # Without defaults, which would make it a different template for each run.
    data: Request = {**what, "parameterConfiguration": {parameter: {"type": "STRING"} for parameter in values}}
    if settings.emr.tags:
        data["jobTags"] = dict(settings.emr.tags)
    found: Request = {"name": name, "jobTemplateData": data}
    return found | {"clientToken": _token(found)}


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
    """What a person should know of the given settings that EMR treats differently or ignores."""
    yield from reach.doubts(settings)
    if settings.emr.s3_logs is None and settings.emr.log_group is None:
        yield "The pods' logs are deleted with the pods: --s3-logs or --log-group keeps them."
    given = {".".join(path) for path in sources.file_layer(sources.changed(settings), "").values}
    if unused := [key for key in NOT_USED if key in given]:
        yield (
            f"Not used: {', '.join(unused)}. EMR has the virtual cluster's namespace, its own accounts for the role, "
            "and emr.retries."
        )
    if settings.kubernetes.deadline_seconds is not None:
        yield (
            "kubernetes.deadline_seconds limits each attempt of the driver, not all of them together: EMR has no limit "
            "on a job run."
        )
    if settings.kubernetes.local_directory.storage_class is not None:
        yield (
            "Executors claim volumes (kubernetes.local_directory.storage_class), which the Role emr-containers of the "
            "namespace does not allow by default: docs/emr.md says what to add."
        )
    spec = pod_template(settings, "driver")["spec"]
    accepted = submitters_tolerations(spec).values()
    left_out = [each for each in spec.get("tolerations") or () if not any(each is one for one in accepted)]
    lacking = [f"toleration of {toleration.get('key', 'all taints')}" for toleration in left_out]
    lacking += [f"selector {key} without a value" for key, value in selectors(spec).items() if not value.strip()]
    lacking += [key for key in ("affinity", "nodeName") if spec.get(key)]
    if lacking:
        yield (
            f"The pod that submits the job can't be given the driver's {', '.join(lacking)}: EMR gives it node "
            "selectors, and for each key one toleration with value and effect. If no other node fits, it stays pending "
            "forever."
        )
