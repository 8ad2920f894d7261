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
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.diagnosis import NO_DRIVER, explain, hint_for
from mxspark.submit.emr.driver_log import READ_SECONDS, DriverLog, exit_code
from mxspark.submit.emr.job_runs import JobRun, polled
from mxspark.submit.outcome import Listener, Outcome
from mxspark.text import duration

WAITING_SECONDS = 180.0  # after which the wait is explained
LOG_SECONDS = 90.0  # EMR delivers the end of a log to S3 within a minute
LAST_LINES = 20
STILL_WAITING = (
    "Still waiting for its pods after {}: if the nodes have no room, or the image can't be pulled, EMR gives up after "
    "emr.start_seconds; `kubectl get events` in the virtual cluster's namespace shows the cause"
)
AGAIN = "What it finished is kept; the same command resumes it (with another output.submission, where it names one)."


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
    """Reports a job run's events until it ends. `settings` are the job's; without them they are read from the job
    run.
    """

    aws: Aws
    run: JobRun
    listener: Listener
    settings: Settings | None = None
    logs: bool = False
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.settings = self.settings or self.run.settings(self.aws.region)
        self._log = DriverLog(self.aws, self.run.places)
        self._reported: dict[str, object] = {}
        self._next_look = self.clock()

    def follow(self) -> Outcome:
        """Returns when the job run has ended. Raises OutOfSightError if AWS can't be reached any more."""
        started = self.clock()
        for found in polled(self.aws, self.run, partial(self._once, "aws"), sleep=self.sleep, clock=self.clock):
            self.run = found or self.run
            self._report(self.clock() - started)
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
        if run.attempt > 1:
            self._once("attempt", f"The driver was restarted, attempt {run.attempt}; it resumes the run")
        if run.state in ("PENDING", "SUBMITTED") and waited > WAITING_SECONDS:
            self._once("waiting", STILL_WAITING.format(duration.in_words(waited)))
        if run.state != "RUNNING" and not run.has_ended:
            return
        if run.ui:
            self._once("ui", "\n  ".join(("Spark's web UI, until thirty days after the end:", *run.ui)))
        if run.has_ended or self.clock() >= self._next_look:
            self._next_look = self.clock() + READ_SECONDS
            self._report_progress()
            if self.logs and not run.has_ended:
                with suppress(MxsparkError):
                    for line in self._log.new_lines():
                        self.listener.log(line)

    def _report_progress(self) -> None:
        if self.settings is None:
            return
        try:
            progress = read_progress(self.settings)
        except MxsparkError as error:
            self._once("progress", f"Its progress can't be read: {error.problem}")
            return
        if progress is not None and progress != self._reported.get("progress"):
            self._reported["progress"] = progress
            self.listener.progress(progress)

    def _end(self) -> Outcome:
        run, problem = self.run, self._missing_table() if self.run.state == "COMPLETED" else ""
        has_failed = run.state == "FAILED" or bool(problem)
        if self.logs or has_failed:
            self._read_rest()
        if run.state == "CANCELLED":
            return Outcome(1, f"it was cancelled{f' ({run.details})' if run.details else ''}", AGAIN)
        if not has_failed:
            return Outcome(0)
        streams, code = self._log.streams, self._exit_code()
        if code is None or not streams:  # then the pod that submitted it may say why
            with suppress(MxsparkError):
                of_submitter = self._log.read(of_submitter=True)
                streams, code = streams or of_submitter, code or exit_code([*chain(*of_submitter.values())])
        if not self.logs:
            for line in chain(*(lines[-LAST_LINES:] for lines in streams.values())):
                self.listener.log(line)
        return self._failure(problem, code, [*chain(*streams.values())])

    def _failure(self, problem: str, code: int | None, lines: list[str]) -> Outcome:
        attempts = f" at the last of {self.run.attempt} attempts" if self.run.attempt > 1 else ""
        if (word := last_word.find(lines)) and word.cause:
            return Outcome.failed(code, f"the driver ended{attempts} with: {word.cause}", word.hint or AGAIN)
        if problem:
            return Outcome.failed(code, problem, "The log says why.")
        trouble = explain(self.run.reason, self.run.details, lines)
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

    def _read_rest(self) -> None:
        """Reads the rest of the log, which EMR delivers after the job's end, as far as it is worth waiting for."""
        never_ran = self.run.reason in NO_DRIVER or not self._log.is_kept
        seconds = 0 if never_ran else LOG_SECONDS - self.run.seconds_since_end
        try:
            for line in self._log.last_lines(seconds, self._wait, self._is_explained):
                if self.logs:
                    self.listener.log(line)
        except (KeyboardInterrupt, Terminated):  # the job has ended; only the wait for its log is given up
            pass
        except MxsparkError as error:
            self._once("log", f"The log can't be read: {error.problem}")

    def _wait(self, seconds: float) -> None:
        self._once("log", "Waiting for the log, which EMR delivers with a delay")
        self.sleep(seconds)

    def _is_explained(self) -> bool:
        """Whether the log need not be shown, and has said why the job failed."""
        is_known = self._exit_code() is not None or hint_for(self.run.details) is not None
        return not self.logs and any(self._log.streams.values()) and is_known

    def _exit_code(self) -> int | None:
        return exit_code([self.run.details, *chain(*self._log.streams.values())])
