"""What the API server knows, asked for in this process: kubectl takes a tenth of a second of a processor for each
look, and tests that wait look often.
"""

import json
import ssl
import tempfile
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

import urllib3
import yaml

# What tests list, by the part of the API that has it.
GROUPS = {
    **dict.fromkeys(("configmaps", "pods", "secrets", "serviceaccounts", "services"), "api/v1"),
    "jobs": "apis/batch/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    **dict.fromkeys(("roles", "rolebindings"), "apis/rbac.authorization.k8s.io/v1"),
}


def listed(kubeconfig: Path, namespace: str, kind: str, selector: str) -> list[dict[str, Any]]:
    """The objects of a kind, each with its kind as kubectl tells it."""
    found = _get(kubeconfig, f"{GROUPS[kind]}/namespaces/{namespace}/{kind}", labelSelector=selector)
    what = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    return [what | item for item in found["items"]]


def pod(kubeconfig: Path, namespace: str, name: str) -> dict[str, Any]:
    return _get(kubeconfig, f"api/v1/namespaces/{namespace}/pods/{name}")


def _get(kubeconfig: Path, path: str, **query: str) -> dict[str, Any]:
    """Fails the test where the server refuses."""
    url, pool = _server(kubeconfig)
    answer = pool.request("GET", f"{url}/{path}", fields=query)
    assert answer.status == 200, f"{path}: {answer.status}: {answer.data.decode(errors='replace')[:1000]}"
    found: dict[str, Any] = json.loads(answer.data)
    return found


@cache
def _server(kubeconfig: Path) -> tuple[str, urllib3.PoolManager]:
    """Where it is, and connections to it as the user of the current context, who has a certificate, as kind's have.

    Not by the package kubernetes, which takes the variable KUBECONFIG as it was at its import for all later commands.
    """
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config, "context", config["current-context"])
    cluster, user = _named(config, "cluster", context["cluster"]), _named(config, "user", context["user"])
    trust = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
        file.flush()
        trust.load_cert_chain(file.name)
    return cluster["server"], urllib3.PoolManager(ssl_context=trust)


def _named(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    return next(dict(each[kind]) for each in config[f"{kind}s"] if each["name"] == name)
