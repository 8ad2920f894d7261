"""What the execution role must be allowed to do for a job, checked by IAM's simulation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mxspark.dataset.manifest import is_manifest
from mxspark.doctor import Finding
from mxspark.errors import MxsparkError, PassingError
from mxspark.settings.job import Settings
from mxspark.storage import is_s3, join, parent, split_s3
from mxspark.submit.emr.aws import Aws, NotAllowedError
from mxspark.submit.emr.start_job_run import STAGING
from mxspark.text import globs

SUBJECT = "role's permissions"
LIST = "s3:ListBucket"
READ = ("s3:GetObject", LIST)
WRITE = (*READ, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
LOGS = ("logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:CreateLogStream", "logs:PutLogEvents")


@dataclass(frozen=True)
class Right:
    """A permission that the role needs."""

    words: str
    action: str
    resource: str  # an ARN
    prefix: str | None = None  # what is listed, which policies often restrict

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"

    @property
    def context(self) -> list[dict[str, Any]]:
        """What conditions may depend on, as IAM's simulation takes it."""
        if self.prefix is None:
            return []
        return [{"ContextKeyName": "s3:prefix", "ContextKeyValues": [self.prefix], "ContextKeyType": "string"}]


def wanted(settings: Settings, partition: str, logs_of: str) -> list[Right]:
    """All that the job's role needs; `logs_of` is what ARNs of log groups begin with."""
    found = [
        Right(
            words,
            action,
            f"arn:{partition}:s3:::{bucket}" + ("" if action == LIST else f"/{key}"),
            _listed(key) if action == LIST else None,
        )
        for words, actions, place in _places(settings)
        if place is not None and is_s3(place)
        for bucket, key in [split_s3(place)]
        for action in actions
    ]
    if settings.emr.log_group is not None:
        group = f"{logs_of}:log-group:{settings.emr.log_group}:*"
        found += [Right("write logs to CloudWatch", action, "*" if action == LOGS[0] else group) for action in LOGS]
    return found


def _listed(key: str) -> str:
    folder = key.rpartition("/")[0]
    return f"{folder}/" if folder else ""


def _places(settings: Settings) -> list[tuple[str, tuple[str, ...], str | None]]:
    """What the job does in words, by which actions, and an object of where it does it."""
    source, output = settings.input, settings.output
    model = [getattr(settings.model, part) for part in ("path", "symbol", "params", "labels")]
    staging = settings.emr.staging or (join(output.path, STAGING) if is_s3(output.path) else None)
    return [
        *(place for path in source.paths for place in _images(path, source.base)),
        ("read the model", READ, model[0] and join(model[0], "x")),
        *[("read the model", READ[:1], place) for place in model[1:]],
        ("write the predictions", WRITE, join(output.path, "x")),
        ("write the predictions", WRITE, output.text_object),
        ("read what a submission puts into S3", READ[:1], staging and join(staging, "x")),
        ("write logs to S3", (*READ, "s3:PutObject"), settings.emr.s3_logs and join(settings.emr.s3_logs, "x")),
    ]


def _images(path: str, base: str | None) -> list[tuple[str, tuple[str, ...], str | None]]:
    if is_manifest(path):
        return [("read the manifest", READ[:1], path), ("read the images", READ[:1], join(base or parent(path), "x"))]
    return [
        (
            "read the images",
            READ,
            join(globs.literal_start(path).rpartition("/")[0] if globs.is_glob(path) else path, "x"),
        )
    ]


def examine(aws: Aws, settings: Settings, arn: str) -> Iterator[Finding]:
    """A finding for each thing that the role may not do, or one that it may do everything."""
    partition, account = arn.split(":")[1], arn.split(":")[4]
    rights = wanted(settings, partition, f"arn:{partition}:logs:{aws.region}:{account}")
    denied: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for right in rights:
        try:
            results = _simulated(aws, arn, right)
        except MxsparkError as error:
            text = (
                error.problem
                if isinstance(error, (NotAllowedError, PassingError))
                else f"they can't be checked: {error.problem}"
            )
            yield Finding(SUBJECT, "can't tell", text, "Ask somebody who has iam:SimulatePrincipalPolicy.")
            return
        for result in results:
            if result.get("EvalDecision") != "allowed":
                missing = result.get("MissingContextValues")
                name = f"{right}, by a condition on {', '.join(missing)}" if missing else str(right)
                (unknown if missing else denied).setdefault(right.words, []).append(name)
    for words, lacking in denied.items():
        yield Finding(
            SUBJECT,
            "problem",
            f"it may not {words}: {'; '.join(dict.fromkeys(lacking))}",
            "docs/emr.md has the policy.",
        )
    for words, lacking in unknown.items():
        text = f"whether it may {words} depends on what is unknown here: {'; '.join(dict.fromkeys(lacking))}"
        yield Finding(SUBJECT, "can't tell", text, "Check the role's policies.")
    if not denied and not unknown:
        tried = ", ".join(dict.fromkeys(right.words for right in rights))
        text = f"it may {tried} (by its own policies; those of buckets, of keys and of the organisation aren't checked)"
        yield Finding(SUBJECT, "ok" if rights else "can't tell", text if rights else "no places are given", "")


def _simulated(aws: Aws, arn: str, right: Right) -> list[dict[str, Any]]:
    answer = aws.call(
        "iam",
        "simulate_principal_policy",
        "checking the role's permissions",
        PolicySourceArn=arn,
        ActionNames=[right.action],
        ResourceArns=[right.resource],
        ContextEntries=right.context,
    )
    return list(answer.get("EvaluationResults", ()))
