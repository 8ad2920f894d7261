"""A job run of EMR on EKS, as AWS describes it: found, asked, cancelled."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mxspark import storage
from mxspark.errors import MxsparkError, UsageError
from mxspark.settings import document, sources
from mxspark.settings.job import Settings, StorageSettings
from mxspark.storage import Access
from mxspark.submit.emr import virtual_clusters
from mxspark.submit.emr.arguments import TEMPLATE_WORDS
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError, RefusedError
from mxspark.submit.emr.log_places import LogLocations

ID = re.compile(r"(?=[a-z]*[0-9])[0-9a-z]{19}")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class JobRun:
    """A job run as AWS describes it."""

    told: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.told["id"])

    @property
    def name(self) -> str:
        return str(self.told.get("name") or self.id)

    @property
    def state(self) -> str:
        return str(self.told.get("state", "PENDING"))

    @property
    def details(self) -> str:
        return str(self.told.get("stateDetails") or "")

    @property
    def reason(self) -> str:
        return str(self.told.get("failureReason") or "")

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def attempt(self) -> int:
        """Which start of its driver this is, from 1 on."""
        return int((self.told.get("retryPolicyExecution") or {}).get("currentAttemptCount") or 1)

    @property
    def places(self) -> LogLocations:
        return LogLocations.of(self.told)

    @property
    def ui(self) -> tuple[str, ...]:
        """The commands that open Spark's pages, none where EMR keeps none."""
        monitoring = (self.told.get("configurationOverrides") or {}).get("monitoringConfiguration") or {}
        cluster, of_run, _ = str(self.told.get("arn") or "").partition("/jobruns/")
        if monitoring.get("persistentAppUI") != "ENABLED" or not of_run:
            return ()
        region = f"--region {cluster.split(':')[3]}"
        made = f"aws emr create-persistent-app-ui {region} --target-resource-arn {cluster} --emr-containers-config JobRunId={self.id}"
        opened = f"aws emr get-persistent-app-ui-presigned-url {region} --persistent-app-ui-type SHS --persistent-app-ui-id ID"
        return made, f"{opened}  (ID is what the first gives)"

    @property
    def seconds(self) -> float | None:
        """How long it took, or takes by now, since AWS took it."""
        created = self.told.get("createdAt")
        if not isinstance(created, datetime):
            return None
        end = self.told.get("finishedAt") or datetime.now(UTC)
        return max(0.0, (end - created).total_seconds())

    @property
    def seconds_since_end(self) -> float:
        """None are past where it goes on, or AWS doesn't say."""
        finished = self.told.get("finishedAt")
        return max(0.0, (datetime.now(UTC) - finished).total_seconds()) if isinstance(finished, datetime) else 0.0

    @cached_property
    def arguments(self) -> list[str]:
        """infer_main.py's."""
        return list((self.told.get("jobDriver") or {}).get("sparkSubmitJobDriver", {}).get("entryPointArguments") or ())

    def settings(self, region: str | None = None) -> Settings | None:
        """The settings that the job was given, None where it is none of ours or they can't be read."""
        flags: dict[str, Any] = {}
        assignments, file = [], None
        if not TEMPLATE_WORDS.isdisjoint(self.arguments):  # a job template's, as it was written
            return None
        names = {"--input": "input.path", "--output": "output.path", "--model": "model.path", "--endpoint-url": "storage.endpoint_url"}
        for flag, value in zip(self.arguments, self.arguments[1:], strict=False):
            if flag == "--input":  # there may be several
                flags.setdefault(names[flag], []).append(value)
            elif flag in names:
                flags[names[flag]] = value
            elif flag == "--set":
                assignments.append(value)
            elif flag == "--settings":
                file = value
        try:
            given = []
            if file is not None:
                access = Access(StorageSettings(endpoint_url=flags.get("storage.endpoint_url"), region=region))
                text = storage.read_object(file, access.hasty, limit=2**20).decode()
                given.append(sources.file_layer(document.read_yaml(text, file), file))
            return sources.effective([*given, sources.flag_layer(flags, assignments)]).settings
        except (MxsparkError, UnicodeDecodeError):
            return None


def list_command(cluster: str, name: str, region: str) -> str:
    """What a person looks with for a job run whose id isn't known."""
    where = f"--virtual-cluster-id {cluster} --region {region}"
    return f"aws emr-containers list-job-runs {where} --query \"jobRuns[?name=='{name}']\""


def describe(aws: Aws, virtual_cluster: str, job_run: str) -> JobRun:
    """Raises NotThereError where there is no such job run."""
    doing = f"looking for job run {job_run}"
    try:
        answer = aws.call("emr-containers", "describe_job_run", doing, id=job_run, virtualClusterId=virtual_cluster)
    except NotThereError:
        raise NotThereError(
            f"virtual cluster {virtual_cluster} has no job run {job_run}", "Check the id, --virtual-cluster and --region."
        ) from None
    return JobRun(answer["jobRun"])


def find(aws: Aws, virtual_cluster: str | None, job_run: str) -> JobRun:
    """The job run with this id; without a virtual cluster it is looked for in all that run, or did and can't be reached by EMR now."""
    if virtual_cluster is not None:
        return describe(aws, virtual_clusters.find(aws, virtual_cluster).id, job_run)
    doing = "looking through the virtual clusters"
    unseen = []
    for cluster in aws.pages("emr-containers", "list_virtual_clusters", "virtualClusters", doing, states=["RUNNING", "ARRESTED"]):
        try:
            return describe(aws, cluster["id"], job_run)
        except NotAllowedError:
            unseen.append(f"{cluster['name']} ({cluster['id']})")
        except NotThereError:
            pass
    but = f"; those that may not be asked: {', '.join(unseen)}" if unseen else ""
    raise NotThereError(
        f"no virtual cluster that runs in region {aws.region} has a job run {job_run}{but}",
        "Check the id and --region; name the cluster: --virtual-cluster.",
    )


def cancel(aws: Aws, run: JobRun) -> None:
    """Ends a job run. Raises UsageError where it has ended already."""
    doing = f"cancelling job run {run.id}"
    try:
        aws.call("emr-containers", "cancel_job_run", doing, id=run.id, virtualClusterId=run.told["virtualClusterId"])
    except RefusedError as error:
        now = describe(aws, run.told["virtualClusterId"], run.id)
        if now.has_ended or now.state == "CANCEL_PENDING":
            raise UsageError(f"job run {run.id} is {now.state} already", "") from None
        raise error
