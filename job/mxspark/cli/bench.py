"""`mxspark bench`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mxspark import host
from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, app, short_help
from mxspark.cli.flags import DebugFlag, Given, ModelPrecision, help_of, plain, takes_job
from mxspark.errors import MxsparkError, UsageError
from mxspark.settings import sources
from mxspark.storage import Access

LEAST_IMAGES = 12  # of which a comparison with fp32 is made
_OF_A_TABLE = ("output", "top_k", "output_format", "max_failed_fraction", "overwrite", "retry_failed", "log_format")


MinAgreementFlag = Annotated[
    float | None, typer.Option("--min-agreement", metavar="F", help=help_of("min_agreement"), show_default=False)
]


@app.command("bench", short_help=short_help("bench"), epilog=EXIT_CODES)
@takes_job(
    without=(*_OF_A_TABLE, "context", "precision", "batch_size", "master"),
    more={"min_agreement": (MinAgreementFlag, None, "min_agreement")},
)
def measure(
    given: Given,
    precision: Annotated[
        list[ModelPrecision] | None,  # type: ignore[valid-type]
        typer.Option(
            "--precision",
            metavar="NUMBERS",
            help="fp32, bf16 or int8; can be given many times. Default: all.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        list[int] | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            max=4096,
            help="Images in a forward pass; can be given many times. Default: 8 and 32.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            help="Threads of a worker, of which there are as many as fit the cores; can be given many times. Default: "
            "1, 2 and 4.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", metavar="N", min=LEAST_IMAGES, max=100_000, help="Images of the sample.")
    ] = 96,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            metavar="S",
            min=0,
            help="For rounds of measurements, of which there is one at least, after the models are made.",
        ),
    ] = 45.0,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Write the chosen settings to a new file too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    _debug: DebugFlag = False,
) -> None:
    """Measure how fast this machine predicts your images with your model: precisions, batch sizes and threads, in
    worker processes as a run has them but without Spark. Ends with the settings to run with.

    Nothing is written but --save.
    """
    from mxspark.benchmark import benchmark, configuration, results

    if save is not None and save.exists():
        raise UsageError(f"--save {save} is there already", "Name a new file.")
    layers = given.layers()
    layers.insert(0, sources.Layer(sources.NOT_GIVEN, {("output", "path"): "predictions"}))
    settings = sources.effective(layers).settings
    request = configuration.Request(
        precisions=tuple(dict.fromkeys(map(plain, precision or ModelPrecision))),
        batch_sizes=tuple(dict.fromkeys(batch_size or (8, 32))),
        threads=configuration.threads_to_try(threads or (), host.cores()),
        images=images,
        seconds=seconds,
    )
    with console.ConsoleProgress() as progress:
        found = benchmark.run(settings, Access(settings.storage), request, progress)
    yaml = results.chosen_yaml(settings, found.chosen.configuration) if found.chosen else ""
    if as_json:
        console.show(json.dumps(found.to_json(settings), indent=1))
    else:
        console.show_benchmark(found, yaml)
    if not found.chosen:
        raise MxsparkError(
            "none of these precisions may be chosen", "Add --precision fp32, or give another --min-agreement."
        )
    if save is not None:
        save.write_text(yaml)
