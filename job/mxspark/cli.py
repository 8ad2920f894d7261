"""Commands and flags. Logic is elsewhere; here a flag becomes a setting and an error an exit code.

The only place that imports typer.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from mxspark import __version__, article, bundle, console, document, driver, layers, network, status, storage
from mxspark.errors import MxsparkError, UsageError, mistake, without_secrets
from mxspark.model_spec import ModelSpec
from mxspark.settings import ModelSettings, Settings, StorageSettings
from mxspark.storage import Access

EXIT_CODES = (
    "Exit codes: 0 success; 1 something went wrong on the way; 2 wrong settings, arguments, model or input, nothing was written; "
    "3 the run ended but more images failed than max_failed_fraction allows; 130 Ctrl-C (143 when ended by SIGTERM)."
)
INTERRUPTED, TERMINATED = 130, 143

app = typer.Typer(
    name="mxspark",
    help="Offline image inference with Apache MXNet on Apache Spark: a bucket of images in, a table of predictions out.",
    epilog=EXIT_CODES,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
model_app = typer.Typer(help="Look at models, and make bundles of them.", rich_markup_mode=None)
app.add_typer(model_app, name="model")


class Terminated(BaseException):
    """SIGTERM came: end as cleanly as after Ctrl-C."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; every error becomes a message and an exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    _exit_with(lambda: app(args=given, standalone_mode=False), "--debug" in given)


def main_submitted(arguments: list[str]) -> None:
    """The command line of infer_main.py: the article's, or that of `mxspark run`."""
    if article.is_article(arguments):
        _exit_with(lambda: _run_article(arguments), "--debug" in arguments)
    main(["run", *arguments])


def _run_article(arguments: list[str]) -> None:
    job = article.parse(arguments, dict(os.environ))
    if job.credentials is not None:
        console.show_warning(
            "--secret_key on a command line can be read by others: in process lists, shell histories and Spark's pages. "
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role."
        )
    # The article's job knew no questions: what it finished before, it does again.
    run_job(job.effective.settings, job.access, "--debug" in arguments, yes=True)


def _exit_with(command: Callable[[], Any], debug: bool) -> NoReturn:
    for number, handler in HANDLERS.items():
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, handler)
    try:
        code = command()
    except MxsparkError as error:
        code = _report(error, debug)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Terminated:
        console.show_warning("terminated; what was finished stays, the same command goes on with the rest")
        code = TERMINATED
    except Exception as error:  # noqa: BLE001  # a person gets a message, not a stack trace
        if hasattr(error, "format_message"):  # click's own, for wrong arguments
            code = _report(UsageError(error.format_message(), "`mxspark --help` and `mxspark COMMAND --help` list what there is."), debug)
        else:
            code = _report(mistake(error), debug)
    if code == INTERRUPTED:  # typer makes a KeyboardInterrupt into this code
        console.show_warning("interrupted; what was finished stays, the same command goes on with the rest")
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: MxsparkError, debug: bool) -> int:
    if debug:
        console.show_trace()
    console.show_error(error)
    return error.exit_code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    raise KeyboardInterrupt


