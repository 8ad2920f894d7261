"""The images under any user, and when they are told to end. A run under the restrictions of careful clusters:
test_runs.py.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.conftest import EXAMPLE, RESTRICTED
from tests.image.container import Container, Image
from tests.image.test_runs import ONE_WORKER

GRACE_SECONDS = 60  # twice Kubernetes' own: the machine may be busy with much else


@pytest.mark.parametrize("user", ["12345", "12345:777"])
def test_any_user_has_a_name_and_a_home(our_image: Image, user: str) -> None:
    found = our_image.run("bash", "-c", "whoami; echo $HOME; id -g", options=(*RESTRICTED, "--user", user)).succeeded()
    assert found.output.split() == ["spark", "/opt/spark/work-dir", user.partition(":")[2] or "0"]


def test_the_work_directory_is_its_users_and_its_groups(our_image: Image) -> None:
    for user in ("185:185", "12345:0"):
        our_image.run("touch", "/opt/spark/work-dir/file", options=("--user", user)).succeeded()


@pytest.mark.parametrize("started_by", ["run", "spark-submit"])
def test_sigterm_ends_a_run_within_the_grace_period(
    cpu_image: Image, started: Callable[..., Container], output: Path, started_by: str
) -> None:
    slow = ("--set", "pipeline.decode_threads=1", "--set", "input.limit=14", "--top-k", "1")
    command = (
        ("run", *ONE_WORKER)
        if started_by == "run"
        else ("spark-submit", "--master", "local[1]", "/opt/mxspark/infer_main.py")
    )
    arguments = (
        *command,
        "--input",
        f"{EXAMPLE}/images",
        "--model",
        f"{EXAMPLE}/bundle",
        "--output",
        "/out/table",
        *slow,
    )
    container = started(cpu_image, *arguments, options=("--volume", f"{output}:/out"))
    container.wait_for("Starting Spark" if started_by == "run" else "Listing")

    container.stop(GRACE_SECONDS)

    assert container.state()["ExitCode"] == 143, container.logs()  # after that 137
    assert not (output / "table" / "_SUCCESS").exists()
