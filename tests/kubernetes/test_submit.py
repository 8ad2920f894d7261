"""`mxspark submit kubernetes`, followed, left, looked at and cancelled; and how jobs end that fail."""

import re
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from tests.command import Running, environment_without_aws
from tests.kubernetes import attackers, bad_nodes, long_job
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.jobs import (
    SOME_DIGITS,
    Jobs,
    Ran,
    Settings,
    Watched,
    accuracy,
    settings_file,
    side_by_side,
    unique,
)
from tests.spark.conftest import ALL_DIGITS, wait_until
from tests.terminal import CTRL_C, Terminal

from mxspark.spark.pods import EXECUTOR_GRACE

pytestmark = pytest.mark.xdist_group("two_runs")  # as test_pods.py
BEGUN = ("failing",)

# Writes to both of its streams at once, as a driver does when it shows a table and then an error.
TALKATIVE = {"command": ["sh", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo out $i; echo err $i >&2; done"]}
# Takes more memory than any driver is given.
GREEDY = {"command": ["python", "-c", "b'.' * 2**32"]}
UNSCHEDULABLE = {"kubernetes": {"driver": {"node_selector": {"no-node-has": "this"}}}}


# ---- followed to the end ----


def test_two_jobs_side_by_side_end_well_with_every_image_once(two_runs: tuple[Ran, Ran], jobs: Jobs) -> None:
    for ran, images in zip(two_runs, (ALL_DIGITS, SOME_DIGITS), strict=True):
        ran.finished.succeeded()
        table = jobs.table(ran.name)
        assert len(table) == images
        assert table["key"].is_unique
        assert set(table["status"]) == {"ok"}
    assert accuracy(jobs.table(two_runs[0].name)) == pytest.approx(0.9978, abs=1e-4)


def test_a_person_sees_the_pods_come_up_and_how_far_the_job_is(followed: Ran) -> None:
    told = followed.finished.errors
    assert f"Job {followed.name} in namespace " in told
    for text in ("is starting", " is running\n", "Executors: 2 of 2 running"):
        assert text in told
    assert re.search(r"/1,797 images, \d+/29 shards", told)
    assert re.search(r"Running on cpu with 2 workers", told)


def test_the_result_ends_the_output(followed: Ran, jobs: Jobs) -> None:
    *_, last = followed.finished.output.splitlines()
    assert last == f"Predictions: {jobs.place(followed.name)}"
    assert "1,797 images: 1,797 ok, 0 failed" in followed.finished.output
    assert re.search(r"[\d.]+ images/s: 1,797 images in .+ on 2 workers", followed.finished.output)
    assert "Accuracy: 0.9978 (top 1)" in followed.finished.output


def test_the_log_comes_where_it_is_asked_for(followed: Ran, with_logs: Ran) -> None:
    step = "Checking the model and the output"
    assert step not in followed.finished.output
    assert step in with_logs.finished.output


def test_with_logs_it_is_the_whole_log(with_logs: Ran, jobs: Jobs) -> None:
    pod = jobs.pods(with_logs.name, "driver")[0]["metadata"]["name"]
    assert with_logs.finished.output == jobs.kubectl.logs(f"pod/{pod}")


def test_no_line_of_a_log_is_lost_whichever_stream_it_was_written_to(jobs: Jobs) -> None:
    name = unique("talkative")
    settings = jobs.settings(name, kubernetes={"driver": {"template": {"spec": {"containers": [TALKATIVE]}}}})
    told = jobs.submit(settings, "--name", name, "--logs").succeeded().output.splitlines()
    assert sorted(told) == sorted(f"{stream} {number}" for stream in ("out", "err") for number in range(1, 3001))


def test_what_ended_keeps_its_log_until_it_is_cancelled(followed: Ran, at_once: Jobs) -> None:
    assert (
        at_once("logs", followed.name, "--tail", "1").succeeded().output.strip()
        == f"Predictions: {at_once.place(followed.name)}"
    )
    assert at_once.status(followed.name)["state"] == "complete"


def test_the_executors_are_gone_when_the_job_has_ended(two_runs: tuple[Ran, Ran], jobs: Jobs) -> None:
    for ran in two_runs:
        jobs.kubectl.wait_until(lambda name=ran.name: not jobs.pods(name, "executor"), "its executors are gone")  # type: ignore[misc]


# ---- looked at by its name ----


def test_a_job_that_is_left_alone_is_looked_at_and_cancelled_by_its_name(at_once: Jobs) -> None:
    name = unique("detached")
    finished = at_once.submit(at_once.settings(name, input={"limit": 64}), "--name", name, "--detach").succeeded()
    assert finished.output == f"{name}\n"
    for command in ("status", "follow", "cancel"):
        assert f"mxspark {command} {name} --namespace {at_once.namespace}" in finished.errors

    at_once.kubectl.wait_until(lambda: at_once.status(name)["state"] == "running", "the job runs")
    log = at_once("logs", name, "-f").succeeded().output
    assert log.endswith(f"Predictions: {at_once.place(name)}\n")

    at_once.kubectl.wait_until(lambda: at_once.status(name)["state"] == "complete", "the job is complete")
    status = at_once.status(name)
    assert (status["exit_code"], status["output"], status["namespace"]) == (0, at_once.place(name), at_once.namespace)
    assert status["progress"] == "64 images: 64 ok, 0 failed"
    shown = at_once("status", name).succeeded().output
    assert "complete" in shown
    assert at_once.place(name) in shown

    assert any(found.startswith("Pod/") for found in at_once.objects(name))
    assert at_once("cancel", name, "--yes").succeeded().output == f"Job {name} is deleted.\n"
    at_once.wait_until_gone(name)
    assert len(at_once.table(name)) == 64, "what it has done stays"


@pytest.fixture
def slow_s3(jobs: Jobs, cluster: Cluster) -> str:
    """The S3 server as a job finds it that is to last."""
    jobs.kubectl.apply(*long_job.slow_s3(jobs.image, cluster.nodes[0]))
    jobs.kubectl.wait("pod/slow-s3", "condition=Ready")
    return f"http://slow-s3.{jobs.namespace}:{long_job.PORT}"


def test_cancelled_in_mid_run_nothing_is_left_but_what_was_done(jobs: Jobs, at_once: Jobs, slow_s3: str) -> None:
    name = unique("cancelled")
    settings = jobs.settings(
        name,
        input={"limit": 1760},  # 110 parts, which take longer than all that is asked here
        plan={"shard_size": 16},
        pipeline={"fetch_threads": 1},
        storage={"endpoint_url": slow_s3},
    )
    with jobs.started(settings, "--name", name) as running:
        jobs.wait_for_parts(name, 2)
        kinds = {found.partition("/")[0] for found in jobs.objects(name)}
        assert kinds == {
            "Job",
            "Pod",
            "ConfigMap",
            "Service",
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "NetworkPolicy",
            "Secret",
        }
        assert len(jobs.pods(name, "executor")) == 1
        status = at_once.status(name)
        assert status["state"] == "running"
        assert [len(status[kind]) for kind in ("drivers", "executors")] == [1, 1]
        assert_nobody_else_gets_in(jobs, name)

        at_once("cancel", name, "--yes").succeeded()
        jobs.kubectl.wait_until(lambda: not jobs.objects(name), "nothing is left of it", EXECUTOR_GRACE)
        followed = running.wait().ended_with(1)
    assert f"job {name} is gone: it was deleted" in followed.errors
    assert 2 <= len(jobs.parts(name)) < 110


def assert_nobody_else_gets_in(jobs: Jobs, name: str) -> None:
    """Spark's own executor is asked for the run's key, which is in no pod's spec."""
    jobs.kubectl.apply(attackers.executor(f"{name}-foreign", jobs.image, f"{name}-driver", name))
    foreign = jobs.kubectl.result(f"{name}-foreign")
    jobs.kubectl.delete(f"pod/{name}-foreign")
    assert foreign.code != 0
    assert "Successfully registered with driver" not in foreign.output
    (spec,) = (pod["spec"] for pod in jobs.pods(name, "executor"))
    (key,) = (each for each in spec["containers"][0]["env"] if each["name"] == "_SPARK_AUTH_SECRET")
    assert key.keys() == {"name", "valueFrom"}


def test_without_yes_nobody_can_be_asked_whether_to_cancel(at_once: Jobs, followed: Ran) -> None:
    refused = at_once("cancel", followed.name).ended_with(2)
    assert f"Job {followed.name} in namespace {at_once.namespace} has ended" in refused.errors
    assert "--yes" in refused.errors
    assert at_once.objects(followed.name)


# ---- Ctrl-C ----


@pytest.mark.parametrize(
    ("answer", "stays"), [("leave\n", True), ("cancel\n", False), (CTRL_C, True)], ids=["leave", "cancel", "again"]
)
def test_ctrl_c_asks_whether_to_leave_the_job_or_to_cancel_it(
    jobs: Jobs, at_once: Jobs, tmp_path: Path, answer: str, stays: bool
) -> None:
    name = unique("asked")
    with settings_file(jobs.settings(name, **UNSCHEDULABLE)) as file:
        command = ("submit", "kubernetes", "--settings", str(file), "--name", name)
        with Terminal(
            "mxspark", *command, environment=environment_without_aws(tmp_path) | jobs.environment
        ) as terminal:
            terminal.wait_for(f"Driver {name}-")
            terminal.type(CTRL_C)
            terminal.wait_for("[leave/cancel]")
            terminal.insist(answer, "keeps running" if stays else "is being cancelled")
            assert terminal.end() == 130
    assert "the same command" not in terminal.said  # which would submit it again
    if stays:
        assert f"job {name} keeps running" in terminal.said
        assert f"mxspark status {name}" in terminal.said
        assert at_once.status(name)["state"] == "waiting"
        at_once("cancel", name, "--yes").succeeded()
    else:
        assert f"job {name} is being cancelled" in terminal.said
    jobs.wait_until_gone(name)


def test_ctrl_c_without_a_terminal_leaves_the_job(jobs: Jobs, at_once: Jobs) -> None:
    name = unique("interrupted")
    with jobs.started(jobs.settings(name, **UNSCHEDULABLE), "--name", name) as running:
        jobs.kubectl.wait_until(lambda: bool(jobs.pods(name, "driver")), "its driver's pod is there")
        wait_until(lambda: catches(running, signal.SIGINT), "it can be interrupted")
        running.press_ctrl_c()
        finished = running.wait().ended_with(130)
    assert f"job {name} keeps running" in finished.errors
    assert at_once.status(name)["state"] == "waiting"
    at_once("cancel", name, "--yes").succeeded()
    jobs.wait_until_gone(name)


def catches(running: Running, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    with open(f"/proc/{running.process.pid}/status") as status:
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))
    return bool(mask >> (number - 1) & 1)


# ---- jobs that fail ----


@pytest.fixture(scope="module")
def failing(jobs: Jobs, watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ran]]]:
    """Jobs that fail, each for a cause of its own; the first two might be started again. The last one ends well without
    most of its executors."""
    names = {cause: unique(cause) for cause in ("broken", "wrong-model", "memory", "bad-nodes")}
    again = {"kubernetes": {"restarts": 3}}
    settings: dict[str, Settings] = {
        "broken": jobs.settings(names["broken"], input={"path": jobs.place("broken/")}, **again),
        "wrong-model": jobs.settings(names["wrong-model"], model={"path": jobs.place("broken")}, **again),
        "memory": jobs.settings(
            names["memory"], kubernetes={"driver": {"template": {"spec": {"containers": [GREEDY]}}}}
        ),
        "bad-nodes": jobs.settings(
            names["bad-nodes"],
            input={"limit": bad_nodes.IMAGES},
            plan={"shard_size": bad_nodes.SHARD_SIZE},
            storage={"retries": 1},
            spark=bad_nodes.spark(),
            kubernetes=bad_nodes.kubernetes(jobs.image),
        ),
    }

    def submit(cause: str) -> Ran:
        return Ran(names[cause], jobs.submit(settings[cause], "--name", names[cause]))

    with side_by_side(tmp_path_factory, {cause: partial(submit, cause) for cause in names}) as found:
        yield found


