"""From Python: two runs in the user's own SparkSession, the table read, and a model as a column."""

from pathlib import Path

from tests.command import Command
from tests.spark.session import check, run_page


def test_the_page_works_in_one_session(mxspark: Command, tmp_path: Path) -> None:
    found = run_page(mxspark, tmp_path)
    assert found["spark"].startswith("4.")
    check(found)
