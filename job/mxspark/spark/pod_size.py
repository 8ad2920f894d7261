"""What the job's pods ask for: computed here for all who make pods, try them, or hold them against a quota."""

from dataclasses import dataclass

from mxspark.settings.job import Memory, SparkSettings, memory_bytes
from mxspark.settings.kubernetes import KubernetesSettings, PodSettings


@dataclass(frozen=True)
class PodSize:
    """Quantities as Kubernetes writes them; `memory` is what is asked for and also the most [MiB]."""

    cpu_request: str
    cpu_limit: str
    memory: int
    disk_request: str
    gpus: int = 0

    @property
    def requests(self) -> dict[str, str]:
        return {"cpu": self.cpu_request, "memory": f"{self.memory}Mi", "ephemeral-storage": self.disk_request}

    @property
    def limits(self) -> dict[str, str]:
        return {"cpu": self.cpu_limit, "memory": f"{self.memory}Mi"}


def driver_size(spark: SparkSettings, kubernetes: KubernetesSettings) -> PodSize:
    memory = _mebibytes(spark.driver_memory, spark.driver_memory_overhead)
    return _size(kubernetes, kubernetes.driver, spark.driver_cores, memory, 0)


def executor_size(spark: SparkSettings, kubernetes: KubernetesSettings) -> PodSize:
    memory = _mebibytes(spark.executor_memory, spark.executor_overhead)
    return _size(kubernetes, kubernetes.executor, spark.executor_cores, memory, spark.executor_gpus)


def _size(kubernetes: KubernetesSettings, chosen: PodSettings, cores: int, memory: int, gpus: int) -> PodSize:
    request, limit = chosen.cpu_request or str(cores), chosen.cpu_limit or str(cores)
    return PodSize(request, limit, memory, kubernetes.local_directory.request, gpus)


def _mebibytes(*parts: Memory) -> int:
    """Each part rounded up, for Spark counts in MiB."""
    return sum(-(-memory_bytes(part) >> 20) for part in parts)
