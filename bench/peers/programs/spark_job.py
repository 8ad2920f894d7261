"""Spark as its guide to networks has it: predict_batch_udf. Each worker keeps its client and fetches with threads."""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import numpy as np
from botocore.config import Config
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, DoubleType, FloatType, IntegerType, StructField, StructType

from bench.peers.programs.task import Engine, Task, best, decode, from_arguments

FETCHERS = 16  # threads of a worker that fetch
PARTITIONS = 2  # of the keys, a worker
ROW = StructType(
    [
        StructField("classes", ArrayType(IntegerType())),
        StructField("probabilities", ArrayType(FloatType())),
        StructField("time", DoubleType()),
    ]
)


def client(task: Task) -> Any:
    return boto3.client("s3", endpoint_url=task.endpoint, config=Config(max_pool_connections=FETCHERS))


def predictor(task: Task) -> Callable[[], Callable[[Any], dict[str, Any]]]:
    """What predict_batch_udf calls once in each worker."""

    def make() -> Callable[[Any], dict[str, Any]]:
        engine, store, pool = Engine(task), client(task), ThreadPoolExecutor(FETCHERS)

        def image(key: str) -> Any:
            return decode(store.get_object(Bucket=task.bucket, Key=key)["Body"].read())

        def predict(keys: Any) -> dict[str, Any]:
            classes, probabilities = best(engine(np.stack(list(pool.map(image, keys)))))
            return {"classes": classes, "probabilities": probabilities, "time": np.full(len(keys), time.time())}

        return predict

    return make


def main() -> None:
    task = from_arguments()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master(f"local[{task.workers}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", str(task.batch_size))
        .getOrCreate()
    )
    pages = client(task).get_paginator("list_objects_v2").paginate(Bucket=task.bucket, Prefix=f"{task.prefix}/")
    keys = [(found["Key"],) for page in pages for found in page.get("Contents", [])]
    table = session.createDataFrame(keys, "key string").repartition(PARTITIONS * task.workers)
    predict = predict_batch_udf(predictor(task), return_type=ROW, batch_size=task.batch_size)
    table.withColumn("row", predict("key")).select("key", "row.*").write.parquet(f"file://{task.output}")
    session.stop()


if __name__ == "__main__":
    main()
