"""What the API server's answers mean when it refuses something, as errors with a hint."""

import re
from collections.abc import Mapping
from typing import Any

from mxspark.errors import MxsparkError, PassingError, UsageError, one_line
from mxspark.settings import document

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, INVALID = 400, 401, 403, 404, 409, 422
# Whose right is missing; all other answers with 403 are about what was asked for: quotas, limits, policies, webhooks.
MISSING_RIGHT = re.compile(r"cannot \w+ (resource|path)|attempting to grant RBAC permissions", re.IGNORECASE)


class MissingObjectError(MxsparkError):
    """What was asked for isn't there."""


class ExistsError(MxsparkError):
    """An object of this name is there already."""


class ForbiddenError(MxsparkError):
    """The user has not the right."""


def meaning(
    status: int, body: str | None, reason: str | None, doing: str, context: str, namespace: str
) -> MxsparkError:
    """The error that an answer with this HTTP status stands for. `context` is the cluster in words."""
    told = _told(body)
    message = str(told.get("message") or reason or "")
    if status == UNAUTHORIZED:
        return UsageError(f"{context} does not know the user of the kubeconfig", "Log in again; check --kube-context.")
    if status == FORBIDDEN:
        return _forbidden(message, doing, namespace)
    if told.get("kind") == "Status":  # else they are words of something that lies before the API server
        if status == NOT_FOUND:
            return MissingObjectError(
                f"{doing}: there is none in namespace {namespace}", "Check the name and --namespace."
            )
        if status == CONFLICT:
            return ExistsError(f"{doing}: there is one already in namespace {namespace}", "Take another name.")
        if status in (BAD_REQUEST, INVALID):
            return UsageError(f"{doing}: Kubernetes refuses it: {message}", "Correct the setting that this comes from.")
    return PassingError(f"{doing} failed: HTTP {status} {message}", "Try again later.")


def _forbidden(message: str, doing: str, namespace: str) -> MxsparkError:
    if "exceeded quota" in message:
        return UsageError(f"{doing}: {message}", "Ask for less, or have the namespace's quota raised.")
    if "violates PodSecurity" in message:
        return UsageError(f"{doing}: {message}", "Take out of kubernetes.*.template what the namespace forbids.")
    if "serviceaccount" in message and "not found" in message:
        return UsageError(
            f"{doing}: {message}", "Make that service account, or name another: kubernetes.service_account."
        )
    if MISSING_RIGHT.search(message) or not message:
        problem = f"{doing} in namespace {namespace} is not allowed: {message}"
        return ForbiddenError(problem, "docs/kubernetes.md says which rights are needed.")
    return UsageError(
        f"{doing}: Kubernetes refuses it: {message}",
        "Correct the setting that this comes from; the namespace's limits say so.",
    )


def _told(body: str | None) -> Mapping[str, Any]:
    """An answer's body where it is Kubernetes' own, nothing otherwise."""
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
