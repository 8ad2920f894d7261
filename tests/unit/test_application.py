"""Cancelling Spark's job: a call that fails, or changes nothing, is made again."""

from concurrent.futures import Future

from mxspark.spark.application import CANCEL_TRIES, cancel


class _Java:
    """Spark's job, of whose cancellations the first ones change nothing, or fail."""

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


def test_a_call_that_changed_nothing_is_made_again() -> None:
    java = _Java(lost=2)
    assert cancel(java.cancel, java.running, seconds=0.01)
    assert java.calls == 3


def test_a_call_that_failed_is_made_again() -> None:
    java = _Java(lost=1, with_error=True)
    assert cancel(java.cancel, java.running, seconds=0.01)
    assert java.calls == 2


def test_a_call_that_failed_is_made_again_though_nobody_waits_for_the_job_any_more() -> None:
    java = _Java(lost=1, with_error=True)
    ended = Future[None]()
    ended.set_exception(OSError("the connection is closed"))
    assert cancel(java.cancel, ended, seconds=0.01)
    assert java.calls == 2


def test_a_job_that_never_ends_is_told() -> None:
    java = _Java(lost=CANCEL_TRIES)
    assert not cancel(java.cancel, java.running, seconds=0.01)
    assert java.calls == CANCEL_TRIES
