"""`mxspark status` and `mxspark doctor`."""

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, app, doctor_app, short_help, show_findings
from mxspark.cli.flags import DebugFlag, EndpointFlag, access_by, finds_job
from mxspark.errors import UsageError
from mxspark.settings import sources
from mxspark.settings.kubernetes import LABEL
from mxspark.submit import resolver
from mxspark.submit.remote_job import JobFlags

JOB_NAME = re.compile(LABEL)


@app.command("status", short_help=short_help("status"), epilog=EXIT_CODES)
@finds_job
def show_status(
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT|NAME",
            help="Where a run writes or wrote: a folder, or s3://bucket/prefix. Or the name of a submitted job.",
        ),
    ],
    endpoint_url: EndpointFlag = None,
    *,
    where: JobFlags,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    _debug: DebugFlag = False,
) -> None:
    """Show the status of a run: what is done, failed and left, who works on it, and its settings.

    Of a submitted job, show its pods.
    """
    if not output.strip():
        raise UsageError("OUTPUT is empty", "Give a folder, s3://bucket/prefix, or the name of a submitted job.")
    # Anything with a slash or a dot is a place; a folder here is one too, and wins.
    if JOB_NAME.match(output) and not Path(output).exists():
        _show_job(output, where, as_json)
        return
    if where != JobFlags():
        raise UsageError(
            f"{output} is a folder or a place in a bucket, but the flags given name where a submitted job runs",
            "Leave out --namespace, --kube-context, --kubeconfig, --virtual-cluster and --region, or give a job's "
            "name.",
        )
    from mxspark.run import status

    found = status.read(output, access_by(endpoint_url))
    if as_json:
        console.show(found.to_json())
    else:
        console.show_status(found)


def _show_job(name: str, where: JobFlags, as_json: bool) -> None:
    try:
        job = resolver.find(name, where)
    except UsageError as error:
        raise UsageError(
            f"{name} is not a folder here, and can't be found as a submitted job: {error.problem}", error.hint
        ) from None
    found = job.status()
    console.show(json.dumps(found.to_json(), indent=1)) if as_json else console.show_job(found)


@doctor_app.callback(invoke_without_command=True)
def examine(
    context: typer.Context,
    gpus: Annotated[
        bool, typer.Option("--gpu", help="Check the GPUs too; it is a problem then if none can be used.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    _debug: DebugFlag = False,
) -> None:
    """Check whether this machine has what a run needs, and say how to fix what is missing.

    Exit codes: 0 nothing is a problem; 1 something is.
    """
    if context.invoked_subcommand is not None:
        return
    from mxspark import doctor
    from mxspark.inference import bundle

    cache_dir = sources.environment_layer(os.environ).values.get(("cache_dir",))
    findings = doctor.examine(Path(cache_dir) if cache_dir else bundle.default_cache_dir(), gpus)
    show_findings(findings, as_json)
