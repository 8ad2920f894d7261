"""What came out of a run: its report as one page, some of its rows, and how two tables differ."""

from pathlib import Path
from typing import TYPE_CHECKING

from mxspark import storage
from mxspark.dataset.output import REPORT
from mxspark.errors import MxsparkError, UsageError, one_line
from mxspark.storage import Access

if TYPE_CHECKING:  # they import Spark's and MXNet's libraries
    from mxspark.run.progress import RunListener
    from mxspark.run.result import Result


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


def write_at_end(result: "Result", access: Access, listener: "RunListener") -> None:
    """Writes the report of a run that just ended beside its results, of what was gathered while they were counted, and
    without pictures: a driver decodes nothing. Whatever goes wrong is a note, as the run is done.
    """
    store, place = result.table.store, result.table.settings.output.path
    try:
        from mxspark.report import page
        from mxspark.report.finished_run import FinishedRun

        if result.beside is None:
            if not store.has(REPORT):
                listener.note(f"For a report: mxspark report {place}")
            return
        listener.step("Writing the report")
        if result.beside.trouble:
            raise MxsparkError(result.beside.trouble)
        run = FinishedRun(store, result.table.plan, result.table.settings.output.format)
        found = result.beside.statistics()
        store.write(REPORT, page.html(page.gather(run, access, pictures=False, found=found)))
        listener.note(f"Report: {storage.join(place, REPORT)}")
    except MxsparkError as error:
        listener.note(f"No report was written: {error.problem}")
    except Exception as error:  # noqa: BLE001  # nor may a bug here, or a library that is missing, fail it
        listener.note(f"No report was written: {type(error).__name__}: {one_line(error)}")
