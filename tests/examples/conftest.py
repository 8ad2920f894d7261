"""The two examples need what the Spark tier needs: Java, MXNet, and that they were built."""

from tests.spark.conftest import missing

__all__ = ["missing"]
