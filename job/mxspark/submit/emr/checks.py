"""Whether AWS has what a job run needs, looked at before money is spent: a finding for each thing, with the mend."""

import io
from collections.abc import Callable, Iterator
from typing import Any

from mxspark.doctor import Finding
from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.settings import Settings
from mxspark.source import MANIFEST_SUFFIXES
from mxspark.storage import Access, download, is_s3, join, parent, split_s3
from mxspark.submit.emr import images, trust, virtual_clusters
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.diagnosis import STATE_MENDS
from mxspark.submit.emr.images import ImageFacts
from mxspark.submit.emr.staging import STAGING
from mxspark.submit.emr.virtual_clusters import VirtualCluster

READ = ("s3:GetObject", "s3:ListBucket")
WRITE = (*READ, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
RIGHTS = "role's rights"
LOGS = ("logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:CreateLogStream", "logs:PutLogEvents")


def examine(settings: Settings, connect: Callable[[], Aws]) -> Iterator[Finding]:
    """Looks at credentials, virtual cluster, role, image and log places; changes nothing. Each finding as it is there."""
    try:
        aws = connect()
        caller = aws.call("sts", "get_caller_identity", "asking who this is")
    except MxsparkError as error:
        yield Finding("credentials", "problem", error.problem, error.mend)
        return
    yield Finding("credentials", "ok", f"{caller['Arn']}, region {aws.region}")
    cluster, finding = _cluster(aws, settings)
    yield finding
    yield from _image(aws, settings)
    yield from _role(aws, settings, cluster, str(caller["Account"]))
    yield from _logs(aws, settings)


def _told(subject: str, error: MxsparkError) -> Finding:
    """What may not be asked, or not now, is no problem of the job's."""
    if isinstance(error, (NotAllowedError, PassingError)):
        return Finding(subject, "can't tell", error.problem, error.mend)
    return Finding(subject, "problem", error.problem, error.mend)


def _cluster(aws: Aws, settings: Settings) -> tuple[VirtualCluster | None, Finding]:
    subject = "virtual cluster"
    try:
        found = virtual_clusters.find(aws, settings.emr.virtual_cluster)
    except MxsparkError as error:
        return None, _told(subject, error)
    text = f"{found} is {found.state}: namespace {found.namespace} of the EKS cluster {found.eks_cluster}"
    if found.state != "RUNNING":
        return found, Finding(subject, "problem", text, STATE_MENDS.get(found.state, ""))
    return found, Finding(subject, "ok", text)


def _image(aws: Aws, settings: Settings) -> Iterator[Finding]:
    facts, finding = _read_image(aws, settings.kubernetes.image)
    yield finding
    wrong = list(images.troubles(settings, facts))
    for text, mend in wrong:
        yield Finding("release and GPUs", "problem", text, mend)
    release = settings.emr.release
    if not wrong and (facts is None or facts.release is None):
        yield Finding("release and GPUs", "can't tell", f"which release the image is made from isn't known; the job asks for {release}")
    elif not wrong:
        yield Finding("release and GPUs", "ok", f"{release}, as the image's base")


def _read_image(aws: Aws, image: str | None) -> tuple[ImageFacts | None, Finding]:
    subject = "image"
    if image is None:
        return None, Finding(subject, "problem", "none is given", "Name the image that `make image TARGET=emr` builds: --image NAME.")
    try:
        facts = images.read(aws, image, fetch)
    except UsageError as error:
        return None, Finding(subject, "can't tell", error.problem, "The nodes must be able to pull it.")
    except MxsparkError as error:
        return None, _told(subject, error)
    if facts is None:
        text = f"{image} is in ECR, but says not that it is mxspark's"
        return None, Finding(subject, "can't tell", text, "Build it by `make image TARGET=emr`.")
    return facts, Finding(subject, "ok", f"{image} is in ECR: {'the GPU' if facts.has_cuda else 'the CPU'} build")


def fetch(url: str) -> bytes:
    """What lies at an address, a small thing."""
    target = io.BytesIO()
    download(url, Access(), target)
    return target.getvalue()


# --- The execution role


def _role(aws: Aws, settings: Settings, cluster: VirtualCluster | None, account: str) -> Iterator[Finding]:
    role, finding = _find_role(aws, settings.emr.execution_role, account)
    yield finding
    if role is None:
        for subject in (trust.SUBJECT, RIGHTS):
            yield Finding(subject, "can't tell", "the execution role could not be looked at")
        return
    yield _trust(aws, role["Arn"], role.get("AssumeRolePolicyDocument"), cluster)
    yield from _rights(aws, settings, role["Arn"])


def _find_role(aws: Aws, arn: str | None, account: str) -> tuple[dict[str, Any] | None, Finding]:
    subject = "execution role"
    if arn is None:
        return None, Finding(subject, "problem", "none is given", "Name the role that the job runs as: --execution-role ARN.")
    name = arn.rpartition("/")[2]
    if arn.split(":")[4] != account:
        text = f"{arn} is a role of account {arn.split(':')[4]}, and these credentials are of {account}"
        return None, Finding(subject, "can't tell", text, "It must be of the EKS cluster's account. Log in there to have it looked at.")
    try:
        role: dict[str, Any] = aws.call("iam", "get_role", f"looking at the role {name}", RoleName=name)["Role"]
    except NotThereError as error:
        return None, Finding(subject, "problem", error.problem, "Check --execution-role; `aws iam list-roles` has those that there are.")
    except MxsparkError as error:
        return None, _told(subject, error)
    if role["Arn"] != arn:
        text = f"the role {name} of this account is {role['Arn']}, not {arn}"
        return None, Finding(subject, "problem", text, "Mend --execution-role: account and path belong to it.")
    return role, Finding(subject, "ok", arn)


def _trust(aws: Aws, arn: str, policy: Any, cluster: VirtualCluster | None) -> Finding:
    if cluster is None:
        return Finding(trust.SUBJECT, "can't tell", "without the virtual cluster its namespace isn't known")
    return trust.judge(arn, policy, cluster, _provider(aws, arn, cluster), lambda: _is_associated(aws, arn, cluster))


def _provider(aws: Aws, arn: str, cluster: VirtualCluster) -> str | None:
    """The ARN that the EKS cluster's OIDC provider has in the role's account, None where the cluster may not be looked at."""
    try:
        found = aws.call("eks", "describe_cluster", f"looking at the EKS cluster {cluster.eks_cluster}", name=cluster.eks_cluster)
    except MxsparkError:
        return None
    issuer = found["cluster"].get("identity", {}).get("oidc", {}).get("issuer", "")
    return f"{arn.rpartition(':role/')[0]}:oidc-provider/{issuer.removeprefix('https://')}" if issuer else None


def _is_associated(aws: Aws, arn: str, cluster: VirtualCluster) -> bool | None:
    """Whether EKS's pod identity hands the role out to all of EMR's service accounts, None where that may not be looked at."""
    doing, where = "looking at EKS's pod identity", {"clusterName": cluster.eks_cluster}
    wanted = {trust.service_account(arn, f"spark-{pod}") for pod in trust.PODS}
    try:
        listed = aws.pages("eks", "list_pod_identity_associations", "associations", doing, namespace=cluster.namespace, **where)
        ours = [found["associationId"] for found in listed if found["serviceAccount"] in wanted]
        described = [aws.call("eks", "describe_pod_identity_association", doing, associationId=id_, **where) for id_ in ours]
    except MxsparkError:
        return None
    return {found["association"]["serviceAccount"] for found in described if found["association"]["roleArn"] == arn} == wanted


def wanted_rights(settings: Settings, partition: str) -> list[tuple[str, str, str]]:
    """What the role does: (in words, action, ARN)."""
    source, output = settings.input, settings.output
    is_manifest = source.path.lower().endswith(MANIFEST_SUFFIXES)
    folder = source.base or parent(source.path) if is_manifest else source.path
    model = [getattr(settings.model, part) for part in ("path", "symbol", "params", "labels")]
    staging = settings.emr.staging or (join(output.path, STAGING) if is_s3(output.path) else None)
    places: list[tuple[str, tuple[str, ...], str | None]] = [
        *([("read the manifest", READ[:1], source.path)] if is_manifest else []),
        ("read the images", READ[:1] if is_manifest else READ, folder and join(folder, "x")),
        ("read the model", READ, model[0] and join(model[0], "x")),
        *[("read the model", READ[:1], place) for place in model[1:]],
        ("write the predictions", WRITE, join(output.path, "x")),
        ("write the predictions", WRITE, output.text_object),
        ("read what a submission puts into S3", READ[:1], staging and join(staging, "x")),
        ("write logs to S3", (*READ, "s3:PutObject"), settings.emr.s3_logs and join(settings.emr.s3_logs, "x")),
    ]
    found = []
    for words, actions, place in places:
        if place is not None and is_s3(place):
            bucket, key = split_s3(place)
            objects = f"arn:{partition}:s3:::{bucket}"
            found += [(words, action, objects if action == "s3:ListBucket" else f"{objects}/{key}") for action in actions]
    return found


def _rights(aws: Aws, settings: Settings, arn: str) -> Iterator[Finding]:
    subject = RIGHTS
    partition, account = arn.split(":")[1], arn.split(":")[4]
    wanted = wanted_rights(settings, partition)
    if settings.emr.log_group is not None:
        group = f"arn:{partition}:logs:{aws.region}:{account}:log-group:{settings.emr.log_group}:*"
        wanted += [("write logs to CloudWatch", action, "*" if action == LOGS[0] else group) for action in LOGS]
    denied: dict[str, list[str]] = {}
    for words, action, resource in wanted:
        try:
            answer = aws.call(
                "iam",
                "simulate_principal_policy",
                "trying the role's rights",
                PolicySourceArn=arn,
                ActionNames=[action],
                ResourceArns=[resource],
            )
        except MxsparkError as error:
            text = error.problem if isinstance(error, (NotAllowedError, PassingError)) else f"they can't be tried: {error.problem}"
            yield Finding(subject, "can't tell", text, "Let somebody look who may iam:SimulatePrincipalPolicy.")
            return
        for result in answer.get("EvaluationResults", ()):
            if result.get("EvalDecision") != "allowed":
                denied.setdefault(words, []).append(f"{action} on {resource}")
    for words, lacking in denied.items():
        yield Finding(subject, "problem", f"it may not {words}: {'; '.join(dict.fromkeys(lacking))}", "docs/emr.md has the policy.")
    if not denied:
        tried = ", ".join(dict.fromkeys(words for words, _, _ in wanted))
        text = f"it may {tried} (by its own policies; those of buckets, of keys and of the organisation aren't seen)"
        yield Finding(subject, "ok" if wanted else "can't tell", text if wanted else "no places are given", "")


# --- Logs


def _logs(aws: Aws, settings: Settings) -> Iterator[Finding]:
    chosen = settings.emr
    if chosen.s3_logs is None and chosen.log_group is None:
        yield Finding("logs", "problem", "they go with the pods", "Keep them: --s3-logs s3://bucket/prefix, or --log-group NAME.")
    if chosen.s3_logs is not None:
        bucket, _ = split_s3(chosen.s3_logs)
        try:
            aws.call("s3", "head_bucket", f"looking at the bucket {bucket}", Bucket=bucket)
            yield Finding("logs in S3", "ok", f"{chosen.s3_logs}: the bucket is there")
        except NotThereError:
            yield Finding("logs in S3", "problem", f"there is no bucket {bucket}", "Make it, or mend --s3-logs.")
        except MxsparkError as error:
            yield _told("logs in S3", error)
    if chosen.log_group is not None:
        yield _log_group(aws, chosen.log_group)


def _log_group(aws: Aws, name: str) -> Finding:
    subject = "logs in CloudWatch"
    try:
        groups = aws.pages("logs", "describe_log_groups", "logGroups", f"looking for log group {name}", logGroupNamePrefix=name)
        if any(group["logGroupName"] == name for group in groups):
            return Finding(subject, "ok", f"the log group {name} is there")
    except MxsparkError as error:
        return _told(subject, error)
    return Finding(subject, "problem", f"there is no log group {name}", f"aws logs create-log-group --log-group-name {name}")
