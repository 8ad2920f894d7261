"""Whether a role's trust policy lets a job's pods be the role, judged as IAM does it as far as that can be seen; only reads.

EMR's pods are service accounts of names that it makes: they come with a web identity of the EKS cluster's OIDC provider, or by EKS's
pod identity.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mxspark.doctor import Finding
from mxspark.submit.emr.virtual_clusters import VirtualCluster

SUBJECT = "trust policy"
AUDIENCE = "sts.amazonaws.com"
POD_IDENTITY = "pods.eks.amazonaws.com"
PODS = ("client", "driver", "executor")  # the one that submits, and Spark's
Answer = bool | None  # None: it can't be told


def all_of(answers: Iterable[Answer]) -> Answer:
    found = list(answers)
    return False if False in found else None if None in found else True


def any_of(answers: Iterable[Answer]) -> Answer:
    found = list(answers)
    return True if True in found else None if None in found else False


def service_account(arn: str, pod: str) -> str:
    """EMR's for a pod of a role's; the end is the role's name in base 36, as AWS's CLI has it."""
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    number, digits = int.from_bytes(name.encode(), "big"), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return f"emr-containers-sa-{pod}-{account}-{digits}"


def pattern(arn: str, namespace: str) -> str:
    """What AWS's CLI writes into trust policies for all of them."""
    return f"system:serviceaccount:{namespace}:{service_account(arn, '*-*')}"


@dataclass(frozen=True)
class WebIdentity:
    """A pod that asks to be a role; `provider` is the ARN of its EKS cluster's OIDC provider, None where that isn't known."""

    subject: str
    provider: str | None


@dataclass(frozen=True)
class Statement:
    """A statement of a trust policy; one that says whom or what it is not about can't be read."""

    effect: str
    principals: tuple[tuple[str, str], ...]  # kind and name; everybody is ("AWS", "*")
    actions: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]  # operator, key, values
    is_readable: bool

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Statement":
        principal = data.get("Principal")
        by_kind = principal if isinstance(principal, Mapping) else {"AWS": principal}
        conditions = data.get("Condition") or {}
        return cls(
            str(data.get("Effect")),
            tuple((kind, name) for kind, names in by_kind.items() for name in _texts(names)),
            tuple(_texts(data.get("Action"))),
            tuple((operator, key, tuple(_texts(values))) for operator, inner in conditions.items() for key, values in inner.items()),
            not {"NotPrincipal", "NotAction"} & data.keys(),
        )

    def is_about(self, pod: WebIdentity) -> Answer:
        """Whether it allows, or denies, a pod to be the role by its web identity."""
        if not self.is_readable:
            return None
        if not self._has_action("sts:AssumeRoleWithWebIdentity"):
            return False
        return all_of([self._names(pod.provider), *(self._holds(*condition, pod) for condition in self.conditions)])

    def is_about_pod_identity(self) -> Answer:
        """Whether it allows, or denies, EKS's pod identity to hand out the role."""
        if not self.is_readable:
            return None
        is_named = ("Service", POD_IDENTITY) in self.principals or ("AWS", "*") in self.principals
        return all_of([is_named, self._has_action("sts:AssumeRole"), None if self.conditions else True])

    def _has_action(self, wanted: str) -> bool:
        return any(_matches(wanted.lower(), action.lower()) for action in self.actions)

    def _names(self, provider: str | None) -> Answer:
        if {("AWS", "*"), ("Federated", "*")} & set(self.principals):
            return True
        named = [name for kind, name in self.principals if kind == "Federated"]
        if provider is None:
            return None if any("oidc-provider/oidc.eks." in name for name in named) else False
        return provider in named

    def _holds(self, operator: str, key: str, values: tuple[str, ...], pod: WebIdentity) -> Answer:
        provider = pod.provider or next((name for kind, name in self.principals if kind == "Federated"), "")
        issuer = provider.partition("oidc-provider/")[2]
        known = {f"{issuer}:sub".lower(): pod.subject, f"{issuer}:aud".lower(): AUDIENCE}
        told = known.get(key.lower())
        operator = operator.removeprefix("ForAnyValue:")
        if operator not in ("StringEquals", "StringLike"):
            return None
        if told is None:
            return False if key.endswith((":sub", ":aud")) else None  # another provider's identity, which the pod doesn't have
        return any(value == told if operator == "StringEquals" else _matches(told, value) for value in values)


