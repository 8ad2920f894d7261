"""A container's log, followed through connections that end before it does."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

from mxspark.errors import PassingError

RECONNECT_SECONDS = 1.0
CLOCK_SECONDS = 30  # that the cluster's clocks may differ from this one
# containerd stamps a container's two streams in two threads: of lines written at once, a later one can have an earlier stamp.
DISORDER = timedelta(seconds=1)
# As containerd writes it, with the node's own time zone.
STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d) ")


def stamp_of(line: str) -> tuple[datetime | None, str]:
    """When a line was written, to the second, and its text. Some lines are the kubelet's own words, and have no stamp."""
    found = STAMPED.match(line)
    if found is None:
        return None, line
    return datetime.fromisoformat(found[1] + found[3]), line[found.end() :]


def follow(read: Callable[[int | None], Iterator[str]], goes_on: Callable[[], bool], stop: Event) -> Iterator[str]:
    """The lines of a log, each once, until nothing more can come, or between two connections `stop` is set.

    `read` gives the lines with their stamps, of so many last seconds where it is told a number; its connection may end at any time.
    `goes_on` says whether more can come then. Both may raise PassingError, after which they are asked again.
    """
    last: datetime | None = None
    told: deque[tuple[datetime, str]] = deque()  # of about the last second
    while True:
        begin, before = last, {line for _, line in told}
        try:
            for line in read(_seconds_since(last)):
                stamp, text = stamp_of(line)
                if stamp is not None:
                    if begin is not None and (stamp < begin - DISORDER or line in before):
                        continue
                    last = stamp if last is None else max(last, stamp)
                    told.append((stamp, line))
                    while told[0][0] < last - DISORDER:
                        told.popleft()
                yield text
            if not goes_on():
                return
        except PassingError:
            pass
        if stop.wait(RECONNECT_SECONDS):
            return


def _seconds_since(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return max(1, int((datetime.now(UTC) - moment).total_seconds()) + CLOCK_SECONDS)
