"""The job on a real cluster as EMR would start it: from the request's own parameters, properties and pod templates."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.conftest import BUCKET, put
from tests.emr.cluster import runner
from tests.emr.jobs import ROLE, arguments, submission
from tests.kubernetes.cluster import Cluster, ClusterS3, Namespace
from tests.kubernetes.jobs import watching
from tests.spark.conftest import TRUE_LABEL

from mxspark.submit.emr.start_job_run import Submission

IMAGES = 300
LIMIT_SECONDS = 600
SMALL = (
    "spark.executors=1",
    *(
        "spark.driver_memory=512m",
        "spark.driver_memory_overhead=768m",
        "spark.executor_memory=512m",
        "spark.executor_memory_overhead=768m",
    ),
    *("kubernetes.driver.cpu_request=200m", "kubernetes.executor.cpu_request=200m", "plan.shard_size=30"),
)


def test_the_job_runs_from_the_request_as_emr_would_start_it_and_a_second_start_goes_on(
    cluster: Cluster,
    namespace: Namespace,
    s3: ClusterS3,
    emr_image_on_node: str,
    digits_images: Path,
    digits_bundle: Path,
) -> None:
    kubectl, here = namespace.kubectl, f"emr-{uuid4().hex[:8]}"
    images = sorted(digits_images.glob("*.png"))[:IMAGES]
    put(s3.server, {f"{here}/images/{path.name}": path.read_bytes() for path in images})
    put(s3.server, {f"{here}/bundle/{path.name}": path.read_bytes() for path in digits_bundle.iterdir()})
    node = cluster.nodes[-1]  # the only one that has the image
    kubectl.apply(*runner.sts(emr_image_on_node, node, s3.server.access_key, s3.server.secret_key))
    kubectl.wait("pod/sts", "condition=Ready")
    chosen = {"kubernetes.io/hostname": node}
    chosen_for_executors = chosen | {"kubernetes.io/os": "linux"}
    found = submission(
        *SMALL,
        TRUE_LABEL,
        "input.suffixes=[.png]",
        f"kubernetes.driver.node_selector={json.dumps(chosen)}",
        f"kubernetes.executor.node_selector={json.dumps(chosen_for_executors)}",
        input__path=f"s3://{BUCKET}/{here}/images",
        output__path=f"s3://{BUCKET}/{here}/table",
        model__path=f"s3://{BUCKET}/{here}/bundle",
        kubernetes__image=emr_image_on_node,
        output__format="jsonl",
        output__overwrite=True,
    )
    assert arguments(found)[0] == "--settings"  # which the driver reads by its token
    put(s3.server, {place.removeprefix(f"s3://{BUCKET}/"): content for place, content in found.objects.items()})

    executors = driven(namespace, found, emr_image_on_node, node, s3, 1)

    log = kubectl.logs("driver-1")
    assert "Spark 3.5.9" in log
    assert f"{IMAGES} images: {IMAGES} ok, 0 failed" in log
    assert kubectl.json("get", "pod/driver-1")["spec"]["nodeSelector"] == chosen
    for pod in executors.values():
        assert pod["spec"]["nodeSelector"] == chosen_for_executors
        assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "executor"
        assert pod["spec"]["terminationGracePeriodSeconds"] == 120
        assert pod["spec"]["containers"][0]["name"] == "spark-kubernetes-executor"
        assert {mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]} >= {
            "/tmp",
            "/home/hadoop",
            "/mnt",
        }
    assert len(executors) == 1
    made = summary(s3, here)
    assert made["accuracy"] >= 0.95
    assert made["settings"]["output"]["submission"] == "submission-1"
    assert f"asked by {ROLE} True" in kubectl.logs("sts")  # there were no other credentials

    # As EMR starts a driver again: the same request. Although it says overwrite, what the first one did stays.
    s3.server.client().delete_object(Bucket=BUCKET, Key=f"{here}/table/part-000003.jsonl")
    driven(namespace, found, emr_image_on_node, node, s3, 2)
    again = kubectl.logs("driver-2")
    assert "270 of 300 images done, 30 are left in 1 of 10 shards" in again
    assert f"{IMAGES} images: {IMAGES} ok, 0 failed" in again


def summary(s3: ClusterS3, here: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        s3.server.client().get_object(Bucket=BUCKET, Key=f"{here}/table/_summary.json")["Body"].read()
    )
    return told


def driven(
    namespace: Namespace, found: Submission, image: str, node: str, s3: ClusterS3, attempt: int
) -> dict[str, dict[str, Any]]:
    """The executors' pods that ran while the driver did: Spark removes them at its end."""
    kubectl, driver, starter = namespace.kubectl, f"driver-{attempt}", f"runner-{attempt}"

    def is_over() -> bool:
        assert kubectl.phase(starter) != "Failed", kubectl.logs(starter)[-4000:]
        return kubectl.run("get", f"pod/{driver}").code == 0 and kubectl.phase(driver) in ("Succeeded", "Failed")

    with watching(kubectl) as watched:
        kubectl.apply(*runner.objects(found, namespace, image, node, s3.endpoint_url, attempt))
        kubectl.wait_until(is_over, f"{driver} ends", LIMIT_SECONDS)
        executors = {
            pod["metadata"]["name"]: pod
            for pod in watched.all()
            if pod["metadata"]["labels"].get("spark-role") == "executor"
        }
    assert kubectl.phase(driver) == "Succeeded", kubectl.logs(driver)[-4000:]
    return executors
