"""The page docs/python.md in one process with one SparkSession, as a user's script; and what came of it."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from tests.command import REPOSITORY, Command
from tests.conftest import DIGITS
from tests.spark.conftest import QUICK_JAVA

PAGE = (REPOSITORY / "docs" / "python.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
QUICK = '.config("spark.ui.enabled", "false").config("spark.driver.bindAddress", "127.0.0.1")'
LIMIT_SECONDS = 900  # a dozen of Spark's jobs
# What the page doesn't show: what fails is a value, and what can't be had is refused.
MORE = """
    import json, os
    refused = ""
    try:
        mxspark.run(input="examples/digits/images", output=OUT, model=BUNDLE, spark={"driver_memory": "9g"})
    except mxspark.UsageError as error:
        refused = error.problem
    by_path = mxspark.predict_udf(BUNDLE, top_k=1)
    try:
        images.selectExpr("struct(content) AS file").transform(mxspark.predict(column="file", bundle=BUNDLE))
    except mxspark.UsageError as error:
        refused += error.problem
    broken = spark.createDataFrame([("nowhere.png",), (images.first()["path"],), (None,)], "place string")
    struct = broken.coalesce(1).select(by_path("place").alias("p")).select("p.*")
    print("RESULT", json.dumps({
        "spark": spark.version,
        "summary": vars(summary),
        "again": vars(again),
        "pandas": [list(frame.columns), len(frame)],
        "rows_of_spark": [rows.count(), rows.dtypes],
        "predicted": [row.asDict(recursive=True) for row in predicted.select("path", "prediction").collect()],
        "schema": struct.dtypes,
        "broken": [row.asDict(recursive=True) for row in struct.collect()],
        "refused": refused,
        "has_report": os.path.isfile(OUT + "/_report.html"),
        "is_alive": spark.range(3).count(),
    }))
"""


def run_page(command: Command, folder: Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """The page's snippets, then more, in a process of their own."""
    output = str(folder / "table")
    script = "\n".join(SNIPPETS).replace("output/digits-python", output)
    assert script.count(".getOrCreate()") == 1
    script = script.replace(".getOrCreate()", f"{QUICK}.getOrCreate()")
    places = f"OUT, BUNDLE = {output!r}, {str(DIGITS / 'bundle')!r}\n"
    file = folder / "page.py"
    file.write_text(places + script + textwrap.dedent(MORE))
    # As in a user's environment: workers are of the same Python.
    python = {"PYSPARK_PYTHON": "python", **QUICK_JAVA, **(environment or {})}
    finished = command.run("python", file, environment=python, seconds=LIMIT_SECONDS).succeeded()
    (line,) = [line for line in finished.output.splitlines() if line.startswith("RESULT ")]
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found | {"errors": finished.errors, "output": finished.output}


def check(found: dict[str, Any]) -> None:
    """What holds on each Spark."""
    summary, again = found["summary"], found["again"]
    assert (summary["rows"], summary["ok"], summary["images"]) == (400, 400, 400)
    assert summary["accuracy"] > 0.95
    assert (again["rows"], again["images"]) == (400, 0)
    assert "Predicting 400 images in" in found["errors"]
    assert found["has_report"]
    assert found["is_alive"] == 3, "the session goes on"
    assert found["pandas"] == [["key", "status", "error", "predictions"], 400]
    assert found["rows_of_spark"][0] == 400
    assert "spark.driver.memory = 9g" in found["refused"]
    assert "the column file is of the type struct<content:binary>" in found["refused"]
    assert len(found["predicted"]) == 10
    for row in found["predicted"]:
        (best,) = row["prediction"]["predictions"]
        assert f"_{best['label']}.png" in row["path"]
    assert [name for name, _ in found["schema"]] == ["status", "error", "predictions"]
    assert [row["status"] for row in found["broken"]] == ["missing", "ok", "missing"]
    assert [bool(row["error"]) for row in found["broken"]] == [True, False, True]
