"""`mxspark submit emr` and what is done with job runs afterwards, by the real command."""

import json
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.command import Command, Finished, environment_without_aws
from tests.emr import logs
from tests.emr.conftest import Moto, VirtualCluster
from tests.emr.jobs import CLUSTER, IMAGE, REGION, ROLE
from tests.emr.model import complaints
from tests.terminal import CTRL_C, Terminal

from mxspark.submit.emr import driver_log, follower, job, job_runs
from mxspark.submit.emr.job_runs import JobRun

JOB = ("--input", "s3://images/photos", "--model", "s3://models/lite0", "--image", IMAGE, "--execution-role", ROLE)
WAIT_SECONDS = 300


@pytest.fixture
def submit(
    here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster, output: str
) -> Callable[..., Finished]:
    """Runs `mxspark submit emr` for the test's cluster and output."""

    def run(
        *more: str, environment: dict[str, str | None] | None = None, virtual_cluster: str | None = virtual_cluster.id
    ) -> Finished:
        where = ("--virtual-cluster", virtual_cluster) if virtual_cluster else ()
        return here(
            "submit",
            "emr",
            *JOB,
            "--output",
            output,
            *where,
            *more,
            environment={**moto.environment, **(environment or {})},
        )

    return run


def wait_for(found: Callable[[], Any]) -> Any:
    """What it gives, once it gives something."""
    limit = time.monotonic() + WAIT_SECONDS
    while not (value := found()):
        assert time.monotonic() < limit
        time.sleep(0.1)
    return value


def test_a_dry_run_prints_the_request_as_the_aws_cli_takes_it_and_starts_nothing(
    submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster, output: str
) -> None:
    done = submit(
        "--dry-run", "--s3-logs", "s3://logs/emr", "--tag", "team=vision", "--retries", "0", "--name", "photos"
    ).succeeded()

    request = json.loads(done.output)
    assert complaints(request) == []
    assert (request["name"], request["tags"], request["retryPolicyConfiguration"]) == (
        "photos",
        {"team": "vision"},
        {"maxAttempts": 1},
    )
    assert moto.client("emr-containers").start_job_run(**request)["id"]  # what --cli-input-json does
    assert (
        moto.client("s3").list_objects_v2(Bucket="results", Prefix=output.removeprefix("s3://results/")).get("KeyCount")
        == 0
    )
    assert "_submissions" in done.errors


def test_a_dry_run_needs_no_aws_where_the_cluster_is_given_by_its_id(mxspark: Command, output: str) -> None:
    nowhere: dict[str, str | None] = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "AWS_REGION": None,
    }
    done = mxspark(
        "submit", "emr", *JOB, "--output", output, "--virtual-cluster", CLUSTER, "--dry-run", environment=nowhere
    ).succeeded()
    assert json.loads(done.output)["virtualClusterId"] == CLUSTER


def test_a_dry_run_can_put_what_the_request_names(submit: Callable[..., Finished], moto: Moto) -> None:
    done = submit("--dry-run", "--upload").succeeded()
    properties = json.loads(done.output)["configurationOverrides"]["applicationConfiguration"][0]["properties"]
    for role in ("driver", "executor"):
        place = properties[f"spark.kubernetes.{role}.podTemplateFile"].removeprefix("s3://results/")
        assert b"kind: Pod" in moto.client("s3").get_object(Bucket="results", Key=place)["Body"].read()


