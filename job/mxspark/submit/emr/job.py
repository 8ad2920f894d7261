"""A job on EMR on EKS: started, shown, followed, cancelled."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mxspark import storage
from mxspark.dataset import plan
from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.settings.job import Settings
from mxspark.storage import Access, open_store
from mxspark.submit.emr import job_runs
from mxspark.submit.emr.aws import Aws, NotThereError
from mxspark.submit.emr.diagnosis import explain, hint_for
from mxspark.submit.emr.driver_log import READ_SECONDS, DriverLog
from mxspark.submit.emr.follower import LOG_SECONDS, Follower, read_progress
from mxspark.submit.emr.job_runs import JobRun, polled
from mxspark.submit.emr.start_job_run import Submission
from mxspark.submit.outcome import Diagnosis, Listener, Outcome
from mxspark.submit.remote_job import JobFlags, RemoteJob, RemoteStatus, Sleep
from mxspark.text import duration

SAME_AGAIN = (
    "AWS returned the job run that the same request started before, and it has ended: nothing was started. "
    "For a new one use another output.submission."
)


def put_objects(submission: Submission, access: Access) -> None:
    """Uploads the objects that the request names. Raises UsageError."""
    hint = "Give a place that you may write and the execution role may read: emr.staging."
    for place, content in submission.objects.items():
        with storage.usage_errors("emr.staging", hint):
            open_store(storage.parent(place), access).write(place.rsplit("/", 1)[-1], content)


def start(aws: Aws, submission: Submission) -> JobRun:
    """Starts the job run, and describes it by its request. Raises UsageError if AWS rejects that."""
    request = dict(submission.request)
    if submission.template is not None:
        request["jobTemplateId"] = _job_template(aws, submission.template)
    try:
        answer = aws.call("emr-containers", "start_job_run", "starting the job run", **request)
    except PassingError as error:
        look = job_runs.list_command(request["virtualClusterId"], request["name"], aws.region)
        raise PassingError(error.problem, f"Check by its name whether it was started: {look}. {error.hint}") from None
    except MxsparkError as error:
        kind = UsageError if isinstance(error, NotThereError) else type(error)
        raise kind(error.problem, hint_for(error.problem) or error.hint) from None
    asked = request if submission.template is None else {**submission.template["jobTemplateData"], **request}
    return JobRun.of({**asked, "id": answer["id"]})


def _job_template(aws: Aws, request: Mapping[str, Any]) -> str:
    """The id of the template of this name, created if there is none. Raises UsageError if it says something else."""
    name, doing = request["name"], f"looking for job template {request['name']}"
    listed = aws.pages("emr-containers", "list_job_templates", "templates", doing)
    found = next((one for one in listed if one["name"] == name), None)
    if found is None:
        found = aws.call("emr-containers", "create_job_template", f"creating the job template {name}", **request)
    elif changes := plan.differences(_plain(found["jobTemplateData"]), _plain(request["jobTemplateData"])):
        raise UsageError(
            f"the job template {name} ({found['id']}) is another. Differences (existing -> requested):\n  "
            + "\n  ".join(changes),
            f"Use another name; or delete that one: aws emr-containers delete-job-template --id {found['id']}.",
        )
    return str(found["id"])


def _plain(data: Any) -> Any:
    """Without the empty values that AWS adds, so that what was sent compares with what it describes."""
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items() if value not in (None, {}, [])}
    return [_plain(value) for value in data] if isinstance(data, list) else data


@dataclass(frozen=True)
class RunStatus(RemoteStatus):
    """A job run's status and the progress of its output."""

    run: JobRun
    output: str
    progress: str
    trouble: Diagnosis | None

    def rows(self) -> list[tuple[str, str]]:
        run = self.run
        seconds = f", {duration.in_words(run.seconds)}" if run.seconds is not None else ""
        attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
        ui = ("in EMR's console at the job run, until thirty days after its end; or by", *run.ui) if run.ui else ()
        found = [
            ("job run", f"{run.name} ({run.id}) on virtual cluster {run.virtual_cluster}, created {run.created or ''}"),
            ("state", f"{run.state}{seconds}{attempt}" + (f": {run.details}" if run.details else "")),
            ("trouble", str(self.trouble or "")),
            ("progress", self.progress),
            ("output", self.output and f"{self.output} (mxspark status {self.output} shows what is done)"),
            *run.places.rows(),
            ("Spark's web UI", "\n".join(ui)),
        ]
        return [(name, text) for name, text in found if text]

    def to_json(self) -> dict[str, Any]:
        run, places = self.run, self.run.places
        times = {"createdAt": run.created, "finishedAt": run.finished}
        return {
            "id": run.id,
            "name": run.name,
            "virtualClusterId": run.virtual_cluster,
            "state": run.state,
            "stateDetails": run.details or None,
            "failureReason": run.reason or None,
            **{key: time.isoformat() for key, time in times.items() if time is not None},
            "attempt": run.attempt,
            "output": self.output,
            "progress": self.progress,
            "trouble": self.trouble.to_json() if self.trouble else None,
            "logs": {"s3": places.folder, "group": places.group, "streams": places.stream_prefix},
            "ui": list(run.ui),
        }


