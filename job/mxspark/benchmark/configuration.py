"""What is compared: precisions, batch sizes, and workers with threads that fit the cores."""

from collections.abc import Sequence
from dataclasses import dataclass

from mxspark.errors import UsageError
from mxspark.inference.optimize import Precision

MOST_THREADS = 4  # that are tried where nobody names others: with more a network computes little faster


@dataclass(frozen=True)
class Request:
    """What a person wants to know."""

    precisions: tuple[Precision, ...]
    batch_sizes: tuple[int, ...]
    threads: tuple[int, ...]  # of a worker
    images: int  # of the sample
    seconds: float  # for rounds of measurements


@dataclass(frozen=True)
class Configuration:
    """One way to run: `workers` processes, each of which computes on `threads` threads."""

    precision: Precision
    batch_size: int
    workers: int
    threads: int

    @property
    def cores(self) -> int:
        return self.workers * self.threads

    def __str__(self) -> str:
        return f"{self.precision}, batches of {self.batch_size}, {self.workers} x {self.threads} threads"


def configurations(request: Request, precisions: Sequence[Precision], cores: int) -> list[Configuration]:
    """All of them that have a core for each thread; those with few threads first."""
    return [
        Configuration(precision, batch_size, cores // threads, threads)
        for threads in request.threads
        for precision in precisions
        for batch_size in request.batch_sizes
    ]


def threads_to_try(asked: Sequence[int], cores: int) -> tuple[int, ...]:
    """Threads of a worker: those that were asked for, or 1, 2 and 4 as far as there are cores. Raises UsageError for
    more than there are.
    """
    if too_many := [threads for threads in asked if threads > cores]:
        raise UsageError(
            f"--threads {too_many[0]}: this machine lets mxspark use {cores} cores", "Give as many threads at most."
        )
    powers = (2**power for power in range(MOST_THREADS.bit_length()))
    return tuple(dict.fromkeys(asked)) or tuple(threads for threads in powers if threads <= cores)
