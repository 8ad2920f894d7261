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
    for words, actions, bucket, key in _of_places(settings):
        arn = f"arn:{partition}:s3:::{bucket}"
        yield Need(words, tuple(action for action in actions if action != LIST), f"{arn}/{key}")
        if LIST in actions:
            yield Need(words, (LIST,), arn, key[: key.rfind("/") + 1])
    if settings.emr.log_group is not None:
        # AWS asks whether all groups may be described by an ARN without a name, which policies for logs alone allow.
        yield Need("write logs to CloudWatch", ("logs:DescribeLogGroups",), f"{logs_of}:log-group::log-stream:")
        yield Need("write logs to CloudWatch", LOGS, f"{logs_of}:log-group:{settings.emr.log_group}:*")


def buckets(settings: Settings) -> dict[str, str]:
    """What the job does first with each bucket, in words."""
    return {bucket: words for words, _, bucket, _ in reversed(list(_of_places(settings)))}


def _of_places(settings: Settings) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """What the job does, in words and by which actions, in which bucket, and an object there."""
    source, model, output, emr = settings.input, settings.model, settings.output, settings.emr
    found: list[tuple[str, tuple[str, ...], str | None]] = []
    for path in source.paths:
        if is_manifest(path):
            found.append(("read the manifest", READ, path))
            found.append(("read the images", READ, join(source.base or parent(path), "x")))
        else:
            start = globs.literal_start(path).rpartition("/")[0] if globs.is_glob(path) else path
            found.append(("read the images", (*READ, LIST), join(start, "x")))
    found += [
        ("read the model", (*READ, LIST), model.path and join(model.path, "x")),
        *(("read the model", READ, place) for place in (model.symbol, model.params, model.labels)),
        ("write the predictions", (*WRITE, LIST), join(output.path, "x")),
        ("write the predictions", (*WRITE, LIST), output.text_object),
        ("read what a submission puts into S3", READ, join(emr.staging or join(output.path, STAGING), "x")),
        ("write logs to S3", (*PUT, LIST), emr.s3_logs and join(emr.s3_logs, "x")),
    ]
    yield from ((words, actions, *split_s3(place)) for words, actions, place in found if place and is_s3(place))


def check(aws: Aws, settings: Settings, role: str) -> str:
    """What the role with this ARN may do. Raises UsageError for what it may not, UnknownError for what depends on
    more than its policies.
    """
    partition, account = role.split(":")[1], role.split(":")[4]
    wanted = list(needs(settings, partition, f"arn:{partition}:logs:{aws.region}:{account}"))
    if not wanted:
        raise UnknownError("no places are given")
    lacking, unknown = [], []
    for need in wanted:
        for result in simulated(aws, role, need):
            what = f"{need.words}: {result['EvalActionName']} on {need.resource}"
            if result["EvalDecision"] == "allowed":
                continue
            if missing := ", ".join(result.get("MissingContextValues") or ()):
                unknown.append(f"{what}, by a condition on {missing}")
            else:
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
