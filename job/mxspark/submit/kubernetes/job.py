"""A job on Kubernetes: submitted, followed, diagnosed, cancelled.

The driver is the pod of a Job, not what spark-submit makes: its exit code is the job's, Kubernetes restarts it when it
is lost, and no Java is needed on the machine that submits it.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, Self

from mxspark import __version__
from mxspark.errors import MxsparkError, PassingError, UsageError
from mxspark.run.last_word import Results
from mxspark.run.progress import Progress
from mxspark.settings import document
from mxspark.settings.job import Settings
from mxspark.settings.kubernetes import MAX_NAME, SERVICE_NAME, SUBDOMAIN
from mxspark.spark.pods import Manifest
from mxspark.submit.kubernetes import diagnosis, manifests, owner, quotas
from mxspark.submit.kubernetes.api_errors import ExistsError, ForbiddenError, MissingObjectError
from mxspark.submit.kubernetes.cluster import Cluster
from mxspark.submit.kubernetes.follower import POLL_SECONDS, Follower, Found
from mxspark.submit.kubernetes.manifests import DRIVER_CONTAINER
from mxspark.submit.kubernetes.owner import CHARTS_ANNOTATION
from mxspark.submit.outcome import Diagnosis, Listener, Outcome
from mxspark.submit.remote_job import JobFlags, RemoteJob, RemoteStatus, Sleep

OURS = "app.kubernetes.io/name=mxspark"
SETTINGS_ANNOTATION = "mxspark/settings"
NATIVE_SIDECARS = (1, 29)  # the first Kubernetes that ends them with the pod's other containers
OWN_ACCOUNT = (
    "Have an administrator create the service account and its Role (docs/kubernetes.md), and name it: --set "
    "kubernetes.service_account=NAME."
)
NO_POLICIES = (
    "Have an administrator grant the permissions (docs/kubernetes.md); or leave the policies out, --set "
    "kubernetes.network_policies=false: then anyone on the pods' network can connect to Spark's ports, which require "
    "the run's key."
)


def check_name(name: str) -> str:
    """Raises UsageError if pods and services can't have this name."""
    if not re.fullmatch(SERVICE_NAME, name) or len(name) > MAX_NAME:
        raise UsageError(
            f"--name is {name!r}",
            f"Use lower-case letters, digits and - between them, a letter first, {MAX_NAME} at most: pods and a "
            "service are named after it.",
        )
    return name


def submit(settings: Settings, cluster: Cluster, name: str, listener: Listener) -> Found:
    """Creates the Job and what it needs. Raises UsageError if the cluster would refuse it; then nothing is left
    behind.
    """
    job, *others = manifests.objects(settings, name, __version__)
    _refuse_sidecars(settings, cluster)
    quotas.check(settings, cluster.quotas(), cluster.namespace)
    with suppress(ForbiddenError, PassingError):  # submitting needs no permission to create pods
        cluster.check(manifests.driver_trial(job))
        cluster.check(manifests.executor_pod(settings, name))
    if settings.spark.executor_gpus:
        _warn_without_gpus(settings, cluster, listener)
    is_suspended = job["spec"].get("suspend", False)  # and others resume it
    job["spec"]["suspend"] = True  # until all that its pod needs exists
    made = _create_job(cluster, job)
    reference = _owner(made)
    try:
        for manifest in others:
            manifest["metadata"]["ownerReferences"] = [reference]
            _create(cluster, manifest)
        if not is_suspended:
            cluster.start(name)
    except BaseException:
        with suppress(MxsparkError):
            cluster.delete_job(name)
        raise
    return Found(name, name, uid=made["metadata"]["uid"])


def _refuse_sidecars(settings: Settings, cluster: Cluster) -> None:
    beside = settings.kubernetes.driver.template.get("spec", {}).get("containers", [])[1:]
    if beside and cluster.version < NATIVE_SIDECARS:
        version = ".".join(map(str, cluster.version))
        raise UsageError(
            f"kubernetes.driver.template has a container {beside[0].get('name')} beside the driver, which Kubernetes "
            f"{version} does not end with it: the Job would never end",
            "Take it out, or upgrade the cluster to 1.29.",
        )


