"""AWS as moto plays it, reached by the real command through AWS_ENDPOINT_URL; its job runs take the states that a test
gives them.

What moto lacks and a submission asks for is added here: the rights of roles, the parts of images, and states.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from gzip import compress
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.backends import get_backend
from moto.core.exceptions import JsonRESTError
from moto.ecr.responses import ECRResponse
from moto.emrcontainers.responses import EMRContainersResponse
from moto.iam.responses import IamResponse
from moto.server import ThreadedMotoServer
from tests.emr.jobs import ACCOUNT, REGION

from mxspark.dataset import plan
from mxspark.dataset.plan import KeySpool
from mxspark.settings.job import StorageSettings
from mxspark.storage import Access, Credentials, open_store

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}  # moto asks for some, whichever
CONFIG_DIGEST = f"sha256:{'0' * 64}"
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": CONFIG_DIGEST},
    "layers": [],
}
LABELS = {
    "org.opencontainers.image.title": "mxspark",
    "org.opencontainers.image.base.name": "public.ecr.aws/emr-on-eks/spark/emr-7.13.0:latest",
}


@cache
def _client(endpoint_url: str, service: str) -> Any:
    """Made once: it takes longer than most of what is asked."""
    return boto3.client(service, region_name=REGION, endpoint_url=endpoint_url, **KEYS)


@dataclass
class Moto:
    """The server, and what tests change in it."""

    endpoint_url: str
    denied: set[str] = field(default_factory=set)  # actions that no role may do
    missing: str = ""  # what the conditions of those ask for
    describes: int | None = None  # how often it describes job runs, before that is not allowed any more
    image_labels: dict[str, str] = field(default_factory=lambda: dict(LABELS))

    def client(self, service: str) -> Any:
        return _client(self.endpoint_url, service)

    @property
    def environment(self) -> dict[str, str]:
        """For the command."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
        }

    @property
    def access(self) -> Access:
        """For storage in this process."""
        return Access(StorageSettings(endpoint_url=self.endpoint_url, region=REGION), Credentials("test", "test"))

    @property
    def _emr(self) -> Any:
        return get_backend("emr-containers")[ACCOUNT][REGION]

    def job_runs(self, cluster: str) -> list[Any]:
        """moto's own objects, which a test may change."""
        return [run for run in self._emr.job_runs.values() if run.virtual_cluster_id == cluster]

    def set_state(self, run: Any, state: str, details: str | None = None, reason: str | None = None) -> None:
        run.state, run.state_details, run.failure_reason = state, details, reason
        if state in ("COMPLETED", "FAILED", "CANCELLED"):
            run.finished_at = datetime.now(UTC)

    def put(self, place: str, data: bytes) -> None:
        bucket, _, key = place.removeprefix("s3://").partition("/")
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=data)

    def put_log(self, folder: str, run: Any, text: str, name: str = "", stream: str = "stderr") -> None:
        """The driver's log where EMR puts it, or with `name` another pod's."""
        pod = name or f"spark-000000{uuid4().hex}/spark-{run.id}-driver"
        self.put(
            f"{folder}/{run.virtual_cluster_id}/jobs/{run.id}/containers/{pod}/{stream}.gz", compress(text.encode())
        )

    def put_logs(self, folder: str, run: Any, log: dict[str, str], name: str = "") -> None:
        """All streams of a pod, by default the driver's."""
        pod = name or f"spark-000000{uuid4().hex}/spark-{run.id}-driver"
        for stream, text in log.items():
            self.put_log(folder, run, text, pod, stream)

    def make_plan(self, output: str, images: int, shard_size: int, submission: str | None = None) -> None:
        """What a driver writes when it has listed its input."""
        store = open_store(output, self.access)
        with closing(KeySpool()) as spool:
            spool.fill(f"{number:04}.png" for number in range(images))
            described = {
                "output": {"format": "jsonl", "submission": submission},
                "input": {"path": "s3://images/photos", "true_label": None},
            }
            plan.write(store, spool, shard_size, {}, described)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def moto(server: str, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """The server, with an EKS cluster, and the buckets and the image of jobs.py."""
    found = Moto(server)

    def simulate(self: Any) -> str:
        actions = [
            value for key, (value, *_) in sorted(self.querystring.items()) if key.startswith("ActionNames.member.")
        ]
        missing = f"<member>{found.missing}</member>" if found.missing else ""
        results = "".join(
            f"<member><EvalActionName>{action}</EvalActionName>"
            f"<EvalDecision>{'implicitDeny' if action in found.denied else 'allowed'}</EvalDecision>"
            f"<MissingContextValues>{missing if action in found.denied else ''}</MissingContextValues></member>"
            for action in actions
        )
        return (
            '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult>'
            f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"
            "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        )

    def layer_url(self: Any) -> str:
        found.put("s3://parts/config.json", json.dumps({"config": {"Labels": found.image_labels}}).encode())
        found.client("s3").put_object_acl(Bucket="parts", Key="config.json", ACL="public-read")
        return json.dumps({"downloadUrl": f"{server}/parts/config.json", "layerDigest": CONFIG_DIGEST})

    described = EMRContainersResponse.describe_job_run

    def describe(self: Any) -> Any:
        if found.describes is not None:
            found.describes -= 1
            if found.describes < 0:
                raise JsonRESTError("AccessDeniedException", "You may not")
        return described(self)

    monkeypatch.setattr(EMRContainersResponse, "describe_job_run", describe)
    monkeypatch.setattr(IamResponse, "simulate_principal_policy", simulate, raising=False)
    monkeypatch.setattr(ECRResponse, "get_download_url_for_layer", layer_url)
    eks = found.client("eks")
    if "vision" not in eks.list_clusters()["clusters"]:
        eks.create_cluster(name="vision", roleArn=f"arn:aws:iam::{ACCOUNT}:role/eks", resourcesVpcConfig={})
        found.client("ecr").create_repository(repositoryName="mxspark")
        found.client("ecr").put_image(repositoryName="mxspark", imageManifest=json.dumps(MANIFEST), imageTag="emr")
        for bucket in ("images", "results", "models", "logs", "parts"):
            found.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return found


@dataclass(frozen=True)
class VirtualCluster:
    """One that runs, of a test's own."""

    id: str
    name: str
    namespace: str


@pytest.fixture
def virtual_cluster(moto: Moto) -> VirtualCluster:
    name = f"vision-{uuid4().hex[:8]}"
    provider = {"type": "EKS", "id": "vision", "info": {"eksInfo": {"namespace": name}}}
    return VirtualCluster(
        moto.client("emr-containers").create_virtual_cluster(name=name, containerProvider=provider)["id"], name, name
    )


@pytest.fixture
def output() -> str:
    """A place of the test's own."""
    return f"s3://results/{uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def _keys_for_this_process(monkeypatch: pytest.MonkeyPatch, no_aws: None) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
