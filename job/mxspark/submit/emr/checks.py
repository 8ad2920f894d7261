"""Whether AWS has what a job run needs, checked before money is spent: a finding for each thing, with a hint."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from mxspark.doctor import Finding
from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.settings.job import Settings
from mxspark.storage import is_s3, split_s3
from mxspark.submit.emr import images, permissions, start_job_run, trust_policy, virtual_clusters
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.diagnosis import STATE_HINTS
from mxspark.submit.emr.virtual_clusters import VirtualCluster

ANY_CLUSTER = "0" * 25  # stands for the virtual cluster's id


class UnknownError(MxsparkError):
    """It can't be told whether something is well."""


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
    yield finding("request", partial(_request, settings, name, job_template, lacking))
    try:
        aws = connect()
        caller = aws.call("sts", "get_caller_identity", "checking whose credentials these are")
    except MxsparkError as error:
        yield Finding("credentials", "problem", error.problem, error.hint)
        return
    yield Finding("credentials", "ok", f"{caller['Arn']}, region {aws.region}")
    found = _Examination(aws, settings, str(caller["Account"]))
    yield finding("virtual cluster", found.virtual_cluster)
    yield finding("EKS cluster", found.eks_cluster)
    yield finding("image", found.image)
    yield finding("release and GPUs", found.release)
    yield finding("execution role", found.execution_role)
    yield from found.trust()
    yield from _places(aws, settings)


def finding(subject: str, check: Callable[[], str]) -> Finding:
    """What a check returns is well, and what it raises isn't; what may not be read, or not now, can't be told."""
    try:
        return Finding(subject, "ok", check())
    except (NotAllowedError, PassingError, UnknownError) as error:
        return Finding(subject, "can't tell", error.problem, error.hint)
    except MxsparkError as error:
        return Finding(subject, "problem", error.problem, error.hint)


def _request(settings: Settings, name: str, job_template: str | None, lacking: Sequence[str]) -> str:
    """Whether a submission would be refused before any request to AWS."""
    if lacking:
        raise UnknownError(f"not given: {', '.join(lacking)}", "Give the settings of the job itself, too.")
    completed = start_job_run.completed(settings, job_template or name, name)
    start_job_run.build(completed, name, ANY_CLUSTER, job_template)
    return "AWS's rules allow it, as far as they are published"


class _Examination:
    """What is found on the way; each check returns what is well, and raises what isn't."""

    def __init__(self, aws: Aws, settings: Settings, account: str) -> None:
        self._aws = aws
        self._settings = settings
        self._account = account  # of the credentials
        self._cluster: VirtualCluster | None = None
        self._issuer = ""  # of the EKS cluster's web identities
        self._facts: images.ImageFacts | None = None
        self._role: dict[str, Any] | None = None

    def virtual_cluster(self) -> str:
        self._cluster = found = virtual_clusters.find(self._aws, self._settings.emr.virtual_cluster)
        text = f"{found} is {found.state}: namespace {found.namespace} of the EKS cluster {found.eks_cluster}"
        if found.state != "RUNNING":
            raise UsageError(text, STATE_HINTS.get(found.state, ""))
        return text

    def eks_cluster(self) -> str:
        if self._cluster is None:
            raise UnknownError("without the virtual cluster it is unknown")
        found = eks_cluster(self._aws, self._cluster)
        self._issuer = found.get("identity", {}).get("oidc", {}).get("issuer", "").removeprefix("https://")
        text = f"{self._cluster.eks_cluster} is {found.get('status')}"
        if found.get("status") not in ("ACTIVE", "UPDATING"):
            raise UsageError(text)
        return text

    def image(self) -> str:
        image = self._settings.kubernetes.image
        if image is None:
            raise UsageError("none is given", "Name the image that `make image TARGET=emr` builds: --image NAME.")
        if not images.IN_ECR.fullmatch(image):
            raise UnknownError(f"{image} is not in ECR, and can't be checked", "The nodes must be able to pull it.")
        self._facts = images.read(self._aws, image)
        if self._facts is None:
            raise UnknownError(
                f"{image} is in ECR, but not labelled as mxspark's", "Build it by `make image TARGET=emr`."
            )
        return f"{image} is in ECR: {'the GPU' if self._facts.has_cuda else 'the CPU'} build"

    def release(self) -> str:
        release = self._settings.emr.release
        images.check(self._settings, self._facts)
        if self._facts is None or self._facts.release is None:
            raise UnknownError(f"the release that the image is based on is unknown; the job requests {release}")
        return f"{release}, as the image's base"

    def execution_role(self) -> str:
        arn, account = self._settings.emr.execution_role, self._account
        if arn is None:
            raise UsageError("none is given", "Name the role that the job runs as: --execution-role ARN.")
        name = arn.rpartition("/")[2]
        if arn.split(":")[4] != account:
            raise UnknownError(
                f"{arn} is a role of account {arn.split(':')[4]}, and these credentials are of {account}",
                "It must be of the EKS cluster's account. Log in there to check it.",
            )
        try:
            role = self._aws.call("iam", "get_role", f"reading the role {name}", RoleName=name)["Role"]
        except NotThereError as error:
            raise UsageError(error.problem, "Check --execution-role; `aws iam list-roles` lists them.") from None
        if role["Arn"] != arn:
            raise UsageError(
                f"the role {name} of this account is {role['Arn']}, not {arn}",
                "Correct --execution-role: account and path are part of it.",
            )
        self._role = role
        return arn

    def trust(self) -> Iterator[Finding]:
        """Of the role: who may assume it, the OIDC provider by which pods do, and what it may do."""
        if self._role is None:
            for subject in (trust_policy.SUBJECT, "OIDC provider", permissions.SUBJECT):
                yield Finding(subject, "can't tell", "the execution role could not be read")
            return
        arn, policy, cluster = self._role["Arn"], self._role.get("AssumeRolePolicyDocument"), self._cluster
        provider = f"{arn.rpartition(':role/')[0]}:oidc-provider/{self._issuer}" if self._issuer else None
        if cluster is None:
            yield Finding(trust_policy.SUBJECT, "can't tell", "without the virtual cluster its namespace is unknown")
        else:
            yield trust_policy.judge(arn, policy, cluster, provider)
        yield finding("OIDC provider", partial(oidc_provider, self._aws, policy, cluster, provider))
        yield from permissions.examine(self._aws, self._settings, arn)


