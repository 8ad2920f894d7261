"""Which cluster is meant, by the kubeconfig."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mxspark.errors import UsageError
from mxspark.submit.kubernetes import kubeconfig

CLUSTER = {"name": "one", "cluster": {"server": "https://127.0.0.1:1"}}
CONTEXTS = [
    {"name": "laptop", "context": {"cluster": "one", "user": "me"}},
    {"name": "company", "context": {"cluster": "one", "user": "me", "namespace": "vision"}},
]


def written(folder: Path, **changes: Any) -> str:
    user = {"name": "me", "user": {"token": "t"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [CLUSTER],
        "contexts": CONTEXTS,
        "users": [user],
        **changes,
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return str(file)


def test_the_current_context_is_meant_and_its_namespace(tmp_path: Path) -> None:
    found = kubeconfig.connect(written(tmp_path, **{"current-context": "company"}), None)
    assert (found.namespace, found.cluster) == ("vision", "the cluster of context company")
    assert kubeconfig.connect(written(tmp_path, **{"current-context": "company"}), "laptop").namespace == "default"


def test_without_a_current_context_one_can_be_named(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert kubeconfig.connect(file, "company").namespace == "vision"
    with pytest.raises(UsageError, match="has no current context; it has: laptop, company"):
        kubeconfig.connect(file, None)


def test_a_kubeconfig_without_contexts_knows_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no contexts") as refused:
        kubeconfig.connect(written(tmp_path, contexts=[]), None)
    assert "--kubeconfig" in refused.value.hint


def test_a_current_context_that_is_gone_is_no_reason_to_take_another_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, **{"current-context": "gone"})
    with pytest.raises(UsageError, match="has no context 'gone'; it has: laptop, company"):
        kubeconfig.connect(file, None)


def test_a_program_for_credentials_that_is_not_there_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "no-such-program",
        "interactiveMode": "Never",
    }
    file = written(tmp_path, users=[{"name": "me", "user": {"exec": program}}])
    with pytest.raises(UsageError, match=r"context laptop of the kubeconfig can't be used: .*no-such-program"):
        kubeconfig.connect(file, "laptop")
    assert capfd.readouterr().err == ""


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(UsageError) as refused:
        kubeconfig.connect(None, None)
    assert "pip install '.[kubernetes]'" in refused.value.hint
