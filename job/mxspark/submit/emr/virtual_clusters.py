"""A virtual cluster of EMR on EKS: found by its id or name."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mxspark.errors import MxsparkError, UsageError
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


def needed(given: str | None) -> str:
    """The id or name itself. Raises UsageError if none is given."""
    if given is None:
        raise UsageError(
            "no virtual cluster is given: emr.virtual_cluster is not set",
            "Name it by its id or name: --virtual-cluster; `aws emr-containers list-virtual-clusters` lists them.",
        )
    return given


def find(aws: Aws, given: str | None) -> VirtualCluster:
    """The virtual cluster with this id or name, whatever its state. Raises UsageError."""
    given = needed(given)
    doing = f"looking for virtual cluster {given}"
    if ID.fullmatch(given):
        with suppress(NotThereError):  # a name may look like an id
            return _virtual_cluster(
                aws.call("emr-containers", "describe_virtual_cluster", doing, id=given)["virtualCluster"]
            )
    clusters = aws.pages("emr-containers", "list_virtual_clusters", "virtualClusters", doing)
    named = [_virtual_cluster(found) for found in clusters if given in (found.get("name"), found.get("id"))]
    running = [found for found in named if found.state == "RUNNING"]
    if len(running) > 1:
        raise UsageError(
            f"{len(running)} virtual clusters are called {given}: {', '.join(found.id for found in running)}",
            "Give the id of one of them.",
        )
    if not named:
        raise _no_cluster(aws, given)
    return (running or named)[0]


def _no_cluster(aws: Aws, given: str) -> UsageError:
    with suppress(MxsparkError):
        found = aws.pages("emr-containers", "list_virtual_clusters", "virtualClusters", "listing", states=["RUNNING"])
        names = sorted(f"{cluster['name']} ({cluster['id']})" for cluster in found)[:10]
        there = f"Running there: {', '.join(names)}." if names else "None is running there."
        return UsageError(
            f"there is no virtual cluster {given} in region {aws.region}",
            f"{there} Check --virtual-cluster and --region.",
        )
    return UsageError(
        f"there is no virtual cluster {given} in region {aws.region}", "Check --virtual-cluster and --region."
    )


def _virtual_cluster(found: Mapping[str, Any]) -> VirtualCluster:
    provider = found.get("containerProvider", {})
    namespace = provider.get("info", {}).get("eksInfo", {}).get("namespace", "")
    return VirtualCluster(found["id"], found.get("name", ""), found.get("state", ""), namespace, provider.get("id", ""))


def usable(aws: Aws, given: str | None) -> VirtualCluster:
    """The same. Raises UsageError if it accepts no jobs."""
    found = find(aws, given)
    if found.state != "RUNNING":
        raise UsageError(
            f"virtual cluster {found} is {found.state}, and accepts no jobs", STATE_HINTS.get(found.state, "")
        )
    return found
