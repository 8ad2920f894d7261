"""What AWS says of a job run that failed, and of virtual clusters that take none, with a hint; asks nothing, only
reads.
"""

import re
from collections.abc import Sequence

from mxspark.submit.outcome import Diagnosis

STATE_MENDS = {
    "TERMINATED": "It was deleted. Make another (docs/emr.md), or name one that runs: --virtual-cluster.",
    "TERMINATING": "It is being deleted. Make another (docs/emr.md), or name one that runs: --virtual-cluster.",
    "ARRESTED": "EMR can't reach its EKS cluster or namespace: is it still there, and may EMR's service role use it?",
}

POD_TEMPLATE_MEND = (
    "Correct kubernetes.driver.template or kubernetes.executor.template; docs/emr.md says what EMR lets through."
)
QUOTA_MEND = "A quota of the namespace or of AWS is used up: ask for less, or have it raised."
NO_ROOM_MEND = (
    "No node had room for it in time: give the cluster more or larger nodes, ask for less, check "
    "kubernetes.*.node_selector and tolerations; emr.start_seconds lets it wait longer."
)
IDENTITY_MAPPING_MEND = (
    "EMR may not use the virtual cluster's namespace: eksctl create iamidentitymapping --cluster CLUSTER --namespace "
    "NAMESPACE --service-name emr-containers; or by EKS access entries (docs/emr.md)."
)
CLUSTER_MEND = (
    "EMR can't reach the EKS cluster: is it still there and ACTIVE (aws eks describe-cluster), or is the virtual "
    "cluster one of before?"
)
# The first that fits counts: what is told together with a missing right, or with a role, stands before those.
TROUBLES: tuple[tuple[str, str], ...] = (
    # Those of EMR itself, as its guide lists them ("Common errors when running jobs").
    (
        r"emr-containers:StartJobRun",
        "You lack a right, not the execution role: emr-containers:StartJobRun on the virtual cluster, for this role "
        "where a condition on emr-containers:ExecutionRoleArn names roles. The role must be of your own account.",
    ),
    (r"\bCluster \S+ does not have sufficient permissions", IDENTITY_MAPPING_MEND),
    (r"\bCluster \S+ (does not|doesn.t) exist|\bCluster \S+ is (currently )?not reachable", CLUSTER_MEND),
    (r"\bCluster \S+ does not have sufficient resources|\b[Cc]luster timeout\b", NO_ROOM_MEND),
    (
        r"\b[Cc]lassification \S+ (is )?not supported",
        "This release doesn't know a classification that the request has: emr.submitter and emr.start_seconds make "
        "some; or take a newer release: --release.",
    ),
    (
        r"Multiple garbage collectors",
        "Java takes one collector, and Spark joins extraJavaOptions and defaultJavaOptions: choose it in one of them "
        "in spark.conf.",
    ),
    (
        r"namespaces? \S+ not found",
        "The virtual cluster's namespace isn't there any more: make another virtual cluster (docs/emr.md).",
    ),
    (
        r"exec format error",
        "The image is for other processors than the nodes': build it for theirs (docs/images.md), or choose nodes: "
        "kubernetes.*.node_selector with kubernetes.io/arch.",
    ),
    (
        r"ErrImagePull|ImagePull|InvalidImageName|pull(ing)? (the )?image|CannotPullContainer|manifest unknown",
        "The image can't be pulled: check its name and tag (--image), and that the nodes' role may read the registry "
        "(AmazonEC2ContainerRegistryReadOnly), from another account by the repository's policy.",
    ),
    (
        r"InvalidIdentityToken|No OpenIDConnect provider",
        "The role's account has no OIDC provider of this EKS cluster: "
        "eksctl utils associate-iam-oidc-provider --cluster CLUSTER --approve.",
    ),
    (
        r"[Rr]ole .*(does not exist|doesn.t exist|not assumable|cannot be found)",
        "The execution role isn't there, or may not be assumed: check --execution-role (`aws iam list-roles`) and its "
        "trust policy; `mxspark doctor emr` looks at both.",
    ),
    (
        r"AssumeRoleWithWebIdentity|assume role|trust (policy|relationship)|WebIdentityErr",
        "The execution role doesn't let this job assume it. Its trust policy must name the cluster's OIDC provider and "
        "this namespace: aws emr-containers update-role-trust-policy; `mxspark doctor emr` looks at it.",
    ),
    (
        r"persistentvolumeclaims.* is forbidden(?!: exceeded quota)|cannot \w+ resource \"persistentvolumeclaims\"",
        "The Role emr-containers of the namespace has no right on persistentvolumeclaims, which "
        "kubernetes.local_directory.storage_class needs: docs/emr.md says what to add.",
    ),
    (r"exceeded quota|ResourceQuota|ServiceQuotaExceeded|Maximum number of", QUOTA_MEND),
    (
        r"NoSuchBucket|bucket does not exist",
        "A bucket isn't there: check input.path, output.path, emr.staging and emr.s3_logs.",
    ),
    (r"[Pp]od template|not allowed but specified|reserved mount paths", POD_TEMPLATE_MEND),
    (
        r"jobs\.batch|emr-containers\b.* cannot (create|get|list|watch|patch|update|delete)",
        IDENTITY_MAPPING_MEND,
    ),
    (
        r"[Aa]ccess ?[Dd]enied|not authorized|[Ff]orbidden|AuthorizationException",
        "A right is missing: the execution role's for buckets and logs (docs/emr.md has the policy), or EMR's in the "
        "namespace; `mxspark doctor emr` looks at the role's.",
    ),
    (
        r"OOMKilled|OutOfMemory|[Ee]xit ?[Cc]ode:? 137",
        "It used more memory than it was given: spark.driver_memory_overhead, for executors "
        "spark.executor_memory_overhead.",
    ),
    (
        r"No space left on device|low on resource: ephemeral-storage",
        "A disk is full: give the nodes larger ones, or executors volumes of their own: "
        "kubernetes.local_directory.storage_class.",
    ),
    (r"lack of cluster resources|Insufficient|[Uu]nschedulable|timed out before|FailedScheduling", NO_ROOM_MEND),
    (
        r"[Rr]elease ?[Ll]abel|[Rr]elease .*(exist|valid|support)",
        "Check --release: docs/emr.md says where AWS lists the releases.",
    ),
    (
        r"[Vv]irtual ?[Cc]luster.*(TERMINAT|ARRESTED|not.*RUNNING|state \S+ is not valid)",
        "Name a virtual cluster that runs: --virtual-cluster.",
    ),
)
# Words that mean something where AWS says them of a job run, and nothing in a log, where Spark has a capacity for
# everything.
DETAILS_ONLY = ((r"quota", QUOTA_MEND), (r"capacity", NO_ROOM_MEND))
REASONS = {
    "USER_ERROR": "The log says why.",
    "VALIDATION_ERROR": "AWS finds the request wrong: `mxspark doctor emr` looks for the cause.",
    "CLUSTER_UNAVAILABLE": "The EKS cluster can't be reached by EMR, or has no room: `mxspark doctor emr` looks.",
    "INTERNAL_ERROR": "An internal error of AWS: run the same command again; where it comes again, AWS's support wants "
    "the job run's id.",
}
NO_DRIVER = ("VALIDATION_ERROR", "CLUSTER_UNAVAILABLE")  # reasons of runs that EMR could not begin
LONGEST_TEXT = 4_096  # that is looked at: the patterns above take the square of it [characters]
LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b")