def starts(watched: Watched, ran: Ran) -> int:
    """How many driver's pods a job had."""
    return len(watched.pods(ran.name, "driver"))


def test_too_many_failed_images_are_exit_code_3_and_no_reason_to_start_again(
    failing: dict[str, Future[Ran]], at_once: Jobs, watched: Watched
) -> None:
    ran = failing["broken"].result()
    finished = ran.finished.ended_with(3)
    assert f"Error: job {ran.name}: the driver ended with exit code 3" in finished.errors
    assert "20 of 20 images failed, more than max_failed_fraction 0.05 allows: 20 " in finished.text
    assert starts(watched, ran) == 1
    assert at_once.status(ran.name)["exit_code"] == 3


def test_a_wrong_model_is_exit_code_2_and_no_reason_to_start_again(
    failing: dict[str, Future[Ran]], watched: Watched
) -> None:
    ran = failing["wrong-model"].result()
    finished = ran.finished.ended_with(2)
    assert f"Error: job {ran.name}: the driver ended with exit code 2" in finished.errors
    assert "model.yaml" in finished.text, "the driver's last words are shown"
    assert starts(watched, ran) == 1


def test_a_driver_that_needs_more_memory_is_exit_code_1_and_says_so(
    failing: dict[str, Future[Ran]], at_once: Jobs, watched: Watched
) -> None:
    ran = failing["memory"].result()
    finished = ran.finished.ended_with(1)
    assert "OOMKilled" in finished.errors
    assert "spark.driver_memory_overhead" in finished.errors
    assert starts(watched, ran) == 1
    assert "OOMKilled" in at_once("status", ran.name).succeeded().output


