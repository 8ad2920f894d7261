"""A job that lasts long enough for something to be lost meanwhile, and the account of it: which image was fetched
how often.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.s3 import REGION, Server
from tests.command import Command, Finished, Running
from tests.conftest import BUCKET
from tests.faults.runs import Rows, parts_in_bucket, rows_of
from tests.kubernetes import manifests
from tests.kubernetes.cluster import Cluster, ClusterS3, Namespace
from tests.kubernetes.kubectl import Kubectl, Manifest

from mxspark.spark.pods import merged

SHARD_SIZE = 16
HOLD_SECONDS = 0.25  # on each image, of which an executor fetches one at a time: two of them do a shard in 4 s
EXECUTORS = 2
PORT = 8333
SLOW_S3 = Path(__file__).with_name("slow_s3.py")
UI_PORT = 4040
SECRET = "bucket-keys"  # its name
END_SECONDS = 600

Pod = dict[str, Any]


@dataclass(frozen=True)
class LongJob:
    """A job that `mxspark submit kubernetes` follows."""

    name: str
    kubectl: Kubectl
    server: Server
    running: Running

    def pods(self, component: str) -> list[Pod]:
        """Its drivers or executors that aren't being deleted, the oldest first."""
        found = self.kubectl.items(
            "pods", "-l", f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        )
        live = [
            pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] in ("Pending", "Running")
        ]
        return sorted(live, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def pod(self, component: str) -> str:
        """The name of the oldest of them."""
        return name_of(self.pods(component)[0])

    def parts(self) -> dict[str, bytes]:
        return parts_in_bucket(self.server, f"{self.kubectl.namespace}/table")

    def wait_for_parts(self, number: int) -> None:
        """Until so many more shards are done."""
        client = self.server.client()

        def written() -> int:
            return len(
                client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.kubectl.namespace}/table/part-").get(
                    "Contents", ()
                )
            )

        self.running_still()
        wanted = written() + number
        self.kubectl.wait_until(lambda: written() >= wanted, f"{wanted} parts are written")
        self.running_still()

    def hurry(self) -> None:
        """What is left of it is no longer held back."""
        self.kubectl("exec", "slow-s3", "--", "python", "-c", "import os, signal; os.kill(1, signal.SIGUSR1)")

    def running_still(self) -> None:
        """Fails the test, showing what it said, where it has ended."""
        if self.running.process.poll() is not None:
            finished = self.running.wait()
            raise AssertionError(f"it ended too soon, with {finished.code}:\n{finished.text}")

    def ended_well(self, expected: Rows, twice: int) -> Finished:
        """Fails the test unless its exit code is 0, its table the expected one, and no more than `twice` images were
        fetched twice.
        """
        finished = self.running.wait(END_SECONDS).succeeded()
        rows = seen(rows_of(self.parts().values()))
        different = {key: (rows.get(key), row) for key, row in seen(expected).items() if rows.get(key) != row}
        assert not different, (
            f"of {len(rows)} rows {len(different)} are others than without the loss: {list(different.items())[:3]}"
        )
        assert len(rows) == len(expected)
        assert self.fetched_twice() <= twice
        return finished

    def fetched_twice(self) -> int:
        """How many images were, of those that the job wanted."""
        fetched = re.findall(r"^GET \S+/digits/(\S+\.png)$", self.kubectl.logs("slow-s3"), re.MULTILINE)
        return len(fetched) - len(set(fetched))

    def failed_tasks(self) -> int:
        """How many of the driver that runs now have failed, for whatever reason."""
        return sum(stage["numFailedTasks"] + stage["numKilledTasks"] for stage in self.spark("stages"))

    def registered(self) -> set[str]:
        """The addresses of the executors that its driver has; none while the driver starts."""
        with suppress(AssertionError, IndexError):
            return {each["hostPort"].partition(":")[0] for each in self.spark("allexecutors") if each["isActive"]}
        return set()

    def spark(self, path: str) -> list[Any]:
        """What Spark tells of the application, by the pages of its driver: `stages`, `allexecutors`."""
        pages = (
            f"/api/v1/namespaces/{self.kubectl.namespace}/pods/{self.pod('driver')}:{UI_PORT}/proxy/api/v1/applications"
        )
        application = json.loads(self.kubectl("get", "--raw", pages))[0]["id"]
        told: list[Any] = json.loads(self.kubectl("get", "--raw", f"{pages}/{application}/{path}"))
        return told


