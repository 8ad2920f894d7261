"""The report of a table of ROWS rows in Parquet: seconds, processor time, peak memory and size of the page.

Goals for 10^6 rows: 2 s and 300 MB, 5 MB. The command is measured as a person runs it, start included, without
pictures. With BEFORE=FOLDER, the `job` folder of another version, both are measured in turn.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import fixtures
from mxspark.dataset import parquet, plan
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.dataset.predictions import PARTS
from mxspark.storage import FolderStore

ROUNDS = int(os.environ.get("ROUNDS", "3"))
ROWS = int(os.environ.get("ROWS", str(10**6)))
SHARD_SIZE, CLASSES, TOP_K = 1024, 1000, 5
FAILED = 0.01  # of the rows
TRUE_LABEL = r"/(\d+)/"
CODE = "import sys; from mxspark.__main__ import main; sys.exit(main())"


def main() -> None:
    versions = {"now": fixtures.REPOSITORY / "job"}
    if before := os.environ.get("BEFORE"):
        versions = {"before": Path(before), **versions}
    with tempfile.TemporaryDirectory() as name:
        table = Path(name) / "table"
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # whose memory would count as that of the commands
            pool.submit(_write, table).result()
        print(f"{ROWS:,} rows in {len(list(table.glob('part-*'))):,} parts", flush=True)
        for _ in range(ROUNDS):
            for version, folder in versions.items():
                wall, cpu, peak = _measured(folder, table, Path(name) / "report.html")
                size = (Path(name) / "report.html").stat().st_size
                print(
                    f"{version}: {wall:.1f} s, {cpu:.1f} s of a processor, {peak / 2**20:.0f} MiB, "
                    f"page {size / 1e6:.2f} MB",
                    flush=True,
                )


def _measured(job: Path, table: Path, to: Path) -> tuple[float, float, int]:
    """Seconds, processor time and peak memory [bytes] of `mxspark report`."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", CODE, "report", str(table), "--no-images", "--to", str(to)],
        env={**os.environ, "PYTHONPATH": str(job)},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit("the report failed")
    return time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def _write(folder: Path) -> None:
    """The table as a run writes it, but made of arrays: rows in Python take minutes."""
    store = FolderStore(folder)
    random = np.random.default_rng(0)
    truths = random.integers(0, CLASSES, ROWS)
    keys = sorted(f"photographs/{truth}/{number:09d}.jpg" for number, truth in enumerate(truths.tolist()))
    settings: Mapping[str, Any] = {
        "input": {"path": "photographs", "true_label": TRUE_LABEL},
        "output": {"format": "parquet"},
    }
    with closing(KeySpool()) as spool:
        spool.fill(keys)
        frozen = plan.write(store, spool, SHARD_SIZE, {"model": "d" * 64}, settings)
    for shard in range(frozen.shards):
        store.write(PARTS["parquet"].name(shard), _part(frozen, shard, keys, random))


def _part(frozen: Plan, shard: int, keys: list[str], random: np.random.Generator) -> bytes:
    rows = frozen.size(shard)
    own = keys[shard * SHARD_SIZE :][:rows]
    is_failed = random.random(rows) < FAILED
    number = TOP_K * rows
    indices = random.integers(0, CLASSES, number).astype(np.int32)
    indices[::TOP_K] = np.where(random.random(rows) < 0.7, [int(key.split("/")[1]) for key in own], indices[::TOP_K])
    columns = [indices, [f"class {index}" for index in indices.tolist()], random.random(number).astype(np.float32)]
    values = pa.StructArray.from_arrays([pa.array(column) for column in columns], fields=list(parquet.PREDICTION))
    offsets = pa.array(np.arange(0, number + 1, TOP_K, np.int32))
    lists = pa.ListArray.from_arrays(offsets, values, mask=pa.array(is_failed))
    texts = [
        own,
        ["truncated" if each else "ok" for each in is_failed],
        ["it is cut" if each else None for each in is_failed],
    ]
    table = pa.Table.from_arrays(
        [*(pa.array(column, pa.string()) for column in texts), lists],
        schema=pa.schema([*parquet.FIELDS, parquet.PREDICTIONS_FIELD], {parquet.COUNTS: json.dumps({}).encode()}),
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=[*parquet.TEXTS, *parquet.NUMBERS])
    found: bytes = buffer.getvalue().to_pybytes()
    return found
