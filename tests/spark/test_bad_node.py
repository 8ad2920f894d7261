"""One executor of several that can't work: the others do the job, and the summary names it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest
from tests.command import REPOSITORY, Command, summary
from tests.spark.conftest import read_table
from tests.storage.scripted import Answer, Request, an_object, answering, error, listing

IMAGES = 16
# Imported by each Python process of Spark's: those of executor 1 get keys of their own, by which the server knows them.
BREAK_ONE = """
import os
if os.path.basename(os.getcwd()) == "1":
    os.environ["AWS_ACCESS_KEY_ID"] = "late"
"""
TOO_SKEWED = error(
    403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
)


@pytest.fixture
def spark_home(tmp_path: Path) -> Path:
    """A Spark that keeps what local-cluster writes (its folder `work`) to itself."""
    home = tmp_path / "spark"
    home.mkdir()
    for path in Path(pyspark.__file__).parent.iterdir():
        if path.name != "work":
            (home / path.name).symlink_to(path)
    return home


@pytest.fixture
def server(digits_images: Path) -> Iterator[str]:
    """S3 with some digits, for whom every request of executor 1 is signed at a wrong time."""
    digits = {path.name: path.read_bytes() for path in sorted(digits_images.iterdir())[:IMAGES]}

    def answer(request: Request) -> Answer:
        if "Credential=late/" in request.headers.get("authorization", ""):
            return TOO_SKEWED
        name = request.path.partition("?")[0].rpartition("/")[2]
        return an_object(digits[name]) if name in digits else listing(*digits)

    with answering(answer) as running:
        yield running.url


def test_a_node_with_a_wrong_clock_costs_time_and_nothing_else(
    mxspark: Command, server: str, digits_bundle: Path, spark_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "break").mkdir()
    (tmp_path / "break" / "sitecustomize.py").write_text(BREAK_ONE)
    table = tmp_path / "table"
    settings = (
        "plan.shard_size=4",
        f"spark.conf.spark.executorEnv.PYTHONPATH={tmp_path / 'break'}",
        "storage.retries=1",
        # None begins before both are there: else the other one might have done it all before the first comes.
        "spark.conf.spark.cores.max=2",
        "spark.conf.spark.scheduler.minRegisteredResourcesRatio=1",
        "spark.conf.spark.scheduler.maxRegisteredResourcesWaitingTime=300s",
    )

    finished = mxspark(
        "run",
        # executors have another working folder
        *("--model", os.path.relpath(digits_bundle, REPOSITORY), "--output", os.path.relpath(table, REPOSITORY)),
        *("--input", "s3://bucket", "--endpoint-url", server),
        *("--master", "local-cluster[2,1,512]", *(word for setting in settings for word in ("--set", setting))),
        environment={
            "AWS_ACCESS_KEY_ID": "punctual",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "SPARK_HOME": str(spark_home),
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
    ).succeeded()

    assert list(read_table(str(table))["status"]) == IMAGES * ["ok"]
    failing = summary(table)["this_run"]["failing_executors"]
    assert list(failing) == [f"executor 1 on host {os.uname().nodename}"]
    assert (
        "this machine's clock differs too much from the server's"
        in failing[f"executor 1 on host {os.uname().nodename}"]
    )
    assert len(re.findall("A shard failed on executor 1", finished.text)) == 1
    assert "Unusable executor: executor 1 on host" in finished.text