def test_a_job_run_is_followed_through_its_states_to_a_good_end(
    mxspark: Command, moto: Moto, virtual_cluster: VirtualCluster, output: str
) -> None:
    flags = (
        *JOB,
        "--output",
        output,
        "--virtual-cluster",
        virtual_cluster.name,
        "--format",
        "jsonl",
        "--s3-logs",
        "s3://logs/emr",
    )
    with mxspark.start("mxspark", "submit", "emr", *flags, environment=moto.environment) as running:
        run = wait_for(lambda: moto.job_runs(virtual_cluster.id))[0]
        for state in ("PENDING", "SUBMITTED", "RUNNING"):
            if state == "RUNNING":
                moto.make_plan(output, images=10, shard_size=2)
                moto.put(f"{output}/part-000000.jsonl", b"")
            moto.set_state(run, state)
            running.wait_for(f"Job run {run.id}: {state}")
        running.wait_for("1 of 5 shards are done")
        for shard in range(1, 5):
            moto.put(f"{output}/part-{shard:06}.jsonl", b"")
        moto.put(f"{output}/_SUCCESS", b"")
        moto.set_state(run, "COMPLETED")
        done = running.wait().succeeded()

    told = [line[9:] for line in done.errors.splitlines()]
    assert any(line.startswith(f"Job run {run.id} (mxspark-") for line in told)
    states = [
        line.removeprefix(f"Job run {run.id}: ").split(" ")[0]
        for line in told
        if line.startswith(f"Job run {run.id}: ")
    ]
    assert states[-3:] == ["SUBMITTED", "RUNNING", "COMPLETED"]
    assert "5 of 5 shards are done" in told
    assert any(f"s3://logs/emr/{virtual_cluster.id}/jobs/{run.id}/containers/" in line for line in told)
    assert all(re.match(r"\d\d:\d\d:\d\d |  aws emr ", line) for line in done.errors.splitlines())
    assert f"--emr-containers-config JobRunId={run.id}" in done.errors
    sent = json.loads(json.dumps(run.job_driver))["sparkSubmitJobDriver"]
    assert sent["entryPoint"] == "local:///opt/mxspark/infer_main.py"


def test_the_job_run_s_id_is_told_although_aws_does_not_describe_it(
    submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    moto.describes = 0
    done = submit("--detach", "--s3-logs", "s3://logs/emr", "--set", "output.submission=nightly").succeeded()
    run = moto.job_runs(virtual_cluster.id)[0]
    assert done.output == f"{run.id}\n"
    assert f"s3://logs/emr/{virtual_cluster.id}/jobs/{run.id}/containers/" in done.errors
    assert "nothing was started" not in done.errors


@pytest.mark.parametrize("described", [0, 1])
def test_a_job_that_can_no_longer_be_asked_about_goes_on(
    submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster, described: int
) -> None:
    moto.describes = described
    done = submit().ended_with(1)
    run = moto.job_runs(virtual_cluster.id)[0]
    assert f"job run {run.id} keeps running, but can't be followed any more" in done.errors
    assert "is not allowed" in done.errors
    assert f"mxspark follow {run.id} --virtual-cluster {virtual_cluster.id}" in done.errors


def test_a_submission_that_gives_an_old_run_back_says_so(
    submit: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch, virtual_cluster: VirtualCluster
) -> None:
    ended = JobRun.of({"id": "0" * 19, "virtualClusterId": virtual_cluster.id, "state": "FAILED"})
    monkeypatch.setattr(job_runs, "describe", lambda *_: ended)
    assert "nothing was started" in submit("--detach", "--set", "output.submission=nightly").succeeded().errors
    assert "nothing was started" not in submit("--detach").succeeded().errors


def test_ctrl_c_while_it_is_started_says_where_to_look(
    submit: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch, virtual_cluster: VirtualCluster
) -> None:
    def interrupted(*_: object) -> JobRun:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "start", interrupted)
    done = submit("--name", "photos").ended_with(130)
    look = f"aws emr-containers list-job-runs --virtual-cluster-id {virtual_cluster.id} --region {REGION}"
    assert f"was started: {look} --query \"jobRuns[?name=='photos']\"" in done.errors


