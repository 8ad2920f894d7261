"""Manifests that tests apply: pods that the restricted Pod Security Standard admits, and what Spark needs in a
namespace.
"""

from typing import Any

from examples.s3 import Server

SERVICE_ACCOUNT = "spark"
BUCKET_KEYS = "bucket-keys"
# What Spark's driver does with the executors' objects.
VERBS = ("create", "get", "list", "watch", "update", "patch", "delete", "deletecollection")
RESOURCES = ("pods", "services", "configmaps", "persistentvolumeclaims")

RESTRICTED_POD = {
    "runAsNonRoot": True,
    "runAsUser": 185,
    "runAsGroup": 185,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pod(name: str, image: str, *command: str, env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod with one container, admitted in restricted namespaces, that isn't started again when it ends."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "env": [{"name": variable, "value": value} for variable, value in (env or {}).items()],
        "securityContext": RESTRICTED_CONTAINER,
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }
    defaults = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {**defaults, "securityContext": RESTRICTED_POD, "containers": [container], **spec},
    }


def service(name: str, port: int, target: int) -> dict[str, Any]:
    """A ClusterIP in front of the pods with the label app=name."""
    spec = {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def namespace(name: str) -> dict[str, Any]:
    """A namespace that admits restricted pods only."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "mxspark-tests": "true"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def bucket_keys(server: Server) -> dict[str, Any]:
    """The secret from which a job's pods get the keys of an S3 server."""
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": BUCKET_KEYS}, "stringData": keys}


def spark_account(namespace: str) -> tuple[dict[str, Any], ...]:
    """The ServiceAccount that Spark's driver runs as, with the least rights that it can do with."""
    api = "rbac.authorization.k8s.io"
    metadata = {"name": SERVICE_ACCOUNT, "namespace": namespace}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    rules = [{"apiGroups": [""], "resources": RESOURCES, "verbs": VERBS}]
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": api, "kind": "Role", "name": SERVICE_ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": namespace}],
    }
    return account, role, binding
