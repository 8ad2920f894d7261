"""Buckets: the only place that imports boto3 and obstore."""

from mxspark.storage.s3.store import S3Store

__all__ = ["S3Store"]
