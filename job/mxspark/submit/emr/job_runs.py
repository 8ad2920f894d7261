"""A job run of EMR on EKS, as AWS describes it: found, polled."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from mxspark import storage
from mxspark.errors import MxsparkError, OutOfSightError, PassingError
from mxspark.settings import document, sources
from mxspark.settings.job import Settings, StorageSettings
from mxspark.storage import Access
from mxspark.submit.emr import virtual_clusters
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.driver_log import LogLocations

ID = re.compile(r"(?=[a-z]*[0-9])[0-9a-z]{19}")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
POLL_SECONDS, LONGEST_POLL_SECONDS = 2.0, 15.0  # AWS allows few requests a second for a whole account
PATIENCE_SECONDS = 1800.0  # for which AWS may be unreachable, while a job runs there
NEW_SECONDS = 60.0  # in which AWS may not find what it has just started


@dataclass(frozen=True)
class JobRun:
    """A job run as AWS describes it."""

    id: str
    name: str
    virtual_cluster: str
    state: str
    details: str
    reason: str  # of a failure
    attempt: int  # of its driver, from 1 on
    created: datetime | None  # when AWS accepted it
    finished: datetime | None  # None while it runs, or if AWS doesn't say
    arguments: tuple[str, ...]  # of infer_main.py
    places: LogLocations
    ui: tuple[str, ...]  # the commands that open Spark's web UI, none if EMR doesn't keep it

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "JobRun":
        """From AWS's description, or the request that started it with its id."""
        driver = (found.get("jobDriver") or {}).get("sparkSubmitJobDriver") or {}
        return cls(
            id=found["id"],
            name=found.get("name") or found["id"],
            virtual_cluster=found["virtualClusterId"],
            state=found.get("state", "PENDING"),
            details=found.get("stateDetails") or "",
            reason=found.get("failureReason") or "",
            attempt=(found.get("retryPolicyExecution") or {}).get("currentAttemptCount") or 1,
            created=found.get("createdAt"),
            finished=found.get("finishedAt"),
            arguments=tuple(driver.get("entryPointArguments") or ()),
            places=LogLocations.of(found),
            ui=_ui(found),
        )

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far, since AWS accepted it."""
        end = self.finished or datetime.now(UTC)
        return max(0.0, (end - self.created).total_seconds()) if self.created is not None else None

    @property
    def seconds_since_end(self) -> float:
        return max(0.0, (datetime.now(UTC) - self.finished).total_seconds()) if self.finished is not None else 0.0

    def settings(self, region: str | None = None) -> Settings | None:
        """The settings that the job was given, None if it isn't mxspark's or they can't be read."""
        given = dict(pairwise(self.arguments))
        place, submission, endpoint = given.get("--settings"), given.get("--set", ""), given.get("--endpoint-url")
        if place is None or "${" in submission:  # a job template's parameter
            return None
        try:
            access = Access(StorageSettings(endpoint_url=endpoint, region=region))
            text = storage.read_object(place, access.hasty, limit=document.MAX_YAML).decode()
            file = sources.file_layer(document.read_yaml(text, place), place)
            return sources.effective([file, sources.flag_layer({}, [submission])]).settings
        except (MxsparkError, UnicodeDecodeError):
            return None


def _ui(found: Mapping[str, Any]) -> tuple[str, ...]:
    monitoring = (found.get("configurationOverrides") or {}).get("monitoringConfiguration") or {}
    cluster, of_run, _ = str(found.get("arn") or "").partition("/jobruns/")
    if monitoring.get("persistentAppUI") != "ENABLED" or not of_run:
        return ()
    where = f"--region {cluster.split(':')[3]}"
    return (
        f"aws emr create-persistent-app-ui {where} --target-resource-arn {cluster} --emr-containers-config "
        f"JobRunId={found['id']}",
        f"aws emr get-persistent-app-ui-presigned-url {where} --persistent-app-ui-type SHS --persistent-app-ui-id ID  "
        "(ID is what the first prints)",
    )


def list_command(cluster: str, name: str, region: str) -> str:
    """The command that finds a job run whose id isn't known."""
    where = f"--virtual-cluster-id {cluster} --region {region}"
    return f"aws emr-containers list-job-runs {where} --query \"jobRuns[?name=='{name}']\""


def describe(aws: Aws, virtual_cluster: str, job_run: str) -> JobRun:
    """Raises NotThereError if there is no such job run."""
    doing = f"looking for job run {job_run}"
    try:
        answer = aws.call("emr-containers", "describe_job_run", doing, id=job_run, virtualClusterId=virtual_cluster)
    except NotThereError:
        raise NotThereError(
            f"virtual cluster {virtual_cluster} has no job run {job_run}",
            "Check the id, --virtual-cluster and --region.",
        ) from None
    return JobRun.of(answer["jobRun"])


def find(aws: Aws, virtual_cluster: str | None, job_run: str) -> JobRun:
    """The job run with this id; without a virtual cluster it is searched in all that run, or that EMR can't reach at
    the moment.
    """
    if virtual_cluster is not None:
        return describe(aws, virtual_clusters.find(aws, virtual_cluster).id, job_run)
    where, doing = {"states": ["RUNNING", "ARRESTED"]}, "searching the virtual clusters"
    for cluster in aws.pages("emr-containers", "list_virtual_clusters", "virtualClusters", doing, **where):
        with suppress(NotAllowedError, NotThereError):
            return describe(aws, cluster["id"], job_run)
    raise NotThereError(
        f"no running virtual cluster in region {aws.region} that you may read has a job run {job_run}",
        "Check the id and --region; name the cluster: --virtual-cluster.",
    )


def polled(
    aws: Aws,
    run: JobRun,
    on_trouble: Callable[[str], None] = lambda _: None,
    *,
    least_seconds: float = POLL_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[JobRun | None]:
    """The job run again and again until it has ended, None while AWS can't be reached. Raises OutOfSightError if it
    can't be reached any more.
    """
    started = answered = clock()
    while True:
        found = None
        try:
            found = describe(aws, run.virtual_cluster, run.id)
            answered = clock()
        except MxsparkError as error:
            patience = PATIENCE_SECONDS if isinstance(error, PassingError) else 0
            patience = NEW_SECONDS if isinstance(error, NotThereError) else patience
            if clock() - answered >= patience:
                raise OutOfSightError(error.problem, error.hint) from None
            on_trouble(f"{error.problem}; the job is not affected. Retrying")
        yield found
        if found is not None and found.has_ended:
            return
        sleep(min(LONGEST_POLL_SECONDS, least_seconds + (clock() - started) / 60))