def explain(reason: str, details: str, lines: Sequence[str] = ()) -> Diagnosis:
    """What failureReason, stateDetails and the last lines of a log mean, with a hint."""
    cause = f"{reason}: {details}".strip(": ") or "AWS gives no reason"
    if hint := mend_of(details):
        return Diagnosis(cause, hint)
    for line in reversed(lines[-200:]):
        if _tells_of_trouble(line) and (hint := _first(line, TROUBLES)):
            return Diagnosis(f"{cause}; its log says: {line.strip()[:300]}", hint)
    return Diagnosis(cause, REASONS.get(reason, REASONS["USER_ERROR"]))


def mend_of(details: str) -> str | None:
    """What to do about something that AWS says, None where that isn't known."""
    return _first(details, (*TROUBLES, *DETAILS_ONLY))


def _first(text: str, troubles: Sequence[tuple[str, str]]) -> str | None:
    return next((hint for pattern, hint in troubles if re.search(pattern, text[:LONGEST_TEXT])), None)


def _tells_of_trouble(line: str) -> bool:
    """By its level, or where it has none, as those of exceptions and of programs before Spark, by its words."""
    level = LEVEL.search(line[:LONGEST_TEXT])
    return level[0] in ("WARN", "ERROR", "FATAL") if level else re.search(r"[Ee]rror|Exception", line) is not None
