"""How the tests are shared out among pytest-xdist's processes (`-n 4 --dist loadgroup`), and in which order. A plugin
(tests/conftest.py).

The tests of a module that has fixtures of its own run in one process, so that these are made once; what a whole run
shares is made by tests/shared.py. Modules with a test that needs the cluster for itself run in one process too, one
after the other: in two, one would wait for the other. What takes long comes first and what is short last, so that all
processes end together: within a tier such groups before single tests.
"""

from functools import cache
from pathlib import Path

import pytest

from tests.tiers import ROOT

ALONE = "alone"  # the marker (tests/kubernetes/cluster.py)
# What needs the cluster for itself comes first of all (_rank); all that need none can run beside it.
ORDER = (
    "image",
    "faults",
    "emr/cluster",
    "kubernetes",
    "spark",
    "spark/spark35",
    "gpu",
    "examples",
    "convert",
    "processes",
    "emr/command",
    "emr",
    "chart",
    "storage",
    "security",
    "unit",
)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = {item.path: item.path.stem for item in items if _shares_fixtures(item)}
    groups |= {item.path: ALONE for item in items if item.get_closest_marker(ALONE)}
    for item in items:
        if item.path in groups and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    items.sort(key=_rank)


def _shares_fixtures(item: pytest.Item) -> bool:
    """Whether the test uses fixtures that are made once for a module."""
    definitions = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009  # pytest has no other way to ask
    return any(fixture.scope in ("module", "class", "package") for found in definitions.values() for fixture in found)


def _rank(item: pytest.Item) -> tuple[bool, int, bool]:
    is_alone, is_grouped = (item.get_closest_marker(marker) is not None for marker in (ALONE, "xdist_group"))
    return not is_alone, _rank_of_folder(item.path.parent), not is_grouped


@cache
def _rank_of_folder(path: Path) -> int:
    folder = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    return ORDER.index(folder) if folder in ORDER else len(ORDER)
