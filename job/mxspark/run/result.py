"""How a run ended whose parts are all there: what is counted for its summary, and in the same pass for its report."""

from dataclasses import dataclass
from itertools import islice

from mxspark.dataset import output
from mxspark.dataset.output import REPORT, SUCCESS, SUMMARY
from mxspark.dataset.tops import Part
from mxspark.errors import TooManyFailedError, one_line
from mxspark.run import precision
from mxspark.run.identity import has_vectors
from mxspark.run.last_word import Results
from mxspark.run.statistics import Gatherer, Statistics
from mxspark.run.summary import Performance, Summary
from mxspark.run.table import Table
from mxspark.storage import Access

SHOWN_ROWS = 10
MOST_SHARDS = 2000  # that are read whole for a report, where else their ends are: seconds from a bucket


@dataclass(frozen=True)
class Result:
    """A run that ended; `too_many_failed` where more images failed than allowed."""

    results: Results
    too_many_failed: TooManyFailedError | None
    table: Table
    beside: "Beside | None"  # None where a report is there already, or would take long


class Beside:
    """Statistics that are gathered while parts are counted. Whatever goes wrong with them is a report's trouble, and
    not the run's.
    """

    def __init__(self, true_label: str | None) -> None:
        self._gatherer = Gatherer(true_label)
        self.trouble = ""
        self.is_whole = True

    def add(self, part: Part) -> None:
        self.is_whole &= part.pieces is not None
        if part.pieces is not None and self.is_whole and not self.trouble:
            try:
                self._gatherer.add(part.pieces)
            except Exception as error:  # noqa: BLE001  # a bug too
                self.trouble = f"{type(error).__name__}: {one_line(error)}"

    def statistics(self) -> Statistics:
        return self._gatherer.statistics()


def sum_up(table: Table, performance: Performance | None, access: Access) -> Result:
    """Counts what is really there, writes the summary, and marks the table as complete.

    `performance` is None where nothing was left to do. Raises MxsparkError where parts are missing or aren't as
    planned.
    """
    store, settings = table.store, table.settings
    # Else the run that did it all has written it.
    is_reported = performance is not None or not (store.has(REPORT) and store.has(SUCCESS))
    is_small = table.plan.shards <= MOST_SHARDS and not has_vectors(table.plan.identity)
    beside = Beside(settings.input.true_label) if is_reported and is_small else None
    tally = table.count(beside.add if beside else None)
    figures = precision.kept_figures(store, table.plan)
    compared = precision.summary(figures, settings.precision, precision.kept_digest(store, table.plan))
    summary = Summary(table.plan, tally.counts, performance, settings.model_dump(mode="json"), compared)
    if settings.output.format == "text":
        output.write_text(store, table.plan, settings.output, access)
    too_many = summary.failed_fraction > settings.max_failed_fraction
    if too_many:
        store.delete(SUCCESS)
        store.delete(REPORT)  # an earlier run's, to which as many were allowed
    if performance is not None or not store.has(SUCCESS):  # else the run that did it all has written it
        store.write(SUMMARY, summary.to_json().encode())
    if not too_many:
        store.write(SUCCESS, b"")
    first_rows = tuple(islice(table.rows(range(table.plan.shards)), SHOWN_ROWS))
    results = Results(
        tally.counts,
        table.plan.skipped,
        performance,
        first_rows,
        output.table(settings.output),
        str(figures) if figures else "",
    )
    gathered = beside if beside and beside.is_whole else None
    return Result(results, table.too_many_failed(tally) if too_many else None, table, gathered)
