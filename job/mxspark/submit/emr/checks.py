"""Whether AWS has what a job run needs, checked before money is spent: a finding for each thing, with a hint."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mxspark.doctor import Finding
from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.settings.job import Settings
from mxspark.storage import Access, download, is_s3, split_s3
from mxspark.submit.emr import images, permissions, start_job_run, trust_policy, virtual_clusters
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.diagnosis import STATE_HINTS
from mxspark.submit.emr.images import ImageFacts
from mxspark.submit.emr.virtual_clusters import VirtualCluster

PROVIDER = "OIDC provider"
ANY_CLUSTER = "0" * 25  # stands for the virtual cluster's id


def examine(
    settings: Settings,
    connect: Callable[[], Aws],
    name: str,
    job_template: str | None = None,
    lacking: Sequence[str] = (),
) -> Iterator[Finding]:
    """Checks the request, credentials, clusters, role, image and places; changes nothing. Yields each finding as soon
    as it is known.

    `name` and `job_template` are a submission's; `lacking` are the settings that a job needs and that weren't given.
    """
    yield _request(settings, name, job_template, lacking)
    try:
        aws = connect()
        caller = aws.call("sts", "get_caller_identity", "checking whose credentials these are")
    except MxsparkError as error:
        yield Finding("credentials", "problem", error.problem, error.hint)
        return
    yield Finding("credentials", "ok", f"{caller['Arn']}, region {aws.region}")
    cluster, finding = _cluster(aws, settings)
    yield finding
    issuer = None
    if cluster is not None:
        issuer, finding = _eks_cluster(aws, cluster)
        yield finding
    yield from _image(aws, settings)
    yield from _role(aws, settings, cluster, issuer, str(caller["Account"]))
    yield from _buckets(aws, settings)
    yield from _logs(aws, settings)


def _request(settings: Settings, name: str, job_template: str | None, lacking: Sequence[str]) -> Finding:
    """Whether a submission would be refused before any request to AWS."""
    subject = "request"
    if lacking:
        return Finding(
            subject, "can't tell", f"not given: {', '.join(lacking)}", "Give the settings of the job itself, too."
        )
    try:
        completed = start_job_run.completed(settings, job_template or name, name)
        start_job_run.build(completed, name, ANY_CLUSTER, job_template)
    except UsageError as error:
        return Finding(subject, "problem", error.problem, error.hint)
    return Finding(subject, "ok", "AWS's rules allow it, as far as they are published")


def _not_known(subject: str, error: MxsparkError) -> Finding:
    """What may not be read, or not now, is not a problem of the job."""
    if isinstance(error, (NotAllowedError, PassingError)):
        return Finding(subject, "can't tell", error.problem, error.hint)
    return Finding(subject, "problem", error.problem, error.hint)


def _cluster(aws: Aws, settings: Settings) -> tuple[VirtualCluster | None, Finding]:
    subject = "virtual cluster"
    try:
        found = virtual_clusters.find(aws, settings.emr.virtual_cluster)
    except MxsparkError as error:
        return None, _not_known(subject, error)
    text = f"{found} is {found.state}: namespace {found.namespace} of the EKS cluster {found.eks_cluster}"
    if found.state != "RUNNING":
        return found, Finding(subject, "problem", text, STATE_HINTS.get(found.state, ""))
    return found, Finding(subject, "ok", text)


def _eks_cluster(aws: Aws, cluster: VirtualCluster) -> tuple[str | None, Finding]:
    """With its OIDC issuer, where that may be seen."""
    subject, name = "EKS cluster", cluster.eks_cluster
    try:
        found = aws.call("eks", "describe_cluster", f"reading the EKS cluster {name}", name=name)["cluster"]
    except NotThereError:
        text = f"there is no EKS cluster {name} in region {aws.region}: the virtual cluster {cluster} has outlived it"
        return None, Finding(subject, "problem", text, "Create a virtual cluster on an existing one (docs/emr.md).")
    except MxsparkError as error:
        return None, _not_known(subject, error)
    issuer = found.get("identity", {}).get("oidc", {}).get("issuer", "").removeprefix("https://")
    is_there = found.get("status") in ("ACTIVE", "UPDATING")
    return issuer or None, Finding(subject, "ok" if is_there else "problem", f"{name} is {found.get('status')}")


def _image(aws: Aws, settings: Settings) -> Iterator[Finding]:
    facts, finding = _read_image(aws, settings.kubernetes.image)
    yield finding
    wrong = list(images.troubles(settings, facts))
    for text, hint in wrong:
        yield Finding("release and GPUs", "problem", text, hint)
    release = settings.emr.release
    if not wrong and (facts is None or facts.release is None):
        yield Finding(
            "release and GPUs",
            "can't tell",
            f"the release that the image is based on is unknown; the job requests {release}",
        )
    elif not wrong:
        yield Finding("release and GPUs", "ok", f"{release}, as the image's base")


def _read_image(aws: Aws, image: str | None) -> tuple[ImageFacts | None, Finding]:
    subject = "image"
    if image is None:
        return None, Finding(
            subject, "problem", "none is given", "Name the image that `make image TARGET=emr` builds: --image NAME."
        )
    try:
        facts = images.read(aws, image, fetch)
    except UsageError as error:
        return None, Finding(subject, "can't tell", error.problem, "The nodes must be able to pull it.")
    except MxsparkError as error:
        return None, _not_known(subject, error)
    if facts is None:
        text = f"{image} is in ECR, but not labelled as mxspark's"
        return None, Finding(subject, "can't tell", text, "Build it by `make image TARGET=emr`.")
    return facts, Finding(subject, "ok", f"{image} is in ECR: {'the GPU' if facts.has_cuda else 'the CPU'} build")


def fetch(url: str) -> bytes:
    """The content of a small file at an address."""
    target = io.BytesIO()
    download(url, Access(), target)
    return target.getvalue()


# --- The execution role


def _role(
    aws: Aws, settings: Settings, cluster: VirtualCluster | None, issuer: str | None, account: str
) -> Iterator[Finding]:
    role, finding = _find_role(aws, settings.emr.execution_role, account)
    yield finding
    if role is None:
        for subject in (trust_policy.SUBJECT, PROVIDER, permissions.SUBJECT):
            yield Finding(subject, "can't tell", "the execution role could not be read")
        return
    arn = role["Arn"]
    provider = f"{arn.rpartition(':role/')[0]}:oidc-provider/{issuer}" if issuer else None
    policy = role.get("AssumeRolePolicyDocument")
    if cluster is None:
        yield Finding(trust_policy.SUBJECT, "can't tell", "without the virtual cluster its namespace is unknown")
    else:
        yield trust_policy.judge(arn, policy, cluster, provider)
    yield _provider(aws, policy, cluster, provider)
    yield from permissions.examine(aws, settings, arn)


def _find_role(aws: Aws, arn: str | None, account: str) -> tuple[dict[str, Any] | None, Finding]:
    subject = "execution role"
    if arn is None:
        return None, Finding(
            subject, "problem", "none is given", "Name the role that the job runs as: --execution-role ARN."
        )
    name = arn.rpartition("/")[2]
    if arn.split(":")[4] != account:
        text = f"{arn} is a role of account {arn.split(':')[4]}, and these credentials are of {account}"
        return None, Finding(
            subject, "can't tell", text, "It must be of the EKS cluster's account. Log in there to check it."
        )
    try:
        role: dict[str, Any] = aws.call("iam", "get_role", f"reading the role {name}", RoleName=name)["Role"]
    except NotThereError as error:
        return None, Finding(
            subject, "problem", error.problem, "Check --execution-role; `aws iam list-roles` lists them."
        )
    except MxsparkError as error:
        return None, _not_known(subject, error)
    if role["Arn"] != arn:
        text = f"the role {name} of this account is {role['Arn']}, not {arn}"
        return None, Finding(subject, "problem", text, "Correct --execution-role: account and path are part of it.")
    return role, Finding(subject, "ok", arn)


def _provider(aws: Aws, policy: Any, cluster: VirtualCluster | None, provider: str | None) -> Finding:
    """Whether IAM has the EKS cluster's OIDC provider, which it needs to accept pods' web identities. The trust policy
    may name one that doesn't exist.
    """
    if cluster is None or provider is None:
        return Finding(PROVIDER, "can't tell", "the EKS cluster could not be read")
    hint = f"eksctl utils associate-iam-oidc-provider --cluster {cluster.eks_cluster} --approve"
    try:
        found = aws.call(
            "iam", "get_open_id_connect_provider", f"looking for {provider}", OpenIDConnectProviderArn=provider
        )
    except NotThereError:
        if trust_policy.trusts_pod_identity(policy):
            return Finding(
                PROVIDER, "can't tell", "IAM has none, and EKS's pod identity, which the role trusts, needs none"
            )
        return Finding(PROVIDER, "problem", f"IAM has no {provider}: no pod of the EKS cluster can assume a role", hint)
    except MxsparkError as error:
        return _not_known(PROVIDER, error)
    if trust_policy.AUDIENCE not in found.get("ClientIDList", ()):
        return Finding(
            PROVIDER,
            "problem",
            f"{provider} does not accept the audience {trust_policy.AUDIENCE}, which EMR's pods use",
            hint,
        )
    return Finding(PROVIDER, "ok", provider)


# --- Buckets and logs


def _buckets(aws: Aws, settings: Settings) -> Iterator[Finding]:
    model = settings.model
    places = {
        "input": (*settings.input.paths, settings.input.base),
        "model": (model.path, model.symbol, model.params, model.labels),
        "output": (settings.output.path, settings.output.text_object),
    }
    for what, given in places.items():
        for bucket in dict.fromkeys(split_s3(place)[0] for place in given if place is not None and is_s3(place)):
            yield _bucket(aws, what, bucket, f"--{what}")


def _bucket(aws: Aws, subject: str, bucket: str, flag: str) -> Finding:
    try:
        aws.call("s3", "head_bucket", f"reading the bucket {bucket}", Bucket=bucket)
    except NotThereError:
        return Finding(subject, "problem", f"there is no bucket {bucket}", f"Create it, or correct {flag}.")
    except MxsparkError as error:
        return _not_known(subject, error)
    return Finding(subject, "ok", f"the bucket {bucket} exists")


def _logs(aws: Aws, settings: Settings) -> Iterator[Finding]:
    chosen = settings.emr
    if chosen.s3_logs is None and chosen.log_group is None:
        yield Finding(
            "logs",
            "problem",
            "they are deleted with the pods",
            "Keep them: --s3-logs s3://bucket/prefix, or --log-group NAME.",
        )
    if chosen.s3_logs is not None:
        yield _bucket(aws, "logs in S3", split_s3(chosen.s3_logs)[0], "--s3-logs")
    if chosen.log_group is not None:
        yield _log_group(aws, chosen.log_group)


def _log_group(aws: Aws, name: str) -> Finding:
    subject = "logs in CloudWatch"
    try:
        groups = aws.pages(
            "logs", "describe_log_groups", "logGroups", f"looking for log group {name}", logGroupNamePrefix=name
        )
        if any(group["logGroupName"] == name for group in groups):
            return Finding(subject, "ok", f"the log group {name} exists")
    except MxsparkError as error:
        return _not_known(subject, error)
    return Finding(
        subject, "problem", f"there is no log group {name}", f"aws logs create-log-group --log-group-name {name}"
    )
