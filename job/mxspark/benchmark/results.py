"""What was measured, and the settings that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from mxspark.benchmark.configuration import Configuration
from mxspark.benchmark.worker import Measured
from mxspark.inference.figures import Figures
from mxspark.inference.optimize import Precision
from mxspark.settings import document, sources
from mxspark.settings.job import Settings, visible

NEAR = 0.97  # of the highest rate: what is nearer is as fast, as rounds differ by as much


@dataclass(frozen=True)
class Speed:
    """Of all workers together: the median of some rounds."""

    rate: float  # images/s
    cpu: float  # CPU-ms an image

    @classmethod
    def of(cls, rounds: Sequence[Sequence[Measured]]) -> "Speed":
        """`rounds` have what each worker measured."""
        return cls(
            median(sum(one.images / one.wall for one in workers) for workers in rounds),
            median(1000 * sum(one.cpu for one in workers) / sum(one.images for one in workers) for workers in rounds),
        )


@dataclass(frozen=True)
class Row:
    """One configuration."""

    configuration: Configuration
    whole: Speed  # reading, decoding and the network, overlapped as in a run
    network: Speed  # forward passes alone
    memory: int  # the peak of the largest worker [bytes]


@dataclass(frozen=True)
class Machine:
    """What the figures hold for."""

    processor: str
    cores: int
    memory: int  # bytes
    versions: Mapping[str, str]
    date: str


@dataclass(frozen=True)
class Results:
    """All that a benchmark found."""

    machine: Machine
    others: float | None  # share of the machine's processor time that other processes took, where that is known
    model: str
    images: int
    rounds: int
    reading: Speed
    decoding: Speed
    rows: tuple[Row, ...]
    figures: Mapping[Precision, Figures]  # how precisions compare with fp32
    refused: Mapping[Precision, str]  # why a precision may not be chosen, or can't be computed
    unusable: Mapping[Configuration, str]
    chosen: Row | None

    @property
    def limit(self) -> tuple[float, str]:
        """The highest rate that the parts of the chosen configuration allow, each measured alone [images/s], and which
        of them sets it.
        """
        if self.chosen is None:
            raise ValueError("no configuration is chosen")
        parts = {"reading": self.reading.cpu, "decoding": self.decoding.cpu, "the network": self.chosen.network.cpu}
        cores = 1000 * self.chosen.configuration.cores / sum(parts.values())
        if self.reading.rate < cores:
            return self.reading.rate, "reading, whose requests are slower than the cores"
        largest = max(parts, key=lambda name: parts[name])
        return cores, f"the cores, of which {largest} takes {parts[largest] / sum(parts.values()):.0%}"

    def to_json(self, settings: Settings) -> dict[str, Any]:
        return {
            "machine": asdict(self.machine),
            "others": self.others,
            "model": self.model,
            "images": self.images,
            "rounds": self.rounds,
            "reading": asdict(self.reading),
            "decoding": asdict(self.decoding),
            "configurations": [_flat(row) for row in self.rows],
            "agreement": {name: figures.to_json() for name, figures in self.figures.items()},
            "refused": dict(self.refused),
            "unusable": [{**asdict(one), "why": why} for one, why in self.unusable.items()],
            "chosen": _flat(self.chosen) if self.chosen else None,
            "limit": dict(zip(("images_per_second", "by"), self.limit, strict=True)) if self.chosen else None,
            "settings": chosen_settings(settings, self.chosen.configuration) if self.chosen else None,
        }


def _flat(row: Row) -> dict[str, Any]:
    return {
        **asdict(row.configuration),
        "images_per_second": row.whole.rate,
        "cpu_milliseconds": row.whole.cpu,
        "network_images_per_second": row.network.rate,
        "network_cpu_milliseconds": row.network.cpu,
        "memory": row.memory,
    }


def choose(rows: Sequence[Row], refused: Mapping[Precision, str]) -> Row | None:
    """The fastest of those that may be chosen; where several are as fast, one at fp32, then that with least memory."""
    allowed = [row for row in rows if row.configuration.precision not in refused]
    if not allowed:
        return None
    best = max(row.whole.rate for row in allowed)
    near = [row for row in allowed if row.whole.rate >= NEAR * best]

    def cost(row: Row) -> tuple[bool, int, float]:
        chosen = row.configuration
        return chosen.precision != "fp32", chosen.workers * row.memory, -row.whole.rate

    return min(near, key=cost)


def chosen_settings(settings: Settings, chosen: Configuration) -> dict[str, Any]:
    """The content of a settings file for a run: what differs from the defaults, without the output, and what was
    chosen. Spark's secret properties are left out.
    """
    changed = sources.changed(settings)
    shown: dict[str, Any] = visible(changed)
    shown.pop("output", None)
    spark = {**shown.get("spark", {}), "task_cpus": chosen.threads}
    if settings.spark.is_local:
        spark["master"] = f"local[{chosen.cores}]"
    elif settings.spark.executor_cores < chosen.threads:
        spark["executor_cores"] = chosen.threads
    if conf := spark.get("conf"):
        given = changed["spark"]["conf"]
        spark["conf"] = {key: value for key, value in conf.items() if value == given[key]}
    return {**shown, "precision": chosen.precision, "batch_size": chosen.batch_size, "spark": spark}


def chosen_yaml(settings: Settings, chosen: Configuration) -> str:
    """`chosen_settings` as `mxspark run --settings` takes them."""
    return document.to_yaml(chosen_settings(settings, chosen))
