"""EMR's part of a job run, as far as its guide tells it: a pod that submits the driver, what it adds to pods, and
credentials by a token.

What only AWS has is played: the job runner by spark-submit in cluster mode, EMRFS by files from a ConfigMap, STS by
twenty lines.
"""

import shlex
from typing import Any

import yaml
from tests.emr import emrs_own
from tests.emr.jobs import ROLE, classification
from tests.kubernetes import manifests
from tests.kubernetes.cluster import Namespace
from tests.spark.conftest import QUICK_JAVA

from mxspark.submit.emr.pod_templates import CONTAINERS, TAKEN_PLACES
from mxspark.submit.emr.properties import DRIVER_TEMPLATE, EXECUTOR_TEMPLATE
from mxspark.submit.emr.start_job_run import Submission

TOKEN_DIR = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
TOKEN = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 3600, "path": "token"}}
# As hadoop, in a group that all of its volumes are of.
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 999,
    "runAsGroup": 1000,
    "fsGroup": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
STS = """
import http.server, os, sys, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        ok = asked["Action"] == ["AssumeRoleWithWebIdentity"] and asked["WebIdentityToken"][0].count(".") == 2
        print("asked by", asked["RoleArn"][0], ok, flush=True)
        keys = "<AccessKeyId>%s</AccessKeyId>" % os.environ["KEY"]
        keys += "<SecretAccessKey>%s</SecretAccessKey>" % os.environ["SECRET"]
        body = ("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>" + keys +
            "<SessionToken></SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>").encode()
        self.send_response(200 if ok else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""


def sts(image: str, node: str, access_key: str, secret_key: str) -> list[dict[str, Any]]:
    """Hands out the S3 server's keys for a token, as STS does credentials of its own."""
    command = ("/opt/mxspark/venv/bin/python", "-c", STS)
    pod = manifests.pod("sts", image, *command, env={"KEY": access_key, "SECRET": secret_key}, nodeName=node)
    pod["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    return [pod, manifests.service("sts", 8080, 8080)]


def with_emrs_own(template: dict[str, Any], endpoint_url: str) -> dict[str, Any]:
    """A pod template with what EMR and EKS add: mounts over the image's folders, a read-only root, the role's token,
    hadoop as the user.
    """
    spec = template["spec"]
    main = spec["containers"][0]
    names = [f"emr-{number}" for number, _ in enumerate(TAKEN_PLACES)]
    spec["volumes"] = [*spec.get("volumes", []), *({"name": name, "emptyDir": {}} for name in names)]
    spec["volumes"].append({"name": "aws-iam-token", "projected": {"sources": [TOKEN]}})
    mounts = [{"name": name, "mountPath": place} for name, place in zip(names, TAKEN_PLACES, strict=True)]
    main["volumeMounts"] = [
        *main.get("volumeMounts", []),
        *mounts,
        {"name": "aws-iam-token", "mountPath": TOKEN_DIR, "readOnly": True},
    ]
    variables = {
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{TOKEN_DIR}/token",
        "AWS_REGION": "us-east-1",
        # Of this cluster's servers, which aren't AWS's.
        "AWS_ENDPOINT_URL_STS": "http://sts:8080",
        "AWS_ENDPOINT_URL_S3": endpoint_url,
    }
    main["env"] = [*main.get("env", []), *({"name": name, "value": value} for name, value in variables.items())]
    main["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    spec["securityContext"] = POD_SECURITY
    return template


def objects(
    submission: Submission, namespace: Namespace, image: str, node: str, endpoint_url: str, attempt: int
) -> list[dict[str, Any]]:
    """The pod `runner-N`, which makes the pod `driver-N` out of the request and waits for its end; N is which start
    of the driver it is.
    """
    asked = submission.request["jobDriver"]["sparkSubmitJobDriver"]
    defaults = emrs_own.DEFAULTS | classification(submission, "spark-defaults")
    files = {}
    for role, key in zip(CONTAINERS, (DRIVER_TEMPLATE, EXECUTOR_TEMPLATE), strict=True):
        content = yaml.safe_load(submission.objects[defaults[key]])
        defaults[key] = f"/job/{role}.yaml"
        files[f"{role}.yaml"] = yaml.safe_dump(with_emrs_own(content, endpoint_url))
    defaults |= {
        "spark.kubernetes.namespace": namespace.name,
        "spark.kubernetes.authenticate.driver.serviceAccountName": namespace.service_account,
        "spark.kubernetes.authenticate.executor.serviceAccountName": namespace.service_account,
        "spark.kubernetes.driver.pod.name": f"driver-{attempt}",
    }
    files["spark-defaults.conf"] = emrs_own.properties_file(defaults)
    command = [
        "/usr/lib/spark/bin/spark-submit",
        "--master",
        "k8s://https://kubernetes.default.svc",
        "--deploy-mode",
        "cluster",
    ]
    command += ["--properties-file", "/job/spark-defaults.conf", *shlex.split(asked["sparkSubmitParameters"])]
    pod = manifests.pod(
        f"runner-{attempt}",
        image,
        *(*command, asked["entryPoint"], *asked["entryPointArguments"]),
        env=QUICK_JAVA,
        nodeName=node,
        serviceAccountName=namespace.service_account,
        automountServiceAccountToken=True,
        securityContext=POD_SECURITY,
        volumes=[{"name": "job", "configMap": {"name": "job"}}, {"name": "tmp", "emptyDir": {}}],
    )
    container = pod["spec"]["containers"][0]
    container["volumeMounts"] = [{"name": "job", "mountPath": "/job"}, {"name": "tmp", "mountPath": "/tmp"}]
    container["resources"]["limits"]["memory"] = "1Gi"
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "job"}, "data": files}, pod]
