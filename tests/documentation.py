"""What the documentation shows: the fenced blocks of its pages, and the commands in those of a shell. Tests take them
from here, so that what is run or checked is what stands there.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.command import REPOSITORY

GENERATED = ("docs/commands.md", "docs/settings.md", "tools/chart/readme.md")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\S+\.\w+)\n")
IN_A_LINE = re.compile(r"`((?:mxspark|make|helm|kubectl|pip|(?:\.venv/bin/)?python) [^`]+)`")
# What stands for something that a reader puts in, or leaves out.
ELLIPSIS = re.compile(r"(?<!\S)(…|\.\.\.)(?!\S)|(?<!\S)\[|\](?!\S)")
SHELL = ("", "bash", "console")
PUNCTUATION = "();<>|&"


@dataclass(frozen=True)
class Block:
    """A fenced block. `language` is that of its fence; without one it holds commands."""

    page: str  # from the repository's root
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def name(self) -> str | None:
        """That of the file which it is: its first line is then `# NAME`."""
        named = NAMED.match(self.text)
        return named[1] if named else None

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Those of YAML."""
        return list(yaml.safe_load_all(self.text))

    @property
    def kind(self) -> str:
        """Of YAML: `objects` of Kubernetes, a `model`'s file, `values` of the chart, or `settings`."""
        if self.language != "yaml":
            return ""
        if all("apiVersion" in each for each in self.documents):
            return "objects"
        if "format" in self.documents[0]:
            return "model"
        is_of_chart = self.page == "helm/mxspark/README.md" or self.text.startswith(
            ("# values of the chart", "# values.yaml")
        )
        return "values" if is_of_chart else "settings"

    def commands(self) -> "Iterator[Shown]":
        """Each call of a program, of those within `$(…)` too; of the language console, those after `$ `."""
        text = self.text.replace("\\\n", " ")
        if self.language == "console":
            text = "\n".join(re.findall(r"^\$ (.*)$", text, re.MULTILINE))
        for words in _lines(text):
            yield from (Shown(self, tuple(call)) for call in _calls(words))


@dataclass(frozen=True)
class Shown:
    """A call of a program, as it is shown."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}: {shlex.join(self.words)}"

    @property
    def program(self) -> str:
        return self.words[0].removeprefix(".venv/bin/")

    @property
    def arguments(self) -> list[str]:
        return list(self.words[1:])


@cache
def pages() -> list[str]:
    """All Markdown files but those that are made of others."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [name for name in listed.splitlines() if name not in GENERATED and (REPOSITORY / name).exists()]


def blocks(*chosen: str) -> list[Block]:
    """The fenced blocks of these pages, or of all."""
    return [block for page in chosen or pages() for block in _blocks(page, (REPOSITORY / page).read_text())]


def shown(page: str, *beginning: str) -> list[list[str]]:
    """The words of the commands of a page that begin with these words, of which there is one at least."""
    commands = [command for block in blocks(page) if block.language in SHELL for command in block.commands()]
    found = [list(command.words) for command in commands if command.words[: len(beginning)] == beginning]
    assert found, f"{page} has no command {shlex.join(beginning)}"
    return found


def in_a_line(program: str, *chosen: str) -> list[Shown]:
    """The calls of a program in the text of these pages, or of all; of many much is left out."""
    texts = [(page, text) for page in chosen or pages() for text in IN_A_LINE.findall((REPOSITORY / page).read_text())]
    found = [each for page, text in texts for each in Block(page, 0, "", ELLIPSIS.sub("", text)).commands()]
    return [each for each in found if each.program == program]


def filled(words: list[str], places: Mapping[str, str | Path]) -> list[str]:
    """A command whose words are others where `places` says so, each of which it has."""
    assert places.keys() <= set(words), words
    return [str(places.get(word, word)) for word in words]


def _blocks(page: str, text: str) -> Iterator[Block]:
    for found in FENCE.finditer(text):
        lines = [line.removeprefix(found["indent"]) for line in found["text"].splitlines(keepends=True)]
        yield Block(page, text.count("\n", 0, found.start()) + 1, found["language"], "".join(lines))


def _lines(text: str) -> Iterator[list[str]]:
    """The words of each line, or of several where a quotation goes over them."""
    line = ""
    for more in text.splitlines():
        line = f"{line}\n{more}" if line else more
        lexer = shlex.shlex(line, posix=True, punctuation_chars=PUNCTUATION)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # the quotation isn't closed
            continue
        yield words
        line = ""
    assert not line, f"a quotation without its end: {line}"


def _calls(words: list[str]) -> Iterator[list[str]]:
    call: list[str] = []
    rest = iter(words)
    for word in rest:
        yield from (call for text in re.findall(r"\$\(([^()]*)\)", word) for call in _calls(shlex.split(text)))
        if set(word) <= {">", "<", "&"} and word not in ("&", "&&"):  # to or from a file
            next(rest)
        elif set(word) <= set(PUNCTUATION):
            yield from _without_assignments(call)
            call = []
        else:
            call.append(word)
    yield from _without_assignments(call)


def _without_assignments(call: list[str]) -> Iterator[list[str]]:
    while call and (call[0] in ("{", "}") or re.match(r"\w+=", call[0])):
        call = call[1:]
    if call:
        yield call
