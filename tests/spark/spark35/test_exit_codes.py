"""With what a job ended is told by its log alone, as spark-submit 3.5 writes it."""

from pathlib import Path

from tests.command import Command
from tests.spark.conftest import QUICK_JAVA
from tests.spark.spark35.conftest import SPARK_35

from mxspark.run import last_word
from mxspark.spark.java import java_home
from mxspark.submit.emr import driver_log


def test_a_wrong_model_is_code_2_and_the_last_line_has_the_error_and_what_to_do(
    mxspark: Command, tmp_path: Path
) -> None:
    flags: list[str | Path] = ["--input", tmp_path, "--model", tmp_path, "--output", tmp_path / "table"]
    places = {
        "SPARK_HOME": str(SPARK_35 / "pyspark"),
        "PYTHONPATH": str(SPARK_35),
        "JAVA_HOME": str(java_home(tmp_path / "java")),
    }
    program = str(SPARK_35 / "pyspark" / "bin" / "spark-submit")

    done = mxspark.run(program, "--master", "local[1]", "job/infer_main.py", *flags, environment=places | QUICK_JAVA)

    lines = done.output.splitlines()
    assert driver_log.exit_code(lines) == done.code == 2
    word = last_word.find(lines[-1:])
    assert word is not None
    assert "no model here" in word.cause
    assert word.hint