def _create_job(cluster: Cluster, job: Manifest) -> Manifest:
    name = job["metadata"]["name"]
    try:
        return cluster.create(job)
    except ExistsError:
        raise
    except BaseException:  # perhaps only the response was lost; a Job of this name that runs is another's
        with suppress(MxsparkError):
            if cluster.job(name)["spec"].get("suspend"):
                cluster.delete_job(name)
        raise


def _create(cluster: Cluster, manifest: Manifest) -> None:
    try:
        cluster.create(manifest)
    except ForbiddenError as error:
        if manifest["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            raise UsageError(error.problem, OWN_ACCOUNT) from None
        if manifest["kind"] == "NetworkPolicy":
            raise UsageError(error.problem, NO_POLICIES) from None
        raise
    except ExistsError as error:  # of an earlier submission
        raise ExistsError(error.problem, "Use another --name, or delete it.") from None


def _owner(job: Manifest) -> Manifest:
    """The owner reference by which an object is deleted with the Job."""
    return {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
    }


def _warn_without_gpus(settings: Settings, cluster: Cluster, listener: Listener) -> None:
    resource, asked = f"{settings.kubernetes.gpu_vendor}/gpu", settings.spark.executor_gpus
    nodes = cluster.nodes()
    if nodes and not any(int(node["status"].get("allocatable", {}).get(resource, 0)) >= asked for node in nodes):
        listener.note(
            f"Warning: no node of the cluster has {asked} {resource}: executors stay pending until one does. "
            "Is the GPU vendor's device plugin installed?"
        )


def _read_job(cluster: Cluster, name: str) -> Manifest:
    if not re.fullmatch(SUBDOMAIN, name):
        raise UsageError(
            f"{name!r} is not a job's name", "Give the name that `mxspark submit` printed, or the chart's release."
        )
    try:
        return cluster.job(name)
    except MissingObjectError:
        jobs = [
            job for job in cluster.jobs(OURS) if name in (owner.instance(job), _annotations(job).get(CHARTS_ANNOTATION))
        ]
        if not jobs:
            raise MissingObjectError(
                f"namespace {cluster.namespace} has no job {name}",
                "Check the name and --namespace; with a schedule, perhaps no run has started yet.",
            ) from None
        return max(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]))


def _found(job: Manifest, cluster: Cluster) -> Found:
    return Found(
        job["metadata"]["name"], owner.instance(job), owner.find(job, cluster.flags), job["metadata"].get("uid", "")
    )


def _annotations(job: Manifest) -> Mapping[str, str]:
    found: Mapping[str, str] = job["metadata"].get("annotations", {})
    return found


@dataclass(frozen=True)
class JobStatus(RemoteStatus):
    """A job's status in the cluster."""

    name: str
    namespace: str
    state: str
    created: str
    owner: str  # the tool that manages it, empty for a submission
    drivers: tuple[str, ...]
    executors: tuple[str, ...]
    progress: Progress | None  # None while the driver has reported none
    results: Results | None  # of a run that finished
    output: str
    trouble: Diagnosis | None
    waiting: tuple[Diagnosis, ...]  # why executors are pending
    missing: tuple[str, ...]  # why they can't be made
    exit_code: int | None

    @property
    def summary(self) -> str:
        """Its results, or its progress so far."""
        return str(self.results or self.progress or "")

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("job", f"{self.name} in namespace {self.namespace}, created {self.created}"),
            *([("owner", self.owner)] if self.owner else []),
            ("state", self.state),
            *[("driver", pod) for pod in self.drivers],
            *[("executor", pod) for pod in self.executors],
            *([("trouble", str(self.trouble))] if self.trouble else []),
            *[("executors", f"waiting: {trouble}") for trouble in self.waiting],
            *[("executors", problem) for problem in self.missing],
            *([("progress", self.summary)] if self.summary else []),
            *([("output", f"{self.output} (mxspark status {self.output} shows what is done)")] if self.output else []),
        ]

    def to_json(self) -> dict[str, Any]:
        lists = {"drivers": list(self.drivers), "executors": list(self.executors), "missing": list(self.missing)}
        done = self.progress.to_json() if self.progress else {}
        return {
            **vars(self),
            **lists,
            "progress": self.summary,
            "done": done,
            "results": self.results.to_json() if self.results else None,
            "trouble": self.trouble.to_json() if self.trouble else None,
            "waiting": [each.to_json() for each in self.waiting],
        }


