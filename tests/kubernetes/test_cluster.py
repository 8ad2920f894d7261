"""The cluster that all other tests of this folder stand on: nodes, network, admission, rights, and the S3 server in
it.
"""

import http.client
import os
import subprocess
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError
from examples.kind.forward import forwarded
from examples.s3 import Server
from tests.command import REPOSITORY, Finished
from tests.image import images
from tests.kubernetes import manifests
from tests.kubernetes.cluster import KIND, Cluster, ClusterS3, Namespace
from tests.kubernetes.test_gpus import RESOURCE

SERVER = "import http.server; http.server.test(http.server.SimpleHTTPRequestHandler, port=8080)"
LIST_BUCKETS = "import boto3; print(*(bucket['Name'] for bucket in boto3.client('s3').list_buckets()['Buckets']))"


def test_two_nodes_are_ready_and_take_pods(cluster: Cluster) -> None:
    nodes = cluster.kubectl.items("nodes")
    assert len(nodes) == 2
    for node in nodes:
        conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert [taint["key"] for taint in node["spec"].get("taints", []) if taint["key"] != RESOURCE] == []


FETCH = """
import time, urllib.request
for _ in range(60):
    try:
        print(urllib.request.urlopen("{url}", timeout=10).status)
        break
    except OSError:
        time.sleep(1)
"""


def test_a_pod_reaches_another_on_the_other_node_by_its_service_s_name(
    namespace: Namespace, cluster: Cluster, cluster_image: str
) -> None:
    one, other = cluster.nodes
    # Once the service is there, a node may hear of it a little later.
    fetch = FETCH.format(url=f"http://web.{namespace.name}.svc.cluster.local")
    kubectl = namespace.kubectl
    kubectl.apply(web_pod(cluster_image, nodeName=one), manifests.service("web", 80, 8080))
    kubectl.wait("pod/web", "condition=Ready")
    kubectl.apply(manifests.pod("client", cluster_image, "python", "-c", fetch, nodeName=other))
    assert kubectl.result("client").succeeded().output == "200\n"


def web_pod(image_name: str, **spec: Any) -> dict[str, Any]:
    """A web server that is ready when it answers."""
    pod = manifests.pod("web", image_name, "python", "-c", SERVER, **spec)
    pod["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    return pod


def test_a_pod_that_runs_as_root_is_refused(namespace: Namespace, cluster_image: str) -> None:
    root = manifests.pod("root", cluster_image, "id", securityContext={"runAsUser": 0})
    refusal = namespace.kubectl.try_to_apply(root)
    assert refusal.code != 0
    assert 'violates PodSecurity "restricted:latest"' in refusal.errors


@pytest.mark.parametrize(
    ("right", "granted"),
    [
        ("create pods", True),
        ("deletecollection persistentvolumeclaims", True),
        ("get secrets", False),
        ("create jobs", False),
    ],
)
def test_spark_s_account_has_no_other_rights_than_it_needs(namespace: Namespace, right: str, granted: bool) -> None:
    account = f"system:serviceaccount:{namespace.name}:{namespace.service_account}"
    answer = namespace.kubectl.run("auth", "can-i", *right.split(), f"--as={account}")
    assert answer.output.strip() == ("yes" if granted else "no")


def test_spark_s_account_has_no_rights_in_another_namespace(namespace: Namespace) -> None:
    account = f"system:serviceaccount:{namespace.name}:{namespace.service_account}"
    answer = namespace.kubectl.within("default").run("auth", "can-i", "list", "pods", f"--as={account}")
    assert answer.output.strip() == "no"


def test_the_s3_server_answers_a_pod_that_has_its_keys(namespace: Namespace, cluster_image: str, s3: ClusterS3) -> None:
    namespace.kubectl.apply(manifests.pod("client", cluster_image, "python", "-c", LIST_BUCKETS, env=s3.environment))
    assert set(namespace.kubectl.result("client").succeeded().output.split()) >= {
        "images",
        "models",
        "results",
        "tests",
    }


def test_the_s3_server_refuses_a_pod_with_wrong_keys(namespace: Namespace, cluster_image: str, s3: ClusterS3) -> None:
    wrong = {**s3.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}
    namespace.kubectl.apply(manifests.pod("client", cluster_image, "python", "-c", LIST_BUCKETS, env=wrong))
    finished = namespace.kubectl.result("client")
    assert finished.code != 0
    assert "SignatureDoesNotMatch" in finished.text


def test_this_machine_reaches_the_s3_server_too(s3: ClusterS3) -> None:
    client = s3.server.client()
    client.put_object(Bucket="tests", Key="from/the/host", Body=b"hello")
    assert client.get_object(Bucket="tests", Key="from/the/host")["Body"].read() == b"hello"


def test_the_s3_server_refuses_this_machine_with_wrong_keys(s3: ClusterS3) -> None:
    wrong = Server(s3.server.endpoint_url, s3.server.access_key, "wrong", "localhost")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.client().list_buckets()


def test_the_way_from_this_machine_stays_open_when_the_pod_behind_it_goes(
    namespace: Namespace, cluster_image: str
) -> None:
    kubectl = namespace.kubectl
    kubectl.apply(web_pod(cluster_image), manifests.service("web", 80, 8080))
    kubectl.wait("pod/web", "condition=Ready")
    with forwarded(kubectl.command, "service/web", 80) as port:
        kubectl.wait_until(lambda: answers(port), "the pod answers")
        kubectl("delete", "pod/web", "--grace-period=1")
        assert not answers(port)
        kubectl.apply(web_pod(cluster_image))
        kubectl.wait_until(lambda: answers(port), "the pod answers again")


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def test_a_second_up_leaves_the_cluster_as_it_is(cluster: Cluster) -> None:
    uid = cluster.kubectl.json("get", "namespace/kube-system")["metadata"]["uid"]
    assert f"The cluster {cluster.name} is there already." in cluster.kind("up")
    assert cluster.kubectl.json("get", "namespace/kube-system")["metadata"]["uid"] == uid


def kind(*arguments: str, **environment: str) -> Finished:
    """`tools/kind.sh` as a person runs it, for a cluster that isn't there."""
    variables = {**os.environ, "KIND_CLUSTER": "mxspark-tests-none", "DOCKER": images.docker(), **environment}
    done = subprocess.run(
        [KIND, *arguments], cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr, 0, "")


@pytest.mark.parametrize("command", [("load", "mxspark"), ("s3",)])
def test_without_a_cluster_it_says_how_to_make_one(command: tuple[str, ...]) -> None:
    finished = kind(*command).ended_with(1)
    assert finished.errors == "kind: there is no cluster mxspark-tests-none: tools/kind.sh up makes it.\n"


def test_down_without_a_cluster_is_no_error() -> None:
    assert kind("down").succeeded().output == "There is no cluster mxspark-tests-none.\n"


def test_an_image_that_docker_lacks_is_named(cluster: Cluster) -> None:
    finished = kind("load", "no-such-image", KIND_CLUSTER=cluster.name).ended_with(1)
    assert finished.errors == "kind: Docker has no image no-such-image: make image builds mxspark.\n"


def test_a_node_s_image_that_can_t_be_had_is_named() -> None:
    finished = kind("up", KIND_NODE_IMAGE="no-such-node").ended_with(1)
    assert finished.errors.endswith(
        "kind: KIND_NODE_IMAGE: there is no image no-such-node here, and it can't be pulled.\n"
    )
