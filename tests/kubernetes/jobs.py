"""Jobs on the cluster as a person has them: a settings file, `mxspark submit kubernetes`, a table in the bucket."""

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pandas as pd
import pyarrow.fs
import pytest
from examples.s3 import REGION
from tests.command import Command, Finished, Running
from tests.conftest import BUCKET
from tests.kubernetes.cluster import ClusterS3, using_the_cluster
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.manifests import BUCKET_KEYS
from tests.spark.conftest import TRUE_LABEL, read_table

# All that a submission makes, besides what its driver makes.
KINDS = "jobs,pods,configmaps,services,serviceaccounts,roles,rolebindings,networkpolicies,secrets"
RUN_SECONDS = 600
SOME_DIGITS = 200  # of jobs that need no more to show what they show
# What is told of a job that runs.
PROGRESS = re.compile(r"[\d,]+/[\d,]+ images, \d+/\d+ shards, [\d.]+ images/s, .* left, 0 failed")

Settings = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Jobs:
    """Where jobs run, and how they are submitted there. All of one session have one namespace and one prefix of the
    bucket.
    """

    kubectl: Kubectl
    mxspark: Command
    image: str
    s3: ClusterS3
    prefix: str

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    def place(self, name: str) -> str:
        """What a job reads or writes."""
        return f"s3://{BUCKET}/{self.prefix}/{name}"

    def settings(self, name: str, /, **changes: Any) -> Settings:
        """The digits job, in pods that ask for little, to the output `name`. Changes are sections:
        `spark={"executors": 3}`.
        """
        base: Settings = {
            "input": {"path": self.place("digits/"), "true_label": TRUE_LABEL.partition("=")[2]},
            "output": {"path": self.place(name)},
            "model": {"path": self.place("model")},
            "plan": {"shard_size": 64},
            "storage": {"endpoint_url": self.s3.endpoint_url, "region": REGION},
            "spark": {
                "executors": 1,
                "driver_memory": "512m",
                "driver_memory_overhead": "768m",
                "executor_memory": "512m",
            },
            "kubernetes": {
                "namespace": self.namespace,
                "image": self.image,
                "credentials_from": BUCKET_KEYS,
                "restarts": 0,
                "driver": {"cpu_request": "100m", "cpu_limit": "2"},
                "executor": {"cpu_request": "100m"},
            },
        }
        return _merged(base, changes)

    def submit(self, settings: Settings, *flags: str, **environment: str) -> Finished:
        """`mxspark submit kubernetes`, to its end."""
        with settings_file(settings) as file:
            command = ("submit", "kubernetes", "--settings", str(file), *flags)
            return self.mxspark(*command, environment={**self.environment, **environment}, seconds=RUN_SECONDS)

    @contextmanager
    def started(self, settings: Settings, *flags: str, **environment: str) -> Iterator[Running]:
        """The same in the background."""
        with settings_file(settings) as file:
            command = ("submit", "kubernetes", "--settings", str(file), *flags)
            with self.mxspark.start("mxspark", *command, environment={**self.environment, **environment}) as running:
                yield running

    def __call__(self, *arguments: str) -> Finished:
        """Another command of mxspark, in the jobs' namespace."""
        return self.mxspark(*arguments, "--namespace", self.namespace, environment=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self.kubectl.kubeconfig)}

    def status(self, name: str) -> dict[str, Any]:
        """`mxspark status NAME --json`."""
        told: dict[str, Any] = json.loads(self("status", name, "--json").succeeded().output)
        return told

    def table(self, output: str) -> pd.DataFrame:
        """What a job wrote, sorted by key."""
        server = self.s3.server
        files = pyarrow.fs.S3FileSystem(
            access_key=server.access_key,
            secret_key=server.secret_key,
            endpoint_override=server.endpoint_url.removeprefix("http://"),
            scheme="http",
            region=REGION,
        )
        return read_table(f"{BUCKET}/{self.prefix}/{output}", filesystem=files)

    def parts(self, output: str) -> dict[str, str]:
        """The parts of a table that are there by now: names and versions."""
        found = self.s3.server.client().list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/{output}/part-")
        return {entry["Key"]: f"{entry['ETag']} {entry['LastModified']}" for entry in found.get("Contents", [])}

    def wait_for_parts(self, output: str, number: int) -> None:
        self.kubectl.wait_until(lambda: len(self.parts(output)) >= number, f"{number} parts of {output}", RUN_SECONDS)

    def summary(self, output: str) -> dict[str, Any]:
        body = self.s3.server.client().get_object(Bucket=BUCKET, Key=f"{self.prefix}/{output}/_summary.json")["Body"]
        told: dict[str, Any] = json.load(body)
        return told

    def objects(self, name: str) -> list[str]:
        """All that is there of a job: `Pod/digits-driver-…`."""
        found = self.kubectl.items(KINDS, "-l", f"app.kubernetes.io/instance={name}")
        return sorted(f"{item['kind']}/{item['metadata']['name']}" for item in found)

    def pods(self, name: str, component: str) -> list[dict[str, Any]]:
        return self.kubectl.items(
            "pods", "-l", f"app.kubernetes.io/instance={name},app.kubernetes.io/component={component}"
        )

    def wait_until_gone(self, name: str) -> None:
        """Until nothing is left of a job."""
        self.kubectl.wait_until(lambda: not self.objects(name), f"nothing is left of {name}")


