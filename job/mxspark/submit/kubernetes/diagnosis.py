"""Why pods don't run, in Kubernetes' own words with a hint; asks nothing, only reads what was asked."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from mxspark.errors import UsageError
from mxspark.run.last_word import LastWord
from mxspark.run.progress import Progress
from mxspark.spark.pods import PROGRESS_ANNOTATION, Manifest
from mxspark.submit.kubernetes.cluster import amount
from mxspark.submit.outcome import Diagnosis, Outcome

# What a container waits for, and what to do about it. Those that are not here pass by themselves.
WAITING = {
    "ErrImagePull": "Check the image's name and tag, and kubernetes.image_pull_secrets.",
    "ImagePullBackOff": "Check the image's name and tag, and kubernetes.image_pull_secrets.",
    "ErrImageNeverPull": "The image is not on the node, and kubernetes.image_pull_policy is Never: load it there, or "
    "take IfNotPresent.",
    "InvalidImageName": "Correct the image's name: --image.",
    "CreateContainerConfigError": "Make what is missing in the namespace (kubernetes.credentials_from names the "
    "secret).",
    "CreateContainerError": "See `kubectl describe pod`.",
    "RunContainerError": "See `kubectl describe pod`.",
}
NAMES_NO_IMAGE = "InvalidImageName"
# A namespace's LimitRange, in its own words.
OUT_OF_RANGE = re.compile(r"(minimum|maximum) \S+ usage per|max limit to request ratio")
QUOTA = re.compile(r"exceeded quota: .*?requested: (?P<requested>\S+), used: \S+, limited: (?P<limited>\S+)")
# What fails while a pod is prepared; the kubelet tries again, and often the second time does it.
PREPARING = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
UNSCHEDULABLE = (
    "Ask for less, or give the cluster more nodes; kubernetes.*.node_selector and tolerations say which ones may be "
    "used."
)
OUT_OF_MEMORY = "Give it more memory: spark.driver_memory_overhead, or for executors spark.executor_memory_overhead."
LIMITS = (
    "Keep to the namespace's LimitRange: spark.driver_memory, spark.driver_memory_overhead, "
    "kubernetes.driver.cpu_request and cpu_limit."
)
EVICTED = "Give it more room: kubernetes.local_directory.size; or more memory."


def of_pod(pod: Manifest, events: Sequence[Manifest] = ()) -> Diagnosis | None:
    """What is wrong with a pod that doesn't run; None where nothing is, or only time is needed."""
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
        return Diagnosis("OOMKilled: it used more memory than it was given", OUT_OF_MEMORY)
    if ended.get("exitCode") and ended.get("message"):  # what it left in its termination log
        if word := LastWord.read(ended["message"]):
            return Diagnosis(word.cause, word.hint)
        return Diagnosis(f"exit code {ended['exitCode']}: {ended['message'].strip()}", "")
    return None


def of_waiting(pods: Sequence[Manifest], events: Callable[[str], Sequence[Manifest]]) -> list[Diagnosis]:
    """What pods wait for that are alike, each trouble once; `events` tells what happened to a pod by its name."""
    found = [trouble for pod in pods if (trouble := of_pod(pod))]
    if pods and not found:  # what is told of one holds for all
        trouble = of_pod(pods[0], events(pods[0]["metadata"]["name"]))
        found = [trouble] if trouble else []
    return list({trouble.hint or trouble.cause: trouble for trouble in sorted(found, key=str)}.values())


def exit_code(pod: Manifest, container: str) -> int | None:
    """With what the container of a pod ended, None while it hasn't."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if status["name"] == container and ended:
            return int(ended["exitCode"])
    return None


def last_word(pod: Manifest, container: str) -> LastWord | None:
    """What the container of a pod left when it ended, None where it has left nothing, as one that was killed."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated") or {}
        if status["name"] == container and ended.get("message"):
            return LastWord.read(ended["message"])
    return None


