"""The output of a run as far as it has come, without running anything."""

from contextlib import closing
from pathlib import Path
from typing import Literal

from mxspark.dataset import plan, predictions
from mxspark.dataset.plan import KeySpool
from mxspark.dataset.predictions import PARTS, Prediction, Row
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings
from mxspark.storage import FolderStore

KEYS = [f"{number}.png" for number in range(9)] + ["gone.png"]
Format = Literal["parquet", "jsonl", "text"]


def run_in(folder: Path, parts: int, output_format: Format = "parquet") -> FolderStore:
    """The output of a run over KEYS in five shards, of which so many have their part."""
    store = FolderStore(folder)
    settings = Settings(
        input=InputSettings(path="s3://bucket/photos"),
        output=OutputSettings(path=str(folder), format=output_format),
        model=ModelSettings(path="net"),
    )
    with closing(KeySpool()) as spool:
        spool.fill([*KEYS, KEYS[0]])
        frozen = plan.write(store, spool, 2, {}, settings.model_dump(mode="json"))
    for shard in range(parts):
        rows = [_row(key) for key in plan.shard_keys(store, shard)]
        store.write(PARTS[output_format].name(shard), predictions.encode(rows, None, output_format))
    assert frozen.shards == 5
    return store


def _row(key: str) -> Row:
    return (
        Row(key, "missing", "there is no such object")
        if key == "gone.png"
        else Row(key, "ok", None, (Prediction(0, "cat", 0.9),))
    )
