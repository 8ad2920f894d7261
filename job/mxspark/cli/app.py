"""The application: its commands' root, exit codes and signals."""

import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core
import typer.main

from mxspark import __version__
from mxspark.cli import console
from mxspark.errors import MxsparkError, Terminated, UsageError, mistake
from mxspark.run.last_word import LastWord

if TYPE_CHECKING:
    from mxspark.doctor import Finding

EXIT_CODES = (
    "Exit codes: 0 success; 1 something went wrong on the way; 2 wrong settings, arguments, model or input, nothing "
    "was written; 3 the run ended but more images failed than max_failed_fraction allows; 130 Ctrl-C (143 when ended "
    "by SIGTERM)."
)
INTERRUPTED, TERMINATED = 130, 143

# By what a person does first: where each command is, and what it does. Its module is imported when it is asked for.
COMMANDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "run": (("run",), "Predict every image once, and write a table."),
    "settings": (("run",), "Show all settings, and where each comes from."),
    "status": (("status",), "Show the status of a run or a submitted job."),
    "show": (("report",), "Show some rows of a table."),
    "report": (("report",), "Write a run's report, an HTML page."),
    "diff": (("report",), "Compare two tables over the same keys."),
    "neighbours": (("neighbours",), "Show which images have the most similar vectors."),
    "submit": (("submit",), "Start a job elsewhere, and follow it to its end."),
    "follow": (("remote",), "Follow a submitted job to its end."),
    "logs": (("remote",), "Show the log of a submitted job's driver."),
    "cancel": (("remote",), "End a submitted job; what it has finished is kept."),
    "model": (("model", "trial", "convert"), "Look at models, and make bundles of them."),
    "bench": (("bench",), "Measure this machine with your images and model, and choose settings."),
    "estimate": (("estimate",), "Say how long a run would take, and what it would cost."),
    "doctor": (("status", "emr"), "Look whether this machine has what a run needs."),
}


class _ImportedWhenAsked(typer.core.TyperGroup):
    """The commands, of which only the one that is asked for is imported."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        for name in COMMANDS:  # for suggestions
            self.commands.setdefault(name, typer.core.TyperCommand(name))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        for module in COMMANDS[cmd_name][0]:
            import_module(f"mxspark.cli.{module}")
        return typer.main.get_group(app).commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(name)) for name in COMMANDS])


def short_help(command: str) -> str:
    """What a command does, in a line."""
    return COMMANDS[command][1]


app = typer.Typer(
    name="mxspark",
    cls=_ImportedWhenAsked,
    help="Offline image inference with Apache MXNet on Apache Spark: a bucket of images in, a table of predictions "
    "out.",
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
model_app = typer.Typer(help=short_help("model"), rich_markup_mode=None)
app.add_typer(model_app, name="model")
doctor_app = typer.Typer(rich_markup_mode=None)
app.add_typer(doctor_app, name="doctor", short_help=short_help("doctor"))


class Detached(BaseException):
    """Ctrl-C or SIGTERM came while a job elsewhere was followed: what happens to it has been shown."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def exit_with(
    command: Callable[[], Any], debug: bool, on_failed_run: Callable[[LastWord], None] | None = None
) -> NoReturn:
    """Ends the process with a command's exit code; every error becomes a message.

    `on_failed_run` is there where the command runs a job in this process, and is told how that failed.
    """
    runs = on_failed_run is not None
    word: LastWord | None = None
    kept = "; what was finished is kept, the same command resumes it" if runs else ""
    for number in HANDLERS:
        if signal.getsignal(number) is signal.SIG_IGN:  # as nohup leaves it
            IGNORED.add(number)
    hear_signals()
    try:
        _check_working_folder()
        code = command()
    except MxsparkError as error:
        code, word = _report(error, debug), LastWord.of(error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Terminated:
        console.show_warning(f"terminated{kept}")
        code = TERMINATED
    except Detached as left:
        sys.exit(left.code)
    except Exception as error:  # noqa: BLE001  # a person gets a message, not a stack trace
        is_clicks = hasattr(error, "format_message")  # for wrong arguments
        shown = _wrong_arguments(error) if is_clicks else mistake(error)
        code, word = _report(shown, debug), LastWord.of(shown)
    if code == INTERRUPTED:  # typer makes a KeyboardInterrupt into this code
        console.show_warning(f"interrupted{kept}")
    code = code if isinstance(code, int) else 0
    if on_failed_run is not None and code:
        on_failed_run(word or LastWord(code, "terminated" if code == TERMINATED else "interrupted"))
    sys.exit(code)


def _check_working_folder() -> None:
    """Without one no name of a file means anything, and libraries fail in words of their own."""
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the working folder can't be used: {error.strerror}", "Change to an existing folder: cd."
        ) from None


def _wrong_arguments(error: Any) -> UsageError:
    """click's own error, for a person who may have written a pattern that the shell replaced."""
    names = [parameter.name for parameter in error.ctx.command.params] if getattr(error, "ctx", None) else []
    hint = "`mxspark --help` and `mxspark COMMAND --help` list what there is."
    if "unexpected extra argument" in error.format_message() and "input_" in names:
        hint = (
            "If the shell made them of a pattern, quote it: --input 'photos/*.jpg'; several places are an --input "
            f"each. {hint}"
        )
    return UsageError(error.format_message(), hint)


def _report(error: MxsparkError, debug: bool) -> int:
    if debug:
        console.show_trace()
    console.show_error(error)
    return error.exit_code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    HEARD.append(KeyboardInterrupt)
    raise KeyboardInterrupt


def _terminate(_number: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    HEARD.append(Terminated)
    raise Terminated


def sleep(seconds: float) -> None:
    """`time.sleep` for who follows a job.

    Raises what a signal raised before, where a library took that for an error of its own, as obstore does while it asks
    for credentials.
    """
    if HEARD:
        raise HEARD.pop()
    time.sleep(seconds)


def hear_signals() -> None:
    """From now on; also after one that made them be ignored."""
    HEARD.clear()
    for number in HANDLERS.keys() - IGNORED:
        signal.signal(number, HANDLERS[number])


def _ignore_signals() -> None:
    """Cleaning up is quick, and is not to be interrupted again."""
    for number in HANDLERS:
        signal.signal(number, signal.SIG_IGN)


# SIGHUP: the terminal was closed
HANDLERS = {signal.SIGINT: _interrupt, signal.SIGTERM: _terminate, signal.SIGHUP: _terminate}
IGNORED: set[signal.Signals] = set()  # by whoever started this process
HEARD: list[type[BaseException]] = []  # what signals have raised


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    if version:
        console.show(f"mxspark {__version__}")
    elif context.invoked_subcommand is None:
        console.show(context.get_help())


@model_app.callback(invoke_without_command=True)
def _model(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        console.show(context.get_help())


def show_findings(findings: "Sequence[Finding]", as_json: bool) -> None:
    """What a doctor found; ends with exit code 1 where something is a problem."""
    from mxspark import doctor

    if as_json:
        console.show(doctor.to_json(findings))
    else:
        console.show_findings(findings)
    if not doctor.is_well(findings):
        raise typer.Exit(1)
