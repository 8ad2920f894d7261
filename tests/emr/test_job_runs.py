"""States, retries, throttling and errors of AWS's, said by botocore's Stubber, which checks every answer by AWS's
own model.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.exceptions
import botocore.session
import pytest
from botocore.stub import Stubber
from tests.emr import logs
from tests.emr.jobs import CLUSTER, IMAGE, REGION, settings, submission
from tests.recording_listener import Heard

from mxspark.errors import MxsparkError, OutOfSightError, PassingError, Terminated, UsageError
from mxspark.submit.emr import driver_log, images, job, job_runs, virtual_clusters
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.diagnosis import explain
from mxspark.submit.emr.driver_log import DriverLog, LogLocations
from mxspark.submit.emr.follower import Follower
from mxspark.submit.emr.images import ImageFacts
from mxspark.submit.emr.job import EmrJob
from mxspark.submit.emr.job_runs import JobRun
from mxspark.submit.outcome import Outcome
from mxspark.submit.remote_job import JobFlags

RUN = "00000002v0ja9bocni5"
KEPT = {"s3MonitoringConfiguration": {"logUri": "s3://logs/emr"}}
CREATED = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def aws() -> Aws:
    return Aws(boto3.Session("test", "test", region_name=REGION))


@pytest.fixture
def stub(aws: Aws) -> Iterator[Stubber]:
    with Stubber(aws.client("emr-containers")) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def described(state: str, **more: Any) -> dict[str, Any]:
    return {
        "jobRun": {
            "id": RUN,
            "name": "photos",
            "virtualClusterId": CLUSTER,
            "state": state,
            "createdAt": CREATED,
            **more,
        }
    }


def followed(
    aws: Aws, clock: Clock | None = None, *, is_kept: bool = False, logs: bool = False
) -> tuple[Outcome, Heard]:
    heard, clock = Heard(), clock or Clock()
    overrides = {"configurationOverrides": {"monitoringConfiguration": KEPT}} if is_kept else {}
    run = JobRun.of({"id": RUN, "virtualClusterId": CLUSTER, **overrides})
    return Follower(aws, run, heard, logs=logs, sleep=clock.sleep, clock=clock).follow(), heard


def test_each_state_is_told_once_with_the_time_that_it_took(aws: Aws, stub: Stubber) -> None:
    for state in ("PENDING", "PENDING", "SUBMITTED", "RUNNING", "RUNNING"):
        stub.add_response("describe_job_run", described(state), {"id": RUN, "virtualClusterId": CLUSTER})
    stub.add_response("describe_job_run", described("COMPLETED", finishedAt=CREATED + timedelta(seconds=75)))

    ending, heard = followed(aws)

    assert ending.exit_code == 0
    assert heard.notes == [
        f"Job run {RUN}: PENDING", f"Job run {RUN}: SUBMITTED", f"Job run {RUN}: RUNNING", f"Job run {RUN}: COMPLETED "
        "after 1 min 15 s",
        "EMR reports success; the job's settings are unknown, so its output was not checked",
    ]  # fmt: skip


def test_a_driver_that_is_started_again_is_told(aws: Aws, stub: Stubber) -> None:
    for count in (1, 2):
        execution = {
            "retryPolicyExecution": {"currentAttemptCount": count},
            "retryPolicyConfiguration": {"maxAttempts": 3},
        }
        stub.add_response("describe_job_run", described("RUNNING", **execution))
    stub.add_response(
        "describe_job_run", described("FAILED", stateDetails="x", failureReason="USER_ERROR", **execution)
    )

    ending, heard = followed(aws)

    assert "The driver was restarted, attempt 2; it resumes the run" in heard.notes
    assert ending.exit_code == 1
    assert "at the last of 2 attempts" in ending.cause


def test_a_fault_that_passes_does_not_end_the_following(aws: Aws, stub: Stubber) -> None:
    stub.add_response("describe_job_run", described("RUNNING"))
    for code, status in (
        ("ThrottlingException", 400),
        ("InternalServerException", 500),
        ("RequestThrottledException", 429),
    ):
        stub.add_client_error("describe_job_run", code, "slow down", status)
    stub.add_response("describe_job_run", described("COMPLETED"))

    ending, heard = followed(aws)

    assert ending.exit_code == 0
    assert sum("Retrying" in note for note in heard.notes) >= 1


def test_aws_that_stays_away_ends_it_after_half_an_hour_and_rights_that_are_taken_away_at_once(
    aws: Aws, stub: Stubber
) -> None:
    for _ in range(300):
        stub.add_client_error("describe_job_run", "ThrottlingException", "slow down", 400)
    with pytest.raises(OutOfSightError, match="throttles the requests"):
        followed(aws)
    while stub._queue:
        stub._queue.popleft()
    for code, said in (("AccessDeniedException", "not allowed"), ("ExpiredTokenException", "have expired")):
        stub.add_client_error("describe_job_run", code, "no", 403)
        with pytest.raises(OutOfSightError, match=said):
            followed(aws)


def test_a_run_that_the_same_request_started_before_and_that_has_ended_is_known(aws: Aws, stub: Stubber) -> None:
    for state in ("FAILED", "PENDING"):
        stub.add_response("start_job_run", {"id": RUN})
        stub.add_response("describe_job_run", described(state))
        run = job.start(aws, submission("output.submission=nightly"))
        assert EmrJob(aws, run).is_over == (state == "FAILED")


def test_a_run_that_aws_does_not_know_yet_is_asked_about_again_for_a_minute(aws: Aws, stub: Stubber) -> None:
    unknown = ("describe_job_run", "ResourceNotFoundException", f"Job run {RUN} doesn't exist.", 404)
    for _ in range(3):
        stub.add_client_error(*unknown)
    stub.add_response("describe_job_run", described("COMPLETED"))
    assert followed(aws)[0].exit_code == 0

    for _ in range(60):
        stub.add_client_error(*unknown)
    clock = Clock()
    with pytest.raises(OutOfSightError, match="has no job run"):
        followed(aws, clock)
    assert job_runs.POLL_SECONDS < clock.now < 90
    while stub._queue:
        stub._queue.popleft()


@pytest.mark.parametrize(
    ("states", "reason", "seconds"),
    [(["RUNNING"], "USER_ERROR", 90), ([], "USER_ERROR", 90), ([], "VALIDATION_ERROR", 0)],
)
def test_a_log_is_waited_for_where_there_was_a_driver(
    aws: Aws, stub: Stubber, states: list[str], reason: str, seconds: int
) -> None:
    for state in states:
        stub.add_response("describe_job_run", described(state))
    kept = {"configurationOverrides": {"monitoringConfiguration": KEPT}}
    stub.add_response("describe_job_run", described("FAILED", stateDetails="x", failureReason=reason, **kept))
    clock = Clock()
    with Stubber(aws.client("s3")) as s3:
        for _ in range(40):
            s3.add_response("list_objects_v2", {"Contents": []})
        ending, _ = followed(aws, clock, is_kept=True)

    assert ending.exit_code == 1
    assert seconds <= clock.now < seconds + 10


def test_the_log_of_a_run_that_ended_long_ago_is_not_waited_for(aws: Aws, stub: Stubber) -> None:
    ended = {"stateDetails": "x", "failureReason": "USER_ERROR", "finishedAt": CREATED - timedelta(days=9)}
    stub.add_response(
        "describe_job_run", described("FAILED", **ended, configurationOverrides={"monitoringConfiguration": KEPT})
    )
    clock = Clock()
    with Stubber(aws.client("s3")) as s3:
        for _ in range(3):
            s3.add_response("list_objects_v2", {"Contents": []})
        followed(aws, clock, is_kept=True)
    assert clock.now == 0


def test_a_log_is_followed_although_aws_does_not_answer_for_a_while(
    aws: Aws, stub: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    for _ in range(12):
        stub.add_client_error("describe_job_run", "InternalServerException", "boom", 500)
    stub.add_response("describe_job_run", described("COMPLETED"))
    clock, run = (
        Clock(),
        JobRun.of(described("RUNNING", configurationOverrides={"monitoringConfiguration": KEPT})["jobRun"]),
    )
    with Stubber(aws.client("s3")) as s3:
        s3.add_response("list_objects_v2", {"Contents": []})
        for _ in range(6):
            s3.add_client_error("list_objects_v2", "InternalError", "boom", 500)
        for _ in range(14):
            s3.add_response("list_objects_v2", {"Contents": []})
        assert list(EmrJob(aws, run).logs(follow=True, sleep=clock.sleep)) == []


def test_ctrl_c_while_it_waits_for_the_log_of_a_job_that_ended_ends_with_the_job_s_exit_code(
    aws: Aws, stub: Stubber
) -> None:
    kept = {
        "configurationOverrides": {
            "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": "s3://logs/emr"}}
        }
    }
    ended = described("FAILED", stateDetails="The driver failed with exit code 3", failureReason="USER_ERROR", **kept)
    stub.add_response("describe_job_run", ended)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with Stubber(aws.client("s3")) as s3:
        for _ in range(2):
            s3.add_response("list_objects_v2", {"Contents": []})
        ending = Follower(aws, JobRun.of(ended["jobRun"]), Heard(), sleep=interrupted).follow()

    assert ending.exit_code == 3
    assert "it failed" in ending.cause


class Delivered:
    """A driver's log of which EMR delivers more with each reading."""

    def __init__(self, *growing: list[str]) -> None:
        self.readings, self._growing = 0, growing

    def __call__(self, of_submitter: bool = False) -> dict[str, list[str]]:
        self.readings += 1
        return {"driver/stdout": self._growing[min(self.readings, len(self._growing)) - 1]}


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED", "FAILED"])
def test_the_end_of_a_log_which_emr_delivers_after_the_job_s_end_is_shown(
    aws: Aws, stub: Stubber, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    delivered = Delivered(["one"], ["one"], ["one", "two"], ["one", "two", "three"])
    monkeypatch.setattr(DriverLog, "read", delivered)
    kept = {"configurationOverrides": {"monitoringConfiguration": KEPT}}
    for state_ in ("RUNNING", state):
        reason = {"stateDetails": "driver failed with exit code 1", "failureReason": "USER_ERROR"}
        stub.add_response("describe_job_run", described(state_, **kept, **(reason if state_ == "FAILED" else {})))
    _, heard = followed(aws, is_kept=True, logs=True)
    assert heard.lines == ["one", "two", "three"]

    delivered.readings = 0
    stub.add_response("describe_job_run", described(state))
    run, clock = JobRun.of(described("RUNNING", **kept)["jobRun"]), Clock()
    assert list(EmrJob(aws, run).logs(follow=True, sleep=clock.sleep)) == ["one", "two", "three"]
    assert clock.now <= 90


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Terminated])
@pytest.mark.parametrize(("state", "code"), [("COMPLETED", 0), ("FAILED", 3)])
def test_a_signal_during_the_wait_for_the_end_of_a_log_ends_only_that(
    aws: Aws,
    stub: Stubber,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
    state: str,
    code: int,
) -> None:
    delivered = Delivered([])
    monkeypatch.setattr(DriverLog, "read", delivered)
    kept = {"configurationOverrides": {"monitoringConfiguration": KEPT}}
    details = {"stateDetails": "The driver failed with exit code 3", "failureReason": "USER_ERROR"}
    ended = described(state, **kept, **(details if state == "FAILED" else {}))
    slept = []

    def interrupted(seconds: float) -> None:
        slept.append(seconds)
        raise kind

    for shown in (False, True):
        stub.add_response("describe_job_run", ended)
        run = JobRun.of(ended["jobRun"])
        assert Follower(aws, run, Heard(), logs=shown, sleep=interrupted).follow().exit_code == code
    assert len(slept) == (1 if state == "COMPLETED" else 2)  # signals are ignored after the first