@dataclass(frozen=True)
class EmrJob(RemoteJob):
    """A job run of EMR on EKS. `settings` are the job's; without them they are read from the job run."""

    aws: Aws
    run: JobRun
    settings: Settings | None = None

    @property
    def title(self) -> str:
        return f"job run {self.run.id}"

    @property
    def address(self) -> str:
        return f"{self.run.id} --virtual-cluster {self.run.virtual_cluster} --region {self.aws.region}"

    def announce(self, listener: Listener) -> None:
        """Where it was started, and where its logs will be."""
        run, region = self.run, self.aws.region
        listener.note(f"Job run {run.id} ({run.name}) on virtual cluster {run.virtual_cluster} in region {region}")
        for what, where in run.places.rows():
            listener.note(f"{what[0].upper()}{what[1:]}: {where}")

    @property
    def is_over(self) -> bool:
        """Whether it has ended already, as far as AWS tells."""
        with suppress(MxsparkError):
            return job_runs.describe(self.aws, self.run.virtual_cluster, self.run.id).has_ended
        return False

    def status(self) -> RunStatus:
        settings, progress = self.run.settings(self.aws.region), ""
        if settings is not None:
            with suppress(MxsparkError):
                progress = str(read_progress(settings) or "nothing is planned yet")
        trouble = explain(self.run.reason, self.run.details) if self.run.state == "FAILED" else None
        return RunStatus(self.run, settings.output.path if settings else "", progress, trouble)

    def follow(self, listener: Listener, *, logs: bool, sleep: Sleep = time.sleep) -> Outcome:
        return Follower(self.aws, self.run, listener, self.settings, logs, sleep).follow()

    def logs(self, *, follow: bool, tail: int | None = None, sleep: Sleep = time.sleep) -> Iterator[str]:
        run, found = self.run, DriverLog(self.aws, self.run.places)
        if not found.is_kept:
            raise UsageError(
                f"job run {run.id} keeps no log: it was started without a place for one",
                "Submit with --s3-logs or --log-group; kubectl shows the log of a running pod.",
            )
        lines = list(found.new_lines())
        if not lines and not follow:
            raise MxsparkError(
                f"job run {run.id} has no driver log yet",
                f"EMR delivers it some minutes later; the job run is {run.state}.",
            )
        yield from lines[-tail:] if tail is not None else lines
        if not follow:
            return
        for seen in () if run.has_ended else polled(self.aws, run, least_seconds=READ_SECONDS, sleep=sleep):
            run = seen or run
            with suppress(PassingError):
                yield from found.new_lines()
        yield from found.last_lines(LOG_SECONDS - run.seconds_since_end, sleep)

    def cancel(self, confirm: Callable[[str], bool]) -> str | None:
        run = self.run
        if run.has_ended or run.state == "CANCEL_PENDING":
            raise UsageError(f"job run {run.id} is {run.state} already", "")
        question = f"Job run {run.id} ({run.name}) is {run.state}; what it has done is kept in its output. Cancel it?"
        if not confirm(question):
            return None
        where, doing = {"id": run.id, "virtualClusterId": run.virtual_cluster}, f"cancelling job run {run.id}"
        self.aws.call("emr-containers", "cancel_job_run", doing, **where)
        return f"Job run {run.id} is being cancelled."


def resolve(name: str, flags: JobFlags) -> RemoteJob | None:
    """The job run with the id `name`; None if that can't be an id, or one of Kubernetes' flags was given."""
    is_id, is_emrs = job_runs.ID.fullmatch(name), bool(flags.virtual_cluster or flags.region)
    if is_emrs and not is_id:
        raise UsageError(
            f"{name} is not a job run's id, which has 19 lower-case letters and digits",
            "Give the id that `mxspark submit emr` printed.",
        )
    if not is_id or flags.namespace or flags.kube_context or flags.kubeconfig:
        return None
    cluster = flags.virtual_cluster or os.environ.get("MXSPARK_EMR__VIRTUAL_CLUSTER")
    try:
        aws = Aws.connect(flags.region or os.environ.get("MXSPARK_EMR__REGION"))
        return EmrJob(aws, job_runs.find(aws, cluster, name))
    except (UsageError, NotThereError) as error:
        if is_emrs:
            raise
        hint = "A job on Kubernetes with such a name is found with --namespace."
        raise type(error)(f"{name} looks like a job run's id, but {error.problem}", f"{error.hint} {hint}") from None
