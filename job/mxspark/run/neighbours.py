"""Which images of a table have vectors like that of one of them: all are compared, a part in memory at a time."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mxspark.dataset import plan, predictions
from mxspark.dataset.part_errors import PartError
from mxspark.dataset.plan import Plan
from mxspark.errors import UsageError
from mxspark.storage import Access, MissingError, Store, open_output, usage_errors
from mxspark.text.words import counted, printable

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """Cosines and keys of the most similar images, the most similar first."""

    nearest: tuple[tuple[float, str], ...]
    compared: int  # images
    planned: int

    def __str__(self) -> str:
        rest = self.planned - self.compared - 1
        left = f"; {rest:,} more have no vector (yet)" if rest > 0 else ""
        return f"Compared with {counted(self.compared, 'other image')}{left}"


def find(output: str, access: Access, key: str, number: int, column: str) -> Neighbours:
    """The `number` images whose vectors in `column` have the highest cosines with that of `key`.

    Raises UsageError where there is no such table, column or key, or its vector has no direction.
    """
    store = open_output(output, access)
    with usage_errors("OUTPUT", "Give the folder that a run writes to."):
        frozen = plan.load(store)
    if frozen is None:
        raise UsageError(f"{store.name}: no run has written here", "Give the folder that a run writes to.")
    table = _Table(store, frozen, _format(store, frozen), column)
    wanted = _unit(table.vector(key)[np.newaxis])[0]
    if not wanted.any():
        raise UsageError(f"{printable(key)}: its vector is all 0, which is like no other", "Give another --key.")
    best: list[tuple[float, str]] = []
    compared = 0
    for keys, vectors in table.all():
        if vectors.shape[1] != len(wanted):
            raise PartError(f"{store.name}: its vectors have different lengths: not parts of one run")
        cosines = _unit(vectors) @ wanted
        for place in np.argsort(-cosines, kind="stable")[: number + 1]:
            if keys[place] != key:
                # Of equals those first in the table stay.
                best.append((float(cosines[place]), keys[place]))
        best = heapq.nlargest(number, best, key=lambda pair: pair[0])
        compared += len(keys)
    return Neighbours(tuple(best), compared - 1, frozen.keys)


def _format(store: Store, frozen: Plan) -> str:
    """The format of the table. Raises UsageError where it can't hold vectors."""
    output = frozen.settings.get("output")
    found = output.get("format") if isinstance(output, dict) else None
    if found not in ("parquet", "jsonl"):
        raise UsageError(f"{store.name}: has no vectors: its format is {found}", "Write them as parquet or jsonl.")
    return str(found)


@dataclass(frozen=True)
class _Table:
    store: Store
    plan: Plan
    format: str
    column: str

    def vector(self, key: str) -> Vectors:
        """That of an image. Raises UsageError where it has none."""
        for keys, vectors in self._part(self._shard(key)):
            if key in keys:
                found: Vectors = vectors[keys.index(key)]
                return found
        raise UsageError(
            f"{printable(key)}: has no vector in {self.store.name}: it failed, or is not done yet",
            "`mxspark status` says how far the run is.",
        )

    def _shard(self, key: str) -> int:
        """The shard of a key: plans are sorted."""
        low, high = 0, self.plan.shards - 1
        while low <= high:
            middle = (low + high) // 2
            keys = plan.shard_keys(self.store, middle)
            if not keys:
                raise plan.damaged(self.store)
            if key < keys[0]:
                high = middle - 1
            elif key > keys[-1]:
                low = middle + 1
            elif key in keys:
                return middle
            else:
                break
        raise UsageError(
            f"{printable(key)}: is not a key of {self.store.name}", "Give one as the table has it, such as `a/b.jpg`."
        )

    def all(self) -> Iterator[tuple[list[str], Vectors]]:
        """Keys and vectors of all parts that are there."""
        for shard in sorted(predictions.finished_shards(self.store, self.format)):
            yield from self._part(shard)

    def _part(self, shard: int) -> Iterator[tuple[list[str], Vectors]]:
        try:
            yield from predictions.read_vectors(self.store, shard, self.format, self.column)
        except MissingError:
            return


def _unit(vectors: Vectors) -> Vectors:
    """The vectors with length 1, zeros as they are."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    units: Vectors = (vectors / np.maximum(norms, np.finfo(np.float64).tiny)).astype(np.float32)
    return units
