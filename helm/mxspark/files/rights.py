"""Asks the API server what this pod's service account may do: all that Spark's driver needs, and nothing that it must
not.

Usage: rights.py RULES   the rules of the driver's Role, JSON
"""

import json
import ssl
import sys
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
# What the driver can do without, and what becomes of it then.
OPTIONAL = {("create", "secrets"): "the run's key is in the executors' pods then"}
# (verb, group, resource, subresource, namespace); None: the pod's own. What would open other pods, other namespaces, or
# the cluster.
FORBIDDEN = [
    ("get", "", "secrets", "", None),
    ("list", "", "secrets", "", None),
    ("create", "", "pods", "exec", None),
    ("create", "", "serviceaccounts", "token", None),
    ("create", "rbac.authorization.k8s.io", "roles", "", None),
    ("create", "rbac.authorization.k8s.io", "rolebindings", "", None),
    ("update", "batch", "jobs", "", None),
    ("list", "", "pods", "", "kube-system"),
    ("create", "", "pods", "", "kube-system"),
    ("list", "", "nodes", "", ""),
    ("list", "", "namespaces", "", ""),
]


def is_allowed(verb: str, group: str, resource: str, subresource: str, namespace: str) -> bool:
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"}
    request = urllib.request.Request(API, json.dumps(review).encode(), headers)
    trust = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:  # noqa: S310  # it is https
        allowed: bool = json.load(answer)["status"]["allowed"]
    return allowed


def main() -> None:
    own = (ACCOUNT / "namespace").read_text()
    needed = [
        (verb, group, resource, "", None)
        for rule in json.loads(Path(sys.argv[1]).read_text())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    wrong = 0
    for expected, questions in ((True, needed), (False, FORBIDDEN)):
        for verb, group, resource, subresource, namespace in questions:
            allowed = is_allowed(verb, group, resource, subresource, own if namespace is None else namespace)
            what = (
                f"{verb} {resource}{'/' if subresource else ''}{subresource}{' in ' + namespace if namespace else ''}"
            )
            if expected and not allowed and (verb, resource) in OPTIONAL:
                print(f"ok, but may not {what}: {OPTIONAL[verb, resource]}", flush=True)
                continue
            verdict = "ok:" if allowed == expected else "WRONG:"
            wrong += allowed != expected
            print(verdict, "may" if allowed else "may not", what, flush=True)
    if wrong:
        sys.exit(f"{wrong} rights are not as they must be: see rbac.create and the RoleBindings of the service account")


main()
