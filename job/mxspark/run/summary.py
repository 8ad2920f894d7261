"""What a finished run amounts to, counted from the parts that are really there."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from mxspark import __version__
from mxspark.dataset import predictions, tops
from mxspark.dataset.part_errors import PartError
from mxspark.dataset.plan import Plan, shard_keys
from mxspark.dataset.predictions import PARTS, Counts
from mxspark.dataset.tops import Part
from mxspark.settings.job import visible
from mxspark.storage import Store
from mxspark.text.words import counted
from mxspark.worker.pipeline import Timings, ordered_map

READERS = 16  # parts whose counts are read at a time
WHOLE_READERS = 8  # parts that are read whole, and held, at a time
MOST_BYTES = 256 * 2**20  # of parts that are read whole: seconds from a bucket


@dataclass(frozen=True)
class Performance:
    """How this run went; it did fewer images than the table has where it resumed another."""

    images: int
    seconds: float  # from when workers were asked for to the last image
    startup_seconds: float  # before that: for the model, the plan and Spark
    workers_startup_seconds: float  # of `seconds`, until a worker had its network and began
    workers: int
    timings: Timings  # summed over workers
    retries: Counter[str]  # how often something was tried again, by cause
    context: str
    failing: tuple[tuple[str, str], ...] = ()  # executors that could not work, and why

    @property
    def rate(self) -> float:
        """Images a second, once the workers had started."""
        return self.images / self.steady_seconds if self.steady_seconds > 0 else 0.0

    @property
    def steady_seconds(self) -> float:
        """From when the workers had started to the last image."""
        return self.seconds - self.workers_startup_seconds

    def to_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "seconds": round(self.seconds, 3),
            "startup_seconds": round(self.startup_seconds, 3),
            "workers_startup_seconds": round(self.workers_startup_seconds, 3),
            "images_per_second": round(self.rate, 3),
            "workers": self.workers,
            "context": self.context,
            "retries": dict(sorted(self.retries.items())),
            "failing_executors": dict(self.failing),
            "worker_seconds": {name: round(value, 3) for name, value in vars(self.timings).items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError where `data` isn't what `to_json` gives."""
        timings = Timings(**{str(name): float(value) for name, value in data["worker_seconds"].items()})
        retries = Counter({str(cause): int(number) for cause, number in data["retries"].items()})
        failing = tuple((str(where), str(problem)) for where, problem in data["failing_executors"].items())
        seconds, startup, workers_startup = (
            float(data[name]) for name in ("seconds", "startup_seconds", "workers_startup_seconds")
        )
        workers, context = int(data["workers"]), str(data["context"])
        return cls(int(data["images"]), seconds, startup, workers_startup, workers, timings, retries, context, failing)


@dataclass(frozen=True)
class Summary:
    """The whole table, and what this run did of it: None where nothing was left to do."""

    plan: Plan
    counts: Counts
    performance: Performance | None
    settings: Mapping[str, Any]
    precision: Mapping[str, Any] = field(default_factory=dict)  # of the network, and how that compares with fp32

    @property
    def failed_fraction(self) -> float:
        return self.counts.failed / self.counts.rows if self.counts.rows else 0.0

    def to_json(self) -> str:
        counts = self.counts
        content = {
            "mxspark": __version__,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "plan": {
                "input": self.plan.settings.get("input", {}).get("path"),
                **{
                    key: value
                    for key, value in asdict(self.plan).items()
                    if key not in ("identity", "settings", "samples", "skipped")
                },
            },
            "skipped": dict(self.plan.skipped),
            "rows": counts.rows,
            "ok": counts.ok,
            "failed": counts.failed,
            **counts.to_json(),
            "accuracy": counts.correct / counts.labelled if counts.labelled else None,
            "accuracy_top_k": counts.correct_top_k / counts.labelled if counts.labelled else None,
            "precision": dict(self.precision),
            "this_run": self.performance.to_json() if self.performance else None,
            "settings": visible(self.settings),
        }
        return json.dumps(content, indent=1)


def count_part(store: Store, plan: Plan, shard: int, output_format: str, true_label: str | None) -> Counts:
    """What the part of a shard holds. Raises PartError naming the part that has other than its planned number of
    rows.
    """
    return _as_planned(
        store, plan, shard, output_format, predictions.read_counts(store, shard, output_format, true_label)
    )


def _as_planned(store: Store, plan: Plan, shard: int, output_format: str, counts: Counts) -> Counts:
    if counts.rows != plan.size(shard):
        rows = f"has {counted(counts.rows, 'row')}, but the plan has {counted(plan.size(shard), 'key')} for it"
        raise PartError(f"{store.name}/{PARTS[output_format].name(shard)} {rows}")
    return counts


def count_parts(
    store: Store, plan: Plan, shards: Iterable[int], output_format: str, true_label: str | None
) -> Iterator[tuple[int, Counts]]:
    """What the parts of these shards hold, in the order of the shards. Raises PartError naming the part that isn't
    what was planned.
    """

    def read(shard: int) -> tuple[int, Counts]:
        return shard, count_part(store, plan, shard, output_format, true_label)

    with (
        ThreadPoolExecutor(READERS) as pool,
        closing(ordered_map(pool, read, sorted(shards), 16 * READERS)) as parts,
    ):
        yield from _in_order(store, output_format, parts)


def read_parts(
    store: Store, plan: Plan, shards: Iterable[int], output_format: str, true_label: str | None
) -> Iterator[tuple[int, Part]]:
    """The parts of these shards, in the order of the shards: read whole, but for large ones and those after the first
    MOST_BYTES, which are only counted. Raises what `count_parts` raises.
    """
    taken = 0

    def read(shard: int) -> tuple[int, Part]:
        if taken > MOST_BYTES:
            return shard, Part(count_part(store, plan, shard, output_format, true_label), None, 0)
        part = tops.read_part(store, shard, output_format, true_label)
        _as_planned(store, plan, shard, output_format, part.counts)
        return shard, part

    with (
        ThreadPoolExecutor(WHOLE_READERS) as pool,
        closing(ordered_map(pool, read, sorted(shards), WHOLE_READERS)) as parts,
    ):
        for shard, part in _in_order(store, output_format, parts):
            taken += part.bytes
            yield shard, part


_Read = TypeVar("_Read", Counts, Part)


def _in_order(store: Store, output_format: str, parts: Iterable[tuple[int, _Read]]) -> Iterator[tuple[int, _Read]]:
    """Plans are sorted: of two parts in another order one has another shard's keys."""
    before: tuple[int, Counts] | None = None
    for shard, part in parts:
        counts = part.counts if isinstance(part, Part) else part
        if before is not None and _overlap(before[1], counts):
            raise _of_another_shard(store, [before, (shard, counts)], output_format)
        before = shard, counts
        yield shard, part


def _overlap(before: Counts, after: Counts) -> bool:
    return before.last is not None and after.first is not None and after.first <= before.last


def _of_another_shard(store: Store, parts: Sequence[tuple[int, Counts]], output_format: str) -> PartError:
    """The error for that one of the parts whose first key isn't the plan's."""
    wrong = [(shard, counts) for shard, counts in parts if counts.first != shard_keys(store, shard)[0]]
    shard, counts = (wrong or list(parts))[-1]
    name = PARTS[output_format].name(shard)
    return PartError(f"{store.name}/{name} has keys of another shard, such as {counts.first!r}")
