"""What the driver tells while it works; how it is shown is the console's business."""

from typing import Protocol


class Progress(Protocol):
    """Listens to a run."""

    def step(self, what: str) -> None:
        """A new step begins, in words."""

    def note(self, what: str) -> None:
        """Something that a person should know."""

    def planned(self, keys: int, done: int, shards: int) -> None:
        """The plan is made: `keys` images in `shards`, of which an earlier run has done `done` images."""

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