@dataclass(frozen=True)
class Place:
    """A namespace with an S3 server that is slow, for one job."""

    kubectl: Kubectl
    image: str
    server: Server
    mxspark: Command
    data: str  # the prefix of the bucket with the digits and their network
    limit: int  # images of a job, unless it says otherwise

    def place(self, name: str) -> str:
        """What a job writes."""
        return f"s3://{BUCKET}/{self.kubectl.namespace}/{name}"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Small pods and small shards. Keyword arguments are sections: `kubernetes={"restarts": 0}`."""
        found = {
            "input": {"path": f"s3://{BUCKET}/{self.data}/digits/", "true_label": r"_(\d)\.png$", "limit": self.limit},
            "output": {"path": self.place("table"), "format": "jsonl"},
            "model": {"path": f"s3://{BUCKET}/{self.data}/model"},
            "plan": {"shard_size": SHARD_SIZE},
            "pipeline": {"fetch_threads": 1},
            "storage": {"endpoint_url": f"http://slow-s3.{self.kubectl.namespace}:{PORT}", "region": REGION},
            "spark": {"executors": EXECUTORS, "driver_memory": "512m", "executor_memory": "512m"},
            "kubernetes": {
                "namespace": self.kubectl.namespace,
                "image": self.image,
                "credentials_from": SECRET,
                "driver": {"cpu_request": "100m"},
                "executor": {"cpu_request": "100m"},
            },
        }
        return merged(found, changes)

    @contextmanager
    def submitted(self, name: str, *flags: str, **changes: Any) -> Iterator[LongJob]:
        """A job that runs; at the end it is gone."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(self.settings(**changes), file)  # JSON is YAML, too
            file.flush()
            arguments = ("--settings", file.name, "--name", name, *flags)
            with self.mxspark.start(
                "mxspark", "submit", "kubernetes", *arguments, environment=self.environment
            ) as running:
                try:
                    yield LongJob(name, self.kubectl, self.server, running)
                finally:
                    self.kubectl.delete(f"job/{name}", "--cascade=foreground", "--wait=false")

    @property
    def environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self.kubectl.kubeconfig)}


def seen(rows: Rows) -> dict[str, tuple[str, str, float]]:
    """By key the status, the prediction, and its probability as far as other numbers of threads leave it the same."""
    best = {key.rpartition("/")[2]: (row["status"], row["predictions"][0]) for key, row in rows.items()}
    return {key: (status, first["label"], round(first["probability"], 3)) for key, (status, first) in best.items()}


def prepared(
    namespace: Namespace, cluster: Cluster, image: str, s3: ClusterS3, mxspark: Command, data: str, limit: int
) -> Place:
    """A namespace where a job can be submitted."""
    namespace.kubectl.apply(keys(s3.server), *slow_s3(image, cluster.nodes[0]))
    namespace.kubectl.wait("pod/slow-s3", "condition=Ready")
    return Place(namespace.kubectl, image, s3.server, mxspark, data, limit)


def slow_s3(image: str, node: str) -> tuple[Manifest, Manifest]:
    """The pod before the S3 server, and its service."""
    command = ("python", "-c", SLOW_S3.read_text(), "s3.s3", str(PORT), str(HOLD_SECONDS))
    pod = manifests.pod("slow-s3", image, *command, nodeSelector={"kubernetes.io/hostname": node})
    pod["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": PORT}, "periodSeconds": 1}
    return pod, manifests.service("slow-s3", PORT, PORT)


def keys(server: Server) -> Manifest:
    """The secret that a job's pods have the S3 server's keys from."""
    data = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": data}


def name_of(item: Manifest) -> str:
    name: str = item["metadata"]["name"]
    return name


def node_of(pod: Manifest) -> str:
    """The node's name, empty while there is none."""
    node: str = pod["spec"].get("nodeName", "")
    return node
