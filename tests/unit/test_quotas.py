"""How much room quotas leave."""

from typing import Any

import pytest

from mxspark.submit.kubernetes import quotas


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "small"}, "spec": spec, "status": {"hard": hard, "used": used}}


def test_a_quota_is_short_of_what_is_used_and_needed_together() -> None:
    small = quota({"requests.memory": "4Gi", "pods": "10"}, {"requests.memory": "3Gi", "pods": "2"})
    assert quotas.lacking(small, {"memory": 2 * 2**30, "pods": 3}) == ["requests.memory: 3Gi of 4Gi are used"]
    assert quotas.lacking(small, {"memory": 2**30, "pods": 8, "cpu": 100}) == []


@pytest.mark.parametrize("name", ["pods", "count/pods"])
def test_pods_are_counted_by_either_name(name: str) -> None:
    assert quotas.lacking(quota({name: "2"}, {name: "1"}), {"pods": 2}) == [f"{name}: 1 of 2 are used"]


def test_a_quota_that_is_new_lacks_nothing() -> None:
    assert quotas.lacking({"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}}, {"pods": 2}) == []


def test_a_quota_that_may_be_about_other_pods_lacks_nothing() -> None:
    assert quotas.lacking(quota({"pods": "0"}, {}, scopes=["BestEffort"]), {"pods": 1}) == []
    assert quotas.lacking(quota({"pods": "0"}, {}, scopeSelector={"matchExpressions": []}), {"pods": 1}) == []
