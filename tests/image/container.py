"""Containers of an image as a user runs them, by Docker's or Podman's own command."""

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.command import Finished

LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Image:
    """An image that has been built."""

    docker: str
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def description(self) -> dict[str, Any]:
        """What `docker image inspect` says: Config, Size, RootFS, …"""
        told: list[dict[str, Any]] = json.loads(_run(self.docker, "image", "inspect", self.name).succeeded().output)
        return told[0]

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> Finished:
        """`docker run --rm OPTIONS IMAGE ARGUMENTS`, to its end."""
        name = unused_name()
        try:
            return _run(self.docker, "run", "--rm", "--name", name, *options, self.name, *arguments)
        except subprocess.TimeoutExpired:
            Container(self.docker, name).remove()  # it doesn't end with the command that started it
            raise

    def shell(self, script: str) -> str:
        """What a shell script prints that runs in the image as root, without its entrypoint and without a network.

        All in one container, which takes a fifth of the time of one for each.
        """
        return looked_into(self).run("/bin/sh", "-c", script, options=("--user", "0")).succeeded().output

    def start(self, *arguments: str, options: tuple[str, ...] = ()) -> "Container":
        """The same in the background."""
        name = unused_name()
        _run(self.docker, "run", "--detach", "--name", name, *options, self.name, *arguments).succeeded()
        return Container(self.docker, name)


@dataclass(frozen=True)
class Container:
    """A container that was started in the background."""

    docker: str
    name: str

    def logs(self) -> str:
        return _run(self.docker, "logs", self.name).text

    def wait_for(self, words: str, seconds: float = 300) -> None:
        """Until the container has printed these words; fails the test where it ends before or never does."""
        limit = time.monotonic() + seconds
        while words not in self.logs():
            assert self.state()["Running"], f"ended before it said {words!r}:\n{self.logs()}"
            assert time.monotonic() < limit, f"did not say {words!r} within {seconds} s:\n{self.logs()}"
            time.sleep(0.2)

    def state(self) -> dict[str, Any]:
        """Running, ExitCode, OOMKilled, …"""
        told: dict[str, Any] = json.loads(
            _run(self.docker, "inspect", "--format", "{{json .State}}", self.name).succeeded().output
        )
        return told

    def end(self, seconds: float = 300) -> dict[str, Any]:
        """Its state when it has ended; fails the test where it goes on."""
        limit = time.monotonic() + seconds
        while (state := self.state())["Running"]:
            assert time.monotonic() < limit, f"still running after {seconds} s:\n{self.logs()}"
            time.sleep(0.2)
        return state

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> Finished:
        """`docker exec`."""
        return _run(self.docker, "exec", *options, self.name, *arguments)

    def stop(self, grace_seconds: int) -> None:
        """`docker stop`: SIGTERM, and SIGKILL after the grace period."""
        _run(self.docker, "stop", "--time", str(grace_seconds), self.name).succeeded()

    def remove(self) -> None:
        _run(self.docker, "rm", "--force", self.name)


_LOOKED_INTO: dict[Image, Container] = {}


def looked_into(image: Image) -> Container:
    """A container of the image that does nothing."""
    if image not in _LOOKED_INTO:
        _LOOKED_INTO[image] = image.start("infinity", options=("--network", "none", "--entrypoint", "sleep"))
    return _LOOKED_INTO[image]


def remove_those_looked_into() -> None:
    while _LOOKED_INTO:
        _LOOKED_INTO.popitem()[1].remove()


def unused_name() -> str:
    return f"mxspark-tests-{uuid4().hex[:12]}"


def _run(*command: str) -> Finished:
    started = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_SECONDS, stdin=subprocess.DEVNULL, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - started, "")
