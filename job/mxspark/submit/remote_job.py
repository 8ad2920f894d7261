"""A submitted job, whatever runs it: the interface of the commands `status`, `follow`, `logs` and `cancel`."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mxspark.errors import UsageError
from mxspark.submit.outcome import Listener, Outcome

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class JobFlags:
    """The flags that say where a job runs. Raises UsageError for flags of both kinds of jobs."""

    namespace: str | None = None
    kube_context: str | None = None
    kubeconfig: str | None = None
    virtual_cluster: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        if (self.virtual_cluster or self.region) and (self.namespace or self.kube_context or self.kubeconfig):
            raise UsageError(
                "--virtual-cluster and --region find a job run of EMR, --namespace, --kube-context and --kubeconfig a "
                "job on Kubernetes: they exclude each other",
                "Give those of one kind.",
            )


class RemoteStatus(Protocol):
    """The status of a job."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """For a person: names and values."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain data for programs."""


class RemoteJob(Protocol):
    """A submitted job. Callers pass a `sleep` of their own, which may raise to end the wait."""

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
        """The command that ends a job made by another tool, which `cancel` refuses to end; None for others."""
        return None

    @abstractmethod
    def status(self) -> RemoteStatus:
        """Its current status."""

    @abstractmethod
    def follow(self, listener: Listener, *, logs: bool, sleep: Sleep = time.sleep) -> Outcome:
        """Returns when it has ended. With `logs` the listener receives the whole log. Raises OutOfSightError if its
        status can't be read any more.
        """

    @abstractmethod
    def logs(self, *, follow: bool, tail: int | None = None, sleep: Sleep = time.sleep) -> Iterator[str]:
        """The lines of its driver's log. Raises MxsparkError if there is none yet; with `follow`, only if there
        never will be one.
        """

    @abstractmethod
    def cancel(self, confirm: Callable[[str], bool]) -> str | None:
        """Ends it if `confirm` agrees, and returns what was done. Raises UsageError if it has ended already, or
        belongs to another tool.
        """
