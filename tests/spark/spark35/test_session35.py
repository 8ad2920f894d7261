"""From Python, in a session of Spark 3.5."""

from pathlib import Path

from tests.command import Command
from tests.spark.session import check, run_page
from tests.spark.spark35.conftest import SPARK_35


def test_the_page_works_in_one_session(mxspark: Command, tmp_path: Path) -> None:
    found = run_page(mxspark, tmp_path, {"PYTHONPATH": str(SPARK_35)})
    assert found["spark"].startswith("3.5.")
    check(found)