def _status(cluster: Cluster, job: Manifest, found: Found) -> JobStatus:
    drivers, executors = cluster.pods(found.drivers), cluster.pods(found.executors)
    end = diagnosis.job_end(job)
    trouble = diagnosis.of_pod(drivers[-1]) if drivers else diagnosis.of_job(cluster.events(found.job))
    word = diagnosis.last_word(drivers[-1], DRIVER_CONTAINER) if drivers else None
    kept = diagnosis.kept_end(drivers[-1], DRIVER_CONTAINER) if drivers and end is None else None
    found_end = end or kept
    ended = diagnosis.outcome(found_end, drivers, DRIVER_CONTAINER) if found_end else None
    if ended is None:
        phase = drivers[-1]["status"].get("phase") if drivers else None
        state = "running" if phase == "Running" else "waiting"
    elif kept is not None:
        state = f"the driver has ended with exit code {ended.exit_code}; {kept[1]}"
    else:
        state = "complete" if ended.exit_code == 0 else f"failed: {ended.cause}"
    pending = [
        pod
        for pod in executors
        if pod["status"].get("phase") == "Pending" and "deletionTimestamp" not in pod["metadata"]
    ]
    return JobStatus(
        found.job,
        cluster.namespace,
        state,
        job["metadata"]["creationTimestamp"],
        found.owner.what if found.owner else "",
        tuple(map(_in_words, drivers)),
        tuple(map(_in_words, executors)),
        diagnosis.progress(drivers[-1]) if drivers else None,
        word.results if word else None,
        _output(cluster, job),
        trouble,
        tuple(diagnosis.of_waiting(pending, cluster.events)),
        _missing(cluster, job, executors) if state == "running" else (),
        ended.exit_code if ended else None,
    )


def _in_words(pod: Manifest) -> str:
    node = pod["spec"].get("nodeName", "no node yet")
    return f"{pod['metadata']['name']}: {pod['status'].get('phase')}, {node}"


def _missing(cluster: Cluster, job: Manifest, executors: Sequence[Manifest]) -> tuple[str, ...]:
    """Why there are fewer executors than requested; nothing if that is unknown."""
    with suppress(MxsparkError):
        settings = document.parse(Settings, document.read_yaml(_settings(cluster, job), "settings"), "settings")
        if not settings.spark.dynamic_allocation.enabled and len(executors) < settings.spark.executors:
            return tuple(quotas.full(settings, cluster.quotas()).values())
    return ()


def _output(cluster: Cluster, job: Manifest) -> str:
    """Where the table goes, from the settings that the job was given."""
    with suppress(MxsparkError):
        return str(document.read_yaml(_settings(cluster, job), "settings").get("output", {}).get("path", ""))
    return ""


def _settings(cluster: Cluster, job: Manifest) -> str:
    """The settings' text: from the pod itself if the chart has a schedule, else from a ConfigMap."""
    pod = job["spec"]["template"]
    own = pod.get("metadata", {}).get("annotations", {}).get(SETTINGS_ANNOTATION)
    if own is not None:
        return str(own)
    volumes = pod["spec"].get("volumes", [])
    names = [
        volume["configMap"]["name"] for volume in volumes if volume["name"] == "settings" and "configMap" in volume
    ]
    return str(cluster.config_map(names[0])["data"][manifests.SETTINGS_FILE]) if names else ""


