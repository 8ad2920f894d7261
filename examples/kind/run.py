"""The digits job on the kind cluster that `make kind-up` makes: data into its S3 server, the chart installed, followed,
its table shown.

Run:  .venv/bin/python examples/kind/run.py      (make kind-run) Environment: KIND_CLUSTER, KUBECONFIG, as for
tools/kind.sh; IMAGE, the image that the nodes have
"""

import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from examples.kind.forward import forwarded
from examples.s3 import Server
from mxspark.text.words import counted

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
DIGITS = REPOSITORY / "examples" / "digits"
CHART = REPOSITORY / "helm" / "mxspark"
NAMESPACE = "mxspark"
RELEASE = "digits"
UPLOADS = 8  # at a time
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class StepError(Exception):
    """A step failed, which has said why."""


@dataclass(frozen=True)
class Tools:
    """The programs for the one cluster, and the image that its nodes have."""

    kubectl_program: str
    helm_program: str
    context: str
    image: str

    @classmethod
    def of_this_machine(cls) -> Self:
        """For the cluster that `make kind-up` makes. Raises StepError."""
        kubectl, helm = said([str(REPOSITORY / "tools" / "go-tools.sh"), "kubectl", "helm"]).split()
        context = f"kind-{os.environ.get('KIND_CLUSTER', 'mxspark')}"
        return cls(kubectl, helm, context, os.environ.get("IMAGE", "mxspark"))

    def kubectl(self, *arguments: str) -> list[str]:
        return [self.kubectl_program, f"--context={self.context}", *arguments]

    def helm(self, *arguments: str) -> list[str]:
        return [self.helm_program, *arguments, f"--namespace={NAMESPACE}", f"--kube-context={self.context}"]

    def mxspark(self, *arguments: str) -> list[str]:
        program = Path(sys.executable).with_name("mxspark")
        return [str(program), *arguments, f"--namespace={NAMESPACE}", f"--kube-context={self.context}"]

    def submit(self) -> list[str]:
        """The same job from the command line."""
        return self.mxspark(
            *(
                "submit",
                "kubernetes",
                f"--image={self.image}",
                "--input=s3://images/digits/",
                "--output=s3://results/submitted",
            ),
            *("--model=s3://models/digits", "--endpoint-url=http://s3.s3:8333", "--set=kubernetes.credentials_from=s3"),
            r"--set=input.true_label=_(\d)\.png$",
        )


def main() -> int:
    """Returns the job's exit code."""
    tools = Tools.of_this_machine()
    try:
        keys = credentials(tools)
    except StepError:
        print("kind-run: the cluster with its S3 server can't be reached: `make kind-up` makes it.", file=sys.stderr)
        return 1
    with forwarded(lambda *arguments: tools.kubectl("--namespace=s3", *arguments), "service/s3", 8333) as port:
        server = server_at(port, keys)
        upload(server)
        make_namespace(tools, keys)
        install(tools)
        code = follow(tools)
        if code == 0:
            show(server)
            print(what_next(tools))
    return code


def credentials(tools: Tools) -> dict[str, str]:
    """The S3 server's keys."""
    secret = json.loads(said(tools.kubectl("--namespace=s3", "get", "secret", "credentials", "--output=json")))
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def server_at(port: int, keys: dict[str, str]) -> Server:
    """The S3 server, to which a port of this machine leads."""
    return Server(f"http://127.0.0.1:{port}", keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], "localhost")


def upload(server: Server) -> None:
    """The images and the model, unless they are there already."""
    client = server.client()
    files = {("images", f"digits/{file.name}"): file for file in (DIGITS / "images").glob("*.png")}
    files |= {("models", f"digits/{file.name}"): file for file in (DIGITS / "bundle").iterdir() if file.is_file()}
    there = {(bucket, key) for bucket in ("images", "models") for key in listed(client, bucket)}
    missing = {place: file for place, file in files.items() if place not in there}
    print(f"Uploading {len(missing):,} of {counted(len(files), 'file')} to the cluster's S3 server")
    with ThreadPoolExecutor(UPLOADS) as threads:
        for _ in threads.map(
            lambda place: client.put_object(Bucket=place[0], Key=place[1], Body=missing[place].read_bytes()), missing
        ):
            pass


def listed(client: Any, bucket: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="digits/")
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def make_namespace(tools: Tools, keys: dict[str, str]) -> None:
    """One that admits restricted pods only, and in it the secret with the keys."""
    apply(tools, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    said(tools.kubectl("label", "--overwrite", "namespace", NAMESPACE, RESTRICTED))
    apply(
        tools,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": NAMESPACE}, "stringData": keys},
    )


def install(tools: Tools) -> None:
    """The chart."""
    name = tools.image
    repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
    # A release of an earlier time would stand in the way of running the job again.
    subprocess.run(tools.helm("uninstall", RELEASE, "--wait"), capture_output=True, check=False)
    values = (
        f"--values={HERE / 'values.yaml'}",
        f"--set=image.repository={repository}",
        f"--set-string=image.tag={tag}",
    )
    command = tools.helm("install", RELEASE, str(CHART), *values)
    print(in_words(command), flush=True)
    said(command)  # the chart's notes say what kind-run does by itself


def apply(tools: Tools, manifest: dict[str, Any]) -> None:
    """By standard input: what is on a command line every process of the machine can read."""
    said(tools.kubectl("apply", "--filename=-"), json.dumps(manifest))


def follow(tools: Tools) -> int:
    """The job's exit code."""
    command = tools.mxspark("follow", RELEASE)
    print(in_words(command), flush=True)
    return subprocess.run(command, check=False).returncode


def show(server: Server) -> None:
    """What `mxspark status` counts in the table."""
    environment = {**os.environ, **server.environment}
    subprocess.run([sys.executable, "-m", "mxspark", "status", "s3://results/digits"], env=environment, check=True)


def what_next(tools: Tools) -> str:
    """Commands to go on with, as they can be typed in the repository's folder."""
    return "\n".join(
        [
            "Look at rights, buckets and one image from inside the cluster:",
            f"  {in_words(tools.helm('test', RELEASE))}",
            "Run the same job from the command line, without Helm (add --logs, --detach or --dry-run):",
            f"  {in_words(tools.submit())}",
            "Remove the cluster:",
            "  make kind-down",
        ]
    )


def in_words(command: list[str]) -> str:
    """A command as it can be typed in the repository's folder: programs of PATH by their names."""
    program, *arguments = command
    name = Path(program).name
    if shutil.which(name) == program:
        program = name
    return shlex.join(word.replace(f"{REPOSITORY}/", "") for word in [program, *arguments])


def said(command: list[str], given: str = "") -> str:
    """What a command prints. Raises StepError where it fails; it has said why then."""
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise StepError(f"{Path(command[0]).name} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StepError as error:
        sys.exit(f"kind-run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
