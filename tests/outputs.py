"""Outputs of runs, made without running: rows in shards of 3, with keys of others, and when they were predicted."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mxspark.dataset import plan, predictions
from mxspark.dataset.columns import PREDICTIONS, Columns
from mxspark.dataset.plan import KeySpool
from mxspark.dataset.predictions import PARTS, Counts, Prediction, Row
from mxspark.run import shard_log
from mxspark.run.shard_log import PastRun, ShardLog
from mxspark.storage import FolderStore
from mxspark.worker.pipeline import Timings
from mxspark.worker.shard import ShardReport

HOSTILE = [
    "<script>alert(1)</script>.png",
    "'\"><img src=x onerror=alert(1)>.png",
    "{{ 7*7 }}.png",
    "control\x1b[31m\r\n.png",
    "\u202egnp.exe.png",
    "&amp;.png",
]


def cat(probability: float = 0.9) -> tuple[Prediction, ...]:
    return (Prediction(0, "cat", probability), Prediction(1, "dog", 1 - probability))


def dog(probability: float = 0.9) -> tuple[Prediction, ...]:
    return (Prediction(1, "dog", probability), Prediction(0, "cat", 1 - probability))


def table(
    folder: Path,
    found: Mapping[str, Row],
    output_format: str = "parquet",
    parts: int | None = None,
    columns: Columns = PREDICTIONS,
    true_label: str | None = None,
    model: str = "net",
) -> Path:
    """A run's output with these rows, in shards of 3, of which so many have their part."""
    store = FolderStore(folder)
    chosen: dict[str, Any] = {
        "output": {"format": output_format},
        "input": {"path": str(folder / "images"), "true_label": true_label},
    }
    with closing(KeySpool()) as spool:
        spool.fill(found)
        frozen = plan.write(store, spool, 3, {"model": "d" * 64}, chosen | {"model": {"path": model}})
    for shard in range(frozen.shards if parts is None else parts):
        some = [found[key] for key in plan.shard_keys(store, shard)]
        store.write(PARTS[output_format].name(shard), predictions.encode(some, true_label, output_format, columns))
    return folder


def of(*made: Row) -> dict[str, Row]:
    return {row.key: row for row in made}


def finished(shard: int, began: float, seconds: float, process: int = 1, images: int = 10) -> ShardReport:
    counts = Counts.from_json({"by_status": {"ok": images}, "labelled": 0, "correct": 0, "correct_top_k": 0})
    spent = Timings(setup=0.0, forward=seconds / 2, starved=seconds / 4, write=0.1)
    return ShardReport(
        shard, counts, spent, counts.by_status, began=began, seconds=seconds, where="host <b>x</b>", process=process
    )


def logged(folder: Path, *reports: ShardReport) -> PastRun:
    """A run of the plan in `folder`, as a driver records it."""
    store = FolderStore(folder)
    frozen = plan.load(store)
    assert frozen is not None
    log = ShardLog.begin(store, "0123456789abcdef", frozen.id, 2, "cpu(0)", {"Spark": "4.3.0"})
    for each in reports:
        log.add(each)
    log.write()
    (found,) = shard_log.read(store, frozen.id)
    assert list(shard_log.read(store, "another plan")) == []
    return found
