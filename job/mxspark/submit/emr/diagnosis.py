"""Why job runs fail, and virtual clusters accept none: AWS's own words with a hint; makes no requests, only reads
what it is given.
"""

import re
from collections.abc import Sequence

from mxspark.submit.outcome import Diagnosis

STATE_HINTS = {
    "TERMINATED": "It was deleted. Create another (docs/emr.md), or name a running one: --virtual-cluster.",
    "TERMINATING": "It is being deleted. Create another (docs/emr.md), or name a running one: --virtual-cluster.",
    "ARRESTED": "EMR can't reach its EKS cluster or namespace: is it still there, and may EMR's service role use it?",
}

MAPPING_HINT = (
    "EMR may not use the virtual cluster's namespace: eksctl create iamidentitymapping --cluster CLUSTER --namespace "
    "NAMESPACE --service-name emr-containers; or by EKS access entries (docs/emr.md)."
)
# By a pattern, of which the first that matches counts: what AWS reports together with a missing permission, or with a
# role, comes before those. The first ones are EMR's, as its guide lists them ("Common errors when running jobs").
HINTS = {
    r"emr-containers:StartJobRun": "You lack a permission, not the execution role: emr-containers:StartJobRun on the "
    "virtual cluster, for this role where a condition on emr-containers:ExecutionRoleArn names roles. The role must be "
    "of your own account.",
    r"\bCluster \S+ does not have sufficient permissions": MAPPING_HINT,
    r"\bCluster \S+ (does not|doesn.t) exist|\bCluster \S+ is (currently )?not reachable": "EMR can't reach the EKS "
    "cluster: is it still there and ACTIVE (aws eks describe-cluster), or has the virtual cluster outlived it?",
    r"\b[Cc]lassification \S+ (is )?not supported": "This release doesn't support a classification of the request: "
    "leave out emr.submitter and emr.start_seconds, which add some; or use a newer release: --release.",
    r"Multiple garbage collectors": "Java accepts one collector, and Spark joins extraJavaOptions and "
    "defaultJavaOptions: choose it in one of them in spark.conf.",
    r"namespaces? \S+ not found": "The virtual cluster's namespace doesn't exist any more: create another virtual "
    "cluster (docs/emr.md).",
    r"exec format error": "The image is for another architecture than the nodes': build it for theirs "
    "(docs/images.md), or choose nodes: kubernetes.*.node_selector with kubernetes.io/arch.",
    r"ErrImagePull|ImagePull|InvalidImageName|pull(ing)? (the )?image|CannotPullContainer|manifest unknown": "The "
    "image can't be pulled: check its name and tag (--image), and that the nodes' role may read the registry "
    "(AmazonEC2ContainerRegistryReadOnly), from another account by the repository's policy.",
    r"InvalidIdentityToken|No OpenIDConnect provider": "The role's account has no OIDC provider for this EKS cluster: "
    "eksctl utils associate-iam-oidc-provider --cluster CLUSTER --approve.",
    r"[Rr]ole .*(does not exist|doesn.t exist|not assumable|cannot be found)": "The execution role doesn't exist, or "
    "can't be assumed: check --execution-role (`aws iam list-roles`) and its trust policy; `mxspark doctor emr` checks "
    "both.",
    r"AssumeRoleWithWebIdentity|assume role|trust (policy|relationship)|WebIdentityErr": "The execution role doesn't "
    "allow this job to assume it. Its trust policy must name the cluster's OIDC provider and this namespace: "
    "aws emr-containers update-role-trust-policy; `mxspark doctor emr` checks it.",
    r"persistentvolumeclaims.* is forbidden(?!: exceeded quota)|cannot \w+ resource \"persistentvolumeclaims\"": "The "
    "Role emr-containers of the namespace has no permission for persistentvolumeclaims, which "
    "kubernetes.local_directory.storage_class needs: docs/emr.md says what to add.",
    r"exceeded quota|ResourceQuota|ServiceQuotaExceeded|Maximum number of|quota .*used up": "A quota of the namespace "
    "or of AWS is used up: request less, or have it raised.",
    r"NoSuchBucket|bucket does not exist": "A bucket doesn't exist: check input.path, output.path, emr.staging and "
    "emr.s3_logs.",
    r"[Pp]od template|not allowed but specified|reserved mount paths": "Correct kubernetes.driver.template or "
    "kubernetes.executor.template; docs/emr.md says what EMR allows.",
    r"jobs\.batch|emr-containers\b.* cannot (create|get|list|watch|patch|update|delete)": MAPPING_HINT,
    r"[Aa]ccess ?[Dd]enied|not authorized|[Ff]orbidden|AuthorizationException": "A permission is missing: the "
    "execution role's for buckets and logs (docs/emr.md has the policy), or EMR's in the namespace; "
    "`mxspark doctor emr` checks the role's.",
    r"OOMKilled|OutOfMemory|[Ee]xit ?[Cc]ode:? 137": "It used more memory than its limit: raise "
    "spark.driver_memory_overhead, for executors spark.executor_memory_overhead.",
    r"No space left on device|low on resource: ephemeral-storage": "A disk is full: give the nodes larger ones, or "
    "executors volumes of their own: kubernetes.local_directory.storage_class.",
    r"(lack of cluster|sufficient) resources|[Cc]luster timeout|timed out before|no capacity|Insufficient|"
    r"[Uu]nschedulable|FailedScheduling": "No node had room for it in time: add more or larger nodes, request less, "
    "check kubernetes.*.node_selector and tolerations; emr.start_seconds lets it wait longer.",
    r"[Rr]elease ?[Ll]abel|[Rr]elease .*(exist|valid|support)": "Check --release: docs/emr.md says where AWS lists the "
    "releases.",
    r"[Vv]irtual ?[Cc]luster.*(TERMINAT|ARRESTED|not.*RUNNING|state \S+ is not valid)": "Name a running virtual "
    "cluster: --virtual-cluster.",
}
REASONS = {
    "USER_ERROR": "The log says why.",
    "VALIDATION_ERROR": "AWS finds the request invalid: `mxspark doctor emr` looks for the cause.",
    "CLUSTER_UNAVAILABLE": "EMR can't reach the EKS cluster, or it has no room: `mxspark doctor emr` looks for the "
    "cause.",
    "INTERNAL_ERROR": "An internal error of AWS: run the same command again; if it persists, give AWS's support the "
    "job run's id.",
}
NO_DRIVER = ("VALIDATION_ERROR", "CLUSTER_UNAVAILABLE")  # reasons of runs that EMR could not start
LONGEST_TEXT = 4_096  # that is searched: the patterns above take quadratic time [characters]
LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b")


def explain(reason: str, details: str, lines: Sequence[str] = ()) -> Diagnosis:
    """What failureReason, stateDetails and the last lines of a log mean, with a hint."""
    cause = f"{reason}: {details}".strip(": ") or "AWS gives no reason"
    if hint := hint_for(details):
        return Diagnosis(cause, hint)
    for line in (line[:LONGEST_TEXT] for line in reversed(lines[-200:])):
        level = LEVEL.search(line)  # lines without one are of exceptions, and of programs before Spark
        is_trouble = level[0] in ("WARN", "ERROR", "FATAL") if level else re.search(r"[Ee]rror|Exception", line)
        if is_trouble and (hint := hint_for(line)):
            return Diagnosis(f"{cause}; its log says: {line.strip()[:300]}", hint)
    return Diagnosis(cause, REASONS.get(reason, REASONS["USER_ERROR"]))


def hint_for(text: str) -> str | None:
    """What to do about a message of AWS, None if that is unknown."""
    return next((hint for pattern, hint in HINTS.items() if re.search(pattern, text[:LONGEST_TEXT])), None)
