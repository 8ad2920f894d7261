"""What EMR on EKS sets itself, in its own words: a request's properties go on top of these."""

DEFAULTS = {
    **{
        f"spark.{role}.defaultJavaOptions": "-XX:OnOutOfMemoryError='kill -9 %p' -XX:+UseParallelGC "
        "-XX:InitiatingHeapOccupancyPercent=70"
        for role in ("driver", "executor")
    },
    "spark.kubernetes.driver.podTemplateContainerName": "spark-kubernetes-driver",
    "spark.kubernetes.executor.podTemplateContainerName": "spark-kubernetes-executor",
}


def properties_file(properties: dict[str, str]) -> str:
    """As Spark reads it."""
    return "".join(f"{key} {value}\n" for key, value in properties.items())
