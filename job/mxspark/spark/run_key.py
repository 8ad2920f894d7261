"""The key of a run: Spark's processes know each other by it, and encrypt with it what they say. Whoever lacks it gets
no task.

On Kubernetes it is in a secret that the driver makes: it belongs to the driver's pod and goes with it. Where the driver
may make none, Spark itself writes the key into the specs of the executors' pods, for all to read who may read pods.
"""

import json
import secrets
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxspark.errors import one_line
from mxspark.spark import pods
from mxspark.spark.run_folders import Properties

AUTHENTICATE = "spark.authenticate"
PROPERTIES = {
    AUTHENTICATE: "true",
    "spark.network.crypto.enabled": "true",
    "spark.network.crypto.saslFallback": "false",
    "spark.network.crypto.authEngineVersion": "2",  # Spark 3.5's default is 1, whose key exchange is weaker
    "spark.io.encryption.enabled": "true",
    "spark.acls.enable": "true",  # Spark's pages are for the job's owner, where something tells Spark who reads them
}
# AES with authentication, in Spark 3.5.2 and later; those before know AES/CTR alone.
CIPHER, CIPHER_SINCE = {"spark.network.crypto.cipher": "AES/GCM/NoPadding"}, (3, 5, 2)
SECRET = "spark.authenticate.secret"  # noqa: S105  # a property's name
# Ways in which a user gives a secret.
SECRETS = (SECRET, f"{SECRET}.file", f"{SECRET}.driver.file", f"{SECRET}.executor.file")
BITS = 256
FILE = "key"
VARIABLE = "_SPARK_AUTH_SECRET"  # org.apache.spark.SecurityManager.ENV_AUTH_SECRET


@dataclass(frozen=True)
class Owner:
    """The driver's pod."""

    name: str
    namespace: str


def is_ours(master: str) -> bool:
    """Whether the key is a matter of the run: a cluster of Spark's own, or YARN, has its administrator's."""
    return master.startswith(("local", "k8s://"))


def properties(master: str, spark_version: str) -> dict[str, str]:
    """Spark's properties, all but the key itself."""
    if not is_ours(master):
        return {}
    version = tuple(int(number) for number in spark_version.split(".") if number.isdecimal())
    return PROPERTIES | (CIPHER if version >= CIPHER_SINCE else {})


def fresh() -> str:
    return secrets.token_hex(BITS // 8)


def give(properties: Properties, jvm: Any, instance: str, folder: Path) -> str | None:
    """Gives the run's key to its processes, where Spark doesn't by itself; `folder` is the driver's own.

    Returns why the key isn't in a secret of Kubernetes, where it should be.
    """
    master = properties.get("spark.master") or ""
    if properties.get(AUTHENTICATE) != "true" or any(map(properties.contains, SECRETS)):
        return None
    if master.startswith("local-cluster"):
        properties.set(SECRET, fresh())
    if master.startswith("k8s://"):
        pod, namespace = (
            properties.get("spark.kubernetes.driver.pod.name"),
            properties.get("spark.kubernetes.namespace"),
        )
        if pod is None:
            return "the driver's pod isn't known"
        try:
            found = share(jvm, Owner(pod, namespace or "default"), instance, folder)
        except Exception as error:  # noqa: BLE001  # py4j raises what it likes
            return why_not(error)
        for key, value in found.items():
            properties.set(key, value)
    return None


def share(jvm: Any, owner: Owner, instance: str, folder: Path) -> dict[str, str]:
    """Makes a key and the secret with it; returns the properties by which driver and executors find it.

    `folder` is the driver's own. Raises what py4j raises where the driver may not make secrets.
    """
    key, name = fresh(), f"mxspark-key-{secrets.token_hex(8)}"
    with closing(jvm.io.fabric8.kubernetes.client.KubernetesClientBuilder().build()) as client:
        pod = client.pods().inNamespace(owner.namespace).withName(owner.name).get()
        manifest = _manifest(name, key, owner, str(pod.getMetadata().getUid()), instance)
        client.resource(json.dumps(manifest)).create()
    file = folder / FILE
    file.touch(mode=0o600)
    file.write_text(key)
    return {
        f"{SECRET}.driver.file": str(file),
        # Executors have it from their environment. Where a file is named too, Spark doesn't write it into their pods'
        # specs; it would read it where executors knew their master, which they don't.
        f"{SECRET}.executor.file": "/dev/null",
        f"spark.kubernetes.executor.secretKeyRef.{VARIABLE}": f"{name}:{FILE}",
    }


def why_not(error: Exception) -> str:
    """Why there is no secret, in the words of Kubernetes."""
    cause = getattr(error, "java_exception", None)
    return one_line(Exception(cause.getMessage()) if cause is not None else error)


def _manifest(name: str, key: str, owner: Owner, uid: str, instance: str) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": owner.name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": pods.labels(instance, "key"),
            "ownerReferences": [reference],
        },
        "immutable": True,
        # In a file Spark takes what is encoded so for the key, in the variable the key itself.
        "stringData": {FILE: b64encode(key.encode()).decode()},
    }
