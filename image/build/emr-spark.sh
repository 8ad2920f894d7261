#!/bin/sh
# Lets the virtual environment find the Python part of EMR's own Spark, which otherwise only spark-submit does: for `mxspark run`, `doctor`
# and `settings` without it. By a file that Python reads when it starts; the paths are of this release, as its py4j has a version in its name.
set -eu
ls /usr/lib/spark/python/lib/pyspark.zip /usr/lib/spark/python/lib/py4j-*-src.zip >/opt/mxspark/venv/lib/python3.11/site-packages/spark.pth
