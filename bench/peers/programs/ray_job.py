"""Ray Data as its guide to batch inference has it: read_images, then map_batches with a pool of actors."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs
import ray

from bench.peers.programs.task import SIDE, Engine, Task, best, from_arguments

# Of a core: an actor waits for images, and a reader for the store. With whole ones the actors of as many workers as
# there are cores would leave none for reading.
CORES = 0.5
STORE_BYTES = 2**31


class Network:
    def __init__(self, task: Task) -> None:
        self._engine = Engine(task)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        classes, probabilities = best(self._engine(np.ascontiguousarray(batch["image"])))
        times = np.full(len(classes), time.time())
        return {"key": batch["path"], "classes": classes, "probabilities": probabilities, "time": times}


def main() -> None:
    task = from_arguments()
    ray.init(
        num_cpus=task.workers,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=STORE_BYTES,
        _temp_dir=str(Path(task.output).with_name("ray")),
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    store = pyarrow.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_REGION"],
        endpoint_override=task.address,
        scheme="http",
    )
    images = ray.data.read_images(
        f"{task.bucket}/{task.prefix}/",
        filesystem=store,
        size=(SIDE, SIDE),
        mode="RGB",
        include_paths=True,
        num_cpus=CORES,
    )
    rows = images.map_batches(
        Network,
        fn_constructor_args=(task,),
        batch_size=task.batch_size,
        compute=ray.data.ActorPoolStrategy(size=task.workers),
        num_cpus=CORES,
        zero_copy_batch=True,
    )
    rows.write_parquet(f"local://{task.output}")
    ray.shutdown()


if __name__ == "__main__":
    main()
