"""What a job that runs elsewhere tells, and how it ended, whoever runs it."""

from dataclasses import dataclass
from typing import Protocol


class Listener(Protocol):
    """Hears how a job goes."""

    def note(self, text: str) -> None:
        """Something that happened."""

    def log(self, line: str) -> None:
        """A line of the driver's log."""


@dataclass(frozen=True)
class Ending:
    """How a job ended: its exit code, and what was wrong where it is not 0."""

    exit_code: int
    cause: str = ""
    mend: str = ""
