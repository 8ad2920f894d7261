"""Executors' pods whose node is gone: they are asked to end, and no kubelet confirms that they have.

Spark takes such a pod for one that runs and starts none in its place, until somebody removes the node. So the driver
deletes it without waiting (as `kubectl delete --force` does) when Spark has given up the executor in it. Should it run
on, out of sight, it does no harm: a shard that is written twice is the same.
"""

import time
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Any, Protocol

LOOK_SECONDS = 10.0
# How long executors are fewer than they should be before pods are looked at: others start in half of it. A pod that is
# on its way out without an executor in it is gone within two seconds where its node lives; it is removed when it is
# seen so twice.
PATIENCE_SECONDS = 30.0


class Pods(Protocol):
    """The pods of an application's executors."""

    def leaving(self) -> dict[str, str]:
        """The names of those that are terminating and still there, and their addresses."""

    def remove(self, name: str) -> None:
        """At once, whatever its node says."""


class LostPods:
    """Removes them, in a thread of its own, until `stop`."""

    def __init__(self, pods: Pods, alive: Callable[[], Collection[str]], wanted: int) -> None:
        """`alive` are the addresses of the driver and the executors that Spark has, `wanted` is how many there
        should be.
        """
        self._pods = pods
        self._alive = alive
        self._wanted = wanted
        self._fewer_since: float | None = None
        self._seen: set[str] = set()
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(LOOK_SECONDS)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with suppress(Exception):  # Java is ending, or the API server can't be reached: the next look may do
                self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Removes what was seen leaving without an executor before, and still is."""
        alive = self._alive()
        if len(alive) >= self._wanted:
            self._fewer_since, self._seen = None, set()
            return
        self._fewer_since = now if self._fewer_since is None else self._fewer_since
        if now - self._fewer_since < PATIENCE_SECONDS:
            return
        leaving = {name for name, address in self._pods.leaving().items() if address not in alive}
        for name in leaving & self._seen:
            self._pods.remove(name)
        self._seen = leaving


class JavasPods:
    """Pods as Java's Kubernetes client (fabric8, which comes with Spark) reaches them: with Spark's own rights, to
    list and to delete.
    """

    def __init__(self, jvm: Any, namespace: str, application: str) -> None:
        self._jvm = jvm
        self._namespace = namespace
        self._application = application

    def leaving(self) -> dict[str, str]:
        with self._client() as client:
            chosen = client.pods().inNamespace(self._namespace).withLabel("spark-app-selector", self._application)
            pods = chosen.withLabel("spark-role", "executor").list().getItems()
            return {
                str(pod.getMetadata().getName()): str(pod.getStatus().getPodIP())
                for pod in pods
                if pod.getMetadata().getDeletionTimestamp() is not None
            }

    def remove(self, name: str) -> None:
        with self._client() as client:
            client.pods().inNamespace(self._namespace).withName(name).withGracePeriod(0).delete()

    def _client(self) -> Any:
        return closing(self._jvm.io.fabric8.kubernetes.client.KubernetesClientBuilder().build())