def test_the_commands_that_are_told_work_in_the_job_run_s_region(
    submit: Callable[..., Finished], here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    elsewhere: dict[str, str | None] = {"AWS_REGION": "us-west-2"}
    done = submit("--detach", "--region", REGION, environment=elsewhere).succeeded()
    told = re.findall(r"mxspark (status|follow|cancel) (.*)", done.errors)
    assert [command for command, _ in told] == ["status", "follow", "cancel"]
    for command, where in (("status", told[0][1]), ("cancel", f"{told[2][1]} --yes"), ("follow", told[1][1])):
        shown = here(command, *where.split(), environment=moto.environment | elsewhere)
        assert "no virtual cluster" not in shown.errors
        assert shown.code == (1 if command == "follow" else 0)  # it was cancelled
    assert "keeps no log" in here("logs", *told[0][1].split(), environment=moto.environment | elsewhere).errors


def test_a_cluster_may_be_named_as_if_it_were_an_id(moto: Moto, submit: Callable[..., Finished]) -> None:
    name = f"{uuid4().hex[:20]}abcde"
    provider = {"type": "EKS", "id": "vision", "info": {"eksInfo": {"namespace": name}}}
    cluster = moto.client("emr-containers").create_virtual_cluster(name=name, containerProvider=provider)["id"]
    done = submit("--detach", virtual_cluster=name).succeeded()
    assert [run.id for run in moto.job_runs(cluster)] == [done.output.strip()]


def test_what_is_needed_first_is_asked_for_first(submit: Callable[..., Finished]) -> None:
    for more in ((), ("--dry-run",)):
        done = submit(*more, virtual_cluster=None, environment={"AWS_REGION": None}).ended_with(2)
        assert "no virtual cluster is given" in done.errors


def test_the_same_submission_is_the_same_request(submit: Callable[..., Finished]) -> None:
    one, again = (
        json.loads(submit("--dry-run", "--set", "output.submission=nightly").succeeded().output) for _ in range(2)
    )
    assert one == again
    assert one["name"] == "mxspark-nightly"


def test_a_dry_run_with_a_job_template_says_what_is_to_be_filled_in(submit: Callable[..., Finished]) -> None:
    flags = ("--job-template", "photos", "--tag", "owner=O'Neill", "--set", "emr.staging=s3://results/staging")
    done = submit("--dry-run", *flags).succeeded()
    assert json.loads(done.output)["jobTemplateId"] == "TEMPLATE"
    told = next(line for line in done.errors.splitlines() if "Replace TEMPLATE" in line)
    made = json.loads(shlex.split(told.partition("this prints: ")[2])[-1])
    assert complaints(made, "CreateJobTemplate") == []
    assert made["jobTemplateData"]["jobTags"] == {"owner": "O'Neill"}


def detached(submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster, *more: str) -> Any:
    """A job run that was started; moto's object."""
    done = submit("--detach", "--s3-logs", "s3://logs/emr", *more).succeeded()
    run = next(run for run in moto.job_runs(virtual_cluster.id) if run.id == done.output.strip())
    assert f"mxspark status {run.id} --virtual-cluster {virtual_cluster.id}" in done.errors
    return run


@pytest.mark.parametrize(
    ("log", "details", "code", "told"),
    [
        (
            logs.WRONG_MODEL,
            "JobRun failed. Please refer logs uploaded to S3/CloudWatch based on your monitoring configuration.",
            2,
            ["Error: job run ", "s3://models/lite0: no model here", "\nName the folder of a bundle"],
        ),
        (
            logs.TOO_MANY_FAILED,
            "JobRun failed.",
            3,
            ["3 of 4 images failed", "\nFor example bad1.png", "\nFix them and add --retry-failed"],
        ),
        (
            {"stderr": "java.lang.Error\n"},
            "Pod failed: OOMKilled",
            1,
            ["USER_ERROR: Pod failed: OOMKilled", "spark.driver_memory_overhead"],
        ),
    ],
    ids=["wrong model", "too many failed", "out of memory"],
)
def test_a_failed_job_run_ends_with_the_driver_s_exit_code_and_the_end_of_its_log(
    submit: Callable[..., Finished], here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster,
    log: dict[str, str], details: str, code: int, told: list[str],
) -> None:  # fmt: skip
    run = detached(submit, moto, virtual_cluster)
    moto.put_logs("s3://logs/emr", run, log)
    moto.set_state(run, "FAILED", details, "USER_ERROR")

    done = here("follow", run.id, "--virtual-cluster", virtual_cluster.name, environment=moto.environment).ended_with(
        code
    )

    assert done.output.splitlines() == log["stderr"].splitlines() + log.get("stdout", "").splitlines()[-20:]
    assert all(words in done.errors for words in told)
    assert driver_log.exit_code([done.errors.splitlines()[-1]]) is None  # that line is no hint
    assert "Traceback" not in done.errors


def test_where_the_driver_could_not_say_its_exit_code_the_pod_that_submitted_it_does(
    submit: Callable[..., Finished], here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(follower, "LOG_SECONDS", 0.0)
    run = detached(submit, moto, virtual_cluster)
    moto.put_logs("s3://logs/emr", run, logs.TERMINATED)
    moto.put_logs("s3://logs/emr", run, logs.SUBMITTER, f"{run.id}-abcde")
    moto.set_state(run, "FAILED", "JobRun failed.", "USER_ERROR")

    done = here("follow", run.id, environment=moto.environment).ended_with(3)
    assert "Predicting 1,797 images" in done.output
    assert "container name" not in done.output


def test_the_newest_of_several_drivers_counts(
    submit: Callable[..., Finished], here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    run = detached(submit, moto, virtual_cluster)
    moto.put_log("s3://logs/emr", run, "the first\n", f"spark-1/spark-{run.id}-driver-aaa")
    time.sleep(1.1)
    moto.put_log("s3://logs/emr", run, "the second\n", f"spark-2/spark-{run.id}-driver-bbb")
    moto.put_log("s3://logs/emr", run, "an executor\n", "spark-2/mxspark-exec-1")

    shown = here("logs", run.id, "--virtual-cluster", virtual_cluster.id, environment=moto.environment).succeeded()

    assert shown.output == "the second\n"


def test_logs_from_cloudwatch(
    submit: Callable[..., Finished], here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    group = f"/emr/{virtual_cluster.name}"
    moto.client("logs").create_log_group(logGroupName=group)
    done = submit("--detach", "--log-group", group, "--log-prefix", "vision").succeeded()
    id_ = done.output.strip()
    stream = f"vision/{virtual_cluster.id}/jobs/{id_}/containers/spark-1/spark-{id_}-driver/stderr"
    moto.client("logs").create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [
        {"timestamp": now, "message": "one"},
        {"timestamp": now + 1, "message": '{"message":"say \\"two\\"\\u0021","time":"2026"}'},
    ]
    moto.client("logs").put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    assert here("logs", id_, environment=moto.environment).succeeded().output == 'one\nsay "two"!\n'
    assert here("logs", id_, "--tail", "1", environment=moto.environment).succeeded().output == 'say "two"!\n'


def test_a_job_run_that_emr_calls_complete_without_a_table_is_no_success(
    submit: Callable[..., Finished], here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    run = detached(submit, moto, virtual_cluster)
    moto.put_logs("s3://logs/emr", run, logs.WRONG_MODEL)
    moto.set_state(run, "COMPLETED")

    done = here("follow", run.id, environment=moto.environment).ended_with(2)
    assert "no model here: it has no model.yaml and no file ending in symbol.json\nName the folder" in done.errors


def test_status_says_how_a_job_run_is(
    submit: Callable[..., Finished],
    here: Callable[..., Finished],
    moto: Moto,
    virtual_cluster: VirtualCluster,
    output: str,
) -> None:
    run = detached(submit, moto, virtual_cluster, "--format", "jsonl")
    moto.make_plan(output, images=10, shard_size=5)
    moto.put(f"{output}/part-000001.jsonl", b"")

    shown = here("status", run.id, environment=moto.environment).succeeded().output
    assert "RUNNING" in shown
    assert "1 of 2 shards are done" in shown
    assert output in shown
    moto.set_state(
        run,
        "FAILED",
        "JobRun timed out before it started running due to lack of cluster resources.",
        "CLUSTER_UNAVAILABLE",
    )
    told = json.loads(
        here("status", run.id, "--virtual-cluster", virtual_cluster.id, "--json", environment=moto.environment)
        .succeeded()
        .output
    )
    assert (told["state"], told["failureReason"], told["output"]) == ("FAILED", "CLUSTER_UNAVAILABLE", output)
    assert "emr.start_seconds" in told["trouble"]["hint"]
    assert told["ui"][0].endswith(f"/virtualclusters/{virtual_cluster.id} --emr-containers-config JobRunId={run.id}")
    assert told["logs"]["s3"] == f"s3://logs/emr/{virtual_cluster.id}/jobs/{run.id}/containers/"


def test_cancel_asks_and_cancels(
    submit: Callable[..., Finished], here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    run = detached(submit, moto, virtual_cluster)

    assert "no terminal to answer on" in here("cancel", run.id, environment=moto.environment).ended_with(2).errors
    assert run.state == "RUNNING"
    here("cancel", run.id, "--yes", environment=moto.environment).succeeded()
    assert run.state == "CANCELLED"
    assert "is CANCELLED already" in here("cancel", run.id, "--yes", environment=moto.environment).ended_with(2).errors
    done = here("follow", run.id, environment=moto.environment).ended_with(1)
    assert "it was cancelled" in done.errors


@pytest.mark.parametrize(
    ("answer", "told", "state"),
    [
        ("leave\n", "keeps running", "RUNNING"),
        ("cancel\n", "is being cancelled", "CANCELLED"),
        (CTRL_C, "keeps running", "RUNNING"),
    ],
    ids=["leave", "cancel", "again"],
)
def test_ctrl_c_asks_whether_to_leave_the_job_run_or_to_cancel_it(
    moto: Moto, virtual_cluster: VirtualCluster, output: str, tmp_path: Path, answer: str, told: str, state: str
) -> None:
    command = ("submit", "emr", *JOB, "--output", output, "--virtual-cluster", virtual_cluster.id)
    with Terminal("mxspark", *command, environment=environment_without_aws(tmp_path) | moto.environment) as terminal:
        terminal.wait_for(": RUNNING")
        terminal.type(CTRL_C)
        terminal.wait_for("[leave/cancel]")
        terminal.insist(answer, told)
        assert terminal.end() == 130

    run = moto.job_runs(virtual_cluster.id)[0]
    assert f"job run {run.id} {told}" in terminal.said
    assert ("mxspark cancel" in terminal.said) == (state == "RUNNING")
    assert "the same command" not in terminal.said
    assert run.state == state


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_where_nobody_can_be_asked_leaves_the_job_running(
    mxspark: Command, moto: Moto, virtual_cluster: VirtualCluster, output: str, number: signal.Signals, code: int
) -> None:
    flags = (*JOB, "--output", output, "--virtual-cluster", virtual_cluster.id)
    with mxspark.start("mxspark", "submit", "emr", *flags, environment=moto.environment) as running:
        run = wait_for(lambda: moto.job_runs(virtual_cluster.id))[0]
        running.wait_for(f"Job run {run.id}: ")
        running.process.send_signal(number)
        done = running.wait().ended_with(code)

    assert f"job run {run.id} keeps running" in done.errors
    assert f"mxspark cancel {run.id} --virtual-cluster {virtual_cluster.id} --region {REGION}" in done.errors
    assert "the same command" not in done.errors
    assert run.state == "RUNNING"


def test_overwriting_is_asked_about(
    submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    assert "no terminal to answer on" in submit("--overwrite").ended_with(2).errors
    assert moto.job_runs(virtual_cluster.id) == []


NO_CREDENTIALS: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
BAD_INPUT: list[tuple[tuple[str, ...], dict[str, str | None], str | None, str, str]] = [
    ((), NO_CREDENTIALS, "own", "no AWS credentials found", "aws sso login"),
    ((), {"AWS_PROFILE": "nobody", **NO_CREDENTIALS}, "own", "nobody", "list-profiles"),
    ((), {"AWS_REGION": None}, "own", "no AWS region is given", "--region"),
    ((), {"AWS_REGION": ""}, "own", "no AWS region is given", "--region"),
    (("--region", "us-west-2"), {}, "own", "in region us-west-2", "--region"),
    (("--region", "Frankfurt"), {}, "own", "emr.region is 'Frankfurt'", "eu-central-1"),
    ((), {}, CLUSTER, f"there is no virtual cluster {CLUSTER} in region eu-central-1", "Running there: "),
    ((), {}, "nobody", "there is no virtual cluster nobody", "--virtual-cluster"),
    ((), {}, None, "no virtual cluster is given", "list-virtual-clusters"),
    (("--release", "emr-7.99.0-latest-x"), {}, "own", "it is not a release", "emr-7.13.0-latest"),
    (("--release", "emr-77.1.0-latest"), {}, "own", "is based on emr-7.13.0", "--release"),
    (("--execution-role", "arn:aws:iam:123456789012:role/x"), {}, "own", "not the ARN of a role", "role/mxspark"),
    (("--context", "gpu"), {}, "own", "spark.executor_gpus is 0", "Set spark.executor_gpus to 1"),
    (("--set", f"spark.conf.spark.x={'ab' * 52_000}"), {}, "own", "spark.conf is too large", "102,400"),
    (
        ("--context", "gpu", "--set", "spark.executor_gpus=1"),
        {},
        "own",
        "MXNet's CPU build",
        "make image-gpu TARGET=emr",
    ),
    (("--release", "emr-7.12.0-latest"), {}, "own", "is based on emr-7.13.0", "EMR_BASE"),
    (("--image", f"{IMAGE}-none"), {}, "own", "ECR has no image", "Push it"),
    (("--tag", "team"), {}, "own", "--tag team lacks a key or a value", "KEY=VALUE"),
    (("--tag", "team="), {}, "own", "--tag team= lacks a key or a value", "KEY=VALUE"),
    (("--tag", "=vision"), {}, "own", "--tag =vision lacks a key or a value", "KEY=VALUE"),
    (("--tag", "aws:x=y"), {}, "own", "(from --tag)", "not begin with aws:"),
    (("--job-template", "my template"), {}, "own", "--job-template is 'my template'", "1 to 64"),
    (
        ("--endpoint-url", "http://user:hunter2@host:1"),
        {},
        "own",
        "expose a secret: storage.endpoint_url",
        "Put it into a Kubernetes Secret",
    ),
    (("--name", "my job"), {}, "own", "--name is 'my job'", "1 to 64"),
]


@pytest.mark.parametrize(("flags", "environment", "chosen", "problem", "hint"), BAD_INPUT)
def test_bad_input_is_one_message_with_the_mend_and_starts_nothing(
    submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster,
    flags: tuple[str, ...], environment: dict[str, str | None], chosen: str | None, problem: str, hint: str,
) -> None:  # fmt: skip
    done = submit(
        *flags, environment=environment, virtual_cluster=virtual_cluster.id if chosen == "own" else chosen
    ).ended_with(2)

    errors = [line for line in done.errors.splitlines() if not re.match(r"\d\d:\d\d:\d\d ", line)]
    assert errors[0].startswith("Error: ")
    assert sum(line.startswith("Error: ") for line in errors) == 1
    assert problem in done.errors
    assert hint in done.errors
    assert "Traceback" not in done.errors
    assert "hunter2" not in done.errors
    assert moto.job_runs(virtual_cluster.id) == []


def test_a_terminated_cluster_takes_no_job(
    submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    moto.client("emr-containers").delete_virtual_cluster(id=virtual_cluster.id)
    for given in (virtual_cluster.id, virtual_cluster.name):
        done = submit(virtual_cluster=given).ended_with(2)
        assert f"virtual cluster {virtual_cluster.name} ({virtual_cluster.id}) is TERMINATED" in done.errors
        assert "It was deleted. Create another" in done.errors


def test_settings_of_a_file_in_s3(submit: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster) -> None:
    moto.put("s3://models/job.yaml", b"top_k: 2\nemr: {retries: 5, tags: {team: vision}}\n")
    request = json.loads(submit("--settings", "s3://models/job.yaml", "--dry-run", "--upload").succeeded().output)
    assert request["retryPolicyConfiguration"] == {"maxAttempts": 6}
    flag, place, *_ = request["jobDriver"]["sparkSubmitJobDriver"]["entryPointArguments"]
    assert flag == "--settings"
    sent = moto.client("s3").get_object(Bucket="results", Key=place.removeprefix("s3://results/"))["Body"].read()
    assert b"top_k: 2" in sent


def test_a_job_run_that_is_not_there(
    here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    unknown = "0000000000000000abc"
    for more in ((), ("--virtual-cluster", virtual_cluster.name)):
        done = here("status", unknown, *more, environment=moto.environment).ended_with(1)
        assert f"job run {unknown}" in done.errors
        assert "--virtual-cluster" in done.errors


def test_a_job_on_kubernetes_may_look_like_a_job_run(
    here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    for environment in ({"AWS_REGION": None}, {}):
        done = here("status", "nightly0000000000ab", environment={**moto.environment, **environment})
        assert done.code in (1, 2)
        assert "nightly0000000000ab looks like a job run's id" in done.errors
        assert "A job on Kubernetes with such a name is found with --namespace" in done.errors


def test_a_name_that_is_no_job_run_s_id(
    here: Callable[..., Finished], moto: Moto, virtual_cluster: VirtualCluster
) -> None:
    done = here("logs", "my-job", "--virtual-cluster", virtual_cluster.name, environment=moto.environment).ended_with(2)
    assert "my-job is not a job run's id" in done.errors
