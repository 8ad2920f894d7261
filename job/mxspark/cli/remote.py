"""What is the same for jobs that run elsewhere, on Kubernetes and on EMR: the question before they overwrite, and following them."""

import sys
from collections.abc import Callable

import typer

from mxspark.cli import console
from mxspark.cli.app import INTERRUPTED, TERMINATED, Detached, Terminated, hear_signals
from mxspark.errors import MxsparkError, OutOfSightError, UsageError
from mxspark.settings.job import OutputSettings
from mxspark.submit.outcome import Outcome


def confirm_overwriting(output: OutputSettings, yes: bool) -> None:
    """Asks before a job is started that deletes what an earlier one left. Raises UsageError where it shall not."""
    if output.overwrite and not console.confirm(f"--overwrite deletes what an earlier run left in {output.path}. Continue?", yes):
        raise UsageError("nothing was deleted, nothing was submitted", "")


def what_next(where: str, end: str | None = None) -> str:
    """The commands for a job; `where` is its name with the flags that find it, `end` what ends it where `mxspark cancel` doesn't."""
    return f"How it is: mxspark status {where}\nFollow it: mxspark follow {where}\nEnd it:    {end or f'mxspark cancel {where}'}"


def follow(what: str, where: str, follower: Callable[[], Outcome], cancel: Callable[[], None] | None, end: str | None = None) -> None:
    """Follows a job to its end, and ends with its exit code; after Ctrl-C asks whether to leave it running or to cancel it.

    `cancel` is None for a job that is not to be cancelled from here, but by the command `end`. Raises MxsparkError where the job goes on
    unseen.
    """
    try:
        ending = follower()
    except KeyboardInterrupt:
        if cancel is not None and sys.stdin.isatty() and _shall_be_cancelled(what):
            cancel()
            console.show_warning(f"{what} is being cancelled; what it finished stays")
        else:
            console.show_warning(f"{what} goes on.\n{what_next(where, end)}")
        raise Detached(INTERRUPTED) from None
    except Terminated:  # nobody can be asked
        console.show_warning(f"{what} goes on.\n{what_next(where, end)}")
        raise Detached(TERMINATED) from None
    except (OutOfSightError, UsageError) as error:  # of credentials or the network: what was submitted is no wrong usage any more
        problem = f"{what} goes on, but can't be followed any more: {error.problem}"
        raise MxsparkError(problem, f"{error.hint}\n{what_next(where, end)}".strip()) from None
    if ending.exit_code:
        kind = UsageError if ending.exit_code == UsageError.exit_code else MxsparkError
        console.show_error(kind(f"{what}: {ending.cause}", ending.hint))
        raise typer.Exit(ending.exit_code)


def _shall_be_cancelled(what: str) -> bool:
    """What a person answers; who presses Ctrl-C once more only wants to be gone."""
    hear_signals()
    try:
        return console.ask_to_cancel(what)
    except (KeyboardInterrupt, EOFError, Terminated):
        return False
