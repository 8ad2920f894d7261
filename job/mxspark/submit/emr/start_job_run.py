"""What EMR on EKS is asked for: the request that starts a job run, the job template, and the objects in S3 that they name.

Only builds them, from settings alone. The limits are those of AWS's model of the API and of its guide's page on pod templates.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mxspark.errors import UsageError
from mxspark.settings import document, sources
from mxspark.settings.emr import LONGEST_VALUE, NAME
from mxspark.settings.job import Settings
from mxspark.spark.pods import MASTER
from mxspark.storage import is_s3
from mxspark.submit import reach
from mxspark.submit.emr import arguments, job_templates, properties, staging
from mxspark.submit.emr.arguments import is_argument
from mxspark.submit.emr.pod_templates import CONTAINERS, pod_template
from mxspark.submit.emr.properties import DRIVER_TEMPLATE, EXECUTOR_TEMPLATE, is_emrs_own, selectors, submitters_tolerations
from mxspark.submit.emr.request import Request, token

ENTRY_POINT = "local:///opt/mxspark/infer_main.py"
OF_IMAGES = {f"spark.kubernetes.{role}container.image" for role in ("", "driver.", "executor.")}
# Other ways of starting have them; EMR has the virtual cluster's namespace, accounts that it makes for the role, and its own retries.
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
    reach.check(settings)
    kubernetes, emr = settings.kubernetes, settings.emr
    if kubernetes.image is None:
        raise UsageError("no image is given: kubernetes.image is not set", "Name the image, made by `make image TARGET=emr`: --image NAME.")
    if emr.execution_role is None:
        raise UsageError("no role is given: emr.execution_role is not set", "Name the role that the job runs as: --execution-role ARN.")
    if emr.staging is None and not is_s3(settings.output.path):
        raise UsageError(
            f"output.path is {settings.output.path!r}, and EMR reads pod templates from S3 only", "Give s3://bucket/prefix, or emr.staging."
        )
    if emr.staging is None and not (is_argument(settings.output.path) and len(settings.output.path) < LONGEST_VALUE // 2):
        raise UsageError(
            "output.path is longer than a Spark property may be at AWS, or has what can't be printed", "Give emr.staging another place."
        )
    staging.check(settings)
    if settings.output.submission and not arguments.is_submission(settings.output.submission):
        raise UsageError(f"output.submission is {settings.output.submission!r}", "Take a name on one line, of what can be printed.")
    if images := sorted(OF_IMAGES & settings.spark.conf.keys()):
        raise UsageError(f"spark.conf has {', '.join(images)}", "Name the image, one for all pods, by kubernetes.image: --image NAME.")
    if taken := sorted(key for key in settings.spark.conf if is_emrs_own(key)):
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
    objects = {staging.staged(settings, file, content): content for file, content in templates.items()}
    driver_template, executor_template = objects
    files = {DRIVER_TEMPLATE: driver_template, EXECUTOR_TEMPLATE: executor_template}
    words, settings_object = arguments.arguments(settings, is_template=job_template is not None)
    parameters, defaults = properties.split(properties.spark_properties(settings) | files)
    overrides: Request = {"applicationConfiguration": properties.classifications(settings, defaults)}
    if monitoring := _monitoring(settings):
        overrides["monitoringConfiguration"] = monitoring
    driver = {"sparkSubmitJobDriver": {"entryPoint": ENTRY_POINT, "entryPointArguments": words, "sparkSubmitParameters": parameters}}
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
        template = job_templates.request(settings, job_template, what)
        request |= {"jobTemplateParameters": job_templates.values(settings)}
    request |= {"retryPolicyConfiguration": {"maxAttempts": settings.emr.retries + 1}}
    if settings.emr.tags:
        request |= {"tags": dict(settings.emr.tags)}
    request["clientToken"] = token(request | ({"template": template} if template else {}))
    return Submission(request, objects | settings_object, template)


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
    yield from reach.doubts(settings)
    if settings.emr.s3_logs is None and settings.emr.log_group is None:
        yield "The pods' logs go with the pods: --s3-logs or --log-group keeps them."
    given = {".".join(path) for path in sources.file_layer(sources.changed(settings), "").values}
    if unused := [key for key in NOT_USED if key in given]:
        yield f"Not used: {', '.join(unused)}. EMR has the virtual cluster's namespace, accounts made for the role, and emr.retries."
    if settings.kubernetes.deadline_seconds is not None:
        yield "kubernetes.deadline_seconds limits each start of the driver, not all of them together: EMR has no limit on a job run."
    if settings.kubernetes.local_directory.storage_class is not None:
        yield (
            "Executors claim volumes (kubernetes.local_directory.storage_class), which the Role emr-containers of the namespace does not "
            "allow as EMR makes it: docs/emr.md says what to add."
        )
    spec = pod_template(settings, "driver")["spec"]
    said = submitters_tolerations(spec).values()
    unsaid = [toleration for toleration in spec.get("tolerations") or () if not any(toleration is one for one in said)]
    lacking = [f"toleration of {toleration.get('key', 'all taints')}" for toleration in unsaid]
    lacking += [f"selector {key} without a value" for key, value in selectors(spec).items() if not value.strip()]
    lacking += [key for key in ("affinity", "nodeName") if spec.get(key)]
    if lacking:
        yield (
            f"The pod that submits the job can't be given the driver's {', '.join(lacking)}: EMR gives it node selectors, and for each key "
            "one toleration with value and effect. Where it finds no other node it waits for ever."
        )
