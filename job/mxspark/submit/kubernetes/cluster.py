"""A Kubernetes cluster: the few API calls that mxspark makes.

Only this and kubeconfig.py import the package kubernetes, and only when a cluster is needed: the images do without it.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from mxspark.errors import MxsparkError, PassingError, UsageError, one_line
from mxspark.spark.pods import Manifest
from mxspark.submit.kubernetes import api_errors, kubeconfig, pod_log
from mxspark.submit.kubernetes.api_errors import FORBIDDEN, NOT_FOUND, ForbiddenError, MissingObjectError

OLDEST = (1, 27)  # the first that labels pods with their Job's uid (manifests.py)
CONNECT_SECONDS, READ_SECONDS = 5, 30
STRICT = {"field_validation": "Strict"}  # else the API server drops unknown fields silently
QUIET_SECONDS = 300  # without a line, after which a log that is followed is requested again


@dataclass(frozen=True)
class Cluster:
    """A connection, and the namespace of all requests."""

    namespace: str
    context: str  # in words, for messages
    _client: Any
    flags: str = ""  # that select this cluster and namespace on a command line
    version: tuple[int, ...] = OLDEST

    @classmethod
    def connect(cls, file: str | None = None, context: str | None = None, namespace: str | None = None) -> "Cluster":
        """By the kubeconfig `file` and its `context`, by default kubectl's (kubeconfig.py).

        Raises UsageError if no cluster can be reached, or if it is too old.
        """
        connection = kubeconfig.connect(file, context)
        client, address = connection.client, connection.cluster
        given = {"--namespace": namespace or connection.namespace, "--kube-context": context, "--kubeconfig": file}
        flags = " ".join(f"{flag} {shlex.quote(value)}" for flag, value in given.items() if value)
        cluster = cls(namespace or connection.namespace, address, client, flags)
        try:
            with cluster._errors("reaching the cluster"):
                version = client.VersionApi().get_code(_request_timeout=(CONNECT_SECONDS, READ_SECONDS))
        except PassingError as error:
            raise UsageError(error.problem, error.hint) from None
        numbers = tuple(int(re.sub(r"\D", "", part) or 0) for part in (version.major, version.minor))
        if numbers < OLDEST:
            raise UsageError(
                f"{address} runs Kubernetes {version.major}.{version.minor}, and mxspark needs {OLDEST[0]}.{OLDEST[1]} "
                "or newer",
                "Upgrade the cluster, or use plain spark-submit (docs/kubernetes.md).",
            )
        cluster = replace(cluster, version=numbers)
        with cluster._errors(f"looking for namespace {cluster.namespace}", quiet=(FORBIDDEN,)):
            try:
                client.CoreV1Api().read_namespace(cluster.namespace, _request_timeout=(CONNECT_SECONDS, READ_SECONDS))
            except client.ApiException as error:
                if error.status == NOT_FOUND:
                    raise UsageError(
                        f"{address} has no namespace {cluster.namespace}",
                        "Check --namespace and --kube-context, or create it: kubectl create namespace.",
                    ) from None
                raise
        return cluster

    def create(self, manifest: Manifest) -> Manifest:
        """Creates an object. Raises ExistsError, ForbiddenError, or UsageError if Kubernetes rejects it."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        return self._call(f"creating the {kind} {name}", self._creators()[kind], self.namespace, manifest, **STRICT)

    def check(self, manifest: Manifest) -> None:
        """As `create`, but as a dry run: the API server only validates the object."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self._call(
            f"checking the {kind} {name}", self._creators()[kind], self.namespace, manifest, dry_run="All", **STRICT
        )

    def _creators(self) -> dict[str, Callable[..., Any]]:
        core, rights = self._client.CoreV1Api(), self._client.RbacAuthorizationV1Api()
        return {
            "Job": self._client.BatchV1Api().create_namespaced_job,
            "Pod": core.create_namespaced_pod,
            "ConfigMap": core.create_namespaced_config_map,
            "Service": core.create_namespaced_service,
            "ServiceAccount": core.create_namespaced_service_account,
            "Role": rights.create_namespaced_role,
            "RoleBinding": rights.create_namespaced_role_binding,
            "NetworkPolicy": self._client.NetworkingV1Api().create_namespaced_network_policy,
        }

    def start(self, name: str) -> None:
        """Starts a Job that was created suspended."""
        self._call(
            f"starting the Job {name}",
            self._client.BatchV1Api().patch_namespaced_job,
            name,
            self.namespace,
            {"spec": {"suspend": False}},
        )

    def job(self, name: str) -> Manifest:
        """Raises MissingObjectError."""
        return self._call(
            f"reading the Job {name}", self._client.BatchV1Api().read_namespaced_job, name, self.namespace
        )

    def jobs(self, selector: str) -> list[Manifest]:
        """The Jobs that have these labels."""
        return self._list("listing the Jobs", self._client.BatchV1Api().list_namespaced_job, label_selector=selector)

    def delete_job(self, name: str) -> None:
        """Deletes a Job, and then all that it owns. Raises MissingObjectError."""
        self._call(
            f"deleting the Job {name}",
            self._client.BatchV1Api().delete_namespaced_job,
            name,
            self.namespace,
            propagation_policy="Background",
        )

    def pods(self, selector: str) -> list[Manifest]:
        """The pods that have these labels, the oldest first."""
        found = self._list("listing the pods", self._client.CoreV1Api().list_namespaced_pod, label_selector=selector)
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def config_map(self, name: str) -> Manifest:
        """Raises MissingObjectError."""
        return self._call(
            f"reading the ConfigMap {name}", self._client.CoreV1Api().read_namespaced_config_map, name, self.namespace
        )

    def events(self, name: str) -> list[Manifest]:
        """The events of the object `name`, the oldest first; none if they may not be listed."""
        try:
            found = self._list(
                "listing events",
                self._client.CoreV1Api().list_namespaced_event,
                field_selector=f"involvedObject.name={name}",
            )
        except ForbiddenError:
            return []
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def quotas(self) -> list[Manifest]:
        """The namespace's resource quotas; none if they may not be listed."""
        try:
            return self._list("listing quotas", self._client.CoreV1Api().list_namespaced_resource_quota)
        except ForbiddenError:
            return []

    def nodes(self) -> list[Manifest]:
        """The cluster's nodes; none if they may not be listed, which few users may."""
        try:
            found: list[Manifest] = self._call("listing the nodes", self._client.CoreV1Api().list_node)["items"]
        except ForbiddenError:
            return []
        return found

    def log(self, pod: str, container: str, tail: int | None = None) -> Iterator[str]:
        """The lines of a container's log so far. Raises MissingObjectError."""
        last = {} if tail is None else {"tail_lines": tail}
        return (pod_log.written(line)[1] for line in self._lines(pod, container, last, READ_SECONDS))

    def follow_log(self, pod: str, container: str, stop: Event, tail: int | None = None) -> Iterator[str]:
        """The same until the container ends, or `stop` is set."""
        last = {} if tail is None else {"tail_lines": tail}

        def read(seconds: int | None) -> Iterator[str]:
            since = last if seconds is None else {"since_seconds": seconds}
            return self._lines(pod, container, since | {"follow": True}, QUIET_SECONDS)

        return pod_log.follow(read, lambda: self._runs(pod, container), stop)

    def _lines(self, pod: str, container: str, options: Mapping[str, Any], seconds: float) -> Iterator[str]:
        """Lines with their timestamps, until the connection ends or none comes for `seconds`."""
        with self._errors(f"reading the log of pod {pod}"):
            response = self._client.CoreV1Api().read_namespaced_pod_log(
                pod,
                self.namespace,
                container=container,
                timestamps=True,
                _preload_content=False,
                _request_timeout=(CONNECT_SECONDS, seconds),
                **options,
            )
            rest = b""
            try:
                for some in response.stream(decode_content=True):
                    *lines, rest = (rest + some).split(b"\n")
                    yield from (line.decode(errors="replace") for line in lines)
            except Exception as error:
                if not ("follow" in options and type(error).__module__.startswith("urllib3")):
                    raise
                return  # the rest of a line: the whole line will be sent again
            if rest:
                yield rest.decode(errors="replace")

    def _runs(self, pod: str, container: str) -> bool:
        try:
            found = self._call(
                f"reading the pod {pod}", self._client.CoreV1Api().read_namespaced_pod, pod, self.namespace
            )
        except MissingObjectError:
            return False
        statuses = found["status"].get("containerStatuses") or ()
        return any(status["name"] == container and "running" in (status.get("state") or {}) for status in statuses)

    def _list(self, doing: str, lister: Callable[..., Any], **options: Any) -> list[Manifest]:
        found: list[Manifest] = self._call(doing, lister, self.namespace, **options)["items"]
        return found

    def _call(self, doing: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Manifest:
        """A response as plain data, with Kubernetes' own names."""
        with self._errors(doing):
            answer = function(*arguments, _request_timeout=(CONNECT_SECONDS, READ_SECONDS), **options)
            found: Manifest = self._client.ApiClient().sanitize_for_serialization(answer)
            return found

    @contextmanager
    def _errors(self, doing: str, quiet: tuple[int, ...] = ()) -> Iterator[None]:
        """Translates the client's exceptions, except those with a status in `quiet`."""
        try:
            yield
        except MxsparkError:
            raise
        except self._client.ApiException as error:
            if error.status not in quiet:
                raise api_errors.meaning(
                    error.status, error.body, error.reason, doing, self.context, self.namespace
                ) from None
        except OSError as error:
            raise PassingError(f"{self.context}: {doing} failed: {one_line(error)}", "Check the network.") from None
        except ValueError as error:  # no JSON, or of another form
            problem = f"{self.context}: {doing} failed: the response is not from Kubernetes: {one_line(error)}"
            raise PassingError(problem, "Check the cluster, and any proxy between it and this machine.") from None
        except Exception as error:
            if not type(error).__module__.startswith("urllib3"):
                raise
            raise PassingError(
                f"{self.context} can't be reached: {api_errors.cause(error)}", "Check the cluster, and --kube-context."
            ) from None


def amount(quantity: str) -> float:
    """`500m` as 0.5, `1Gi` as 2^30."""
    from kubernetes.utils.quantity import parse_quantity

    return float(parse_quantity(quantity))  # type: ignore[no-untyped-call]
