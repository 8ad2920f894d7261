"""A real Prometheus: its rules and queries checked, and a run of Spark that it watches."""

import shutil

from tests.spark.conftest import missing as missing_spark
from tests.tiers import Missing


def missing() -> Missing | None:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        return Missing(
            "no Prometheus: the programs prometheus and promtool are missing",
            "install them (Debian: apt-get install prometheus; macOS: brew install prometheus)",
        )
    return missing_spark()
