"""What was measured, and the figures that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.peers.images import Kind
from bench.peers.systems import System


@dataclass(frozen=True)
class Run:
    """One run of a system."""

    images: int
    wall: float  # seconds
    cpu: float  # seconds, of everything that the run started
    memory: int  # bytes, the peak of all processes together
    first: float  # seconds to the first row
    agreement: float  # with fp32, of the images that were compared
    others: float  # share of the machine's processor time that other processes took meanwhile


@dataclass(frozen=True)
class Pair:
    """A short and a long run of one round: their difference is what images cost once all has started."""

    short: Run
    long: Run

    @property
    def images(self) -> int:
        return self.long.images - self.short.images

    @property
    def cpu(self) -> float:
        """CPU-ms of an image."""
        return 1000 * (self.long.cpu - self.short.cpu) / self.images

    @property
    def rate(self) -> float:
        """Images/s in steady state."""
        return self.images / max(self.long.wall - self.short.wall, 1e-9)

    @property
    def cores(self) -> float:
        """Cores that were busy with it in steady state."""
        return self.rate * self.cpu / 1000

    @property
    def start(self) -> float:
        """CPU-s of the start and the end."""
        return self.short.cpu - self.short.images * self.cpu / 1000


@dataclass(frozen=True)
class Row:
    """A system with one kind of images: medians of the rounds."""

    system: System
    kind: Kind
    pairs: tuple[Pair, ...]

    @property
    def cpu(self) -> float:
        return median(pair.cpu for pair in self.pairs)

    @property
    def rate(self) -> float:
        return median(pair.rate for pair in self.pairs)

    @property
    def cores(self) -> float:
        return median(pair.cores for pair in self.pairs)

    @property
    def start(self) -> float:
        return median(pair.start for pair in self.pairs)

    @property
    def wall(self) -> float:
        return median(pair.long.wall for pair in self.pairs)

    @property
    def first(self) -> float:
        return median(pair.long.first for pair in self.pairs)

    @property
    def memory(self) -> int:
        return max(pair.long.memory for pair in self.pairs)

    @property
    def agreement(self) -> float:
        return median(pair.long.agreement for pair in self.pairs)


@dataclass(frozen=True)
class Limits:
    """Parts alone, with nothing beside them but what other people's processes do [CPU-ms of an image]."""

    forward: Mapping[str, float]  # by engine and precision: "mxnet-int8"
    decode: Mapping[Kind, float]
    get: Mapping[Kind, float]

    def of(self, row: Row) -> float | None:
        """The least that an image can cost a system; None where its forward pass was not measured."""
        forward = self.forward.get(forward_name(row.system))
        if forward is None or row.kind not in self.decode:
            return None
        return forward + self.decode[row.kind] + self.get[row.kind]


def forward_name(system: System) -> str:
    """The engine and precision of a system."""
    return f"{system.engine or 'mxnet'}-{system.precision}"


@dataclass(frozen=True)
class Results:
    """All of a comparison."""

    date: str
    command: str
    machine: str
    is_exact: bool  # a control group counted the processor time
    network: str
    latency: float  # ms
    images: tuple[int, int]  # of the short and the long runs
    rounds: int
    others: float
    versions: Mapping[str, str]
    limits: Limits
    rows: tuple[Row, ...]
    left_out: Mapping[str, str]  # systems that were asked for, and why they were not run

    def to_json(self) -> dict[str, Any]:
        """With the figures of each row beside its runs."""
        figures = ("cpu", "rate", "cores", "start", "wall", "first", "memory", "agreement")
        rows = [
            {
                **asdict(row),
                "system": row.system.name,
                **{name: getattr(row, name) for name in figures},
                "limit": self.limits.of(row),
            }
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows}


def of_kind(rows: Sequence[Row], kind: Kind) -> list[Row]:
    """The rows of one kind of images, the cheapest image first."""
    return sorted((row for row in rows if row.kind == kind), key=lambda row: row.cpu)
