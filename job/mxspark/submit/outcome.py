"""The events, diagnoses and outcome of a submitted job, whatever runs it."""

from dataclasses import dataclass
from typing import Protocol, Self

from mxspark.errors import MxsparkError, TooManyFailedError, UsageError
from mxspark.run.last_word import Results
from mxspark.run.progress import Progress

OWN_CODES = {kind.exit_code for kind in (MxsparkError, UsageError, TooManyFailedError)}


class Listener(Protocol):
    """Receives the events of a job that is followed."""

    def note(self, text: str) -> None:
        """An event."""

    def progress(self, progress: Progress) -> None:
        """The progress of its run."""

    def log(self, line: str) -> None:
        """A line of the driver's log."""

    def results(self, found: Results) -> None:
        """What its run produced."""


@dataclass(frozen=True)
class Diagnosis:
    """Why a pod doesn't run, and what to do about it. `passes`: it may resolve itself, without anyone's action."""

    cause: str
    hint: str
    passes: bool = True

    def __str__(self) -> str:
        return f"{self.cause}\n  {self.hint}" if self.hint else self.cause

    def to_json(self) -> dict[str, str]:
        return {"cause": self.cause, "hint": self.hint}


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its exit code, and what was wrong where it is not 0."""

    exit_code: int
    cause: str = ""
    hint: str = ""

    @classmethod
    def failed(cls, driver_code: int | None, cause: str, hint: str) -> Self:
        """A failed job: with its driver's exit code if that is known and one of mxspark's, else 1."""
        return cls(driver_code if driver_code in OWN_CODES else MxsparkError.exit_code, cause, hint)
