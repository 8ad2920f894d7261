"""Executors that can't work, each as if its node were bad in a way of its own; the fourth of them does the job.

The first has no way to the bucket, for the second its clock is wrong, and the disk of the third is full.
"""

from pathlib import Path
from typing import Any

from tests.kubernetes.manifests import RESTRICTED_CONTAINER

from mxspark.spark import pods

EXECUTORS = 4
# What a job tells of each of them.
TOLD = {1: "connect to the proxy", 2: "this machine's clock differs too much", 3: "No space left on device"}

LATE_S3 = Path(__file__).with_name("late_s3.py")
LATE_PORT = 9333
DISK = {"name": "disk", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}}  # which is a file system of that size
DISK_MOUNT = {"name": "disk", "mountPath": f"{pods.WORK_DIR}/.cache"}  # where the model comes to
FOLDER = "/tmp/bad-node"
RESTRICTED = {
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    "securityContext": RESTRICTED_CONTAINER,
}
# Python's processes in the first two send what they ask of S3 to a proxy: one that isn't there, and the driver's
# container `late-s3`.
BREAK = f"""
proxy() {{
    mkdir {FOLDER}
    printf 'import os\\ndriver = os.environ["SPARK_DRIVER_URL"].rpartition("@")[2]\\n' > {FOLDER}/sitecustomize.py
    printf 'driver = driver.rpartition(":")[0]\\n' >> {FOLDER}/sitecustomize.py
    printf 'os.environ["HTTP_PROXY"] = f"http://%s"\\n' "$1" >> {FOLDER}/sitecustomize.py
}}
case $ID in
1) proxy 127.0.0.1:9 ;;
2) proxy '{{driver}}:{LATE_PORT}' ;;
3) cat /dev/zero > {DISK_MOUNT["mountPath"]}/full || true ;;
esac
"""


def spark() -> dict[str, Any]:
    """Settings of such a job."""
    return {"executors": EXECUTORS, "conf": {"spark.executorEnv.PYTHONPATH": FOLDER}}


def kubernetes(image: str) -> dict[str, Any]:
    """Likewise."""
    late_s3 = {
        "name": "late-s3",
        "image": image,
        "command": ["python", "-c", LATE_S3.read_text(), str(LATE_PORT)],
        **RESTRICTED,
    }
    breaking = {
        "name": "break",
        "image": image,
        "command": ["sh", "-c", BREAK],
        "env": [{"name": "ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['spark-exec-id']"}}}],
        "volumeMounts": [{"name": pods.LOCAL_VOLUME, "mountPath": "/tmp", "subPath": "tmp"}, DISK_MOUNT],
        **RESTRICTED,
    }
    executor = {"initContainers": [breaking], "containers": [{"volumeMounts": [DISK_MOUNT]}], "volumes": [DISK]}
    return {
        "driver": {"template": {"spec": {"containers": [{"name": "driver"}, late_s3]}}},
        "executor": {"template": {"spec": executor}},
        "ingress_rules": [{"ports": [{"port": LATE_PORT}]}],
    }
