"""The sample of the admission policies for drivers, with names of this cluster, and what a driver asks for under
them.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import yaml
from tests.command import REPOSITORY, Finished
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.manifests import BUCKET_KEYS

from mxspark.submit.kubernetes.manifests import _executors_account

SAMPLE = REPOSITORY / "examples" / "kubernetes" / "admission.yaml"
Pod = dict[str, Any]


@contextmanager
def policy(kubectl: Kubectl, driver: str, image: str, executor: Pod) -> Iterator[None]:
    """The sample is in force for a driver's account of kubectl's namespace; `executor` is one of its pods."""
    name = f"tests-{uuid4().hex[:8]}"
    names = {
        "system:serviceaccount:vision:mxspark": f"system:serviceaccount:{kubectl.namespace}:{driver}",
        '["mxspark-executor"]': json.dumps([_executors_account(driver)]),
        "registry.example/mxspark:0.1.0": image,
        '["bucket"]': json.dumps([BUCKET_KEYS]),
        "kubernetes.io/metadata.name: vision": f"kubernetes.io/metadata.name: {kubectl.namespace}",
        "mxspark-executors": name,
        "mxspark-progress": f"{name}-progress",
    }
    text = SAMPLE.read_text()
    for theirs, ours in names.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    made = list(yaml.safe_load_all(text))
    kubectl.apply(*made)
    try:
        foreign = copy.deepcopy(executor)
        foreign["spec"]["containers"][0]["image"] = "foreign"
        # The API server takes some seconds until it goes by a new policy.
        kubectl.wait_until(lambda: asked(kubectl, driver, foreign).code != 0, "the policy is in force")
        yield
    finally:
        kubectl.delete(*(f"{each['kind']}/{each['metadata']['name']}" for each in made))


def asked(kubectl: Kubectl, driver: str, pod: Pod) -> Finished:
    """What the API server answers to a driver that asks for such a pod; it makes none."""
    given = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"asked-{uuid4().hex[:8]}", "labels": pod["metadata"]["labels"]},
        "spec": {key: value for key, value in pod["spec"].items() if key != "nodeName"},
    }
    user = f"--as=system:serviceaccount:{kubectl.namespace}:{driver}"
    return kubectl.run("create", "--dry-run=server", "--filename=-", user, given=json.dumps(given))


def patched(kubectl: Kubectl, driver: str, pod: str, **changes: Any) -> Finished:
    """What the API server answers to a driver that patches a pod as drivers do; nothing is changed."""
    user = f"--as=system:serviceaccount:{kubectl.namespace}:{driver}"
    return kubectl.run(
        "patch", f"pod/{pod}", "--dry-run=server", "--type=merge", f"--patch={json.dumps(changes)}", user
    )
