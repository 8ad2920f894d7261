"""Commands and flags. Logic is elsewhere; here a flag becomes a setting and an error an exit code.

The only place that imports typer.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mxspark.cli import console, model, status, submit  # their commands
from mxspark.cli.app import Terminated, app, exit_with
from mxspark.cli.run import run_job
from mxspark.submit.outcome import ENDED

__all__ = ["Terminated", "main", "main_submitted", "model", "status", "submit"]


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; every error becomes a message and an exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    exit_with(lambda: app(args=given, prog_name="mxspark", standalone_mode=False), "--debug" in given, runs=given[:1] == ["run"])


def main_submitted(arguments: list[str]) -> None:
    """The command line of infer_main.py: the article's, or that of `mxspark run`."""
    from mxspark.cli import article

    with _telling_the_exit_code():
        if article.is_article(arguments):
            exit_with(lambda: _run_article(arguments), "--debug" in arguments, runs=True)
        main(["run", *arguments])


@contextmanager
def _telling_the_exit_code() -> Iterator[None]:
    """As the last line, where it isn't 0: whoever follows a driver elsewhere has only its log."""
    try:
        yield
    except SystemExit as ended:
        if ended.code:
            print(ENDED.format(ended.code), file=sys.stderr, flush=True)
        raise


def _run_article(arguments: list[str]) -> None:
    from mxspark.cli import article

    job = article.parse(arguments, dict(os.environ))
    if job.is_secret_typed:
        console.show_warning(
            "--secret_key on a command line can be read by others: in process lists, shell histories and Spark's pages. "
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and write --access_key - --secret_key -, or use a role and leave both out."
        )
    # The article's job knew no questions: what it finished before, it does again.
    run_job(job.effective.settings, job.access, "--debug" in arguments, yes=True)
