"""Warns while a cluster provides no executors, for which Spark waits silently."""

import time

from mxspark.run.progress import RunListener
from mxspark.settings.job import SparkSettings
from mxspark.spark import pods
from mxspark.spark.application import Application

WARNING_SECONDS = 60  # between warnings


class ExecutorWatch:
    """Adds a note from time to time while there are no executors."""

    def __init__(self, spark: Application, settings: SparkSettings, progress: RunListener) -> None:
        self._spark = spark
        self._settings = settings
        self._progress = progress
        self._started = time.monotonic()
        self._next = self._started + WARNING_SECONDS

    def check(self) -> None:
        """Is cheap until a warning is due."""
        if time.monotonic() < self._next:
            return
        self._next += WARNING_SECONDS
        if self._spark.executors != 0:
            return
        look = "the master's web page shows its resources"
        if self._spark.is_kubernetes:
            selector = ",".join(
                f"{key}={value}" for key, value in pods.labels(self._settings.app_name, "executor").items()
            )
            look = (
                f"`kubectl describe pods -l {selector}` shows why their pods don't start; if there are none, check the "
                "quotas"
            )
        waited = time.monotonic() - self._started
        self._progress.note(f"No executors after {waited:.0f} s (0 of {self._settings.executors} running): {look}.")
