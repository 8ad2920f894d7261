"""Why pods don't run, in Kubernetes' own words with a hint; makes no requests, only reads
the objects that it is given.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from mxspark.errors import UsageError
from mxspark.run.last_word import LastWord
from mxspark.run.progress import Progress
from mxspark.spark.pods import PROGRESS_ANNOTATION, Manifest
from mxspark.submit.kubernetes.cluster import amount
from mxspark.submit.outcome import Diagnosis, Outcome

# Reasons why a container waits, and what to do about them. Others resolve themselves.
WAITING = {
    "ErrImagePull": "Check the image's name and tag, and kubernetes.image_pull_secrets.",
    "ImagePullBackOff": "Check the image's name and tag, and kubernetes.image_pull_secrets.",
    "ErrImageNeverPull": "The image is not on the node, and kubernetes.image_pull_policy is Never: load it there, or "
    "use IfNotPresent.",
    "InvalidImageName": "Correct the image's name: --image.",
    "CreateContainerConfigError": "Create what is missing in the namespace (kubernetes.credentials_from names the "
    "secret).",
    "CreateContainerError": "See `kubectl describe pod`.",
    "RunContainerError": "See `kubectl describe pod`.",
}
NAMES_NO_IMAGE = "InvalidImageName"
# How a namespace's LimitRange refuses a pod.
OUT_OF_RANGE = re.compile(r"(minimum|maximum) \S+ usage per|max limit to request ratio")
QUOTA = re.compile(r"exceeded quota: .*?requested: (?P<requested>\S+), used: \S+, limited: (?P<limited>\S+)")
# Failures while a pod is prepared; the kubelet retries, and the second attempt often succeeds.
PREPARING = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
UNSCHEDULABLE = (
    "Request less, or add nodes to the cluster; kubernetes.*.node_selector and tolerations decide which ones may be "
    "used."
)
OUT_OF_MEMORY = "Give it more memory: spark.driver_memory_overhead, or for executors spark.executor_memory_overhead."
LIMITS = (
    "Stay within the namespace's LimitRange: spark.driver_memory, spark.driver_memory_overhead, "
    "kubernetes.driver.cpu_request and cpu_limit."
)
EVICTED = "Give it more room: kubernetes.local_directory.size; or more memory."


def of_pod(pod: Manifest, events: Sequence[Manifest] = ()) -> Diagnosis | None:
    """What is wrong with a pod that doesn't run; None if nothing is, or it only takes time."""
    status = pod.get("status", {})
    if status.get("reason") == "Evicted":
        return Diagnosis(f"evicted: {status.get('message', '')}", EVICTED)
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        found = _of_container(container)
        if found is not None:
            return found
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Diagnosis(f"{condition.get('reason', '')}: {condition.get('message', '')}", UNSCHEDULABLE)
    failed = [event for event in events if event.get("reason") in PREPARING and int(event.get("count") or 1) > 1]
    if failed and status.get("phase") == "Pending":
        return Diagnosis(f"{failed[-1]['reason']}: {failed[-1].get('message', '')}", "See `kubectl describe pod`.")
    return None


def _of_container(container: Manifest) -> Diagnosis | None:
    state = container.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    reason = waiting.get("reason")
    if reason in WAITING:
        return Diagnosis(
            f"{reason}: {waiting.get('message', '')}".strip(": "), WAITING[reason], passes=reason != NAMES_NO_IMAGE
        )
    if ended.get("reason") == "OOMKilled":
        return Diagnosis("OOMKilled: it used more memory than its limit", OUT_OF_MEMORY)
    if ended.get("exitCode") and ended.get("message"):  # its termination message
        if word := LastWord.read(ended["message"]):
            return Diagnosis(word.cause, word.hint)
        return Diagnosis(f"exit code {ended['exitCode']}: {ended['message'].strip()}", "")
    return None


def of_waiting(pods: Sequence[Manifest], events: Callable[[str], Sequence[Manifest]]) -> list[Diagnosis]:
    """Why similar pods are pending, each cause once; `events` returns a pod's events by its name."""
    found = [trouble for pod in pods if (trouble := of_pod(pod))]
    if pods and not found:  # the first stands for all
        trouble = of_pod(pods[0], events(pods[0]["metadata"]["name"]))
        found = [trouble] if trouble else []
    return list({trouble.hint or trouble.cause: trouble for trouble in sorted(found, key=str)}.values())


