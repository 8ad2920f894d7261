"""Cancelling Spark's job: a call that is lost is made again.

tests/spark/test_interruptions.py has the real thing, which loses one in some 70.
"""

from concurrent.futures import Future

from mxspark.spark.application import CANCEL_TRIES, cancel


class _Java:
    """Spark's job, of whose cancellations the first ones are lost."""

    def __init__(self, lost: int, *, with_error: bool = False) -> None:
        self.running = Future[None]()
        self.calls = 0
        self._lost, self._with_error = lost, with_error

    def cancel(self) -> None:
        self.calls += 1
        if self.calls > self._lost:
            self.running.set_exception(ValueError("cancelled"))
        elif self._with_error:
            raise OSError("the connection is closed")


def test_a_job_is_cancelled_by_one_call() -> None:
    java = _Java(lost=0)
    assert cancel(java.cancel, java.running)
    assert java.calls == 1


def test_a_call_that_was_lost_is_made_again() -> None:
    java = _Java(lost=2)
    assert cancel(java.cancel, java.running, seconds=0.01)
    assert java.calls == 3


def test_a_call_that_failed_is_made_again() -> None:
    java = _Java(lost=1, with_error=True)
    assert cancel(java.cancel, java.running, seconds=0.01)
    assert java.calls == 2


def test_a_job_that_never_ends_is_told() -> None:
    java = _Java(lost=CANCEL_TRIES)
    assert not cancel(java.cancel, java.running, seconds=0.01)
    assert java.calls == CANCEL_TRIES
