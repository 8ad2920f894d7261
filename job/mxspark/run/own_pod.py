"""The driver's own pod, in which it says how far the run is: an annotation that whoever may see pods can read."""

import json
import os
import ssl
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from mxspark.run.progress import Meter, Progress, Silent
from mxspark.spark.pods import PROGRESS_ANNOTATION, DriverPod

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # where Kubernetes puts a pod's token
PAUSE_SECONDS = 5.0  # between two patches: an API server has others to serve
TIMEOUT_SECONDS = 10.0
FORBIDDEN = (401, 403)


class ApiError(Exception):
    """Kubernetes has not taken the annotation; `is_refusal` where it will not."""

    def __init__(self, words: str, is_refusal: bool) -> None:
        super().__init__(words)
        self.is_refusal = is_refusal


def annotate(pod: DriverPod, progress: Progress) -> None:
    """Writes the annotation. Raises ApiError, OSError, HTTPException."""
    body = {"metadata": {"annotations": {PROGRESS_ANNOTATION: json.dumps(progress.to_json(), ensure_ascii=False)}}}
    headers = {
        "Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}",  # read anew: tokens are replaced
        "Content-Type": "application/merge-patch+json",
    }
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with closing(HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=trust)) as connection:
        connection.request("PATCH", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            raise ApiError(f"HTTP {answer.status} {answer.reason}", answer.status in FORBIDDEN)


def from_environment() -> DriverPod | None:
    """The pod that this process may annotate, None outside of one."""
    pod = DriverPod.from_environment(os.environ)
    return pod if pod and "KUBERNETES_SERVICE_HOST" in os.environ and (ACCOUNT / "token").exists() else None


class OwnPod(Silent):
    """Listens to a run, and writes its progress to the pod; in a thread, so that the run never waits for it."""

    def __init__(
        self, pod: DriverPod, warn: Callable[[str], None], write: Callable[[DriverPod, Progress], None] = annotate
    ) -> None:
        """`warn` is called once where Kubernetes refuses the annotation."""
        self._pod = pod
        self._warn = warn
        self._write = write
        self._meter = Meter()
        self._changed, self._ended = Event(), Event()
        self._thread = Thread(target=self._keep_writing, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._changed.set()
        self._thread.join(TIMEOUT_SECONDS)

    def step(self, what: str) -> None:
        self._meter.step(what)
        self._changed.set()

    def note(self, what: str) -> None:
        self._meter.note(what)
        self._changed.set()

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None:
        self._meter.planned(keys, done, shards, shards_done)
        self._changed.set()

    def done(self, images: int, failed: int, shards: int) -> None:
        self._meter.done(images, failed, shards)
        self._changed.set()

    def _keep_writing(self) -> None:
        is_last = False
        while not is_last:
            self._changed.wait()
            self._changed.clear()
            is_last = self._ended.is_set()
            try:
                self._write(self._pod, self._meter.now)
            except ApiError as error:
                if error.is_refusal:
                    self._warn(
                        f"`mxspark follow` and `status` can't show how far this run is: {error} for patching pod "
                        f"{self._pod.name}. docs/kubernetes.md has the Role that the driver's service account needs."
                    )
                    return
            except (OSError, HTTPException):
                pass  # the next one may get through
            self._ended.wait(PAUSE_SECONDS)
