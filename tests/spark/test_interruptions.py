"""A run that is stopped on its way, again and again: nothing is left running, what was finished stays, and in the end
all is there.

One story in four steps, each beginning where the one before ended: Ctrl-C, SIGTERM, then a worker is killed and the run
ends well.
"""

import os
import re
import signal
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.command import Command, Finished, Running, command_line, names, summary
from tests.held_image import HeldImage, held_image

COPIES = 1
SHARD_SIZE = 30
LINE = (
    r"Key (copy\d/\d{4}_(\d)\.png): Prediction: \['probability=[01]\.\d{6}, class=(\d)'(?:, 'probability=0\.\d{6}, "
    r"class=\d'){4}\]"
)


@dataclass(frozen=True)
class Job:
    """A job of many images, long enough to be interrupted; its parts are in `parts`."""

    mxspark: Command
    arguments: tuple[str | Path, ...]
    keys: list[str]
    output: Path
    folder: Path

    @property
    def parts(self) -> list[str]:
        return names(self.output / "_parts", "part-*")

    @contextmanager
    def predicting(self, hold_at: int) -> Iterator[tuple[Running, HeldImage]]:
        """The job started, some parts further than it was before, and held at one of its images."""
        before = len(self.parts)
        name = self.keys[hold_at].rpartition("/")[2]
        folder = self.folder / f"held-{hold_at}"
        folder.mkdir()
        held = held_image(name, folder)
        with self.mxspark.start("mxspark", *self.arguments, environment=held.environment) as running:
            running.wait_until(lambda: held.is_held() and len(self.parts) >= before + 3)
            yield running, held


@dataclass(frozen=True)
class Stopped:
    """How a job ended that was stopped: what was left running, and the parts that there were just before the signal."""

    finished: Finished
    started: list[str]  # names of the processes that were running
    left: list[psutil.Process]
    parts: list[str]
    all_parts: list[str]  # when it had ended
    sockets: dict[str, int]  # of its processes while it ran, and the rights of the folders that they lie in


@pytest.fixture(scope="module")
def job(mxspark: Command, digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("interrupted")
    keys = []
    for copy in range(COPIES):
        (folder / f"copy{copy}").symlink_to(digits_images)
        keys += [f"copy{copy}/{name}" for name in names(digits_images)]
    (folder / "keys.txt").write_text("\n".join(keys))
    output = folder / "table"
    arguments = (
        "run",
        "--input",
        folder / "keys.txt",
        "--model",
        digits_bundle,
        "--output",
        output,
        "--format",
        "text",
        "--master",
        "local[1]",
    )
    return Job(mxspark, (*arguments, "--set", f"plan.shard_size={SHARD_SIZE}"), keys, output, folder)


@pytest.fixture(scope="module")
def after_ctrl_c(job: Job) -> Stopped:
    with job.predicting(500) as (running, _):
        started = [process.name() for process in running.processes()]
        parts = job.parts
        running.press_ctrl_c()
        finished = running.wait()
        return Stopped(finished, started, running.left(), parts, job.parts, {})


@pytest.fixture(scope="module")
def after_termination(job: Job, after_ctrl_c: Stopped) -> Stopped:
    with job.predicting(1000) as (running, _):
        started = [process.name() for process in running.processes()]
        parts, sockets = job.parts, _sockets(running.processes())
        running.process.send_signal(signal.SIGTERM)
        finished = running.wait()
        return Stopped(finished, started, running.left(), parts, job.parts, sockets)


def _sockets(processes: Iterable[psutil.Process]) -> dict[str, int]:
    paths = set[str]()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            paths |= {str(each.laddr) for each in process.net_connections("unix")}
    return {path: stat.S_IMODE(Path(path).parent.stat().st_mode) for path in paths if path.endswith(".sock")}


@pytest.fixture(scope="module")
def completed(job: Job, after_termination: Stopped) -> Finished:
    """The same command once more; in the middle of it one of its Python workers is killed."""
    with job.predicting(1500) as (running, held):
        processes = running.processes()
        workers = [process for process in processes if process.parent() in processes and _is_worker(process)]
        assert workers
        os.kill(workers[0].pid, signal.SIGKILL)
        held.release()
        finished = running.wait()
        assert workers[0] not in running.processes()
        return finished.succeeded()


def _is_worker(process: psutil.Process) -> bool:
    """Whether Spark's Python daemon forked it: both have the same command line."""
    try:
        both = [process, process.parent()]
    except psutil.NoSuchProcess:  # it has ended just now
        return False
    return all(one is not None and "mxspark.spark.worker_daemon" in command_line(one) for one in both)


def test_ctrl_c_ends_the_run_with_130_and_says_what_now(after_ctrl_c: Stopped) -> None:
    assert after_ctrl_c.finished.code == 130
    assert "the same command resumes it" in after_ctrl_c.finished.errors


def test_sigterm_ends_the_run_with_143_and_says_what_now(after_termination: Stopped) -> None:
    assert after_termination.finished.code == 143
    assert "the same command resumes it" in after_termination.finished.errors


@pytest.mark.parametrize("how", ["after_ctrl_c", "after_termination"])
def test_no_process_is_left(how: str, request: pytest.FixtureRequest) -> None:
    stopped: Stopped = request.getfixturevalue(how)
    assert "java" in stopped.started
    assert len([name for name in stopped.started if name.startswith("python")]) >= 2, "no worker was there to be left"
    assert stopped.left == []


def test_sockets_by_which_workers_take_orders_lie_where_nobody_else_comes(after_termination: Stopped) -> None:
    assert after_termination.sockets
    assert set(after_termination.sockets.values()) == {0o700}


@pytest.mark.parametrize("how", ["after_ctrl_c", "after_termination"])
def test_there_is_no_stack_trace(how: str, request: pytest.FixtureRequest) -> None:
    stopped: Stopped = request.getfixturevalue(how)
    assert "Traceback" not in stopped.finished.text
    assert "Exception" not in stopped.finished.text


@pytest.mark.parametrize("how", ["after_ctrl_c", "after_termination"])
def test_finished_parts_stay_and_are_no_success_yet(how: str, request: pytest.FixtureRequest, job: Job) -> None:
    stopped: Stopped = request.getfixturevalue(how)
    assert set(stopped.parts) <= set(stopped.all_parts)
    assert len(stopped.all_parts) < len(job.keys) / SHARD_SIZE, "it was not interrupted: all was done"


def test_the_next_run_does_only_the_rest(after_ctrl_c: Stopped, after_termination: Stopped) -> None:
    done = len(after_ctrl_c.all_parts) * SHARD_SIZE
    assert f"of which an earlier run did {done:,}" in after_termination.finished.errors


def test_the_run_that_lost_a_worker_ends_well(completed: Finished, job: Job) -> None:
    assert f"{len(job.keys):,} images: {len(job.keys):,} ok, 0 failed" in completed.output
    assert (job.output / "_SUCCESS").exists()


def test_in_the_end_every_image_has_one_line_in_key_order(completed: Finished, job: Job) -> None:
    lines = (job.output / "predictions.txt").read_text().splitlines()
    found = [re.fullmatch(LINE, line) for line in lines]
    assert [match and match[1] for match in found] == sorted(job.keys)
    assert sum(match is not None and match[2] == match[3] for match in found) >= 0.98 * len(lines)


def test_the_table_in_text_is_the_one_visible_file(completed: Finished, job: Job) -> None:
    visible = [name for name in names(job.output) if not name.startswith(("_", "."))]
    assert visible == ["predictions.txt"]
    assert summary(job.output)["rows"] == len(job.keys)
