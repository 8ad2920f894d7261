"""A cluster that is asked through something that answers in its place."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mxspark.errors import PassingError
from mxspark.submit.kubernetes.cluster import Cluster

VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.4"} | dict.fromkeys(
    ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"), ""
)
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vision"}}


@contextmanager
def answering(pods: bytes) -> Iterator[str]:
    """A server that knows its version, its namespace, and this answer about pods."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/version/": VERSION, "/api/v1/namespaces/vision": NAMESPACE}
            body = json.dumps(known[self.path]).encode() if self.path in known else pods
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "pods",
    [
        b"<html>maintenance</html>",
        b"",
        b'{"apiVersion": "v1", "kind": "PodLi',
        b"{}",
        b"[]",
        b'{"items": null}',
        b'"pods"',
    ],
)
def test_an_answer_that_is_none_of_kubernetes_may_pass(pods: bytes, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    with answering(pods) as address:
        config = {
            "clusters": [{"name": "one", "cluster": {"server": address}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "me", "namespace": "vision"}}],
            "current-context": "one",
            "users": [{"name": "me", "user": {}}],
        }
        file.write_text(json.dumps(config))
        cluster = Cluster.connect(str(file))
        with pytest.raises(PassingError, match="listing the pods"):
            cluster.pods("app.kubernetes.io/name=mxspark")
    assert cluster.flags == f"--namespace vision --kubeconfig {file}"
