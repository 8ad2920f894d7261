"""How much faster two workers are than one: processes of this machine, and executors in the cluster of `make kind-up`.

Steady rate: the images that are done from the time when each worker has ended its first shard until the first of them
has nothing more to do, over that time; so start-up and the last shards drop out. In the cluster the driver, the S3
server, the kubelets and etcd share the cores with the executors. Rounds are interleaved; medians of ROUNDS are told.

Prediction for two cores: 1.9 on this machine, where only an S3 server is beside the workers; 1.7 in the cluster.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from examples.kind import run as kind
from examples.kind.forward import forwarded
from examples.s3 import REGION, Server, serve, upload

from bench import fixtures, overlap
from mxspark.dataset import plan
from mxspark.run import shard_log
from mxspark.run.shard_log import ShardRun
from mxspark.settings.job import StorageSettings
from mxspark.storage import Access, Credentials, open_store

ROUNDS = int(os.environ.get("ROUNDS", "3"))
IMAGES, SHARD_SIZE, BATCH_SIZE = 768, 32, 16
WORKERS = (1, 2)
BUCKETS = ("images", "models", "results")


def steady_rate(shards: list[ShardRun]) -> float:
    """Images a second of a run's shards, while all of its workers have one."""
    by_worker = sorted(shards, key=lambda shard: (shard.where, shard.process, shard.began))
    workers = [list(one) for _, one in groupby(by_worker, lambda shard: (shard.where, shard.process))]
    begin, end = max(worker[0].ended for worker in workers), min(worker[-1].ended for worker in workers)
    images = sum(
        shard.images * max(0.0, min(end, shard.ended) - max(begin, shard.began)) / shard.seconds for shard in shards
    )
    return images / (end - begin)


def measured(command: list[str], output: str, server: Server, workers: int) -> float:
    """Images a second of a run, by the log of its shards in the output."""
    environment = {**os.environ, **server.environment}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    place = StorageSettings(endpoint_url=server.endpoint_url, region=REGION)
    store = open_store(output, Access(place, Credentials(server.access_key, server.secret_key)))
    frozen = plan.load(store)
    assert frozen is not None
    (run,) = shard_log.read(store, frozen.id)
    if (found := len({(shard.where, shard.process) for shard in run.shards})) != workers:
        sys.exit(f"{output} was made by {found} workers, not {workers}")
    return steady_rate(list(run.shards))


def settings(output: str) -> list[str]:
    return [
        *("--input", "s3://images/scaling/", "--model", "s3://models/scaling"),
        *("--output", output, "--overwrite", "--yes"),
        *("--batch-size", str(BATCH_SIZE), "--set", f"plan.shard_size={SHARD_SIZE}", "--limit", str(IMAGES)),
    ]


def local(server: Server, workers: int) -> float:
    output = f"s3://results/local-{workers}"
    run = [sys.executable, "-m", "mxspark", "run", *settings(output), "--master", f"local[{workers}]"]
    return measured([*run, "--endpoint-url", server.endpoint_url], output, server, workers)


def submitted(tools: kind.Tools, server: Server, workers: int) -> float:
    output = f"s3://results/executors-{workers}"
    submit = tools.mxspark("submit", "kubernetes", f"--image={tools.image}", *settings(output))
    submit += ["--endpoint-url=http://s3.s3:8333", "--set=kubernetes.credentials_from=s3"]
    submit += [f"--set=spark.executors={workers}", "--set=kubernetes.driver.cpu_request=200m"]
    return measured(submit, output, server, workers)


def give(server: Server) -> None:
    """Uploads the images and the network."""
    overlap.upload(server, "scaling", fixtures.small_pngs(IMAGES), "images")
    upload(server, fixtures.bundle(), "models", "scaling")


@contextmanager
def cluster() -> Iterator[tuple[kind.Tools, Server] | None]:
    """That of `make kind-up` and its S3 server; None where there is none."""
    try:
        tools = kind.Tools.of_this_machine()
        keys = kind.credentials(tools)
    except (kind.StepError, OSError):
        yield None
        return
    kind.make_namespace(tools, keys)
    with forwarded(lambda *arguments: tools.kubectl("--namespace=s3", *arguments), "service/s3", 8333) as port:
        yield tools, kind.server_at(port, keys)


def main() -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), BUCKETS) as server, cluster() as there:
        give(server)
        if there:
            give(there[1])
        else:
            print("executors: not measured, as there is no cluster: `make kind-up` makes one")
        local(server, 1)  # it makes what later ones find: the class archive, the check of the model
        for number in range(ROUNDS):
            for workers in WORKERS:
                rates.setdefault(("worker", workers), []).append(local(server, workers))
                if there:
                    rates.setdefault(("executor", workers), []).append(submitted(*there, workers))
            told = ", ".join(f"{workers} {name}s {rate[-1]:.1f}" for (name, workers), rate in rates.items())
            print(f"round {number + 1}: {told} images/s", flush=True)
    medians = {place: statistics.median(rate) for place, rate in rates.items()}
    for (name, workers), rate in medians.items():
        print(f"{workers} {name}{'s' * (workers > 1)}: {rate:.1f} images/s, {rate / medians[name, 1]:.2f} of one's")
