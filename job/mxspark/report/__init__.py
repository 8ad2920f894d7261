"""What came out of a run: its report as one page, some of its rows, and how two tables differ."""

from pathlib import Path

from mxspark import storage
from mxspark.dataset.output import REPORT
from mxspark.errors import UsageError
from mxspark.storage import Access

MOST_SHARDS = 2000  # that the driver reads again at its end: seconds from a bucket


def write(output: str, to: str, access: Access, images: bool, compare: str | None = None) -> str:
    """Writes a run's report to `to` and returns that.

    Not into the output: who can write there could have it hold pictures of files that only its reader may read.

    Raises UsageError where there is no run, or `to` can't be written.
    """
    from mxspark.report import difference, page
    from mxspark.report.finished_run import FinishedRun

    if not to or to.endswith("/") or Path(to).is_dir():
        raise UsageError(f"--to is {to!r}, a folder", "Name a file: --to report.html.")
    run = FinishedRun.open(output, access)
    compared = difference.compare(output, compare, access) if compare else None
    data = page.html(page.gather(run, access, images, compared))
    folder, name = storage.parent(to), to.rsplit("/", 1)[-1]
    with storage.usage_errors("--to", "Name a file that can be written: --to report.html."):
        storage.open_store(folder, access).write(name, data)
    return to


def write_at_end(output: str, access: Access) -> str | None:
    """The report of a run that just ended, without pictures: a driver decodes nothing. None where the table is so large
    that reading it again takes long.
    """
    from mxspark.report import page
    from mxspark.report.finished_run import FinishedRun

    run = FinishedRun.open(output, access)
    if run.plan.shards > MOST_SHARDS:
        return None
    run.store.write(REPORT, page.html(page.gather(run, access, pictures=False)))
    return storage.join(output, REPORT)
