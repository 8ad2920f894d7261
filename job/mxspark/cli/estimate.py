"""`mxspark estimate`, and what `mxspark run --dry-run` shows."""

import json
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, app, short_help
from mxspark.cli.flags import DebugFlag, Given, takes_job
from mxspark.errors import UsageError
from mxspark.settings import sources
from mxspark.settings.job import Settings
from mxspark.storage import Access

if TYPE_CHECKING:
    from mxspark.benchmark.estimate import Request

_OF_A_TABLE = ("output", "output_format", "max_failed_fraction", "overwrite", "retry_failed")


@app.command("estimate", short_help=short_help("estimate"), epilog=EXIT_CODES)
@takes_job(without=_OF_A_TABLE)
def show_estimate(
    given: Given,
    executors: Annotated[
        int | None,
        typer.Option(
            "--executors",
            metavar="N",
            min=1,
            max=100_000,
            help="Also for so many executors. Default: spark.executors, where the master is a cluster.",
        ),
    ] = None,
    cores: Annotated[
        int | None,
        typer.Option(
            "--cores", metavar="N", min=1, max=1024, help="Cores of an executor. Default: spark.executor_cores."
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option("--price-per-core-hour", metavar="DOLLARS", min=0, help="What a core costs for an hour."),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", metavar="N", min=1, max=100_000, help="Images of the sample.")
    ] = 64,
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="S", min=0, help="For predicting the sample, which is done twice at least."),
    ] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    _debug: DebugFlag = False,
) -> None:
    """Say how long a run would take on this machine and on executors, how many core-hours that is, and what it costs.

    Counts the images of the input, and times a sample through a run's own pipeline on this machine. Nothing is
    written. `mxspark run --dry-run` says the same for the rest of a run that was interrupted.
    """
    from mxspark.benchmark.estimate import Request

    if price is not None and not isfinite(price):
        raise UsageError(f"--price-per-core-hour is {price}", "Give a number of dollars.")
    layers = given.layers()
    layers.insert(0, sources.Layer(sources.NOT_GIVEN, {("output", "path"): "predictions"}))
    settings = sources.effective(layers).settings
    show(settings, Request(images, seconds, executors, cores, price), as_json)


def show(settings: Settings, request: "Request", as_json: bool = False, resumes: bool = False) -> None:
    """Estimates a run and shows that; `resumes` where its output counts. Raises what `estimate.run` raises."""
    from mxspark.benchmark import estimate

    with console.run_progress(settings.log_format, yes=False) as progress:
        found = estimate.run(settings, Access(settings.storage), request, progress, resumes)
    if as_json:
        console.show(json.dumps(found.to_json(), indent=1))
    else:
        console.show_estimate(found)
