"""The design's tables, by which somebody finds the file to open."""

import re

from tests.command import REPOSITORY

PACKAGE = REPOSITORY / "job" / "mxspark"
PAGE = (REPOSITORY / "docs" / "design.md").read_text()


def test_the_files_that_the_design_names_are_there() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+[\w.-]+\.(?:py|html|md))`", PAGE))
    assert len(named) > 40
    roots = (PACKAGE, PACKAGE.parent, REPOSITORY)
    assert [name for name in sorted(named) if not any((root / name).exists() for root in roots)] == []


def test_the_functions_that_a_change_begins_in_are_there() -> None:
    table = PAGE[PAGE.index("| the change |") :].partition("\n\n")[0]
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    code += "\n".join(path.read_text() for path in (REPOSITORY / "tools" / "chart").glob("*.py"))
    named = set(re.findall(r"`(?:_?[A-Z]\w+\.)?(\w+)`", table))
    assert len(named) > 30
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", code)] == []
