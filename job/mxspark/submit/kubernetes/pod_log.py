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
PATIENCE_SECONDS = 600.0  # for which a log that can't be read is retried, while its container runs
CLOCK_SECONDS = 30  # by which the cluster's clocks may differ from this one
# containerd timestamps a container's two streams in two threads: of lines written at once, a later one can have an
# earlier timestamp.
DISORDER = timedelta(seconds=1)
# As containerd writes it, with the node's own time zone.
STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d) ")


def written(line: str) -> tuple[datetime, str]:
    """When a line was written, to the second, and its text.

    Raises MxsparkError for a line without a timestamp: it is not the container's, but the kubelet's error message.
    """
    found = STAMPED.match(line)
    if found is None:
        raise MxsparkError(
            f"its node can't provide the log: {line.strip()}",
            "See `kubectl logs`; the node may have removed it, or be unhealthy.",
        )
    return datetime.fromisoformat(found[1] + found[3]), line[found.end() :]


def follow(read: Callable[[int | None], Iterator[str]], is_running: Callable[[], bool], stop: Event) -> Iterator[str]:
    """The lines of a log, each once, until the container has ended, or `stop` is set between two connections.

    `read` yields the lines with their timestamps, all or those of the last N seconds; its connection may end at any
    time. `is_running` says whether the container may write more then. Errors are retried for ten minutes, but for
    ForbiddenError.
    """
    last: datetime | None = None
    heard = answered = time.monotonic()
    recent: deque[tuple[datetime, str]] = deque()  # of about the last second
    while True:
        begin, before = last, {line for _, line in recent}
        try:
            for line in read(_seconds_since(last, heard)):
                heard = answered = time.monotonic()
                stamp, text = written(line)
                if begin is not None and (stamp < begin - DISORDER or line in before):
                    continue
                last = stamp if last is None else max(last, stamp)
                recent.append((stamp, line))
                while recent[0][0] < last - DISORDER:
                    recent.popleft()
                yield text
            if not is_running():
                return
            answered = time.monotonic()
        except ForbiddenError:
            raise
        except MxsparkError:  # a restarted kubelet reports for a while that the pod doesn't exist
            if time.monotonic() - answered > PATIENCE_SECONDS or not _may_be_running(is_running):
                raise
        if stop.wait(RECONNECT_SECONDS):
            return


def _may_be_running(is_running: Callable[[], bool]) -> bool:
    try:
        return is_running()
    except MxsparkError:
        return True


def _seconds_since(moment: datetime | None, heard: float) -> int | None:
    """Enough for what came after the last line: by its timestamp, or if this clock is behind, by when it arrived."""
    if moment is None:
        return None
    return int(max((datetime.now(UTC) - moment).total_seconds(), time.monotonic() - heard)) + CLOCK_SECONDS