def _terminate(_number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    raise Terminated


def _ignore_signals() -> None:
    """Cleaning up is quick, and is not to be interrupted again."""
    for number in HANDLERS:
        signal.signal(number, signal.SIG_IGN)


HANDLERS = {signal.SIGINT: _interrupt, signal.SIGTERM: _terminate, signal.SIGHUP: _terminate}  # SIGHUP: the terminal was closed


def _help(*path: str) -> str:
    """The help of the flag that sets `path`: the setting's description and default."""
    default = (Settings.section_at(*path[:-1]) or Settings).model_fields[path[-1]].get_default()
    shown = isinstance(default, (str, int, float)) and not isinstance(default, bool)
    return Settings.describe(*path) + (f" [default: {default}]" if shown else "")


def _choices(*path: str) -> type[StrEnum]:
    """The values that the setting at `path` can have, as click wants them: the one list is the setting's own."""
    values = (Settings.section_at(*path[:-1]) or Settings).model_json_schema()["properties"][path[-1]]
    return StrEnum(path[-1], {value: value for value in values.get("enum", [values.get("const")])})  # type: ignore[return-value]


def _flag(name: str, *path: str, **more: Any) -> Any:
    return typer.Option(name, help=_help(*path), show_default=False, **more)


Context = _choices("context")
Precision = _choices("precision")
Format = _choices("output", "format")

SettingsFlag = Annotated[str | None, typer.Option("--settings", metavar="FILE", help="Settings as YAML: a path, or s3://bucket/key.")]
SetFlag = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. spark.executor_memory=4g. Can be given many times.")
]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show stack traces and Spark's log.")]
InputFlag = Annotated[str | None, _flag("--input", "input", "path", metavar="PLACE")]
OutputFlag = Annotated[str | None, _flag("--output", "output", "path", metavar="PLACE")]
ModelFlag = Annotated[str | None, _flag("--model", "model", "path", metavar="PLACE")]
ContextFlag = Annotated[Context | None, _flag("--context", "context")]  # type: ignore[valid-type]
PrecisionFlag = Annotated[Precision | None, _flag("--precision", "precision")]  # type: ignore[valid-type]
FormatFlag = Annotated[Format | None, _flag("--format", "output", "format")]  # type: ignore[valid-type]
BatchSizeFlag = Annotated[int | None, _flag("--batch-size", "batch_size", metavar="N")]
TopKFlag = Annotated[int | None, _flag("--top-k", "top_k", metavar="K")]
MasterFlag = Annotated[str | None, _flag("--master", "spark", "master", metavar="MASTER")]
EndpointFlag = Annotated[str | None, _flag("--endpoint-url", "storage", "endpoint_url", metavar="URL")]
FailedFlag = Annotated[float | None, _flag("--max-failed-fraction", "max_failed_fraction", metavar="F")]
OverwriteFlag = Annotated[bool, _flag("--overwrite", "output", "overwrite")]
RetryFailedFlag = Annotated[bool, _flag("--retry-failed", "output", "retry_failed")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Answer questions with yes.")]
LimitFlag = Annotated[int | None, _flag("--limit", "input", "limit", metavar="N")]


@app.callback(invoke_without_command=True)
def _root(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False) -> None:
    if version:
        console.show(f"mxspark {__version__}")
    elif context.invoked_subcommand is None:
        console.show(context.get_help())


@model_app.callback(invoke_without_command=True)
def _model(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        console.show(context.get_help())


@app.command(epilog=EXIT_CODES)
def run(
    input_: InputFlag = None,
    output: OutputFlag = None,
    model: ModelFlag = None,
    settings_file: SettingsFlag = None,
    assignments: SetFlag = [],  # noqa: B006  # typer copies it
    context: ContextFlag = None,
    precision: PrecisionFlag = None,
    batch_size: BatchSizeFlag = None,
    top_k: TopKFlag = None,
    output_format: FormatFlag = None,
    master: MasterFlag = None,
    endpoint_url: EndpointFlag = None,
    max_failed_fraction: FailedFlag = None,
    limit: LimitFlag = None,
    overwrite: OverwriteFlag = False,
    retry_failed: RetryFailedFlag = False,
    yes: YesFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Predict every image of the input once, and write a table of predictions.

    The same command again goes on where an interrupted run stopped.
    """
    flags = _flags(locals())
    chosen = layers.effective(_layers(settings_file, flags, assignments)).settings
    run_job(chosen, Access(chosen.storage), debug, yes)


@app.command("settings")
def show_settings(
    input_: InputFlag = None,
    output: OutputFlag = None,
    model: ModelFlag = None,
    settings_file: SettingsFlag = None,
    assignments: SetFlag = [],  # noqa: B006
    context: ContextFlag = None,
    precision: PrecisionFlag = None,
    batch_size: BatchSizeFlag = None,
    top_k: TopKFlag = None,
    output_format: FormatFlag = None,
    master: MasterFlag = None,
    endpoint_url: EndpointFlag = None,
    max_failed_fraction: FailedFlag = None,
    limit: LimitFlag = None,
    overwrite: OverwriteFlag = False,
    retry_failed: RetryFailedFlag = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a settings file instead.")] = False,
) -> None:
    """Show the settings that `run` with these flags would use, and where each comes from: file, environment, flag or default."""
    if schema:
        console.show(json.dumps(document.json_schema(Settings), indent=2))
        return
    given = _layers(settings_file, _flags(locals()), assignments)
    console.show_settings(layers.effective([_needed(given), *given]).rows())


def _needed(given_layers: Sequence[layers.Layer]) -> layers.Layer:
    """Stands for what `run` can't do without, so that what is known already can be looked at."""
    given = {path[:depth] for layer in given_layers for path in layer.values for depth in (1, 2)}
    missing = [path for path in (("input", "path"), ("output", "path")) if path not in given]
    missing += [("model", "path")] if ("model",) not in given else []
    return layers.Layer("not given", {path: f"(needed: --{path[0]})" for path in missing})


# The flags of `run` and `settings`, and what they set.
_FLAG_KEYS = {
    "input_": "input.path",
    "output": "output.path",
    "model": "model.path",
    "context": "context",
    "precision": "precision",
    "batch_size": "batch_size",
    "top_k": "top_k",
    "output_format": "output.format",
    "master": "spark.master",
    "endpoint_url": "storage.endpoint_url",
    "max_failed_fraction": "max_failed_fraction",
    "limit": "input.limit",
    "overwrite": "output.overwrite",
    "retry_failed": "output.retry_failed",
}


_FLAG_NAMES = {"input_": "--input", "output_format": "--format"}  # where they differ from the parameter's name


def _flags(given: Mapping[str, Any]) -> dict[str, Any]:
    flags = {key: given[name] for name, key in _FLAG_KEYS.items() if given[name] is not None and given[name] is not False}
    return {key: str(value) if isinstance(value, StrEnum) else value for key, value in flags.items()}


def _layers(settings_file: str | None, flags: Mapping[str, Any], assignments: list[str]) -> list[layers.Layer]:
    """A file, this process's environment, and flags, in order of increasing precedence."""
    found = []
    if settings_file is not None:
        access = Access(StorageSettings(endpoint_url=flags.get("storage.endpoint_url")))
        try:
            with storage.usage_errors("--settings", "Name a YAML file."):
                text = storage.read_object(settings_file, access, limit=2**20).decode()
        except UnicodeDecodeError:
            raise UsageError(f"--settings: {settings_file} is not UTF-8 text", "Give a YAML file.") from None
        found.append(layers.file_layer(document.read_yaml(text, settings_file), settings_file))
    found.append(layers.environment_layer(os.environ))
    names = {key: _FLAG_NAMES.get(name, f"--{name.replace('_', '-')}") for name, key in _FLAG_KEYS.items()}
    found.append(layers.flag_layer(flags, assignments, names))
    return found


def run_job(chosen: Settings, access: Access, debug: bool, yes: bool) -> None:
    """Runs a job and shows how it went. Raises MxsparkError, TooManyFailedError where more images failed than allowed."""
    with console.ConsoleProgress(yes) as progress:
        result = driver.run(chosen, access, progress, debug)
    console.show_result(result)
    if result.too_many_failed:
        raise result.too_many_failed


@app.command("status", epilog=EXIT_CODES)
def show_status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Where a run writes or wrote: a folder, or s3://bucket/prefix.")],
    endpoint_url: EndpointFlag = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    _debug: DebugFlag = False,
) -> None:
    """Say how far a run is: what is done, failed and left, who works on it, and from which settings."""
    found = status.read(output, Access(StorageSettings(endpoint_url=endpoint_url)))
    if as_json:
        console.show(found.to_json())
    else:
        console.show_status(found)


ModelArgument = Annotated[str, typer.Argument(metavar="PLACE", help="The bundle: a folder, s3://, https:// or http://.")]


@model_app.command("inspect", epilog=EXIT_CODES)
def inspect_model(
    model: ModelArgument,
    endpoint_url: EndpointFlag = None,
    context: ContextFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Say what a model is: inputs, outputs, operators, parameters, preprocessing, digests; and whether its files fit each other."""
    access = Access(StorageSettings(endpoint_url=endpoint_url))
    found = _fetch(ModelSettings(path=model), access)
    spec, source = found.spec, found.source
    sections = [("model", spec.name), *[(name, text) for name in ("licence", "source") if (text := getattr(spec, name))]]
    sections += console.model_sections(network.inspect(found))
    sections.append(
        ("labels", f"{len(found.labels)}: {', '.join(found.labels[:3])}, …" if found.labels else "none: predictions have indices only")
    )
    sections.append(("preprocessing", ", ".join(f"{key} {value}" for key, value in spec.preprocess.model_dump(exclude_none=True).items())))
    sections += [(role, f"{without_secrets(location)}\nsha256 {source.sha256[role]}") for role, location in source.locations.items()]
    if context is not None:
        sections.append(("context", str(network.resolve_context(context.value))))
    console.show_sections(sections)


@model_app.command("pack", epilog=EXIT_CODES)
def pack_model(
    output: Annotated[Path, typer.Option("--output", metavar="FOLDER", help="The bundle's folder; made where it isn't there.")],
    symbol: Annotated[
        str, typer.Option("--symbol", metavar="PLACE", help="The graph (…-symbol.json): a path, s3://, https:// or http://.")
    ],
    params: Annotated[str, typer.Option("--params", metavar="PLACE", help="The parameters (….params).")],
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="PLACE", help="The classes' names, one a line (synset.txt), or .csv.")
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec", metavar="FILE", help="A model.yaml with name, input, preprocess, output. Default: the article's preprocessing."
        ),
    ] = None,
    endpoint_url: EndpointFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Make a bundle: symbol, params, labels, and a model.yaml that says what pixels the network wants and pins the files' digests."""
    access = Access(StorageSettings(endpoint_url=endpoint_url))
    source = bundle.find(ModelSettings(symbol=symbol, params=params, labels=labels), access)
    if spec is not None:
        with storage.usage_errors("--spec", "Check the name."):
            text = storage.read_object(str(spec), access, bundle.MAX_SPEC_BYTES).decode(errors="replace")
        source = bundle.BundleSource(
            document.parse(ModelSpec, document.read_yaml(text, str(spec)), str(spec)), source.locations, source.sha256
        )
    with storage.usage_errors("the model", "Check the name."):
        network.inspect(bundle.fetch(source, bundle.default_cache_dir(), access))
        packed = bundle.pack(source, bundle.default_cache_dir(), access, output)
    console.show(f"Packed {packed.name} into {output}")


def _fetch(model: ModelSettings, access: Access) -> bundle.Bundle:
    with storage.usage_errors("the model", "Check the name."):
        return bundle.fetch(bundle.find(model, access), bundle.default_cache_dir(), access)
