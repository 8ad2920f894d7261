"""How a run ended whose parts are all there."""

from dataclasses import dataclass
from itertools import islice

from mxspark.dataset import output
from mxspark.dataset.output import SUCCESS, SUMMARY
from mxspark.errors import TooManyFailedError
from mxspark.run import precision
from mxspark.run.last_word import Results
from mxspark.run.summary import Performance, Summary
from mxspark.run.table import Table
from mxspark.storage import Access

SHOWN_ROWS = 10


@dataclass(frozen=True)
class Result:
    """A run that ended; `too_many_failed` where more images failed than allowed."""

    results: Results
    too_many_failed: TooManyFailedError | None


def sum_up(table: Table, performance: Performance | None, access: Access) -> Result:
    """Counts what is really there, writes the summary, and marks the table as complete.

    `performance` is None where nothing was left to do. Raises MxsparkError where parts are missing or aren't as
    planned.
    """
    store, settings = table.store, table.settings
    tally = table.count()
    figures = precision.kept_figures(store, table.plan)
    compared = precision.summary(figures, settings.precision, precision.kept_digest(store, table.plan))
    summary = Summary(table.plan, tally.counts, performance, settings.model_dump(mode="json"), compared)
    if settings.output.format == "text":
        output.write_text(store, table.plan, settings.output, access)
    too_many = summary.failed_fraction > settings.max_failed_fraction
    if too_many:
        store.delete(SUCCESS)
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
    return Result(results, table.too_many_failed(tally) if too_many else None)
