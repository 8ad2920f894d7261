"""What the execution role must be allowed to do for a job, checked by IAM's simulation."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from mxspark.dataset.manifest import is_manifest
from mxspark.doctor import UnknownError
from mxspark.errors import UsageError
from mxspark.settings.job import Settings
from mxspark.storage import is_s3, join, parent, split_s3
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.start_job_run import STAGING
from mxspark.text import globs

LIST = "s3:ListBucket"
READ = ("s3:GetObject",)
PUT = (*READ, "s3:PutObject")
WRITE = (*PUT, "s3:DeleteObject", "s3:AbortMultipartUpload")
LOGS = ("logs:DescribeLogStreams", "logs:CreateLogStream", "logs:PutLogEvents")


class Need(NamedTuple):
    """What the job does, in words, and by which actions on what."""

    words: str
    actions: tuple[str, ...]
    resource: str  # an ARN
    prefix: str | None = None  # what is listed, which policies often restrict


def needs(settings: Settings, partition: str, logs_of: str) -> Iterator[Need]:
    """All that the job's role needs; `logs_of` is what ARNs of log groups begin with."""
    for words, actions, place in _of_places(settings):
        if place is not None and is_s3(place):
            bucket, key = split_s3(place)
            arn = f"arn:{partition}:s3:::{bucket}"
            yield Need(words, tuple(action for action in actions if action != LIST), f"{arn}/{key}")
            if LIST in actions:
                yield Need(words, (LIST,), arn, key[: key.rfind("/") + 1])
    if settings.emr.log_group is not None:
        yield Need("write logs to CloudWatch", ("logs:DescribeLogGroups",), "*")
        yield Need("write logs to CloudWatch", LOGS, f"{logs_of}:log-group:{settings.emr.log_group}:*")


def _of_places(settings: Settings) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """What the job does in words, by which actions, and an object of the place."""
    source, model, output, logs = settings.input, settings.model, settings.output, settings.emr.s3_logs
    for path in source.paths:
        if is_manifest(path):
            yield "read the manifest", READ, path
            yield "read the images", READ, join(source.base or parent(path), "x")
        else:
            start = globs.literal_start(path).rpartition("/")[0] if globs.is_glob(path) else path
            yield "read the images", (*READ, LIST), join(start, "x")
    yield "read the model", (*READ, LIST), model.path and join(model.path, "x")
    yield from (("read the model", READ, place) for place in (model.symbol, model.params, model.labels))
    yield "write the predictions", (*WRITE, LIST), join(output.path, "x")
    yield "write the predictions", (*WRITE, LIST), output.text_object
    yield "read what a submission puts into S3", READ, join(settings.emr.staging or join(output.path, STAGING), "x")
    yield "write logs to S3", (*PUT, LIST), logs and join(logs, "x")


def check(aws: Aws, settings: Settings, role: str) -> str:
    """What the role with this ARN may do. Raises UsageError for what it may not, UnknownError for what depends on
    more than its policies.
    """
    partition, account = role.split(":")[1], role.split(":")[4]
    wanted = list(needs(settings, partition, f"arn:{partition}:logs:{aws.region}:{account}"))
    lacking, unknown = [], []
    for need in wanted:
        for result in simulated(aws, role, need):
            what = f"{need.words}: {result['EvalActionName']} on {need.resource}"
            if missing := ", ".join(result.get("MissingContextValues") or ()):
                unknown.append(f"{what}, by a condition on {missing}")
            elif result["EvalDecision"] != "allowed":
                lacking.append(what)
    if lacking:
        raise UsageError(f"it may not {'; '.join(dict.fromkeys(lacking))}", "docs/emr.md has the policy.")
    if unknown:
        raise UnknownError(f"depends on what is unknown here: {'; '.join(unknown)}", "Check the role's policies.")
    words = ", ".join(dict.fromkeys(need.words for need in wanted))
    return f"it may {words} (by its own policies; those of buckets, of keys and of the organisation aren't checked)"


def simulated(aws: Aws, role: str, need: Need) -> list[dict[str, Any]]:
    """IAM's evaluation of each action."""
    what: dict[str, Any] = {"ActionNames": list(need.actions), "ResourceArns": [need.resource]}
    if need.prefix is not None:
        entry = {"ContextKeyName": "s3:prefix", "ContextKeyValues": [need.prefix], "ContextKeyType": "string"}
        what["ContextEntries"] = [entry]
    doing = "checking the role's permissions"
    answer = aws.call("iam", "simulate_principal_policy", doing, PolicySourceArn=role, **what)
    return list(answer["EvaluationResults"])
