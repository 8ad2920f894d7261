"""A plan's table of predictions, as far as its parts are there."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from mxspark.dataset import predictions
from mxspark.dataset.output import SUCCESS
from mxspark.dataset.part_errors import EmptyPartError
from mxspark.dataset.plan import Plan
from mxspark.dataset.predictions import PARTS, Counts, Row
from mxspark.dataset.tops import Part
from mxspark.errors import MxsparkError, TooManyFailedError
from mxspark.row_status import RowStatus
from mxspark.run import summary
from mxspark.settings.job import Settings
from mxspark.storage import Store
from mxspark.text.words import counted, printable

EXAMPLES = 3  # of failed images, in the error of too many


@dataclass
class Tally:
    """The sum of some parts' counts, and a few shards in which to find examples of failed images."""

    counts: Counts = field(default_factory=Counts)
    failed_shards: list[int] = field(default_factory=list)

    def add(self, shard: int, counts: Counts) -> None:
        self.counts += counts
        if counts.failed and len(self.failed_shards) < EXAMPLES:
            self.failed_shards.append(shard)


@dataclass(frozen=True)
class Table:
    """The parts of a plan in a store."""

    store: Store
    plan: Plan
    settings: Settings

    def missing(self) -> list[int]:
        """The shards that have no part. Raises MxsparkError where there is a part that the plan hasn't."""
        done = predictions.finished_shards(self.store, self.settings.output.format)
        if unknown := sorted(shard for shard in done if shard >= self.plan.shards):
            name = PARTS[self.settings.output.format].name(unknown[0])
            problem = f"{self.store.name} has {name}, but the plan has only {counted(self.plan.shards, 'shard')}"
            raise MxsparkError(problem, "Remove that part.")
        return [shard for shard in range(self.plan.shards) if shard not in done]

    def counts(self, shards: Iterable[int]) -> Iterator[tuple[int, Counts]]:
        """What the parts of these shards hold. Raises MxsparkError naming one that isn't as planned."""
        return summary.count_parts(
            self.store, self.plan, shards, self.settings.output.format, self.settings.input.true_label
        )

    def count(self, beside: Callable[[Part], None] | None = None) -> Tally:
        """What all parts hold; where somebody else wants them too (`beside`), read whole and once.

        Raises MxsparkError where one is missing or isn't as planned.
        """
        if missing := self.missing():
            raise MxsparkError(
                f"{self.store.name}: {len(missing):,} of {counted(self.plan.shards, 'part')} are missing, "
                f"the first is that of shard {missing[0]}",
                "Run the same command again: it computes what is missing.",
            )
        tally = Tally()
        try:
            for shard, counts in self._counts_and(beside) if beside else self.counts(range(self.plan.shards)):
                tally.add(shard, counts)
        except MxsparkError as error:
            self.store.delete(SUCCESS)  # the table is not whole, whoever wrote that
            if isinstance(error, EmptyPartError):
                self.store.delete(error.part)
                problem = f"{error.problem}: probably an interrupted upload; it was removed"
                raise MxsparkError(problem, "Run the same command again: it computes what is missing.") from None
            raise
        return tally

    def _counts_and(self, beside: Callable[[Part], None]) -> Iterator[tuple[int, Counts]]:
        output_format, true_label = self.settings.output.format, self.settings.input.true_label
        for shard, part in summary.read_parts(
            self.store, self.plan, range(self.plan.shards), output_format, true_label
        ):
            beside(part)
            yield shard, part.counts

    def rows(self, shards: Iterable[int]) -> Iterator[Row]:
        return chain.from_iterable(
            predictions.read_rows(self.store, shard, self.settings.output.format) for shard in shards
        )

    def too_many_failed(self, tally: Tally, prefix: str = "") -> TooManyFailedError:
        """The error with the counts by status and some examples."""
        failed = (row for row in self.rows(tally.failed_shards) if row.status != RowStatus.OK)
        examples = [f"{printable(row.key)} ({row.status}: {row.error})" for row in islice(failed, EXAMPLES)]
        counts = tally.counts
        return TooManyFailedError(
            f"{prefix}{counts.failed:,} of {counted(counts.rows, 'image')} failed, more than max_failed_fraction "
            f"{self.settings.max_failed_fraction:g} allows: {counts.failures}\nFor example {', '.join(examples)}",
            "Fix them and add --retry-failed, or allow more with --max-failed-fraction.",
        )
