"""kubectl for one cluster and namespace, as tests use it."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.command import Finished

LIMIT_SECONDS = 300  # much beyond what anything takes, on a busy machine too

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """The program, the cluster that it talks to, and the namespace that it looks into."""

    program: str
    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> "Kubectl":
        """The same in another namespace."""
        return replace(self, namespace=namespace)

    @property
    def environment(self) -> dict[str, str]:
        """For other programs that are to talk to the same cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def command(self, *arguments: str | Path) -> list[str]:
        """What to start, for what runs in the background."""
        return [self.program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *map(str, arguments)]

    def run(self, *arguments: str | Path, given: str = "", seconds: float = LIMIT_SECONDS) -> Finished:
        """To its end, whichever; `given` is its standard input."""
        started = time.monotonic()
        done = subprocess.run(
            self.command(*arguments), input=given, capture_output=True, text=True, timeout=seconds, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - started, "")

    def __call__(self, *arguments: str | Path, given: str = "", seconds: float = LIMIT_SECONDS) -> str:
        """What it prints; fails the test where it fails."""
        return self.run(*arguments, given=given, seconds=seconds).succeeded().output

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        """What it prints with --output=json."""
        told: dict[str, Any] = json.loads(self(*arguments, "--output=json"))
        return told

    def items(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects of a kind; `-l app=web` and the like choose among them."""
        found: list[dict[str, Any]] = self.json("get", kind, *arguments)["items"]
        return found

    def apply(self, *manifests: Manifest) -> str:
        """Makes these objects, or changes them."""
        return self("apply", "--filename=-", given=document(*manifests))

    def try_to_apply(self, *manifests: Manifest) -> Finished:
        """The same where a refusal is expected."""
        return self.run("apply", "--filename=-", given=document(*manifests))

    def delete(self, *arguments: str) -> str:
        """Deletes objects that may be gone already."""
        return self("delete", "--ignore-not-found", *arguments)

    def logs(self, pod: str, *arguments: str) -> str:
        return self("logs", pod, *arguments)

    def wait(self, what: str, condition: str, seconds: float = LIMIT_SECONDS) -> None:
        """Until an object meets a condition: `condition=Ready`, `delete`, `jsonpath={.status.phase}=Running`, …"""
        limits = (f"--timeout={seconds:.0f}s",)
        done = self.run("wait", what, f"--for={condition}", *limits, seconds=seconds + 10)
        assert done.code == 0, (
            f"{what} did not meet {condition} within {seconds} s:\n{done.errors}\n{self.explain(what)}"
        )

    def wait_until(self, met: Callable[[], bool], what: str, seconds: float = LIMIT_SECONDS) -> None:
        """Until a condition holds that kubectl has no word for."""
        started = time.monotonic()
        while not met():
            waited = time.monotonic() - started
            assert waited < seconds, f"waited {seconds} s in vain: {what}\n{self.explain('pods')}"
            time.sleep(min(max(0.2, waited / 10), 2))  # each look takes a tenth of a second of a processor

    def result(self, pod: str, seconds: float = LIMIT_SECONDS) -> Finished:
        """A pod's end: the exit code of its first container, and what that printed."""
        self.wait_until(lambda: self.phase(pod) in ("Succeeded", "Failed"), f"the pod {pod} ends", seconds)
        state = self.json("get", f"pod/{pod}")["status"]["containerStatuses"][0]["state"]["terminated"]
        return Finished(state["exitCode"], self.logs(pod), "", 0, "")

    def phase(self, pod: str) -> str:
        """Pending, Running, Succeeded or Failed."""
        return self("get", f"pod/{pod}", "--output=jsonpath={.status.phase}")

    def explain(self, what: str) -> str:
        """What the cluster knows about an object, for the message of a test that fails."""
        return self.run("describe", what).text[-4000:]


def document(*manifests: Manifest) -> str:
    """The manifests as one file."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
