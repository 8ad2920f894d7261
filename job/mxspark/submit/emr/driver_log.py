"""The log of a job run's driver: where EMR on EKS puts it in S3 and CloudWatch, as its guide documents, and what is in
it.
"""

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mxspark.errors import PassingError
from mxspark.run import last_word
from mxspark.storage import StorageError, encoding, split_s3
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.pod_templates import CONTAINERS

# Spark's own lines, and the job's: spark-submit writes both streams of a Python driver to its standard output.
STREAMS = ("stderr", "stdout")
LONGEST_LINE = 4_096  # that is searched [characters]
DRIVER_ENDED = re.compile(
    r"User application exited with (\d+)|^(?!.*executor).*\bdriver\b.*\bexit ?code:? (\d+)", re.IGNORECASE
)
LONGEST = 2**28  # of a log that is read, as it is stored and once unpacked [bytes]
READ_SECONDS = 15.0  # between two readings, each of the whole log
PIECE = 2**16  # so that after each of a million small members little is copied


@dataclass(frozen=True)
class LogLocations:
    """Where the logs of the job run `id` are: a folder in S3; streams of a group of CloudWatch, by what their names
    start with. None where EMR keeps none there.
    """

    id: str
    folder: str | None
    group: str | None
    stream_prefix: str | None

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> "LogLocations":
        """From the description of a job run."""
        monitoring = (run.get("configurationOverrides") or {}).get("monitoringConfiguration") or {}
        uri = monitoring.get("s3MonitoringConfiguration", {}).get("logUri")
        cloud_watch = monitoring.get("cloudWatchMonitoringConfiguration", {})
        group, prefix = cloud_watch.get("logGroupName"), cloud_watch.get("logStreamNamePrefix")
        below = f"{run['virtualClusterId']}/jobs/{run['id']}/containers/"
        folder = None if uri is None else f"{uri.rstrip('/')}/{below}"
        streams = f"{prefix}/{below}" if prefix else below
        return cls(run["id"], folder, group, streams if group else None)

    def rows(self) -> list[tuple[str, str]]:
        """For a person: the driver's folder has the pod's name, spark-ID-driver, below that of Spark's application."""
        driver = f"spark-…/spark-{self.id}-driver…/stderr"
        found = [] if self.folder is None else [("logs in S3", f"{self.folder}{driver}.gz, stdout.gz")]
        if self.group is not None:
            found.append(("logs in CloudWatch", f"group {self.group}, streams {self.stream_prefix}{driver}"))
        return found


@dataclass(frozen=True)
class S3Logs:
    """Objects below the folder of a job run. Raises MxsparkError where they can't be read."""

    aws: Aws
    folder: str

    def names(self) -> Iterator[tuple[str, Any]]:
        """The names of all pods' streams, and when each was last written."""
        doing, (bucket, prefix) = f"looking for logs in {self.folder}", split_s3(self.folder)
        for entry in self.aws.pages("s3", "list_objects_v2", "Contents", doing, Bucket=bucket, Prefix=prefix):
            yield entry["Key"], entry["LastModified"]

    def read(self, name: str) -> list[str]:
        """The lines of a stream."""
        data = self.aws.read_object(split_s3(self.folder)[0], name, LONGEST)
        return unpacked(data).decode(errors="replace").splitlines()


@dataclass(frozen=True)
class CloudWatchLogs:
    """Streams of a log group, likewise."""

    aws: Aws
    group: str
    prefix: str

    def names(self) -> Iterator[tuple[str, Any]]:
        doing, where = f"looking for logs in CloudWatch's group {self.group}", {"logGroupName": self.group}
        for stream in self.aws.pages(
            "logs", "describe_log_streams", "logStreams", doing, **where, logStreamNamePrefix=self.prefix
        ):
            yield stream["logStreamName"], stream.get("lastEventTimestamp", 0)

    def read(self, name: str) -> list[str]:
        """The lines of a stream, the first LONGEST characters of it or a page more."""
        doing, where = f"reading {name} of CloudWatch", {"logGroupName": self.group, "logStreamName": name}
        lines: list[str] = []
        more: dict[str, str] = {}
        length = 0
        while True:
            answer = self.aws.call("logs", "get_log_events", doing, **where, startFromHead=True, **more)
            for event in answer["events"]:
                length += len(event["message"])
                lines += _message(event["message"]).splitlines()
            if length > LONGEST or answer.get("nextForwardToken") in (None, more.get("nextToken")):
                return lines
            more = {"nextToken": answer["nextForwardToken"]}


