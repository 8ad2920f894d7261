"""A container's log, followed through connections that end before it does."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

from mxspark.errors import MxsparkError
from mxspark.submit.kubernetes.api_errors import ForbiddenError

RECONNECT_SECONDS = 1.0
PATIENCE_SECONDS = 600.0  # with a log that can't be read, while its container runs
CLOCK_SECONDS = 30  # that the cluster's clocks may differ from this one
# containerd stamps a container's two streams in two threads: of lines written at once, a later one can have an earlier
# stamp.
DISORDER = timedelta(seconds=1)
# As containerd writes it, with the node's own time zone.
STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d) ")


def written(line: str) -> tuple[datetime, str]:
    """When a line was written, to the second, and its text.

    Raises MxsparkError for a line without a stamp: it is not the container's, but the kubelet's own words of why it has
    no more.
    """
    found = STAMPED.match(line)
    if found is None:
        raise MxsparkError(
            f"its node can't give the log: {line.strip()}",
            "See `kubectl logs`; the node may have removed it, or be unhealthy.",
        )
    return datetime.fromisoformat(found[1] + found[3]), line[found.end() :]


def follow(read: Callable[[int | None], Iterator[str]], goes_on: Callable[[], bool], stop: Event) -> Iterator[str]:
    """The lines of a log, each once, until nothing more can come, or between two connections `stop` is set.

    `read` gives the lines with their stamps, of so many last seconds where it is told a number; its connection may end
    at any time. `goes_on` says whether more can come then. After an error they are asked again, for ten minutes. Raises
    ForbiddenError at once.
    """
    last: datetime | None = None
    heard = answered = time.monotonic()
    told: deque[tuple[datetime, str]] = deque()  # of about the last second
    while True:
        begin, before = last, {line for _, line in told}
        try:
            for line in read(_seconds_since(last, heard)):
                heard = answered = time.monotonic()
                stamp, text = written(line)
                if begin is not None and (stamp < begin - DISORDER or line in before):
                    continue
                last = stamp if last is None else max(last, stamp)
                told.append((stamp, line))
                while told[0][0] < last - DISORDER:
                    told.popleft()
                yield text
            if not goes_on():
                return
            answered = time.monotonic()
        except ForbiddenError:
            raise
        except MxsparkError:  # a kubelet that has just come back says for a while that the pod isn't there
            if time.monotonic() - answered > PATIENCE_SECONDS or not _may_go_on(goes_on):
                raise
        if stop.wait(RECONNECT_SECONDS):
            return


def _may_go_on(goes_on: Callable[[], bool]) -> bool:
    try:
        return goes_on()
    except MxsparkError:
        return True


def _seconds_since(moment: datetime | None, heard: float) -> int | None:
    """Enough for what came after the last line: by its stamp, and where this clock is late by when it was heard."""
    if moment is None:
        return None
    return int(max((datetime.now(UTC) - moment).total_seconds(), time.monotonic() - heard)) + CLOCK_SECONDS
