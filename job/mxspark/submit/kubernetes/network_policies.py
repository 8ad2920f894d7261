"""What may connect to a job's pods: driver and executors to each other, where Spark listens, and nobody else.

The chart's templates create the same. The network plugin enforces them; one without policy support ignores them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mxspark.spark import pods
from mxspark.spark.pods import Manifest

DRIVER, EXECUTOR = "driver", "executor"
# Spark properties that move its ports away from those that the policies open.
PORT_PROPERTIES = {"spark.driver.port", "spark.driver.blockManager.port", "spark.blockManager.port", "spark.ui.port"}


def policies(name: str, more: Sequence[Mapping[str, Any]] = (), metrics_port: int | None = None) -> list[Manifest]:
    """One for all pods of the job, which allows only `more` (ingress rules, by default none), and one for each kind
    of pod, which allows what it needs. The driver's `metrics_port` is for everybody.
    """
    metrics = [] if metrics_port is None else [{"ports": [{"port": metrics_port, "protocol": "TCP"}]}]
    from_executors = _from(name, [EXECUTOR], [pods.RPC_PORT, pods.BLOCK_PORT])
    return [
        _policy(name, name, None, [dict(rule) for rule in more]),
        _policy(f"{name}-driver", name, DRIVER, [from_executors, *metrics]),
        _policy(f"{name}-executor", name, EXECUTOR, [_from(name, [DRIVER, EXECUTOR], [pods.BLOCK_PORT])]),
    ]


def _policy(name: str, instance: str, component: str | None, ingress: Sequence[Manifest]) -> Manifest:
    chosen = {"matchLabels": pods.labels(instance, component)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": chosen, "policyTypes": ["Ingress"], "ingress": list(ingress)},
    }


def _from(instance: str, components: Sequence[str], ports: Sequence[int]) -> Manifest:
    peers: dict[str, Any] = {"matchLabels": pods.labels(instance, components[0] if len(components) == 1 else None)}
    if len(components) > 1:
        peers["matchExpressions"] = [{"key": pods.COMPONENT, "operator": "In", "values": list(components)}]
    return {"from": [{"podSelector": peers}], "ports": [{"port": port, "protocol": "TCP"} for port in ports]}
