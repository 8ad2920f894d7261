"""How far a run is: what the driver reports while it works, as data. The console decides how to show it."""

import json
import time
from collections import deque
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from mxspark.text import duration
from mxspark.text.words import counted

if TYPE_CHECKING:  # it imports numpy, which following a job does without
    from mxspark.worker.shard import ShardReport

# Seconds that a rate is computed over: shards end in bursts, and a cluster may become faster or slower.
WINDOW_SECONDS = 20.0
LEAST_SECONDS = 3.0  # in which a rate is no accident
NOTES = 5  # the last ones, that travel with a run's progress
LONGEST_NOTE = 500  # characters


class Rate:
    """Images a second in the last `WINDOW_SECONDS`, or for as long as one shard takes where that is longer."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # times, and how many images were done by then

    def add(self, now: float, images: int) -> None:
        """`images` are done in all, now [seconds]. What came before the first call was starting up, and counts as no
        time.
        """
        self._seen.append((now, images))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """None while it isn't known."""
        if not self._seen:
            return None
        (start, before), (end, images) = self._seen[0], self._seen[-1]
        return (images - before) / (end - start) if end - start >= LEAST_SECONDS and images > before else None


@dataclass(frozen=True)
class Progress:
    """How far a run is. It travels as JSON, from a driver to whoever follows it."""

    step: str = "Starting"  # what it does now, in words
    keys: int = 0  # images of the plan; 0 until there is one
    images: int = 0  # of these, done by now
    failed: int = 0  # of those done
    shards: int = 0
    shards_done: int = 0
    rate: float | None = None  # images/s
    notes: tuple[str, ...] = ()  # the last of what a person should know
    notes_total: int = 0  # in all

    def to_json(self) -> dict[str, Any]:
        """Without what is as it is at the start."""
        return {key: value for key, value in asdict(self).items() if value != getattr(Progress, key)}

    @classmethod
    def read(cls, text: str) -> Self:
        """From JSON, of another version perhaps. Raises ValueError where it is none."""
        try:
            data = json.loads(text)
            known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
            found = cls(**{**known, "notes": tuple(map(str, data.get("notes", ())))})
            str(found), found.notes_since(0)  # as whoever follows it shows it
        except (TypeError, AttributeError, LookupError, RecursionError, ArithmeticError) as error:
            raise ValueError("not a run's progress") from error
        return found

    def notes_since(self, seen: int) -> tuple[str, ...]:
        """The notes that came after the first `seen`, as far as they are kept."""
        new = self.notes_total - seen
        return self.notes[-new:] if new > 0 else ()

    def __str__(self) -> str:
        if not self.keys:
            return f"{self.shards_done:,} of {counted(self.shards, 'shard')} are done" if self.shards else self.step
        speed = (
            f"{self.rate:.1f} images/s, {duration.in_words((self.keys - self.images) / self.rate)} left, "
            if self.rate
            else ""
        )
        done = f"{self.images:,}/{self.keys:,} images, {self.shards_done:,}/{self.shards:,} shards"
        return f"{done}, {speed}{self.failed:,} failed"


class RunListener(Protocol):
    """Listens to a run."""

    def begin(self, run_id: str) -> None:
        """A run begins; the same id is in `_runs/` and in Spark's pages."""

    def step(self, what: str) -> None:
        """A new step begins, in words."""

    def note(self, what: str) -> None:
        """Something that a person should know."""

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None:
        """The plan is made: `keys` images in `shards`, of which an earlier run has done `done` and `shards_done`.
        Workers are starting.
        """

    def shard(self, report: "ShardReport") -> None:
        """A worker has done a shard. `done` follows, with the sums."""

    def done(self, images: int, failed: int, shards: int) -> None:
        """So many images and shards of this plan are done by now, so many of the images failed."""

    def executors(self, running: int, wanted: int) -> None:
        """So many executors run, of so many at most; from time to time, where the workers are executors."""

    def confirm(self, question: str) -> bool:
        """Whether a person says yes. Raises UsageError where nobody can be asked."""


class Meter:
    """Keeps what a run has reported as one Progress."""

    def __init__(self) -> None:
        self.now = Progress()
        self._rate = Rate()

    def step(self, what: str) -> None:
        self.now = replace(self.now, step=what)

    def note(self, what: str) -> None:
        notes = (*self.now.notes, what[:LONGEST_NOTE])[-NOTES:]
        self.now = replace(self.now, notes=notes, notes_total=self.now.notes_total + 1)

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None:
        self.now = replace(
            self.now, step="Starting workers", keys=keys, images=done, shards=shards, shards_done=shards_done
        )

    def done(self, images: int, failed: int, shards: int) -> None:
        self._rate.add(time.monotonic(), images)
        self.now = replace(
            self.now, step="Predicting", images=images, failed=failed, shards_done=shards, rate=self._rate.per_second
        )


class Silent:
    """Shows nothing, and says yes: whoever calls the driver has decided."""

    def begin(self, run_id: str) -> None: ...

    def step(self, what: str) -> None: ...

    def note(self, what: str) -> None: ...

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None: ...

    def shard(self, report: "ShardReport") -> None: ...

    def done(self, images: int, failed: int, shards: int) -> None: ...

    def executors(self, running: int, wanted: int) -> None: ...

    def confirm(self, question: str) -> bool:
        return True


class Both:
    """Tells a run to two listeners; the first one is asked."""

    def __init__(self, first: RunListener, second: RunListener) -> None:
        self._first = first
        self._second = second

    def begin(self, run_id: str) -> None:
        self._first.begin(run_id)
        self._second.begin(run_id)

    def step(self, what: str) -> None:
        self._first.step(what)
        self._second.step(what)

    def note(self, what: str) -> None:
        self._first.note(what)
        self._second.note(what)

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None:
        self._first.planned(keys, done, shards, shards_done)
        self._second.planned(keys, done, shards, shards_done)

    def shard(self, report: "ShardReport") -> None:
        self._first.shard(report)
        self._second.shard(report)

    def done(self, images: int, failed: int, shards: int) -> None:
        self._first.done(images, failed, shards)
        self._second.done(images, failed, shards)

    def executors(self, running: int, wanted: int) -> None:
        self._first.executors(running, wanted)
        self._second.executors(running, wanted)

    def confirm(self, question: str) -> bool:
        return self._first.confirm(question)
