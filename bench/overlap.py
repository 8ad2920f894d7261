"""The whole job out of an S3 server, with 0 and 25 ms added to each GET, against the same forward passes alone.

Prediction: fetching costs 0.15 and decoding 0.5 ms of processor time an image, a forward pass 16; so where the overlap
is real, the job's steady rate is 0.95 of forward-only whatever the latency. Goal: 0.9.

Steady rate: of two runs over FEW and MANY images, (MANY - FEW) / (difference of their wall clocks), so start-up drops
out; one shard a worker, so that both end together. The S3 server and the proxy that delays it share the cores with the
job; with forward-only nothing does. Runs are interleaved; medians of ROUNDS are told.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from examples.s3 import Server, serve

from bench import fixtures
from bench.latency import delayed
from bench.processes import Measured, measure

WORKERS = os.cpu_count() or 1
FEW, MANY = 128 * WORKERS, 640 * WORKERS
BATCHES, BATCH_SIZE = 20, 16
ROUNDS = int(os.environ.get("ROUNDS", "3"))
LATENCIES = (0, 25)  # milliseconds
MB = 2**20

_FORWARD = """
import sys, time
from pathlib import Path
import numpy as np
from mxspark.inference import bundle, network
from mxspark.settings.job import ModelSettings
from mxspark.storage import Access
source = bundle.find(ModelSettings(path=sys.argv[1]), Access())
net = network.Network(bundle.fetch(source, Path(), Access()), {batch}, "cpu")
images = np.random.default_rng(0).random(({batch}, 3, 224, 224), np.float32)
net.predict(images)
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
for _ in range({batches}):
    net.predict(images)
print({batches} * {batch} / (time.perf_counter() - start), flush=True)
"""


def forward_only() -> float:
    """Images a second of one process a core, one thread each, computing all at the same time."""
    program = _FORWARD.format(batch=BATCH_SIZE, batches=BATCHES)
    command = [sys.executable, "-c", program, str(fixtures.bundle())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(WORKERS)]  # type: ignore[call-overload]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in processes)


def job(server: Server, endpoint: str, images: str, count: int) -> Measured:
    """A run over the first `count` images."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "mxspark",
            "run",
            "--input",
            f"s3://bench/{images}/",
            "--output",
            f"{folder}/table",
        ]
        command += [
            "--model",
            str(fixtures.bundle()),
            "--limit",
            str(count),
            "--batch-size",
            str(BATCH_SIZE),
            "--endpoint-url",
            endpoint,
        ]
        command += ["--set", f"plan.shard_size={count // WORKERS}"]
        return measure(command, {**os.environ, **server.environment})


def upload(server: Server, prefix: str, images: Iterable[tuple[str, bytes]], bucket: str = "bench") -> None:
    client = server.client()
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda image: client.put_object(Bucket=bucket, Key=f"{prefix}/{image[0]}", Body=image[1]), images)
        )


def main() -> None:
    fixtures.bundle()
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), ["bench"]) as server:
        upload(server, "png", fixtures.small_pngs(MANY))
        upload(server, "jpeg", fixtures.photographs(MANY))
        port = int(server.endpoint_url.rpartition(":")[2])
        forward: list[float] = []
        runs: dict[tuple[str, int], list[tuple[Measured, Measured]]] = {}
        # The first run makes what later ones find: the class archive, the check of the model.
        job(server, server.endpoint_url, "png", FEW)
        for number in range(ROUNDS):
            for images in ("png", "jpeg"):
                for latency in LATENCIES:
                    forward.append(forward_only())
                    with delayed(port, latency) as proxy:
                        endpoint = f"http://127.0.0.1:{proxy}"
                        pair = job(server, endpoint, images, FEW), job(server, endpoint, images, MANY)
                    runs.setdefault((images, latency), []).append(pair)
                    print(
                        f"round {number + 1}: forward only {forward[-1]:.1f}, {images} at {latency} ms "
                        f"{_rate(pair):.1f} images/s",
                        flush=True,
                    )
    _report(forward, runs)


def _rate(pair: tuple[Measured, Measured]) -> float:
    few, many = pair
    return (MANY - FEW) / (many.wall - few.wall)


def _report(forward: list[float], runs: dict[tuple[str, int], list[tuple[Measured, Measured]]]) -> None:
    alone = statistics.median(forward)
    print(f"\nforward only: {alone:.1f} images/s on {WORKERS} cores")
    for (images, latency), pairs in runs.items():
        rate = statistics.median(_rate(pair) for pair in pairs)
        cpu = statistics.median((many.cpu - few.cpu) / (MANY - FEW) for few, many in pairs)
        worker = max(many.worker_peak for _, many in pairs) / MB
        driver = max(many.driver_peak for _, many in pairs) / MB
        print(
            f"{images} with {latency} ms a GET: {rate:.1f} images/s, {rate / alone:.2f} of forward only; "
            f"{1000 * cpu:.1f} CPU-ms an image; peak memory {worker:.0f} MiB a worker, {driver:.0f} MiB driver"
        )
