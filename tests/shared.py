"""What is made once a run, whichever of pytest-xdist's processes asks for it first: the others wait for it, and use it
too.

What is shared this way is pickled: places, addresses, names, results.
"""

import fcntl
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import pytest

T = TypeVar("T")

WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class _Failure:
    """What was to be made could not be; nobody tries again."""

    text: str


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole run, which all its processes have."""
    base = factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[], T]) -> T:
    """What `make` returns; one process calls it."""
    path = run_folder(factory) / name
    with _locked(path):
        return _made(path, make)


@contextmanager
def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """What `make` gives while any process uses it. The process that made it ends it, after the last user."""
    path = run_folder(factory) / name
    with open(f"{path}.users", "w") as users, ExitStack() as own:
        with _locked(path):
            fcntl.flock(users, fcntl.LOCK_SH)
            is_first = not _value(path).exists()
            found = _made(path, lambda: own.enter_context(make()))
        try:
            yield found
        finally:
            if is_first:
                _wait_for_others(path, users)


def _made(path: Path, make: Callable[[], T]) -> T:
    """What was made before, or is made now; fails the test where that fails or failed."""
    value = _value(path)
    if not value.exists():
        value.write_bytes(pickle.dumps(_try(make)))
    found: T | _Failure = pickle.loads(value.read_bytes())
    if isinstance(found, _Failure):
        pytest.fail(found.text)
    return found


def _value(path: Path) -> Path:
    return path.with_name(f"{path.name}.pickle")


def _try(make: Callable[[], T]) -> T | _Failure:
    try:
        return make()
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  # whichever, it fails all tests that need it
        return _Failure(f"{type(error).__name__}: {error}")


def _wait_for_others(path: Path, users: IO[str]) -> None:
    """Returns when nobody uses it any more, and who comes now makes another."""
    while True:
        with _locked(path):
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                _value(path).unlink()
                return
        time.sleep(WAIT_SECONDS)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(f"{path}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