def eks_cluster(aws: Aws, cluster: VirtualCluster) -> dict[str, Any]:
    """AWS's description of the EKS cluster. Raises MxsparkError."""
    name = cluster.eks_cluster
    try:
        return dict(aws.call("eks", "describe_cluster", f"reading the EKS cluster {name}", name=name)["cluster"])
    except NotThereError:
        raise UsageError(
            f"there is no EKS cluster {name} in region {aws.region}: the virtual cluster {cluster} has outlived it",
            "Create a virtual cluster on an existing one (docs/emr.md).",
        ) from None


def oidc_provider(aws: Aws, policy: Any, cluster: VirtualCluster | None, provider: str | None) -> str:
    """Whether IAM has the EKS cluster's OIDC provider, which it needs to accept pods' web identities. The trust policy
    may name one that doesn't exist.
    """
    if cluster is None or provider is None:
        raise UnknownError("the EKS cluster could not be read")
    hint, doing = (
        f"eksctl utils associate-iam-oidc-provider --cluster {cluster.eks_cluster} --approve",
        "looking for it",
    )
    try:
        found = aws.call("iam", "get_open_id_connect_provider", doing, OpenIDConnectProviderArn=provider)
    except NotThereError:
        if trust_policy.trusts_pod_identity(policy):
            raise UnknownError("IAM has none, and EKS's pod identity, which the role trusts, needs none") from None
        raise UsageError(f"IAM has no {provider}: no pod of the EKS cluster can assume a role", hint) from None
    if trust_policy.AUDIENCE not in found.get("ClientIDList", ()):
        text = f"{provider} does not accept the audience {trust_policy.AUDIENCE}, which EMR's pods use"
        raise UsageError(text, hint)
    return provider


def _places(aws: Aws, settings: Settings) -> Iterator[Finding]:
    """Whether buckets and the log group exist, and whether logs are kept."""
    model, emr = settings.model, settings.emr
    places = {
        ("input", "--input"): (*settings.input.paths, settings.input.base),
        ("model", "--model"): (model.path, model.symbol, model.params, model.labels),
        ("output", "--output"): (settings.output.path, settings.output.text_object),
        ("logs in S3", "--s3-logs"): (emr.s3_logs,),
    }
    for (subject, flag), given in places.items():
        for bucket in dict.fromkeys(split_s3(place)[0] for place in given if place is not None and is_s3(place)):
            yield finding(subject, partial(_bucket, aws, bucket, flag))
    if emr.log_group is not None:
        yield finding("logs in CloudWatch", partial(_log_group, aws, emr.log_group))
    elif emr.s3_logs is None:
        hint = "Keep them: --s3-logs s3://bucket/prefix, or --log-group NAME."
        yield Finding("logs", "problem", "they are deleted with the pods", hint)


def _bucket(aws: Aws, bucket: str, flag: str) -> str:
    try:
        aws.call("s3", "head_bucket", f"reading the bucket {bucket}", Bucket=bucket)
    except NotThereError:
        raise UsageError(f"there is no bucket {bucket}", f"Create it, or correct {flag}.") from None
    return f"the bucket {bucket} exists"


def _log_group(aws: Aws, name: str) -> str:
    doing = f"looking for log group {name}"
    groups = aws.pages("logs", "describe_log_groups", "logGroups", doing, logGroupNamePrefix=name)
    if not any(group["logGroupName"] == name for group in groups):
        raise UsageError(f"there is no log group {name}", f"aws logs create-log-group --log-group-name {name}")
    return f"the log group {name} exists"
