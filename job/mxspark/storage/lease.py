"""A place in a bucket held by one process: an object that says who holds it, renewed as long as that one lives.

S3 has no locks that are released when a process dies. What it has is writing on condition that nobody wrote meanwhile
(If-None-Match, If-Match): of several who want the place one gets it. That a holder is dead is seen by its object not
changing for `seconds`, which takes no clocks that agree; where it was a process of this machine, at once.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Protocol, Self

from mxspark.storage.store import StorageError, held, parsed_holder

RENEWALS = 3  # in the time after which a holder that gives no sign is taken for dead
LOOK_SECONDS = 0.5
LONGEST = 86_400  # that anybody is waited for [seconds]; what output.lock_seconds can be at most
JOIN_SECONDS = 5.0  # for a server that may not answer, when nothing is left to do but to say good-bye


class TaggedStore(Protocol):
    """What a lease needs: writing on condition."""

    @property
    def name(self) -> str: ...

    def read_tagged(self, key: str) -> tuple[bytes, str] | None: ...

    def replace(self, key: str, data: bytes, tag: str | None) -> str | None: ...

    def delete(self, key: str) -> None: ...


class Lease:
    """Holds the store as long as the context lasts. Entering raises HeldError where another does."""

    def __init__(self, store: TaggedStore, key: str, owner: Mapping[str, Any], seconds: float) -> None:
        self._store = store
        self._key = key
        process = {"machine": _this_machine(), "start": _start_of(os.getpid()), "pid": os.getpid()}
        self._owner = dict(owner) | process | {"seconds": ceil(seconds)}
        self._seconds = seconds
        self._tag = ""
        self._renewals = 0
        self._ended = Event()
        self._taken_by: Mapping[str, Any] | None = None
        self._heart = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        while (tag := self._store.replace(self._key, self._data(), None)) is None:
            if (dead := self._wait_for_death()) is not None:
                tag = self._store.replace(self._key, self._data(), dead)
                if tag is not None:
                    break
        self._tag = tag
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heart.join(JOIN_SECONDS)
        leaving = Thread(target=self._leave, daemon=True)
        leaving.start()
        leaving.join(JOIN_SECONDS)

    def _leave(self) -> None:
        with suppress(StorageError):  # then it is taken for dead in a while
            found = self._store.read_tagged(self._key)
            if found is not None and self._is_ours(found[0]):  # another may have taken it over since the last beat
                self._store.delete(self._key)

    def check(self) -> None:
        if self._taken_by is not None:
            raise held(self._store.name, self._taken_by)

    def holder(self) -> Mapping[str, Any] | None:
        found = self._store.read_tagged(self._key)
        if found is None:
            return None
        holder = parsed_holder(found[0])
        return None if _is_dead_here(holder) else holder

    def _wait_for_death(self) -> str | None:
        """The tag of the object of a holder that is dead; None where there is no object any more. Raises HeldError
        where it lives.
        """
        first = self._store.read_tagged(self._key)
        if first is None:
            return None
        data, tag = first
        end = time.monotonic() + max(self._seconds, _patience_of(parsed_holder(data)))
        while not (self._is_ours(data) or _is_dead_here(parsed_holder(data))) and time.monotonic() < end:
            time.sleep(min(LOOK_SECONDS, self._seconds))
            now = self._store.read_tagged(self._key)
            if now is None:
                return None
            if now[1] != tag:
                raise held(self._store.name, parsed_holder(now[0]))
        return tag

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds / RENEWALS):
            with suppress(StorageError):  # no one takes it over before it expires; the next heartbeat may get through
                self._renew()
                if self._taken_by is not None:
                    return

    def _renew(self) -> None:
        self._renewals += 1
        tag = self._store.replace(self._key, self._data(), self._tag)
        if tag is None:
            found = self._store.read_tagged(self._key)
            if found is not None and self._is_ours(found[0]):
                tag = found[1]
            else:
                self._taken_by = parsed_holder(found[0]) if found else {}
                return
        self._tag = tag

    def _is_ours(self, data: bytes) -> bool:
        """What was written, and the answer was lost on the way."""
        return parsed_holder(data).get("run") == self._owner.get("run")

    def _data(self) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return json.dumps({**self._owner, "renewed": now, "renewals": self._renewals}).encode()


def _patience_of(holder: Mapping[str, Any]) -> int:
    """The holder's own `seconds`, of which it renews every third: another run may be set to a shorter time."""
    found = holder.get("seconds")
    return min(max(found, 0), LONGEST) if isinstance(found, int) else 0


def _is_dead_here(holder: Mapping[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is gone."""
    machine = _this_machine()
    return (
        machine is not None and holder.get("machine") == machine and _start_of(holder.get("pid")) != holder.get("start")
    )


def _this_machine() -> str | None:
    """This machine since its last start, and this container of it; None where that isn't known."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    return None


def _start_of(process: object) -> str | None:
    """When a process of this machine was started, in the kernel's clock; None where there is none."""
    with suppress(OSError, IndexError, ValueError):
        status = Path(f"/proc/{int(str(process))}/stat").read_text().rpartition(")")[2].split()
        return None if status[0] in "ZX" else status[19]  # fields 3 and 22 of proc(5)
    return None
