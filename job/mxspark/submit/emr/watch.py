"""A job run that is asked about again and again, though AWS doesn't answer each time."""

from collections.abc import Callable

from mxspark.errors import MxsparkError, OutOfSightError, PassingError
from mxspark.submit.emr import job_runs
from mxspark.submit.emr.aws import Aws, NotThereError
from mxspark.submit.emr.job_runs import JobRun

PATIENCE_SECONDS = 1800.0  # with AWS that doesn't answer, while a job runs there
NEW_SECONDS = 60.0  # in which AWS may not know yet what it started


class Watch:
    """Asks how a job run is, with patience."""

    def __init__(
        self, aws: Aws, run: JobRun, clock: Callable[[], float], on_trouble: Callable[[str], None], *, is_new: bool = False
    ) -> None:
        """`is_new` where it was started just now."""
        self._aws = aws
        self._run = run
        self._clock = clock
        self._on_trouble = on_trouble
        self._is_new = is_new
        self._answered = clock()

    def ask(self) -> JobRun | None:
        """How it is, None where AWS doesn't say for the moment.

        Raises NotThereError where there is no such job run, OutOfSightError where AWS can't be asked any more.
        """
        try:
            run = job_runs.describe(self._aws, self._run.told["virtualClusterId"], self._run.id)
        except MxsparkError as error:
            if isinstance(error, NotThereError) and not self._is_new:
                raise
            if self._clock() - self._answered > _patience(error):
                raise OutOfSightError(error.problem, error.hint) from None
            self._on_trouble(f"{error.problem}; the job is not affected. Asking again")
            return None
        self._answered, self._is_new = self._clock(), False
        return run


def _patience(error: MxsparkError) -> float:
    """Seconds; without any where asking again is in vain."""
    return NEW_SECONDS if isinstance(error, NotThereError) else PATIENCE_SECONDS if isinstance(error, PassingError) else -1.0
