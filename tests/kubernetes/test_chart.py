"""The chart on a real API server: what it refuses, and a release from its installation to its end."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import CHART, Helm, Manifest, driver, manifests, settings
from tests.command import REPOSITORY, Command, Finished
from tests.conftest import BUCKET, put
from tests.kubernetes import admission
from tests.kubernetes.cluster import ClusterS3, Namespace
from tests.kubernetes.jobs import RUN_SECONDS, SOME_DIGITS, Jobs, Watched, watching

from mxspark.spark import pods

EXAMPLES = sorted((REPOSITORY / "tests" / "chart" / "values").glob("*.yaml"))
IMAGES = 60
SHARDS = 3
OF_OTHERS = ("HTTPRoute", "PodMonitor", "PrometheusRule")  # kinds that a bare cluster doesn't have
# Of releases in one namespace: executors, and the memory of each in MiB, of Java and of its worker.
SIDE_BY_SIDE = {"two": (2, 512, 640), "one": (1, 600, 700)}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_api_server_takes_every_manifest(namespace: Namespace, helm: Helm, example: Path) -> None:
    told = helm.run("template", "digits", CHART, f"--namespace={namespace.name}", f"--values={example}").succeeded()
    rendered = [each for each in manifests(told.output) if each["kind"] not in OF_OTHERS]
    found = settings(rendered)
    executor = pods.executor_template(found.spark, found.kubernetes)
    # Spark writes these two itself.
    executor["metadata"]["name"], executor["spec"]["containers"][0]["image"] = "executor", "mxspark"
    # A Job is taken whatever its pods are like: of them the API server is asked too.
    all_pods = [
        {"apiVersion": "v1", "kind": "Pod", **driver(rendered)},
        executor,
        *(each for each in rendered if each["kind"] == "Pod"),
    ]
    for number, pod in enumerate(all_pods):
        pod["metadata"] = pod["metadata"] | {"name": f"pod-{number}", "namespace": namespace.name}
        pod["spec"].pop("priorityClassName", None)  # such a class would be the whole cluster's
        pod["spec"]["serviceAccountName"] = "default"
    dry_run = namespace.kubectl.run(
        "apply", "--dry-run=server", "--validate=strict", "--filename=-", given=yaml_of(rendered + all_pods[:2])
    )
    assert dry_run.code == 0, dry_run.text
    assert "Warning" not in dry_run.errors


def yaml_of(objects: list[Manifest]) -> str:
    return yaml.safe_dump_all(objects)


@pytest.fixture
def values(
    namespace: Namespace, s3: ClusterS3, cluster_image: str, digits_images: Path, digits_bundle: Path
) -> dict[str, Any]:
    """The digits job, small, with its data in the cluster's S3 server and a place of its own for its table."""
    chosen = sorted(digits_images.glob("*.png"))[:IMAGES]
    prefix = namespace.name
    objects = {f"{prefix}/images/{path.name}": path.read_bytes() for path in chosen}
    put(
        s3.server,
        objects
        | {f"{prefix}/model/{path.name}": path.read_bytes() for path in digits_bundle.iterdir() if path.is_file()},
    )
    keys = {"AWS_ACCESS_KEY_ID": s3.server.access_key, "AWS_SECRET_ACCESS_KEY": s3.server.secret_key}
    namespace.kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket-keys"}, "stringData": keys}
    )
    repository, _, tag = cluster_image.rpartition(":")
    small = {"memory": "512m", "memoryOverhead": "768m", "cpuRequest": "100m"}
    return {
        "image": {"repository": repository, "tag": tag},
        "job": {
            "input": {"path": f"s3://{BUCKET}/{prefix}/images/"},
            "model": {"path": f"s3://{BUCKET}/{prefix}/model"},
            "output": {"path": f"s3://{BUCKET}/{prefix}/table"},
            "plan": {"shard_size": IMAGES // SHARDS},
        },
        "s3": {"endpoint": s3.endpoint_url, "region": "us-east-1", "secretName": "bucket-keys"},
        "executor": small | {"count": 2},
        "driver": small,
        "networkPolicy": {"enabled": True},
    }


def test_helm_3_too_finds_that_the_cluster_would_take_a_release(
    namespace: Namespace, values: dict[str, Any], helm3: Helm
) -> None:
    """Its manifests are those of Helm 4 (tests/chart/test_golden.py): what it would install here needs no job to be
    seen.
    """
    access = (f"--kubeconfig={namespace.kubectl.kubeconfig}", f"--namespace={namespace.name}")
    told = (
        helm3.run("install", "digits", CHART, "--values=-", "--dry-run=server", *access, given=json.dumps(values))
        .succeeded()
        .output
    )
    assert "STATUS: pending-install" in told
    assert "kind: Job" in told
    assert namespace.kubectl.items("jobs") == []


def test_a_release_is_installed_tested_changed_and_leaves_nothing(
    namespace: Namespace, values: dict[str, Any], helm: Helm
) -> None:
    kubectl = namespace.kubectl

    def release(*arguments: str, given: dict[str, Any] | None = None) -> str:
        access = (f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={namespace.name}")
        return helm.run(*arguments, *access, given=json.dumps(given or {}), seconds=RUN_SECONDS).succeeded().output

    def job() -> Manifest:
        jobs = kubectl.items("jobs")
        assert len(jobs) == 1
        return jobs[0]

    def finished() -> Manifest:
        kubectl.wait(f"job/{job()['metadata']['name']}", "condition=Complete", RUN_SECONDS)
        return job()

    before = all_objects(namespace)
    one = values | {"executor": values["executor"] | {"count": 1}}
    told = release("install", "digits", str(CHART), "--values=-", given=one)
    first = finished()
    assert f"logs --follow --pod-running-timeout 5m job/{first['metadata']['name']}" in told
    log = kubectl.logs(f"job/{first['metadata']['name']}")
    assert f"{IMAGES} images: {IMAGES} ok, 0 failed" in log
    assert "on 1 worker" in log
    assert kubectl.items("pods", "--selector=app.kubernetes.io/component=executor") == []

    tested = release("test", "digits", "--logs")
    for words in ("ok: may create pods", "ok: may not get secrets", "/table can be written", "1 image: 1 ok, 0 failed"):
        assert words in tested
    assert kubectl.items("pods", "--selector=app.kubernetes.io/component=test") == []

    release("upgrade", "digits", str(CHART), "--values=-", given=one)
    assert job()["metadata"]["uid"] == first["metadata"]["uid"]  # nothing changed: it is left alone

    release("upgrade", "digits", str(CHART), "--values=-", given=values)
    second = finished()
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    # It goes on where the first one was, which left nothing to be done.
    assert "Starting Spark" not in kubectl.logs(f"job/{second['metadata']['name']}")

    release("uninstall", "digits", "--wait")
    kubectl.wait_until(lambda: all_objects(namespace) == before, "nothing of the release is left")


def test_a_scheduled_release_takes_executors_as_it_needs_them_and_writes_an_event_log(
    namespace: Namespace, values: dict[str, Any], helm: Helm, mxspark: Command, s3: ClusterS3
) -> None:
    kubectl, folder = namespace.kubectl, f"{namespace.name}/events/"
    put(s3.server, {f"{folder}.keep": b""})  # a folder of a bucket is there when something is in it
    given = values | {
        "schedule": "0 0 1 1 *",
        "sparkConf": {"spark.eventLog.compress": "false"},
        "dynamicAllocation": {"enabled": True, "maxExecutors": 2},
        "monitoring": {"eventLog": f"s3a://{BUCKET}/{folder}", "uiService": True, "prometheus": {"annotations": True}},
    }
    access = (f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={namespace.name}")
    before = all_objects(namespace)
    told = (
        helm.run("install", "digits", CHART, "--values=-", *access, given=json.dumps(given), seconds=RUN_SECONDS)
        .succeeded()
        .output
    )
    now = next(line.strip() for line in told.splitlines() if "create job --from=cronjob/" in line)

    kubectl(*now.replace("$(date +%s)", "1").split()[1:])  # there is no shell here
    followed = mxspark("follow", "digits", *access).succeeded()

    assert f"{IMAGES} images: {IMAGES} ok, 0 failed" in followed.output
    log = event_log(s3, folder)
    properties = next(event["Spark Properties"] for event in log if event["Event"] == "SparkListenerEnvironmentUpdate")
    assert properties["spark.dynamicAllocation.enabled"] == "true"
    assert 1 <= sum(event["Event"] == "SparkListenerExecutorAdded" for event in log) <= 2
    assert s3.server.secret_key not in json.dumps(log)
    helm.run("uninstall", "digits", "--wait", *access, seconds=RUN_SECONDS).succeeded()
    kubectl.wait_until(lambda: all_objects(namespace) == before, "nothing of the release is left")


def test_releases_side_by_side_are_what_their_values_say_and_the_one_that_is_wrong_fails(
    namespace: Namespace, values: dict[str, Any], helm: Helm, mxspark: Command, jobs: Jobs, s3: ClusterS3
) -> None:
    kubectl = namespace.kubectl
    access = (f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={namespace.name}")
    job = values["job"] | {"input": {"path": jobs.place("digits/"), "limit": SOME_DIGITS}, "plan": {"shard_size": 64}}

    def install(name: str, job: dict[str, Any], **executor: Any) -> None:
        output = {"path": f"{values['job']['output']['path']}-{name}"}
        given = values | {"job": job | {"output": output}, "executor": values["executor"] | executor}
        helm.run(
            "install", name, CHART, "--values=-", *access, given=json.dumps(given), seconds=RUN_SECONDS
        ).succeeded()

    def follow(name: str) -> Finished:
        with mxspark.start("mxspark", "follow", name, *access) as running:
            return running.wait(RUN_SECONDS)

    with watching(kubectl) as watched:
        for name, (count, memory, overhead) in SIDE_BY_SIDE.items():
            install(name, job, count=count, memory=f"{memory}m", memoryOverhead=f"{overhead}m")
        install("wrong", job | {"model": {"path": jobs.place("digits")}})
        told = {name: follow(name).succeeded().text for name in SIDE_BY_SIDE}
        told["wrong"] = follow("wrong").ended_with(2).text

        for name in SIDE_BY_SIDE:
            assert f"{SOME_DIGITS} images: {SOME_DIGITS} ok, 0 failed" in told[name]
            check_executors(watched, name)
        assert watched.pods("wrong", "executor") == {}
        # The sample of a policy for drivers takes the chart's executors (what it refuses: test_admission.py).
        executor = next(iter(watched.pods("two", "executor").values()))[-1]
        driver_account = account_of(namespace, "two")
        with admission.policy(
            kubectl, driver_account, values["image"]["repository"] + ":" + values["image"]["tag"], executor
        ):
            admission.asked(kubectl, driver_account, executor).succeeded()
        told["pods"] = json.dumps(watched.all())
    check_failed(namespace, "wrong")
    told["objects"] = kubectl("get", "jobs,configmaps,events", "--output=json")
    for name in (*SIDE_BY_SIDE, "wrong"):
        told[f"release {name}"] = helm.run("get", "all", name, *access).succeeded().output
        told[f"log of {name}"] = kubectl.logs(f"job/{job_of(namespace, name)['metadata']['name']}")
    plain = (s3.server.access_key, s3.server.secret_key)
    keys = [*plain, *(base64.b64encode(key.encode()).decode().rstrip("=") for key in plain)]
    for place, text in told.items():
        assert text, place
        assert not [key for key in keys if key in text], place


def check_executors(watched: Watched, release: str) -> None:
    """As many ran as the values say, and none was started in vain; each was as large as they say."""
    count, memory, overhead = SIDE_BY_SIDE[release]
    executors = watched.pods(release, "executor")
    assert len(executors) == count
    for versions in executors.values():
        assert any(version["status"]["phase"] == "Running" for version in versions)
        resources = versions[0]["spec"]["containers"][0]["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"] == f"{memory + overhead}Mi"


def check_failed(namespace: Namespace, release: str) -> None:
    """Its Job failed at its driver's first start, which ended with the exit code of wrong settings."""
    kubectl = namespace.kubectl
    kubectl.wait(f"job/{job_of(namespace, release)['metadata']['name']}", "condition=Failed")
    (pod,) = kubectl.items("pods", "-l", f"app.kubernetes.io/instance={release}")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 2


def job_of(namespace: Namespace, release: str) -> Manifest:
    (job,) = namespace.kubectl.items("jobs", "-l", f"app.kubernetes.io/instance={release}")
    return job


def account_of(namespace: Namespace, release: str) -> str:
    """That of its driver."""
    account: str = job_of(namespace, release)["spec"]["template"]["spec"]["serviceAccountName"]
    return account


def event_log(s3: ClusterS3, folder: str) -> list[dict[str, Any]]:
    """What Spark told of the one application that wrote there."""
    client = s3.server.client()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET, Prefix=folder)["Contents"]]
    parts = sorted(key for key in keys if "/events_" in key)
    text = b"".join(client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in parts).decode()
    return [json.loads(line) for line in text.splitlines()]


def all_objects(namespace: Namespace) -> set[str]:
    kinds = "jobs,cronjobs,pods,services,configmaps,serviceaccounts,roles,rolebindings"
    kinds += ",networkpolicies,persistentvolumeclaims"
    return set(namespace.kubectl("get", kinds, "--output=name").split())
