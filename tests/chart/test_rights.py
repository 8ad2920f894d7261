"""What the pod `rights` of `helm test` says of the answers of an API server, which is played."""

import io
import json
import runpy
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.chart.helm import CHART

RULES = [{"apiGroups": [""], "resources": [kind], "verbs": ["create"]} for kind in ("pods", "secrets")]


def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *allowed: str) -> None:
    """Runs it where the account may create what is `allowed` in its own namespace."""

    def answer(request: urllib.request.Request, **_: Any) -> io.BytesIO:
        assert isinstance(request.data, bytes)
        asked = json.loads(request.data)["spec"]["resourceAttributes"]
        is_allowed = (asked["verb"], asked["namespace"], asked["subresource"]) == ("create", "jobs", "") and asked[
            "resource"
        ] in allowed
        return io.BytesIO(json.dumps({"status": {"allowed": is_allowed}}).encode())

    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(RULES))
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path: {"token": "t", "namespace": "jobs"}.get(path.name) or read(path)
    )
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: None)
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setattr(sys, "argv", ["rights.py", str(rules)])
    runpy.run_path(str(CHART / "files" / "rights.py"))


def test_a_role_of_others_may_lack_what_the_driver_can_do_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, tmp_path, "pods")
    told = capsys.readouterr().out
    assert "ok, but may not create secrets: the run's key is in the executors' pods then" in told
    assert "WRONG" not in told


def test_what_the_driver_needs_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1 rights are not as they must be"):
        ask(monkeypatch, tmp_path, "secrets")
    assert "WRONG: may not create pods" in capsys.readouterr().out
