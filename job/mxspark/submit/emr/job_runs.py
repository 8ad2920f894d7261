"""A job run of EMR on EKS, as AWS describes it: found, polled."""

import re
from collections.abc import Callable, Mapping
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
PATIENCE_SECONDS = 1800.0  # for which AWS may be unreachable, while a job runs there
NEW_SECONDS = 60.0  # in which AWS may not find what it has just started


@dataclass(frozen=True)
class JobRun:
    """A job run as AWS describes it."""

    description: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.description["id"])

    @property
    def name(self) -> str:
        return str(self.description.get("name") or self.id)

    @property
    def virtual_cluster(self) -> str:
        return str(self.description["virtualClusterId"])

    @property
    def state(self) -> str:
        return str(self.description.get("state", "PENDING"))

    @property
    def details(self) -> str:
        return str(self.description.get("stateDetails") or "")

    @property
    def reason(self) -> str:
        return str(self.description.get("failureReason") or "")

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def attempt(self) -> int:
        """Of its driver, from 1 on."""
        return int((self.description.get("retryPolicyExecution") or {}).get("currentAttemptCount") or 1)

    @property
    def places(self) -> LogLocations:
        return LogLocations.of(self.description)

    @property
    def ui(self) -> tuple[str, ...]:
        """The commands that open Spark's web UI, none if EMR doesn't keep it."""
        monitoring = (self.description.get("configurationOverrides") or {}).get("monitoringConfiguration") or {}
        cluster, of_run, _ = str(self.description.get("arn") or "").partition("/jobruns/")
        if monitoring.get("persistentAppUI") != "ENABLED" or not of_run:
            return ()
        made, opened = (
            f"aws emr {command} --region {cluster.split(':')[3]}"
            for command in ("create-persistent-app-ui", "get-persistent-app-ui-presigned-url")
        )
        return (
            f"{made} --target-resource-arn {cluster} --emr-containers-config JobRunId={self.id}",
            f"{opened} --persistent-app-ui-type SHS --persistent-app-ui-id ID  (ID is what the first prints)",
        )

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far, since AWS accepted it."""
        created = self.description.get("createdAt")
        end = self.description.get("finishedAt") or datetime.now(UTC)
        return max(0.0, (end - created).total_seconds()) if isinstance(created, datetime) else None

    @property
    def seconds_since_end(self) -> float:
        """0 while it runs, or if AWS doesn't say."""
        finished = self.description.get("finishedAt")
        return max(0.0, (datetime.now(UTC) - finished).total_seconds()) if isinstance(finished, datetime) else 0.0

    def settings(self, region: str | None = None) -> Settings | None:
        """The settings that the job was given, None if it isn't mxspark's or they can't be read."""
        driver = (self.description.get("jobDriver") or {}).get("sparkSubmitJobDriver", {})
        given = dict(pairwise(driver.get("entryPointArguments") or ()))  # those of infer_main.py
        place, submission, endpoint = given.get("--settings"), given.get("--set", ""), given.get("--endpoint-url")
        if place is None or "${" in submission:  # a job template's parameter
            return None
        flags = {} if endpoint is None else {"storage.endpoint_url": endpoint}
        try:
            access = Access(StorageSettings(endpoint_url=endpoint, region=region))
            text = storage.read_object(place, access.hasty, limit=2**20).decode()
            file = sources.file_layer(document.read_yaml(text, place), place)
            return sources.effective([file, sources.flag_layer(flags, [submission])]).settings
        except (MxsparkError, UnicodeDecodeError):
            return None


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
    return JobRun(answer["jobRun"])


def find(aws: Aws, virtual_cluster: str | None, job_run: str) -> JobRun:
    """The job run with this id; without a virtual cluster it is searched in all that run, or that EMR can't reach at
    the moment.
    """
    if virtual_cluster is not None:
        return describe(aws, virtual_clusters.find(aws, virtual_cluster).id, job_run)
    unseen = []
    where, doing = {"states": ["RUNNING", "ARRESTED"]}, "searching the virtual clusters"
    for cluster in aws.pages("emr-containers", "list_virtual_clusters", "virtualClusters", doing, **where):
        try:
            return describe(aws, cluster["id"], job_run)
        except NotAllowedError:
            unseen.append(f"{cluster['name']} ({cluster['id']})")
        except NotThereError:
            pass
    but = f"; these may not be read: {', '.join(unseen)}" if unseen else ""
    raise NotThereError(
        f"no running virtual cluster in region {aws.region} has a job run {job_run}{but}",
        "Check the id and --region; name the cluster: --virtual-cluster.",
    )


class Watch:
    """Polls a job run, and tolerates failures for a while. `is_new`: it was started just now."""

    def __init__(
        self, aws: Aws, run: JobRun, clock: Callable[[], float], on_trouble: Callable[[str], None], is_new: bool = False
    ) -> None:
        self._aws = aws
        self._run = run
        self._clock = clock
        self._on_trouble = on_trouble
        self._is_new = is_new
        self._answered = clock()

    def ask(self) -> JobRun | None:
        """The job run now, None if AWS can't be reached for the moment.

        Raises NotThereError if there is no such job run, OutOfSightError if AWS can't be reached any more.
        """
        try:
            run = describe(self._aws, self._run.virtual_cluster, self._run.id)
        except MxsparkError as error:
            is_missing = isinstance(error, NotThereError)
            if is_missing and not self._is_new:
                raise
            patience = NEW_SECONDS if is_missing else PATIENCE_SECONDS if isinstance(error, PassingError) else -1
            if self._clock() - self._answered > patience:
                raise OutOfSightError(error.problem, error.hint) from None
            self._on_trouble(f"{error.problem}; the job is not affected. Retrying")
            return None
        self._answered, self._is_new = self._clock(), False
        return run
