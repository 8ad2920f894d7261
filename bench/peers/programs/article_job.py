"""A plain job as the article describes it (docs/article.md): an RDD of keys, a batch a partition; each partition is
fetched by a pool of processes with a client for each key, then decoded, then predicted by a Module; all is collected.

The article gives an executor one task, as MXNet uses all cores: here as many tasks as cores with one thread each, which
is faster. Scaling, which its network did not need, is done in MXNet.
"""

import multiprocessing
import os
import sys
import time
from collections import namedtuple
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pyspark import SparkConf, SparkContext

from bench.peers.programs.task import SIDE, Task, best, decode, from_arguments

Batch = namedtuple("Batch", ["data"])
_MODEL: dict[str, Any] = {}  # of this worker process, made on first use


def client(task: Task) -> Any:
    return boto3.client("s3", endpoint_url=task.endpoint)


def download(key: str, task: Task) -> bytes:
    body: bytes = client(task).get_object(Bucket=task.bucket, Key=key)["Body"].read()
    return body


def download_all(keys: Iterable[str], task: Task) -> list[bytes]:
    with multiprocessing.Pool(multiprocessing.cpu_count()) as pool:
        return pool.map(partial(download, task=task), list(keys))


def load_images(images: Iterable[bytes]) -> Iterator[Any]:
    yield np.stack([decode(data).transpose(2, 0, 1) for data in images])


def predict(batches: Iterable[Any], task: Task) -> Iterator[Any]:
    from examples.mxnet_import import mx

    if not _MODEL:
        _MODEL.update(module(task))
    for batch in batches:
        numbers = mx.nd.array(batch) * _MODEL["scale"]
        numbers = (numbers - _MODEL["mean"]) / _MODEL["std"]
        _MODEL["module"].forward(Batch([numbers]))
        classes, probabilities = best(_MODEL["module"].get_outputs()[0].asnumpy())
        for row, values in zip(classes, probabilities, strict=True):
            yield row.tolist(), values.tolist(), time.time()


def module(task: Task) -> dict[str, Any]:
    """The bundle's network, bound as the article binds it."""
    from examples.mxnet_import import mx

    folder = Path(task.network)
    spec = yaml.safe_load((folder / "model.yaml").read_text())
    steps = spec["preprocess"]
    parameters = mx.nd.load(str(folder / spec["params"]["file"]))
    kinds = [
        {name.partition(":")[2]: array for name, array in parameters.items() if name.startswith(kind)}
        for kind in ("arg:", "aux:")
    ]
    symbol = mx.sym.load(str(folder / spec["symbol"]["file"]))
    if spec["output"]["kind"] == "logits":
        symbol = mx.sym.softmax(symbol)
    made = mx.mod.Module(symbol=symbol, label_names=None)
    made.bind(for_training=False, data_shapes=[("data", (task.batch_size, 3, SIDE, SIDE))])
    made.set_params(*kinds, allow_missing=True)
    per_channel = {name: mx.nd.array(steps[name]).reshape((1, 3, 1, 1)) for name in ("mean", "std")}
    return {"module": made, "scale": steps["scale"], **per_channel}


def main() -> None:
    task = from_arguments()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    spark = SparkContext(f"local[{task.workers}]", conf=SparkConf().setAll(list(options.items())))
    pages = client(task).get_paginator("list_objects_v2").paginate(Bucket=task.bucket, Prefix=f"{task.prefix}/")
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    missing = -len(keys) % task.batch_size  # the last batch is filled with keys that come twice
    filled = keys + keys[:missing]
    rdd = spark.parallelize(filled, len(filled) // task.batch_size)
    rdd = rdd.mapPartitions(partial(download_all, task=task)).mapPartitions(load_images)
    rows = rdd.mapPartitions(partial(predict, task=task)).collect()[: len(keys)]
    classes, probabilities, times = zip(*rows, strict=True)
    table = pa.table({"key": keys, "classes": list(classes), "probabilities": list(probabilities), "time": list(times)})
    Path(task.output).mkdir(parents=True)
    pq.write_table(table, f"{task.output}/rows.parquet")
    spark.stop()


if __name__ == "__main__":
    from bench.peers.programs import article_job

    article_job.main()  # by its name, by which Spark's workers find its functions
