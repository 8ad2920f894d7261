"""What the chart makes of the values files in values/: kept in golden/, checked by kubeconform, and as a cluster would
look at it.

UPDATE=1 writes golden/ anew; look at what `git diff` says then.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.chart.helm import CHART, Helm, Manifest, driver, pods, settings, without_blank_lines

from mxspark.spark import pods as executor_pods

GOLDEN = Path(__file__).with_name("golden")


def test_the_manifests_are_the_ones_kept(each_helm: Helm, example: Path) -> None:
    rendered = without_blank_lines(each_helm.try_to_render(example).succeeded().output)
    kept = GOLDEN / example.name
    if os.environ.get("UPDATE"):
        GOLDEN.mkdir(exist_ok=True)
        kept.write_text(rendered)
    assert rendered == kept.read_text(), (
        "if this is as it is meant to be: UPDATE=1 .venv/bin/python -m pytest tests/chart"
    )


def test_kubernetes_knows_every_field(helm: Helm, example: Path, kubeconform: list[str]) -> None:
    text = helm.try_to_render(example).succeeded().output
    checked = subprocess.run(kubeconform, input=text, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Errors: 0" in checked.stdout


def test_kubeconform_would_notice_a_wrong_field(kubeconform: list[str], helm: Helm, example: Path) -> None:
    text = helm.try_to_render(example).succeeded().output.replace("backoffLimit", "backOffLimit")
    checked = subprocess.run(kubeconform, input=text, capture_output=True, text=True, check=False)
    assert checked.returncode != 0
    assert "backOffLimit" in checked.stdout


def test_kubeconform_would_notice_a_wrong_field_of_a_route(kubeconform: list[str], helm: Helm) -> None:
    text = helm.try_to_render(GOLDEN.with_name("values") / "everything.yaml").succeeded().output
    wrong = text.replace("backendRefs:", "backends:")
    checked = subprocess.run(kubeconform, input=wrong, capture_output=True, text=True, check=False)
    assert "HTTPRoute digits-nightly-ui is invalid" in checked.stdout
    assert "backends" in checked.stdout


def test_the_driver_understands_its_settings(helm: Helm, example: Path) -> None:
    rendered = helm.render(example)
    found = settings(rendered)
    pod = driver(rendered)
    assert found.spark.is_kubernetes
    assert found.kubernetes.image == pod["spec"]["containers"][0]["image"]
    assert found.kubernetes.service_account == pod["spec"]["serviceAccountName"]
    services = [
        each["metadata"]["name"]
        for each in rendered
        if each["kind"] == "Service" and each["spec"].get("clusterIP") == "None"
    ]
    # Two runs of one CronJob may stand side by side: there executors go by the address of their driver's pod.
    is_scheduled = any(each["kind"] == "CronJob" for each in rendered)
    assert services == ([] if is_scheduled else [found.kubernetes.driver_service])
    assert (found.kubernetes.driver_service is None) == is_scheduled


def test_every_pod_is_restricted(helm: Helm, example: Path) -> None:
    for pod in pods(helm.render(example)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all({"configMap", "downwardAPI", "emptyDir"} & set(volume) for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            resources = container["resources"]
            assert resources["requests"]["memory"] == resources["limits"]["memory"]
            assert {"cpu", "memory"} <= set(resources["limits"])


def test_only_who_asks_something_of_kubernetes_has_a_token(helm: Helm, example: Path) -> None:
    rendered = helm.render(example)
    with_token = [pod for pod in pods(rendered) if pod["spec"]["automountServiceAccountToken"]]
    names = [pod["metadata"].get("name", "driver") for pod in with_token]
    assert names[0] == "driver"
    assert all(name.endswith("-test-rights") for name in names[1:])
    assert all(not each["automountServiceAccountToken"] for each in rendered if each["kind"] == "ServiceAccount")


def test_no_secret_is_in_a_manifest(helm: Helm, example: Path) -> None:
    rendered = helm.render(example)
    assert all(each["kind"] != "Secret" for each in rendered)
    for pod in pods(rendered):
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", []):
                assert "valueFrom" in variable or not re.search("AWS|KEY|SECRET|TOKEN", variable["name"])


def test_services_and_monitors_choose_the_driver_and_nothing_else(helm: Helm, example: Path) -> None:
    rendered = helm.render(example)
    for each in rendered:
        if each["kind"] == "Service":
            chosen = {"matchLabels": each["spec"]["selector"]}
        elif each["kind"] == "PodMonitor":
            chosen = each["spec"]["selector"]
        else:
            continue
        assert [role for role, labels in labels_of_pods(rendered).items() if matches(chosen, labels)] == ["driver"]


def test_the_policies_let_through_what_is_needed_and_nothing_else(helm: Helm, example: Path) -> None:
    rendered = helm.render(example)
    policies = [each["spec"] for each in rendered if each["kind"] == "NetworkPolicy"]
    restricted = policies[0]["policyTypes"]  # either way, with networkPolicy.enabled
    labels = labels_of_pods(rendered)

    def allowed(source: str, target: str, port: int) -> bool:
        """Whether both ends' policies let this connection between two of our pods through."""
        return all(
            any(
                any("podSelector" in peer and matches(peer["podSelector"], labels[far]) for peer in rule[peers])
                and any(each["port"] == port and each["protocol"] == "TCP" for each in rule["ports"])
                for policy in policies
                if matches(policy["podSelector"], labels[near])
                for rule in policy[direction]
            )
            for near, far, direction, peers in ((source, target, "egress", "to"), (target, source, "ingress", "from"))
            if direction.title() in restricted
        )

    for role in labels:  # default deny: each pod is chosen by a policy
        chosen_by = [policy["policyTypes"] for policy in policies if matches(policy["podSelector"], labels[role])]
        assert restricted in chosen_by, role
    found = {
        (source, target, port)
        for source in labels
        for target in labels
        for port in (7078, 7079, 4040)
        if allowed(source, target, port)
    }
    needed = {
        ("executor", "driver", 7078),
        ("executor", "driver", 7079),
        ("driver", "executor", 7079),
        ("executor", "executor", 7079),
    }
    assert needed <= found
    # From itself a pod needs no policy's leave.
    assert {each for each in found - needed if each[0] != each[1]} == set()


