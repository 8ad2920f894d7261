"""Whether a role's trust policy allows a job's pods to assume the role, for the usual forms of policies; it can't tell
for others.

EMR's pods have service accounts with names that it generates: they authenticate by a web identity of the EKS cluster's
OIDC provider, or by EKS's pod identity.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from mxspark.doctor import Finding
from mxspark.submit.emr.virtual_clusters import VirtualCluster

SUBJECT = "trust policy"
AUDIENCE = "sts.amazonaws.com"
POD_IDENTITY = "pods.eks.amazonaws.com"
PODS = ("client", "driver", "executor")  # the one that submits, and Spark's
WEB_IDENTITY = "sts:AssumeRoleWithWebIdentity"
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


def statements(policy: Any) -> list[Statement]:
    """Those of a policy as IAM gives it: JSON, which may be escaped as in addresses, or the data itself."""
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy or {}
    found = document.get("Statement") or []
    return found if isinstance(found, list) else [found]


def trusts_pod_identity(policy: Any) -> bool:
    """Whether EKS's pod identity may hand the role out; to whom, its associations say."""
    return any(
        one.get("Effect") == "Allow" and POD_IDENTITY in _principals(one, "Service") for one in statements(policy)
    )


def judge(arn: str, policy: Any, cluster: VirtualCluster, provider: str | None) -> Finding:
    """Whether all of a job's pods can assume the role. `provider` is the ARN of the EKS cluster's OIDC provider,
    where known.
    """
    wanted, found = pattern(arn, cluster.namespace), statements(policy)
    where = f"--cluster-name {cluster.eks_cluster} --namespace {cluster.namespace} --role-name {arn.rpartition('/')[2]}"
    hint = f"aws emr-containers update-role-trust-policy {where}"
    if provider is None:
        return Finding(
            SUBJECT,
            "can't tell",
            "the EKS cluster's OIDC provider is unknown",
            "Ask somebody who has eks:DescribeCluster.",
        )
    pods = [f"system:serviceaccount:{cluster.namespace}:{service_account(arn, f'spark-{pod}')}" for pod in PODS]
    lacking = [pod for pod in pods if not any(_allows(one, pod, provider) for one in found)]
    if any(_is_beyond(one, provider) for one in found):
        text = (
            f"whether {wanted} can assume the role depends on a Deny, or on conditions or principals that aren't "
            "evaluated here"
        )
        return Finding(SUBJECT, "can't tell", text, "Read the policy: it must allow them.")
    if not lacking and any(
        _allows(one, f"system:serviceaccount:not-{cluster.namespace}:another", provider) for one in found
    ):
        return Finding(
            SUBJECT,
            "problem",
            "any pod of the cluster can assume the role: no condition on :sub excludes others",
            hint,
        )
    if not lacking:
        return Finding(SUBJECT, "ok", f"{wanted} can assume the role")
    if trusts_pod_identity(policy):
        text = "it trusts EKS's pod identity, whose associations aren't checked"
        return Finding(SUBJECT, "can't tell", text, f"aws emr-containers create-role-associations {where}")
    seen = [name for one in found for name in _principals(one, "Federated")]
    seen += [
        value
        for one in found
        for _, key, values in _conditions(one)
        if key.endswith((":sub", ":aud"))
        for value in values
    ]
    text = f"{wanted if len(lacking) == len(pods) else ', '.join(lacking)} can't assume the role"
    return Finding(SUBJECT, "problem", text + (f"; it trusts {', '.join(seen)}" if seen else ""), hint)


def _is_beyond(statement: Statement, provider: str) -> bool:
    """Whether a statement is about web identities in a way that `_allows` doesn't judge."""
    if {"NotPrincipal", "NotAction"} & statement.keys():
        return True
    if not _is_about_web_identities(statement):
        return False
    known = {key for key, _ in _identity("", provider)}
    is_for_all = "*" in (
        statement.get("Principal"),
        *_principals(statement, "AWS"),
        *_principals(statement, "Federated"),
    )
    is_ours = is_for_all or provider in _principals(statement, "Federated")
    others = [
        key
        for operator, key, _ in _conditions(statement)
        if operator not in ("StringEquals", "StringLike") or key not in known
    ]
    return is_ours and (statement.get("Effect") == "Deny" or is_for_all or bool(others))


def _allows(statement: Statement, subject: str, provider: str) -> bool:
    """Whether a statement allows a pod to assume the role by its web identity."""
    identity = dict(_identity(subject, provider))
    return (
        statement.get("Effect") == "Allow"
        and _is_about_web_identities(statement)
        and provider in _principals(statement, "Federated")
        and all(
            any(
                value == identity.get(key) if operator == "StringEquals" else _matches(identity.get(key, ""), value)
                for value in values
            )
            for operator, key, values in _conditions(statement)
        )
    )


def _identity(subject: str, provider: str) -> list[tuple[str, str]]:
    """A pod's web identity, by the names of conditions."""
    issuer = provider.partition("oidc-provider/")[2].lower()
    return [(f"{issuer}:sub", subject), (f"{issuer}:aud", AUDIENCE)]


def _is_about_web_identities(statement: Statement) -> bool:
    return any(_matches(WEB_IDENTITY.lower(), action.lower()) for action in _texts(statement.get("Action")))


def _principals(statement: Statement, kind: str) -> list[str]:
    principal = statement.get("Principal")
    return _texts(principal.get(kind)) if isinstance(principal, Mapping) else []


def _conditions(statement: Statement) -> Iterator[tuple[str, str, list[str]]]:
    """Operator, key and values."""
    for operator, inner in (statement.get("Condition") or {}).items():
        yield from (
            (operator.removeprefix("ForAnyValue:"), key.lower(), _texts(values)) for key, values in inner.items()
        )


def _matches(text: str, pattern: str) -> bool:
    """As IAM does: * and ? stand for others."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [] if value is None else [str(value)]
