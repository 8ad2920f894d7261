"""`python -m bench peers`: mxspark beside Daft, Ray Data, Spark's UDF and the article's way.

Prediction on two cores: mxspark at int8 costs the fewest CPU-ms an image; Daft starts soonest. Each system runs over
few and over many images; the difference is what images cost, the rest its start. Processor time is that of everything
that a run starts, but the S3 server's, which shares the machine with it.
"""

import argparse
import json
import platform
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import get_args

from bench.fixtures import CACHE, REPOSITORY
from bench.peers import document, group, images, networks
from bench.peers.comparison import Comparison, Found, Request
from bench.peers.environments import PackageError, environment
from bench.peers.results import Results
from bench.peers.systems import SYSTEMS, System, why_not
from mxspark import __version__, host

SHORT = 64  # images of the short runs: a batch for each of two workers


def main(arguments: Sequence[str] = ()) -> None:
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: shows what there is
    if given.images < 2 * SHORT:
        sys.exit(f"--images {given.images}: give {2 * SHORT} at least, as {SHORT} are those of the short runs")
    named = _named(given.systems)
    left_out = {one.name: why for one in named if (why := why_not(one))}
    chosen = tuple(one for one in named if one.name not in left_out)
    for name, why in left_out.items():
        print(f"not {name}: {why}", flush=True)
    try:
        network = networks.network(given.network)
        request = Request(network, chosen, given.kinds, SHORT, given.images, given.latency, given.rounds, given.workers)
        found = Comparison(request).run()
    except PackageError as error:
        sys.exit(str(error))
    results = _results(request, found, left_out, ["peers", *arguments])
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(results.to_json(), indent=1, default=str))
    print(f"\n{document.text(results)}\nAll figures: {given.json}", flush=True)
    if given.write_docs:
        document.write(results)
    if found.failed:
        sys.exit(f"failed: {', '.join(found.failed)}; the reasons are above")


def _results(request: Request, found: Found, left_out: dict[str, str], arguments: Sequence[str]) -> Results:
    versions = {"mxspark": __version__, "Python": platform.python_version()}
    for one in request.systems:
        versions |= environment(one.environment).versions(one.packages)
    return Results(
        date=datetime.now(UTC).date().isoformat(),
        command=shlex.join([".venv/bin/python", "-m", "bench", *(arg for arg in arguments if arg != "--write-docs")]),
        machine=f"{host.processor()}, {host.cores()} cores, {host.memory() / 2**30:.0f} GiB, "
        f"{_instructions()}, Linux {'.'.join(platform.release().split('.')[:2])}",
        is_exact=group.is_exact(),
        network=request.network.name,
        latency=request.latency,
        images=(request.few, request.many),
        rounds=request.rounds,
        others=mean(found.others),
        versions=versions,
        limits=found.limits,
        rows=found.rows(request.systems),
        left_out={**left_out, **found.failed},
    )


def _instructions() -> str:
    """Those that matter for speed."""
    flags = host.processor_flags()
    known = {"amx_tile": "AMX", "avx512_bf16": "AVX512_BF16", "avx512_vnni": "AVX512_VNNI", "avx512f": "AVX-512"}
    return ", ".join(name for flag, name in known.items() if flag in flags) or "AVX2, no AVX-512"


def _named(names: Sequence[str]) -> tuple[System, ...]:
    """The systems whose names begin with one of these; all where none is given."""
    for name in names:
        if not any(one.name.startswith(name) for one in SYSTEMS):
            sys.exit(f"--systems {name}: there are {', '.join(one.name for one in SYSTEMS)}, or the beginning of one")
    return tuple(one for one in SYSTEMS if not names or one.name.startswith(tuple(names)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench peers", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    kinds = get_args(images.Kind)

    def parts(text: str) -> tuple[str, ...]:
        return tuple(text.split(","))

    def chosen_kinds(text: str) -> tuple[str, ...]:
        if unknown := set(parts(text)) - set(kinds):
            raise argparse.ArgumentTypeError(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(kinds)}")
        return parts(text)

    parser.add_argument("--images", type=int, default=1024, help="of the long runs")
    parser.add_argument("--kinds", type=chosen_kinds, default=kinds, help=", ".join(kinds))
    parser.add_argument("--latency", type=float, default=25.0, help="ms that are added to each answer of the server")
    parser.add_argument("--systems", type=parts, default=(), help="names or their beginnings: mxspark,daft-onnx")
    parser.add_argument("--network", choices=get_args(networks.Name), default="efficientnet-lite0", help=" ")
    parser.add_argument("--rounds", type=int, default=3, help=" ")
    parser.add_argument("--workers", type=int, default=host.cores(), help="of each system, with one thread each")
    parser.add_argument("--json", type=Path, default=CACHE / "peers" / "results.json", help="file for all figures")
    pages = f"table and plot go into {document.PAGE.relative_to(REPOSITORY)}"
    parser.add_argument("--write-docs", action="store_true", help=pages)
    return parser
