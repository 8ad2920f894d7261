"""A job run of EMR on EKS, followed: its events are reported until it ends."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain

from mxspark.dataset import plan
from mxspark.errors import MxsparkError, Terminated
from mxspark.run import last_word
from mxspark.run.progress import Progress
from mxspark.settings.job import Settings
from mxspark.storage import Access, open_output
from mxspark.submit.emr import driver_log
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.diagnosis import NO_DRIVER, explain, hint_for
from mxspark.submit.emr.driver_log import DriverLog
from mxspark.submit.emr.job_runs import POLL_SECONDS, JobRun, polled
from mxspark.submit.outcome import Listener, Outcome
from mxspark.text import duration

PROGRESS_SECONDS = 15.0
WAITING_SECONDS = 180.0  # after which the wait is explained
LOG_SECONDS = 90.0  # EMR delivers the end of a log to S3 within a minute
MISSED_SECONDS = 20.0  # if no driver was seen, which may have run between two polls
LAST_LINES = 20
WAITING_FOR_LOG = "Waiting for the log, which EMR delivers with a delay"
STILL_WAITING = (
    "Still waiting for its pods after {}: if the nodes have no room, or the image can't be pulled, EMR gives up after "
    "emr.start_seconds; `kubectl get events` in the virtual cluster's namespace shows the cause"
)
AGAIN = "What it finished is kept; the same command resumes it (with another output.submission, where it names one)."
SAME_AGAIN = (
    "AWS returned the job run that the same request started before, and it has ended: nothing was started. "
    "For a new one use another output.submission."
)


def read_progress(settings: Settings) -> Progress | None:
    """From the files in the output, None while it has no plan. Raises MxsparkError."""
    from mxspark.dataset import predictions

    store = open_output(settings.output.path, Access(settings.storage).hasty)
    frozen = plan.load(store)
    if frozen is None:
        return None
    begun_by = frozen.settings.get("output", {}).get("submission")
    if settings.output.overwrite and begun_by != settings.output.submission:
        return None  # that of an earlier run, which this one is about to delete
    return Progress(shards=frozen.shards, shards_done=len(predictions.finished_shards(store, settings.output.format)))


@dataclass
class Follower:
    """Reports a job run's events until it ends. `settings` are the job's, if they are known; else they are read from
    the job run. `is_new`: it was started just now; `may_be_old`: the same request may have started it long before.
    """

    aws: Aws
    run: JobRun
    listener: Listener
    logs: bool = False
    settings: Settings | None = None
    is_new: bool = False
    may_be_old: bool = False
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.settings = self.settings or self.run.settings(self.aws.region)
        self._log = DriverLog(self.aws, self.run.places, self.clock)
        self._has_run = False  # as far as was seen
        self._waits = True  # for the end of the log, until Ctrl-C
        self._reported: dict[str, str] = {}
        self._last_progress = -PROGRESS_SECONDS
        self._progress: Progress | None = None

    def follow(self) -> Outcome:
        """Returns when the job run has ended. Raises OutOfSightError if AWS can't be reached any more,
        NotThereError.
        """
        started = self.clock()
        polls = polled(
            self.aws, self.run, partial(self._once, "aws"), is_new=self.is_new, sleep=self.sleep, clock=self.clock
        )
        for found in polls:
            self.run = found or self.run
            self._has_run = self._has_run or self.run.state == "RUNNING"
            self._report(self.clock() - started)
            self.may_be_old = self.may_be_old and found is None
        return self._end()

    def _once(self, about: str, text: str) -> None:
        if self._reported.get(about) != text:
            self._reported[about] = text
            self.listener.note(text)

    def _report(self, waited: float) -> None:
        run = self.run
        details = f": {run.details}" if run.details and not run.has_ended else ""
        after = f" after {duration.in_words(run.seconds)}" if run.has_ended and run.seconds is not None else ""
        self._once("state", f"Job run {run.id}: {run.state}{after}{details}")
        if self.may_be_old and run.has_ended:
            self._once("new", SAME_AGAIN)
        if run.attempt > 1:
            self._once("attempt", f"The driver was restarted, attempt {run.attempt}; it resumes the run")
        if run.state in ("PENDING", "SUBMITTED") and waited > WAITING_SECONDS:
            self._once("waiting", STILL_WAITING.format(duration.in_words(waited)))
        if run.state == "RUNNING" or run.has_ended:
            if run.ui:
                self._once("ui", "\n  ".join(("Spark's web UI, until thirty days after the end:", *run.ui)))
            self._report_progress()
            if self.logs and not run.has_ended:
                with suppress(MxsparkError):
                    for line in self._log.due_lines():
                        self.listener.log(line)

    def _report_progress(self) -> None:
        is_due = self.run.has_ended or self.clock() - self._last_progress > PROGRESS_SECONDS
        if self.settings is None or not is_due:
            return
        self._last_progress = self.clock()
        try:
            progress = read_progress(self.settings)
        except MxsparkError as error:
            self._once("progress", f"Its progress can't be read: {error.problem}")
            return
        if progress is not None and progress != self._progress:
            self._progress = progress
            self.listener.progress(progress)

    def _end(self) -> Outcome:
        run, problem = self.run, ""
        if self.logs:
            self._show_rest()
        if run.state == "CANCELLED":
            return Outcome(1, f"it was cancelled{f' ({run.details})' if run.details else ''}", AGAIN)
        if run.state == "COMPLETED" and not (problem := self._missing_table()):
            return Outcome(0)
        streams = self._last_streams()
        if not self.logs:
            for line in (line for lines in streams for line in lines[-LAST_LINES:]):
                self.listener.log(line)
        lines, attempts = list(chain(*streams)), f" at the last of {run.attempt} attempts" if run.attempt > 1 else ""
        code, word = self._exit_code(lines), last_word.find(lines)
        if word and word.cause:
            return Outcome.failed(code, f"the driver ended{attempts} with: {word.cause}", word.hint or AGAIN)
        if problem:
            return Outcome.failed(code, problem, "The log says why.")
        trouble = explain(run.reason, run.details, lines)
        return Outcome.failed(code, f"it failed{attempts}: {trouble.cause}", f"{trouble.hint} {AGAIN}")

    def _missing_table(self) -> str:
        """EMR's state is not the driver's exit code: a run that succeeded has written _SUCCESS. Empty if it has, or if
        that can't be checked.
        """
        from mxspark.dataset.output import SUCCESS

        unchecked = "the job's settings are unknown, so its output was not checked"
        if self.settings is not None:
            path = self.settings.output.path
            try:
                is_there = open_output(path, Access(self.settings.storage).hasty).has(SUCCESS)
                return "" if is_there else f"EMR reports success, but {path} has no {SUCCESS}"
            except MxsparkError as error:
                unchecked = f"whether the table is complete can't be checked: {error.problem}"
        self.listener.note(f"EMR reports success; {unchecked}")
        return ""

    def _show_rest(self) -> None:
        """Of the log: EMR delivers its end after the job's."""
        try:
            seconds = self._log_seconds() if self._log.is_kept else 0.0
            if seconds > 0:
                self._once("log", WAITING_FOR_LOG)
            for line in self._log.last_lines(seconds, self.sleep):
                self.listener.log(line)
        except (KeyboardInterrupt, Terminated):  # the job has ended; only the wait for its log is given up
            self._waits = False
        except MxsparkError as error:
            self._once("log", f"The log can't be read: {error.problem}")

    def _last_streams(self) -> list[list[str]]:
        """The driver's log, whose end EMR delivers after the job's; else that of the pod that submitted it."""
        found: list[list[str]] = []
        started = self.clock()
        try:
            with suppress(KeyboardInterrupt, Terminated):  # likewise
                while not self._is_whole(found := [*self._log.streams().values()]) and (
                    self.clock() - started < self._log_seconds()
                ):
                    self._once("log", WAITING_FOR_LOG)
                    self.sleep(POLL_SECONDS * 2)
            return found or [*self._log.streams(of_submitter=True).values()]
        except MxsparkError as error:
            self._once("log", f"The log can't be read: {error.problem}")
            return found

    def _is_whole(self, streams: list[list[str]]) -> bool:
        """Whether there is nothing to wait for: the exit code is known, or what else was wrong."""
        code = driver_log.exit_code([self.run.details, *chain(*streams)])
        is_known = code is not None or hint_for(self.run.details) is not None
        return not self._log.is_kept or (any(streams) and is_known)

    def _log_seconds(self) -> float:
        """How long a log is worth waiting for: EMR reports RUNNING once there is a driver."""
        if not self._waits:
            return 0
        if self._has_run or not (self.is_new or self.run.reason in NO_DRIVER):
            return LOG_SECONDS - self.run.seconds_since_end
        return 0 if self.run.reason in NO_DRIVER else MISSED_SECONDS

    def _exit_code(self, lines: list[str]) -> int | None:
        """The driver's, from its log, else from the log of the pod that submitted it."""
        code = driver_log.exit_code([self.run.details, *lines])
        if code is None:
            with suppress(MxsparkError):
                code = driver_log.exit_code([*chain(*self._log.streams(of_submitter=True).values())])
        return code
