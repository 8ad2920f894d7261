"""Following a job that runs elsewhere: what is said when it isn't followed to its end."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from mxspark.cli import remote
from mxspark.cli.app import HANDLERS, HEARD, Detached, hear_signals, sleep
from mxspark.errors import MxsparkError, OutOfSightError, Terminated, UsageError
from mxspark.submit import resolver
from mxspark.submit.outcome import Listener
from mxspark.submit.remote_job import RemoteJob, Sleep
from tests.conftest import Here

EXPIRED = UsageError("the credentials have expired", "Log in again.")


@dataclass(frozen=True)
class Followed(RemoteJob):
    """A job whose story a test makes up."""

    story: Callable[[], NoReturn]
    end_command: str | None = None
    when_cancelled: BaseException = EXPIRED
    title = "job photos"
    address = "photos --namespace a"

    def status(self) -> NoReturn:
        raise NotImplementedError

    def follow(self, listener: Listener, *, logs: bool, sleep: Sleep = time.sleep) -> NoReturn:
        self.story()

    def logs(self, *, follow: bool, tail: int | None = None, sleep: Sleep = time.sleep) -> NoReturn:
        raise NotImplementedError

    def cancel(self, confirm: Callable[[str], bool]) -> NoReturn:
        raise self.when_cancelled


@pytest.mark.parametrize("kind", [OutOfSightError, UsageError])
def test_a_job_out_of_sight_goes_on_and_is_no_wrong_usage(kind: type[MxsparkError]) -> None:
    def story() -> NoReturn:
        raise kind("the credentials have expired", "Log in again.")

    with pytest.raises(MxsparkError) as told:
        remote.follow_job(Followed(story), logs=False)
    assert told.value.exit_code == 1
    assert (
        told.value.problem == "job photos keeps running, but can't be followed any more: the credentials have expired"
    )
    assert told.value.hint.startswith("Log in again.\n")
    assert "mxspark follow photos --namespace a" in told.value.hint


def test_a_job_that_is_gone_does_not_go_on() -> None:
    def story() -> NoReturn:
        raise MxsparkError("job photos is gone", "Submit it again.")

    with pytest.raises(MxsparkError, match="job photos is gone") as told:
        remote.follow_job(Followed(story), logs=False)
    assert "keeps running" not in str(told.value)


def test_a_job_that_is_ended_otherwise_is_told_how(capsys: pytest.CaptureFixture[str]) -> None:
    def story() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(Detached):
        remote.follow_job(Followed(story, "helm uninstall photos"), logs=False)
    told = capsys.readouterr().err
    assert "End:    helm uninstall photos\n" in told
    assert "mxspark cancel" not in told


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_follower_that_is_ended_says_that_the_job_goes_on(
    kind: type[BaseException], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def story() -> NoReturn:
        raise kind

    with pytest.raises(Detached) as left:
        remote.follow_job(Followed(story), logs=False)
    assert left.value.code == code
    told = capsys.readouterr().err
    assert "job photos keeps running." in told
    assert "mxspark cancel photos --namespace a" in told


def test_a_job_that_can_not_be_cancelled_is_told_with_how_to_end_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever chose to cancel it must not believe that it has ended."""

    def story() -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(remote, "_shall_be_cancelled", lambda what: True)
    with pytest.raises(Detached) as left:
        remote.follow_job(Followed(story), logs=False)
    assert left.value.code == 130
    told = capsys.readouterr().err
    assert "job photos could not be cancelled: the credentials have expired\nLog in again.\n" in told
    assert "End:    mxspark cancel photos --namespace a" in told


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_who_ends_the_cancelling_too_is_told_that_the_job_may_go_on(
    kind: type[BaseException],
    code: int,
    here: Here,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = Followed(interrupted, when_cancelled=kind())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(remote, "_shall_be_cancelled", lambda what: True)
    monkeypatch.setattr(resolver, "find", lambda name, where: job)
    may_go_on = "job photos may have been cancelled, or may go on.\nStatus: mxspark status photos --namespace a\n"
    with pytest.raises(Detached) as left:
        remote.follow_job(job, logs=False)
    assert (left.value.code, may_go_on in capfd.readouterr().err) == (code, True)
    assert may_go_on in here("cancel", "photos", "--yes").ended_with(code).errors


@pytest.fixture
def _signals_are_heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys.modules["mxspark.cli.app"], "IGNORED", set())  # a shell's background jobs ignore Ctrl-C
    before = {number: signal.getsignal(number) for number in HANDLERS}
    hear_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    HEARD.clear()


@pytest.mark.usefixtures("_signals_are_heard")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_that_a_library_swallows_is_heard_all_the_same(number: signal.Signals, code: int) -> None:
    def story() -> NoReturn:
        with suppress(BaseException):
            os.kill(os.getpid(), number)
        for _ in range(2):
            sleep(0.01)
        raise AssertionError("it went on")

    with pytest.raises(Detached) as left:
        remote.follow_job(Followed(story), logs=False)
    assert left.value.code == code


@pytest.mark.parametrize("flag", ["--namespace", "--region"])
def test_flags_that_find_a_job_are_refused_with_a_place(here: Here, tmp_path: Path, flag: str) -> None:
    """Ignored, they would leave somebody with another answer than the one asked for."""
    finished = here("status", tmp_path, flag, "a").ended_with(2)
    assert f"{tmp_path} is a folder or a place in a bucket" in finished.errors
    assert flag in finished.errors


@pytest.mark.parametrize("name", ["", "a b", "ü", "a/b", "s3://b/x", "x" * 300])
@pytest.mark.parametrize("command", ["follow", "logs", "cancel"])
def test_what_can_be_no_job_s_name_is_refused_before_a_cluster_is_looked_for(
    here: Here, command: str, name: str
) -> None:
    assert f"{name!r} can't be the name of a job" in here(command, name).ended_with(2).errors


def test_flags_of_both_kinds_of_jobs_exclude_each_other(here: Here) -> None:
    finished = here("cancel", "photos", "--region", "eu-west-1", "--namespace", "a").ended_with(2)
    assert "they exclude each other" in finished.errors


def test_an_empty_place_is_called_empty(here: Here) -> None:
    assert "OUTPUT is empty" in here("status", " ").ended_with(2).errors
