"""The log of a job run's driver: where EMR on EKS puts it in S3 and CloudWatch, as its guide documents, and what is in
it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

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
PIECE = 2**16  # so that after each of a million small members little is copied


@dataclass(frozen=True)
class LogLocations:
    """Where the logs of the job run `id` of a virtual cluster are."""

    id: str
    virtual_cluster: str
    uri: str | None = None  # of s3MonitoringConfiguration
    group: str | None = None  # of cloudWatchMonitoringConfiguration
    prefix: str | None = None

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> "LogLocations":
        """From the description of a job run."""
        monitoring = run.get("configurationOverrides", {}).get("monitoringConfiguration", {})
        cloud_watch = monitoring.get("cloudWatchMonitoringConfiguration", {})
        uri = monitoring.get("s3MonitoringConfiguration", {}).get("logUri")
        return cls(
            run["id"],
            run["virtualClusterId"],
            uri,
            cloud_watch.get("logGroupName"),
            cloud_watch.get("logStreamNamePrefix"),
        )

    @property
    def _below(self) -> str:
        return f"{self.virtual_cluster}/jobs/{self.id}/containers/"

    @property
    def folder(self) -> str | None:
        """The pods' logs in S3."""
        return None if self.uri is None else f"{self.uri.rstrip('/')}/{self._below}"

    @property
    def stream_prefix(self) -> str:
        """What the names of the pods' log streams start with."""
        return f"{self.prefix}/{self._below}" if self.prefix else self._below

    def rows(self) -> list[tuple[str, str]]:
        """For a person: the driver's folder has the pod's name, spark-ID-driver, below that of Spark's application."""
        found = []
        if self.folder is not None:
            found.append(("logs in S3", f"{self.folder}spark-…/spark-{self.id}-driver…/stderr.gz, stdout.gz"))
        if self.group is not None:
            found.append(
                (
                    "logs in CloudWatch",
                    f"group {self.group}, streams {self.stream_prefix}spark-…/spark-{self.id}-driver…/stderr",
                )
            )
        return found

    def is_driver(self, name: str) -> bool:
        """Whether an object or stream is the driver's; a restarted one has a suffix."""
        return re.search(rf"/spark-[^/]+/spark-{self.id}-driver[^/]*/(stderr|stdout)(\.gz)?$", name) is not None


class LogStore(Protocol):
    """A place that keeps logs. Raises MxsparkError where it can't be read."""

    def names(self) -> Iterator[tuple[str, Any]]:
        """The names of all pods' streams, and when each was last written."""

    def read(self, name: str) -> list[str]:
        """The lines of a stream."""


class S3Logs:
    """Objects below the folder of a job run."""

    def __init__(self, aws: Aws, folder: str) -> None:
        self._aws = aws
        self._folder = folder
        self._bucket, self._prefix = split_s3(folder)

    def names(self) -> Iterator[tuple[str, Any]]:
        doing = f"looking for logs in {self._folder}"
        for entry in self._aws.pages(
            "s3", "list_objects_v2", "Contents", doing, Bucket=self._bucket, Prefix=self._prefix
        ):
            yield entry["Key"], entry["LastModified"]

    def read(self, name: str) -> list[str]:
        return unpacked(self._aws.read_object(self._bucket, name, LONGEST)).decode(errors="replace").splitlines()


class CloudWatchLogs:
    """Streams of a log group."""

    def __init__(self, aws: Aws, group: str, prefix: str) -> None:
        self._aws = aws
        self._group = group
        self._prefix = prefix

    def names(self) -> Iterator[tuple[str, Any]]:
        doing, where = f"looking for logs in CloudWatch's group {self._group}", {"logGroupName": self._group}
        for stream in self._aws.pages(
            "logs", "describe_log_streams", "logStreams", doing, **where, logStreamNamePrefix=self._prefix
        ):
            yield stream["logStreamName"], stream.get("lastEventTimestamp", 0)

    def read(self, name: str) -> list[str]:
        return list(self._events(name))

    def _events(self, stream: str) -> Iterator[str]:
        token = None
        while True:
            more: dict[str, str] = {"nextToken": token} if token else {}
            doing, where = f"reading {stream} of CloudWatch", {"logGroupName": self._group, "logStreamName": stream}
            answer = self._aws.call("logs", "get_log_events", doing, **where, startFromHead=True, **more)
            for event in answer["events"]:
                yield from _message(event["message"]).splitlines()
            if answer.get("nextForwardToken") in (None, token):
                return
            token = answer["nextForwardToken"]


def log_stores(aws: Aws, places: LogLocations) -> list[LogStore]:
    """All that the job run was started with: EMR writes the same to each."""
    found: list[LogStore] = []
    if places.folder is not None:
        found.append(S3Logs(aws, places.folder))
    if places.group is not None:
        found.append(CloudWatchLogs(aws, places.group, places.stream_prefix))
    return found


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
        self._places = places
        self._stores = log_stores(aws, places)
        self._newest = ""  # the pod that was read last
        self._seen: dict[str, int] = {}

    @property
    def is_kept(self) -> bool:
        """Whether the job run has a place for it."""
        return bool(self._stores)

    def streams(self, of_submitter: bool = False) -> dict[str, list[str]]:
        """The lines by stream of the newest driver (or of the pod that submitted it), empty where there are none.
        Raises MxsparkError.
        """
        return self._of_first_readable(lambda log_store: self._read(log_store, of_submitter)) if self.is_kept else {}

    def new_lines(self) -> Iterator[str]:
        """The newest driver's lines since the last call."""
        for stream, lines in self.streams().items():
            name = f"{self._newest} {stream}"
            yield from lines[self._seen.get(name, 0) :]
            self._seen[name] = len(lines)

    def _read(self, log_store: LogStore, of_submitter: bool) -> dict[str, list[str]]:
        for _, pod, found in self._pods(log_store, of_submitter)[:1]:
            self._newest = pod
            return {stream: log_store.read(found[stream]) for stream in STREAMS if stream in found}
        return {}

    def _of_first_readable(self, read: Callable[[LogStore], dict[str, list[str]]]) -> dict[str, list[str]]:
        """Falls back to the next store where one can't be read."""
        while len(self._stores) > 1:
            try:
                return read(self._stores[0])
            except (NotAllowedError, NotThereError):
                self._stores.pop(0)
        return read(self._stores[0])

    def _pods(self, log_store: LogStore, of_submitter: bool) -> list[tuple[Any, str, dict[str, str]]]:
        """The newest first: when its log was last written, the pod, and its streams' names."""
        pods: dict[str, tuple[Any, dict[str, str]]] = {}
        for name, written in log_store.names():
            is_executor = re.search(r"/containers/spark-[^/]+/", name) is not None and not self._places.is_driver(name)
            match = re.search(r"/(stderr|stdout)(\.gz)?$", name)
            if match and not is_executor and self._places.is_driver(name) != of_submitter:
                pod = name[: match.start()]
                last, streams = pods.get(pod, (written, {}))
                pods[pod] = max(last, written), {**streams, match[1]: name}
        return sorted(
            ((last, pod, streams) for pod, (last, streams) in pods.items()), key=lambda entry: entry[0], reverse=True
        )


def exit_code(lines: list[str]) -> int | None:
    """The exit code of infer_main.py: from its own last line, else from what Spark and EMR report of the driver.

    Executors' exit codes mean something else.
    """
    if word := last_word.find(lines):
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
