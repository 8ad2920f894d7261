"""Whether a namespace's quotas have room for a job's pods."""

from collections.abc import Mapping, Sequence

from mxspark.errors import UsageError
from mxspark.settings.job import Settings
from mxspark.spark.pod_size import PodSize, driver_size, executor_size
from mxspark.spark.pods import Manifest
from mxspark.submit.kubernetes.cluster import amount
from mxspark.text.words import counted

Needs = Mapping[str, float]  # by the quota's names; memory in bytes


def check(settings: Settings, quotas: Sequence[Manifest], namespace: str) -> None:
    """Raises UsageError if a quota has no room for all that the job requests."""
    dynamic = settings.spark.dynamic_allocation
    asked = max(1, dynamic.min_executors) if dynamic.enabled else settings.spark.executors
    driver, executor = driver_needs(settings), executor_needs(settings)

    def lacks(quota: Manifest, executors: int) -> list[str]:
        return lacking(quota, {key: driver.get(key, 0) + executors * executor.get(key, 0) for key in executor})

    for quota in quotas:
        if found := lacks(quota, asked):
            fit = next((number for number in range(asked - 1, -1, -1) if not lacks(quota, number)), None)
            what = "not even the driver" if fit is None else f"{fit} of {counted(asked, 'executor')}"
            raise UsageError(
                f"quota {quota['metadata']['name']} of namespace {namespace} leaves room for {what}: "
                f"{'; '.join(found)}",
                "Request fewer or smaller executors (spark.executors, spark.executor_memory, "
                "spark.executor_memory_overhead, kubernetes.executor.cpu_request), or have the quota raised.",
            )


def full(settings: Settings, quotas: Sequence[Manifest]) -> dict[str, str]:
    """A message for each quota, by its name, that has no room for one more executor: such a pod leaves no event, only
    a line in Spark's log.
    """
    found = {quota["metadata"]["name"]: lacking(quota, executor_needs(settings)) for quota in quotas}
    return {
        name: f"No more executors can be created: quota {name} has no room for one: {'; '.join(lacks)}"
        for name, lacks in found.items()
        if lacks
    }


def lacking(quota: Manifest, need: Needs) -> list[str]:
    """The resources of which a quota has too little left; none for one with scopes, which may not cover these pods."""
    if quota.get("spec", {}).get("scopes") or quota.get("spec", {}).get("scopeSelector"):
        return []
    status = quota.get("status", {})  # nothing while it is new
    used, hard = status.get("used", {}), status.get("hard", {})
    found = []
    for resource, asked in need.items():
        for key in (resource, *_OTHER_NAMES.get(resource, ())):
            if key in hard and amount(str(used.get(key, 0))) + asked > amount(str(hard[key])):
                found.append(f"{key}: {used.get(key, 0)} of {hard[key]} are used")
    return found


_OTHER_NAMES = {
    "cpu": ("requests.cpu",),
    "memory": ("requests.memory",),
    "ephemeral-storage": ("requests.ephemeral-storage",),
    "pods": ("count/pods",),
}


def driver_needs(settings: Settings) -> Needs:
    """What the driver's pod requests."""
    return _needs(driver_size(settings.spark, settings.kubernetes))


def executor_needs(settings: Settings) -> Needs:
    """What an executor's pod requests."""
    size = executor_size(settings.spark, settings.kubernetes)
    return _needs(size) | ({f"requests.{settings.kubernetes.gpu_vendor}/gpu": float(size.gpus)} if size.gpus else {})


def _needs(size: PodSize) -> dict[str, float]:
    asked, most, memory = amount(size.cpu_request), amount(size.cpu_limit), float(size.memory << 20)
    disk = amount(size.disk_request)
    return {
        "pods": 1,
        "cpu": asked,
        "limits.cpu": most,
        "memory": memory,
        "limits.memory": memory,
        "ephemeral-storage": disk,
    }