def test_executors_do_not_reach_the_api_server_and_all_reach_dns_and_the_bucket(helm: Helm, example: Path) -> None:
    rendered = helm.render(example)
    policies = [
        each["spec"] for each in rendered if each["kind"] == "NetworkPolicy" and "Egress" in each["spec"]["policyTypes"]
    ]
    for role, labels in labels_of_pods(rendered).items() if policies else ():
        rules = [rule for policy in policies if matches(policy["podSelector"], labels) for rule in policy["egress"]]
        open_ports = {
            port["port"]
            for rule in rules
            if any(each.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for each in rule["to"])
            for port in rule["ports"]
        }
        assert (6443 in open_ports) == (role != "executor")
        endpoint = settings(rendered).storage.endpoint_url
        assert (8333 if endpoint else 443) in open_ports
        names = [rule for rule in rules if {"port": 53, "protocol": "UDP"} in rule["ports"]]
        assert len(names) == 1


def labels_of_pods(rendered: list[Manifest]) -> dict[str, dict[str, str]]:
    """The labels of the driver's, the executors' and the tests' pods, as they are once they run."""
    job = next(each for each in rendered if each["kind"] in ("Job", "CronJob"))
    given_by_kubernetes = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    found = settings(rendered)
    executor = executor_pods.executor_template(found.spark, found.kubernetes)["metadata"]["labels"]
    roles = {"driver": driver(rendered)["metadata"]["labels"] | given_by_kubernetes, "executor": executor}
    for each in rendered:
        if each["kind"] == "Pod":  # all with the same labels
            roles["test"] = each["metadata"]["labels"]
    return roles


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """As Kubernetes reads a selector, as far as the chart uses it."""
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in among)
    return all(labels.get(key) == value for key, value in wanted) and all(
        labels.get(each["key"]) in each["values"] for each in among
    )


def test_the_chart_passes_helm_s_own_checks(each_helm: Helm, example: Path) -> None:
    told = each_helm.run("lint", "--strict", CHART, f"--values={example}").succeeded()
    assert "WARNING" not in told.text


def test_the_chart_passes_helm_s_own_checks_without_values(each_helm: Helm) -> None:
    each_helm.run("lint", "--strict", CHART).succeeded()
