"""How a driver's end travels: small enough for Kubernetes whatever it has to show, and read as it was written."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxspark.dataset.predictions import Counts, Prediction, Row
from mxspark.errors import TooManyFailedError, UsageError
from mxspark.row_status import RowStatus
from mxspark.run import last_word
from mxspark.run.last_word import LONGEST, LastWord, Results
from mxspark.run.summary import Performance
from mxspark.worker.pipeline import Timings

PERFORMANCE = Performance(
    4, 3.0, 1.0, 1.0, 2, Timings(forward=3.0), Counter(throttled=7), "cpu(0)", (("executor 1", "no route"),)
)
ROWS = (Row("a.png", RowStatus.OK, None, (Prediction(7, "espresso", 0.5),)), Row("b.png", RowStatus.MISSING, "gone"))
RESULTS = Results(Counts(Counter(ok=1, missing=1), 1, 1, 1), {".heic": 2}, PERFORMANCE, ROWS, "s3://tables/digits")


def test_it_is_read_as_it_was_written() -> None:
    word = LastWord(3, "too many failed\nFor example b.png", "Fix them.", RESULTS)
    assert LastWord.read(word.to_json()) == word
    assert (
        last_word.find(["Starting Spark", word.line(), "26/11/28 INFO ShutdownHookManager: Shutdown hook called"])
        == word
    )


texts = st.text(st.characters(codec="utf-8"), max_size=3000)


@settings(deadline=None)
@given(
    cause=texts,
    hint=texts,
    keys=st.lists(texts, max_size=10),
    skipped=st.dictionaries(texts, st.integers(1), max_size=20),
)
def test_whatever_it_says_kubernetes_takes_all_of_it(
    cause: str, hint: str, keys: list[str], skipped: dict[str, int]
) -> None:
    rows = tuple(Row(key, RowStatus.DENIED, key) for key in keys)
    text = LastWord(1, cause, hint, Results(Counts(Counter(denied=9)), skipped, None, rows, "s3://tables")).to_json()
    assert len(text.encode()) <= LONGEST >= len(LastWord(1, "\0" * 1000, "\0" * 1000).to_json())
    word = LastWord.read(text)
    assert word is not None
    assert cause.startswith(word.cause)


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "7", "{}", '{"exit_code": "x"}', '{"exit_code": 1, "results": {"counts": 7}}', "[" * 10_000],
)
def test_what_is_no_last_word_is_none(text: str) -> None:
    """As what another program leaves in a termination message."""
    assert LastWord.read(text) is None
    assert last_word.find([text, last_word.LINE + text]) is None


def test_it_is_left_in_a_pod_alone(tmp_path: Path) -> None:
    place = tmp_path / "termination-log"
    LastWord(2, "no").leave(place)
    assert not place.exists()
    place.touch()
    LastWord(2, "no").leave(place)
    assert LastWord.read(place.read_text()) == LastWord(2, "no")


def test_a_run_in_which_too_many_failed_has_results_all_the_same() -> None:
    error = TooManyFailedError("20 of 20 failed", "Fix them.")
    assert LastWord.of(error) == LastWord(3, "20 of 20 failed", "Fix them.")
    error.results = RESULTS
    assert LastWord.of(error).results == RESULTS
    assert LastWord.of(UsageError("no model here", "")) == LastWord(2, "no model here")
