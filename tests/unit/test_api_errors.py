"""What an API server's refusals mean, and what comes of something that lies before it."""

import json

import pytest

from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.submit.kubernetes import api_errors
from mxspark.submit.kubernetes.api_errors import ExistsError, ForbiddenError, MissingObjectError


def meaning(status: int, message: str, kind: str = "Status") -> MxsparkError:
    body = json.dumps({"kind": kind, "message": message})
    return api_errors.meaning(status, body, "Reason", "making the Pod x", "the cluster of context y", "vision")


NO_RIGHT = 'pods is forbidden: User "jane" cannot create resource "pods" in API group "" in the namespace "vision"'
TOO_MANY_RIGHTS = (
    'roles "x" is forbidden: user "jane" (groups=[]) is attempting to grant RBAC permissions not currently held'
)
QUOTA = 'pods "x" is forbidden: exceeded quota: small, requested: pods=1'
STANDARD = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": hostNetwork'
LIMIT = 'pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'
PRIORITY = 'pods "x" is forbidden: no PriorityClass with name high was found'
WEBHOOK = 'admission webhook "validation.gatekeeper.sh" denied the request: you must provide labels: {"owner"}'


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "Unauthorized", UsageError),
        (403, NO_RIGHT, ForbiddenError),
        (403, TOO_MANY_RIGHTS, ForbiddenError),
        (403, QUOTA, UsageError),
        (403, STANDARD, UsageError),
        (403, LIMIT, UsageError),
        (403, PRIORITY, UsageError),
        (403, WEBHOOK, UsageError),
        (404, 'pods "x" not found', MissingObjectError),
        (409, 'pods "x" already exists', ExistsError),
        (422, "spec.containers: Required value", UsageError),
        (429, "too many requests", PassingError),
        (500, "etcdserver: request timed out", PassingError),
    ],
)
def test_each_refusal_is_an_error_of_its_kind_with_kubernetes_words(
    status: int, message: str, kind: type[MxsparkError]
) -> None:
    found = meaning(status, message)
    assert type(found) is kind
    assert status == 401 or kind in (MissingObjectError, ExistsError) or message in found.problem
    assert found.hint


@pytest.mark.parametrize("body", ["<html>no such page</html>", "", "{", json.dumps({"error": "no route"})])
@pytest.mark.parametrize("status", [302, 400, 404, 408, 409, 410, 502])
def test_what_is_not_kubernetes_own_word_may_pass(status: int, body: str) -> None:
    found = api_errors.meaning(status, body, "Reason", "listing the pods", "the cluster", "vision")
    assert type(found) is PassingError
    assert f"HTTP {status}" in found.problem
