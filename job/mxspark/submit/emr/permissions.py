"""What the execution role must be allowed to do for a job, checked by IAM's simulation."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from mxspark.dataset.manifest import is_manifest
from mxspark.doctor import Finding
from mxspark.errors import MxsparkError
from mxspark.settings.job import Settings
from mxspark.storage import is_s3, join, parent, split_s3
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.start_job_run import STAGING
from mxspark.text import globs

SUBJECT = "role's permissions"
LIST = "s3:ListBucket"
READ = ("s3:GetObject", LIST)
WRITE = (*READ, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
LOGS = ("logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:CreateLogStream", "logs:PutLogEvents")
Need = tuple[
    str, tuple[str, ...], str | None
]  # what the job does in words, by which actions, and an object of the place


class Right(NamedTuple):
    """A permission that the role needs."""

    words: str
    action: str
    resource: str  # an ARN
    prefix: str | None = None  # what is listed, which policies often restrict

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


def wanted(settings: Settings, partition: str, logs_of: str) -> list[Right]:
    """All that the job's role needs; `logs_of` is what ARNs of log groups begin with."""
    found = []
    for words, actions, place in _needs(settings):
        if place is None or not is_s3(place):
            continue
        bucket, key = split_s3(place)
        arn, folder = f"arn:{partition}:s3:::{bucket}", key[: key.rfind("/") + 1]
        found += [
            Right(words, action, arn, folder) if action == LIST else Right(words, action, f"{arn}/{key}")
            for action in actions
        ]
    if settings.emr.log_group is not None:
        group = f"{logs_of}:log-group:{settings.emr.log_group}:*"
        # AWS asks whether all groups may be described by an ARN without a name, which policies for logs alone allow.
        groups = f"{logs_of}:log-group::log-stream:"
        found += [Right("write logs to CloudWatch", action, groups if action == LOGS[0] else group) for action in LOGS]
    return found


def _needs(settings: Settings) -> Iterator[Need]:
    source, model, output, logs = settings.input, settings.model, settings.output, settings.emr.s3_logs
    for path in source.paths:
        if is_manifest(path):
            yield "read the manifest", READ[:1], path
            yield "read the images", READ[:1], join(source.base or parent(path), "x")
        else:
            start = globs.literal_start(path).rpartition("/")[0] if globs.is_glob(path) else path
            yield "read the images", READ, join(start, "x")
    yield "read the model", READ, model.path and join(model.path, "x")
    yield from (("read the model", READ[:1], place) for place in (model.symbol, model.params, model.labels))
    yield "write the predictions", WRITE, join(output.path, "x")
    yield "write the predictions", WRITE, output.text_object
    yield "read what a submission puts into S3", READ[:1], join(settings.emr.staging or join(output.path, STAGING), "x")
    yield "write logs to S3", (*READ, "s3:PutObject"), logs and join(logs, "x")


def examine(aws: Aws, settings: Settings, arn: str) -> Iterator[Finding]:
    """A finding for each thing that the role may not do, or one that it may do everything."""
    partition, account = arn.split(":")[1], arn.split(":")[4]
    rights = wanted(settings, partition, f"arn:{partition}:logs:{aws.region}:{account}")
    lacking: dict[tuple[str, bool], dict[str, None]] = {}  # by what it may not do, and whether that is unknown
    for right in rights:
        try:
            results = simulated(aws, arn, right)
        except MxsparkError as error:
            yield Finding(SUBJECT, "can't tell", error.problem, "Ask somebody who has iam:SimulatePrincipalPolicy.")
            return
        for result in results:
            if result.get("EvalDecision") != "allowed":
                missing = ", ".join(result.get("MissingContextValues") or ())
                by = f", by a condition on {missing}" if missing else ""
                lacking.setdefault((right.words, bool(missing)), {})[f"{right}{by}"] = None
    for (words, is_unknown), names in lacking.items():
        if is_unknown:
            text = f"whether it may {words} depends on what is unknown here: {'; '.join(names)}"
            yield Finding(SUBJECT, "can't tell", text, "Check the role's policies.")
        else:
            yield Finding(SUBJECT, "problem", f"it may not {words}: {'; '.join(names)}", "docs/emr.md has the policy.")
    if not lacking:
        tried = ", ".join(dict.fromkeys(right.words for right in rights))
        text = f"it may {tried} (by its own policies; those of buckets, of keys and of the organisation aren't checked)"
        yield Finding(SUBJECT, "ok" if rights else "can't tell", text if rights else "no places are given")


def simulated(aws: Aws, arn: str, right: Right) -> list[dict[str, Any]]:
    """IAM's evaluation of a right."""
    context = []
    if right.prefix is not None:
        context = [{"ContextKeyName": "s3:prefix", "ContextKeyValues": [right.prefix], "ContextKeyType": "string"}]
    what = {"ActionNames": [right.action], "ResourceArns": [right.resource], "ContextEntries": context}
    doing = "checking the role's permissions"
    answer = aws.call("iam", "simulate_principal_policy", doing, PolicySourceArn=arn, **what)
    return list(answer.get("EvaluationResults", ()))
