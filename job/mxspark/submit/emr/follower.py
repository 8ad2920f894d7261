"""A job run of EMR on EKS, followed: its events are reported until it ends."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from mxspark.dataset import plan
from mxspark.errors import MxsparkError
from mxspark.run import last_word
from mxspark.run.progress import Progress
from mxspark.settings.job import Settings
from mxspark.storage import Access, open_output
from mxspark.submit.emr import driver_log
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.diagnosis import NO_DRIVER, explain, hint_for
from mxspark.submit.emr.driver_log import DriverLog
from mxspark.submit.emr.job_runs import JobRun, Watch
from mxspark.submit.outcome import Listener, Outcome
from mxspark.text import duration

POLL_SECONDS, LONGEST_POLL_SECONDS = 2.0, 15.0  # AWS allows few requests a second for a whole account
PROGRESS_SECONDS = 15.0
WAITING_SECONDS = 180.0  # after which the wait is explained
LOG_SECONDS = 90.0  # EMR delivers the end of a log to S3 within a minute
MISSED_SECONDS = 20.0  # if no driver was seen, which may have run between two polls
LAST_LINES = 20
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


class Follower:
    """Reports a job run's events until it ends."""

    def __init__(
        self,
        aws: Aws,
        run: JobRun,
        listener: Listener,
        *,
        logs: bool = False,
        settings: Settings | None = None,
        is_new: bool = False,
        may_be_old: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`settings` are the job's, if they are known; else they are read from the job run. `is_new`: it was started
        just now; `may_be_old`: the same request may have started it long before.
        """
        self._aws = aws
        self._run = run
        self._listener = listener
        self._logs = logs
        self._is_new = is_new
        self._may_be_old = may_be_old
        self._ran = False  # as far as was seen
        self._sleep = sleep
        self._clock = clock
        self._log = DriverLog(aws, run.places)
        self._settings = settings or run.settings(aws.region)
        self._reported: dict[str, str] = {}
        self._last_progress = -PROGRESS_SECONDS
        self._progress: Progress | None = None

    def follow(self) -> Outcome:
        """Returns when the job run has ended. Raises OutOfSightError if AWS can't be reached any more,
        NotThereError.
        """
        started = self._clock()
        watch = Watch(
            self._aws, self._run, self._clock, lambda trouble: self._once("aws", trouble), is_new=self._is_new
        )
        while True:
            found = watch.ask()
            self._run = found or self._run
            self._ran = self._ran or self._run.state == "RUNNING"
            self._report(self._clock() - started)
            if self._run.has_ended:
                return self._end()
            self._may_be_old = self._may_be_old and found is None
            self._sleep(min(LONGEST_POLL_SECONDS, POLL_SECONDS + (self._clock() - started) / 60))

    def _once(self, about: str, text: str) -> None:
        if self._reported.get(about) != text:
            self._reported[about] = text
            self._listener.note(text)

    def _report(self, waited: float) -> None:
        run = self._run
        details = f": {run.details}" if run.details and not run.has_ended else ""
        after = f" after {duration.in_words(run.seconds)}" if run.has_ended and run.seconds is not None else ""
        self._once("state", f"Job run {run.id}: {run.state}{after}{details}")
        if self._may_be_old and run.has_ended:
            self._once("new", SAME_AGAIN)
        if run.attempt > 1:
            self._once("attempt", f"The driver was restarted, attempt {run.attempt}; it resumes the run")
        if run.state in ("PENDING", "SUBMITTED") and waited > WAITING_SECONDS:
            self._once(
                "waiting",
                f"Still waiting for its pods after {duration.in_words(waited)}: if the nodes have no room, or the "
                "image can't be pulled, EMR gives up after emr.start_seconds; `kubectl get events` in the virtual "
                "cluster's namespace shows the cause",
            )
        if run.state == "RUNNING" or run.has_ended:
            if run.ui:
                self._once("ui", "\n  ".join(("Spark's web UI, until thirty days after the end:", *run.ui)))
            self._report_progress(final=run.has_ended)
            if self._logs:
                self._report_log()

    def _report_progress(self, final: bool) -> None:
        if self._settings is None or not (final or self._clock() - self._last_progress > PROGRESS_SECONDS):
            return
        self._last_progress = self._clock()
        try:
            progress = read_progress(self._settings)
        except MxsparkError as error:
            self._once("progress", f"Its progress can't be read: {error.problem}")
            return
        if progress is not None and progress != self._progress:
            self._progress = progress
            self._listener.progress(progress)

    def _report_log(self) -> None:
        with suppress(MxsparkError):
            for line in self._log.new_lines():
                self._listener.log(line)

    def _end(self) -> Outcome:
        run = self._run
        if run.state == "COMPLETED":
            return self._completed()
        if run.state == "CANCELLED":
            return Outcome(1, f"it was cancelled{f' ({run.details})' if run.details else ''}", AGAIN)
        streams = self._last_streams()
        if not self._logs:
            for line in (line for lines in streams.values() for line in lines[-LAST_LINES:]):
                self._listener.log(line)
        lines = [line for lines in streams.values() for line in lines]
        return failure(run, lines, self._exit_code(lines))

    def _completed(self) -> Outcome:
        """EMR's state is not the driver's exit code: a run that succeeded has written _SUCCESS."""
        from mxspark.dataset.output import SUCCESS

        if self._settings is None:
            self._listener.note("EMR reports success; the job's settings are unknown, so its output was not checked")
            return Outcome(0)
        try:
            done = open_output(self._settings.output.path, Access(self._settings.storage).hasty).has(SUCCESS)
        except MxsparkError as error:
            self._listener.note(f"EMR reports success; whether the table is complete can't be checked: {error.problem}")
            return Outcome(0)
        if done:
            return Outcome(0)
        lines = [line for lines in self._last_streams().values() for line in lines]
        if (word := last_word.find(lines)) and word.cause:
            return Outcome.failed(word.exit_code, word.cause, word.hint)
        problem = f"EMR reports success, but {self._settings.output.path} has no {SUCCESS}"
        return Outcome.failed(self._exit_code(lines), problem, "The log says why.")

    def _last_streams(self) -> dict[str, list[str]]:
        """The driver's log, whose end EMR delivers after the job's; else that of the pod that submitted it."""
        found: dict[str, list[str]] = {}
        started = self._clock()
        try:
            with suppress(KeyboardInterrupt):  # the job has ended; only the wait for its log is given up
                while (
                    not self._is_whole(found := self._log.streams()) and self._clock() - started < self._log_seconds()
                ):
                    self._once("log", "Waiting for the log, which EMR delivers with a delay")
                    self._sleep(POLL_SECONDS * 2)
            return found or self._log.streams(of_submitter=True)
        except MxsparkError as error:
            self._once("log", f"The log can't be read: {error.problem}")
            return found

    def _is_whole(self, streams: dict[str, list[str]]) -> bool:
        """Whether there is nothing to wait for: the exit code is known, or what else was wrong."""
        lines = [line for lines in streams.values() for line in lines]
        is_known = (
            driver_log.exit_code([self._run.details, *lines]) is not None or hint_for(self._run.details) is not None
        )
        return not self._log.is_kept or (bool(lines) and is_known)

    def _log_seconds(self) -> float:
        """How long a log is worth waiting for: EMR reports RUNNING once there is a driver."""
        if self._ran or not (self._is_new or self._run.reason in NO_DRIVER):
            return LOG_SECONDS - self._run.seconds_since_end
        return 0 if self._run.reason in NO_DRIVER else MISSED_SECONDS

    def _exit_code(self, lines: list[str]) -> int | None:
        """The driver's, from its log, else from the log of the pod that submitted it."""
        code = driver_log.exit_code([self._run.details, *lines])
        if code is None:
            with suppress(MxsparkError):
                code = driver_log.exit_code(
                    [line for lines in self._log.streams(of_submitter=True).values() for line in lines]
                )
        return code


def failure(run: JobRun, lines: Sequence[str], code: int | None) -> Outcome:
    """How a failed job run ended: with the driver's own exit code if that is known, else 1."""
    attempts = f" at the last of {run.attempt} attempts" if run.attempt > 1 else ""
    if (word := last_word.find(list(lines))) and word.cause:
        return Outcome.failed(code, f"the driver ended{attempts} with: {word.cause}", word.hint or AGAIN)
    trouble = explain(run.reason, run.details, lines)
    return Outcome.failed(code, f"it failed{attempts}: {trouble.cause}", f"{trouble.hint} {AGAIN}")
