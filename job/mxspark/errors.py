"""The errors a person sees: what is wrong with which thing and why, how to hint it, and the exit code that follows.

Rooms that use an outside library translate its exceptions into these at their door. Whatever their words came from, no
error tells a secret.
"""

import re
import traceback

# What of an address may be a secret: the user and password, the query (a presigned one is as good as a key), and a
# signature's parts where only they are left of it, as in the words of HTTP clients and servers. Servers and files
# choose the texts: no pattern may take more than linear time. So those that would look for their end again and again
# look only within a word up to its next @ or ?, which is found once (a run that starts where none of its characters
# stands before it).
_USER = re.compile(r"""(?<=://)[^/\s'"]*@""")
_TO_AT = re.compile(r"(?<![^\s@])[^\s@]++@")
# A password may have a slash, or quotes, in it that should have been escaped; digits before a slash are a port.
_ODD_PASSWORD = re.compile(r"""(?<=://)[^\s/:'"@\[]+:\d*[^\d\s/'"@].*@""")
_TO_HOST = re.compile(r"""(?<![^\s/'"@])[^\s/'"@]++@(?=[\w\[])""")
_BARE_USER = re.compile(r"(?:\A|(?<=[(=,]))[^:()=,]+:.+@")
_UNQUOTED = re.compile(r"""[^\s'"<>]++""")
_HTTP = re.compile("https?://", re.IGNORECASE)
_SIGNED = re.compile(
    r"""\b((?:X-(?:Amz|Goog)-)?(?:Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|sig)"""
    r"""((?:['"]|&#?\w+;)?(?:=|: ?)(?:['"]|&#?\w+;)?)[^&\s,;'"<>)]+""",  # quoted as Python does, or as HTML
    re.IGNORECASE,
)

_PATH = re.compile(r"""(?<![^\s'"(=\[<])/[\w.~-]+(?:/[^\s'",:;)\]>]*)?""")

# What secrets are called: anywhere in a name, or at its end (PWD alone is a folder, /etc/credentials a file, and
# BYPASS_CACHE none). No backslashes: Spark gets them too (spark_configuration.REDACTED).
_KEYS = (
    "access|account|admin|aes|api|app|auth|client|deploy|enc|encryption|fernet|gpg|hmac|jwt|license|master|private|"
    "session|shared|signing|ssh|storage|subscription"
)
SECRET_WORDS = (
    rf"secret|passw(or)?d|passphrase|token|otp[._-]?seed|netrc|docker[._-]?auth[._-]?config|({_KEYS})[._-]?key"
)
SHORT_SECRETS = "pat|auth|jwt|bearer|pass"  # which are ends of other words as well
SECRET_ENDS = (
    rf"[a-z0-9][._-]?pwd|(^|[^a-z])({SHORT_SECRETS})|pw|cookies?|webhooks?([._-]?ur[il])?|authorization"
    rf"|(^|[^/])(pass|cred(ential)?s?)"
)
SECRET_TAIL = "([._-]?(key|value|string|data|json|base64|b64|[0-9]))*"  # noqa: S105  # what may follow
# By these a name is known; in a text `name=value` too.
SECRET_NAME = re.compile(rf"{SECRET_WORDS}|({SECRET_ENDS}){SECRET_TAIL}($|=)", re.IGNORECASE)

LONGEST_SAID = 64 * 2**10  # of another's words, that are looked at at all [characters]


def without_secrets(text: str) -> str:
    """`text` with its addresses lacking users, passwords and queries, and without the signatures of requests."""
    text = _USER.sub("", _TO_AT.sub(lambda match: _ODD_PASSWORD.sub("", match[0]), text))
    text = _TO_HOST.sub(_without_user, text)
    return _SIGNED.sub(r"\1\2…", _UNQUOTED.sub(_without_query, text))


def _without_user(match: re.Match[str]) -> str:
    """What stands before a host, without `user:password@`; after a slash it is a path."""
    start = match.start()
    is_path = start > 0 and match.string[start - 1] in "/@"
    found = _BARE_USER.search(match[0], 1 if is_path else 0)
    return match[0][: found.start()] if found else match[0]


def _without_query(match: re.Match[str]) -> str:
    """An address without its query, which ends before a bracket that closes, or the sign at a sentence's end."""
    address = _HTTP.search(match[0])
    start = match[0].find("?", address.end()) if address else -1
    if start < 0:
        return match[0]
    query, bracket, after = match[0][start + 1 :].partition(")")
    mark = query[-1:] if query[-1:] in tuple(":.,;") else ""
    return match[0][:start] + mark + ("" if "?" in after else bracket + after)


def bounded(text: str, length: int) -> str:
    """`text`, or so many of its characters at most, without the word that is cut: half a secret would not be known
    for one.
    """
    if len(text) <= length:
        return text
    words = text[:length].rsplit(maxsplit=1)
    return f"{words[0]} …" if len(words) == 2 else "…"


def without_paths(text: str) -> str:
    """`text` with the last name alone of each path from the root on: who reads a table has no use for where another
    machine keeps files.
    """
    return _PATH.sub(lambda match: match[0].rstrip("/").rpartition("/")[2], text)


class MxsparkError(Exception):
    """Something stopped the run. `problem` names the thing and the cause; `hint` says what to do about it."""

    exit_code = 1

    def __init__(self, problem: str, hint: str = "") -> None:
        self.problem = without_secrets(problem)
        self.hint = without_secrets(hint)
        super().__init__(self.problem, self.hint)  # both, so that the error survives pickling

    def __str__(self) -> str:
        return f"{self.problem}\n{self.hint}" if self.hint else self.problem


class UsageError(MxsparkError):
    """Wrong settings, arguments or input: nothing was run, nothing was written."""

    exit_code = 2


class PassingError(MxsparkError):
    """A fault that may pass: the network, a server that has too much to do."""


class TooManyFailedError(MxsparkError):
    """The run ended, but more images failed than `max_failed_fraction` allows; `results` are its
    run.last_word.Results, if it has some.
    """

    exit_code = 3
    results: object = None


class OutOfSightError(MxsparkError):
    """A job that runs elsewhere can't be reached any more."""


class Terminated(BaseException):
    """SIGTERM came: end as cleanly as after Ctrl-C."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """The essence of a library's exception: its first line with words, without secrets, cut at `limit` characters."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  # py4j asks Java for the words, which may be gone
        said = ""
    first = next((line.strip() for line in said[:LONGEST_SAID].splitlines() if line.strip()), "")
    # Before it is cut to the limit: half an address would not be known for one.
    text = without_secrets(bounded(first, 10 * limit)) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def mistake(error: Exception) -> MxsparkError:
    """An unexpected exception."""
    return MxsparkError(f"{type(error).__name__}: {one_line(error)}", "This is a bug in mxspark; --debug shows where.")


def frames(error: BaseException) -> str:
    """Where an error and its causes arose, without the causes' words: libraries tell addresses and headers in them."""
    lines = [f"{type(error).__name__}:", *traceback.format_tb(error.__traceback__)]
    return "".join(f"{line.rstrip()}\n" for line in lines) + (frames(error.__cause__) if error.__cause__ else "")


def trace(error: BaseException) -> str:
    """The stack traces of an error and its causes, as Python prints them; of each message its one_line()."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    led = f"{trace(before)}\nwhich led to:\n\n" if before else ""
    where = "".join(traceback.format_tb(error.__traceback__))
    return f"{led}Traceback (most recent call last):\n{where}{type(error).__name__}: {one_line(error)}\n"


def how_it_ended(returncode: int) -> str:
    """A process's return code, as subprocess gives it, in words."""
    return f"killed by signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
