"""A virtual cluster of EMR on EKS: found by its id or name."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mxspark.errors import UsageError
from mxspark.submit.emr.aws import Aws, NotThereError
from mxspark.submit.emr.diagnosis import STATE_HINTS

ID = re.compile(r"[0-9a-z]{25}")


@dataclass(frozen=True)
class VirtualCluster:
    """A namespace of an EKS cluster, as EMR knows it."""

    id: str
    name: str
    state: str
    namespace: str
    eks_cluster: str

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


def find(aws: Aws, given: str) -> VirtualCluster:
    """The virtual cluster with this id or name, whatever its state. Raises UsageError."""
    doing = f"looking for virtual cluster {given}"
    if ID.fullmatch(given):
        with suppress(NotThereError):  # a name may look like an id
            answer = aws.call("emr-containers", "describe_virtual_cluster", doing, id=given)
            return _of(answer["virtualCluster"])
    clusters = list(map(_of, aws.pages("emr-containers", "list_virtual_clusters", "virtualClusters", doing)))
    running = [found for found in clusters if found.state == "RUNNING"]
    if len(twins := [found.id for found in running if found.name == given]) > 1:
        raise UsageError(f"{len(twins)} virtual clusters are called {given}: {', '.join(twins)}", "Give an id.")
    if named := [found for found in (*running, *clusters) if found.name == given]:
        return named[0]
    there = f"Running there: {', '.join(sorted(map(str, running))[:10])}." if running else "None is running there."
    hint = f"{there} Check --virtual-cluster and --region."
    raise UsageError(f"there is no virtual cluster {given} in region {aws.region}", hint)


def _of(found: dict[str, Any]) -> VirtualCluster:
    """From AWS's description."""
    provider = found.get("containerProvider", {})
    namespace = provider.get("info", {}).get("eksInfo", {}).get("namespace", "")
    return VirtualCluster(found["id"], found["name"], found["state"], namespace, provider.get("id", ""))


def check_running(found: VirtualCluster) -> VirtualCluster:
    """Raises UsageError if it accepts no jobs."""
    if found.state != "RUNNING":
        hint = STATE_HINTS.get(found.state, "")
        raise UsageError(f"virtual cluster {found} is {found.state}, and accepts no jobs", hint)
    return found
