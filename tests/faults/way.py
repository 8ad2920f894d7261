"""The way from a client to the S3 server, through a proxy and a faulty front, and what can be wrong with it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from threading import Timer

from tests.faults.s3_faults import EXPIRED_TOKEN, INTERNAL_ERROR, SLOW_DOWN, FaultyFront, Refusal
from tests.faults.toxiproxy import Proxy, Toxic


@dataclass(frozen=True)
class Way:
    """Client, proxy, front, server, in this order."""

    proxy: Proxy
    front: FaultyFront

    @property
    def url(self) -> str:
        """The endpoint for the client."""
        return self.proxy.url


WayFault = Callable[[Way], AbstractContextManager[None]]


def _toxic(kind: str, stream: str = "downstream", **attributes: int) -> WayFault:
    return lambda way: way.proxy.poisoned(Toxic(kind, attributes, stream))


def _refusing(refusal: Refusal) -> WayFault:
    return lambda way: way.front.refusing(refusal)


# Each as bad as can be: while it lasts, nothing that takes more than a few bytes comes through within half a second.
WAY_FAULTS: dict[str, WayFault] = {
    "latency": _toxic("latency", latency=2000),
    "connections reset": _toxic("reset_peer", timeout=0),
    "connections reset after a moment": _toxic("reset_peer", "upstream", timeout=20),
    "answers cut in the middle": _toxic("limit_data", bytes=200),
    "requests cut in the middle": _toxic("limit_data", "upstream", bytes=100),
    "answers that never come": _toxic("timeout", timeout=0),
    "requests that never arrive": _toxic("timeout", "upstream", timeout=0),
    "connections closed without an answer": _toxic("timeout", timeout=100),
    "answers that trickle": _toxic("slicer", average_size=20, size_variation=5, delay=300_000),
    "outage": lambda way: way.proxy.outage(),
    "503 SlowDown": _refusing(SLOW_DOWN),
    "500 InternalError": _refusing(INTERNAL_ERROR),
    "400 ExpiredToken": _refusing(EXPIRED_TOKEN),
}


@contextmanager
def passing(fault: AbstractContextManager[None], seconds: float) -> Iterator[None]:
    """A fault that is there at first and is lifted after so many seconds."""
    stack = ExitStack()
    stack.enter_context(fault)
    timer = Timer(seconds, stack.close)
    timer.start()
    try:
        yield
    finally:
        timer.join()
