"""When each shard ran, and where: what a report's timeline and rates are drawn from. One object for each run of a plan.

    _runs/<when it began>-<run>.json

Parts can't hold it: their bytes depend on their rows alone, so that a task that runs twice changes nothing.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Self

from mxspark import __version__
from mxspark.errors import MxsparkError
from mxspark.storage import MissingError, Store, TooLargeError
from mxspark.worker.shard import ShardReport

FOLDER = "_runs"
EVERY_SECONDS = 30.0  # is it written while a run goes on: what a killed driver loses
MOST_SHARDS = 20_000  # that are kept of a run: 3 MB
MOST_RUNS = 10  # that are read, the last ones
MAX_BYTES = 8 * 2**20  # of one
MOST = 10**11  # of anything


@dataclass(frozen=True)
class ShardRun:
    """A shard that a worker has done. Seconds of fetch and decode are summed over threads."""

    shard: int
    where: str
    process: int
    began: float  # seconds since 1970, by the worker's clock
    seconds: float
    images: int
    failed: int
    setup: float
    fetch: float
    decode: float
    forward: float
    starved: float
    write: float

    @classmethod
    def of(cls, report: ShardReport) -> Self:
        spent = {name: round(value, 4) for name, value in vars(report.timings).items()}
        where, process = report.where, report.process
        began, seconds = round(report.began, 3), round(report.seconds, 3)
        return cls(report.shard, where, process, began, seconds, report.counts.rows, report.counts.failed, **spent)

    @classmethod
    def read(cls, values: list[Any]) -> Self:
        """Raises ValueError or TypeError where it is none: others may have written it."""
        found = cls(*values)
        numbers = [value for name, value in vars(found).items() if name != "where"]
        if not isinstance(found.where, str) or not all(
            type(number) in (int, float) and isfinite(number) and 0 <= number < MOST for number in numbers
        ):
            raise ValueError("not a shard's run")
        return found

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass(frozen=True)
class PastRun:
    """A run of a plan, from the first shard on. `left_out` shards were done beyond those that are kept."""

    version: str
    began: str
    workers: int
    context: str
    left_out: int
    shards: tuple[ShardRun, ...]
    versions: Mapping[str, str] = field(default_factory=dict)  # of what else it ran with, on the driver's machine


@dataclass
class ShardLog:
    """What this run's shards came to, written from time to time; a run never fails for it."""

    store: Store
    name: str
    head: dict[str, Any]
    shards: list[ShardRun] = field(default_factory=list)
    left_out: int = 0
    _written: float = field(default_factory=time.monotonic)
    _can_write: bool = True

    @classmethod
    def begin(
        cls, store: Store, run_id: str, plan_id: str, workers: int, context: str, versions: Mapping[str, str]
    ) -> Self:
        now = datetime.now(UTC)
        head = {
            "mxspark": __version__,
            "plan": plan_id,
            "began": now.isoformat(timespec="seconds"),
            "workers": workers,
            "context": context,
            "versions": dict(versions),
        }
        return cls(store, f"{FOLDER}/{now:%Y%m%dT%H%M%S}-{run_id[:8]}.json", head)

    def add(self, report: ShardReport) -> None:
        if len(self.shards) < MOST_SHARDS:
            self.shards.append(ShardRun.of(report))
        else:
            self.left_out += 1
        if time.monotonic() - self._written > EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Not again once it could not be written: storage is tried for long, and a run has better to do."""
        if not self._can_write or not self.shards:
            return
        columns = [each.name for each in fields(ShardRun)]
        rows = [list(vars(shard).values()) for shard in self.shards]
        data = {**self.head, "left_out": self.left_out, "columns": columns, "shards": rows}
        self._can_write = False
        with suppress(MxsparkError):
            self.store.write(self.name, json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
            self._can_write = True
        self._written = time.monotonic()


def read(store: Store, plan_id: str) -> Iterator[PastRun]:
    """The runs of a plan, the first one first; what isn't what a run writes is passed by."""
    names = sorted(name for name in store.keys(f"{FOLDER}/") if name.endswith(".json"))
    for name in names[-MOST_RUNS:]:
        with suppress(MissingError, TooLargeError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
            data = json.loads(store.read(name, MAX_BYTES))
            is_ours = data["plan"] == plan_id and data["columns"] == [each.name for each in fields(ShardRun)]
            if is_ours and len(data["shards"]) <= MOST_SHARDS:
                shards = tuple(map(ShardRun.read, data["shards"]))
                workers, left_out = _count(data["workers"]), _count(data["left_out"])
                head = str(data["mxspark"]), str(data["began"]), workers, str(data["context"])
                versions = {str(name): str(version) for name, version in dict(data.get("versions", {})).items()}
                yield PastRun(*head, left_out, shards, versions)


def _count(number: Any) -> int:
    """Raises ValueError where it is none: the digits of others' numbers may be too many to be shown."""
    if not (type(number) is int and 0 <= number < MOST):
        raise ValueError("not a count")
    return number
