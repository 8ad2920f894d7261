"""The errors a person sees: what is wrong with which thing and why, how to mend it, and the exit code that follows.

Rooms that use an outside library translate its exceptions into these at their door.
"""

import re
from typing import Any


class MxsparkError(Exception):
    """Something stopped the run. `problem` names the thing and the cause; `mend` says what to do about it."""

    exit_code = 1

    def __init__(self, problem: str, mend: str = "") -> None:
        super().__init__(problem, mend)  # both, so that the error survives pickling
        self.problem = problem
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.problem}\n{self.mend}" if self.mend else self.problem


class UsageError(MxsparkError):
    """Wrong settings, arguments or input: nothing was run, nothing was written."""

    exit_code = 2


class TooManyFailedError(MxsparkError):
    """The run ended, but more images failed than `max_failed_fraction` allows."""

    exit_code = 3


def one_line(error: BaseException, limit: int = 300) -> str:
    """The gist of a library's exception: its first line with words, cut at `limit` characters."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  # py4j asks Java for the words, which may be gone
        said = ""
    text = next((line.strip() for line in said.splitlines() if line.strip()), "") or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def how_it_ended(returncode: int) -> str:
    """A process's return code, as subprocess gives it, in words."""
    return f"killed by signal {-returncode}" if returncode < 0 else f"exit code {returncode}"


def without_secrets(value: Any) -> Any:
    """Addresses without the user, password and query that they may carry (presigned ones are as good as a key), in whatever holds them."""
    if isinstance(value, dict):
        return {key: without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return re.sub(r"(?<=://)[^/@\s]*@", "", re.sub(r"(\w://[^\s?]*)\?\S*", r"\1", value))
    return value
