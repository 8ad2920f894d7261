"""What a job that runs elsewhere tells, what keeps it from running, and how it ended, whoever runs it."""

from dataclasses import dataclass
from typing import Protocol, Self

from mxspark.errors import MxsparkError, TooManyFailedError, UsageError
from mxspark.run.last_word import Results
from mxspark.run.progress import Progress

OWN_CODES = {kind.exit_code for kind in (MxsparkError, UsageError, TooManyFailedError)}


class Listener(Protocol):
    """Hears how a job goes."""

    def note(self, text: str) -> None:
        """Something that happened."""

    def progress(self, progress: Progress) -> None:
        """How far it is."""

    def log(self, line: str) -> None:
        """A line of the driver's log."""

    def results(self, found: Results) -> None:
        """What it has to show at its end."""


@dataclass(frozen=True)
class Diagnosis:
    """What keeps a pod from running, and what to do about it; `passes` where it may be gone by and by, without
    anybody's doing.
    """

    cause: str
    hint: str
    passes: bool = True

    def __str__(self) -> str:
        return f"{self.cause}\n  {self.hint}" if self.hint else self.cause


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its exit code, and what was wrong where it is not 0."""

    exit_code: int
    cause: str = ""
    hint: str = ""

    @classmethod
    def failed(cls, driver_code: int | None, cause: str, hint: str) -> Self:
        """Of a job that failed: with its driver's exit code where that is known and one of mxspark's, else 1."""
        return cls(driver_code if driver_code in OWN_CODES else MxsparkError.exit_code, cause, hint)
