"""Spark 3.5, which EMR on EKS has: beside the virtual environment, in .spark35."""

import importlib.metadata

from tests.command import REPOSITORY
from tests.spark.conftest import missing as missing_for_spark
from tests.tiers import Missing

SPARK_35 = REPOSITORY / ".spark35"


def missing() -> Missing | None:
    found = [
        package.version
        for package in importlib.metadata.distributions(path=[str(SPARK_35)])
        if package.name == "pyspark"
    ]
    if not found or not found[0].startswith("3.5."):
        return Missing("pyspark 3.5 is not there", "tools/setup.sh dev puts it into .spark35")
    return missing_for_spark()
