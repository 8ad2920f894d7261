"""Rounds, in each of which every system runs once over few and once over many images of each kind."""

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from examples.s3 import Server, serve

from bench.latency import delayed
from bench.overlap import upload
from bench.peers import group, images, systems, tables
from bench.peers.environments import environment
from bench.peers.images import Kind
from bench.peers.limits import Parts
from bench.peers.networks import Network
from bench.peers.results import Limits, Pair, Row, Run
from bench.peers.systems import Place, System
from mxspark import host

BUCKET = "bench"
COMPARED = 256  # images whose classes are compared
WARM = 32  # images of a run of mxspark before the first round, which keeps Java's classes for later ones


@dataclass(frozen=True)
class Request:
    """What is to be compared."""

    network: Network
    systems: tuple[System, ...]
    kinds: tuple[Kind, ...]
    few: int  # images of the short runs
    many: int  # of the long ones
    latency: float  # ms that are added to each answer of the server
    rounds: int
    workers: int


@dataclass
class Found:
    """What the rounds found so far."""

    pairs: dict[tuple[str, Kind], list[Pair]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)
    others: list[float] = field(default_factory=list)
    limits: Limits = field(default_factory=lambda: Limits({}, {}, {}))

    def rows(self, chosen: Sequence[System]) -> tuple[Row, ...]:
        """Of all systems that worked."""
        by_name = {one.name: one for one in chosen}
        return tuple(Row(by_name[name], kind, tuple(pairs)) for (name, kind), pairs in self.pairs.items())


class Comparison:
    """A server with the images, and the runs against it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        # fp32 is compared with a plain loop, other precisions with the same system's fp32 where that was run.
        self._expected: dict[tuple[str, Kind], Mapping[str, int]] = {}
        self._found = Found()

    def run(self) -> Found:
        """All rounds, or as many as there were until Ctrl-C. A system that fails once is left out from then on, and
        `failed` says why.
        """
        request = self._request
        for one in request.systems:
            environment(one.environment)  # installed before anything is measured
        with tempfile.TemporaryDirectory() as folder, serve(Path(folder, "server"), [BUCKET]) as server:
            self._upload(server)
            with delayed(int(server.endpoint_url.rpartition(":")[2]), request.latency) as port:
                base = Place(f"http://127.0.0.1:{port}", BUCKET, "", Path(folder), request.workers)
                try:
                    self._rounds(server, base)
                except KeyboardInterrupt:
                    print("Interrupted: these are the figures so far", flush=True)
        return self._found

    def _upload(self, server: Server) -> None:
        print("Uploading images; predicting some of them plainly", flush=True)
        for kind in self._request.kinds:
            made = list(images.images(kind, self._request.many))
            for count in (WARM, self._request.few, self._request.many):
                upload(server, f"{kind}-{count}", made[:count])
            self._expected["", kind] = tables.reference(self._request.network, made[:COMPARED])

    def _rounds(self, server: Server, base: Place) -> None:
        request = self._request
        parts = Parts(request.systems, request.network, server.environment)
        if ours := [one for one in request.systems if not one.program]:
            self._attempt(ours[0], server, base, request.kinds[0], (WARM,))
        for number in range(request.rounds):
            parts.measure({kind: replace(base, prefix=f"{kind}-{request.few}") for kind in request.kinds})
            self._found.limits = parts.limits()
            for kind in request.kinds:
                for one in request.systems:
                    runs = self._attempt(one, server, base, kind, (request.few, request.many))
                    if runs is not None:
                        pair = Pair(*runs)
                        self._found.pairs[one.name, kind].append(pair)
                        tell(number, one, kind, pair)

    def _attempt(self, one: System, server: Server, base: Place, kind: Kind, counts: Sequence[int]) -> list[Run] | None:
        if one.name in self._found.failed:
            return None
        try:
            return [self._run(one, server, base, kind, count) for count in counts]
        except group.FailedError as error:
            self._found.failed[one.name] = str(error)
            self._found.pairs = defaultdict(
                list, {key: pairs for key, pairs in self._found.pairs.items() if key[0] != one.name}
            )
            print(f"{one.name} is left out: {error}", flush=True)
            return None

    def _run(self, one: System, server: Server, base: Place, kind: Kind, count: int) -> Run:
        place = replace(base, prefix=f"{kind}-{count}", output=base.output / "table")
        command = systems.command(one, environment(one.environment), self._request.network, place)
        shutil.rmtree(place.output, ignore_errors=True)  # what a system left that failed
        others = Others()
        used = group.run(command, systems.variables(one, server.environment, place), base.output / f"{one.name}.log")
        share = others.share(used.cpu)
        self._found.others.append(share)
        try:
            table = tables.read(place.output, not one.program)
        except (OSError, ValueError, LookupError, TypeError) as error:  # pyarrow's errors are these
            raise group.FailedError(f"{one.name} wrote no table that can be read: {error}") from error
        if len(table.classes) != count:
            raise group.FailedError(f"{one.name} wrote {len(table.classes)} rows for {count} images")
        expected = self._expected.get((one.title, kind)) if one.precision != "fp32" else None
        expected = expected or self._expected["", kind]
        shared = {name: each for name, each in expected.items() if name in table.classes}
        if one.precision == "fp32" and count == self._request.many:
            self._expected[one.title, kind] = {name: table.classes[name] for name in shared}
        agreement = tables.agreement(table, shared)
        return Run(count, used.wall, used.cpu, used.memory, table.first - used.start, agreement, share)


class Others:
    """What processes do that are not of this measurement."""

    def __init__(self) -> None:
        self._start, self._busy, self._own = time.monotonic(), host.busy_seconds() or 0.0, _own_seconds()

    def share(self, measured: float) -> float:
        """Of the machine's processor time since then; `measured` are the CPU-s of the run, which has ended."""
        busy = (host.busy_seconds() or 0.0) - self._busy - (_own_seconds() - self._own) - measured
        return max(0.0, busy / (time.monotonic() - self._start) / (psutil.cpu_count() or 1))


def _own_seconds() -> float:
    """Of this process, the server and what delays it."""
    here = psutil.Process()
    times = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def tell(number: int, one: System, kind: Kind, pair: Pair) -> None:
    """A line for a pair of runs."""
    print(
        f"round {number + 1}: {one.title} {one.precision}, {kind}: {pair.long.wall:.1f} s for {pair.long.images:,} "
        f"images, {pair.cpu:.1f} CPU-ms an image, {pair.start:.1f} CPU-s to start, first row after "
        f"{pair.long.first:.1f} s, {pair.long.memory / 2**20:,.0f} MiB, agreement {pair.long.agreement:.3f}; "
        f"others took {pair.long.others:.0%}",
        flush=True,
    )
