"""Numbers as shapes: where the rectangles and lines of a chart lie. The page draws them as SVG."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mxspark.run.shard_log import PastRun, ShardRun

WIDTH, HEIGHT = 760.0, 160.0  # of a chart, in the units of its view box
LANE = 14.0  # height of a worker's lane in a timeline
MOST_LANES = 64
MOST_BOXES = 6000  # of a timeline
RATE_BINS = 60
SLOW = 3.0  # times the median: a straggler
LEAST_SLOW_SECONDS = 1.0
SLOWEST = 8
STAGES = ("setup", "forward", "starved", "write")  # that follow each other in a worker; fetch and decode overlap them


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    kind: str = ""
    text: str = ""


@dataclass(frozen=True)
class Columns:
    """A histogram."""

    boxes: tuple[Box, ...]
    largest: float


def columns(values: Sequence[float]) -> Columns:
    """A bar for each value, from left to right."""
    largest = max(values, default=0)
    step = WIDTH / max(len(values), 1)
    heights = [HEIGHT * value / largest if largest else 0.0 for value in values]
    gap = min(2.0, step / 5)
    return Columns(
        tuple(
            Box(round(place * step, 1), round(HEIGHT - height, 1), round(step - gap, 1), round(height, 1))
            for place, height in enumerate(heights)
        ),
        largest,
    )


@dataclass(frozen=True)
class Worker:
    """What a worker process did in a run [seconds]."""

    name: str
    shards: tuple[ShardRun, ...]

    @property
    def images(self) -> int:
        return sum(shard.images for shard in self.shards)

    def seconds(self, stage: str) -> float:
        return sum(float(getattr(shard, stage)) for shard in self.shards)

    @property
    def rest(self) -> float:
        """What no stage accounts for."""
        return max(0.0, self.seconds("seconds") - sum(map(self.seconds, STAGES)))

    def boxes(self, longest: float) -> list[Box]:
        """Its stages side by side, of a bar 100 wide for `longest` seconds."""
        found, x = [], 0.0
        for stage in (*STAGES, "rest"):
            width = 100 * (self.rest if stage == "rest" else self.seconds(stage)) / longest if longest else 0.0
            found.append(Box(round(x, 2), 0, round(width, 2), 10, stage))
            x += width
        return found


def workers(run: PastRun) -> list[Worker]:
    """Those of a run, by their names."""
    by_name: dict[str, list[ShardRun]] = defaultdict(list)
    for shard in run.shards:
        by_name[f"{shard.where}, process {shard.process}"].append(shard)
    return [Worker(name, tuple(sorted(some, key=lambda one: one.began))) for name, some in sorted(by_name.items())]


@dataclass(frozen=True)
class Timeline:
    """A lane for each worker, a box for each shard; `slowest` are the stragglers among them."""

    lanes: tuple[str, ...]
    boxes: tuple[Box, ...]
    seconds: float
    median: float
    slowest: tuple[ShardRun, ...]
    lanes_left_out: int

    @property
    def height(self) -> float:
        return LANE * len(self.lanes)


def timeline(run: PastRun) -> Timeline:
    """Shards that would look the same are drawn once."""
    found = workers(run)
    start, end = min(shard.began for shard in run.shards), max(shard.ended for shard in run.shards)
    scale = WIDTH / max(end - start, 1e-3)
    usual = median(_per_image(shard) for shard in run.shards)
    boxes: dict[tuple[int, float, float], Box] = {}
    slow = [shard for shard in run.shards if _is_slow(shard, usual)]
    slow_ones = set(slow)
    for lane, worker in enumerate(found[:MOST_LANES]):
        for shard in worker.shards:
            x, width = round((shard.began - start) * scale, 1), round(max(shard.seconds * scale - 0.4, 0.6), 1)
            kind = "slow" if shard in slow_ones else "failed" if shard.failed else "done"
            text = f"shard {shard.shard}: {shard.seconds:.1f} s, {shard.images:,} images, {shard.failed:,} failed"
            if len(boxes) < MOST_BOXES or kind == "slow":
                boxes[lane, x, width] = Box(x, lane * LANE + 1, width, LANE - 2, kind, text)
    names = tuple(worker.name for worker in found[:MOST_LANES])
    slowest = tuple(sorted(slow, key=_per_image, reverse=True)[:SLOWEST])
    return Timeline(names, tuple(boxes.values()), end - start, usual, slowest, max(0, len(found) - MOST_LANES))


def _per_image(shard: ShardRun) -> float:
    """Seconds, but for loading the network."""
    return max(shard.seconds - shard.setup, 0.0) / max(shard.images, 1)


def _is_slow(shard: ShardRun, usual: float) -> bool:
    seconds = shard.seconds - shard.setup
    return seconds > LEAST_SLOW_SECONDS and _per_image(shard) > SLOW * usual


@dataclass(frozen=True)
class Rates:
    """Images a second in spans of equal length."""

    values: tuple[float, ...]
    seconds: float  # of a span

    @property
    def points(self) -> str:
        """Of a line, as SVG has it."""
        largest = max(self.values, default=0) or 1
        step = WIDTH / max(len(self.values) - 1, 1)
        return " ".join(
            f"{place * step:.1f},{HEIGHT - HEIGHT * value / largest:.1f}" for place, value in enumerate(self.values)
        )


def rates(run: PastRun) -> Rates:
    """A shard's images are spread evenly over the time that it took, but for loading the network."""
    start, end = min(shard.began for shard in run.shards), max(shard.ended for shard in run.shards)
    span = max(end - start, 1e-3) / RATE_BINS
    images = [0.0] * RATE_BINS
    for shard in run.shards:
        first = (min(shard.began + shard.setup, shard.ended) - start) / span
        last = max((shard.ended - start) / span, first + 1e-6)
        for place in range(int(first), min(int(last), RATE_BINS - 1) + 1):
            share = (min(last, place + 1) - max(first, place)) / (last - first)
            images[place] += shard.images * max(share, 0.0)
    return Rates(tuple(number / span for number in images), span)
