"""What the driver tells while it works, and how fast that goes; how it is shown is the console's business."""

from collections import deque
from typing import Protocol

WINDOW_SECONDS = 20.0  # that a rate is taken from: shards end in bursts, and a network or a cluster may become faster or slower
LEAST_SECONDS = 3.0  # in which a rate is no accident


class Rate:
    """Images a second in the last `WINDOW_SECONDS`, or for as long as one shard takes where that is longer."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # times, and how many images were done by then

    def add(self, now: float, images: int) -> None:
        """`images` are done in all, now [seconds]. What came before the first call was starting up, and counts as no time."""
        self._seen.append((now, images))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """None while it can't be told."""
        if not self._seen:
            return None
        (start, before), (end, images) = self._seen[0], self._seen[-1]
        return (images - before) / (end - start) if end - start >= LEAST_SECONDS and images > before else None


class Progress(Protocol):
    """Listens to a run."""

    def step(self, what: str) -> None:
        """A new step begins, in words."""

    def note(self, what: str) -> None:
        """Something that a person should know."""

    def planned(self, keys: int, done: int, shards: int) -> None:
        """The plan is made: `keys` images in `shards`, of which an earlier run has done `done` images. Workers are starting."""

    def done(self, images: int, failed: int, shards: int) -> None:
        """So many images and shards of this plan are done by now, so many of the images failed."""

    def confirm(self, question: str) -> bool:
        """Whether a person says yes. Raises UsageError where nobody can be asked."""


class Silent:
    """Shows nothing, and says yes: whoever calls the driver has decided."""

    def step(self, what: str) -> None: ...

    def note(self, what: str) -> None: ...

    def planned(self, keys: int, done: int, shards: int) -> None: ...

    def done(self, images: int, failed: int, shards: int) -> None: ...

    def confirm(self, question: str) -> bool:
        return True
