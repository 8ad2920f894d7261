"""The API server's error responses, as errors with a hint."""

import re
from collections.abc import Mapping
from typing import Any

from mxspark.errors import MxsparkError, PassingError, UsageError, one_line
from mxspark.settings import document

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, INVALID = 400, 401, 403, 404, 409, 422
# A missing permission; all other responses with 403 are about the object: quotas, limits, policies, webhooks.
MISSING_RIGHT = re.compile(r"cannot \w+ (resource|path)|attempting to grant RBAC permissions", re.IGNORECASE)


class MissingObjectError(MxsparkError):
    """The object doesn't exist."""


class ExistsError(MxsparkError):
    """An object of this name exists already."""


class ForbiddenError(MxsparkError):
    """The user lacks a permission."""


def meaning(
    status: int, body: str | None, reason: str | None, doing: str, context: str, namespace: str
) -> MxsparkError:
    """The error for a response with this HTTP status. `context` names the cluster."""
    answer = _parsed(body)
    message = str(answer.get("message") or reason or "")
    if status == UNAUTHORIZED:
        return UsageError(f"{context} rejects the credentials of the kubeconfig", "Log in again; check --kube-context.")
    if status == FORBIDDEN:
        return _forbidden(message, doing, namespace)
    if answer.get("kind") == "Status":  # else it is the response of a proxy in front of the API server
        if status == NOT_FOUND:
            return MissingObjectError(
                f"{doing}: it does not exist in namespace {namespace}", "Check the name and --namespace."
            )
        if status == CONFLICT:
            return ExistsError(f"{doing}: it exists already in namespace {namespace}", "Use another name.")
        if status in (BAD_REQUEST, INVALID):
            return UsageError(f"{doing}: Kubernetes rejects it: {message}", "Correct the setting that causes it.")
    return PassingError(f"{doing} failed: HTTP {status} {message}", "Try again later.")


def _forbidden(message: str, doing: str, namespace: str) -> MxsparkError:
    if "exceeded quota" in message:
        return UsageError(f"{doing}: {message}", "Request less, or have the namespace's quota raised.")
    if "violates PodSecurity" in message:
        return UsageError(f"{doing}: {message}", "Remove from kubernetes.*.template what the namespace forbids.")
    if "serviceaccount" in message and "not found" in message:
        return UsageError(
            f"{doing}: {message}", "Create that service account, or name another: kubernetes.service_account."
        )
    if MISSING_RIGHT.search(message) or not message:
        problem = f"{doing} in namespace {namespace} is not allowed: {message}"
        return ForbiddenError(problem, "docs/kubernetes.md lists the permissions that are needed.")
    return UsageError(
        f"{doing}: Kubernetes rejects it: {message}",
        "Correct the setting that causes it: a limit or policy of the namespace forbids it.",
    )


def _parsed(body: str | None) -> Mapping[str, Any]:
    """A response's body if it is Kubernetes' own, else nothing."""
    try:
        return document.read_yaml(body or "", "answer")
    except UsageError:
        return {}


def cause(error: BaseException) -> str:
    """The innermost of urllib3's exceptions, which are wrapped in one another."""
    reason = getattr(error, "reason", None)
    return (
        cause(reason)
        if isinstance(reason, BaseException)
        else re.sub(r"^<.*?>: |HTTPS?Connection\(.*?\): ", "", one_line(error))
    )
