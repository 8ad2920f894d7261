"""What a run prints for programs: a JSON object a line. Events go to standard error, the result to standard output.

Every line has `time` (UTC), `level`, `event` and, once it has begun, `run`, the run's id; what else it has depends on
`event` (docs/monitoring.md).
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from mxspark.errors import MxsparkError, frames, without_secrets
from mxspark.run.last_word import EVENT, LastWord
from mxspark.run.progress import Meter, Silent

if TYPE_CHECKING:
    from mxspark.run.last_word import Results
    from mxspark.worker.shard import ShardReport

EVERY_SECONDS = 10  # between events of progress
FLAG, VARIABLE = "--log-format", "MXSPARK_LOG_FORMAT"


def is_asked_for(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a command line or the environment asks for JSON, for errors that come before there are settings."""
    given = [later for argument, later in pairwise(arguments) if argument == FLAG]
    given += [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{FLAG}=")]
    return (given or [environ.get(VARIABLE, "")])[-1] == "json"


class JsonLines(Silent):
    """Listens to a run, and writes what it hears."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._run: str | None = None
        self._meter = Meter()
        self._executors: tuple[int, int] | None = None
        self._next = time.monotonic() + EVERY_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def begin(self, run_id: str) -> None:
        self._run = run_id
        self.write("begin")

    def step(self, what: str) -> None:
        self.write("step", what)

    def note(self, what: str) -> None:
        self.write("note", what)

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None:
        self._meter.planned(keys, done, shards, shards_done)
        self.write("planned", images=keys, kept=done, shards=shards)

    def shard(self, report: "ShardReport") -> None:
        counts = report.counts
        self.write(
            "shard",
            shard=report.shard,
            images=counts.rows,
            failed=counts.failed,
            by_status=dict(counts.by_status),
            retries=dict(report.retries),
            bytes=report.bytes_read,
            seconds=round(report.seconds, 3),
            executor=report.where,
        )

    def done(self, images: int, failed: int, shards: int) -> None:
        self._meter.done(images, failed, shards)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        now = self._meter.now
        left = round((now.keys - now.images) / now.rate) if now.rate else None
        rate = round(now.rate, 1) if now.rate else None
        self.write(
            "progress",
            images=images,
            of_images=now.keys,
            failed=failed,
            shards=shards,
            of_shards=now.shards,
            images_per_second=rate,
            left_seconds=left,
        )

    def executors(self, running: int, wanted: int) -> None:
        if self._executors != (running, wanted):
            self._executors = running, wanted
            self.write("executors", running=running, wanted=wanted)

    def warning(self, text: str) -> None:
        self.write("warning", text, level="warning")

    def error(self, error: MxsparkError) -> None:
        self.write("error", error.problem, level="error", hint=without_secrets(error.hint), exit_code=error.exit_code)

    def trace(self, error: BaseException) -> None:
        """Where an error came from, for --debug."""
        self.write("trace", type(error).__name__, level="error", frames=without_secrets(frames(error)).splitlines())

    def library(self, level: str, name: str, text: str) -> None:
        """What a library logs."""
        self.write("library", text, level=level, library=name)

    def last_word(self, word: LastWord) -> None:
        """How the run ended, for whoever has only its log."""
        level = "error" if word.exit_code else "info"
        self.write(EVENT, level=level, word=json.loads(word.to_json()))

    def result(self, found: "Results") -> None:
        self.write("result", str(found), file=sys.stdout, **found.to_json())

    def write(
        self, event: str, message: str | None = None, level: str = "info", file: TextIO | None = None, **more: Any
    ) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": now, "level": level, "event": event}
        line |= {"run": self._run} if self._run else {}
        line |= {} if message is None else {"message": without_secrets(message)}
        # In ASCII: what a terminal would obey, and what is no UTF-8, is escaped.
        with self._lock:  # threads of libraries write too
            print(json.dumps(line | more) + "\n", end="", file=file or sys.stderr, flush=True)
