"""Vectors instead of classes, and beside them, out of the same network: CPU time an image, Parquet included.

Goal: within 2 % of classes alone. First what comes behind the network: rows, and their Parquet. Then one worker's
shards, decoding and forward passes included, without Spark. The kinds are interleaved, each in a worker of its own, and
the least of ROUNDS is told, for other processes only add.
"""

import math
import os
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from bench import fixtures
from mxspark.dataset import plan
from mxspark.dataset.columns import Columns, VectorColumn
from mxspark.dataset.plan import KeySpool
from mxspark.dataset.predictions import encode
from mxspark.inference import bundle
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings
from mxspark.storage import Access, FolderStore
from mxspark.worker.reading import Reading
from mxspark.worker.shard import Job, run_shard

ROUNDS = int(os.environ.get("ROUNDS", "5"))
IMAGES, SHARD_SIZE = 256, 128
EXAMPLE = fixtures.REPOSITORY / "examples" / "imagenet" / "bundle"
KINDS: dict[str, dict[str, Any]] = {
    "classes": {},
    "vector of 1,280": {"output_kind": "vector", "output_name": "pool"},
    "classes and vector": {"output_also": {"features": "pool"}},
}


def _job(folder: Path, kind: str) -> Job:
    settings = Settings(
        input=InputSettings(path=str(folder / "images")),
        output=OutputSettings(path=str(folder / kind)),
        model=ModelSettings(path=str(EXAMPLE), **KINDS[kind]),
    )
    with closing(KeySpool()) as spool:
        spool.fill(sorted(path.name for path in (folder / "images").iterdir()))
        frozen = plan.write(FolderStore(folder / kind), spool, SHARD_SIZE, {}, {})
    source = bundle.find(settings.model, Access())
    return Job("", settings, source, Access(), settings.batch_size, str(folder / "cache"), frozen.id, frozen.samples)


def _milliseconds(job: Job) -> float:
    """CPU time an image of the second shard: in the first one the worker starts."""
    job = replace(job, run_id=uuid4().hex)
    run_shard(job, 0, 0)
    start = time.process_time()
    run_shard(job, 1, 0)
    return 1000 * (time.process_time() - start) / SHARD_SIZE


def _behind_the_network() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(1000), 1024).astype(np.float32)
    features = random.gamma(0.5, 1, (1024, 1280)).astype(np.float32)
    column = VectorColumn("features", 1280)
    kinds = {
        "classes": (probabilities, Columns()),
        "vector of 1,280": (features, Columns((column,), has_predictions=False)),
        "vector, float16, length 1": (features, Columns((replace(column, type="float16", is_normalized=True),), False)),
        "classes and vector": (np.hstack([probabilities, features]), Columns((column,))),
    }
    least = dict.fromkeys(kinds, math.inf)
    for _ in range(ROUNDS):
        for kind, (numbers, columns) in kinds.items():
            reading = Reading(top_k=5, labels=[f"class {index}" for index in range(1000)], columns=columns)
            start = time.process_time()
            encode([reading.row(f"{key}.jpg", each) for key, each in enumerate(numbers)], None, "parquet", columns)
            least[kind] = min(least[kind], time.process_time() - start)
    for kind, seconds in least.items():
        print(f"behind the network, {kind}: {1e6 * seconds / 1024:.0f} us an image")


def main() -> None:
    _behind_the_network()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = FolderStore(folder / "images")
        for key, data in fixtures.small_pngs(IMAGES):
            images.write(key, data)
        jobs = {kind: _job(folder, kind) for kind in KINDS}
        taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(ROUNDS):
            for kind, job in jobs.items():
                taken[kind].append(_milliseconds(job))
        least = {kind: min(each) for kind, each in taken.items()}
        for kind, each in taken.items():
            size = sum(path.stat().st_size for path in (folder / kind).glob("part-*")) / IMAGES
            print(
                f"{kind}: {least[kind]:.2f} (to {max(each):.2f}) ms of a processor an image, "
                f"{least[kind] / least['classes']:.3f} of classes; {size:,.0f} bytes in the table"
            )
