"""Which ports of a job's pods other pods reach, on a cluster whose network plugin enforces policies: by hand, for
kind's own does not.

python -m tests.kubernetes.policies IMAGE [VALUE=…]     IMAGE is on the nodes and has Perl and bash; VALUE is one of the
chart's

On kind, kube-router enforces them (seen with v2.1.0: CGO_ENABLED=0 go build ./cmd/kube-router), with Debian's ipset in
each node: kube-router --run-firewall=true --run-router=false --run-service-proxy=false --hostname-override=NODE
--kubeconfig=…
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import yaml
from tests.chart.helm import CHART, GO_TOOLS, JOB, RELEASE
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.manifests import namespace, pod

from mxspark.spark import pods
from mxspark.spark.pods import Manifest
from mxspark.submit.kubernetes import network_policies

HERE, ELSEWHERE = "policies", "policies-elsewhere"
PORTS = (pods.RPC_PORT, pods.BLOCK_PORT, pods.UI_PORT)
LISTEN = (
    "use IO::Socket::INET; use IO::Select; $s = IO::Select->new(map {IO::Socket::INET->new(LocalPort => $_, Listen => "
    "50)} @ARGV);while (1) {for ($s->can_read) {$c = $_->accept; print $c qq(hi\\n); close $c}}"
)
# By name. A pod of the namespace with a job's labels is one of the job's for all policies: who may make it may do all.
LABELS = {
    "driver": pods.labels(RELEASE, "driver"),
    "executor-1": pods.labels(RELEASE, "executor"),
    "executor-2": pods.labels(RELEASE, "executor"),
    "test": pods.labels(RELEASE, "test"),
    "foreign": {"team": "foreign"},
    "executor-of-another-job": pods.labels("letters", "executor"),
    "executor-elsewhere": pods.labels(RELEASE, "executor"),
}
JOBS_OWN = ("driver", "executor-1", "executor-2")
MEANT = {(executor, "driver", port) for executor in JOBS_OWN[1:] for port in (pods.RPC_PORT, pods.BLOCK_PORT)} | {
    (one, executor, pods.BLOCK_PORT) for one, executor in product(JOBS_OWN, JOBS_OWN[1:]) if one != executor
}


def of_chart(values: list[str]) -> list[Manifest]:
    helm, given = _printed([str(GO_TOOLS), "helm"]).split()[-1], yaml.safe_dump({"job": JOB})
    command = [
        helm,
        "template",
        RELEASE,
        str(CHART),
        f"--namespace={HERE}",
        "--values=-",
        *(f"--set={value}" for value in values),
    ]
    return [each for each in yaml.safe_load_all(_printed(command, given)) if each and each["kind"] == "NetworkPolicy"]


def _printed(command: list[str], given: str = "") -> str:
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True).stdout


def place(name: str) -> str:
    return ELSEWHERE if name == "executor-elsewhere" else HERE


def reached(kubectl: Kubectl) -> set[tuple[str, str, int]]:
    """Who reaches whom, at which port."""
    addresses = {name: kubectl.json("get", f"pod/{name}")["status"]["podIP"] for name in JOBS_OWN}

    def is_reached(attempt: tuple[str, str, int]) -> bool:
        who, whom, port = attempt
        greeted = f"exec 3<>/dev/tcp/{addresses[whom]}/{port} && read -t 2 word <&3 && echo $word"
        done = kubectl.within(place(who)).run("exec", who, "--", "timeout", "3", "bash", "-c", greeted)
        return done.output.strip() == "hi"

    attempts = [each for each in product(LABELS, JOBS_OWN, PORTS) if each[0] != each[1]]
    with ThreadPoolExecutor(6) as threads:
        return {attempt for attempt, is_one in zip(attempts, threads.map(is_reached, attempts), strict=True) if is_one}


def main(image: str, values: list[str]) -> int:
    """Returns 0 where only those reach each other who are meant to, by the chart's policies and by those of a
    submission.
    """
    kubectl = Kubectl("kubectl", Path(os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser()), HERE)
    code = 0
    for way, policies in {"chart": of_chart(values), "submit": network_policies.policies(RELEASE)}.items():
        kubectl.run("delete", "namespace", "--ignore-not-found", HERE, ELSEWHERE)
        kubectl.apply(namespace(HERE), namespace(ELSEWHERE))
        for name, labels in LABELS.items():
            listener = pod(name, image, "perl", "-e", LISTEN, *map(str, PORTS))
            listener["metadata"]["labels"] = labels
            kubectl.within(place(name)).apply(listener)
        for name in LABELS:
            kubectl.within(place(name)).wait(f"pod/{name}", "condition=Ready")
        before = reached(kubectl)
        kubectl.apply(*policies)
        end = time.monotonic() + 60
        while (found := reached(kubectl)) != MEANT and time.monotonic() < end:
            time.sleep(2)
        print(f"{way}: {len(before)} ports were reached without the policies, {len(found)} with them")
        for what, wrong in {
            "closed, and should be open": MEANT - found,
            "open, and should be closed": found - MEANT,
        }.items():
            for who, whom, port in sorted(wrong):
                print(f"  {what}: {who} -> {whom}:{port}")
                code = 1
    kubectl.run("delete", "namespace", HERE, ELSEWHERE)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
