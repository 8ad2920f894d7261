"""Executors that can't work, each as if its node were bad in a way of its own; the third of them does the job.

The first has no way to the bucket, and the disk of the second is full. One whose clock is wrong: tests/spark.
"""

from typing import Any

from tests.kubernetes.manifests import RESTRICTED_CONTAINER

from mxspark.spark import pods

EXECUTORS = 3
# What a job tells of each of them.
TOLD = {1: "connect to the proxy", 2: "No space left on device"}
IMAGES, SHARD_SIZE = 24, 4

DISK = {"name": "disk", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}  # which is a file system of that size
DISK_MOUNT = {"name": "disk", "mountPath": f"{pods.WORK_DIR}/.cache"}  # where the model comes to
FOLDER = "/tmp/bad-node"
RESTRICTED = {
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    "securityContext": RESTRICTED_CONTAINER,
}
# Python's processes in the first send what they ask of S3 to a proxy that isn't there.
BREAK = f"""
case $ID in
1)
    mkdir {FOLDER}
    printf 'import os\nos.environ["HTTP_PROXY"] = "http://127.0.0.1:9"\n' > {FOLDER}/sitecustomize.py
    ;;
2) cat /dev/zero > {DISK_MOUNT["mountPath"]}/full || true ;;
esac
"""


def spark() -> dict[str, Any]:
    """Settings of such a job."""
    # None begins before all are there: else the one that works might have done it all before the others come.
    begin_together = {
        "spark.scheduler.minRegisteredResourcesRatio": "1",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "300s",
    }
    return {"executors": EXECUTORS, "conf": {"spark.executorEnv.PYTHONPATH": FOLDER, **begin_together}}


def kubernetes(image: str) -> dict[str, Any]:
    """Likewise."""
    breaking = {
        "name": "break",
        "image": image,
        "command": ["sh", "-c", BREAK],
        "env": [{"name": "ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['spark-exec-id']"}}}],
        "volumeMounts": [{"name": pods.LOCAL_VOLUME, "mountPath": "/tmp", "subPath": "tmp"}, DISK_MOUNT],
        **RESTRICTED,
    }
    never_ends = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]
    beside = {"name": "beside", "image": image, "command": never_ends, **RESTRICTED}
    executor = {"initContainers": [breaking], "containers": [{"volumeMounts": [DISK_MOUNT]}], "volumes": [DISK]}
    return {
        "driver": {"template": {"spec": {"containers": [{"name": "driver"}, beside]}}},
        "executor": {"template": {"spec": executor}},
    }
