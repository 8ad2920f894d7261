"""The documentation: commands, flags and settings that it shows are there, and what is generated is up to date. Its
links are checked by `make docs`.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.reference.pages import pages
from typer.core import TyperGroup
from typer.main import get_command

from mxspark.cli.app import app
from mxspark.settings.job import Settings
from tests.command import REPOSITORY

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
IN_A_LINE = re.compile(r"`((?:mxspark|make) [^`]+)`")
SHELL = ("", "sh", "bash", "console", "shell")
# What stands for something that a reader puts in, or leaves out.
ELLIPSIS = re.compile(r"(?<!\S)(…|\.\.\.)(?!\S)|[\[\]]")


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [REPOSITORY / name for name in listed.splitlines() if (REPOSITORY / name).exists()]


def shown_lines(text: str) -> Iterator[str]:
    """The lines of commands, those that a backslash continues as one."""
    for _, language, body in FENCE.findall(text):
        if language in SHELL:
            yield from (line.strip().removeprefix("$ ") for line in body.replace("\\\n", " ").splitlines())
    yield from IN_A_LINE.findall(FENCE.sub("", text))


def commands(text: str, program: str) -> Iterator[list[str]]:
    """The arguments of each shown call of a program."""
    for line in shown_lines(text):
        for part in re.split(r"&&|\|\||;|\|", line):
            try:
                words = shlex.split(ELLIPSIS.sub("", part), comments=True)
            except ValueError:  # a quotation over several lines: Python in a here document
                continue
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words[:1] == [program]:
                yield words[1:]


COMMAND = get_command(app)
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def unknown(arguments: list[str]) -> list[str]:
    """The commands and flags among the arguments of mxspark that there are not."""
    command: Any = COMMAND
    while isinstance(command, TyperGroup) and arguments and arguments[0].isalpha():
        name, *arguments = arguments
        command = command.get_command(command.make_context("mxspark", [], resilient_parsing=True), name)
        if command is None:
            return [name]
    known = {"--help", *(flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts))}
    return [word for word in arguments if word.startswith("--") and word.partition("=")[0] not in known]


def test_commands_and_flags_that_are_shown_are_there() -> None:
    shown = [(page.name, arguments) for page in documents() for arguments in commands(page.read_text(), "mxspark")]
    assert len(shown) > 100
    assert [(page, shlex.join(arguments)) for page, arguments in shown if unknown(arguments)] == []


def test_make_has_the_targets_that_are_shown() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    shown = [
        (page.name, word)
        for page in documents()
        for words in commands(page.read_text(), "make")
        for word in words
        if re.fullmatch("[a-z0-9-]+", word)
    ]
    assert len(shown) > 20
    assert [(page, target) for page, target in shown if target not in targets] == []


def test_settings_that_are_set_are_there() -> None:
    leaves = {".".join(path) for path in Settings.leaves()}
    set_ = re.compile(r"--set[ =]['\"]?([a-z][\w.-]*)=")
    lines = [(page.name, line) for page in documents() for line in page.read_text().splitlines()]
    # Those of helm are values of the chart.
    shown = [(name, key) for name, line in lines if "helm " not in line for key in set_.findall(line)]
    of_a_mapping = re.compile("|".join(re.escape(f"{key}.") for key in leaves))
    assert len(shown) > 20
    assert [(page, key) for page, key in shown if key not in leaves and not of_a_mapping.match(key)] == []


def test_what_is_generated_of_it_is_up_to_date() -> None:
    assert [path.name for path, text in pages().items() if path.read_text() != text] == [], "run `make reference`"
