"""Whether a role's trust policy allows a job's pods to assume the role, for the usual forms of policies; it can't tell
for others.

EMR's pods have service accounts with names that it generates: they authenticate by a web identity of the EKS cluster's
OIDC provider, or by EKS's pod identity.
"""

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

from mxspark.doctor import Finding
from mxspark.submit.emr.virtual_clusters import VirtualCluster

SUBJECT = "trust policy"
AUDIENCE = "sts.amazonaws.com"
POD_IDENTITY = "pods.eks.amazonaws.com"
PODS = ("client", "driver", "executor")  # the one that submits, and Spark's
EQUALS, LIKE = (("StringEquals", "ForAnyValue:StringEquals"), ("StringLike", "ForAnyValue:StringLike"))
WEB_IDENTITY = "sts:assumerolewithwebidentity"
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
    """Those of a policy as botocore gives it."""
    found = (policy or {}).get("Statement") or []
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
    if provider is None:
        hint = "Ask somebody who has eks:DescribeCluster."
        return Finding(SUBJECT, "can't tell", "the EKS cluster's OIDC provider is unknown", hint)
    wanted, found = pattern(arn, cluster.namespace), statements(policy)
    where = f"--cluster-name {cluster.eks_cluster} --namespace {cluster.namespace} --role-name {arn.rpartition('/')[2]}"
    hint = f"aws emr-containers update-role-trust-policy {where}"
    pods = [f"system:serviceaccount:{cluster.namespace}:{service_account(arn, f'spark-{pod}')}" for pod in PODS]
    answers = {pod: [_allows(one, pod, provider) for one in found] for pod in pods}
    if any(None in answer for answer in answers.values()):
        text = (
            f"whether {wanted} can assume the role depends on what isn't evaluated here: a Deny, conditions, principals"
        )
        return Finding(SUBJECT, "can't tell", text, "Read the policy: it must allow them.")
    lacking = [pod for pod, answer in answers.items() if True not in answer]
    if not lacking:
        stranger = f"system:serviceaccount:not-{cluster.namespace}:another"
        if any(_allows(one, stranger, provider) for one in found):
            text = "any pod of the cluster can assume the role: no condition on :sub excludes others"
            return Finding(SUBJECT, "problem", text, hint)
        return Finding(SUBJECT, "ok", f"{wanted} can assume the role")
    if trusts_pod_identity(policy):
        text = "it trusts EKS's pod identity, whose associations aren't checked"
        return Finding(SUBJECT, "can't tell", text, f"aws emr-containers create-role-associations {where}")
    trusted = [name for one in found for name in chain(_principals(one, "Federated"), *_conditions(one).values())]
    text = f"{wanted if len(lacking) == len(pods) else ', '.join(lacking)} can't assume the role"
    return Finding(SUBJECT, "problem", text + (f"; it trusts {', '.join(trusted)}" if trusted else ""), hint)


def _allows(statement: Statement, subject: str, provider: str) -> bool | None:
    """Whether a statement allows a pod to assume the role by its web identity; None if that isn't judged here."""
    if {"NotPrincipal", "NotAction"} & statement.keys():
        return None
    if not any(_matches(WEB_IDENTITY, action.lower()) for action in _texts(statement.get("Action"))):
        return False
    is_for_all = statement.get("Principal") == "*" or "*" in (
        *_principals(statement, "AWS"),
        *_principals(statement, "Federated"),
    )
    if not is_for_all and provider not in _principals(statement, "Federated"):
        return False
    issuer = provider.partition("oidc-provider/")[2].lower()
    identity, conditions = {f"{issuer}:sub": subject, f"{issuer}:aud": AUDIENCE}, _conditions(statement)
    is_usual = all(operator in (*EQUALS, *LIKE) and key in identity for operator, key in conditions)
    if is_for_all or statement.get("Effect") != "Allow" or not is_usual:
        return None
    return all(
        any(value == identity[key] if operator in EQUALS else _matches(identity[key], value) for value in values)
        for (operator, key), values in conditions.items()
    )


def _principals(statement: Statement, kind: str) -> list[str]:
    principal = statement.get("Principal")
    return _texts(principal.get(kind)) if isinstance(principal, Mapping) else []


def _conditions(statement: Statement) -> dict[tuple[str, str], list[str]]:
    """Values, by operator and key."""
    return {
        (operator, key.lower()): _texts(values)
        for operator, inner in (statement.get("Condition") or {}).items()
        for key, values in inner.items()
    }


def _matches(text: str, pattern: str) -> bool:
    """As IAM does: * and ? stand for others."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [] if value is None else [str(value)]