def progress(pod: Manifest) -> Progress | None:
    """How far the run of a driver's pod is, None where it has not said so yet, or not in words that are known here."""
    text = (pod["metadata"].get("annotations") or {}).get(PROGRESS_ANNOTATION)
    with suppress(ValueError):
        return Progress.read(text) if text else None
    return None


def keeping(pod: Manifest, container: str) -> str:
    """What keeps a pod, and so its Job, from ending although the container has ended; empty where nothing does."""
    if pod.get("status", {}).get("phase") != "Running" or exit_code(pod, container) is None:
        return ""
    statuses = pod["status"].get("containerStatuses") or ()
    running = [str(status["name"]) for status in statuses if "running" in (status.get("state") or {})]
    return f"its pod runs on for container {', '.join(running)}" if running else ""


def has_begun(pod: Manifest, container: str) -> bool:
    """Whether a container runs or has run, so that it has a log."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if status["name"] == container:
            return "waiting" not in (status.get("state") or {})
    return pod.get("status", {}).get("phase") not in ("Pending", None)


def of_job(events: Sequence[Manifest]) -> Diagnosis | None:
    """Why a Job's pod can't even be made: a quota, a policy, an account that isn't there."""
    if not events or events[-1].get("reason") != "FailedCreate":
        return None
    message = str(events[-1].get("message", ""))
    if "exceeded quota" in message:
        return Diagnosis(
            message, "Ask for less, or have the namespace's quota raised.", passes=not _is_more_than_the_quota(message)
        )
    if "violates PodSecurity" in message:
        return Diagnosis(message, "Take out of kubernetes.driver.template what the namespace forbids.", passes=False)
    if OUT_OF_RANGE.search(message):
        return Diagnosis(message, LIMITS, passes=False)
    if "serviceaccount" in message:
        return Diagnosis(message, "Make that service account, or name another: kubernetes.service_account.")
    return Diagnosis(message, "See `kubectl describe job`.")


def _is_more_than_the_quota(message: str) -> bool:
    """Whether there would be no room either if nobody else used any."""
    found = QUOTA.search(message)
    requested, limited = (
        dict(part.split("=", 1) for part in found[key].split(",")) if found else {} for key in ("requested", "limited")
    )
    return any(key in limited and amount(asked) > amount(limited[key]) for key, asked in requested.items())


def job_end(job: Manifest) -> tuple[bool, str] | None:
    """Whether a Job ended well and why not, None while it goes on."""
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return condition[
                "type"
            ] == "Complete", f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return None


def kept_ending(keeping: str, drivers: Sequence[Manifest], container: str) -> Outcome:
    """How a job ended whose driver has, while its pod is kept (`keeping`)."""
    return Outcome(0) if exit_code(drivers[-1], container) == 0 else job_ending(keeping, drivers, container)


def job_ending(reason: str, drivers: Sequence[Manifest], container: str, log_trouble: str = "") -> Outcome:
    """How a failed job ended: the last driver's exit code where it has one of ours, else 1; `log_trouble` says why
    there is no log.
    """
    last = drivers[-1] if drivers else {}
    code, trouble = exit_code(last, container), of_pod(last)
    starts = f" at the last of {len(drivers)} starts" if len(drivers) > 1 else ""
    if reason.startswith("DeadlineExceeded"):
        return Outcome(
            1,
            "it took longer than kubernetes.deadline_seconds",
            "Give it more; what it finished stays, the same command goes on.",
        )
    ended = f"the driver ended with exit code {code}{starts}" if code is not None else "the driver was lost"
    # That rule is ours: it only says again with which code the driver ended.
    why = f": {trouble.cause}" if trouble else "" if reason.startswith("PodFailurePolicy") else f" ({reason})"
    why_not = "Its log says why; fix that first." if code == UsageError.exit_code else "Its log says why."
    if log_trouble:
        why_not = f"Its log would say why, but can't be read: {log_trouble}."
    hint = trouble.hint if trouble else f"{why_not} What it finished is kept; the same command resumes it."
    return Outcome.failed(code, ended + why, hint)