def _message(text: str) -> str:
    """EMR's forwarder wraps lines as {"message": …, "time": …}."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return str(found["message"]) if isinstance(found, dict) and found.keys() == {"message", "time"} else text


def unpacked(data: bytes) -> bytes:
    """A gzip file that may be incomplete, or plain bytes: at most LONGEST of them, as others may write logs too."""
    found = bytearray()
    pieces = (data[start : start + PIECE] for start in range(0, len(data), PIECE))
    with suppress(StorageError):  # its end is not written yet
        for piece in encoding.unpacked("log", pieces, "gzip"):
            found += piece
            if len(found) > LONGEST:
                break
    return bytes(found[:LONGEST])


class DriverLog:
    """The driver's log, as far as EMR has delivered it: with a delay of some minutes."""

    def __init__(self, aws: Aws, places: LogLocations, clock: Callable[[], float] = time.monotonic) -> None:
        self._driver = re.compile(rf".*/spark-[^/]+/spark-{places.id}-driver[^/]*")  # a restarted one has a suffix
        self._stores: list[S3Logs | CloudWatchLogs] = []  # EMR writes the same to each
        if places.folder is not None:
            self._stores.append(S3Logs(aws, places.folder))
        if places.group is not None:
            self._stores.append(CloudWatchLogs(aws, places.group, str(places.stream_prefix)))
        self._seen: dict[str, int] = {}
        self._clock, self._last_reading = clock, -math.inf

    @property
    def is_kept(self) -> bool:
        """Whether the job run has a place for it."""
        return bool(self._stores)

    def streams(self, of_submitter: bool = False) -> dict[str, list[str]]:
        """The lines by stream of the newest driver (or of the pod that submitted it), empty where there are none.
        Raises MxsparkError.
        """
        return {name.rpartition("/")[2]: lines for name, lines in self._read(of_submitter).items()}

    def new_lines(self) -> Iterator[str]:
        """The newest driver's lines since the last call. Raises MxsparkError."""
        self._last_reading = self._clock()
        for name, lines in self._read().items():
            yield from lines[self._seen.get(name, 0) :]
            self._seen[name] = len(lines)

    def due_lines(self) -> Iterator[str]:
        """The same, but none until READ_SECONDS have passed since it was read."""
        if self._clock() - self._last_reading >= READ_SECONDS:
            yield from self.new_lines()

    def last_lines(self, seconds: float, sleep: Callable[[float], None]) -> Iterator[str]:
        """The same of a job that has ended, and what EMR delivers from now on: until some came and then no more, for
        `seconds` at most.
        """
        has_come = False
        for reading in range(1 + max(0, math.ceil(seconds / READ_SECONDS))):
            if reading > 0:
                sleep(READ_SECONDS)
            lines: list[str] = []
            with suppress(PassingError):
                lines = list(self.new_lines())
            yield from lines
            if has_come and not lines:
                return
            has_come = reading > 0 and (has_come or bool(lines))

    def _read(self, of_submitter: bool = False) -> dict[str, list[str]]:
        """The streams by pod and name, of the first place that may be read."""
        while len(self._stores) > 1:
            with suppress(NotAllowedError, NotThereError):
                return self._newest(self._stores[0], of_submitter)
            self._stores.pop(0)
        return self._newest(self._stores[0], of_submitter) if self._stores else {}

    def _newest(self, log_store: S3Logs | CloudWatchLogs, of_submitter: bool) -> dict[str, list[str]]:
        names: dict[str, dict[str, str]] = defaultdict(dict)  # by pod and stream
        written: dict[str, Any] = {}
        for name, last in log_store.names():
            found = re.fullmatch(r"(.+)/(stderr|stdout)(\.gz)?", name)
            if found and self._is_wanted(found[1], of_submitter):
                names[found[1]][found[2]] = name
                written[found[1]] = max(last, written.get(found[1], last))
        pod = max(names, key=written.__getitem__, default="")
        return {f"{pod}/{stream}": log_store.read(names[pod][stream]) for stream in STREAMS if stream in names[pod]}

    def _is_wanted(self, pod: str, of_submitter: bool) -> bool:
        is_spark_s = re.search(r"/containers/spark-[^/]+/", f"{pod}/") is not None
        return not is_spark_s if of_submitter else self._driver.fullmatch(pod) is not None


def exit_code(lines: Sequence[str]) -> int | None:
    """The exit code of infer_main.py: from its own last line, else from what Spark and EMR report of the driver.

    Executors' exit codes mean something else.
    """
    if word := last_word.find(list(lines)):
        return word.exit_code
    code, container = None, ""
    for line in (line[:LONGEST_LINE] for line in lines):  # its patterns take quadratic time
        # spark-submit lists a pod's containers with a line for each field.
        if named := re.fullmatch(r"\s*container name: (\S+)\s*", line):
            container = named[1]
        ended = re.fullmatch(r"\s*exit code: (\d+)\s*", line) if container == CONTAINERS["driver"] else None
        if match := ended or DRIVER_ENDED.search(line):
            code = int(next(filter(None, match.groups())))
    return code
