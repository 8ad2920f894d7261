"""The log of a job run's driver: where EMR on EKS puts it in S3 and CloudWatch, as its guide documents, and what is in
it.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mxspark.errors import PassingError
from mxspark.run import last_word
from mxspark.storage import StorageError, encoding, split_s3
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.pod_templates import CONTAINERS

# Spark's own lines, and the job's: spark-submit writes both streams of a Python driver to its standard output.
STREAMS = ("stderr", "stdout")
LONGEST_LINE = 4_096  # that is searched [characters]
DRIVER_ENDED = re.compile(
    r"User application exited with (\d+)|^(?!.*executor).*\bdriver\b.*\bexit ?code:? (\d+)", re.IGNORECASE
)
LONGEST = 2**28  # of a log that is read, as it is stored and once unpacked [bytes]
MOST_PAGES = 256  # of a log in CloudWatch, each of 1 MiB at most
READ_SECONDS = 15  # between two readings, each of the whole log
PIECE = 2**16  # so that after each of a million small members little is copied


@dataclass(frozen=True)
class LogLocations:
    """Where the logs of the job run `id` are: a folder in S3; streams of a group of CloudWatch, by what their names
    start with. None where EMR keeps none there. Of both, which have the same, the one in S3 is read.
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
        streams = f"{prefix}/{below}" if prefix else below
        return cls(run["id"], uri and f"{uri.rstrip('/')}/{below}", group, group and streams)

    def rows(self) -> list[tuple[str, str]]:
        """For a person: the driver's folder has the pod's name, spark-ID-driver, below that of Spark's application."""
        driver = f"spark-…/spark-{self.id}-driver…/stderr"
        found = [("logs in S3", f"{self.folder}{driver}.gz, stdout.gz")] if self.folder else []
        if self.group:
            found.append(("logs in CloudWatch", f"group {self.group}, streams {self.stream_prefix}{driver}"))
        return found

    def names(self, aws: Aws) -> Iterator[tuple[str, Any]]:
        """The names of all pods' streams, and when each was last written. Raises MxsparkError."""
        if self.folder:
            doing, (bucket, prefix) = f"looking for logs in {self.folder}", split_s3(self.folder)
            for entry in aws.pages("s3", "list_objects_v2", "Contents", doing, Bucket=bucket, Prefix=prefix):
                yield entry["Key"], entry["LastModified"]
        elif self.group:
            where = {"logGroupName": self.group, "logStreamNamePrefix": self.stream_prefix}
            doing = f"looking for logs in CloudWatch's group {self.group}"
            for stream in aws.pages("logs", "describe_log_streams", "logStreams", doing, **where):
                yield stream["logStreamName"], stream.get("lastEventTimestamp", 0)

    def read(self, aws: Aws, name: str) -> list[str]:
        """The lines of a stream, as far as LONGEST and MOST_PAGES allow. Raises MxsparkError."""
        if self.folder:
            data = aws.read_object(split_s3(self.folder)[0], name, LONGEST)
            return unpacked(data).decode(errors="replace").splitlines()
        where: dict[str, Any] = {"logGroupName": self.group, "logStreamName": name, "startFromHead": True}
        lines: list[str] = []
        for _ in range(MOST_PAGES):  # boto3 has no paginator for this
            answer = aws.call("logs", "get_log_events", f"reading {name} of CloudWatch", **where)
            lines += (line for event in answer["events"] for line in _message(event["message"]).splitlines())
            token = answer.get("nextForwardToken")
            if token in (None, where.get("nextToken")):  # at the end the same one again
                break
            where["nextToken"] = token
        return lines


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

    def __init__(self, aws: Aws, places: LogLocations) -> None:
        self._aws, self._places = aws, places
        self._driver = re.compile(rf".*/spark-[^/]+/spark-{places.id}-driver[^/]*")  # a restarted one has a suffix
        self.is_kept = bool(places.folder or places.group)  # whether the job run has a place for it
        self.streams: dict[str, list[str]] = {}  # the newest driver's lines, as they were read last

    def new_lines(self) -> Iterator[str]:
        """The newest driver's lines since the last call. Raises MxsparkError."""
        before, self.streams = self.streams, self.read()
        for name, lines in self.streams.items():
            yield from lines[len(before.get(name, ())) :]

    def last_lines(
        self, seconds: float, sleep: Callable[[float], None], is_enough: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """The same of a job that has ended, and what EMR delivers from now on: until some came and then no more, or it
        `is_enough`, for `seconds` at most.
        """
        has_grown = False
        for waited in range(0, max(0, int(seconds)) + 1, READ_SECONDS):
            if waited:
                sleep(READ_SECONDS)
            lines: list[str] = []
            with suppress(PassingError):
                lines = list(self.new_lines())
            yield from lines
            if is_enough() or (has_grown and not lines):
                return
            has_grown = waited > 0 and (has_grown or bool(lines))

    def read(self, of_submitter: bool = False) -> dict[str, list[str]]:
        """The streams, by pod and name, of the newest driver (or of the pod that submitted it). Raises MxsparkError."""
        names: dict[str, dict[str, str]] = defaultdict(dict)  # by pod and stream
        written: dict[str, Any] = {}
        for name, last in self._places.names(self._aws):
            found = re.fullmatch(r"(.+)/(stderr|stdout)(\.gz)?", name)
            if found and self._is_wanted(found[1], of_submitter):
                names[found[1]][found[2]] = name
                written[found[1]] = max(last, written.get(found[1], last))
        pod = max(names, key=written.__getitem__, default="")
        streams = {stream: names[pod][stream] for stream in STREAMS if stream in names[pod]}
        return {f"{pod}/{stream}": self._places.read(self._aws, name) for stream, name in streams.items()}

    def _is_wanted(self, pod: str, of_submitter: bool) -> bool:
        return "/containers/spark-" not in pod if of_submitter else self._driver.fullmatch(pod) is not None


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
