"""What a run prints for programs; a whole run's lines are looked at in tests/monitoring."""

import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from mxspark.cli import console, json_lines
from mxspark.dataset.predictions import Counts
from mxspark.errors import MxsparkError
from mxspark.run import last_word
from mxspark.run.last_word import LastWord
from mxspark.worker.pipeline import Timings
from mxspark.worker.shard import ShardReport
from tests.conftest import Here


@pytest.fixture
def as_json() -> Iterator[console.JsonProgress]:
    """The console, printing JSON."""
    progress = console.run_progress("json", yes=True)
    assert isinstance(progress, console.JsonProgress)
    yield progress
    console.log_as_json(False)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        (["run", "--log-format", "json"], {}, True),
        (["run", "--log-format=json", "--input", "x"], {}, True),
        (["run"], {"MXSPARK_LOG_FORMAT": "json"}, True),
        (["run", "--log-format", "console"], {"MXSPARK_LOG_FORMAT": "json"}, False),
        (["run", "--log-format", "json", "--log-format=console"], {}, False),
        (["run", "--log-format"], {}, False),
        (["run", "json"], {}, False),
    ],
)
def test_json_is_asked_for_by_the_flag_or_the_environment(
    arguments: list[str], environ: dict[str, str], expected: bool
) -> None:
    assert json_lines.is_asked_for(arguments, environ) is expected


@pytest.mark.parametrize("wrong", [["--input=photos"], ["--no-such-flag"], ["--set=top_k=zero"]])
def test_what_is_wrong_with_a_command_line_is_json_too(here: Here, wrong: list[str]) -> None:
    ended = here("run", "--log-format=json", *wrong).ended_with(2)
    (line,) = lines(ended.errors)
    assert (line["event"], line["level"], line["exit_code"], ended.output) == ("error", "error", 2, "")
    assert line["message"]
    plain = here("run", *wrong).ended_with(2).errors
    assert plain.startswith("Error: ")


def test_other_commands_speak_to_people_whatever_the_environment_says(here: Here) -> None:
    ended = here("settings", "no_such_setting", environment={"MXSPARK_LOG_FORMAT": "json"}).ended_with(2)
    assert ended.errors.startswith("Error: ")


def test_nothing_that_is_printed_has_a_secret_or_commands_a_terminal(
    as_json: console.JsonProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "http://user:canary@host/x?X-Amz-Signature=canary"
    as_json.begin("run-1")
    as_json.note(f"Waiting for {secret} \x1b[2J\x9b2J\udcff")
    console.show_warning(secret)
    console.show_error(MxsparkError(secret, f"Look at {secret}"))
    assert logging.lastResort is not None
    logging.lastResort.handle(logging.LogRecord("library", logging.WARNING, "", 0, secret, None, None))
    told = capsys.readouterr()
    assert told.out == ""
    assert "canary" not in told.err
    assert told.err.isascii()
    assert not any(ord(letter) < 32 for letter in told.err.replace("\n", ""))
    found = lines(told.err)
    assert [line["event"] for line in found] == ["begin", "note", "warning", "error", "library"]
    assert {line["run"] for line in found} == {"run-1"}
    assert all(line["time"].endswith("+00:00") for line in found)


def test_a_library_s_faulty_call_of_its_log_does_not_end_the_run(
    as_json: console.JsonProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    assert logging.lastResort is not None
    logging.lastResort.handle(logging.LogRecord("library", logging.WARNING, "", 0, "%d images", ("canary",), None))
    (line,) = lines(capsys.readouterr().err)
    assert line["library"] == "library"
    assert "can't be formatted" in line["message"]
    assert "canary" not in line["message"]


def test_pythons_own_warnings_are_json_too(as_json: console.JsonProgress, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    console.log_as_json(False)
    with pytest.warns(DeprecationWarning, match="old"):
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines(capsys.readouterr().err)
    assert (line["event"], line["level"], line["library"]) == ("library", "warning", "py.warnings")
    assert "DeprecationWarning: old" in str(line["message"])


def test_the_trace_of_an_error_has_places_and_no_words_of_others(
    as_json: console.JsonProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "-".join(("password=can", "ary"))  # an error's words, which aren't in the source
    try:
        raise ValueError(words)
    except ValueError:
        console.show_trace()
    text = capsys.readouterr().err
    (line,) = lines(text)
    assert (line["event"], line["message"]) == ("trace", "ValueError")
    assert "test_json_lines" in str(line["frames"])
    assert words not in text


def test_progress_comes_now_and_then_and_executors_when_they_change(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    as_json = json_lines.JsonLines()
    as_json.planned(1000, 100, 10)
    for images in range(200, 1001, 100):
        now[0] += 5
        as_json.executors(2 if images < 500 else 1, 2)
        as_json.shard(ShardReport(1, Counts(Counter(ok=99, missing=1)), Timings(), Counter(), where="node-a"))
        as_json.done(images, 1, images // 100)
    found = lines(capsys.readouterr().err)
    counts = Counter(line["event"] for line in found)
    assert counts["shard"] == 9
    assert 1 <= counts["progress"] <= 5
    assert counts["executors"] == 2
    last = [line for line in found if line["event"] == "progress"][-1]
    assert last["images_per_second"] == pytest.approx(20, abs=1)
    assert (last["of_images"], last["of_shards"]) == (1000, 10)


def test_who_follows_a_log_finds_how_the_run_ended(
    as_json: console.JsonProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    as_json.begin("run-1")
    as_json.note('the event "ended" is not this')
    word = LastWord(3, "too many failed", "Fix them.")
    console.show_last_word(word)
    log = capsys.readouterr().err.splitlines()
    assert last_word.find([*log, "{not json", '{"event": "ended"}', '["ended"]']) == word
