"""One driver's path without Spark, in a process of its own: plan, what is left, finish. Prints what each took, as JSON.

Run:  python -m bench.plan_once sorted|shuffled|listed NUMBER INPUT OUTPUT      (bench/planning.py does)
"""

import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from mxspark.dataset import predictions
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.dataset.predictions import PARTS, Row
from mxspark.dataset.source import Source
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.run.identity import identity as identity_of
from mxspark.run.result import sum_up
from mxspark.run.table import Table
from mxspark.run.work import new_plan
from mxspark.settings.job import InputSettings, ModelSettings, OutputSettings, Settings
from mxspark.settings.model_spec import ModelSpec
from mxspark.storage import Access, open_output, open_store

WORKERS = 64  # of a cluster on which 10 million images take some hours
_T = TypeVar("_T")


@dataclass(frozen=True)
class Phase:
    """What a phase took, and the process's peak memory by its end."""

    seconds: float
    peak: float  # MiB


@dataclass(frozen=True)
class Once:
    """One driver's path: `left` is what it does before it predicts, and once more when it resumes; `finish` when all
    parts are there.
    """

    keys: int
    shards: int
    plan: Phase
    left: Phase
    finish: Phase


def synthetic(number: int, order: str) -> Iterator[str]:
    """A lister's keys, made as they are asked for: 0.3 microseconds each sorted, 0.8 shuffled."""
    for index in range(number) if order == "sorted" else permuted(number):
        yield f"photographs/2026/{index:09d}.jpg"


def permuted(number: int) -> Iterator[int]:
    """0 … number - 1, a power of ten, in random order and without a table of them: three rounds of a Feistel
    network.
    """
    digits = len(str(number)) - 1
    rows, columns = 10 ** (digits // 2), 10 ** (digits - digits // 2)
    chance = random.Random(0)
    first, third = ([chance.randrange(rows) for _ in range(columns)] for _ in range(2))
    second = [chance.randrange(columns) for _ in range(rows)]
    for index in range(number):
        row, column = divmod(index, columns)
        row = (row + first[column]) % rows
        column = (column + second[row]) % columns
        yield (row + third[column]) % rows * columns + column


def once(order: str, number: int, source: str, target: str) -> Once:
    """The path over `number` keys, which are listed at `source` where they are not synthetic."""
    settings = Settings(
        input=InputSettings(path=source, limit=number),
        output=OutputSettings(path=target),
        model=ModelSettings(path="/nowhere"),
    )
    store = open_output(target, Access())
    identity = identity_of(settings, Bundle(ModelSpec(), {}, (), BundleSource(ModelSpec(), {}, {})))

    def planned() -> Plan:
        with closing(KeySpool()) as spool:
            spool.fill(Source(settings.input, Access()).keys() if order == "listed" else synthetic(number, order))
            return new_plan(store, spool, WORKERS, settings, identity, {})

    frozen, plan = _timed(planned)
    table = Table(store, frozen, settings)
    elsewhere_write_parts(target, frozen, range(0, frozen.shards, 2))
    shards, left = _timed(table.missing)
    assert len(shards) == frozen.shards // 2
    elsewhere_write_parts(target, frozen, shards)
    result, finish = _timed(lambda: sum_up(table, None, Access()))
    assert result.results.counts.rows == number
    return Once(frozen.keys, frozen.shards, plan, left, finish)


def elsewhere_write_parts(*arguments: Any) -> None:
    """`write_parts` in another process, for the workers write them and not the driver."""
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        other.submit(write_parts, *arguments).result()


def write_parts(target: str, frozen: Plan, shards: Sequence[int]) -> None:
    """Parts with as many rows as planned, each with a key of its own: those of a plan are in order."""
    store = open_store(target, Access())
    for shard in shards:
        rows = [Row(f"photographs/2026/{shard:09d}.jpg", "ok", None, ())] * frozen.size(shard)
        store.write(PARTS["parquet"].name(shard), predictions.encode(rows, None, "parquet"))


def _timed(work: Callable[[], _T]) -> tuple[_T, Phase]:
    start = time.perf_counter()
    result = work()
    return result, Phase(time.perf_counter() - start, peak_memory())


def peak_memory() -> float:
    """This process's highest resident memory [MiB]. The kernel's own mark: getrusage's takes over that of the
    process that started it.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(asdict(once(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))))
