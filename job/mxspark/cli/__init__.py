"""Commands and flags. Logic is elsewhere; here a flag becomes a setting and an error an exit code.

The only place that imports typer.
"""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from mxspark.cli import console, json_lines
from mxspark.cli.app import app, exit_with
from mxspark.errors import Terminated
from mxspark.run.last_word import LastWord

__all__ = ["Terminated", "main", "main_submitted"]


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; every error becomes a message and an exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    is_run = given[:1] == ["run"] and "--dry-run" not in given
    _run_app(given, LastWord.leave if is_run else None)


def main_submitted(arguments: list[str]) -> None:
    """The command line of infer_main.py: the article's, or that of `mxspark run`."""
    from mxspark.cli import article

    if article.is_article(arguments):
        exit_with(lambda: _run_article(arguments), "--debug" in arguments, _leave_in_log)
    _run_app(["run", *arguments], _leave_in_log)


def _run_app(given: list[str], on_failed_run: Callable[[LastWord], None] | None) -> NoReturn:
    # Errors in arguments and settings come before the setting log_format is known.
    console.log_as_json(given[:1] in (["run"], ["estimate"]) and json_lines.is_asked_for(given))
    exit_with(lambda: app(args=given, prog_name="mxspark", standalone_mode=False), "--debug" in given, on_failed_run)


def _leave_in_log(word: LastWord) -> None:
    """As the last line, too: whoever follows a driver elsewhere may have only its log."""
    word.leave()
    console.show_last_word(word)


def _run_article(arguments: list[str]) -> None:
    from mxspark.cli import article
    from mxspark.cli.run import run_job

    job = article.parse(arguments, dict(os.environ))
    if job.is_secret_typed:
        console.show_warning(
            "--secret_key on a command line can be read by others: in process lists, shell histories and Spark's "
            "pages. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and write --access_key - --secret_key -, or use a "
            "role and leave both out."
        )
    # The article's job knew no questions: what it finished before, it does again.
    run_job(job.effective.settings, job.access, "--debug" in arguments, yes=True)
