"""The documentation's part for clusters: its values of the chart are rendered, its objects are Kubernetes', helm and
kubectl take what they are given. All other commands are in tests/unit/test_docs.py.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.chart.helm import JOB, Helm, together
from tests.chart.test_platforms import checked
from tests.command import REPOSITORY
from tests.documentation import SHELL, Block, Shown, blocks, in_a_line

BLOCKS = blocks()
# tests/chart/test_platforms.py looks closer at that page's.
VALUES = [block for block in BLOCKS if block.kind == "values" and block.page != "docs/platforms.md"]
OBJECTS = [block for block in BLOCKS if block.kind == "objects"]
COMMANDS = [command for block in BLOCKS if block.language in SHELL for command in block.commands()]
OF_VOLCANO = "PodGroup"  # which nothing here describes
# Where an object of Argo CD or Flux has values of the chart.
WITH_VALUES = {"Application": ("source", "helm", "valuesObject"), "HelmRelease": ("values",)}


def of(program: str) -> list[Shown]:
    return [command for command in COMMANDS if command.program == program]


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_values_are_rendered(helm: Helm, kubeconform: list[str], block: Block) -> None:
    (values,) = block.documents
    checked(kubeconform, helm.render(together({"job": JOB}, values)))


@pytest.mark.parametrize("block", OBJECTS, ids=str)
def test_objects_are_kubernetes_or_have_values(helm: Helm, kubeconform: list[str], block: Block) -> None:
    for each in block.documents:
        if each["kind"] in WITH_VALUES:
            values: Any = each["spec"]
            for key in WITH_VALUES[each["kind"]]:
                values = values[key]
            checked(kubeconform, helm.render(values))
        elif each["kind"] != OF_VOLCANO:
            checked(kubeconform, [each])


@pytest.mark.parametrize("command", of("helm"), ids=str)
def test_helm_takes_what_it_is_given(helm: Helm, command: Shown, tmp_path: Path) -> None:
    """What installs is rendered, with the files that the page shows; what asks a cluster is asked for its help, before
    which it looks at its flags.
    """
    for block in blocks(command.block.page):
        if block.name:
            (tmp_path / block.name).write_text(block.text)
    words = [str(tmp_path / word) if (tmp_path / word).is_file() else word for word in command.arguments]
    if words[0] == "install":
        ran = helm.run("template", *[str(REPOSITORY / word) if word == "helm/mxspark" else word for word in words[1:]])
        assert "kind: Job" in ran.succeeded().output
    else:
        helm.run(*words, "--help").succeeded()


def test_helm_takes_what_is_named_in_the_text(helm: Helm) -> None:
    for words in sorted({command.words for command in in_a_line("helm")}):
        helm.run(*words[1:], "--help").succeeded()


@pytest.mark.skipif(
    shutil.which("kubectl") is None and os.environ.get("CI") != "true",
    reason="no kubectl, which takes minutes to build: tests/kubernetes does",
)
def test_kubectl_takes_what_it_is_given(program: Callable[[str], str], tmp_path: Path) -> None:
    """It looks at commands and flags before it shows its help, and asks no cluster."""
    for command in [*of("kubectl"), *in_a_line("kubectl")]:
        for flag, value in pairwise(command.words):
            if flag == "--patch":
                json.loads(value)
        done = subprocess.run(
            [program("kubectl"), *command.arguments, "--help"],
            env={**os.environ, "KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
