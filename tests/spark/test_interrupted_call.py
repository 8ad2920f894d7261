"""Ctrl-C in the middle of a call of Java: py4j then has Java close the connection of the thread that waits for the job
too, and that thread would start the job anew.
"""

import json
from pathlib import Path

from tests.command import Command, names
from tests.held_image import held_image

# The driver is always in the middle of a call, in which it asks for failed tasks.
CODE = """
import sys
from mxspark.spark.failed_tasks import JavasTasks
JavasTasks.failed = lambda tasks: tasks._context._jvm.java.lang.Thread.sleep(600_000)
from mxspark.__main__ import main
sys.exit(main())
"""


def test_the_job_is_not_started_anew(
    mxspark: Command, digits_images: Path, digits_bundle: Path, tmp_path: Path
) -> None:
    images, events, holding = (tmp_path / name for name in ("images", "events", "holding"))
    for folder in (images, events, holding):
        folder.mkdir()
    keys = names(digits_images)[:30]
    for key in keys:
        (images / key).symlink_to(digits_images / key)
    held = held_image(keys[-1], holding)
    arguments: tuple[str | Path, ...] = (
        "--input",
        images,
        "--model",
        digits_bundle,
        "--output",
        tmp_path / "table",
        "--master",
        "local[1]",
    )
    log = {"enabled": "true", "compress": "false", "dir": events}
    arguments += tuple(f"--set=spark.conf.spark.eventLog.{name}={value}" for name, value in log.items())
    with mxspark.start("python", "-P", "-c", CODE, "run", *arguments, environment=held.environment) as running:
        running.wait_until(held.is_held)
        running.press_ctrl_c()
        assert running.wait().code == 130
    lines = [line for file in events.rglob("events_*") for line in file.read_text().splitlines()]
    assert [json.loads(line)["Event"] for line in lines].count("SparkListenerJobStart") == 1
