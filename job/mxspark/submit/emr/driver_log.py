"""Where EMR on EKS puts the logs of a job run, and what is in them: its own places in S3 and CloudWatch, as its guide names them."""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mxspark.storage import split_s3
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.pod_templates import CONTAINERS

STREAMS = ("stderr", "stdout")
DRIVER_ENDED = re.compile(r"User application exited with (\d+)|^(?!.*executor).*\bdriver\b.*\bexit ?code:? (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Places:
    """Where the logs of the job run `id` of a virtual cluster are."""

    id: str
    virtual_cluster: str
    uri: str | None = None  # of s3MonitoringConfiguration
    group: str | None = None  # of cloudWatchMonitoringConfiguration
    prefix: str | None = None

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> "Places":
        """As a described job run says."""
        monitoring = run.get("configurationOverrides", {}).get("monitoringConfiguration", {})
        cloud_watch = monitoring.get("cloudWatchMonitoringConfiguration", {})
        uri = monitoring.get("s3MonitoringConfiguration", {}).get("logUri")
        return cls(run["id"], run["virtualClusterId"], uri, cloud_watch.get("logGroupName"), cloud_watch.get("logStreamNamePrefix"))

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
            found.append(("logs in CloudWatch", f"group {self.group}, streams {self.stream_prefix}spark-…/spark-{self.id}-driver…/stderr"))
        return found

    def is_driver(self, name: str) -> bool:
        """Whether an object or stream is the driver's; one that was started again has a suffix."""
        return re.search(rf"/spark-[^/]+/spark-{self.id}-driver[^/]*/(stderr|stdout)(\.gz)?$", name) is not None


class DriverLog:
    """The driver's log, as far as EMR has put it anywhere: some minutes later than it was written."""

    def __init__(self, aws: Aws, places: Places) -> None:
        self._aws = aws
        self._places = places
        self._seen: dict[str, int] = {}

    @property
    def is_kept(self) -> bool:
        """Whether EMR was told to put it anywhere."""
        return self._places.uri is not None or self._places.group is not None

    def lines(self, stream: str, of_submitter: bool = False) -> list[str]:
        """The log of the newest driver (or of the pod that submitted it), empty where there is none yet. Raises MxsparkError."""
        for _, found in self._logs(of_submitter):
            if stream in found:
                return self._read(found[stream])
        return []

    def new_lines(self) -> Iterator[str]:
        """The lines that this had not given yet, of the newest driver."""
        for _, found in self._logs(False)[:1]:
            for stream in STREAMS:
                if stream in found:
                    name = found[stream]
                    lines = self._read(name)
                    yield from lines[self._seen.get(name, 0) :]
                    self._seen[name] = len(lines)

    def _logs(self, of_submitter: bool) -> list[tuple[Any, dict[str, str]]]:
        """By pod, the newest first: when its log was last written, and its streams' names."""
        pods: dict[str, tuple[Any, dict[str, str]]] = {}
        for name, written in self._objects() if self._places.uri is not None else self._streams():
            is_executor = re.search(r"/containers/spark-[^/]+/", name) is not None and not self._places.is_driver(name)
            match = re.search(r"/(stderr|stdout)(\.gz)?$", name)
            if match and not is_executor and self._places.is_driver(name) != of_submitter:
                pod = name[: match.start()]
                last, streams = pods.get(pod, (written, {}))
                pods[pod] = max(last, written), {**streams, match[1]: name}
        return sorted(pods.values(), key=lambda entry: entry[0], reverse=True)

    def _objects(self) -> Iterator[tuple[str, Any]]:
        bucket, prefix = split_s3(self._places.folder or "")
        doing = f"looking for logs in {self._places.folder}"
        for entry in self._aws.pages("s3", "list_objects_v2", "Contents", doing, Bucket=bucket, Prefix=prefix):
            yield entry["Key"], entry["LastModified"]

    def _streams(self) -> Iterator[tuple[str, Any]]:
        if self._places.group is None:
            return
        doing = f"looking for logs in CloudWatch's group {self._places.group}"
        found = self._aws.pages(
            "logs",
            "describe_log_streams",
            "logStreams",
            doing,
            logGroupName=self._places.group,
            logStreamNamePrefix=self._places.stream_prefix,
        )
        for stream in found:
            yield stream["logStreamName"], stream.get("lastEventTimestamp", 0)

    def _read(self, name: str) -> list[str]:
        if self._places.uri is not None:
            bucket, _ = split_s3(self._places.uri)
            data = self._aws.read_object(bucket, name)
            return unpacked(data).decode(errors="replace").splitlines()
        return list(self._events(name))

    def _events(self, stream: str) -> Iterator[str]:
        token = None
        while True:
            more: dict[str, str] = {"nextToken": token} if token else {}
            doing = f"reading {stream} of CloudWatch"
            answer = self._aws.call(
                "logs", "get_log_events", doing, logGroupName=self._places.group, logStreamName=stream, startFromHead=True, **more
            )
            for event in answer["events"]:
                yield from _message(event["message"]).splitlines()
            if answer.get("nextForwardToken") in (None, token):
                return
            token = answer["nextForwardToken"]


def _message(text: str) -> str:
    """EMR's forwarder wraps lines as {"message": …, "time": …}."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found["message"]) if isinstance(found, dict) and found.keys() == {"message", "time"} else text


def unpacked(data: bytes) -> bytes:
    """A gzip file that may still be written to, or plain bytes."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    found = b""
    while data.startswith(b"\x1f\x8b"):
        reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
        with suppress(zlib.error):
            found += reader.decompress(data)
        data = reader.unused_data
    return found


def exit_code(lines: list[str]) -> int | None:
    """With what infer_main.py ended, by what Spark and EMR say of the driver: executors end with codes of their own."""
    code, container = None, ""
    for line in lines:
        if named := re.fullmatch(r"\s*container name: (\S+)\s*", line):  # spark-submit lists a pod's containers, a line for each fact
            container = named[1]
        ended = re.fullmatch(r"\s*exit code: (\d+)\s*", line) if container == CONTAINERS["driver"] else None
        if match := ended or DRIVER_ENDED.search(line):
            code = int(next(filter(None, match.groups())))
    return code


def own_error(lines: list[str]) -> tuple[str, str] | None:
    """What the job itself said was wrong, and the mend."""
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("Error: "):
            mend = lines[number + 1] if number + 1 < len(lines) else ""
            is_ours = not re.match(r"\s|\d\d/\d\d/\d\d |Exception|Traceback|org\.", mend)
            return lines[number].removeprefix("Error: "), mend if is_ours else ""
    return None
