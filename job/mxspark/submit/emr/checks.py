"""Whether AWS has what a job run needs, checked before money is spent: a finding for each thing, with a hint."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from mxspark.doctor import Finding, UnknownError
from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.settings.job import Settings
from mxspark.submit.emr import images, permissions, start_job_run, trust_policy, virtual_clusters
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.virtual_clusters import VirtualCluster

ANY_CLUSTER = "0" * 25  # stands for the virtual cluster's id
Value = TypeVar("Value")


class Findings(list[Finding]):
    """What was found so far."""

    @contextmanager
    def about(self, subject: str) -> Iterator[Callable[[str], None]]:
        """What the block says last is well, and what it raises isn't; what may not be read, or not now, can't be
        told.
        """
        said: list[str] = []
        try:
            yield said.append
        except (NotAllowedError, PassingError, UnknownError) as error:
            self.append(Finding(subject, "can't tell", error.problem, error.hint))
        except MxsparkError as error:
            self.append(Finding(subject, "problem", error.problem, error.hint))
        else:
            self.append(Finding(subject, "ok", said[-1]))


def known(value: Value | None, what: str) -> Value:
    """A value without which something can't be checked."""
    if value is None:
        raise UnknownError(f"{what} is not known")
    return value


def examine(settings: Settings, name: str, job_template: str | None, lacking: Sequence[str]) -> list[Finding]:
    """Checks the request, credentials, clusters, image, role and places; changes nothing.

    `name` and `job_template` are a submission's; `lacking` are the settings that a job needs and that weren't given.
    """
    found = Findings()
    with found.about("request") as ok:
        start_job_run.check_needed(settings)
        if lacking:
            raise UnknownError(f"not given: {', '.join(lacking)}", "Give the settings of the job itself, too.")
        completed = start_job_run.completed(settings, job_template or name, name)
        start_job_run.build(completed, name, ANY_CLUSTER, job_template)
        ok("AWS's rules allow it, as far as they are published")
    try:
        aws = Aws.connect(settings.emr.region)
        caller = aws.call("sts", "get_caller_identity", "checking whose credentials these are")
    except MxsparkError as error:  # without them nothing can be told
        return [*found, Finding("credentials", "problem", error.problem, error.hint)]
    found.append(Finding("credentials", "ok", f"{caller['Arn']}, region {aws.region}"))
    cluster, issuer = look_at_clusters(found, aws, settings)
    look_at_image(found, aws, settings)
    role = _look_at_role(found, aws, settings.emr.execution_role)
    provider = f"{str(role['Arn']).rpartition(':role/')[0]}:oidc-provider/{issuer}" if role and issuer else None
    with found.about("trust policy") as ok:
        role, cluster = known(role, "the execution role"), known(cluster, "the virtual cluster")
        ok(trust_policy.check(role, cluster, known(provider, "the EKS cluster")))
    with found.about("OIDC provider") as ok:
        role, cluster = known(role, "the execution role"), known(cluster, "the virtual cluster")
        ok(oidc_provider(aws, role, cluster, known(provider, "the EKS cluster")))
    with found.about("role's permissions") as ok:
        ok(permissions.check(aws, settings, known(role, "the execution role")["Arn"]))
    _look_at_places(found, aws, settings)
    return found


def look_at_clusters(found: Findings, aws: Aws, settings: Settings) -> tuple[VirtualCluster | None, str | None]:
    """Returns the virtual cluster, and the issuer of its EKS cluster's web identities, where they are known."""
    cluster = issuer = None
    with found.about("virtual cluster") as ok:
        cluster = virtual_clusters.find(aws, known(settings.emr.virtual_cluster, "it"))
        virtual_clusters.check_running(cluster)
        ok(f"{cluster} is RUNNING: namespace {cluster.namespace} of the EKS cluster {cluster.eks_cluster}")
    with found.about("EKS cluster") as ok:
        name = known(cluster, "the virtual cluster").eks_cluster
        try:
            eks = aws.call("eks", "describe_cluster", f"reading the EKS cluster {name}", name=name)["cluster"]
        except NotThereError:
            hint = "The virtual cluster has outlived it: create another (docs/emr.md)."
            raise UsageError(f"there is no EKS cluster {name} in region {aws.region}", hint) from None
        issuer = str(eks["identity"]["oidc"]["issuer"]).removeprefix("https://")
        if eks["status"] not in ("ACTIVE", "UPDATING"):
            raise UsageError(f"{name} is {eks['status']}")
        ok(f"{name} is {eks['status']}")
    return cluster, issuer


