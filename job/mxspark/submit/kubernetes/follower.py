"""A job on Kubernetes, followed: its story is told until it ends."""

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
POLL_EXECUTORS = 100  # for each of which more it looks so much less often: their list is long
PATIENCE_SECONDS = 600.0  # with a cluster that doesn't answer, while a job runs there
KEPT_SECONDS = 40.0  # for sidecars to end after the driver: a pod's own grace, and some more
QUOTAS_SECONDS = 30.0  # between two looks at them, while executors are missing
LOG_SECONDS = 30.0  # for the end of the log, when the job has ended
LAST_LINES = 20  # of the driver's log, where the job failed
PROGRESS_SECONDS = 10.0  # between two words on how far the same step is


class JobGoneError(MxsparkError):
    """There is no job to follow any more."""


@dataclass(frozen=True)
class Found:
    """A job that is there: its Job's name, the name that its pods have in common, and who made it (owner.py), if it
    isn't a submission.

    A Job that a CronJob of a release's made is its own: Helm doesn't know of it.
    """

    job: str
    instance: str
    owner: Owner | None = None
    uid: str = ""  # of the Job: one that was cancelled may have had the same name, and its pods take a while to end

    @property
    def drivers(self) -> str:
        """Selects the driver's pods, the newest of which counts."""
        return f"{CONTROLLER_LABEL}={self.uid}" if self.uid else f"{JOB_LABEL}={self.job}"

    @property
    def executors(self) -> str:
        """Selects the executors' pods."""
        return selector(self.instance, "executor")


def selector(name: str, component: str | None = None) -> str:
    """Finds the pods of a job."""
    return ",".join(f"{key}={value}" for key, value in pods.labels(name, component).items())


