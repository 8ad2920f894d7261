"""With what a job ended is told by its log alone, as spark-submit 3.5 writes it."""

from pathlib import Path

import pytest
from tests.command import Command
from tests.spark.spark35.conftest import SPARK_35

from mxspark.java import java_home
from mxspark.submit.emr import driver_log

ARTICLE = [word for name in ("sym_url", "param_url", "label_url") for word in (f"--{name}", "/nowhere")]


@pytest.mark.parametrize("style", ["ours", "the article's"])
def test_a_wrong_model_is_code_2_and_the_error_is_found_with_its_mend(mxspark: Command, tmp_path: Path, style: str) -> None:
    output = str(tmp_path / "table")
    article = ["--bucket", "none", *ARTICLE, "--output_s3_bucket", "none", "--output_s3_key", "x", "--endpoint-url", "http://127.0.0.1:9"]
    flags = ["--input", tmp_path, "--model", tmp_path, "--output", output] if style == "ours" else article
    environment = {"SPARK_HOME": str(SPARK_35 / "pyspark"), "PYTHONPATH": str(SPARK_35), "JAVA_HOME": str(java_home(tmp_path / "java"))}
    program = str(SPARK_35 / "pyspark" / "bin" / "spark-submit")

    done = mxspark.run(program, "--master", "local[1]", "job/infer_main.py", *flags, environment=environment)

    lines = done.output.splitlines()
    assert driver_log.exit_code(lines) == done.code == 2
    found = driver_log.own_error(lines)
    assert found is not None
    assert lines[-1] == "mxspark ended with exit code 2"
    assert lines[-1] not in found[1]
