"""What the systems wrote, and plain fp32 answers to compare it with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds

from bench.peers.networks import Network
from bench.peers.programs.task import Engine, Task, decode

BATCH = 32


@dataclass(frozen=True)
class Table:
    """The most probable class of each image, by its name, and when there was a first row [seconds since 1970].

    Of mxspark that is when its first part was in place, where anybody can read it; of the others when their first batch
    was predicted, as their files are complete at the end only.
    """

    classes: Mapping[str, int]
    first: float


def read(folder: Path, is_ours: bool) -> Table:
    """The table that mxspark, or a peer, wrote."""
    files = sorted(path for path in folder.rglob("*.parquet") if not path.name.startswith(("_", ".")))
    found = ds.dataset([str(path) for path in files]).to_table()
    names = [key.rpartition("/")[2] for key in found["key"].to_pylist()]
    if is_ours:
        rows = found["predictions"].to_pylist()
        classes = {name: row[0]["index"] for name, row in zip(names, rows, strict=True) if row}
        return Table(classes, min(path.stat().st_mtime for path in files))
    rows = found["classes"].to_pylist()
    return Table({name: row[0] for name, row in zip(names, rows, strict=True)}, min(found["time"].to_pylist()))


def reference(network: Network, images: Iterable[tuple[str, bytes]]) -> Mapping[str, int]:
    """The most probable classes by the network as it is: Pillow and ONNX Runtime at fp32, one after another."""
    engine = Engine(Task("", "", "", "", str(network.onnx), "onnxruntime", "", 1, BATCH))
    found: dict[str, int] = {}
    pairs = list(images)
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        classes = engine(np.stack([decode(data) for _, data in batch])).argmax(axis=1)
        found |= {name: int(one) for (name, _), one in zip(batch, classes, strict=True)}
    return found


def agreement(table: Table, expected: Mapping[str, int]) -> float:
    """Share of the expected images for which the table has the same class."""
    return sum(table.classes.get(name) == one for name, one in expected.items()) / len(expected)
