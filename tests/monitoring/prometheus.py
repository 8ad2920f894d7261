"""A real Prometheus on this machine, which scrapes one driver and has the alerts."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from examples.s3 import free_port

START_SECONDS = 120
INTERVAL = "500ms"


@dataclass(frozen=True)
class Prometheus:
    """Where it answers."""

    address: str

    def ask(self, path: str, **arguments: str) -> Any:
        """The data of its answer."""
        with urlopen(f"{self.address}/api/v1/{path}?{urlencode(arguments)}", timeout=60) as answer:
            return json.loads(answer.read())["data"]

    def values(self, query: str) -> list[float]:
        """Of all series that a query gives now."""
        return [float(each["value"][1]) for each in self.ask("query", query=query)["result"]]


@contextmanager
def prometheus(target_port: int, rules: Path, folder: Path) -> Iterator[Prometheus]:
    """One that scrapes this port of this machine."""
    config = {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "mxspark", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
    log = folder / "log"
    with open(log, "w") as file:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=file, stderr=file)
    try:
        _wait_for(address, process, log)
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    limit = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        try:
            with urlopen(f"http://{address}/-/ready", timeout=10):
                return
        except (URLError, OSError):
            time.sleep(0.1)
