"""Peak memory and time of the driver's own work for 10^4 to 10^7 synthetic keys, and for 10^5 objects in an S3 server.

A process for each: list, freeze the plan, look which shards are left with half of the parts there, count all parts and
finish; that is all that the driver does but for Spark. Keys come in the order in which S3 lists them, and shuffled as
folders and manifests bring them.

Prediction: 4 microseconds a key whatever their number and order, for the keys are sorted once, on disk; 2 MB of cache
twice over make for a peak at 10^7 of 1.04 times that of 10^4, and the 10^4 shards that have to be counted for some MB
more. The S3 server's listing takes 15 microseconds a key, which hides all else. Goals: memory within 1.1 times, time a
key flat, far fewer plan objects than keys.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import obstore
from examples.s3 import REGION, Server, serve
from obstore.store import S3Store

SIZES = (10**4, 10**5, 10**6, 10**7)
OBJECTS = 10**5
UPLOADS = 64  # objects on their way to the server at a time
HEADER = (
    "   order        keys   planned      a key  (ratio)   peak  (ratio)   objects  shards   what is left   finish    a "
    "key   peak  (ratio)"
)


def main() -> None:
    print(HEADER, flush=True)
    for order in ("sorted", "shuffled"):
        first: Mapping[str, Any] = {}
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                found = measured(order, size, "/synthetic", f"{folder}/table", os.environ)
                objects = sum(1 for path in Path(folder, "table", "_plan").iterdir())
            first = first or found
            tell(order, found, first, objects)
    bucket()


def bucket() -> None:
    """The same out of, and into, a real S3 server."""
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), ["bench"]) as server:
        start = time.perf_counter()
        asyncio.run(upload(server))
        print(f"{OBJECTS:,} objects uploaded to an S3 server in {time.perf_counter() - start:.0f} s", flush=True)
        first: Mapping[str, Any] = {}
        for size in (OBJECTS // 10, OBJECTS):
            output = f"tables/{size}"
            found = measured(
                "listed", size, "s3://bench/photographs/", f"s3://bench/{output}", {**os.environ, **server.environment}
            )
            objects = server.client().list_objects_v2(Bucket="bench", Prefix=f"{output}/_plan/")["KeyCount"]
            first = first or found
            tell("S3", found, first, objects)


async def upload(server: Server) -> None:
    """Puts the small objects under one prefix."""
    store = S3Store(
        "bench",
        endpoint=server.endpoint_url,
        region=REGION,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        client_options={"allow_http": True},
    )
    free = asyncio.Semaphore(UPLOADS)

    async def put(number: int) -> None:
        async with free:
            await obstore.put_async(store, f"photographs/{number:09d}.jpg", b"not really")

    await asyncio.gather(*(put(number) for number in range(OBJECTS)))


def measured(order: str, size: int, source: str, target: str, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """What bench/plan_once.py, run by itself, tells."""
    command = [sys.executable, "-m", "bench.plan_once", order, str(size), source, target]
    answer: Mapping[str, Any] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
    )
    return answer


def tell(order: str, found: Mapping[str, Any], first: Mapping[str, Any], objects: int) -> None:
    """A line: the phases, time a key and peak memory against those of the first line of the same order."""

    def per_key(of: Mapping[str, Any], *phases: str) -> float:
        return 1e6 * sum(float(of[phase]["seconds"]) for phase in phases) / int(of["keys"])

    plan, left, finish = found["plan"], found["left"], found["finish"]
    print(
        f"{order:>8} {found['keys']:>11,} {plan['seconds']:>7.2f} s {per_key(found, 'plan'):>7.2f} µs "
        f"({per_key(found, 'plan') / per_key(first, 'plan'):.2f}) {plan['peak']:>6.0f} MiB "
        f"({plan['peak'] / first['plan']['peak']:.2f}) {objects:>7,} {found['shards']:>7,} {left['seconds']:>10.3f} s "
        f"{finish['seconds']:>6.2f} s {per_key(found, 'left', 'finish'):>6.2f} µs {finish['peak']:>4.0f} MiB "
        f"({finish['peak'] / first['finish']['peak']:.2f})",
        flush=True,
    )
