"""The log of a job run's driver, and what is in it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from mxspark.run import last_word
from mxspark.submit.emr.aws import Aws, NotAllowedError, NotThereError
from mxspark.submit.emr.log_places import LogLocations, LogStore, log_stores
from mxspark.submit.emr.pod_templates import CONTAINERS

# Spark's own lines, and the job's: spark-submit lets both streams of a Python driver out by its standard output.
STREAMS = ("stderr", "stdout")
LONGEST_LINE = 4_096  # that is looked at [characters]
DRIVER_ENDED = re.compile(r"User application exited with (\d+)|^(?!.*executor).*\bdriver\b.*\bexit ?code:? (\d+)", re.IGNORECASE)


class DriverLog:
    """The driver's log, as far as EMR has put it anywhere: some minutes later than it was written."""

    def __init__(self, aws: Aws, places: LogLocations) -> None:
        self._places = places
        self._keepers = log_stores(aws, places)
        self._newest = ""  # the pod that was read last
        self._seen: dict[str, int] = {}

    @property
    def is_kept(self) -> bool:
        """Whether EMR was told to put it anywhere."""
        return bool(self._keepers)

    def streams(self, of_submitter: bool = False) -> dict[str, list[str]]:
        """The lines by stream of the newest driver (or of the pod that submitted it), empty where there are none. Raises MxsparkError."""
        return self._of_first_readable(lambda log_store: self._read(log_store, of_submitter)) if self.is_kept else {}

    def new_lines(self) -> Iterator[str]:
        """The lines that this had not given yet, of the newest driver."""
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
        """What a place may not be asked for, another may have."""
        while len(self._keepers) > 1:
            try:
                return read(self._keepers[0])
            except (NotAllowedError, NotThereError):
                self._keepers.pop(0)
        return read(self._keepers[0])

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
        return sorted(((last, pod, streams) for pod, (last, streams) in pods.items()), key=lambda entry: entry[0], reverse=True)


def exit_code(lines: list[str]) -> int | None:
    """With what infer_main.py ended: by its own last line, else by what Spark and EMR say of the driver.

    Executors end with codes of their own.
    """
    if word := last_word.find(lines):
        return word.exit_code
    code, container = None, ""
    for line in (line[:LONGEST_LINE] for line in lines):  # its patterns take the square of it
        if named := re.fullmatch(r"\s*container name: (\S+)\s*", line):  # spark-submit lists a pod's containers, a line for each fact
            container = named[1]
        ended = re.fullmatch(r"\s*exit code: (\d+)\s*", line) if container == CONTAINERS["driver"] else None
        if match := ended or DRIVER_ENDED.search(line):
            code = int(next(filter(None, match.groups())))
    return code