def exit_code(pod: Manifest, container: str) -> int | None:
    """The exit code of a pod's container, None while it hasn't ended."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if status["name"] == container and ended:
            return int(ended["exitCode"])
    return None


def last_word(pod: Manifest, container: str) -> LastWord | None:
    """The termination message of a pod's container, None if it left none, as when it was killed."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated") or {}
        if status["name"] == container and ended.get("message"):
            return LastWord.read(ended["message"])
    return None


def progress(pod: Manifest) -> Progress | None:
    """The progress of a driver's run, None if its pod has none yet, or of another version's format."""
    text = (pod["metadata"].get("annotations") or {}).get(PROGRESS_ANNOTATION)
    with suppress(ValueError):
        return Progress.read(text) if text else None
    return None


def kept_end(pod: Manifest, container: str) -> tuple[bool, str] | None:
    """As `job_end`, of a driver's pod whose container has ended, while others keep the pod, and so its Job, running."""
    code = exit_code(pod, container)
    if pod.get("status", {}).get("phase") != "Running" or code is None:
        return None
    statuses = pod["status"].get("containerStatuses") or ()
    running = [str(status["name"]) for status in statuses if "running" in (status.get("state") or {})]
    return (code == 0, f"its pod still runs container {', '.join(running)}") if running else None


def has_begun(pod: Manifest, container: str) -> bool:
    """Whether a container runs or has run, so that it has a log."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if status["name"] == container:
            return "waiting" not in (status.get("state") or {})
    return pod.get("status", {}).get("phase") not in ("Pending", None)


def of_job(events: Sequence[Manifest]) -> Diagnosis | None:
    """Why a Job's pod can't even be created: a quota, a policy, a missing service account."""
    if not events or events[-1].get("reason") != "FailedCreate":
        return None
    message = str(events[-1].get("message", ""))
    if "exceeded quota" in message:
        return Diagnosis(
            message, "Request less, or have the namespace's quota raised.", passes=not _is_more_than_the_quota(message)
        )
    if "violates PodSecurity" in message:
        return Diagnosis(message, "Remove from kubernetes.driver.template what the namespace forbids.", passes=False)
    if OUT_OF_RANGE.search(message):
        return Diagnosis(message, LIMITS, passes=False)
    if "serviceaccount" in message:
        return Diagnosis(message, "Create that service account, or name another: kubernetes.service_account.")
    return Diagnosis(message, "See `kubectl describe job`.")


def _is_more_than_the_quota(message: str) -> bool:
    """Whether a request exceeds the whole quota, whatever else uses it."""
    found = QUOTA.search(message)
    requested, limited = (
        dict(part.split("=", 1) for part in found[key].split(",")) if found else {} for key in ("requested", "limited")
    )
    return any(key in limited and amount(asked) > amount(limited[key]) for key, asked in requested.items())


def job_end(job: Manifest) -> tuple[bool, str] | None:
    """Whether a Job succeeded, and why not; None while it runs."""
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return condition[
                "type"
            ] == "Complete", f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return None


def outcome(end: tuple[bool, str], drivers: Sequence[Manifest], container: str, log_trouble: str = "") -> Outcome:
    """Of a job with this `job_end` or `kept_end`. If it failed, with the last driver's exit code if that is one of
    ours, else 1; `log_trouble` says why there is no log.
    """
    succeeded, reason = end
    if succeeded:
        return Outcome(0)
    last = drivers[-1] if drivers else {}
    code, trouble = exit_code(last, container), of_pod(last)
    starts = f" at the last of {len(drivers)} attempts" if len(drivers) > 1 else ""
    if reason.startswith("DeadlineExceeded"):
        return Outcome(
            1,
            "it took longer than kubernetes.deadline_seconds",
            "Raise it; finished shards are kept, and the same command resumes the run.",
        )
    ended = f"the driver ended with exit code {code}{starts}" if code is not None else "the driver was lost"
    # That rule is ours: it only repeats the driver's exit code.
    why = f": {trouble.cause}" if trouble else "" if reason.startswith("PodFailurePolicy") else f" ({reason})"
    why_not = "Its log says why; fix that first." if code == UsageError.exit_code else "Its log says why."
    if log_trouble:
        why_not = f"Its log, which may say why, can't be read: {log_trouble}."
    hint = trouble.hint if trouble else f"{why_not} What it finished is kept; the same command resumes it."
    return Outcome.failed(code, ended + why, hint)
