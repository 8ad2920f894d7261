"""A job on Kubernetes, followed: its events are reported until it ends."""

import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread

from mxspark.errors import MxsparkError, OutOfSightError, UsageError
from mxspark.run.progress import Progress
from mxspark.settings.job import Settings
from mxspark.spark import pods
from mxspark.spark.pods import Manifest
from mxspark.submit.kubernetes import diagnosis, quotas
from mxspark.submit.kubernetes.api_errors import ForbiddenError, MissingObjectError
from mxspark.submit.kubernetes.cluster import Cluster
from mxspark.submit.kubernetes.manifests import CONTROLLER_LABEL, DRIVER_CONTAINER
from mxspark.submit.kubernetes.owner import Owner
from mxspark.submit.outcome import Diagnosis, Listener, Outcome

JOB_LABEL = "batch.kubernetes.io/job-name"
POLL_SECONDS = 1.0
POLL_EXECUTORS = 100  # each so many lengthen the interval by POLL_SECONDS: their list is long
PATIENCE_SECONDS = 600.0  # for which a cluster may be unreachable, while a job runs there
KEPT_SECONDS = 40.0  # for sidecars to end after the driver: a pod's default grace period, and a margin
QUOTAS_SECONDS = 30.0  # between two checks, while executors are missing
LOG_SECONDS = 30.0  # for the end of the log, when the job has ended
LAST_LINES = 20  # of the driver's log, where the job failed
PROGRESS_SECONDS = 10.0  # between two reports on the progress of the same step


class JobGoneError(MxsparkError):
    """The job doesn't exist any more."""


@dataclass(frozen=True)
class Found:
    """An existing job: its Job's name, the name that its pods have in common, and the tool that manages it (owner.py),
    None for a submission.

    A Job that a release's CronJob created has no owner: Helm doesn't know of it.
    """

    job: str
    instance: str
    owner: Owner | None = None
    uid: str = ""  # of the Job: one that was cancelled may have had the same name, and its pods take a while to end

    @property
    def drivers(self) -> str:
        """The label selector of the driver's pods, the newest of which counts."""
        return f"{CONTROLLER_LABEL}={self.uid}" if self.uid else f"{JOB_LABEL}={self.job}"

    @property
    def executors(self) -> str:
        """The label selector of the executors' pods."""
        return selector(self.instance, "executor")


def selector(name: str, component: str | None = None) -> str:
    """The label selector of a job's pods."""
    return ",".join(f"{key}={value}" for key, value in pods.labels(name, component).items())