# ---- nodes that can't work, and a container beside the driver that never ends ----


def test_executors_that_can_t_work_cost_time_and_nothing_else(
    failing: dict[str, Future[Ran]], jobs: Jobs, watched: Watched
) -> None:
    ran = failing["bad-nodes"].result()
    ran.finished.succeeded()
    assert list(jobs.table(ran.name)["status"]) == bad_nodes.IMAGES * ["ok"]
    told = jobs.summary(ran.name)["this_run"]["failing_executors"]
    assert len(told) == len(bad_nodes.TOLD)
    pods = {name.rpartition("-exec-")[2]: versions[-1] for name, versions in watched.pods(ran.name, "executor").items()}
    for number, words in bad_nodes.TOLD.items():
        pod = pods[str(number)]
        where = f"executor {number} on node {pod['spec']['nodeName']} (pod {pod['metadata']['name']})"
        assert words in told[where]
        assert where in ran.finished.output.partition("Unusable executor: ")[2]


def test_a_container_beside_the_driver_that_never_ends_ends_with_it(
    failing: dict[str, Future[Ran]], at_once: Jobs
) -> None:
    ran = failing["bad-nodes"].result()
    assert at_once.status(ran.name)["state"] == "complete"
    (pod,) = at_once.pods(ran.name, "driver")
    assert pod["status"]["phase"] == "Succeeded"
    assert [status["name"] for status in pod["status"]["initContainerStatuses"]] == ["beside"]