def look_at_image(found: Findings, aws: Aws, settings: Settings) -> None:
    """Whether it is there, has the job's release as its base, and MXNet for the GPUs that the job wants."""
    with found.about("image") as ok:
        image = known(settings.kubernetes.image, "the image")
        if not images.IN_ECR.fullmatch(image):
            raise UnknownError(f"{image} is not in ECR, and can't be checked", "The nodes must be able to pull it.")
        facts = images.read(aws, image)
        images.check(settings, facts)
        if facts is None or facts.release is None:
            raise UnknownError(f"{image} has no labels of mxspark's, or names no release", "make image TARGET=emr")
        ok(f"{image} is in ECR: {'the GPU' if facts.has_cuda else 'the CPU'} build, based on {facts.release}")


def _look_at_role(found: Findings, aws: Aws, given: str | None) -> dict[str, Any] | None:
    """Returns IAM's description of the execution role, where the account has it."""
    with found.about("execution role") as ok:
        arn = known(given, "the role")
        name = arn.rpartition("/")[2]
        try:
            role: dict[str, Any] = aws.call("iam", "get_role", f"reading the role {name}", RoleName=name)["Role"]
        except NotThereError as error:
            raise UsageError(error.problem, "Check --execution-role; `aws iam list-roles` lists them.") from None
        if role["Arn"] != arn:
            hint = "Correct --execution-role: account and path are part of it."
            raise UsageError(f"the role {name} of this account is {role['Arn']}, not {arn}", hint)
        ok(arn)
        return role
    return None


def oidc_provider(aws: Aws, role: dict[str, Any], cluster: VirtualCluster, provider: str) -> str:
    """Whether IAM has the EKS cluster's OIDC provider, without which it accepts no web identity of a pod, even if the
    trust policy names it.
    """
    hint = f"eksctl utils associate-iam-oidc-provider --cluster {cluster.eks_cluster} --approve"
    try:
        found = aws.call("iam", "get_open_id_connect_provider", "looking for it", OpenIDConnectProviderArn=provider)
    except NotThereError:
        if trust_policy.trusts_pod_identity(role):
            raise UnknownError("IAM has none, and EKS's pod identity, which the role trusts, needs none") from None
        raise UsageError(f"IAM has no {provider}: no pod of the EKS cluster can assume a role", hint) from None
    if trust_policy.AUDIENCE not in found.get("ClientIDList", ()):
        raise UsageError(f"{provider} does not accept {trust_policy.AUDIENCE}, the audience of EMR's pods", hint)
    return provider


def _look_at_places(found: Findings, aws: Aws, settings: Settings) -> None:
    """Whether buckets and the log group exist, and whether logs are kept."""
    emr, elsewhere = settings.emr, settings.storage.endpoint_url
    for bucket, words in permissions.buckets(settings).items():
        with found.about(f"bucket {bucket}") as ok:
            if elsewhere is not None:
                raise UnknownError(f"it is in {elsewhere}, not in AWS")
            try:
                aws.call("s3", "head_bucket", f"reading the bucket {bucket}", Bucket=bucket)
            except NotThereError:
                hint = f"Create it, or name another: the job is to {words} there."
                raise UsageError("there is no such bucket", hint) from None
            ok("it exists")
    if (group := emr.log_group) is not None:
        with found.about("logs in CloudWatch") as ok:
            doing = f"looking for log group {group}"
            listed = aws.pages("logs", "describe_log_groups", "logGroups", doing, logGroupNamePrefix=group)
            if not any(one["logGroupName"] == group for one in listed):
                hint = f"aws logs create-log-group --log-group-name {group}"
                raise UsageError(f"there is no log group {group}", hint)
            ok(f"the log group {group} exists")
    elif emr.s3_logs is None:
        hint = "Keep them: --s3-logs s3://bucket/prefix, or --log-group NAME."
        found.append(Finding("logs", "problem", "they are deleted with the pods", hint))