def test_a_log_in_cloudwatch_is_not_read_without_end(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_log, "MOST_PAGES", 2)
    with Stubber(aws.client("logs")) as stubber:
        for number in range(2):
            page = {"events": [{"message": "x" * 60}], "nextForwardToken": f"f/{number}"}
            stubber.add_response("get_log_events", page)
        assert LogLocations(RUN, None, "/emr", "a").read(aws, "a/stdout") == ["x" * 60] * 2


def test_a_log_is_not_read_at_each_look_at_the_job(aws: Aws, stub: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading is of all of it."""
    delivered = Delivered(["one"])
    monkeypatch.setattr(DriverLog, "read", delivered)
    for _ in range(20):  # 2 s after each other
        stub.add_response("describe_job_run", described("RUNNING"))
    stub.add_response("describe_job_run", described("COMPLETED", finishedAt=CREATED))
    followed(aws, is_kept=True, logs=True)
    assert delivered.readings <= 5


def test_spark_s_pages_are_opened_by_commands_that_aws_knows(aws: Aws, stub: Stubber) -> None:
    cluster = f"arn:aws:emr-containers:{REGION}:123456789012:/virtualclusters/{CLUSTER}"
    kept = {"configurationOverrides": {"monitoringConfiguration": {"persistentAppUI": "ENABLED"}}}
    for state in ("RUNNING", "COMPLETED"):
        stub.add_response("describe_job_run", described(state, arn=f"{cluster}/jobruns/{RUN}", **kept))

    _, heard = followed(aws)

    told = next(note for note in heard.notes if note.startswith("Spark's web UI"))
    assert f"--target-resource-arn {cluster} --emr-containers-config JobRunId={RUN}" in told
    model = botocore.session.Session().get_service_model("emr")
    for line, operation in zip(
        told.splitlines()[1:], ("CreatePersistentAppUI", "GetPersistentAppUIPresignedURL"), strict=True
    ):
        flags = set(re.findall(r"--([a-z-]+)", line)) - {"region"}
        shape = model.operation_model(operation).input_shape
        assert f"aws emr {botocore.xform_name(operation, '-')} " in line
        assert flags <= {botocore.xform_name(member, "-") for member in shape.members}
        assert {botocore.xform_name(member, "-") for member in shape.required_members} <= flags


def test_what_a_job_template_leaves_open_is_not_taken_for_a_place() -> None:
    words = ["--settings", "s3://staging/settings.yaml", "--output", "${Output}", "--set", "${Submission}", "--yes"]
    run = JobRun.of(
        {"id": RUN, "virtualClusterId": CLUSTER, "jobDriver": {"sparkSubmitJobDriver": {"entryPointArguments": words}}}
    )
    assert run.settings() is None


def test_a_job_that_waits_long_says_why_it_may(aws: Aws, stub: Stubber) -> None:
    for _ in range(60):
        stub.add_response("describe_job_run", described("SUBMITTED"))
    stub.add_response("describe_job_run", described("CANCELLED", stateDetails="JobRun CANCELLED successfully."))

    ending, heard = followed(aws)

    assert any("Still waiting for its pods after 3 min" in note for note in heard.notes)
    assert (ending.exit_code, ending.cause) == (1, "it was cancelled (JobRun CANCELLED successfully.)")


@pytest.mark.parametrize(
    ("reason", "details", "hint"),
    [
        ("USER_ERROR", "Failed to pull image: ErrImagePull", "--image"),
        ("USER_ERROR", "Back-off pulling image x: ImagePullBackOff", "--image"),
        ("VALIDATION_ERROR", "not authorized to perform: sts:AssumeRoleWithWebIdentity", "update-role-trust-policy"),
        ("USER_ERROR", "Access Denied (Service: Amazon S3; Status Code: 403)", "docs/emr.md has the policy"),
        (
            "CLUSTER_UNAVAILABLE",
            "JobRun timed out before it started running due to lack of cluster resources.",
            "emr.start_seconds",
        ),
        ("USER_ERROR", "0/3 nodes are available: 3 Insufficient memory", "larger nodes"),
        ("USER_ERROR", 'pods "x" is forbidden: exceeded quota: emr', "quota of the namespace"),
        ("USER_ERROR", "Forbidden: exceeded quota: compute, requested: cpu=4", "quota of the namespace"),
        ("VALIDATION_ERROR", "Maximum number of active job runs reached", "quota of the namespace or of AWS"),
        ("USER_ERROR", "The quota of vCPUs is used up", "quota of the namespace"),
        (
            "CLUSTER_UNAVAILABLE",
            'jobs.batch is forbidden: User "emr-containers" cannot create resource',
            "iamidentitymapping",
        ),
        ("USER_ERROR", 'pods is forbidden: User "system:serviceaccount:a:b" cannot list', "A permission is missing"),
        ("USER_ERROR", "exec /usr/bin/entrypoint.sh: exec format error", "another architecture"),
        ("USER_ERROR", "NoSuchBucket: The specified bucket does not exist", "emr.s3_logs"),
        (
            "USER_ERROR",
            "(InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: No OpenIDConnect provider "
            "found in your account",
            "associate-iam-oidc-provider",
        ),
        ("VALIDATION_ERROR", "Role arn:aws:iam::1:role/x does not exist or is not assumable", "--execution-role"),
        ("USER_ERROR", "java.io.IOException: No space left on device", "disk is full"),
        ("USER_ERROR", "Not enough capacity: the container ended with exit code 137", "spark.driver_memory_overhead"),
        ("USER_ERROR", "There is no capacity", "larger nodes"),
        ("USER_ERROR", "Executor pod template validation failed.", "kubernetes.executor.template"),
        ("USER_ERROR", "Driver pod failed with exit code 137", "spark.driver_memory_overhead"),
        # As AWS's guide has them, "Common errors when running jobs" and "Troubleshooting jobs that use
        # PersistentVolumeClaims".
        ("CLUSTER_UNAVAILABLE", "Cluster my-eks does not have sufficient resources.", "larger nodes"),
        ("CLUSTER_UNAVAILABLE", "cluster timeout", "emr.start_seconds"),
        ("CLUSTER_UNAVAILABLE", "Cluster my-eks does not have sufficient permissions.", "access entries"),
        ("CLUSTER_UNAVAILABLE", "Cluster my-eks does not exist.", "aws eks describe-cluster"),
        ("CLUSTER_UNAVAILABLE", "Cluster my-eks is currently not reachable.", "aws eks describe-cluster"),
        ("VALIDATION_ERROR", "Classification emr-job-submitter not supported.", "emr.submitter"),
        (
            "VALIDATION_ERROR",
            "Virtual cluster state TERMINATED is not valid to create resource JobRun.",
            "--virtual-cluster",
        ),
        (
            "USER_ERROR",
            'persistentvolumeclaims is forbidden: User "system:serviceaccount:emr:emr-containers-sa-x" cannot create '
            "resource",
            "kubernetes.local_directory.storage_class",
        ),
        (
            "USER_ERROR",
            'User "x" cannot patch resource "persistentvolumeclaims" in API group "" in the namespace',
            "docs/emr.md",
        ),
        ("USER_ERROR", 'persistentvolumeclaims "x" is forbidden: exceeded quota: emr', "quota of the namespace"),
        (
            "USER_ERROR",
            "Error occurred during initialization of VM Multiple garbage collectors selected",
            "extraJavaOptions",
        ),
        ("CLUSTER_UNAVAILABLE", 'JobRun failed: namespaces "vision" not found', "another virtual cluster"),
        ("INTERNAL_ERROR", "", "support"),
        ("USER_ERROR", "JobRun failed. Please refer logs", "log says why"),
    ],
)
def test_what_aws_says_of_a_failure_has_a_mend(reason: str, details: str, hint: str) -> None:
    found = explain(reason, details)
    assert found.cause.startswith(reason)
    assert hint in found.hint


def test_the_log_is_read_where_aws_s_words_say_nothing() -> None:
    refused = 'Exception in thread "main": Field container.command in Spark main container not allowed but specified.'
    found = explain("USER_ERROR", "JobRun failed.", ["26/11/23 INFO x", refused, "more"])
    assert "Field container.command" in found.cause
    assert "docs/emr.md" in found.hint


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        (["26/11/23 04:00:01 INFO MemoryStore: MemoryStore started with capacity 413.9 MiB"], "The log says why."),
        (
            ["26/11/23 04:00:01 INFO S3: Access Denied, trying the other region", "26/11/23 04:00:02 WARN x"],
            "The log says why.",
        ),
        (
            ["26/11/23 04:00:01 WARN S3: Access Denied", "26/11/23 04:00:09 ERROR Executor: exit code 137"],
            "spark.executor_memory_overhead",
        ),
        (
            ["26/11/23 04:00:01 ERROR Executor: exit code 137", "26/11/23 04:00:09 INFO S3: Access Denied"],
            "spark.executor_memory_overhead",
        ),
        (["26/11/23 04:00:01 ERROR S3: Access Denied (Status 403)", "no capacity"], "A permission is missing"),
    ],
)
def test_of_a_log_only_lines_about_trouble_count_the_last_first(lines: list[str], hint: str) -> None:
    assert hint in explain("USER_ERROR", "JobRun failed.", lines).hint


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([*logs.WRONG_MODEL["stderr"].splitlines(), *logs.WRONG_MODEL["stdout"].splitlines()], 2),
        ([*logs.TOO_MANY_FAILED["stdout"].splitlines(), "The driver's pod failed with exit code 1"], 3),
        (logs.TERMINATED["stdout"].splitlines(), None),
        (logs.SUBMITTER["stderr"].splitlines(), 3),
        (["x", "org.apache.spark.SparkUserAppException: User application exited with 2", "at x"], 2),
        (["\t container name: spark-kubernetes-driver", "\t container state: terminated", "\t exit code: 3"], 3),
        (["\t container name: spark-kubernetes-executor", "\t exit code: 3"], None),
        (["The driver's pod failed with exit code 1"], 1),
        (["User application exited with 2", "26/11/23 ERROR x: The executor with id 4 exited with exit code 3"], 2),
        (["26/11/23 ERROR x: The executor with id 4 exited with exit code 3(unknown)."], None),
        (["26/11/23 WARN x: the driver lost executor 4: exit code 3"], None),
        (["nothing"], None),
    ],
)
def test_the_driver_s_exit_code_is_found_in_its_log(lines: list[str], code: int | None) -> None:
    assert driver_log.exit_code(lines) == code


def raised_by_boto3(*families: type[Exception]) -> list[type[Exception]]:
    """All errors of botocore's that are, or derive from, one of these."""
    found = [kind for kind in vars(botocore.exceptions).values() if isinstance(kind, type)]
    return sorted({kind for kind in found if issubclass(kind, families)}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize(
    "kind", raised_by_boto3(botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError)
)
def test_a_network_that_is_gone_in_whatever_way_may_come_back(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Exception]
) -> None:
    def gone(**_asked: Any) -> None:
        raise kind(endpoint_url="https://there", proxy_url="http://proxy", error="gone")

    monkeypatch.setattr(aws.client("emr-containers"), "describe_job_run", gone)
    with pytest.raises(PassingError, match="looking for job run") as failed:
        job_runs.describe(aws, CLUSTER, RUN)
    assert failed.value.hint.startswith("Check the network")


@pytest.mark.parametrize(
    "kind",
    raised_by_boto3(botocore.exceptions.SSOError, botocore.exceptions.LoginError, botocore.exceptions.NoAuthTokenError),
)
def test_a_session_that_has_expired_is_to_be_begun_again(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Exception]
) -> None:
    def expired(**_asked: Any) -> None:
        raise kind(error_msg="expired")

    monkeypatch.setattr(aws.client("emr-containers"), "describe_job_run", expired)
    with pytest.raises(UsageError, match="credentials can't be used") as failed:
        job_runs.describe(aws, CLUSTER, RUN)
    assert failed.value.hint.startswith("Log in again")


