"""Daft as its guide to images has it: glob, download, decode_image and resize in Rust, the network in a class."""

import os
import time
from typing import Any

import daft
import numpy as np
from daft import DataType, col

from bench.peers.programs.task import SIDE, Engine, Task, best, from_arguments

TASK = from_arguments()
ROW = DataType.struct(
    {
        "classes": DataType.list(DataType.int32()),
        "probabilities": DataType.list(DataType.float32()),
        "time": DataType.float64(),
    }
)


# In Daft's own threads OpenVINO's requests were seen to wait for each other for ever.
@daft.cls(max_concurrency=TASK.workers, cpus=1, use_process=TASK.engine == "openvino" or None)
class Network:
    def __init__(self, task: Task) -> None:
        self._engine = Engine(task)

    @daft.method.batch(return_dtype=ROW, batch_size=TASK.batch_size)  # type: ignore[untyped-decorator]
    def predict(self, images: Any) -> list[dict[str, Any]]:
        if len(images) == 0:
            return []
        pixels = images.to_arrow().storage.flatten().to_numpy(zero_copy_only=False).reshape(-1, SIDE, SIDE, 3)
        classes, probabilities = best(self._engine(np.ascontiguousarray(pixels)))
        now = time.time()
        rows = zip(classes.tolist(), probabilities.tolist(), strict=True)
        return [{"classes": row, "probabilities": values, "time": now} for row, values in rows]


def main() -> None:
    s3 = daft.io.S3Config(
        endpoint_url=TASK.endpoint,
        key_id=os.environ["AWS_ACCESS_KEY_ID"],
        access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region_name=os.environ["AWS_REGION"],
        use_ssl=False,
        max_connections=64,
    )
    store = daft.io.IOConfig(s3=s3)
    network = Network(TASK)
    found = daft.from_glob_path(f"s3://{TASK.bucket}/{TASK.prefix}/*", io_config=store)
    images = col("path").download(io_config=store).decode_image(mode=daft.ImageMode.RGB).resize(SIDE, SIDE)
    rows = found.with_column("image", images).with_column("row", network.predict(col("image")))
    fields = [col("row")[name].alias(name) for name in ("classes", "probabilities", "time")]
    rows.select(col("path").alias("key"), *fields).write_parquet(TASK.output)


main()
