"""What people are told of a row's statuses."""

import re

from mxspark.row_status import RowStatus
from tests.command import REPOSITORY


def test_the_guide_explains_each_status_and_no_other() -> None:
    guide = (REPOSITORY / "docs/operations.md").read_text()
    table = guide[guide.index("| status | what it means") :].partition("\n\n")[0]

    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(RowStatus)
