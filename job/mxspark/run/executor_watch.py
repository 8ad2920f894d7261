"""Reports how many executors there are, and warns while there are none, for which Spark waits silently."""

import time

from mxspark.run.progress import RunListener
from mxspark.settings.job import SparkSettings
from mxspark.spark import pods
from mxspark.spark.application import Application

WARNING_SECONDS = 60  # between warnings
LOOK_SECONDS = 5  # between two looks at how many there are


class ExecutorWatch:
    """Tells `progress` how many executors there are, with a note from time to time while there are none."""

    def __init__(self, spark: Application, settings: SparkSettings, progress: RunListener) -> None:
        self._spark = spark
        self._settings = settings
        self._progress = progress
        self._wanted = spark.most_executors if spark.executors is not None else 0  # once: it asks for all properties
        self._started = self._next_look = time.monotonic()
        self._next = self._started + WARNING_SECONDS

    def check(self) -> None:
        """Is cheap until a look is due."""
        now = time.monotonic()
        if now < self._next_look:
            return
        is_due = now >= self._next
        self._next += WARNING_SECONDS if is_due else 0
        self._next_look = min(now + LOOK_SECONDS, self._next)
        try:
            running = self._spark.executors
        except Exception:  # noqa: BLE001  # py4j raises what it likes when Java is gone, which ends the job itself
            return
        if running is not None:
            self._progress.executors(running, self._wanted)
        if is_due and running == 0:
            self._warn()

    def _warn(self) -> None:
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
