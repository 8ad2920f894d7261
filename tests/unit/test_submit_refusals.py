"""What a person is told whose job can't be submitted, before any cluster is asked: there is none here."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from mxspark.spark.pods import merged
from tests.command import Finished
from tests.conftest import Here
from tests.kubernetes.jobs import settings_file
from tests.storage.scripted import Answer, answering

CONTEXT = "laptop"


HERE = str(Path(__file__).parent)  # is there
CLAIM = {"persistentVolumeClaim": {"claimName": "data"}}
SIDECAR = {"spec": {"containers": [{}, {"name": "proxy", "image": "proxy:1"}]}}


def mounting(path: str, *roles: str, kind: Mapping[str, Any] = CLAIM, **mount: Any) -> dict[str, Any]:
    """Settings of pods of these roles with a volume."""
    spec = {
        "volumes": [{"name": "data", **kind}],
        "containers": [{"volumeMounts": [{"name": "data", "mountPath": path, **mount}]}],
    }
    return {role: {"template": {"spec": spec}} for role in roles}


BOTH = ("driver", "executor")


class Submit(Protocol):
    """`mxspark submit kubernetes` with a job that would do, changed, and flags."""

    def __call__(self, changes: Mapping[str, Any], *flags: str, **environment: str) -> Finished: ...


@pytest.fixture
def submit(here: Here, no_aws: None) -> Submit:
    job = {
        "input": {"path": "s3://photos/2024/"},
        "output": {"path": "s3://tables/2024"},
        "model": {"path": "s3://models/resnet"},
        "kubernetes": {"image": "registry/mxspark:1", "namespace": "vision"},
    }

    def run(changes: Mapping[str, Any], *flags: str, **environment: str) -> Finished:
        with settings_file(merged(job, changes)) as file:
            return here("submit", "kubernetes", "--settings", file, *flags, environment=environment)

    return run


def refused(finished: Finished, *told: str) -> None:
    """It ended with 2 and one message that has these parts."""
    finished.ended_with(2)
    assert "Traceback" not in finished.text
    _before, *messages = re.split("^Error: ", finished.errors, flags=re.MULTILINE)
    assert len(messages) == 1, finished.errors
    for text in told:
        assert text in messages[0], finished.errors


# ---- settings ----


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"spark": {"executor_memory_overhead": "200m"}}, ("spark.executor_memory_overhead is 200m", "384m at least")),
        ({"spark": {"executor_memory": "300m"}}, ("spark.executor_memory is 300m", "465m at least")),
        ({"spark": {"driver_memory": "300m"}}, ("spark.driver_memory is 300m", "465m at least")),
        ({"spark": {"excutors": 3}}, ("spark.excutors", "spark.executors")),
        ({"input": {"path": "photos"}}, ("input.path is 'photos'", "on this machine", "s3://bucket/prefix")),
        ({"input": {"path": HERE}}, (f"input.path is '{HERE}'", "on this machine", "s3://bucket/prefix")),
        ({"input": {"path": f"file://{HERE}"}}, (f"input.path is 'file://{HERE}'", "does not support file://")),
        ({"model": {"path": HERE}}, (f"model.path is '{HERE}'", "on this machine")),
        ({"input": {"path": ["s3://bucket/a", "photos"]}}, ("input.path is 'photos'", "on this machine")),
        ({"output": {"path": "/tmp/table"}}, ("output.path is '/tmp/table'", "deleted with it", "s3://bucket/prefix")),
        (
            {"spark": {"conf": {"spark.hadoop.fs.s3a.secret.key": "hush-hush"}}},
            ("expose a secret", "spark.hadoop.fs.s3a.secret.key", "kubernetes.credentials_from"),
        ),
        (
            {"output": {"path": "gs://tables/2024"}},
            ("output.path is 'gs://tables/2024'", "does not support gs://", "storage.endpoint_url"),
        ),
        ({"kubernetes": {"gpu_vendor": "amd.com"}}, ("kubernetes.gpu_vendor is 'amd.com'", "kubernetes.gpu_discovery")),
        (
            {"kubernetes": {"image": "registry/MXSpark:1"}},
            ("kubernetes.image is 'registry/MXSpark:1'", "small letters"),
        ),
        (
            {"kubernetes": {"executor": {"tolerations": [{"operatorr": "Exists"}]}}},
            ("'operatorr'", "Did you mean operator?"),
        ),
        ({"kubernetes": {"image": None}}, ("kubernetes.image", "--image")),
        (
            {"input": {"path": HERE}, "kubernetes": mounting("/data", *BOTH)},
            (f"input.path is '{HERE}'", "on this machine"),
        ),
        (
            {"input": {"path": "photos"}, "kubernetes": mounting("/data", *BOTH)},
            ("input.path is 'photos'", "on this machine"),
        ),
        (
            {"model": {"path": "/data/m"}, "kubernetes": mounting("/data", "driver")},
            ("'/data/m'", "not in the executor's", "executor.template"),
        ),
        (
            {"input": {"path": "/data/m"}, "kubernetes": mounting("/data/", "executor")},
            ("'/data/m'", "not in the driver's"),
        ),
        (
            {"output": {"path": "/database"}, "kubernetes": mounting("/data", *BOTH)},
            ("output.path is '/database'", "deleted with it"),
        ),
        (
            {"output": {"path": "/data/t"}, "kubernetes": mounting("/data", *BOTH, kind={"emptyDir": {}})},
            ("/data/t", "deleted with it"),
        ),
        (
            {"output": {"path": "/data/t"}, "kubernetes": mounting("/data", *BOTH, readOnly=True)},
            ("/data/t", "readOnly: true"),
        ),
        (
            {"storage": {"endpoint_url": "http://localhost:8333"}},
            ("storage.endpoint_url is http://localhost:8333", "pod itself", "SERVICE"),
        ),
        (
            {"storage": {"endpoint_url": "https://127.0.0.1"}},
            ("storage.endpoint_url is https://127.0.0.1", "pod itself"),
        ),
        (
            {"storage": {"endpoint_url": "http://[::1]:9000"}},
            ("storage.endpoint_url is http://[::1]:9000", "pod itself"),
        ),
        ({"model": {"path": "http://localhost:8000/m"}}, ("model.path is http://localhost:8000/m", "pod itself")),
        (
            {"storage": {"endpoint_url": "http://localhost:1"}, "kubernetes": {"driver": {"template": SIDECAR}}},
            ("storage.endpoint_url is http://localhost:1", "nothing in the pods listens there"),
        ),
        ({"model": {"path": "http://[bad/m"}}, ("model.path", "is not an address")),
        ({"context": "gpu"}, ("spark.executor_gpus is 0", "Set spark.executor_gpus to 1")),
    ],
)
@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_settings_that_can_t_work_are_refused(
    submit: Submit, changes: dict[str, Any], told: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    refused(submit(changes, *flags), *told)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"path": "/models/in-the-image"}},
        # An init container fills it.
        {"input": {"path": HERE}, "kubernetes": mounting(HERE, *BOTH, kind={"emptyDir": {}})},
        {"input": {"path": f"{HERE}/../unit/*.png"}, "output": {"path": HERE}, "kubernetes": mounting(HERE, *BOTH)},
        {
            "input": {"path": "/lists/a.csv", "base": "s3://photos"},
            "kubernetes": mounting("/lists", "driver", kind={"configMap": {}}),
        },
        {
            "output": {"path": "/data"},
            "kubernetes": mounting("/data", "driver"),
            "spark": {"conf": {"spark.kubernetes.executor.volumes.persistentVolumeClaim.data.mount.path": "/data"}},
        },
    ],
)
def test_a_folder_that_may_be_in_the_image_or_is_on_a_volume_is_taken(submit: Submit, changes: dict[str, Any]) -> None:
    finished = submit(changes, "--dry-run")
    assert finished.code == 0, finished.errors


def test_an_address_that_only_a_sidecar_can_serve_is_warned_of(submit: Submit) -> None:
    pods = {"driver": {"template": SIDECAR}, "executor": {"template": {"spec": {"hostNetwork": True}}}}
    finished = submit({"storage": {"endpoint_url": "http://localhost:8333"}, "kubernetes": pods}, "--dry-run")

    assert finished.code == 0
    assert "Warning: storage.endpoint_url is http://localhost:8333, which in a pod is the pod itself" in " ".join(
        finished.errors.split()
    )


@pytest.mark.parametrize("flags", [(), ("--dry-run",), ("--debug",)])
def test_a_secret_that_is_refused_is_not_shown(submit: Submit, flags: tuple[str, ...]) -> None:
    changes = {"spark": {"conf": {"spark.hadoop.fs.s3a.secret.key": "hush-hush"}}}
    assert "hush-hush" not in submit(changes, *flags).ended_with(2).text


@pytest.mark.parametrize("name", ["Digits", "digits_1", "-digits", "d" * 46])
def test_a_name_that_pods_can_t_have_is_refused(submit: Submit, name: str) -> None:
    refused(submit({}, f"--name={name}"), f"--name is '{name}'", "lower-case letters, digits and -", "45")


# ---- the way to the cluster ----


def kubeconfig(folder: Path, server: str) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": "one", "user": "me"}}],
        "current-context": CONTEXT,
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return str(file)


def test_a_context_that_there_is_not_is_named_with_those_that_there_are(submit: Submit, tmp_path: Path) -> None:
    finished = submit({}, "--kubeconfig", kubeconfig(tmp_path, "https://127.0.0.1:9"), "--kube-context", "production")
    refused(finished, "no context 'production'", CONTEXT, "--kube-context")


def test_without_a_kubeconfig_it_says_how_to_name_one(submit: Submit, tmp_path: Path) -> None:
    nothing = {"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
    refused(submit({}, **nothing), "no cluster is configured", "--kubeconfig", "KUBECONFIG")
    refused(submit({}, "--kubeconfig", str(tmp_path / "none")), "the kubeconfig can't be read", "--kubeconfig")


@pytest.mark.parametrize("text", ["", "- a list\n", "{", "clusters: 3\n"])
def test_a_kubeconfig_that_is_none_is_told(submit: Submit, tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    refused(submit({}, "--kubeconfig", str(file)), "kubeconfig", "--kubeconfig")


def test_a_cluster_that_does_not_answer_is_told(submit: Submit, tmp_path: Path, unused_port: int) -> None:
    finished = submit({}, "--kubeconfig", kubeconfig(tmp_path, f"https://127.0.0.1:{unused_port}"))
    refused(finished, "can't be reached", "refused", "--kube-context")


def test_an_old_cluster_is_refused(submit: Submit, tmp_path: Path) -> None:
    """What an API server of Kubernetes 1.26 says of itself: there is none to be had here."""
    keys = ("gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
    version = {"major": "1", "minor": "26+", **dict.fromkeys(keys, "v1.26.15-eks")}
    answer = Answer(200, json.dumps(version).encode(), {"Content-Type": "application/json"})
    with answering(lambda _: answer) as server:
        finished = submit({}, "--kubeconfig", kubeconfig(tmp_path, server.url))
    refused(finished, "runs Kubernetes 1.26", "1.27 or newer", "spark-submit")


# ---- dry run ----


def test_a_dry_run_needs_no_cluster_where_the_namespace_is_named(submit: Submit, tmp_path: Path) -> None:
    finished = submit({}, "--dry-run", KUBECONFIG=str(tmp_path / "none"), HOME=str(tmp_path))
    assert "kind: Job" in finished.succeeded().output
