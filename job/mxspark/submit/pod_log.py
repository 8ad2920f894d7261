"""A container's log, followed through connections that end before it does."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Event

from mxspark.errors import PassingError

RECONNECT_SECONDS = 1.0
CLOCK_SECONDS = 30  # that the cluster's clocks may differ from this one
# As containerd writes it, with the node's own time zone.
STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")

Moment = tuple[datetime, str]  # to the second, and the digits behind it


def stamp_of(line: str) -> tuple[Moment | None, str]:
    """When a line was written, and its text. Some lines are the kubelet's own words, and have no stamp."""
    found = STAMPED.match(line)
    if found is None:
        return None, line
    moment = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    return (moment, (found[2] or "").ljust(9, "0")), line[found.end() :]


def follow(read: Callable[[int | None], Iterator[str]], goes_on: Callable[[], bool], stop: Event) -> Iterator[str]:
    """The lines of a log, each once, until nothing more can come, or between two connections `stop` is set.

    `read` gives the lines with their stamps, of so many last seconds where it is told a number; its connection may end at any time.
    `goes_on` says whether more can come then. Both may raise PassingError, after which they are asked again.
    """
    last: Moment | None = None
    while True:
        try:
            for line in read(_seconds_since(last)):
                stamp, text = stamp_of(line)
                if stamp is None:
                    yield text
                elif last is None or stamp > last:  # two lines never have the same
                    last = stamp
                    yield text
            if not goes_on():
                return
        except PassingError:
            pass
        if stop.wait(RECONNECT_SECONDS):
            return


def _seconds_since(moment: Moment | None) -> int | None:
    if moment is None:
        return None
    return max(1, int((datetime.now(UTC) - moment[0]).total_seconds()) + CLOCK_SECONDS)
