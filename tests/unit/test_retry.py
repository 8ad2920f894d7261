"""Trying again: as often and as long as the settings allow, with waits that grow and scatter, and counted by cause."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mxspark.errors import MxsparkError
from mxspark.settings.job import StorageSettings
from mxspark.storage import DeniedError, MissingError, StorageError, TooLargeError, retries_so_far, telling
from mxspark.storage.retry import FIRST_WAIT, LONGEST_WAIT, Patience
from mxspark.storage.store import CAUSES, TransientError

BUSY = TransientError("s3://bucket/photo.png: SlowDown", "Be patient.", cause="throttled")


class Clock:
    """Time that passes by sleeping alone; one for each thread."""

    def __init__(self) -> None:
        self._mine = threading.local()

    @property
    def sleeps(self) -> list[float]:
        sleeps: list[float] = self._mine.__dict__.setdefault("sleeps", [])
        return sleeps

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def now(self) -> float:
        return sum(self.sleeps)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.sleep", clock.sleep)
    monkeypatch.setattr("time.monotonic", clock.now)
    return clock


def failing(times: int, error: StorageError = BUSY) -> Callable[[], str]:
    """A function that fails so often before it gives something."""
    left = iter([error] * times)

    def function() -> str:
        for one in left:
            raise one
        return "bytes"

    return function


def given_up(function: Callable[[], object], **settings: float) -> StorageError:
    with pytest.raises(StorageError) as error:
        Patience(StorageSettings(**settings))(function)
    return error.value


def tally(function: Callable[[], object]) -> Counter[str]:
    """What is counted while the function runs."""
    before = retries_so_far()
    function()
    return retries_so_far() - before


# ---- how often, and how long ----


@pytest.mark.parametrize("retries", [0, 1, 8])
def test_a_function_is_tried_again_so_often_as_the_settings_say(clock: Clock, retries: int) -> None:
    assert Patience(StorageSettings(retries=retries))(failing(retries)) == "bytes"
    assert len(clock.sleeps) == retries

    error = given_up(failing(retries + 1), retries=retries)

    assert type(error) is StorageError
    assert error.problem == BUSY.problem + (f" (tried {retries + 1} times)" if retries else "")


def test_what_works_at_once_is_called_once(clock: Clock) -> None:
    calls: list[int] = []

    Patience(StorageSettings())(lambda: calls.append(1))

    assert (calls, clock.sleeps) == ([1], [])


def test_waits_double_up_to_a_limit(clock: Clock) -> None:
    Patience(StorageSettings(retries=12, retry_seconds=1000))(failing(12))

    for number, wait in enumerate(clock.sleeps):
        longest = min(FIRST_WAIT * 2**number, LONGEST_WAIT)
        assert longest / 2 <= wait <= longest


def test_waits_scatter_so_that_a_thousand_workers_do_not_come_back_all_at_once(clock: Clock) -> None:
    for _ in range(200):
        Patience(StorageSettings())(failing(3))

    third = sorted(clock.sleeps[2::3])
    assert len(set(third)) > 190
    assert third[20] < 0.6 * 4 * FIRST_WAIT
    assert third[-20] > 0.9 * 4 * FIRST_WAIT


def test_no_wait_goes_beyond_the_budget_of_time(clock: Clock) -> None:
    error = given_up(failing(51), retries=50, retry_seconds=30)

    assert 30 - LONGEST_WAIT <= clock.now() < 30
    assert error.problem == f"{BUSY.problem} (tried {len(clock.sleeps) + 1} times)"


def test_trying_takes_of_the_budget_too(clock: Clock) -> None:
    def slow() -> None:
        clock.sleep(25)
        raise BUSY

    error = given_up(slow, retries=50, retry_seconds=30)

    assert "tried 2 times" in error.problem


def test_without_a_budget_nothing_is_tried_again(clock: Clock) -> None:
    assert given_up(failing(1), retry_seconds=0).problem == BUSY.problem
    assert clock.sleeps == []


def test_every_call_has_a_budget_of_its_own(clock: Clock) -> None:
    patience = Patience(StorageSettings(retries=5, retry_seconds=9))

    assert [patience(failing(4)) for _ in range(10)] == 10 * ["bytes"]


# ---- what is told ----


def test_a_long_wait_is_told_with_its_cause_and_its_limit_and_then_sparsely(clock: Clock) -> None:
    told: list[tuple[float, str]] = []
    with telling(lambda text: told.append((clock.now(), text))):
        given_up(
            failing(10**4, TransientError("SlowDown", place="s3://bucket", cause="throttled")),
            retries=50,
            retry_seconds=120,
        )

    assert 2 <= len(told) <= 5
    for now, text in told:
        left = int(text.removeprefix("Waiting for s3://bucket: SlowDown. Retrying for ").removesuffix(" s more."))
        assert 120 - now <= left <= 121 - now


def test_a_wait_that_its_number_of_tries_limits_is_told_so(clock: Clock) -> None:
    told: list[str] = []
    with telling(told.append):
        given_up(failing(6), retries=5, retry_seconds=120)

    assert len(told) == 1
    assert "for 4 s more" in told[0] or "for 6 s more" in told[0] or "for 8 s more" in told[0]


def test_a_moment_is_not_worth_a_word(clock: Clock) -> None:
    told: list[str] = []
    with telling(told.append):
        assert Patience(StorageSettings())(failing(2)) == "bytes"
    Patience(StorageSettings())(failing(8))

    assert told == []


# ---- errors ----


@pytest.mark.parametrize(
    "error",
    [
        DeniedError("access denied"),
        MissingError("no such object"),
        TooLargeError("too large"),
        StorageError("odd"),
        MxsparkError("other"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_last_are_raised_as_they_are_at_once(clock: Clock, error: MxsparkError) -> None:
    def function() -> None:
        raise error

    with pytest.raises(MxsparkError) as raised:
        Patience(StorageSettings())(function)

    assert raised.value is error
    assert clock.sleeps == []


def test_an_error_that_lasts_ends_the_trying(clock: Clock) -> None:
    errors = iter([BUSY, BUSY, MissingError("no such object")])

    def function() -> None:
        raise next(errors)

    assert given_up(function, retries=8).problem == "no such object"
    assert len(clock.sleeps) == 2


@pytest.mark.parametrize("kind", [StorageError, DeniedError, MissingError])
def test_an_error_that_stays_becomes_the_kind_that_it_stands_for_with_its_words(
    clock: Clock, kind: type[StorageError]
) -> None:
    error = TransientError(
        "s3://bucket: the credentials have expired", "Renew them.", cause="expired_credentials", final=kind
    )

    raised = given_up(failing(3, error), retries=2)

    assert type(raised) is kind
    assert raised.status == kind.status
    assert (raised.problem, raised.hint) == ("s3://bucket: the credentials have expired (tried 3 times)", "Renew them.")


# ---- the tally ----


@pytest.mark.parametrize("cause", CAUSES)
def test_what_is_tried_again_is_counted_by_its_cause(clock: Clock, cause: str) -> None:
    function = failing(3, TransientError("odd", cause=cause))

    assert tally(lambda: Patience(StorageSettings())(function)) == {cause: 3}


def test_the_last_try_is_not_one_that_was_tried_again(clock: Clock) -> None:
    assert tally(lambda: given_up(failing(9), retries=2)) == {"throttled": 2}
    assert tally(lambda: given_up(failing(9), retries=0)) == {}


def test_what_works_or_fails_for_good_is_not_counted(clock: Clock) -> None:
    assert tally(lambda: Patience(StorageSettings())(failing(0))) == {}
    assert tally(lambda: given_up(failing(1, DeniedError("access denied")))) == {}


def test_the_tally_that_was_handed_out_does_not_change(clock: Clock) -> None:
    before = retries_so_far()
    kept = Counter(before)
    Patience(StorageSettings())(failing(2))

    assert before == kept


def test_threads_share_a_patience_but_neither_tries_nor_budgets(clock: Clock) -> None:
    patience = Patience(StorageSettings(retries=5, retry_seconds=9))

    def call(number: int) -> str:
        try:
            return patience(failing(number % 8))
        except StorageError as error:
            return error.problem.rpartition("(")[2]
        finally:
            clock.sleeps.clear()

    found: list[str] = []
    with ThreadPoolExecutor(16) as threads:
        counted = tally(lambda: found.extend(threads.map(call, range(800))))

    assert found == 100 * (6 * ["bytes"] + 2 * ["tried 6 times)"])
    assert counted == {"throttled": 100 * (0 + 1 + 2 + 3 + 4 + 5 + 5 + 5)}