class Follower:
    """Reports a job's events until it ends."""

    def __init__(
        self,
        cluster: Cluster,
        found: Found,
        listener: Listener,
        *,
        logs: bool,
        start_seconds: float | None = None,
        settings: Settings | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """The job is deleted if its driver has not started after `start_seconds`, not counting the time for which the
        Job is suspended; `settings` are the job's, if they are known.
        """
        self._cluster = cluster
        self._found = found
        self._name = found.job
        self._listener = listener
        self._logs = logs
        self._start_seconds = start_seconds
        self._settings = settings
        self._sleep = sleep
        self._asked = settings.spark.executors if settings and not settings.spark.dynamic_allocation.enabled else 0
        self._started = time.monotonic()
        self._next_quotas = self._started + QUOTAS_SECONDS
        self._has_run = False
        self._kept_since: float | None = None
        self._drivers: list[Manifest] = []
        self._executors = 0
        self._reported: dict[str, str] = {}
        self._log = _Log(cluster)
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._log_trouble = ""
        self._progress: Progress | None = None
        self._next_progress = self._started
        self._notes_reported: dict[str, int] = {}  # by driver's pod

    def follow(self) -> Outcome:
        """Returns when the job has ended.

        Raises JobGoneError if it is gone, or its driver does not start in time; OutOfSightError if the cluster can't
        be reached any more.
        """
        answered = time.monotonic()
        try:
            while True:
                try:
                    outcome = self._poll()
                    if outcome is not None:
                        return outcome
                    answered = time.monotonic()
                    if self._reported.pop("cluster", None):
                        self._listener.note("The cluster can be reached again")
                except JobGoneError:
                    raise
                except (ForbiddenError, UsageError) as error:  # as of a log-in that has expired
                    raise OutOfSightError(error.problem, error.hint) from None
                except MxsparkError as error:
                    if time.monotonic() - answered > PATIENCE_SECONDS:
                        raise OutOfSightError(error.problem, error.hint) from None
                    self._once("cluster", f"{error.problem}; the job is not affected. Retrying")
                self._sleep(POLL_SECONDS * (1 + self._executors / POLL_EXECUTORS))
        finally:
            self._log.stop()

    def _poll(self) -> Outcome | None:
        try:
            job = self._cluster.job(self._name)
        except MissingObjectError:
            return self._gone()
        self._drivers = drivers = self._cluster.pods(self._found.drivers)
        self._has_run = self._has_run or any(diagnosis.has_begun(pod, DRIVER_CONTAINER) for pod in drivers)
        if self._logs:
            for pod in drivers:
                self._log.read(pod)
            self._report_lines()
        if drivers:
            self._report_progress(drivers[-1])
        end = diagnosis.job_end(job)
        if end is not None:
            return self._end(end)
        if drivers and (end := diagnosis.kept_end(drivers[-1], DRIVER_CONTAINER)):
            return self._kept(end)
        self._kept_since = None
        is_held = job["spec"].get("suspend", False)
        if is_held:
            self._started = time.monotonic()  # a queue may hold it for days
        trouble = self._report_driver(job)
        if drivers:
            self._report_executors()
        if trouble and not trouble.passes and not self._has_run:
            return self._cannot_start(trouble)
        if (
            self._start_seconds is not None
            and not self._has_run
            and not is_held
            and time.monotonic() - self._started > self._start_seconds
        ):
            self._give_up(trouble or Diagnosis("no cause is known", ""))
        return None

    def _kept(self, end: tuple[bool, str]) -> Outcome | None:
        """The driver has ended, and its pod keeps running: the job counts as ended if that lasts."""
        self._kept_since = self._kept_since or time.monotonic()
        if time.monotonic() - self._kept_since < KEPT_SECONDS:
            return None
        self._once(
            "driver",
            f"The driver has ended, but {end[1]}: Kubernetes considers the job unfinished, and starts no new driver. "
            "Let that container end with the driver (docs/kubernetes.md, sidecars), and delete the job.",
        )
        return self._end(end)

    def _cannot_start(self, trouble: Diagnosis) -> Outcome:
        """Waiting is pointless: deletes the job if this command submitted it."""
        if self._start_seconds is None:
            return Outcome(UsageError.exit_code, f"its driver can't start: {trouble.cause}", trouble.hint)
        self._cluster.delete_job(self._name)
        return Outcome(
            UsageError.exit_code, f"its driver can't start, and the job was deleted: {trouble.cause}", trouble.hint
        )

    def _gone(self) -> Outcome:
        if self._drivers and self._drivers[-1]["status"].get("phase") == "Succeeded":
            return self._end((True, ""))
        raise JobGoneError(
            f"job {self._name} is gone: it was deleted, or its retention after its end is over",
            "What it finished is kept: mxspark status OUTPUT shows it. Submit it again to resume.",
        )

    def _give_up(self, cause: Diagnosis) -> None:
        self._cluster.delete_job(self._name)
        raise JobGoneError(
            f"the driver did not start within {self._start_seconds:g} s, and job {self._name} was deleted: "
            f"{cause.cause}",
            cause.hint,
        )

    def _once(self, about: str, text: str, what: str | None = None) -> None:
        """Reports `text`, unless it was the last report on `about`; `what` is compared instead where the words vary."""
        what = self._without_names(what or text)
        if self._reported.get(about) != what:
            self._reported[about] = what
            self._listener.note(text)

    def _without_names(self, text: str) -> str:
        """Without the pods' names, which change with each attempt."""
        return re.sub(rf"\b({re.escape(self._name)}|{re.escape(self._found.instance)})-[-\w]+", "…", text)

    def _report_driver(self, job: Manifest) -> Diagnosis | None:
        if not self._drivers:
            return self._report_no_driver(job)
        pod = self._drivers[-1]
        name, phase = pod["metadata"]["name"], pod["status"].get("phase")
        events = self._cluster.events(name) if phase == "Pending" else []
        trouble = diagnosis.of_pod(pod, events)
        if trouble and phase == "Pending":
            # ErrImagePull and ImagePullBackOff alternate: they have the same hint.
            self._once("driver", f"Driver {name} is waiting: {trouble}", f"waits: {trouble.hint or trouble.cause}")
        else:
            words = {"Pending": "is starting", "Running": "is running", "Failed": "failed", "Succeeded": "succeeded"}
            again = f" (attempt {len(self._drivers)})" if len(self._drivers) > 1 else ""
            is_reported_later = diagnosis.last_word(pod, DRIVER_CONTAINER) is not None
            why = f": {trouble}" if trouble and not is_reported_later else ""
            self._once("driver", f"Driver {name} {words.get(phase, phase)}{again}{why}")
        return trouble

    def _report_no_driver(self, job: Manifest) -> Diagnosis | None:
        if job["spec"].get("suspend"):
            self._once("driver", f"Job {self._name} is suspended: no pod is created until it is resumed")
            return None
        trouble = diagnosis.of_job(self._cluster.events(self._name))
        self._once(
            "driver", f"The driver's pod can't be created: {trouble}" if trouble else "Waiting for the driver's pod"
        )
        return trouble

    def _report_executors(self) -> None:
        found = [pod for pod in self._cluster.pods(self._found.executors) if self._is_ours(pod)]
        live = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        self._executors = len(live)
        running = sum(pod["status"].get("phase") == "Running" for pod in live)
        waiting = [pod for pod in live if pod["status"].get("phase") == "Pending"]
        troubles = diagnosis.of_waiting(waiting, self._cluster.events)
        for pod in found:
            lost = diagnosis.of_pod(pod)
            if lost and pod["status"].get("phase") == "Failed":
                self._once(
                    f"lost: {self._without_names(str(lost))}", f"Executor {pod['metadata']['name']} was lost: {lost}"
                )
        of_all = f" of {self._asked}" if self._asked else ""
        if live and not self._is_predicted:  # Spark ends them then, which would look like a loss
            why = "".join(f"\n  {len(waiting)} waiting: {trouble}" for trouble in troubles)
            same = "".join(f"\n  {len(waiting)} waiting: {trouble.hint or trouble.cause}" for trouble in troubles)
            begins = waiting and not running and not troubles
            state = f"{len(waiting)}{of_all} starting" if begins else f"{running}{of_all} running"
            self._once("executors", f"Executors: {state}{why}", state + same)
        if len(live) < self._asked:
            self._report_quotas()

    def _is_ours(self, executor: Manifest) -> bool:
        """Whether one of the drivers owns it, or it has no owner."""
        owners = {owner["name"] for owner in executor["metadata"].get("ownerReferences") or ()}
        return not owners or not owners.isdisjoint(driver["metadata"]["name"] for driver in self._drivers)

    def _report_quotas(self) -> None:
        if self._settings is None or time.monotonic() < self._next_quotas:
            return
        self._next_quotas = time.monotonic() + QUOTAS_SECONDS
        for name, problem in quotas.full(self._settings, self._cluster.quotas()).items():
            self._once(name, problem)

    @property
    def _is_predicted(self) -> bool:
        """Whether all shards are done."""
        return self._progress is not None and 0 < self._progress.shards == self._progress.shards_done

    def _report_progress(self, driver: Manifest) -> None:
        name, found = driver["metadata"]["name"], diagnosis.progress(driver)
        if found is None or found == self._progress:
            return
        is_new_step = self._progress is None or found.step != self._progress.step
        self._progress = found
        if self._logs:  # which have it all
            return
        for note in found.notes_since(self._notes_reported.get(name, 0)):
            self._listener.note(note)
        self._notes_reported[name] = found.notes_total
        if is_new_step or time.monotonic() >= self._next_progress:
            self._next_progress = time.monotonic() + PROGRESS_SECONDS
            self._listener.progress(found)

    def _report_lines(self) -> None:
        for line in self._log.lines():
            self._last.append(line)
            self._listener.log(line)
        for trouble in self._log.troubles():
            self._log_trouble = trouble
            self._once("log", f"The driver's log can't be read: {trouble}")

    def _end(self, end: tuple[bool, str]) -> Outcome:
        word = diagnosis.last_word(self._drivers[-1], DRIVER_CONTAINER) if self._drivers else None
        if not self._logs and not end[0] and word is None:  # then its log may say why
            for pod in self._drivers[-1:]:
                self._log.read(pod)
        self._log.finish()
        self._report_lines()
        if word is not None and word.results is not None and not self._logs:
            self._listener.results(word.results)
        return diagnosis.outcome(end, self._drivers, DRIVER_CONTAINER, "" if self._last else self._log_trouble)


class _Log:
    """The logs of a job's drivers, each read by a thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._troubles: SimpleQueue[str] = SimpleQueue()
        self._threads: dict[str, Thread] = {}  # by pod
        self._read: set[str] = set()  # pods whose log has been read to its end
        self._stopped = Event()

    def read(self, pod: Manifest) -> bool:
        """Starts to read a driver's log unless that is under way; returns whether it is the first time."""
        name = pod["metadata"]["name"]
        thread = self._threads.get(name)
        if (
            name in self._read
            or (thread is not None and thread.is_alive())
            or not diagnosis.has_begun(pod, DRIVER_CONTAINER)
        ):
            return False
        self._threads[name] = Thread(target=self._follow, args=(name,), daemon=True)
        self._threads[name].start()
        return thread is None

    def _follow(self, pod: str) -> None:
        try:
            for line in self._cluster.follow_log(pod, DRIVER_CONTAINER, self._stopped):
                self._lines.put(line)
        except MissingObjectError:
            pass  # its pod is gone, which is reported elsewhere
        except MxsparkError as error:
            self._troubles.put(error.problem)
        self._read.add(pod)

    def lines(self) -> list[str]:
        """The lines since the last call."""
        return _drained(self._lines)

    def troubles(self) -> list[str]:
        """Why a log could not be read, since the last call."""
        return _drained(self._troubles)

    def finish(self) -> None:
        """Waits for the rest of the logs of containers that have ended."""
        until = time.monotonic() + LOG_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        self._stopped.set()


def _drained(queue: "SimpleQueue[str]") -> list[str]:
    found = []
    with suppress(Empty):
        while True:
            found.append(queue.get_nowait())
    return found
