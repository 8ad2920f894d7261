"""Jobs that run elsewhere: `mxspark follow`, `mxspark logs`, `mxspark cancel`, and what all ways to submit one have in
common.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from mxspark.cli import console
from mxspark.cli.app import (
    EXIT_CODES,
    INTERRUPTED,
    TERMINATED,
    Detached,
    app,
    hear_signals,
    short_help,
    sleep,
)
from mxspark.cli.flags import DebugFlag, YesFlag, finds_job
from mxspark.errors import MxsparkError, OutOfSightError, Terminated, UsageError
from mxspark.settings.job import OutputSettings
from mxspark.submit import resolver
from mxspark.submit.remote_job import JobFlags, RemoteJob


def confirm_overwriting(output: OutputSettings, yes: bool) -> None:
    """Asks before a job is started that deletes what an earlier one left. Raises UsageError if the answer is no."""
    if output.overwrite and not console.confirm(
        f"--overwrite deletes what an earlier run left in {output.path}. Continue?", yes
    ):
        raise UsageError("nothing was deleted, nothing was submitted", "")


def what_next(job: RemoteJob) -> str:
    """The commands for a job."""
    end = job.end_command or f"mxspark cancel {job.address}"
    return f"Status: mxspark status {job.address}\nFollow: mxspark follow {job.address}\nEnd:    {end}"


def follow_job(job: RemoteJob, logs: bool) -> None:
    """Follows a job to its end, and ends with its exit code; after Ctrl-C asks whether to leave it running or to cancel
    it.

    Raises MxsparkError if the job keeps running, but can't be followed.
    """
    what = job.title
    try:
        outcome = job.follow(console.JobListener(), logs=logs, sleep=sleep)
    except KeyboardInterrupt:
        if job.end_command is None and sys.stdin.isatty() and _shall_be_cancelled(what):
            _cancel(job)
        else:
            console.show_warning(f"{what} keeps running.\n{what_next(job)}")
        raise Detached(INTERRUPTED) from None
    except Terminated:  # nobody can be asked
        console.show_warning(f"{what} keeps running.\n{what_next(job)}")
        raise Detached(TERMINATED) from None
    # of credentials or the network: once a job is submitted, its command was right
    except (OutOfSightError, UsageError) as error:
        problem = f"{what} keeps running, but can't be followed any more: {error.problem}"
        raise MxsparkError(problem, f"{error.hint}\n{what_next(job)}".strip()) from None
    if outcome.exit_code:
        kind = UsageError if outcome.exit_code == UsageError.exit_code else MxsparkError
        console.show_error(kind(f"{what}: {outcome.cause}", outcome.hint))
        raise typer.Exit(outcome.exit_code)


def _cancel(job: RemoteJob) -> None:
    """Says whether that worked: a job that wasn't cancelled goes on, as somebody has to know."""
    try:
        with _telling_of_signals(job):
            job.cancel(lambda _: True)
    except MxsparkError as error:
        lines = (f"{job.title} could not be cancelled: {error.problem}", error.hint, what_next(job))
        console.show_warning("\n".join(filter(None, lines)))
    else:
        console.show_warning(f"{job.title} is being cancelled; what it finished is kept")


@contextmanager
def _telling_of_signals(job: RemoteJob) -> Iterator[None]:
    """Where a signal interrupts a cancel, says that the job may have been cancelled all the same."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as signal:
        console.show_warning(f"interrupted: {job.title} may have been cancelled, or may go on.\n{what_next(job)}")
        raise Detached(TERMINATED if isinstance(signal, Terminated) else INTERRUPTED) from None


def _shall_be_cancelled(what: str) -> bool:
    """What a person answers; another Ctrl-C means no."""
    hear_signals()
    try:
        return console.ask_to_cancel(what)
    except (KeyboardInterrupt, EOFError, Terminated):
        return False


NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The job's name (on EMR the job run's id), as `mxspark submit` printed it, or the chart's release.",
    ),
]
LogsFlag = Annotated[bool, typer.Option("--logs", help="Show the driver's whole log, not only the progress.")]


@app.command("follow", short_help=short_help("follow"), epilog=EXIT_CODES)
@finds_job
def follow(name: NameArgument, where: JobFlags, logs: LogsFlag = False, _debug: DebugFlag = False) -> None:
    """Follow a submitted job, or the chart's, to its end; the exit code is the job's."""
    follow_job(resolver.find(name, where), logs)


@app.command("logs", epilog=EXIT_CODES)
@finds_job
def show_logs(
    name: NameArgument,
    where: JobFlags,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the driver ends.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", metavar="N", min=1, help="Only the last N lines.")] = None,
    _debug: DebugFlag = False,
) -> None:
    """Show the log of a submitted job's driver."""
    for line in resolver.find(name, where).logs(follow=follow, tail=tail, sleep=sleep):
        console.show(line)


@app.command("cancel", short_help=short_help("cancel"), epilog=EXIT_CODES)
@finds_job
def cancel(name: NameArgument, where: JobFlags, yes: YesFlag = False, _debug: DebugFlag = False) -> None:
    """End a submitted job, and delete its pods and all that was created for it; what it has finished is kept in its
    output.
    """
    job = resolver.find(name, where)
    with _telling_of_signals(job):
        done = job.cancel(lambda question: console.confirm(question, yes))
    if done:
        console.show(done)
