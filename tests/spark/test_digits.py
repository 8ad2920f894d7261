"""1,797 labelled digits through the real command: every one of them once, and right; read as users read tables."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tests.command import Command, names, summary
from tests.spark.conftest import ALL_DIGITS, Run, digits_arguments

# What a user of Spark would type; the rows come back as JSON.
SPARK_READS = """
import json, sys
from pyspark.sql import SparkSession
quick_start = {"spark.ui.enabled": "false", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
spark = SparkSession.builder.master("local[1]").config(map=quick_start).getOrCreate()
table = spark.read.parquet(sys.argv[1])
rows = [row.asDict(recursive=True) for row in table.orderBy("key").collect()]
print(json.dumps({"schema": table.dtypes, "rows": rows}))
"""


def test_every_digit_has_one_row(digits_run: Run, digits_images: Path) -> None:
    table = digits_run.table
    assert list(table.columns) == ["key", "status", "error", "predictions"]
    assert list(table["key"]) == names(digits_images)
    assert set(table["status"]) == {"ok"}
    assert table["error"].isna().all()


def test_each_row_has_the_most_probable_classes_first(digits_run: Run) -> None:
    for predictions in digits_run.table["predictions"]:
        probabilities = [prediction["probability"] for prediction in predictions]
        assert len(probabilities) == 5
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0.5 < sum(probabilities) <= 1.000001
        assert all(prediction["label"] == str(prediction["index"]) for prediction in predictions)


def test_the_summary_tells_the_accuracy_that_the_table_has(digits_run: Run) -> None:
    table = digits_run.table
    right = [
        predictions[0]["label"] == key[-5] for key, predictions in zip(table["key"], table["predictions"], strict=True)
    ]
    told = summary(digits_run.output)
    assert told["accuracy"] == sum(right) / ALL_DIGITS
    assert told["accuracy"] >= 0.98
    assert told["accuracy_top_k"] >= told["accuracy"]
    assert (told["rows"], told["ok"], told["failed"]) == (ALL_DIGITS, ALL_DIGITS, 0)
    assert told["by_status"] == {"ok": ALL_DIGITS}
    assert told["this_run"]["images"] == ALL_DIGITS
    run = told["this_run"]
    assert 0 < run["workers_startup_seconds"] < run["seconds"]
    assert run["images_per_second"] == pytest.approx(
        ALL_DIGITS / (run["seconds"] - run["workers_startup_seconds"]), rel=0.01
    )
    assert told["settings"]["model"]["path"]


def test_the_folder_holds_the_plan_a_part_for_each_shard_and_the_marks_of_success(digits_run: Run) -> None:
    plan = json.loads((digits_run.output / "_plan" / "plan.json").read_text())
    parts = [f"part-{shard:06d}.parquet" for shard in range(plan["shards"])]
    assert names(digits_run.output) == ["_SUCCESS", "_plan", "_report.html", "_runs", "_summary.json", *parts]
    assert plan["shards"] >= 4, "too few shards to keep two workers busy"
    assert (plan["keys"], plan["listed"]) == (ALL_DIGITS, ALL_DIGITS)


def test_each_part_holds_the_keys_that_were_planned_for_its_shard(digits_run: Run) -> None:
    with gzip.open(digits_run.output / "_plan" / "000000.jsonl.gz", "rt") as lines:
        planned = [json.loads(line) for line in lines]
    for shard, keys in enumerate(planned):
        part = pd.read_parquet(digits_run.output / f"part-{shard:06d}.parquet")
        assert list(part["key"]) == keys


# The command, which else predicts its sample again and again for 15 seconds.
SAMPLED_ONCE = """
import sys
from mxspark import cli
from mxspark.benchmark.estimate import Request
Request.__init__.__defaults__ = (64, 0.0, None, None, None)
cli.main(sys.argv[1:])
"""


def test_a_dry_run_is_about_what_is_left_and_writes_nothing(
    mxspark: Command, digits_run: Run, digits_images: Path, digits_bundle: Path, tmp_path: Path
) -> None:
    """Spark is started for it, and the sample predicted by workers."""
    job = ("run", *digits_arguments(digits_images, digits_bundle), "--dry-run", "--output")
    assert "Nothing is left to do; 1,797 are done." in mxspark(*job, digits_run.output).succeeded().output

    output = Path(shutil.copytree(digits_run.output, tmp_path / "table"))
    (output / "_SUCCESS").unlink()
    (output / "part-000000.parquet").unlink()
    before = sorted((path, path.stat().st_mtime_ns) for path in output.rglob("*"))
    told = mxspark.run("python", "-c", SAMPLED_ONCE, *job, output).succeeded().output
    assert re.search(r"images +(\d+); 1,\d+ are done", told)
    assert re.search(r"this machine +\d", told)
    assert "Assumed: All images are like the " in told
    assert sorted((path, path.stat().st_mtime_ns) for path in output.rglob("*")) == before


def test_spark_reads_the_table_that_pandas_reads(mxspark: Command, digits_run: Run) -> None:
    answer = json.loads(mxspark.run("python", "-c", SPARK_READS, digits_run.output).succeeded().output)
    assert answer["schema"] == [
        ["key", "string"],
        ["status", "string"],
        ["error", "string"],
        ["predictions", "array<struct<index:int,label:string,probability:float>>"],
    ]
    table = digits_run.table
    assert [row["key"] for row in answer["rows"]] == list(table["key"])
    assert [row["predictions"] for row in answer["rows"]] == [list(predictions) for predictions in table["predictions"]]
    assert {(row["status"], row["error"]) for row in answer["rows"]} == {("ok", None)}


def test_a_person_is_told_how_it_went(digits_run: Run) -> None:
    output = digits_run.finished.output
    assert "1,797 images: 1,797 ok, 0 failed" in output
    assert re.search(r"\d images/s: 1,797 images in [\d.]+ s", output)
    assert "Where the time went" in output
    assert re.search(r"Accuracy: 0\.9[89]\d\d \(top 1\)", output)
    assert re.search(r"0007_7\.png.*\b7\b", output), "no first predictions"
    assert str(digits_run.output) in output.splitlines()[-1]


def test_where_there_is_no_terminal_progress_is_plain_lines(digits_run: Run) -> None:
    assert re.search(
        r"^Predicting 1,797 images in \d+ shards\nStarting workers$", digits_run.finished.errors, re.MULTILINE
    )
    assert "\x1b" not in digits_run.finished.text
    assert "WARN" not in digits_run.finished.errors, "Spark's log is for --debug"
