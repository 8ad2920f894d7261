"""The faults of the chaos run: each strikes at once, and is lifted a moment later."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil
from tests.faults.s3_faults import FaultyFront, Refusal
from tests.faults.s3_restarts import RestartableS3
from tests.faults.toxiproxy import Proxy, Toxic
from tests.faults.user import StubbornUser

TARGET_SECONDS = 300  # for a process that can be killed to be there: Spark may just be starting


@dataclass(frozen=True)
class World:
    """All that faults can strike: the job, and what lies between it and its data: proxy, faulty front, S3 server, in
    this order.
    """

    user: StubbornUser
    proxy: Proxy
    front: FaultyFront
    s3: RestartableS3


class Fault(Protocol):
    """Something that goes wrong. Its text says all that is needed to do it again."""

    def strike(self, world: World) -> None:
        """It begins."""

    def lift(self, world: World) -> None:
        """It is over."""


@dataclass(frozen=True)
class KillWorker:
    """SIGKILL for one of the Python workers: `pick` in [0, 1) says which."""

    pick: float

    def __str__(self) -> str:
        return f"SIGKILL for a Python worker (pick {self.pick})"

    def strike(self, world: World) -> None:
        _kill_one(world.user, world.user.workers, self.pick)

    def lift(self, world: World) -> None:
        """Spark starts another."""


@dataclass(frozen=True)
class KillExecutor:
    """SIGKILL for one of the executors' Java processes: `pick` in [0, 1) says which."""

    pick: float

    def __str__(self) -> str:
        return f"SIGKILL for an executor (pick {self.pick})"

    def strike(self, world: World) -> None:
        _kill_one(world.user, world.user.executors, self.pick)

    def lift(self, world: World) -> None:
        """Spark starts another."""


@dataclass(frozen=True)
class KillDriver:
    """SIGKILL for the command itself, which the user then starts again on `next_master`."""

    next_master: str

    def __str__(self) -> str:
        return f"SIGKILL for the driver, next on {self.next_master}"

    def strike(self, world: World) -> None:
        world.user.master = self.next_master
        _kill(world.user.driver())

    def lift(self, world: World) -> None:
        """The user starts it again."""


@dataclass(frozen=True)
class RestartS3:
    """The S3 server is killed (KILL) or told to end (TERM), and is back a moment later."""

    how: str

    def __str__(self) -> str:
        return f"S3 server down by SIG{self.how}"

    def strike(self, world: World) -> None:
        world.s3.stop(signal.Signals[f"SIG{self.how}"])

    def lift(self, world: World) -> None:
        world.s3.start()


@dataclass(frozen=True)
class BadNetwork:
    """The connections to S3 have a toxic."""

    toxic: Toxic

    def __str__(self) -> str:
        return f"network: {self.toxic}"

    def strike(self, world: World) -> None:
        world.proxy.poison(self.toxic)

    def lift(self, world: World) -> None:
        world.proxy.heal()


@dataclass(frozen=True)
class Outage:
    """Connections to S3 are closed and refused."""

    def __str__(self) -> str:
        return "network: outage"

    def strike(self, world: World) -> None:
        world.proxy.disable()

    def lift(self, world: World) -> None:
        world.proxy.enable()


@dataclass(frozen=True)
class Refuse:
    """S3 refuses a share of the requests."""

    refusal: Refusal
    share: float

    def __str__(self) -> str:
        return f"{self.refusal.status} {self.refusal.code} on {self.share:.0%}"

    def strike(self, world: World) -> None:
        world.front.refuse(self.refusal, self.share)

    def lift(self, world: World) -> None:
        world.front.heal()


def _kill_one(user: StubbornUser, find: Callable[[], list[psutil.Process]], pick: float) -> None:
    deadline = time.monotonic() + TARGET_SECONDS
    while not (found := find()):
        user.tend()
        assert not user.done, "the job was done before there was a process to kill"
        assert time.monotonic() < deadline, f"no process to kill within {TARGET_SECONDS} s"
        time.sleep(0.1)
    _kill(found[int(pick * len(found))])


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:  # it has ended by itself just now
        return
