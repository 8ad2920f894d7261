#!/usr/bin/env python3.11
"""Makes an archive of Java's classes as they lie in memory (AppCDS), with which drivers and executors start in half of
the time.

Java puts into it what it loads in a small run: a driver on a Kubernetes that is played here, whose one executor is
real. It has no part of the project itself in it, so that a change of the code leaves its layer alone. Where it doesn't
fit, Java goes on without. Usage: classes.py ARCHIVE
"""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.append("/opt/packages")  # pyspark

from pyspark import SparkConf, SparkContext

ARCHIVE, LOADED = Path(sys.argv[1]), Path(tempfile.mkdtemp()) / "classes"
# Java's own archive, which ours extends: by default Java would look for the one that is made here.
JAVAS_OWN = ARCHIVE.with_name("classes.jsa")
QUIET = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable -Xlog:all=error:stderr"
LIMIT_SECONDS = 600  # it takes 20 on a quiet machine
WEB_SOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
pods: dict[str, dict] = {}
is_over = threading.Event()


class Kubernetes(BaseHTTPRequestHandler):
    """Knows pods, and starts one that it is given as a process."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if "watch=" in query:  # by a web socket, in which nothing happens
            asked = f"{self.headers['Sec-WebSocket-Key']}{WEB_SOCKET}"
            key = base64.b64encode(hashlib.sha1(asked.encode(), usedforsecurity=False).digest()).decode()
            self.send_response(101)
            for name, value in {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": key}.items():
                self.send_header(name, value)
            self.end_headers()
            is_over.wait()
        elif (name := path.rpartition("/")[2]) == "pods":
            self._answer(
                {
                    "kind": "PodList",
                    "apiVersion": "v1",
                    "metadata": {"resourceVersion": "1"},
                    "items": list(pods.values()),
                }
            )
        else:
            self._answer(pods.get(name) or {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "uid": "0"}})

    def do_POST(self) -> None:
        pod = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if pod["kind"] == "Pod":
            pod["metadata"] |= {"uid": "1", "resourceVersion": "1", "creationTimestamp": "2000-01-01T00:00:00Z"}
            pod["status"] = {"phase": "Running", "podIP": "127.0.0.1"}
            pods[pod["metadata"]["name"]] = pod
            fields = {"status.podIP": "127.0.0.1", "metadata.name": pod["metadata"]["name"]}
            given = pod["spec"]["containers"][0]["env"]
            variables = {
                one["name"]: one["value"] if "value" in one else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
                for one in given
            }
            subprocess.Popen(["/opt/entrypoint.sh", "executor"], env=os.environ | variables)
        self._answer(pod, 201)

    def do_DELETE(self) -> None:
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _answer(self, told: dict, code: int = 200) -> None:
        body = json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    signal.alarm(LIMIT_SECONDS)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # a build's: all is on this machine
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HOME": "/opt/spark",
        "JAVA_HOME": "/opt/java",
        "PYSPARK_PYTHON": sys.executable,
    }
    properties = {  # those that decide what is loaded, as a job has them
        "spark.master": f"k8s://http://127.0.0.1:{server.server_port}",
        "spark.kubernetes.container.image": "none",
        "spark.kubernetes.driver.pod.name": "driver",
        "spark.kubernetes.executor.disableConfigMap": "true",
        "spark.executor.instances": "1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.authenticate": "true",
        "spark.authenticate.secret": "none",
        "spark.network.crypto.enabled": "true",
        "spark.decommission.enabled": "true",
        "spark.speculation": "true",
        "spark.excludeOnFailure.enabled": "true",
        "spark.python.unix.domain.socket.enabled": "true",
        "spark.executorEnv.PYTHONPATH": "/opt/packages",
        "spark.driver.extraJavaOptions": f"{QUIET} -XX:SharedArchiveFile={JAVAS_OWN} "
        f"-XX:ArchiveClassesAtExit={ARCHIVE}",
        "spark.executor.extraJavaOptions": f"{QUIET} -Xlog:class+load:file={LOADED}",
    }
    context = SparkContext(conf=SparkConf().setAppName("classes").setAll(list(properties.items())))
    context.parallelize([1, 2], 1).map(lambda number: number + 1).sum()
    java = context._jvm.java.lang
    loader = java.ClassLoader.getSystemClassLoader()
    for name in re.findall(r"\] ([\w.$]+) source: (?:file|jrt):", LOADED.read_text()):
        try:
            java.Class.forName(name, False, loader)
        except Exception as error:  # noqa: BLE001  # py4j raises what it likes; one that Java itself has made is nowhere to be found
            print("classes: without", name, type(error).__name__)
    gateway = context._gateway
    is_over.set()
    context.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(timeout=300)
    print(f"classes: {ARCHIVE.stat().st_size / 1e6:.0f} MB")


main()