class Follower:
    """Tells a job's story until it ends."""

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
        """A driver that has not begun after `start_seconds` ends it all; `settings` are the job's, where they are
        known.
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
        self._told: dict[str, str] = {}
        self._log = _Log(cluster)
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._log_trouble = ""
        self._progress: Progress | None = None
        self._next_progress = self._started
        self._notes_told: dict[str, int] = {}  # by driver's pod

    def follow(self) -> Outcome:
        """Returns when the job has ended.

        Raises JobGoneError where it is gone, or its driver does not start in time; OutOfSightError where the cluster
        can't be asked.
        """
        answered = time.monotonic()
        try:
            while True:
                try:
                    ending = self._look()
                    if ending is not None:
                        return ending
                    answered = time.monotonic()
                    if self._told.pop("cluster", None):
                        self._listener.note("The cluster answers again")
                except JobGoneError:
                    raise
                except (ForbiddenError, UsageError) as error:  # as of a log-in that has expired
                    raise OutOfSightError(error.problem, error.hint) from None
                except MxsparkError as error:
                    if time.monotonic() - answered > PATIENCE_SECONDS:
                        raise OutOfSightError(error.problem, error.hint) from None
                    self._once("cluster", f"{error.problem}; the job is not affected. Asking again")
                self._sleep(POLL_SECONDS * (1 + self._executors / POLL_EXECUTORS))
        finally:
            self._log.stop()

    def _look(self) -> Outcome | None:
        try:
            job = self._cluster.job(self._name)
        except MissingObjectError:
            return self._gone()
        self._drivers = drivers = self._cluster.pods(self._found.drivers)
        self._has_run = self._has_run or any(diagnosis.has_begun(pod, DRIVER_CONTAINER) for pod in drivers)
        if self._logs:
            for pod in drivers:
                self._log.read(pod)
            self._tell_lines()
        if drivers:
            self._tell_progress(drivers[-1])
        end = diagnosis.job_end(job)
        if end is not None:
            return self._end(*end)
        if drivers and (keeping := diagnosis.keeping(drivers[-1], DRIVER_CONTAINER)):
            return self._kept(keeping)
        self._kept_since = None
        trouble = self._tell_driver(job)
        if drivers:
            self._tell_executors()
        if trouble and not trouble.passes and not self._has_run:
            return self._cannot_start(trouble)
        if (
            self._start_seconds is not None
            and not self._has_run
            and time.monotonic() - self._started > self._start_seconds
        ):
            self._give_up(trouble or Diagnosis("no cause is known", ""))
        return None

    def _kept(self, keeping: str) -> Outcome | None:
        """The driver has ended, and its pod hasn't: as good as ended, if it stays so."""
        self._kept_since = self._kept_since or time.monotonic()
        if time.monotonic() - self._kept_since < KEPT_SECONDS:
            return None
        self._once(
            "driver",
            f"The driver has ended, but {keeping}: Kubernetes counts the job as unfinished, and starts no new driver. "
            "Let that container end with the driver (docs/kubernetes.md, sidecars), and delete the job.",
        )
        return self._end(diagnosis.exit_code(self._drivers[-1], DRIVER_CONTAINER) == 0, keeping)

    def _cannot_start(self, trouble: Diagnosis) -> Outcome:
        """Nothing has run, and nothing would however long one waits; whose job it isn't leaves it as it is."""
        if self._start_seconds is None:
            return Outcome(UsageError.exit_code, f"its driver can't start: {trouble.cause}", trouble.hint)
        self._cluster.delete_job(self._name)
        return Outcome(
            UsageError.exit_code, f"its driver can't start, and it was deleted: {trouble.cause}", trouble.hint
        )

    def _gone(self) -> Outcome:
        if self._drivers and self._drivers[-1]["status"].get("phase") == "Succeeded":
            return self._end(True, "")
        raise JobGoneError(
            f"job {self._name} is gone: somebody deleted it, or it had ended and was kept no longer",
            "What it finished is kept: mxspark status OUTPUT counts it. Submit it again to go on.",
        )

    def _give_up(self, cause: Diagnosis) -> None:
        self._cluster.delete_job(self._name)
        raise JobGoneError(
            f"the driver did not start within {self._start_seconds:g} s, and job {self._name} was deleted: "
            f"{cause.cause}",
            cause.hint,
        )

    def _once(self, about: str, text: str, what: str | None = None) -> None:
        """Tells it unless it was the last thing told about that; `what` it is where its words vary."""
        what = self._without_names(what or text)
        if self._told.get(about) != what:
            self._told[about] = what
            self._listener.note(text)

    def _without_names(self, text: str) -> str:
        """Of the pods, which are others with each try."""
        return re.sub(rf"\b({re.escape(self._name)}|{re.escape(self._found.instance)})-[-\w]+", "…", text)

    def _tell_driver(self, job: Manifest) -> Diagnosis | None:
        if not self._drivers:
            return self._tell_no_driver(job)
        pod = self._drivers[-1]
        name, phase = pod["metadata"]["name"], pod["status"].get("phase")
        events = self._cluster.events(name) if phase == "Pending" else []
        trouble = diagnosis.of_pod(pod, events)
        if trouble and phase == "Pending":
            # ErrImagePull and ImagePullBackOff take turns: what helps says that they are the same.
            self._once("driver", f"Driver {name} waits: {trouble}", f"waits: {trouble.hint or trouble.cause}")
        else:
            words = {"Pending": "is coming up", "Running": "runs", "Failed": "failed", "Succeeded": "is done"}
            again = f" (start {len(self._drivers)})" if len(self._drivers) > 1 else ""
            is_told = diagnosis.last_word(pod, DRIVER_CONTAINER) is not None  # at the end
            why = f": {trouble}" if trouble and not is_told else ""
            self._once("driver", f"Driver {name} {words.get(phase, phase)}{again}{why}")
        return trouble

    def _tell_no_driver(self, job: Manifest) -> Diagnosis | None:
        if job["spec"].get("suspend"):
            self._once("driver", f"Job {self._name} is suspended: no pod is made until somebody resumes it")
            return None
        trouble = diagnosis.of_job(self._cluster.events(self._name))
        self._once(
            "driver", f"The driver's pod can't be made: {trouble}" if trouble else "Waiting for the driver's pod"
        )
        return trouble

    def _tell_executors(self) -> None:
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
            why = "".join(f"\n  {len(waiting)} wait: {trouble}" for trouble in troubles)
            same = "".join(f"\n  {len(waiting)} wait: {trouble.hint or trouble.cause}" for trouble in troubles)
            begins = waiting and not running and not troubles
            state = f"{len(waiting)}{of_all} are coming up" if begins else f"{running}{of_all} run"
            self._once("executors", f"Executors: {state}{why}", state + same)
        if len(live) < self._asked:
            self._tell_quotas()

    def _is_ours(self, executor: Manifest) -> bool:
        """Whether one of the drivers owns it, or it says nothing of owners."""
        owners = {owner["name"] for owner in executor["metadata"].get("ownerReferences") or ()}
        return not owners or not owners.isdisjoint(driver["metadata"]["name"] for driver in self._drivers)

    def _tell_quotas(self) -> None:
        if self._settings is None or time.monotonic() < self._next_quotas:
            return
        self._next_quotas = time.monotonic() + QUOTAS_SECONDS
        for name, told in quotas.told_full(self._settings, self._cluster.quotas()).items():
            self._once(name, told)

    @property
    def _is_predicted(self) -> bool:
        """Whether all shards are done."""
        return self._progress is not None and 0 < self._progress.shards == self._progress.shards_done

    def _tell_progress(self, driver: Manifest) -> None:
        name, found = driver["metadata"]["name"], diagnosis.progress(driver)
        if found is None or found == self._progress:
            return
        is_new_step = self._progress is None or found.step != self._progress.step
        self._progress = found
        if self._logs:  # which has it all
            return
        for note in found.notes_since(self._notes_told.get(name, 0)):
            self._listener.note(note)
        self._notes_told[name] = found.notes_told
        if is_new_step or time.monotonic() >= self._next_progress:
            self._next_progress = time.monotonic() + PROGRESS_SECONDS
            self._listener.progress(found)

    def _tell_lines(self) -> None:
        for line in self._log.lines():
            self._last.append(line)
            self._listener.log(line)
        for trouble in self._log.troubles():
            self._log_trouble = trouble
            self._once("log", f"The driver's log can't be read: {trouble}")

    def _end(self, succeeded: bool, reason: str) -> Outcome:
        word = diagnosis.last_word(self._drivers[-1], DRIVER_CONTAINER) if self._drivers else None
        if not self._logs and not succeeded and word is None:  # then its log may say why
            for pod in self._drivers[-1:]:
                self._log.read(pod)
        self._log.finish()
        self._tell_lines()
        if word is not None and word.results is not None and not self._logs:
            self._listener.results(word.results)
        if succeeded:
            return Outcome(0)
        return diagnosis.job_ending(reason, self._drivers, DRIVER_CONTAINER, "" if self._last else self._log_trouble)


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
        """Begins to read a driver's log where that is not done yet; returns whether it is the first time."""
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
            pass  # its pod is gone, which is told elsewhere
        except MxsparkError as error:
            self._troubles.put(error.problem)
        self._read.add(pod)

    def lines(self) -> list[str]:
        """What has come since the last time."""
        return _drained(self._lines)

    def troubles(self) -> list[str]:
        """Why something could not be read."""
        return _drained(self._troubles)

    def finish(self) -> None:
        """Waits for what is still to come of containers that have ended."""
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
