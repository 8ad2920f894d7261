"""Other users of the cluster than its administrator, and kubeconfigs for them."""

from pathlib import Path
from typing import Any

import yaml
from tests.kubernetes.kubectl import Kubectl, Manifest

Rule = tuple[str, str, str]  # group, resources, verbs


def kubeconfig(kubectl: Kubectl, folder: Path, **changes: Any) -> str:
    """A copy of the cluster's kubeconfig with another `server` or `user`."""
    config = kubectl.json("config", "view", "--raw", "--minify")
    if "server" in changes:
        config["clusters"][0]["cluster"] = {"server": changes["server"]}
    if "user" in changes:
        config["users"][0]["user"] = changes["user"]
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))  # in blocks: Spark takes what begins with { for a token
    return str(file)


def account(name: str, *rules: Rule) -> tuple[Manifest, ...]:
    """A ServiceAccount as a user who may do these things."""
    api = "rbac.authorization.k8s.io"
    metadata = {"name": name}
    written = [
        {"apiGroups": [group], "resources": kinds.split(), "verbs": verbs.split()} for group, kinds, verbs in rules
    ]
    reference = {"apiGroup": api, "kind": "Role", "name": name}
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": written},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [{"kind": "ServiceAccount", "name": name}],
        },
    )


def as_user(kubectl: Kubectl, folder: Path, *rules: Rule) -> str:
    """The kubeconfig of a user who has these rights."""
    kubectl.apply(*account("person", *rules))
    token = kubectl("create", "token", "person").strip()
    return kubeconfig(kubectl, folder, user={"token": token})
