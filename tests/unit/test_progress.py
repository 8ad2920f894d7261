"""The rate of a run: of the last seconds, steady however shards end, and not made up while it can't be told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxspark.cli import console
from mxspark.run.progress import LEAST_SECONDS, WINDOW_SECONDS, Rate


def rate_of(*seen: tuple[float, int]) -> float | None:
    rate = Rate()
    for now, images in seen:
        rate.add(now, images)
    return rate.per_second


def test_before_and_at_the_first_images_there_is_no_rate() -> None:
    assert rate_of() is None
    assert rate_of((100, 1024)) is None


def test_shards_that_end_together_make_no_rate() -> None:
    """Two workers that started together: 1,024 images in a few milliseconds."""
    assert rate_of((100, 1024), (100.008, 2048)) is None


def test_the_rate_is_that_of_the_last_seconds() -> None:
    slow = [(float(second), 10 * second) for second in range(100)]
    fast = [(100 + float(second), 1000 + 50 * second) for second in range(int(WINDOW_SECONDS) + 1)]

    assert rate_of(*slow) == 10
    assert rate_of(*slow, *fast) == 50


def test_shards_that_take_longer_than_the_window_have_a_rate_too() -> None:
    assert rate_of((0, 100), (60, 200)) == pytest.approx(100 / 60)
    assert rate_of((0, 100), (60, 200), (180, 300)) == pytest.approx(100 / 120)


@given(workers=st.integers(1, 16), shard=st.integers(1, 1024), seconds=st.floats(0.1, 300), shards=st.integers(2, 40))
def test_whatever_the_shards_the_rate_is_told_within_those_that_ended_first(
    workers: int, shard: int, seconds: float, shards: int
) -> None:
    ends = [number * seconds for number in range(1, shards + 1) for _ in range(workers)]
    found = rate_of(*((end, shard * (number + 1)) for number, end in enumerate(ends)))

    if found is not None:
        window = max(LEAST_SECONDS, min(WINDOW_SECONDS, ends[-1] - ends[0]))
        assert abs(found - workers * shard / seconds) <= 1.01 * workers * shard / window


def test_what_is_shown_while_workers_start_and_afterwards(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("mxspark.cli.console.time.monotonic", lambda: now)
    progress = console.ConsoleProgress()
    progress.planned(keys=4000, done=1000, shards=40)
    assert capsys.readouterr().err.splitlines()[-1] == "Starting workers"

    for second in (11.0, 11.01, 22.0, 33.0):
        now = second
        progress.done(1000 + int(100 * (second - 10)), 0, 10)
    speeds = re.findall(r"[\d.]+ images/s, .* left", capsys.readouterr().err)
    assert speeds == ["100.0 images/s, 18.0 s left", "100.0 images/s, 7.0 s left"]
