"""`mxspark report`, `mxspark show` and `mxspark diff`."""

import json
from typing import Annotated

import typer

from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, app, short_help
from mxspark.cli.flags import DebugFlag, EndpointFlag, access_by
from mxspark.errors import UsageError

OutputArgument = Annotated[
    str, typer.Argument(metavar="OUTPUT", help="Where a run writes or wrote: a folder, or s3://bucket/prefix.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("report", short_help=short_help("report"), epilog=EXIT_CODES)
def write_report(
    output: OutputArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="FILE", help="Where to write it: a file, or s3://bucket/key.")
    ] = "report.html",
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="OUTPUT", help="Another run's output, to compare with.")
    ] = None,
    images: Annotated[bool, typer.Option(help="Read a few images of the input, for thumbnails.")] = True,
    endpoint_url: EndpointFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Write a run's report: one HTML page with totals, failures, classes, accuracy, times and the least certain images.

    The run may still go on. The page asks for nothing and runs no script.
    """
    from mxspark import report

    made = report.write(output, to, access_by(endpoint_url), images, compare)
    console.show(f"Report: {made}")


@app.command("show", short_help=short_help("show"), epilog=EXIT_CODES)
def show_rows(
    output: OutputArgument,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Rows with this status; failed: all but ok.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", metavar="LABEL", help="Rows whose most probable class has this index, or label or a part of it."
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="The row of this key, or of keys like this: cats/*.jpg.")
    ] = None,
    number: Annotated[int, typer.Option("-n", metavar="N", min=1, max=10_000, help="How many rows at most.")] = 10,
    least_certain: Annotated[
        bool, typer.Option("--least-certain", help="Those whose most probable class is the least probable.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a row a line.")] = False,
    endpoint_url: EndpointFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Show some rows of a table, in the order of their keys: the first ones, or those that the flags choose."""
    for flag, value in (("--status", status), ("--label", label), ("--key", key)):
        if value == "":
            raise UsageError(f"{flag} is empty", f"Leave out {flag}, or give a value.")
    from mxspark.dataset.columns import Columns, VectorColumn
    from mxspark.dataset.predictions import row_to_json
    from mxspark.report import rows
    from mxspark.report.finished_run import FinishedRun

    run = FinishedRun.open(output, access_by(endpoint_url))
    found = rows.choose(run, rows.Choice(status or "", label or "", key or "", least_certain), number)
    if as_json:
        for row in found.rows:
            vectors = tuple(VectorColumn(name, len(vector)) for name, vector in row.vectors.items())
            console.show(json.dumps(row_to_json(row, Columns(vectors)), ensure_ascii=True))
        return
    if found.rows:
        console.show_rows(found.rows)
    else:
        console.show("No row is like that." if found.looked_at else "There are no rows yet.")


@app.command(
    "diff",
    short_help=short_help("diff"),
    epilog=f"0 where they could be compared, however much they differ. {EXIT_CODES}",
)
def show_difference(
    first: Annotated[str, typer.Argument(metavar="OUTPUT_A", help="A run's output: a folder, or s3://bucket/prefix.")],
    second: Annotated[str, typer.Argument(metavar="OUTPUT_B", help="Another's, over the same keys.")],
    as_json: JsonFlag = False,
    endpoint_url: EndpointFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Compare two tables over the same keys, of two models or precisions, say: how often they agree, classes that
    moved, statuses that changed, and keys that only one of them has.
    """
    from mxspark.report import difference

    found = difference.compare(first, second, access_by(endpoint_url))
    if as_json:
        console.show(json.dumps(found.to_json(), indent=1))
    else:
        console.show_difference(found)
