"""Pods of executors on nodes that are gone: which are removed, and when."""

from collections.abc import Iterator

import pytest

from mxspark.spark.lost_pods import LOOK_SECONDS, PATIENCE_SECONDS, LostPods

DRIVER = "10.0.0.1"
TWO_EXECUTORS = 3  # with the driver


class Cluster:
    """Pods that are leaving, and the addresses that Spark has."""

    def __init__(self) -> None:
        self.pods: dict[str, str] = {}
        self.alive = {DRIVER}
        self.removed: list[str] = []
        self.asked = 0

    def leaving(self) -> dict[str, str]:
        self.asked += 1
        return dict(self.pods)

    def remove(self, name: str) -> None:
        self.removed.append(name)
        del self.pods[name]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def lost_pods(cluster: Cluster) -> Iterator[LostPods]:
    found = LostPods(cluster, lambda: cluster.alive, TWO_EXECUTORS)
    yield found
    found.stop()


def look(lost_pods: LostPods, seconds: float) -> None:
    """As often as in so many seconds."""
    for step in range(int(seconds // LOOK_SECONDS) + 1):
        lost_pods.look(step * LOOK_SECONDS)


def test_a_pod_that_does_not_go_is_removed(cluster: Cluster, lost_pods: LostPods) -> None:
    cluster.pods = {"lost": "10.0.0.2"}
    look(lost_pods, PATIENCE_SECONDS + LOOK_SECONDS)
    assert cluster.removed == ["lost"]


def test_a_pod_that_is_just_going_is_left_to_its_node(cluster: Cluster, lost_pods: LostPods) -> None:
    look(lost_pods, 10 * PATIENCE_SECONDS)  # nodes have been scarce for long
    cluster.pods = {"going": "10.0.0.2"}
    lost_pods.look(11 * PATIENCE_SECONDS)
    cluster.pods = {}
    lost_pods.look(11 * PATIENCE_SECONDS + LOOK_SECONDS)
    assert cluster.removed == []


def test_an_executor_that_ends_its_shard_keeps_its_pod(cluster: Cluster, lost_pods: LostPods) -> None:
    cluster.pods = {"ending": "10.0.0.2"}
    cluster.alive = {DRIVER, "10.0.0.2"}
    look(lost_pods, 10 * PATIENCE_SECONDS)
    assert cluster.removed == []


def test_while_all_executors_are_there_nothing_is_asked(cluster: Cluster, lost_pods: LostPods) -> None:
    cluster.pods = {"old": "10.0.0.2"}
    cluster.alive = {DRIVER, "10.0.0.3", "10.0.0.4"}
    look(lost_pods, 10 * PATIENCE_SECONDS)
    assert (cluster.asked, cluster.removed) == (0, [])


def test_executors_that_are_just_starting_are_waited_for(cluster: Cluster, lost_pods: LostPods) -> None:
    look(lost_pods, PATIENCE_SECONDS - LOOK_SECONDS)
    assert cluster.asked == 0
