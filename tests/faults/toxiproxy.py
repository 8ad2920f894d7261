"""Toxiproxy, a proxy that gives TCP connections the faults of bad networks, as a process that a test starts and
steers over HTTP.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from examples.s3 import free_port
from tests.command import REPOSITORY

BUILT = REPOSITORY / ".cache" / "bin"  # where tools/toxiproxy.sh puts it
START_SECONDS = 60


def program() -> Path | None:
    """The server's program, None where there is none."""
    found = shutil.which("toxiproxy-server", path=f"{BUILT}{os.pathsep}{os.environ.get('PATH', '')}")
    return Path(found) if found else None


@dataclass(frozen=True)
class Toxic:
    """A fault of a connection, as toxiproxy names it. `downstream` is what the server sends, `upstream` what the
    client does.
    """

    kind: str
    attributes: Mapping[str, int] = field(default_factory=dict)
    stream: str = "downstream"
    toxicity: float = 1.0  # the share of the connections that have it

    def __str__(self) -> str:
        values = " ".join(f"{name}={value}" for name, value in self.attributes.items())
        return " ".join(filter(None, (self.kind, values, self.stream, f"on {self.toxicity:.0%}")))


@dataclass(frozen=True)
class Proxy:
    """One port of toxiproxy that leads to a server, with toxics that are always there.

    What else it is given comes and goes with its connections, which are closed then: toxiproxy 2.5 may block for ever
    where a toxic is taken from a connection whose client has gone.
    """

    url: str
    _api: str
    _name: str
    _upstream: str
    _always: tuple[Toxic, ...]

    def poison(self, toxic: Toxic) -> None:
        """Gives new connections a fault until `heal`."""
        self._make(toxic)

    def heal(self) -> None:
        """Takes away the fault that `poison` gave."""
        self._make()

    @contextmanager
    def poisoned(self, toxic: Toxic) -> Iterator[None]:
        """`poison` for as long as the context lasts."""
        self.poison(toxic)
        try:
            yield
        finally:
            self.heal()

    def disable(self) -> None:
        """Closes all connections and refuses new ones."""
        self._switch(False)

    def enable(self) -> None:
        """Takes connections again."""
        self._switch(True)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """`disable` for as long as the context lasts."""
        self.disable()
        try:
            yield
        finally:
            self.enable()

    def remove(self) -> None:
        """Ends the proxy; nothing where there is none."""
        with suppress(urllib.error.HTTPError):
            _call("DELETE", f"{self._api}/proxies/{self._name}")

    def _make(self, *toxics: Toxic) -> None:
        self.remove()
        address = {"listen": self.url.removeprefix("http://"), "upstream": self._upstream}
        _call("POST", f"{self._api}/proxies", {"name": self._name, **address, "enabled": False})
        for toxic in (*self._always, *toxics):
            settings = {
                "type": toxic.kind,
                "stream": toxic.stream,
                "toxicity": toxic.toxicity,
                "attributes": dict(toxic.attributes),
            }
            _call("POST", f"{self._api}/proxies/{self._name}/toxics", {"name": str(toxic), **settings})
        self.enable()

    def _switch(self, enabled: bool) -> None:
        _call("POST", f"{self._api}/proxies/{self._name}", {"enabled": enabled})


@dataclass(frozen=True)
class Toxiproxy:
    """A running toxiproxy."""

    _api: str

    @contextmanager
    def proxy(self, upstream_url: str, *always: Toxic) -> Iterator[Proxy]:
        """A port that leads to the server at `upstream_url`."""
        made = Proxy(
            f"http://127.0.0.1:{free_port()}", self._api, uuid4().hex, upstream_url.removeprefix("http://"), always
        )
        made.heal()
        try:
            yield made
        finally:
            made.remove()


@contextmanager
def serve() -> Iterator[Toxiproxy]:
    """Toxiproxy on a free port of the loopback address, ended at the end."""
    found = program()
    assert found is not None, "toxiproxy-server is missing: tools/toxiproxy.sh builds it"
    port = free_port()
    command = [str(found), "-host", "127.0.0.1", "-port", str(port)]
    # A session of its own: Ctrl-C in the terminal reaches this process, which then ends the proxy.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}")
        yield Toxiproxy(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", api: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _call("GET", f"{api}/proxies")
        except urllib.error.URLError:
            assert process.poll() is None, f"toxiproxy-server ended with exit code {process.returncode}"
            assert time.monotonic() < deadline, f"toxiproxy-server did not answer within {START_SECONDS} s"
            time.sleep(0.02)
        else:
            return


def _call(method: str, url: str, content: Mapping[str, Any] | None = None) -> Any:
    data = json.dumps(content).encode() if content is not None else None
    # Whatever proxy this machine uses, loopback isn't reached by it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data, method=method), timeout=60) as response:
        text = response.read()
    return json.loads(text) if text else None
