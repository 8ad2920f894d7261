"""Parts of the job alone: forward passes of each engine at each precision, decoding, GETs."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from bench.fixtures import REPOSITORY
from bench.peers import systems
from bench.peers.environments import environment
from bench.peers.images import Kind
from bench.peers.networks import Network
from bench.peers.results import Limits, forward_name
from bench.peers.systems import Place, System

OPTIONS = ["--precision", "fp32", "--batch-size", "16", "--threads", "1", "--images", "64", "--seconds", "1", "--json"]


class Parts:
    """Measured once a round; `limits` has the medians."""

    def __init__(self, chosen: Sequence[System], network: Network, server: Mapping[str, str]) -> None:
        self._network = network
        self._server = server
        self._systems = {forward_name(one): one for one in chosen}
        self._forward: dict[str, list[float]] = defaultdict(list)
        self._decode: dict[Kind, list[float]] = defaultdict(list)
        self._get: dict[Kind, list[float]] = defaultdict(list)

    def measure(self, places: Mapping[Kind, Place]) -> None:
        """One measurement of each part."""
        for name, one in self._systems.items():
            kind, place = next(iter(places.items()))
            if one.engine:
                self._forward[name].append(self._peer(one, place))
            elif one.precision != "fp32":
                self._forward[name].append(_network(self._own(one, place)))
        for kind, place in places.items():
            plain = next(one for one in systems.SYSTEMS if not one.engine and one.precision == "fp32")
            found = self._own(plain, place)
            self._forward["mxnet-fp32"].append(_network(found))
            self._decode[kind].append(found["decoding"]["cpu"])
            self._get[kind].append(found["reading"]["cpu"])

    def limits(self) -> Limits:
        return Limits(_medians(self._forward), _medians(self._decode), _medians(self._get))

    def _peer(self, one: System, place: Place) -> float:
        task = systems.task(one, self._network, place)
        command = [*systems.program(environment(one.environment), "forward"), json.dumps(asdict(task))]
        return float(_output(command, systems.variables(one, self._server, place)))

    def _own(self, one: System, place: Place) -> Any:
        """What `mxspark bench` finds, whose workers do what a run's do."""
        command = [sys.executable, "-m", "mxspark", "bench", "--input", f"s3://{place.bucket}/{place.prefix}/"]
        command += ["--model", str(systems.file_of(one, self._network)), "--endpoint-url", place.endpoint, *OPTIONS]
        return json.loads(_output(command, systems.variables(one, self._server, place)))


def _network(found: Any) -> float:
    milliseconds: float = found["configurations"][0]["network_cpu_milliseconds"]
    return milliseconds


def _output(command: Sequence[str], variables: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=variables, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} … ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def _medians(found: Mapping[Any, list[float]]) -> dict[Any, float]:
    return {name: median(values) for name, values in found.items()}
