"""mxspark: offline image inference with Apache MXNet on Apache Spark."""

__version__ = "0.1.0"
