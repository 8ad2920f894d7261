"""`mxspark run` and `mxspark settings`."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer

from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, app, short_help
from mxspark.cli.flags import DebugFlag, Given, KeyArgument, YesFlag, flags_of, takes_job
from mxspark.errors import UsageError
from mxspark.run.last_word import LastWord
from mxspark.run.progress import Both, RunListener
from mxspark.settings import document, sources
from mxspark.settings.job import Settings
from mxspark.storage import Access


@app.command(short_help=short_help("run"), epilog=EXIT_CODES)
@takes_job()
def run(
    given: Given,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: say how long it would take, as `mxspark estimate` does.")
    ] = False,
    yes: YesFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Predict every image of the input once, and write a table of predictions.

    Run the same command again to resume an interrupted run.
    """
    chosen = sources.effective(given.layers()).settings
    if dry_run:
        from mxspark.benchmark.estimate import Request
        from mxspark.cli import estimate

        estimate.show(chosen, Request(), resumes=True)
        return
    run_job(chosen, Access(chosen.storage), debug, yes)


@app.command("settings", short_help=short_help("settings"), epilog=EXIT_CODES)
@takes_job()
def show_settings(
    given: Given,
    key: KeyArgument = None,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print a settings file that explains each setting; `--settings` takes it.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: the value, source and description of each setting.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a settings file.")] = False,
    _debug: DebugFlag = False,
) -> None:
    """Show the settings that `run` with these flags would use, and where each comes from: file, environment, flag or
    default.

    With a KEY, such as top_k or spark.executor_memory, explain that setting; with a section, such as spark, show what
    is in it.
    """
    if as_yaml + as_json + schema > 1:
        raise UsageError("--yaml, --json and --schema exclude each other", "Give one of them.")
    if schema:
        console.show(json.dumps(document.json_schema(Settings), indent=2))
        return
    path = sources.find(key) if key else ()
    found = given.layers()
    effective = sources.effective([needed(found), *found])
    rows = list(effective.rows(path))
    if as_yaml:
        console.show(effective.to_yaml(path).rstrip("\n"))
    elif as_json:
        told = {name: {"value": value, "from": origin, "description": _describe(name)} for name, value, origin in rows}
        console.show(json.dumps(told, indent=1, ensure_ascii=False))
    elif path and Settings.section_at(*path) is None:
        console.show_setting(*rows[0], _describe(rows[0][0]), _ways_to_set(path))
    else:
        console.show_settings(rows)


def _describe(key: str) -> str:
    return Settings.describe(*key.split("."))


def _ways_to_set(path: sources.KeyPath) -> str:
    key = ".".join(path)
    return ", ".join([*flags_of(key), f"--set {key}=…", sources.environment_name(path)])


def needed(given_layers: Sequence[sources.Layer]) -> sources.Layer:
    """Stands for what `run` can't do without, so that what is known already can be looked at."""
    given = {
        path[:depth]
        for layer in given_layers
        for path, value in layer.values.items()
        if value is not None
        for depth in (1, 2)
    }
    missing = [path for path in (("input", "path"), ("output", "path")) if path not in given]
    missing += [("model", "path")] if not given & {("model", role) for role in ("path", "symbol", "params")} else []
    return sources.Layer(sources.NOT_GIVEN, {path: f"(needed: --{path[0]})" for path in missing})


def run_job(chosen: Settings, access: Access, debug: bool, yes: bool) -> None:
    """Runs a job and shows how it went. Raises MxsparkError, TooManyFailedError where more images failed than
    allowed.
    """
    try:
        from mxspark.run import driver  # pyspark, which a machine that only submits jobs does without
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the package {error.name} is not installed, which a run on this machine needs",
            "In mxspark's repository: pip install '.[cpu,spark]'; or submit the job elsewhere: mxspark submit.",
        ) from None
    from mxspark import report
    from mxspark.run import own_pod

    pod = own_pod.from_environment()
    with ExitStack() as stack:
        listener: RunListener = (progress := stack.enter_context(console.run_progress(chosen.log_format, yes)))
        if pod is not None:
            listener = Both(progress, stack.enter_context(own_pod.OwnPod(pod, progress.note)))
        result = driver.run(chosen, access, listener, debug)
        report.write_at_end(result, access.of_driver(os.environ), listener)
    console.show_results(result.results)
    if result.too_many_failed:
        result.too_many_failed.results = result.results
        raise result.too_many_failed
    LastWord(0, results=result.results).leave()
