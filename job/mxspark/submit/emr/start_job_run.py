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
from mxspark.submit.emr.properties import DRIVER_TEMPLATE, EXECUTOR_TEMPLATE, is_emrs_own, is_one_line

Request = dict[str, Any]  # in the names of AWS's API

ENTRY_POINT = "local:///opt/mxspark/infer_main.py"
STAGING = "_submissions"  # in the output: readers of tables and --overwrite ignore it
# Spark parses a pod template's place as an address (java.net.URI, then Hadoop's Path): it rejects these, cuts at ? and
# #, and reads % and doubled slashes as something else.
NO_ADDRESS = re.compile(r"""[\s"#%<>?\[\\\]^`{|}]|//|/\.{1,2}(?=/|$)""")
# A job template's parameters: what differs from one run to the next. The settings whose place they are, and Submission.
PARAMETERS = {"Input": "input", "Output": "output", "Model": "model"}
OF_IMAGES = {f"spark.kubernetes.{role}container.image" for role in ("", "driver.", "executor.")}
# Settings of other ways of starting; EMR has the virtual cluster's namespace, accounts that it creates for the role,
# and its own retries.
NOT_USED = (
    "spark.master", "kubernetes.namespace", "kubernetes.service_account", "kubernetes.executor_service_account",
    "kubernetes.driver_service", "kubernetes.network_policies", "kubernetes.ingress_rules", "kubernetes.restarts",
    "kubernetes.keep_seconds", "kubernetes.suspend",
)  # fmt: skip


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


def check_needed(settings: Settings) -> None:
    """Raises UsageError if something is not given that every job run has."""
    emr = settings.emr
    for what, key, value, hint in (
        ("image", "kubernetes.image", settings.kubernetes.image, "made by `make image TARGET=emr`: --image NAME."),
        ("role", "emr.execution_role", emr.execution_role, "that the job runs as: --execution-role ARN."),
        (
            "virtual cluster", "emr.virtual_cluster", emr.virtual_cluster,
            "by its id or name: --virtual-cluster; `aws emr-containers list-virtual-clusters` lists them.",
        ),
    ):  # fmt: skip
        if value is None:
            raise UsageError(f"no {what} is given: {key} is not set", f"Name the {what}, {hint}")


def completed(settings: Settings, name: str, submission: str) -> Settings:
    """The settings with what depends on the submission, checked as for a cluster. Raises UsageError."""
    reach.check(settings)
    check_needed(settings)
    _check_staging(settings)
    chosen = settings.output.submission
    if chosen and (not is_one_line(chosen) or chosen == "null"):  # which a flag would read as none
        raise UsageError(f"output.submission is {chosen!r}", "Use one line of printable characters.")
    conf = settings.spark.conf.keys()
    if taken := sorted({*filter(is_emrs_own, conf), *(OF_IMAGES & conf)}):
        hint = "Take it out. The image of all pods is kubernetes.image: --image NAME."
        raise UsageError(f"spark.conf has {', '.join(taken)}, which EMR sets itself or mxspark does", hint)
    found = settings.model_dump()
    found["spark"] |= {"master": MASTER, "app_name": name}
    found["output"] |= {"submission": chosen or submission}
    return document.parse(Settings, found, "settings")  # parsed again, so that the checks for a cluster run


def _check_staging(settings: Settings) -> None:
    """Raises UsageError if EMR and Spark would not find what a submission puts into S3."""
    chosen = settings.emr.staging
    key, place = ("output.path", settings.output.path) if chosen is None else ("emr.staging", chosen)
    hint = "Give pod templates another place: --set emr.staging=s3://bucket/prefix."
    if not is_s3(place):
        raise UsageError(f"{key} is {place!r}, and EMR reads pod templates from S3 only", hint)
    if found := NO_ADDRESS.search(place.removeprefix("s3://").rstrip("/")):
        raise UsageError(f"{key} is {place!r}: Spark finds no pod templates in a place with {found[0]!r}", hint)