@dataclass(frozen=True)
class KubernetesJob(RemoteJob):
    """A Job in a cluster. `settings` are the job's, if they are known.

    It is deleted if its driver has not started after `start_seconds`.
    """

    cluster: Cluster
    found: Found
    settings: Settings | None = None
    start_seconds: float | None = None

    @classmethod
    def find(cls, cluster: Cluster, name: str) -> Self:
        """The job called `name`, or the newest of the chart's release `name`. Raises MissingObjectError, or UsageError
        if that can't be a name.
        """
        return cls(cluster, _found(_read_job(cluster, name), cluster))

    @property
    def title(self) -> str:
        return f"job {self.found.job}"

    @property
    def address(self) -> str:
        return f"{self.found.job} {self.cluster.flags}"

    @property
    def end_command(self) -> str | None:
        owner = self.found.owner
        return (owner.command or owner.end) if owner else None

    def status(self) -> JobStatus:
        return _status(self.cluster, self.cluster.job(self.found.job), self.found)

    def follow(self, listener: Listener, *, logs: bool, sleep: Sleep = time.sleep) -> Outcome:
        follower = Follower(
            self.cluster,
            self.found,
            listener,
            logs=logs,
            start_seconds=self.start_seconds,
            settings=self.settings,
            sleep=sleep,
        )
        return follower.follow()

    def logs(self, *, follow: bool, tail: int | None = None, sleep: Sleep = time.sleep) -> Iterator[str]:
        while (pod := self._pod_with_log(waits=follow)) is None:
            sleep(POLL_SECONDS)
        cluster = self.cluster
        yield from (
            cluster.follow_log(pod, DRIVER_CONTAINER, Event(), tail)
            if follow
            else cluster.log(pod, DRIVER_CONTAINER, tail)
        )

    def _pod_with_log(self, waits: bool) -> str | None:
        """The newest driver's pod, None if it has no log yet, but may get one. Raises MxsparkError if it won't, or
        unless the caller `waits`.
        """
        drivers = self.cluster.pods(self.found.drivers)
        if drivers and diagnosis.has_begun(drivers[-1], DRIVER_CONTAINER):
            return str(drivers[-1]["metadata"]["name"])
        trouble = diagnosis.of_pod(drivers[-1]) if drivers else diagnosis.of_job(self.cluster.events(self.found.job))
        if trouble:
            raise MxsparkError(f"the driver of {self.title} has no log yet: {trouble.cause}", trouble.hint)
        if end := diagnosis.job_end(self.cluster.job(self.found.job)):
            problem = f"{self.title} has ended, and its driver's log is gone with its pod: {end[1]}"
            raise MxsparkError(problem, "What it finished is in its output.")
        if not waits:
            raise MxsparkError(
                f"the driver of {self.title} has no log yet: its pod does not exist yet",
                f"See its status: mxspark status {self.address}",
            )
        return None

    def cancel(self, confirm: Callable[[str], bool]) -> str | None:
        """Deletes the job, its pods and all that was created for it. One of another tool is refused: the tool would
        create it again, or miss it.
        """
        job, owner = self.found.job, self.found.owner
        if owner is not None:
            raise UsageError(f"job {job} belongs to {owner.what}", f"{owner.end}.")
        has_ended = diagnosis.job_end(self.cluster.job(job))
        state = "has ended" if has_ended else "is not finished; what it has done is kept in its output"
        if not confirm(f"Job {job} in namespace {self.cluster.namespace} {state}. Delete it and its pods?"):
            return None
        self.cluster.delete_job(job)
        return f"Job {job} is deleted."


def resolve(name: str, flags: JobFlags) -> RemoteJob:
    """The job of this name in the cluster that the flags select, by default kubectl's."""
    return KubernetesJob.find(Cluster.connect(flags.kubeconfig, flags.kube_context, flags.namespace), name)