@dataclass(frozen=True)
class Ran:
    """A job that ended, and its name, which its output has too."""

    name: str
    finished: Finished


@contextmanager
def side_by_side(
    factory: pytest.TempPathFactory, calls: Mapping[str, Callable[[], T]]
) -> Iterator[dict[str, Future[T]]]:
    """The calls' results, once somebody asks for them: all run in the background, beside the tests of a module
    (conftest.py: BEGUN).
    """
    with using_the_cluster(factory), ThreadPoolExecutor(len(calls)) as threads:
        yield {name: threads.submit(call) for name, call in calls.items()}


def accuracy(table: pd.DataFrame) -> float:
    """The share of the digits that were read right."""
    first = [predictions[0]["label"] for predictions in table["predictions"]]
    return float(sum(label == key[-5] for label, key in zip(first, table["key"], strict=True)) / len(first))


@contextmanager
def settings_file(settings: Settings) -> Iterator[Path]:
    """JSON is YAML, too."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(settings, file)
        file.flush()
        yield Path(file.name)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    result = dict(base)
    for key, value in changes.items():
        mine = result.get(key)
        result[key] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return result


def unique(name: str) -> str:
    """A name that no other job of the session has."""
    return f"{name}-{uuid4().hex[:6]}"


@dataclass(frozen=True)
class Watched:
    """All versions of the pods of a namespace, as they came about."""

    _file: Path

    def pods(self, name: str, component: str) -> dict[str, list[dict[str, Any]]]:
        """Of a job's pods, by name, all versions that there were."""
        wanted = {"app.kubernetes.io/instance": name, "app.kubernetes.io/component": component}
        found: dict[str, list[dict[str, Any]]] = {}
        for pod in self.all():
            if wanted.items() <= pod["metadata"].get("labels", {}).items():
                found.setdefault(pod["metadata"]["name"], []).append(pod)
        return found

    def all(self) -> list[dict[str, Any]]:
        """Every version of every pod, in order of time."""
        return list(_documents(self._file.read_text()))


@contextmanager
def watching(kubectl: Kubectl) -> Iterator[Watched]:
    """Writes down what becomes of a namespace's pods: executors are gone before one could look at them."""
    with tempfile.NamedTemporaryFile() as file:
        process = subprocess.Popen(kubectl.command("get", "pods", "--watch", "--output=json"), stdout=file)
        try:
            yield Watched(Path(file.name))
        finally:
            process.terminate()
            process.wait()


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects that follow one another; the last may be half written."""
    decoder, position = json.JSONDecoder(), 0
    while (start := text.find("{", position)) >= 0:
        try:
            found, position = decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            return
        yield found