def build(settings: Settings, name: str, virtual_cluster: str, job_template: str | None = None) -> Submission:
    """What starts a job run called `name` with `completed` settings. With `job_template`, the template's id must be
    filled in.

    The same settings give the same request, with the same token: AWS starts no second job run for it.
    """
    contents = {"settings.yaml": driver_settings(settings, is_template=job_template is not None)}
    contents |= {f"{role}.yaml": pod_template(settings, role) for role in CONTAINERS}
    files = {file: document.to_yaml(content).encode() for file, content in contents.items()}
    # One folder for each content, so that nothing is ever replaced under a running job.
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
    folder = join(settings.emr.staging or join(settings.output.path, STAGING), digest)
    objects = {join(folder, file): content for file, content in files.items()}
    request: Request = {
        "name": name,
        "virtualClusterId": virtual_cluster,
        "retryPolicyConfiguration": {"maxAttempts": settings.emr.retries + 1},
    }
    if settings.emr.tags:
        request["tags"] = dict(settings.emr.tags)
    if job_template is None:
        request |= _what(settings, folder, {})
        return Submission(request | _token(request), objects)
    request["jobTemplateParameters"] = values = _template_values(settings)
    template = _job_template(settings, job_template, _what(settings, folder, values), values)
    return Submission(request | _token({**request, "template": template}), objects, template)


def _token(request: Mapping[str, Any]) -> Request:
    """By which AWS recognises a request, and starts one job run for each: 64 characters, the most that are allowed."""
    return {"clientToken": hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()}


def _what(settings: Settings, folder: str, values: Mapping[str, str]) -> Request:
    """What is the same for all runs of a job template, whose parameters have `values`. `folder` has the submission's
    objects.
    """
    templates = {DRIVER_TEMPLATE: join(folder, "driver.yaml"), EXECUTOR_TEMPLATE: join(folder, "executor.yaml")}
    parameters, defaults = properties.split(properties.spark_properties(settings) | templates)
    return {
        "executionRoleArn": settings.emr.execution_role,
        "releaseLabel": settings.emr.release,
        "jobDriver": {
            "sparkSubmitJobDriver": {
                "entryPoint": ENTRY_POINT,
                "entryPointArguments": _arguments(settings, join(folder, "settings.yaml"), values),
                "sparkSubmitParameters": parameters,
            }
        },
        "configurationOverrides": {
            "applicationConfiguration": properties.classifications(settings, defaults),
            "monitoringConfiguration": _monitoring(settings),
        },
    }


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
    for section in PARAMETERS.values() if is_template else ():
        found.get(section, {}).pop("path", None)
    return found


def _arguments(settings: Settings, settings_object: str, values: Mapping[str, str]) -> list[str]:
    """Those of infer_main.py. The submission is the same for every attempt of a job run: only the first one
    overwrites an earlier run.
    """
    words = ["--settings", settings_object]
    if settings.storage.endpoint_url is not None:  # needed to read that object
        words += ["--endpoint-url", settings.storage.endpoint_url]
    for parameter, section in PARAMETERS.items():
        words += [f"--{section}", f"${{{parameter}}}"] if parameter in values else []
    return [*words, "--set", "${Submission}" if values else f"output.submission={settings.output.submission}", "--yes"]


def _template_values(settings: Settings) -> dict[str, str]:
    """One run's values for a job template's parameters."""
    if not isinstance(settings.input.path, str):
        raise UsageError("a job template's input is one place, but input.path has several", "Leave --job-template out.")
    places = {parameter: getattr(settings, section).path for parameter, section in PARAMETERS.items()}
    found = {parameter: place for parameter, place in places.items() if place is not None}  # a model of single files
    found["Submission"] = f"output.submission={settings.output.submission}"
    for parameter, value in found.items():
        if len(value) > LONGEST_VALUE or not is_one_line(value):
            raise UsageError(
                f"{parameter} of the job template has {len(value):,} characters, or unprintable ones",
                f"A job template accepts {LONGEST_VALUE:,} at most: leave --job-template out.",
            )
    return found


def _job_template(settings: Settings, name: str, what: Request, values: Mapping[str, str]) -> Request:
    """The request that creates the job template `name`."""
    driver = what["jobDriver"]["sparkSubmitJobDriver"]
    fixed = json.dumps({**what, "jobDriver": driver["sparkSubmitParameters"]})
    if "${" in f"{fixed}{settings.storage.endpoint_url}":
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
    return found | _token(found)


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
    if lacking := properties.submitters_place(settings)[1]:
        yield (
            f"The pod that submits the job can't be given the driver's {', '.join(lacking)}: EMR gives it node "
            "selectors, and for each key one toleration with value and effect. If no other node fits, it stays pending "
            "forever."
        )
