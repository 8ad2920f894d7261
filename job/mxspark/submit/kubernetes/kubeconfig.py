"""How a cluster is found: by kubectl's rules."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxspark.errors import UsageError, one_line

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CHECK = "Check --kubeconfig or KUBECONFIG."


@dataclass(frozen=True)
class Connection:
    """The configured client, the default namespace, and what messages call the cluster."""

    client: Any
    namespace: str
    cluster: str


def connect(kubeconfig: str | None, context: str | None) -> Connection:
    """By the kubeconfig (KUBECONFIG, ~/.kube/config) and its current context; if there is none, by the pod's own
    service account.

    Raises UsageError if neither can be used.
    """
    try:
        from kubernetes import client, config
    except ImportError:
        raise UsageError(
            "the package kubernetes is not installed",
            "Install it, in mxspark's repository: pip install '.[kubernetes]'",
        ) from None
    contexts, current = _read(kubeconfig)
    if contexts is None:
        if kubeconfig or context:
            raise UsageError(
                f"the kubeconfig can't be read: there is no file {kubeconfig or 'of KUBECONFIG or ~/.kube/config'}",
                CHECK,
            )
        return _in_pod(client, config)
    name = context or current or ""
    if name not in contexts:
        what = f"no context {name!r}" if name else "no current context"
        if not contexts:
            raise UsageError(
                "the kubeconfig has no contexts",
                "Name another: --kubeconfig FILE, or the variable KUBECONFIG.",
            )
        raise UsageError(
            f"the kubeconfig has {what}; it has: {', '.join(contexts)}", "Choose one of them: --kube-context."
        )
    try:
        with _errors_raised():
            config.load_kube_config(kubeconfig, name)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001  # missing certificates, failing credential plugins
        raise UsageError(
            f"context {name} of the kubeconfig can't be used: {one_line(error)}", "Fix it; kubectl shows more."
        ) from None
    return Connection(client, contexts[name].get("namespace") or "default", f"the cluster of context {name}")


def _read(kubeconfig: str | None) -> tuple[Mapping[str, Mapping[str, Any]] | None, str | None]:
    """The contexts by name, None if there is no file; and the current one."""
    from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger

    try:
        merged = KubeConfigMerger(kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION).config  # type: ignore[no-untyped-call]
        if merged is None:
            return None, None
        contexts = {str(node["name"]): dict(node["context"].value or {}) for node in merged.value["contexts"]}
        current: str | None = merged.value.get("current-context")
        return contexts, current
    except Exception as error:  # noqa: BLE001  # not YAML, or not a kubeconfig
        raise UsageError(f"the kubeconfig can't be read: {one_line(error)}", CHECK) from None


def _in_pod(client: Any, config: Any) -> Connection:
    try:
        config.load_incluster_config()
        return Connection(client, POD_NAMESPACE.read_text().strip(), "this pod's cluster")
    except (config.ConfigException, OSError):
        raise UsageError(
            "no cluster is configured: there is no kubeconfig, and this is not a pod with a service account",
            "Name one: --kubeconfig FILE, or the variable KUBECONFIG.",
        ) from None


@contextmanager
def _errors_raised() -> Iterator[None]:
    """Raises what the package only logs: why a credential plugin failed. It would continue without credentials."""
    logged: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
    if logged:
        raise UsageError(logged[0])