@pytest.mark.parametrize(
    ("code", "status", "kind", "hint"),
    [
        ("ExpiredTokenException", 403, UsageError, "Log in again"),
        ("UnrecognizedClientException", 403, UsageError, "right region"),
        ("InvalidSignatureException", 403, UsageError, "Log in again"),
        ("AccessDeniedException", 403, NotAllowedError, "docs/emr.md"),
        ("ThrottlingException", 400, PassingError, "in a minute"),
        ("InternalServerException", 500, PassingError, "later"),
        ("ResourceNotFoundException", 404, UsageError, "region"),
        ("ValidationException", 400, UsageError, "doctor emr"),
        ("ServiceQuotaExceededException", 402, UsageError, "Wait for others to end"),
    ],
)
def test_what_aws_refuses_to_start_is_told_with_the_mend(
    aws: Aws,
    stub: Stubber,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    status: int,
    kind: type[MxsparkError],
    hint: str,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    stub.add_client_error("start_job_run", code, "because", status)
    if kind is PassingError:
        for _ in range(5):
            stub.add_client_error("start_job_run", code, "because", status)
    with pytest.raises(kind) as refused:
        job.start(aws, submission())
    assert "starting the job run" in refused.value.problem
    assert hint in refused.value.hint
    while stub._queue:  # the client's own tries
        stub._queue.popleft()


def test_who_may_not_start_the_job_run_is_told_which_right_and_whose(aws: Aws, stub: Stubber) -> None:
    said = (
        "User: arn:aws:iam::1:user/x is not authorized to perform: emr-containers:StartJobRun on resource: y with an "
        "explicit deny"
    )
    stub.add_client_error("start_job_run", "AccessDeniedException", said, 403)
    with pytest.raises(NotAllowedError) as refused:
        job.start(aws, submission())
    assert refused.value.hint.startswith("You lack a permission, not the execution role: emr-containers:StartJobRun")
    assert "emr-containers:ExecutionRoleArn" in refused.value.hint
    assert "your own account" in refused.value.hint


def test_a_role_that_is_not_there_is_told_in_one_line_with_its_own_mend(aws: Aws, stub: Stubber) -> None:
    stub.add_client_error(
        "start_job_run", "ValidationException", "Role arn:aws:iam::1:role/x does not exist\nor is not assumable.", 400
    )
    with pytest.raises(UsageError) as refused:
        job.start(aws, submission())
    assert "\n" not in refused.value.problem
    assert "--execution-role" in refused.value.hint


def test_a_start_that_is_tried_again_has_the_same_token(
    aws: Aws, stub: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    asked = submission()
    answer = {"id": RUN, "name": "photos", "virtualClusterId": CLUSTER}
    stub.add_response("start_job_run", answer, asked.request)
    stub.add_response("start_job_run", answer, asked.request)
    assert job.start(aws, asked) == job.start(aws, submission())


def template_answer(data: dict[str, Any], name: str = "photos") -> dict[str, Any]:
    return {"id": "0000000abc", "name": name, "jobTemplateData": data}


def test_a_job_template_is_made_where_there_is_none_and_used(aws: Aws, stub: Stubber) -> None:
    asked = submission(job_template="photos", emr__staging="s3://staging")
    assert asked.template is not None
    stub.add_response("list_job_templates", {"templates": []})
    stub.add_response("create_job_template", {"id": "0000000abc", "name": "photos"}, asked.template)
    stub.add_response("start_job_run", {"id": RUN}, {**asked.request, "jobTemplateId": "0000000abc"})
    assert job.start(aws, asked).id == RUN


def test_a_job_template_that_is_there_is_used_and_one_that_says_something_else_is_refused(
    aws: Aws, stub: Stubber
) -> None:
    asked = submission(job_template="photos", emr__staging="s3://staging")
    other = submission("spark.executors=7", job_template="photos", emr__staging="s3://staging")
    assert asked.template is not None
    stub.add_response("list_job_templates", {"templates": [template_answer(asked.template["jobTemplateData"])]})
    stub.add_response("start_job_run", {"id": RUN}, {**asked.request, "jobTemplateId": "0000000abc"})
    assert job.start(aws, asked).id == RUN
    stub.add_response("list_job_templates", {"templates": [template_answer(asked.template["jobTemplateData"])]})
    with pytest.raises(UsageError, match="is another") as refused:
        job.start(aws, other)
    assert "spark.executor.instances=7" in refused.value.problem


def test_two_clusters_of_one_name(aws: Aws, stub: Stubber) -> None:
    clusters = [{"id": f"{number}b0qvauoy3ch1nqodkk4hkw2t", "name": "vision", "state": "RUNNING"} for number in (1, 2)]
    stub.add_response("list_virtual_clusters", {"virtualClusters": clusters})
    with pytest.raises(UsageError, match="2 virtual clusters are called vision"):
        virtual_clusters.find(aws, "vision")
    ended = {**clusters[0], "state": "TERMINATED"}
    stub.add_response("list_virtual_clusters", {"virtualClusters": [ended, clusters[1]]})
    assert virtual_clusters.find(aws, "vision").id == clusters[1]["id"]


def test_a_job_run_that_is_not_there(aws: Aws, stub: Stubber) -> None:
    stub.add_client_error("describe_job_run", "ResourceNotFoundException", "Job run doesn't exist.", 404)
    with pytest.raises(NotThereError, match=f"has no job run {RUN}"):
        job_runs.describe(aws, CLUSTER, RUN)


@pytest.mark.parametrize(
    ("code", "said"), [("ValidationException", "AWS rejects it: because"), ("ServiceQuotaExceededException", "because")]
)
def test_a_job_run_that_may_be_there_is_not_said_to_be_missing(aws: Aws, stub: Stubber, code: str, said: str) -> None:
    stub.add_client_error("describe_job_run", code, "because", 400)
    with pytest.raises(UsageError, match=said) as refused:
        job_runs.describe(aws, CLUSTER, RUN)
    assert "has no job run" not in refused.value.problem


def test_a_job_run_is_looked_for_past_clusters_that_may_not_be_asked_and_in_arrested_ones(
    aws: Aws, stub: Stubber
) -> None:
    clusters = [
        {"id": f"{number}b0qvauoy3ch1nqodkk4hkw2t", "name": f"vision-{number}", "state": "RUNNING"} for number in (1, 2)
    ]
    for answer in (described("RUNNING"), None):
        stub.add_response("list_virtual_clusters", {"virtualClusters": clusters}, {"states": ["RUNNING", "ARRESTED"]})
        stub.add_client_error("describe_job_run", "AccessDeniedException", "no", 403)
        if answer is not None:
            stub.add_response("describe_job_run", answer)
            assert job_runs.find(aws, None, RUN).id == RUN
        else:
            stub.add_client_error("describe_job_run", "ResourceNotFoundException", "no", 404)
            with pytest.raises(NotThereError, match="that you may read has a job run"):
                job_runs.find(aws, None, RUN)


def test_a_start_that_may_have_come_through_says_which_name_to_look_for(
    aws: Aws, stub: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    stub.add_client_error("start_job_run", "InternalServerException", "boom", 500)
    with pytest.raises(PassingError) as failed:
        job.start(aws, submission(name="photos-7"))
    assert f"list-job-runs --virtual-cluster-id {CLUSTER} --region {REGION} " in failed.value.hint
    assert "[?name=='photos-7']" in failed.value.hint


@pytest.mark.parametrize(
    ("flags", "facts", "problem"),
    [
        ({"context": "gpu", "spark.executor_gpus": 1}, ImageFacts(False, "emr-7.13.0"), "MXNet's CPU build"),
        ({"context": "gpu", "spark.executor_gpus": 1}, ImageFacts(True, "emr-7.13.0"), None),
        ({"emr.release": "emr-7.12.0-latest"}, ImageFacts(False, "emr-7.13.0"), "based on emr-7.13.0"),
        ({"emr.release": "emr-7.13.0-20260101"}, ImageFacts(False, "emr-7.13.0"), None),
        ({}, ImageFacts(False, None), None),
        ({}, None, None),
    ],
)
def test_an_image_that_does_not_fit_the_job_is_refused(
    flags: dict[str, Any], facts: ImageFacts | None, problem: str | None
) -> None:
    given = settings(**{key.replace(".", "__"): value for key, value in flags.items()})
    if problem is None:
        images.check(given, facts)
    else:
        with pytest.raises(UsageError, match=problem):
            images.check(given, facts)


def test_an_image_of_several_processors_is_looked_into(aws: Aws) -> None:
    digest = f"sha256:{'1' * 64}"
    index = json.dumps({"manifests": [{"digest": digest}]})
    manifest = '{"config": {"digest": "sha256:2"}}'
    where = {"registryId": "123456789012", "repositoryName": "mxspark"}
    with Stubber(aws.client("ecr")) as ecr:
        ecr.add_response(
            "batch_get_image", {"images": [{"imageManifest": index}]}, {**where, "imageIds": [{"imageTag": "emr"}]}
        )
        ecr.add_response(
            "batch_get_image",
            {"images": [{"imageManifest": manifest}]},
            {**where, "imageIds": [{"imageDigest": digest}]},
        )
        ecr.add_response("get_download_url_for_layer", {"downloadUrl": "https://there"})
        config = b'{"config": {"Labels": {"org.opencontainers.image.title": "mxspark-gpu"}}}'
        assert images.read(aws, IMAGE, lambda url: config) == ImageFacts(True, None)


@pytest.mark.parametrize(
    "manifest", ["no JSON", "[]", "{}", '{"manifests": []}', '{"config": {}}', '{"config": "x"}', '{"config": null}']
)
def test_an_image_with_an_odd_manifest_is_no_bug_of_ours(aws: Aws, manifest: str) -> None:
    with Stubber(aws.client("ecr")) as ecr:
        ecr.add_response("batch_get_image", {"images": [{"imageManifest": manifest}]})
        with pytest.raises(MxsparkError, match=f"{re.escape(IMAGE)}: its manifest can't be read"):
            images.read(aws, IMAGE)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("photos", JobFlags()),
        ("photos", JobFlags(namespace="a")),
        (RUN, JobFlags(namespace="a")),
        (RUN, JobFlags(kubeconfig="k")),
    ],
)
def test_a_name_that_is_no_job_run_s_or_is_looked_for_in_kubernetes_is_left_to_the_other_kinds(
    name: str, flags: JobFlags
) -> None:
    assert job.resolve(name, flags) is None


def test_a_log_that_is_still_written_to_is_read_as_far_as_it_goes() -> None:
    whole = gzip.compress(b"one\ntwo\n") + gzip.compress(b"three\n")
    assert driver_log.unpacked(whole) == b"one\ntwo\nthree\n"
    assert driver_log.unpacked(whole[:-12]).startswith(b"one\ntwo\n")
    assert driver_log.unpacked(b"plain") == b"plain"
