"""Whether a role's trust policy allows a job's pods to assume the role, for the usual forms of policies; it can't tell
for others.

EMR's pods have service accounts with names that it generates: they authenticate by a web identity of the EKS cluster's
OIDC provider, or by EKS's pod identity.
"""

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mxspark.doctor import UnknownError
from mxspark.errors import UsageError
from mxspark.submit.emr.virtual_clusters import VirtualCluster

AUDIENCE = "sts.amazonaws.com"
POD_IDENTITY = "pods.eks.amazonaws.com"
WEB_IDENTITY = "sts:assumerolewithwebidentity"
OPERATORS: Mapping[str, Callable[[str, str], bool]] = {"StringEquals": str.__eq__, "StringLike": fnmatchcase}
Statement = Mapping[str, Any]  # as IAM has it


def service_account(arn: str, pod: str) -> str:
    """EMR's for a pod of this role; it ends in the role's name in base 36, as AWS's CLI computes it."""
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    number, digits = int.from_bytes(name.encode(), "big"), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return f"emr-containers-sa-{pod}-{account}-{digits}"


def pattern(arn: str, namespace: str) -> str:
    """What AWS's CLI writes into trust policies for all of them."""
    return f"system:serviceaccount:{namespace}:{service_account(arn, '*-*')}"


def trusts_pod_identity(role: Mapping[str, Any]) -> bool:
    """Whether EKS's pod identity may hand the role out; to whom, its associations say."""
    return any(POD_IDENTITY in _principals(one, "Service") for one in _statements(role) if one["Effect"] == "Allow")


def check(role: Mapping[str, Any], cluster: VirtualCluster, provider: str) -> str:
    """Raises UsageError if a job's pods can't assume the role with the web identities of `provider`, the ARN of the EKS
    cluster's, or others can too; UnknownError where the policy has more than is judged here.
    """
    arn, statements, namespace = role["Arn"], _statements(role), cluster.namespace
    where = f"--cluster-name {cluster.eks_cluster} --namespace {namespace} --role-name {arn.rpartition('/')[2]}"
    command, wanted = f"aws emr-containers update-role-trust-policy {where}", pattern(arn, namespace)
    pod = f"system:serviceaccount:{namespace}:{service_account(arn, 'spark-driver')}"
    ours = {_allows(statement, pod, provider) for statement in statements}
    others = {
        _allows(statement, f"system:serviceaccount:not-{namespace}:another", provider) for statement in statements
    }
    if None in ours | others:
        text = (
            f"whether {wanted} can assume the role depends on more than is judged here: a Deny, conditions, principals"
        )
        raise UnknownError(text, "Read the policy: it must allow them.")
    if True in others:
        raise UsageError("any pod of the cluster can assume the role: no condition on :sub excludes others", command)
    if True in ours:
        return f"{wanted} can assume the role"
    if trusts_pod_identity(role):
        hint = f"aws emr-containers create-role-associations {where}"
        raise UnknownError("it trusts EKS's pod identity, whose associations aren't checked", hint)
    raise UsageError(f"{wanted} can't assume the role; its statements: {json.dumps(statements)}", command)


def _allows(statement: Statement, subject: str, provider: str) -> bool | None:
    """Whether a statement allows a pod to assume the role by its web identity; None if that isn't judged here."""
    if {"NotPrincipal", "NotAction"} & statement.keys():
        return None
    if not any(fnmatchcase(WEB_IDENTITY, action.lower()) for action in _texts(statement["Action"])):
        return False
    named = {*_principals(statement, "AWS"), *_principals(statement, "Federated")}
    if not {provider, "*"} & named:
        return False
    if statement["Effect"] != "Allow" or "*" in named:
        return None
    issuer = provider.partition("oidc-provider/")[2].lower()
    identity, matches = {f"{issuer}:sub": subject, f"{issuer}:aud": AUDIENCE}, True
    for operator, condition in statement.get("Condition", {}).items():
        fits = OPERATORS.get(operator.removeprefix("ForAnyValue:"))
        for key, values in condition.items():
            if fits is None or key.lower() not in identity:
                return None
            matches = matches and any(fits(identity[key.lower()], value) for value in _texts(values))
    return matches


def _statements(role: Mapping[str, Any]) -> list[Statement]:
    """Of its trust policy."""
    found = role["AssumeRolePolicyDocument"]["Statement"]
    return found if isinstance(found, list) else [found]


def _principals(statement: Statement, kind: str) -> list[str]:
    principal = statement.get("Principal", [])
    return _texts(principal.get(kind, []) if isinstance(principal, Mapping) else principal)


def _texts(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