def read(policy: Any) -> list[Statement]:
    """The statements of a policy as IAM gives it: JSON, which may be escaped as in addresses, or the data itself."""
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy or {}
    statements = document.get("Statement") or []
    return [Statement.read(data) for data in (statements if isinstance(statements, list) else [statements])]


def judge(arn: str, policy: Any, cluster: VirtualCluster, provider: str | None, is_associated: Callable[[], Answer]) -> Finding:
    """Whether all of a job's pods can assume the role.

    `provider` is the ARN of the EKS cluster's OIDC provider, where known; `is_associated` tells whether EKS's pod identity hands the role
    out to them.
    """
    statements, wanted = read(policy), pattern(arn, cluster.namespace)
    where = f"--cluster-name {cluster.eks_cluster} --namespace {cluster.namespace} --role-name {arn.rpartition('/')[2]}"
    hint = f"aws emr-containers update-role-trust-policy {where}"
    pods = [WebIdentity(f"system:serviceaccount:{cluster.namespace}:{service_account(arn, f'spark-{pod}')}", provider) for pod in PODS]
    denied = any_of(one.is_about(pod) for one in statements if one.effect == "Deny" for pod in pods)
    allowed = [_allowed(statements, pod) for pod in pods]
    if denied:
        return Finding(SUBJECT, "problem", f"a Deny keeps {wanted} from assuming the role", "Take it out of the trust policy.")
    if all(allowed) and denied is False:
        if _allowed(statements, WebIdentity(f"system:serviceaccount:not-{cluster.namespace}:another", provider)):
            return Finding(SUBJECT, "problem", "any pod of the cluster can assume the role: no condition on :sub keeps others out", hint)
        return Finding(SUBJECT, "ok", f"{wanted} can assume the role")
    if False not in allowed:
        text = f"whether {wanted} can assume the role depends on what isn't seen: the cluster's OIDC provider, or other conditions"
        return Finding(SUBJECT, "can't tell", text, "Ask somebody who has eks:DescribeCluster.")
    by_pod_identity = _pod_identity(statements)
    if by_pod_identity and is_associated():
        return Finding(SUBJECT, "ok", "EKS's pod identity hands the role out to EMR's service accounts")
    if by_pod_identity is not False:
        text = "it trusts EKS's pod identity, but that this hands the role out to EMR's service accounts was not seen"
        return Finding(SUBJECT, "can't tell", text, f"aws emr-containers create-role-associations {where}")
    lacking = wanted if not any(allowed) else ", ".join(pod.subject for pod, answer in zip(pods, allowed, strict=True) if answer is False)
    seen = [value for one in statements for _, key, values in one.conditions if key.endswith((":sub", ":aud")) for value in values]
    seen = [*(name for one in statements for kind, name in one.principals if kind == "Federated"), *seen]
    return Finding(SUBJECT, "problem", f"{lacking} can't assume the role" + (f"; it trusts {', '.join(seen)}" if seen else ""), hint)


def _allowed(statements: Sequence[Statement], pod: WebIdentity) -> Answer:
    return any_of(one.is_about(pod) for one in statements if one.effect == "Allow")


def _pod_identity(statements: Sequence[Statement]) -> Answer:
    allowed = any_of(one.is_about_pod_identity() for one in statements if one.effect == "Allow")
    denied = any_of(one.is_about_pod_identity() for one in statements if one.effect == "Deny")
    return all_of([allowed, None if denied is None else not denied])


def _matches(text: str, pattern: str) -> bool:
    """As IAM does: * and ? stand for others."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [] if value is None else [str(value)]
