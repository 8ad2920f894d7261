"""A job that runs elsewhere, whatever runs it: what the commands `status`, `follow`, `logs` and `cancel` do with it."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mxspark.submit.outcome import Listener, Outcome

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class JobFlags:
    """What a command line says of where a job runs."""

    namespace: str | None = None
    kube_context: str | None = None
    kubeconfig: str | None = None
    virtual_cluster: str | None = None
    region: str | None = None


class RemoteStatus(Protocol):
    """How a job is."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """For a person: names and values."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain data for programs."""


class RemoteJob(Protocol):
    """A job that was submitted. Whoever follows it brings its own `sleep`, which may end the waiting."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What messages call it."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Its name with the flags that find it again."""

    @property
    def end_command(self) -> str | None:
        """What ends a job that another tool made, which `cancel` refuses to."""
        return None

    @abstractmethod
    def status(self) -> RemoteStatus:
        """How it is now."""

    @abstractmethod
    def follow(self, listener: Listener, *, logs: bool, sleep: Sleep = time.sleep) -> Outcome:
        """Returns when it has ended. With `logs` the listener hears the whole log. Raises OutOfSightError where it
        can't be asked about.
        """

    @abstractmethod
    def logs(self, *, follow: bool, tail: int | None = None, sleep: Sleep = time.sleep) -> Iterator[str]:
        """The lines of its driver's log. Raises MxsparkError where there is none yet; with `follow` only if that
        won't pass.
        """

    @abstractmethod
    def cancel(self, confirm: Callable[[str], bool]) -> str | None:
        """Ends it where `confirm` agrees, and returns what was done. Raises UsageError where it has ended, or isn't
        to be ended so.
        """
